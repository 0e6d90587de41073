"""The audit of time catches every planted leak and passes its honest twin."""

from collections.abc import Callable

import numpy as np
import pytest

from data_pipeline.config import SyntheticConfig
from data_pipeline.errors import InputError
from data_pipeline.schema import BarArrays, bar_arrays
from data_pipeline.synthetic import synthetic_market
from features.audit import Leak, audit_delay, audit_perturbation, audit_truncation
from features.audit.samples import sample_events, sample_series
from features.audit.series import perturb, take
from features.batch import compute_features
from features.catalogue import KINDS
from features.events import Events
from features.sampling import sample_asof

MINUTE = 60_000
SECOND_NS = 1_000_000_000


@pytest.fixture(scope="module")
def bars() -> BarArrays:
    return bar_arrays(synthetic_market(SyntheticConfig(bars=600, seed=4)).bars)


@pytest.fixture(scope="module")
def trades() -> Events:
    return sample_events("trades", 3_000, seed=1)


def audit_bars(compute: Callable, bars: BarArrays, publication_ms: int = 0):
    sent, known = bars.open_time_ms, bars.open_time_ms + MINUTE + publication_ms
    return audit_delay(compute, bars, sent, known)


def audit_events(compute: Callable, events: Events):
    sent, known = events.time_ns, events.local_time_ns
    return audit_delay(compute, events, sent, known)


# Resampling: the five-minute bar that opens at 12:00 is known at 12:05.


