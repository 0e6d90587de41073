"""Learning on pays after a planted change of regime, costs nothing without one, and finds nothing where nothing is.

SYNTHETIC markets, judged by the truth (`supervised.online.study`). docs/online.md states the figures held to here.
"""

import math

import pytest

from supervised.config import MODEL_KINDS
from supervised.online.config import LearningConfig, StudyConfig
from supervised.online.study import StudyResult, run_study

ROWS_TO_RECOVER = dict.fromkeys((*MODEL_KINDS, "linear", "ensemble"), 6_500)
"""Bars after the flip within which 80 % of the best possible gain is back, over the last 1,000 of them."""
FALSE_ALARM_RATE = 1e-3


@pytest.fixture(scope="module")
def flip() -> StudyResult:
    return run_study(StudyConfig("flip", kinds=MODEL_KINDS, before=3_000, after=9_000), LearningConfig(drift="adwin"))


@pytest.mark.slow
@pytest.mark.parametrize("horizon", [1, 5])
def test_after_a_flip_those_who_learn_recover_and_the_frozen_do_not(flip: StudyResult, horizon: int) -> None:
    for name, limit in ROWS_TO_RECOVER.items():
        recovery = flip.of(name, horizon).recovery
        assert recovery is not None, name
        assert recovery <= limit, (name, recovery)
    for kind in MODEL_KINDS:
        frozen = flip.of(f"{kind} as trained", horizon)
        assert frozen.recovery is None, kind
        assert frozen.before > 0.5, kind
        assert frozen.after < flip.of(kind, horizon).after - 0.2, kind
    assert flip.of("tcn as trained", horizon).before > 0.7
    assert flip.of("tcn as trained", horizon).after < 0.3
    model, mixed = (flip.of(name, horizon).against_frozen for name in ("tcn", "ensemble"))
    assert model is not None
    assert model.accuracy > model.frozen_accuracy + 0.01
    assert mixed is not None
    assert mixed.log_loss < mixed.frozen_log_loss
    assert mixed.lift.p_value < 1e-3


@pytest.mark.slow
def test_the_ensemble_is_nowhere_worse_than_the_best_member_beyond_noise(flip: StudyResult) -> None:
    """Before, at and after the flip, against whoever was best on each stretch of 1,000 bars, by hindsight."""
    tests = [test for found in flip.stretches.values() for test in found]
    assert len(tests) >= 20
    worse = [test for test in tests if test.statistic > 0 and test.p_value < FALSE_ALARM_RATE / len(tests)]
    assert worse == []


@pytest.mark.slow
def test_what_the_second_regime_costs_on_the_first_is_measured(flip: StudyResult) -> None:
    lost = flip.forgotten["tcn"]
    assert lost.before < math.log(2)
    assert lost.forgotten > 0.01  # the regimes contradict each other: to learn one is to unlearn the other
    assert flip.counts["tcn"].drifts >= 1


@pytest.mark.slow
@pytest.mark.parametrize("setting", ["stationary", "no_edge"])
def test_without_a_change_learning_costs_nothing_and_without_an_edge_it_earns_nothing(setting: str) -> None:
    config = StudyConfig(setting, before=3_000, after=3_000)  # type: ignore[arg-type]
    found = run_study(config, LearningConfig(drift="adwin"))
    for horizon in config.horizons:
        lift = found.of("ensemble", horizon).against_frozen
        assert lift is not None
        worse = lift.lift.statistic > 0 and lift.lift.p_value < FALSE_ALARM_RATE
        assert not worse, lift.lift
        if setting == "no_edge":
            spread = math.sqrt(0.25 * horizon / lift.rows)  # of the accuracy of coins whose labels overlap
            assert lift.accuracy < 0.5 + 4 * spread
            assert lift.log_loss > math.log(2) - 2e-3
        else:
            assert found.of("ensemble", horizon).after > 0.8
