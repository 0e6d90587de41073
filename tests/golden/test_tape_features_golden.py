"""Effective and realised spread and impact against a transcription of their definitions, and what they cannot know."""

import bisect

import numpy as np
import pytest

from features.batch import compute_features
from features.catalogue import feature_names
from features.config import TapeParameters
from features.events import Events
from features.stream import FeatureStream
from features.tape.catalogue import TAPE_FIELDS
from features.tape.kernel import KERNEL
from features.tape.merge import merge_tape
from tests.book_tools import RECORDED, recorded_quotes, synthetic_quotes
from tests.trade_tools import recorded_trades, synthetic_trades

NAMES = feature_names(None, None, "tape")


def received(trades: Events) -> Events:
    """The same trades on the local clock."""
    return Events(trades.local_time_ns, trades.local_time_ns, trades.columns)


def synthetic_tape(seed: int, silences: int = 0) -> Events:
    quotes = synthetic_quotes(1_500, seed, silences=silences)
    trades = synthetic_trades(1_500, seed + 1, silences=0)
    rng = np.random.default_rng(seed)
    local = np.sort(rng.choice(quotes.local_time_ns, 1_500) + rng.integers(0, 3, 1_500))
    price = 80.0 + np.round(rng.normal(0, 0.05, 1_500), 2)
    return merge_tape(Events(local, local, trades.columns | {"price": price}), quotes)


def reference(tape: Events, row: int, start: int, p: TapeParameters) -> list[float]:
    """Features after `row` of a stretch that began at `start`, each trade from its definition (Huang & Stoll 1996)."""
    bid, ask, price, qty, maker = (tape.columns[name][start : row + 1].tolist() for name in TAPE_FIELDS)
    time = tape.time_ns[start : row + 1].tolist()
    mids: list[float] = []
    for b, a, traded in zip(bid, ask, price, strict=True):
        mids.append((b + a) / 2 if traded != traded and b > 0 and a > 0 else mids[-1])
    trades = [i for i, traded in enumerate(price) if traded == traded]
    effective, realised, impact = [], [], []
    for i in trades:
        sign = 1 - 2 * maker[i]
        effective.append((qty[i], 2e4 * sign * (price[i] - mids[i]) / mids[i]))
        due = time[i] + p.delay_ms * 1_000_000
        if due < time[-1]:
            later = mids[bisect.bisect_right(time, due) - 1]
            realised.append((qty[i], 2e4 * sign * (price[i] - later) / mids[i]))
            impact.append((qty[i], 2e4 * sign * (later - mids[i]) / mids[i]))

    def mean(pairs: list[tuple[float, float]]) -> float:
        weights = [q * (1 - 2 / (p.span + 1)) ** age for age, (q, _) in enumerate(reversed(pairs))]
        values = [value for _, value in reversed(pairs)]
        return float(np.average(values, weights=weights)) if sum(weights) > 0 else 0.0

    return [effective[-1][1] if effective else 0.0, mean(effective), mean(realised), mean(impact)]


def assert_rows_match(tape: Events, parameters: TapeParameters, step: int) -> None:
    X = compute_features(tape, parameters=parameters, kind="tape")
    whole = np.isnan(tape.columns["price"]) & (tape.bid_px > 0) & (tape.ask_px > 0)
    start = int(np.argmax(whole))
    assert np.isnan(X[:start]).all()
    assert np.isfinite(X[start:]).all()
    for row in range(start, len(tape), step):
        np.testing.assert_allclose(X[row], reference(tape, row, start, parameters), rtol=1e-8, atol=1e-8, err_msg=row)


@pytest.mark.parametrize(
    "parameters", [TapeParameters(), TapeParameters(span=7, delay_ms=300)], ids=["default", "other"]
)
def test_synthetic_rows_match_the_definitions(parameters: TapeParameters) -> None:
    assert_rows_match(synthetic_tape(3), parameters, 23)


@pytest.mark.parametrize("contract", RECORDED)
def test_recorded_rows_match_the_definitions(contract: str) -> None:
    tape = merge_tape(received(recorded_trades(contract)), recorded_quotes(contract))
    assert_rows_match(tape.slice(0, 4_000), TapeParameters(delay_ms=1_000), 171)


def test_one_row_at_a_time_across_restarts_gives_the_bytes_of_the_batch() -> None:
    tape = synthetic_tape(5, silences=1)
    parameters = TapeParameters(delay_ms=300, most_waiting=16)
    X = compute_features(tape, parameters=parameters, kind="tape")
    stream = FeatureStream(None, parameters, "tape")
    rows = np.stack([tape.columns[name] for name in TAPE_FIELDS], axis=1)
    found = []
    for i, (time, row) in enumerate(zip(tape.time_ns, rows, strict=True)):
        if i % 100 == 50:
            stream = FeatureStream.from_state(stream.state_bytes())
        found.append(stream.update(int(time), row))
    assert np.stack(found).tobytes() == np.ascontiguousarray(X).tobytes()
    assert len(KERNEL.advance.signatures) == 1


def test_a_full_queue_drops_the_oldest_trade() -> None:
    """Ten trades at once, three may wait: the averages of later spreads are those of the last three."""
    time = 10**18 + np.array([0] * 11 + [2 * 10**9, 3 * 10**9])
    columns = np.full((5, 13), np.nan)
    columns[:2, 0] = 99.0, 101.0
    columns[2:, 1:11] = np.array([[100.0 + k for k in range(10)], [1.0] * 10, [0.0] * 10])
    columns[:2, 11] = columns[:2, 12] = 109.0, 111.0
    tape = Events(time, time, dict(zip(TAPE_FIELDS, columns, strict=True)))
    parameters = TapeParameters(span=3, delay_ms=2_500, most_waiting=3)
    realised = compute_features(tape, [NAMES[2].replace("5000ms_100", "2500ms_3")], parameters, "tape")[:, 0]
    weights = np.array([0.25, 0.5, 1.0])
    assert (realised[:12] == 0.0).all()
    assert realised[12] == pytest.approx(
        np.average(200.0 * np.array([107 - 110, 108 - 110, 109 - 110]), weights=weights)
    )


def test_the_mid_at_the_end_of_the_delay_is_that_after_all_events_of_that_moment() -> None:
    """Two quotes at the very nanosecond at which a trade is due: the second one stands then, which shows later."""
    time = np.array([0, 0, 10**9, 10**9, 10**9 + 1]) + 10**18
    columns = np.full((5, 5), np.nan)
    columns[:2, 0], columns[:2, 2], columns[:2, 3], columns[:2, 4] = (99, 101), (104, 106), (109, 111), (89, 91)
    columns[2:, 1] = 100.0, 1.0, 0.0
    tape = Events(time, time, dict(zip(TAPE_FIELDS, columns, strict=True)))
    impact = compute_features(tape, ["price_impact_1000ms_100"], TapeParameters(delay_ms=1_000), "tape")[:, 0]
    np.testing.assert_allclose(impact, [0.0, 0.0, 0.0, 0.0, 2e4 * 0.1], rtol=1e-12)


def test_of_a_trade_and_a_quote_at_one_moment_the_trade_comes_first() -> None:
    trades, quotes = synthetic_trades(50, seed=1), synthetic_quotes(50, seed=1, silences=0)
    same = np.arange(50) + 10**18
    tape = merge_tape(Events(same, same, trades.columns), Events(same, same, quotes.columns))
    np.testing.assert_array_equal(np.isnan(tape.price), np.arange(100) % 2 == 1)
    np.testing.assert_array_equal(tape.price[::2], trades.price)
