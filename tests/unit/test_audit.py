"""The audits catch planted leaks, pass what is honest, and say when they had nothing to compare."""

import numpy as np
import pytest

from data_pipeline.config import SyntheticConfig
from data_pipeline.errors import InputError
from data_pipeline.schema import BarArrays, bar_arrays
from data_pipeline.synthetic import synthetic_market
from features.audit import Leak, audit_perturbation, audit_truncation, perturb_future
from features.scaling import Scaler

CUTS = (40, 333, 799)


@pytest.fixture(scope="module")
def bars() -> BarArrays:
    return bar_arrays(synthetic_market(SyntheticConfig(bars=800, seed=4)).bars)


def trailing_mean(bars: BarArrays) -> np.ndarray:
    """Honest: the last ten closes, NaN until there are ten."""
    out = np.full((len(bars), 2), np.nan)
    for t in range(9, len(bars)):
        out[t] = bars.close[t - 9 : t + 1].mean(), bars.volume[t]
    return out


def centred_window(bars: BarArrays) -> np.ndarray:
    out = trailing_mean(bars)
    for t in range(9, len(bars)):
        out[t, 1] = bars.close[max(0, t - 2) : t + 3].mean()
    return out


def full_sample_normalisation(bars: BarArrays) -> np.ndarray:
    X = trailing_mean(bars)
    return (X - np.nanmean(X, axis=0)) / np.nanstd(X, axis=0)


def full_sample_scaler(bars: BarArrays) -> np.ndarray:
    X = trailing_mean(bars)
    return Scaler.fit(X, slice(None)).transform(X)


def rank_in_the_whole_sample(bars: BarArrays) -> np.ndarray:
    return bars.volume.argsort().argsort().astype(np.int64)


def maximum_to_come(bars: BarArrays) -> np.ndarray:
    return np.maximum.accumulate(bars.high[::-1])[::-1]


def next_close(bars: BarArrays) -> np.ndarray:
    return np.append(bars.close[1:], np.nan)


def filled_backwards(bars: BarArrays) -> np.ndarray:
    """A leak that hides in the warm-up: NaN at the start are filled with the first value that comes."""
    X = trailing_mean(bars)
    X[:9] = X[9] if len(bars) > 9 else np.nan
    return X


LEAKS = [
    centred_window,
    full_sample_normalisation,
    full_sample_scaler,
    rank_in_the_whole_sample,
    maximum_to_come,
    next_close,
]


def test_an_honest_function_passes_and_the_reports_say_how_much_was_compared(bars: BarArrays) -> None:
    truncation = audit_truncation(trailing_mean, bars, CUTS)
    perturbation = audit_perturbation(trailing_mean, bars, CUTS)
    assert truncation.clean
    assert perturbation.clean
    assert truncation.compared == perturbation.compared == 2 * sum(cut - 9 for cut in CUTS)
    assert perturbation.responded == 2 * sum(len(bars) - cut for cut in CUTS)
    assert str(truncation) == f"no look-ahead found ({truncation.compared} values compared)"


@pytest.mark.parametrize("leak", LEAKS)
@pytest.mark.parametrize("audit", [audit_truncation, audit_perturbation])
def test_planted_leaks_are_caught(bars: BarArrays, leak, audit) -> None:
    report = audit(leak, bars, CUTS)
    assert not report.clean
    for found in report.leaks:
        assert found.row < found.cut


def test_a_leak_into_the_warm_up_is_caught_at_a_cut_before_it(bars: BarArrays) -> None:
    assert audit_truncation(filled_backwards, bars, CUTS).clean
    assert not audit_truncation(filled_backwards, bars, [5]).clean
    assert not audit_perturbation(filled_backwards, bars, [5]).clean


def test_the_report_names_row_and_columns(bars: BarArrays) -> None:
    report = audit_perturbation(centred_window, bars, [333])
    assert report.leaks == (Leak("perturbation", 333, 331, (1,)),)
    assert str(report).startswith("perturbation: rows from 333 on changed row 331, columns 1 (")


def test_a_single_bit_is_a_leak(bars: BarArrays) -> None:
    def one_bit(bars: BarArrays) -> np.ndarray:
        out = bars.close.copy()
        out[0] = np.nextafter(out[0], np.inf) if bars.volume[-1] == last else out[0]
        return out

    last = bars.volume[-1]
    assert [leak.row for leak in audit_truncation(one_bit, bars, [333]).leaks] == [0]
    assert [leak.row for leak in audit_perturbation(one_bit, bars, [333]).leaks] == [0]


def test_an_audit_of_nothing_says_so(bars: BarArrays) -> None:
    nothing = audit_perturbation(lambda b: np.full((len(b), 3), np.nan), bars, CUTS)
    assert nothing.clean
    assert (nothing.compared, nothing.responded) == (0, 0)
    deaf = audit_perturbation(lambda b: np.ones(len(b), dtype=np.float32), bars, CUTS)
    assert deaf.clean
    assert (deaf.compared, deaf.responded) == (sum(CUTS), 0)


def test_perturbed_bars_are_valid_bars_that_differ_everywhere_after_the_cut(bars: BarArrays) -> None:
    other = perturb_future(bars, 300)
    for name in BarArrays.__slots__:
        before, after = getattr(bars, name), getattr(other, name)
        assert after[:300].tobytes() == before[:300].tobytes()
        changed = after[300:] != before[300:]
        assert not changed.any() if name == "open_time_ms" else changed[before[300:] != 0].all()
    assert (other.low > 0).all()
    assert (other.low <= np.minimum(other.open, other.close)).all()
    assert (other.high >= np.maximum(other.open, other.close)).all()
    assert (other.taker_buy_volume <= other.volume).all()
    again, differently = perturb_future(bars, 300), perturb_future(bars, 300, seed=1)
    assert again.close.tobytes() == other.close.tobytes() != differently.close.tobytes()


def test_what_cannot_be_audited_is_refused(bars: BarArrays) -> None:
    for audit in (audit_truncation, audit_perturbation):
        for cuts in ([], [0], [len(bars)]):
            with pytest.raises(InputError, match="cut"):
                audit(trailing_mean, bars, cuts)
        with pytest.raises(InputError, match="one row per bar"):
            audit(lambda b: b.close[1:], bars, CUTS)
        with pytest.raises(InputError, match="one row per bar"):
            audit(lambda b: b.close.mean(), bars, CUTS)
    with pytest.raises(InputError, match="columns"):
        audit_truncation(lambda b: np.ones((len(b), 1 + (len(b) > 400))), bars, CUTS)
