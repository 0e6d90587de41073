"""Trade a trained run on closed bars with paper money: the same features, models, fills and policy as in research.

Replay a file as fast as possible:

    python -m scripts.paper_trade --run runs/btc-march --bars BTCUSDT-1m-2026-04.zip

One bar a second, in a session of its own that survives Ctrl-C and kills:

    python -m scripts.paper_trade --run runs/btc-march --bars BTCUSDT-1m-2026-04.zip --speed 60 --out sessions/april
    python -m scripts.paper_trade --run runs/btc-march --bars BTCUSDT-1m-2026-04.zip --out sessions/april --resume

Behind circuit breakers, which a halt of the session outlives (`touch OUT/KILL` stops it from outside):

    python -m scripts.paper_trade --run runs/btc-march --bars BTCUSDT-1m-2026-04.zip --daily-loss 0.02 --drawdown 0.1
    python -m scripts.paper_trade --run runs/btc-march --bars BTCUSDT-1m-2026-05.zip --resume --rearm 'me: feed is well'

With REDIS_HOST (and REDIS_PORT) set, every step is published to a Redis stream; docs/live.md names its fields.
"""

from __future__ import annotations

import sys

from live.config import PaperConfig
from scripts import cli


def main(config: PaperConfig) -> int:
    """Run the session; 0 when the bars ended, 1 when it is halted by then, 130 after Ctrl-C."""
    from live.paper import paper_trade

    return paper_trade(config)


def main_cli() -> int:
    """Console entry point."""
    return cli.run(PaperConfig, main, __doc__)


if __name__ == "__main__":
    sys.exit(main_cli())
