"""Recording of websocket market data: raw event logs, rebuilt books, bars from trades, sealed Parquet parts."""
