"""Facts that must come out of our features on recorded data; figures far above them would be a leak.

Literature and our own earlier measurement of these files agree on the ranges; each message tells what was measured.
"""

import numpy as np
import pytest
from sklearn.linear_model import LinearRegression
from sklearn.metrics import roc_auc_score

from data_pipeline.readers import read_bars
from data_pipeline.schema import bar_arrays
from features.batch import compute_features
from features.events import Events
from tests.book_tools import RECORDED, lobster_books, real_data, recorded_books, recorded_quotes

SECOND_NS = 1_000_000_000


def next_move(mid: np.ndarray) -> np.ndarray:
    """Sign of the first move of the mid after each row, 0 where none follows; int8 (T,)."""
    steps = np.append(np.sign(np.diff(mid)), 0.0)
    moves = np.flatnonzero(steps)
    following = np.searchsorted(moves, np.arange(len(mid)))
    signs = np.append(steps[moves], 0.0)
    return signs[following].astype(np.int8)


def imbalance_auc(events: Events, kind: str, name: str, mid: np.ndarray) -> float:
    imbalance = compute_features(events, [name], kind=kind)[:, 0]
    move = next_move(mid)
    usable = np.isfinite(imbalance) & (move != 0)
    return float(roc_auc_score(move[usable] > 0, imbalance[usable]))


def by_second(events: Events, values: np.ndarray, mid: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Sums of `values` (T, any) and changes of the mid over each UTC second but the first, by local time."""
    second = events.local_time_ns // SECOND_NS - events.local_time_ns[0] // SECOND_NS
    count = second[-1] + 1
    sums = np.stack([np.bincount(second, column, minlength=count) for column in values.T], axis=1)
    last = np.searchsorted(second, np.arange(count), side="right") - 1
    return sums[1:], np.diff(mid[last])


def explained(x: np.ndarray, y: np.ndarray) -> float:
    """R² of the least-squares fit of y (T,) on the columns of x (T, any)."""
    return float(LinearRegression().fit(x, y).score(x, y))


@pytest.mark.parametrize("contract", RECORDED)
def test_queue_imbalance_predicts_the_next_mid_move(contract: str) -> None:
    quotes = recorded_quotes(contract)
    auc = imbalance_auc(quotes, "quotes", "queue_imbalance", quotes.bid_px + quotes.ask_px)
    assert 0.75 <= auc <= 0.86, f"{contract}: AUC {auc:.4f} of the queue imbalance for the next mid move"


def test_queue_imbalance_says_little_where_the_spread_is_many_ticks() -> None:
    books = lobster_books()
    auc = imbalance_auc(books, "book", "book_imbalance", books.bid1_px + books.ask1_px)
    assert 0.55 <= auc <= 0.60, f"GOOG: AUC {auc:.4f} of the queue imbalance for the next mid move"


@pytest.mark.parametrize("contract", RECORDED)
def test_order_flow_imbalance_explains_the_return_of_the_same_second(contract: str) -> None:
    quotes = recorded_quotes(contract)
    flow = np.nan_to_num(compute_features(quotes, ["ofi"], kind="quotes"))
    x, y = by_second(quotes, flow, 0.5 * (quotes.bid_px + quotes.ask_px))
    r2 = explained(x, y)
    assert 0.39 <= r2 <= 0.75, f"{contract}: order flow imbalance explains {r2:.4f} of {len(y)} one-second returns"
    ahead = explained(x[:-1], y[1:])
    assert ahead < 0.1, f"{contract}: it explains {ahead:.4f} of the NEXT second's return: a leak"


@pytest.mark.parametrize("contract", RECORDED)
def test_deeper_levels_add_to_what_order_flow_explains(contract: str) -> None:
    """Xu, Gould & Howison 2019 and Cont, Cucuringu & Zhang 2021, here over windows of 20 updates, none overlapping."""
    books = recorded_books(contract)
    names = [*[f"mlofi_{k}_20" for k in range(1, 6)], "integrated_ofi_20", "book_mid_return_20"]
    X = compute_features(books, names, kind="book")[400::20]
    flows, whole, y = X[:, :5], X[:, 5:6], X[:, 6]
    one, five, integrated = (explained(x, y) for x in (flows[:, :1], flows, whole))
    found = f"{contract}: one level explains {one:.4f}, five {five:.4f}, their main component {integrated:.4f}"
    assert five > one + 0.02, found
    assert integrated > one + 0.005, found


def test_taker_imbalance_of_a_minute_says_nothing_about_the_next() -> None:
    bars = bar_arrays(read_bars(real_data() / "klines" / "binance_spot_BTCUSDT_1m_2026-03_04.parquet"))
    imbalance = compute_features(bars, ["taker_imbalance"])[:, 0]
    returns = np.diff(np.log(bars.close))
    same = float(np.corrcoef(imbalance[1:], returns)[0, 1])
    following = float(np.corrcoef(imbalance[:-1], returns)[0, 1])
    assert abs(following) < 0.02, f"correlation {following:.4f} with the next bar's return"
    assert same > 0.3, f"correlation {same:.4f} with the return of the same bar: the flow's sign is wrong"
