"""Random entries with the same exits: would the policy's trades have done as well at any other time?

Each random account makes the policy's own trades (as many, with the same sides, sizes, brackets and intended holding
times) in random order at random times that do not overlap. What is left to tell it from the policy is *when* it
enters.

A trade that a bracket ended does not tell how long the policy meant to hold it, only that it was longer. Giving every
random trade the length at which the original ended would cut random trades short twice, narrow their spread, and call
luck skill (about 10 % false alarms at a nominal 5 %). Intended lengths of such trades are therefore drawn from those
of the trades that were held longer: Efron's (1967) redistribution to the right, the estimate of Kaplan & Meier.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow.compute as pc
from numpy.typing import NDArray

from envs import lanes
from envs.actions import ORDER_WIDTH
from envs.backtest import BacktestResult
from envs.compiled import inlined, kernel
from envs.config import MarketConfig
from envs.kernel import step_lanes
from envs.market import Market
from evaluation.many_accounts import final_equity, open_accounts

Floats = NDArray[np.float64]
Longs = NDArray[np.int64]

SAMPLES = 1500
FOREVER = np.int64(2**62)


@dataclass(frozen=True, eq=False)
class RandomEntries:
    """K random accounts."""

    open_time_ms: Longs
    """int64 (S,): the bars at which equity was kept, the last one included"""
    equity: NDArray[np.float32]
    """float32 (S, K), quote units"""
    net_return: Floats
    """float64 (K,): final equity / initial capital - 1"""
    trades: Longs
    """int64 (K,): trades that each account made"""


def random_entries(
    market: Market,
    config: MarketConfig,
    result: BacktestResult,
    orders: Floats,
    *,
    accounts: int = 300,
    seed: int = 0,
) -> RandomEntries:
    """Trade `accounts` random accounts on `market` by the market's own step.

    `result` is the policy's backtest on the same market and terms (one lane), `orders` float64 (T, 5) its order rows
    (`recorded_backtest` gives both).
    """
    capital = float(result.initial_capital[0])
    trades = result.trades
    count = trades.num_rows
    entry_row = np.searchsorted(market.open_time_ms, trades.column("entry_time_ms").to_numpy())
    rng = np.random.default_rng(seed)
    held = trades.column("bars_held").to_numpy().astype(np.int64)
    meant = pc.equal(trades.column("exit_reason").cast("string"), "signal").to_numpy(zero_copy_only=False)
    deck = np.argsort(rng.random((accounts, count)), axis=1)
    intended = np.take_along_axis(_intended_lengths(held, meant, accounts, rng), deck, axis=1)

    batch, unwatched = open_accounts(market, config, capital, accounts)
    state, rows = batch.state, len(market)
    kept = np.unique(np.linspace(0, rows - 1, min(SAMPLES, rows)).astype(np.int64))
    equity = np.empty((kept.size, accounts), dtype=np.float32)
    _trade_at_random(
        state.account,
        state.clock,
        market.prices,
        market.calendar,
        market.finer,
        market.observations,
        batch.terms,
        unwatched,
        state.trades,
        market.tradable,
        np.ascontiguousarray(orders[entry_row - 1]),
        deck,
        intended,
        rng.random((accounts, count)),
        float(np.count_nonzero(result.position[:, 0])) / max(count, 1),
        np.zeros((accounts, ORDER_WIDTH)),
        np.zeros(accounts, dtype=np.int64),
        np.empty(accounts, dtype=np.int64),
        kept,
        equity,
    )
    final = final_equity(batch)
    equity[-1] = final
    return RandomEntries(market.open_time_ms[kept], equity, final / capital - 1.0, state.count(lanes.TRADES).copy())


def _intended_lengths(held: Longs, meant: NDArray[np.bool_], accounts: int, rng: np.random.Generator) -> Longs:
    """How long each account means to hold each trade, int64 (accounts, N) bars, `FOREVER` for as long as its exits
    let it.

    `held` int64 (N,) bars that the policy's trades lasted; `meant` bool (N,): the policy itself ended them.
    """
    order = np.argsort(held, kind="stable")
    lengths, known = held[order], meant[order]
    drawn = np.tile(held, (accounts, 1))
    open_ended = np.tile(~meant, (accounts, 1))
    while open_ended.any():
        after = np.searchsorted(lengths, drawn[open_ended], side="right")
        none_longer = after == lengths.size
        pick = np.minimum(after + (rng.random(after.size) * (lengths.size - after)).astype(np.int64), lengths.size - 1)
        drawn[open_ended] = np.where(none_longer, FOREVER, lengths[pick])
        open_ended[open_ended] = ~(none_longer | known[pick])
    return drawn


@inlined
def _wait(chance: Floats, k: int, rows_left: int, trades_left: int, mean_held: float) -> int:
    """Flat closes before the next trade, at least 1: the first spacing of the trades left, thrown on the time left."""
    if trades_left <= 0:
        return rows_left + 1
    spare = max(rows_left - trades_left * mean_held, 0.0)
    return max(int(spare * (1.0 - chance[k] ** (1.0 / trades_left))), 1)


@inlined
def _copy_order(source: Floats, k: int, target: Floats, i: int) -> None:
    for column in range(source.shape[1]):
        target[i, column] = source[k, column]


@kernel
def _trade_at_random(
    account: Floats,
    clock: Longs,
    prices: Floats,
    calendar: Floats,
    finer: Floats,
    features: NDArray[np.float32],
    terms: Floats,
    unwatched: NDArray[np.float32],
    trades: Floats,
    tradable: NDArray[np.bool_],
    plans: Floats,
    deck: Longs,
    intended: Longs,
    chance: Floats,
    mean_held: float,
    orders: Floats,
    dealt: Longs,
    entering: Longs,
    kept: Longs,
    equity: NDArray[np.float32],
) -> None:
    """Move all accounts over the whole market, each dealing its own deck of trades.

    plans     float64 (N, 5), the order row of each trade
    deck      int64 (K, N), the order in which each account makes them
    intended  int64 (K, N), bars it means to hold the k-th of its deck
    chance    float64 (K, N) in [0, 1), what its waits are made from
    mean_held closes that a trade is held through on average: what the trades still to come will need
    orders    float64 (K, 5), scratch
    dealt     int64 (K,), zeros: trades made so far
    entering  int64 (K,), scratch: row whose close gives the next order, -1 while a trade runs
    kept      int64 (S,) rows whose equity is written to `equity` (S, K)
    """
    accounts, count = deck.shape
    last = prices.shape[0] - 1
    for i in range(accounts):
        entering[i] = _wait(chance[i], 0, last, count, mean_held) - 1 if count > 0 else last
    for i in range(accounts):
        equity[0, i] = account[lanes.EQUITY, i]
    sample = 1
    for row in range(last):
        for i in range(accounts):
            held = account[lanes.QTY, i] != 0.0
            k = dealt[i]
            orders[i, 0] = 0.0
            if held:
                _copy_order(plans, deck[i, k - 1], orders, i)
                if row + 1 - clock[lanes.ENTRY_ROW, i] >= intended[i, k - 1]:
                    wait = _wait(chance[i], k, last - row, count - k, mean_held)
                    if wait == 1 and k < count and plans[deck[i, k], 0] * orders[i, 0] < 0.0:
                        wait = 0  # an opposite position can follow at the same open
                    orders[i, 0] = 0.0
                    entering[i] = row + wait
            elif entering[i] < 0:  # its bracket or the market ended the trade inside this bar
                entering[i] = row - 1 + _wait(chance[i], k, last - row, count - k, mean_held)
            if k < count and entering[i] >= 0 and row >= entering[i] and tradable[row]:
                _copy_order(plans, deck[i, k], orders, i)
                dealt[i] = k + 1
                entering[i] = -1
        step_lanes(account, clock, trades, prices, calendar, finer, features, terms, orders, unwatched)
        if sample < len(kept) and kept[sample] == row + 1:
            for i in range(accounts):
                equity[sample, i] = account[lanes.EQUITY, i]
            sample += 1