def five_minutes(bars: BarArrays) -> tuple[np.ndarray, np.ndarray]:
    """Open time of each five-minute bar and its close, of the last one so far."""
    opens, first = np.unique(bars.open_time_ms // (5 * MINUTE), return_index=True)
    return opens * 5 * MINUTE, bars.close[np.append(first[1:], len(bars)) - 1]


def labelled_left(bars: BarArrays) -> tuple[np.ndarray, np.ndarray]:
    return five_minutes(bars)


def labelled_right(bars: BarArrays) -> tuple[np.ndarray, np.ndarray]:
    opens, closes = five_minutes(bars)
    return opens + 5 * MINUTE, closes


def joined(bars: BarArrays, labels: np.ndarray, closes: np.ndarray) -> np.ndarray:
    """Each minute's row with the newest five-minute close labelled at or before the minute's own close."""
    source = np.searchsorted(labels, bars.open_time_ms + MINUTE, side="right") - 1
    return np.where(source >= 0, closes[np.maximum(source, 0)], np.nan)


def joined_left(bars: BarArrays) -> np.ndarray:
    return joined(bars, *labelled_left(bars))


def joined_right(bars: BarArrays) -> np.ndarray:
    return joined(bars, *labelled_right(bars))


# Fills at the open: whoever is filled at the open of bar t has seen bar t - 1.


def trend(bars: BarArrays) -> np.ndarray:
    return np.sign(bars.close - bars.open)


def filled_by_the_same_bar(bars: BarArrays) -> np.ndarray:
    return trend(bars)


def filled_by_the_last_bar(bars: BarArrays) -> np.ndarray:
    return np.concatenate(([np.nan], trend(bars)[:-1]))[: len(bars)]


def test_resampling_labelled_left_is_caught(bars: BarArrays) -> None:
    assert not audit_bars(labelled_left, bars).clean
    honest = audit_bars(labelled_right, bars)
    assert honest.clean
    assert honest.compared > 400
    assert honest.in_flight == honest.cuts > 8
    for audit in (audit_truncation, audit_perturbation):
        assert not audit(joined_left, bars, [203, 411]).clean
        assert audit(joined_right, bars, [203, 411]).clean


def test_a_fill_at_the_open_by_the_close_of_the_same_bar_is_caught(bars: BarArrays) -> None:
    cuts = range(100, 600, 37)
    assert not audit_perturbation(filled_by_the_same_bar, bars, cuts, acts_at="open").clean
    honest = audit_perturbation(filled_by_the_last_bar, bars, cuts, acts_at="open")
    assert honest.clean
    assert honest.responded > 1_000
    assert audit_perturbation(filled_by_the_same_bar, bars, cuts).clean  # as a feature, known at the close, it is fine
    # the same with times: an order that claims to be known at the open of its bar
    assert not audit_bars(lambda b: (b.open_time_ms, trend(b)), bars).clean
    assert audit_bars(lambda b: (b.open_time_ms + MINUTE, trend(b)), bars).clean


def test_a_profit_per_bar_hides_that_leak(bars: BarArrays) -> None:
    """Why docs say to audit positions: the bar's own close is in its profit by right."""

    def profit(b: BarArrays) -> np.ndarray:
        return filled_by_the_same_bar(b) * (b.close / b.open - 1)

    assert audit_perturbation(profit, bars, [300]).clean
    assert (profit(bars) >= 0).all()  # the profit of a fool


def test_a_centred_window_and_the_whole_sample_are_caught(bars: BarArrays) -> None:
    known = bars.open_time_ms + MINUTE

    def centred(b: BarArrays) -> tuple[np.ndarray, np.ndarray]:
        return known[: len(b)], np.convolve(b.close, np.ones(5) / 5, mode="same")

    def whole_sample(b: BarArrays) -> tuple[np.ndarray, np.ndarray]:
        return known[: len(b)], (b.close - b.close.mean()) / b.close.std()

    def trailing(b: BarArrays) -> tuple[np.ndarray, np.ndarray]:
        return known[: len(b)], np.array([b.close[max(0, t - 4) : t + 1].mean() for t in range(len(b))])

    for leak in (centred, whole_sample):
        report = audit_bars(leak, bars)
        assert len(report.leaks) == report.cuts > 8
        assert "delay: what came after" in str(report)
    assert audit_bars(trailing, bars).clean


def test_bars_that_are_published_late_must_not_be_used_at_their_close(bars: BarArrays) -> None:
    def at_close(b: BarArrays) -> tuple[np.ndarray, np.ndarray]:
        return b.open_time_ms + MINUTE, b.close

    def when_published(b: BarArrays) -> tuple[np.ndarray, np.ndarray]:
        return b.open_time_ms + MINUTE + 2_000, b.close

    late_by_2s = bars.open_time_ms + MINUTE + 2_000
    moments = (bars.open_time_ms[100:110] + MINUTE + 1_000).tolist()
    assert audit_bars(at_close, bars).clean
    assert not audit_delay(at_close, bars, bars.open_time_ms, late_by_2s, moments).clean
    assert audit_delay(when_published, bars, bars.open_time_ms, late_by_2s, moments).clean


# Events: cut by the exchange's clock, read by ours.


def volume_by_second(events: Events, clock: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Volume of each full second of `clock`, said to be known at the second's end on our clock."""
    seconds, source = np.unique(clock // SECOND_NS, return_inverse=True)
    return (seconds + 1) * SECOND_NS, np.bincount(source, events.columns["qty"], len(seconds))


def test_seconds_cut_by_the_exchanges_clock_are_caught(trades: Events) -> None:
    leaky = audit_events(lambda e: volume_by_second(e, e.time_ns), trades)
    assert not leaky.clean
    assert leaky.in_flight > 12
    honest = audit_events(lambda e: volume_by_second(e, e.local_time_ns), trades)
    assert honest.clean
    assert honest.compared > 300
    assert honest.in_flight == leaky.in_flight


@pytest.mark.parametrize("kind", ["trades", "quotes", "book"])
def test_event_features_sampled_by_the_exchanges_clock_are_caught(kind: str) -> None:
    """Decisions a second apart: an event counts when it was received, not when it was sent."""
    events = sample_events(kind, 3_000, seed=2)
    decisions = np.arange(events.time_ns[0], events.time_ns[-1], SECOND_NS // 7)

    def by_exchange(e: Events) -> tuple[np.ndarray, np.ndarray]:
        return decisions, sample_asof(decisions, e.time_ns, compute_features(e, kind=kind))

    def by_arrival(e: Events) -> tuple[np.ndarray, np.ndarray]:
        return decisions, sample_asof(decisions, e.local_time_ns, compute_features(e, kind=kind))

    assert not audit_events(by_exchange, events).clean
    honest = audit_events(by_arrival, events)
    assert honest.clean, honest
    assert honest.in_flight > 10
    assert honest.compared > 10_000
    assert honest.responded > 10_000


def test_a_row_that_vanishes_or_moves_is_a_leak(bars: BarArrays) -> None:
    def only_rises(b: BarArrays) -> tuple[np.ndarray, np.ndarray]:
        """Leaves out the bars before a fall."""
        keep = np.append(b.close[1:] >= b.close[:-1], True)
        return (b.open_time_ms + MINUTE)[keep], b.close[keep]

    report = audit_bars(only_rises, bars)
    assert not report.clean
    assert all(leak.columns == (0,) for leak in report.leaks)
    nothing = audit_bars(lambda b: (b.open_time_ms + MINUTE, np.full(len(b), np.nan)), bars)
    assert nothing.clean
    assert (nothing.compared, nothing.responded) == (0, 0)


def test_the_report_names_moment_row_and_columns(bars: BarArrays) -> None:
    def second_leaks(b: BarArrays) -> tuple[np.ndarray, np.ndarray]:
        known = b.open_time_ms + MINUTE
        return known, np.stack((b.close, np.append(b.close[1:], np.nan)), axis=1)

    moment = int(bars.open_time_ms[50])
    report = audit_delay(second_leaks, bars, bars.open_time_ms, bars.open_time_ms + MINUTE, [moment])
    assert report.leaks == (Leak("delay", moment, 49, (1,)),)
    assert str(report).startswith(f"delay: what came after {moment} changed row 49, columns 1 (")
    assert report.in_flight == 1


def test_what_cannot_be_audited_is_refused(bars: BarArrays) -> None:
    sent, known = bars.open_time_ms, bars.open_time_ms + MINUTE
    bad: dict[str, Callable] = {
        "without times": lambda b: b.close,
        "not increasing": lambda b: (b.open_time_ms[::-1], b.close),
        "float": lambda b: (b.open_time_ms.astype(float), b.close),
        "one row per time": lambda b: (b.open_time_ms, b.close[1:]),
    }
    for message, compute in bad.items():
        with pytest.raises(InputError, match=message):
            audit_delay(compute, bars, sent, known)
    with pytest.raises(InputError, match="known_at"):
        audit_delay(labelled_left, bars, sent, known[1:])
    with pytest.raises(InputError, match="no moment"):
        audit_delay(labelled_left, bars, sent, known, [])
    with pytest.raises(InputError, match="no moment"):
        audit_delay(lambda b: (np.empty(0, np.int64), np.empty(0)), bars, sent, known)


@pytest.mark.parametrize("kind", KINDS)
def test_changed_rows_are_valid_rows_that_differ_and_the_rest_stays(kind: str) -> None:
    series = sample_series(kind, 400, seed=3)
    changed = np.random.default_rng(0).random(len(series)) < 0.5
    other = perturb(series, changed)
    names = KINDS[kind].fields
    for name in names:
        before, after = getattr(series, name), getattr(other, name)
        assert after[~changed].tobytes() == before[~changed].tobytes()
        missing = np.isnan(before)
        assert np.isnan(after).tolist() == missing.tolist()
        share = (after != before)[changed & ~missing].mean()
        assert share > 0.3 if name == "buyer_is_maker" else share == 1.0
    compute_features(other, kind=kind)  # the kernels refuse rows that cannot be
    if kind == "cross":
        moves = [getattr(other, name)[changed] / getattr(series, name)[changed] for name in ("close", "leader_close")]
        assert abs(np.corrcoef(moves)[0, 1]) < 0.5
    kept = take(series, ~changed)
    assert len(kept) == (~changed).sum()
    for name in (KINDS[kind].time_field, *names):
        assert getattr(kept, name).tobytes() == getattr(series, name)[~changed].tobytes()
