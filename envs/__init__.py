"""A market to trade in: one compiled step kernel behind a Gymnasium env, a vector env and a backtest."""
