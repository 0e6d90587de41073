"""Trades of vectorbt and backtesting.py on the golden tests' bars and signals; runs in the peers' environment.

prices float64 (T, 4) open, high, low, close; signals, decided at closes: 1 long, -1 short, 2 flat, 0 nothing; one unit
a trade. Every function returns rows of [side, entry bar, entry price, exit bar, exit price, net result].
"""

import warnings
from collections.abc import Callable

import backtesting
import numpy as np
import pandas as pd
import vectorbt as vbt

Rows = list[list[float]]


def trades(rules: str, prices: list, signals: list, tp_bps: float, sl_bps: float, fee_bps: float, cash: float) -> Rows:
    """The closed trades of one peer under one of its settings, in the order of their entries."""
    bars, wanted = np.array(prices), np.array(signals)
    rows = _RULES[rules](bars, wanted, 1e-4 * tp_bps, 1e-4 * sl_bps, 1e-4 * fee_bps, cash)
    return sorted(rows, key=lambda row: row[1])


def _vectorbt(
    bars: np.ndarray, wanted: np.ndarray, price: np.ndarray, tp: float, sl: float, fee: float, cash: float
) -> Rows:
    portfolio = vbt.Portfolio.from_signals(
        bars[:, 3],
        entries=wanted == 1,
        exits=wanted == 2,
        short_entries=wanted == -1,
        short_exits=wanted == 2,
        open=bars[:, 0],
        high=bars[:, 1],
        low=bars[:, 2],
        price=price,
        size=1.0,
        init_cash=cash,
        fees=fee,
        tp_stop=tp,
        sl_stop=sl,
        stop_entry_price="fillprice",
        upon_opposite_entry="reverse",
        freq="1min",
    )
    found = portfolio.trades.values
    if (found["status"] == 0).any():
        raise ValueError("a trade is open at the end")
    side = np.where(found["direction"] == 0, 1.0, -1.0)
    columns = ("entry_idx", "entry_price", "exit_idx", "exit_price", "pnl")
    return np.column_stack([side, *(found[name] for name in columns)]).tolist()


def _vectorbt_at_close(bars: np.ndarray, wanted: np.ndarray, tp: float, sl: float, fee: float, cash: float) -> Rows:
    """A signal is filled at its own close, which counts as the next open; stops are looked for from there on."""
    rows = _vectorbt(bars, wanted, bars[:, 3], tp, sl, fee, cash)
    for row in rows:
        row[1] += 1
        if wanted[int(row[3])] != 0:  # an exit by signal: there are none at closes of bars in which a stop was hit
            row[3] += 1
    return rows


def _vectorbt_at_open(bars: np.ndarray, wanted: np.ndarray, tp: float, sl: float, fee: float, cash: float) -> Rows:
    """A signal is filled at the next open; stops are looked for from the bar after that on."""
    return _vectorbt(bars, np.r_[0, wanted[:-1]], bars[:, 0], tp, sl, fee, cash)


def _backtesting(bars: np.ndarray, wanted: np.ndarray, tp: float, sl: float, fee: float, cash: float) -> Rows:
    """A signal is filled at the next open; the bracket, set around that open, lives from there."""
    opens = bars[:, 0]

    class Signals(backtesting.Strategy):
        def init(self) -> None:
            pass

        def next(self) -> None:
            row = len(self.data) - 1
            signal = wanted[row]
            if signal == 2:
                self.position.close()
            elif signal != 0 and self.position.size * signal <= 0:
                entry = opens[row + 1]
                order = self.buy if signal > 0 else self.sell
                order(size=1, tp=entry * (1.0 + signal * tp), sl=entry * (1.0 - signal * sl))

    frame = pd.DataFrame(bars, columns=["Open", "High", "Low", "Close"])
    frame.index = pd.date_range("2024-01-01", periods=len(frame), freq="min")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        run = backtesting.Backtest(frame, Signals, cash=cash, commission=fee, exclusive_orders=True)
        found = run.run()["_trades"]
    columns = [
        np.sign(found["Size"]),
        *(found[name] for name in ("EntryBar", "EntryPrice", "ExitBar", "ExitPrice", "PnL")),
    ]
    return np.column_stack(columns).astype(float).tolist()


_RULES: dict[str, Callable[..., Rows]] = {
    "vectorbt_at_close": _vectorbt_at_close,
    "vectorbt_at_open": _vectorbt_at_open,
    "backtesting": _backtesting,
}
