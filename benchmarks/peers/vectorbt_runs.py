"""vectorbt's `Portfolio.from_signals` with stops on the benchmark's bars; runs in the peers' environment.

The signal at a bar's close is filled at that close, and stops are looked for from the next bar on, so on bars that open
where the last one closed it means: filled at the next open, stops live from there. Stops hit are filled at their level
(vectorbt's default) and looked for before the bar's signals.
"""

import time
from typing import Any

import numpy as np
import vectorbt as vbt


def run(
    folder: str,
    tp_bps: list[float],
    sl_bps: list[float],
    fee_bps: list[float],
    capital: float,
    fraction: float,
    max_orders: int,
    detail: bool = False,
) -> dict[str, Any]:
    """One column for each entry of the lists, long only, `fraction` of the equity a trade: seconds of processor time,
    trades and final equity.

    prices.npy float64 (T, >= 4) open, high, low, close; signals.npy int8 (T,): 1 buy, -1 sell, 0 nothing.
    `max_orders` is for all columns together: room for an order in every bar of each, vectorbt's default, is slower.
    `detail` counts the equity at every close and the trade records into the time.
    """
    prices = np.load(f"{folder}/prices.npy")
    signals = np.load(f"{folder}/signals.npy")
    open_, high, low, close = (np.ascontiguousarray(prices[:, k : k + 1]) for k in range(4))
    columns = [1e-4 * np.array(values)[None, :] for values in (tp_bps, sl_bps, fee_bps)]
    start = time.process_time()
    portfolio = vbt.Portfolio.from_signals(
        close,
        entries=signals[:, None] > 0,
        exits=signals[:, None] < 0,
        open=open_,
        high=high,
        low=low,
        price=close,
        size=fraction,
        size_type="percent",
        init_cash=capital,
        fees=columns[2],
        tp_stop=columns[0],
        sl_stop=columns[1],
        stop_entry_price="fillprice",
        direction="longonly",
        freq="1min",
        max_orders=max_orders,
    )
    if detail:
        portfolio.value()
        portfolio.trades.values  # noqa: B018 (a property that computes them)
    seconds = time.process_time() - start
    return {
        "seconds": seconds,
        "trades": np.bincount(portfolio.trades.values["col"], minlength=len(tp_bps)).tolist(),
        "equity": np.atleast_1d(np.asarray(portfolio.final_value())).tolist(),
    }
