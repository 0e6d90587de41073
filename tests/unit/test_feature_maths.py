"""Own elementary functions: accurate, right at the edges, and the same bits one at a time or many."""

import math
import subprocess
import sys
from collections.abc import Callable

import numpy as np
import pytest
from numba import njit
from scipy import special

from features.maths import cos_turns, exp, log, normal_cdf, sin_turns


@njit(error_model="numpy")
def logs(x: np.ndarray, out: np.ndarray) -> None:
    for t in range(len(x)):
        out[t] = log(x[t])


@njit(error_model="numpy")
def exps(x: np.ndarray, out: np.ndarray) -> None:
    for t in range(len(x)):
        out[t] = exp(x[t])


@njit(error_model="numpy")
def normal_cdfs(x: np.ndarray, out: np.ndarray) -> None:
    for t in range(len(x)):
        out[t] = normal_cdf(x[t])


@njit(error_model="numpy")
def sines(x: np.ndarray, out: np.ndarray) -> None:
    for t in range(len(x)):
        out[t] = sin_turns(x[t])


@njit(error_model="numpy")
def cosines(x: np.ndarray, out: np.ndarray) -> None:
    for t in range(len(x)):
        out[t] = cos_turns(x[t])


def values(function: Callable[[np.ndarray, np.ndarray], None], x: np.ndarray) -> np.ndarray:
    """Of the whole array at once; each value alone must have the same bits."""
    out, alone = np.empty_like(x), np.empty_like(x)
    function(x, out)
    for t in range(0, len(x), 7):
        function(x[t : t + 1], alone[t : t + 1])
    assert alone[::7].tobytes() == out[::7].tobytes()
    return out


def units_off(actual: np.ndarray, exact: np.ndarray) -> float:
    """Largest distance from `exact`, long doubles, in units of the last place of a float64."""
    return float(np.max(np.abs(actual - exact) / np.spacing(np.abs(exact).astype(np.float64))))


RNG = np.random.default_rng(0)
SPREAD = np.concatenate(
    (np.exp(RNG.uniform(-740, 709, 20_000)), np.exp(1e-3 * RNG.standard_normal(20_000)), 1e5 + RNG.random(20_000))
)


def test_log_is_within_one_unit_from_the_smallest_to_the_largest_number() -> None:
    assert units_off(values(logs, SPREAD), np.log(SPREAD.astype(np.longdouble))) < 1.0
    edges = np.array([1.0, 5e-324, np.finfo(float).max, 2.0, 1e-8, 1e6])
    np.testing.assert_allclose(values(logs, edges), [math.log(x) for x in edges], rtol=2e-16)
    assert values(logs, np.ones(1))[0] == 0.0


def test_exp_is_within_about_one_unit_and_ends_softly() -> None:
    x = np.concatenate((RNG.uniform(-700, 700, 20_000), RNG.standard_normal(20_000)))
    assert units_off(values(exps, x), np.exp(x.astype(np.longdouble))) < 1.1
    edges = values(exps, np.array([-1e9, -745.2, 0.0, 709.7, 710.0, 1e9]))
    assert edges.tolist() == [0.0, 0.0, 1.0, math.exp(709.7), math.inf, math.inf]


def test_normal_cdf_is_right_to_the_last_digits_and_far_out() -> None:
    x = np.concatenate((RNG.uniform(-9, 9, 40_000), RNG.standard_normal(20_000)))
    np.testing.assert_allclose(values(normal_cdfs, x), special.ndtr(x), rtol=0, atol=4e-16)
    far = np.linspace(-35, -5, 500)
    np.testing.assert_allclose(values(normal_cdfs, far), special.ndtr(far), rtol=2e-12)
    assert values(normal_cdfs, np.array([-1e9, 0.0, 1e9])).tolist() == [0.0, 0.5, 1.0]


@pytest.mark.parametrize(("function", "reference"), [(sines, np.sin), (cosines, np.cos)])
def test_circle_functions_are_within_two_units_and_exact_at_quarters(function, reference) -> None:
    x = RNG.random(40_000)
    exact = reference(2 * np.longdouble("3.14159265358979323846264338327950288") * x.astype(np.longdouble))
    assert np.max(np.abs(values(function, x) - exact)) < 2.3e-16
    quarters = values(function, np.arange(-4, 5) / 4)
    expected = [0.0, 1.0, 0.0, -1.0] * 3
    start = 0 if function is sines else 1
    assert quarters.tolist() == expected[start : start + 9]


LOOSE_FIRST = """
import sys

import numpy as np
from numba import njit

from features.maths import exp, log, normal_cdf, sin_turns


@njit(error_model="numpy", fastmath=True)
def loose(x, out):
    for t in range(len(x)):
        out[t] = exp(x[t]), log(x[t]), normal_cdf(x[t]), sin_turns(x[t])


x = np.frombuffer(sys.stdin.buffer.read())
out = np.empty((len(x), 4))
loose(x, out)
sys.stdout.buffer.write(out.tobytes())
"""


def test_a_first_caller_with_loose_arithmetic_changes_no_bit() -> None:
    """In a process of its own, for numba keeps what the first caller made of a function."""
    x = RNG.uniform(0.01, 30, 2_000)
    child = subprocess.run([sys.executable, "-c", LOOSE_FIRST], input=x.tobytes(), capture_output=True, check=True)
    expected = np.stack([values(function, x) for function in (exps, logs, normal_cdfs, sines)], axis=1)
    assert child.stdout == expected.tobytes()
