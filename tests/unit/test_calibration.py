"""Temperatures make probabilities true; the decomposition of a score tells calibration from knowledge."""

import numpy as np
import pytest
import torch
from scipy.special import expit, softmax

from supervised.calibration import decompose, fit_temperature
from supervised.outputs import Bracket, OutputLayout

LAYOUT = OutputLayout((1, 5), (Bracket(20.0, 10.0, 30), Bracket(20.0, 10.0, 30, side=-1)))


def test_temperature_recovers_known_factors_of_every_head() -> None:
    """Directions and outcomes drawn from logits; what is fitted sees them times a factor of their own."""
    random = np.random.default_rng(0)
    rows, factors = 30_000, (3.0, 0.5, 2.0, 0.8)
    logits = random.standard_normal((rows, LAYOUT.size))
    up = random.random((rows, 2)) < expit(logits[:, :2])
    targets = np.empty((rows, LAYOUT.targets))
    targets[:, :2] = np.where(up, 3.0, -0.5)
    for number in range(2):
        p = softmax(logits[:, 4 + 3 * number : 7 + 3 * number], axis=1)
        targets[:, 2 + number] = (random.random((rows, 1)) > p.cumsum(axis=1)).sum(axis=1) - 1
    targets[:10] = np.nan
    scaled = logits * np.array([*factors[:2], 1.0, 1.0, *[factors[2]] * 3, *[factors[3]] * 3])
    found = fit_temperature(torch.from_numpy(scaled), torch.from_numpy(targets), LAYOUT).numpy()
    np.testing.assert_allclose(found[:2], factors[:2], rtol=0.05)
    np.testing.assert_array_equal(found[2:4], 1.0)  # moves are in units and have none
    np.testing.assert_allclose(found[4:], np.repeat(factors[2:], 3), rtol=0.05)


def test_nothing_known_keeps_one() -> None:
    nothing = fit_temperature(torch.zeros(3, LAYOUT.size), torch.full((3, LAYOUT.targets), torch.nan), LAYOUT)
    np.testing.assert_array_equal(nothing, 1.0)


def draws(rows: int = 40_000) -> tuple[np.ndarray, np.ndarray]:
    """True probabilities, and what happened."""
    random = np.random.default_rng(1)
    p = expit(0.5 * random.standard_normal(rows))
    return p, random.random(rows) < p


def test_calibrated_forecasts_have_no_miscalibration_and_the_right_discrimination() -> None:
    p, up = draws()
    brier, log_loss = decompose(p, up)
    assert brier.score == pytest.approx(np.mean((p - up) ** 2))
    assert log_loss.score == pytest.approx(-np.mean(np.log(np.where(up, p, 1 - p))))
    for found, true_discrimination in ((brier, np.var(p)), (log_loss, None)):
        assert found.miscalibration - found.discrimination + found.uncertainty == pytest.approx(found.score)
        assert 0 <= found.miscalibration < 10 / len(p) * np.log(len(p))
        if true_discrimination is not None:
            assert found.discrimination == pytest.approx(true_discrimination, rel=0.1)


def test_overconfidence_is_miscalibration_and_nothing_else() -> None:
    """A monotone change of the forecasts leaves the order, and with it the discrimination, as it was."""
    p, up = draws()
    loud = expit(3 * np.log(p / (1 - p)))
    for honest, boastful in zip(decompose(p, up), decompose(loud, up), strict=True):
        assert boastful.discrimination == pytest.approx(honest.discrimination, abs=1e-12)
        assert boastful.miscalibration > 10 * honest.miscalibration
        assert boastful.uncertainty == honest.uncertainty


def test_of_no_rows_nothing_is_known() -> None:
    brier, log_loss = decompose(np.empty(0), np.empty(0, dtype=bool))
    assert np.isnan([brier.score, log_loss.miscalibration]).all()


def test_a_constant_tells_nothing_apart() -> None:
    _, up = draws(1_000)
    for found in decompose(np.full(1_000, 0.7), up):
        assert found.discrimination == pytest.approx(0.0, abs=1e-12)
        assert found.miscalibration > 0.01
