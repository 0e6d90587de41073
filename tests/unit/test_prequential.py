"""The comparison of learning with frozen forecasts: against hand-made cases where the answer is known."""

import numpy as np
import pytest

from data_pipeline.errors import InputError
from supervised.diebold_mariano import diebold_mariano
from supervised.online.prequential import (
    against_best_member,
    compare,
    forgetting,
    gain,
    recovered,
    recovery_rows,
)

ROWS = 3_000


def coins(seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """True P(up) (T,) and what came (T, 1), in bps."""
    random = np.random.default_rng(seed)
    truth = random.uniform(0.3, 0.7, ROWS)
    return truth, np.where(random.random(ROWS) < truth, 3.0, -2.0)[:, None]


def test_the_comparison_counts_only_rows_on_which_both_spoke_and_the_price_moved() -> None:
    truth, y = coins()
    p, frozen = truth[:, None].copy(), np.full((ROWS, 1), 0.5)
    p[:100], frozen[100:200] = np.nan, np.nan
    y[200:300], y[300:400] = 0.0, np.nan
    t1 = np.arange(ROWS)[:, None] + 3
    (found,) = compare(p, frozen, y, t1, (2,))
    rows = np.arange(400, ROWS)
    up = y[rows, 0] > 0
    assert found.rows == len(rows)
    assert found.accuracy == ((p[rows, 0] > 0.5) == up).mean()
    assert found.frozen_log_loss == pytest.approx(np.log(2))
    losses = -np.log(np.where(up, truth[rows], 1 - truth[rows]))
    assert found.log_loss == pytest.approx(losses.mean())
    np.testing.assert_array_equal(found.known_at, rows + 3)  # a score is known when its label has ended
    np.testing.assert_allclose(found.difference, losses - np.log(2))
    assert found.lift == diebold_mariano(losses, np.full(len(rows), np.log(2)), overlap=2)
    assert found.lift.p_value < 1e-3


def test_scores_are_in_the_order_in_which_they_become_known() -> None:
    truth, y = coins()
    t1 = np.arange(ROWS)[::-1, None] + 1
    (found,) = compare(truth[:, None], np.full((ROWS, 1), 0.5), y, t1, (1,))
    assert (np.diff(found.known_at) >= 0).all()
    with pytest.raises(InputError, match="differ; give"):
        compare(truth[:, None], np.full((ROWS, 1), 0.5), y, t1, (1, 5))
    with pytest.raises(InputError, match="horizon 1 has no score"):
        compare(truth[:, None], np.full((ROWS, 1), np.nan), y, t1, (1,))


def test_the_gain_recovered_is_one_at_best_and_minus_one_at_worst() -> None:
    truth, _ = coins()
    assert recovered(truth, truth) == 1.0
    assert recovered(1 - truth, truth) == -1.0
    assert recovered(np.full(ROWS, 0.5), truth) == 0.0
    silent = np.where(np.arange(ROWS) < 1_000, np.nan, truth)
    assert recovered(silent, truth) == 1.0
    assert np.isnan(gain(silent, truth)[:1_000]).all()


@pytest.mark.parametrize("delay", [0, 1, 250, 900])
def test_recovery_is_counted_to_the_end_of_the_first_good_window(delay: int) -> None:
    truth, _ = coins()
    change = 1_500
    p = truth.copy()
    p[change : change + delay] = 1 - truth[change : change + delay]
    rows = recovery_rows(p, truth, change, window=200, share=0.999)
    assert 200 + delay - 3 <= rows <= 200 + delay  # a row whose truth is next to one half hardly counts
    assert recovery_rows(p, truth, change, window=200, share=0.8) <= rows
    assert recovery_rows(1 - truth, truth, change, window=200) is None


def test_what_was_learned_before_the_change_does_not_count_as_recovery() -> None:
    truth, _ = coins()
    p = truth.copy()
    p[1_500:] = 0.5
    assert recovery_rows(p, truth, 1_500, window=200) is None


def test_forgetting_is_the_loss_that_learning_the_second_regime_added() -> None:
    truth, y = coins()
    found = forgetting(truth[:, None], np.full((ROWS, 1), 0.5), 1 - truth[:, None], y)
    assert found.forgotten == pytest.approx(np.log(2) - found.before)
    assert found.after == pytest.approx(np.log(2))
    assert found.before < found.after < found.frozen


def test_each_stretch_is_held_against_the_member_that_was_best_there() -> None:
    truth, y = coins()
    good = np.where(np.arange(ROWS) < 1_500, truth, 1 - truth)
    members = np.stack([good, 1 - good], axis=1)  # they change places half way
    y[::50] = np.nan
    for mixture, sign in ((truth, 0.0), (np.full(ROWS, 0.5), 1.0)):
        found = against_best_member(mixture, members, y[:, 0], 1, rows=490)
        assert len(found) == 6
        if sign:
            assert all(test.statistic > 0 for test in found)
            assert sum(test.p_value < 0.1 for test in found) >= 3
        else:  # the best of each stretch is the truth itself
            assert all(np.isnan(test.statistic) or abs(test.statistic) < 1 for test in found)
