"""What hftbacktest makes of a schedule of orders over recorded events; runs in an environment of its own.

    python hftbacktest_runs.py events.npz risk_averse|proportional    # writes JSON to standard output

events.npz holds event_time_ns, events, books as in `envs.book.market.BookMarket`, and of the orders (sorted by time):
submit_ns, cancel_ns, side, price (0: market order), with latency_ns, tick, lot. Every order is of one lot: the
no-partial-fill exchange is used, for positions after partial fills are wrong in 2.4.4 (issues 299 and 316).
Answers a row [filled, time in ns, price] for each order.
"""

import json
import sys
import time
from functools import cache

import hftbacktest as hft
import numpy as np
from hftbacktest.order import GTC, GTX, LIMIT, MARKET
from numba import njit

LEVELS = 10


def feed(event_time: np.ndarray, events: np.ndarray, books: np.ndarray) -> np.ndarray:
    """Events as hftbacktest's: trades, and of each book what changed, removals first.

    A level that falls out of the ten that are shown stays, as in a feed of changes.
    """
    both = hft.EXCH_EVENT | hft.LOCAL_EVENT
    rows: list[tuple[int, int, float, float]] = []
    live: tuple[dict[float, float], dict[float, float]] = ({}, {})
    for at, (taker, price, size, book) in zip(event_time.tolist(), events.tolist(), strict=True):
        if taker:
            rows.append((both | hft.TRADE_EVENT | (hft.BUY_EVENT if taker > 0 else hft.SELL_EVENT), at, price, size))
            continue
        removed, put = [], []
        for first, sign, flag in ((0, 1.0, hft.BUY_EVENT), (2 * LEVELS, -1.0, hft.SELL_EVENT)):
            known, kind = live[first > 0], both | hft.DEPTH_EVENT | flag
            side = books[int(book), first : first + 2 * LEVELS]
            shown = {px: sz for px, sz in side.reshape(-1, 2).tolist() if sz > 0}
            worst = sign * min(sign * px for px in shown)
            gone = [px for px in known if px not in shown and sign * (px - worst) >= 0]
            removed += [(kind, at, px, 0.0) for px in gone]
            put += [(kind, at, px, sz) for px, sz in shown.items() if known.get(px) != sz]
            for px in gone:
                del known[px]
            known.update(shown)
        rows += removed + put
    out = np.zeros(len(rows), dtype=hft.types.event_dtype)
    for k, name in enumerate(("ev", "exch_ts", "px", "qty")):
        out[name] = [row[k] for row in rows]
    out["local_ts"] = out["exch_ts"]
    return out


@njit
def run(bt, submit, cancel, side, price, lot, late, out):  # type: ignore[no-untyped-def]  # compiled for its own types
    """Submit order k at submit[k], and cancel it so that this arrives right before cancel[k]; fill `out` (K, 3)."""
    count = len(submit)
    order = np.argsort(cancel)
    bt.elapse(0)  # to the first event: before, its clock stands at the end of time
    sent, ended = 0, 0
    while sent < count or ended < count:
        next_submit = submit[sent] if sent < count else np.int64(2**62)
        next_cancel = cancel[order[ended]] - late - 1 if ended < count else np.int64(2**62)
        time = min(next_submit, next_cancel)
        if time > bt.current_timestamp:
            bt.elapse(time - bt.current_timestamp)
        if next_cancel <= next_submit:
            k = order[ended]
            ended += 1
            if price[k] > 0.0 and bt.orders(0).get(k).cancellable:
                bt.cancel(0, k, False)
            continue
        k, kind, force = sent, LIMIT if price[sent] > 0.0 else MARKET, GTX if price[sent] > 0.0 else GTC
        sent += 1
        if side[k] > 0:
            bt.submit_buy_order(0, k, price[k], lot, force, kind, False)
        else:
            bt.submit_sell_order(0, k, price[k], lot, force, kind, False)
    bt.elapse(10 * late + 1_000_000_000)
    for k in range(count):
        done = bt.orders(0).get(k)
        out[k, 0] = done.status == hft.FILLED
        out[k, 1] = done.exch_timestamp - submit[0]  # float64 would lose the last digits of a whole time stamp
        out[k, 2] = done.exec_price


@cache
def given(path: str) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """What the file holds, and its events as hftbacktest's, which must outlive a backtest."""
    with np.load(path) as file:
        arrays = {name: file[name] for name in file.files}
    return arrays, feed(arrays["event_time_ns"], arrays["events"], arrays["books"])


def fills(path: str, queue: str) -> dict[str, object]:
    """`rows` [filled, time in ns, price] for each order, and the processor `seconds` that the events took."""
    orders, events = given(path)
    tick, lot, late = (orders[name].item() for name in ("tick", "lot", "latency_ns"))
    asset = hft.BacktestAsset().data(events)
    asset = asset.linear_asset(1.0).constant_order_latency(late, 0).no_partial_fill_exchange()
    asset = asset.risk_adverse_queue_model() if queue == "risk_averse" else asset.power_prob_queue_model(1.0)
    asset = asset.trading_value_fee_model(0.0, 0.0).tick_size(tick).lot_size(lot)
    bt = hft.HashMapMarketDepthBacktest([asset])
    submit = orders["submit_ns"]
    out = np.zeros((len(submit), 3))
    begun = time.process_time()
    run(bt, submit, orders["cancel_ns"], orders["side"], orders["price"], lot, late, out)
    seconds = time.process_time() - begun
    bt.close()
    rows = [[int(done), int(since) + int(submit[0]), price] if done else [0, 0, 0.0] for done, since, price in out]
    return {"rows": rows, "seconds": seconds}


if __name__ == "__main__":
    json.dump(fills(*sys.argv[1:])["rows"], sys.stdout)
