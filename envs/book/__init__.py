"""The market of recorded trades and ten-level books: queues for limit orders, sweeps for market orders."""
