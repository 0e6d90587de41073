"""From a formula for one row to a compiled function over a whole column: `mapped`.

Every column function of the bar engine is called alike:

    function(m, target, d, n, plan, i)

It writes `target[d : d + n]` from columns that lie in the scratch `m`; where, stands in the instruction that starts at
`plan[i]` (slots below). Its constants lie in `m` too.
"""

import inspect
from collections.abc import Callable
from typing import Any

import numpy as np
from numba import njit

OP, DIRECT, TARGET, CONSTANTS, STATE, INPUTS = range(6)
"""Slots of an instruction: operation, whether it writes a feature, where to, its constants, state, input columns."""
MOST_INPUTS = 6
INSTRUCTION = INPUTS + MOST_INPUTS
"""Slots of an instruction in all."""


@njit(error_model="numpy", forceinline=True)
def no_constants(m: np.ndarray, at: int) -> tuple[()]:  # noqa: ARG001  (called like the other two)
    return ()


@njit(error_model="numpy", forceinline=True)
def one_constant(m: np.ndarray, at: int) -> tuple[float]:
    return (m[at],)


@njit(error_model="numpy", forceinline=True)
def two_constants(m: np.ndarray, at: int) -> tuple[float, float]:
    return (m[at], m[at + 1])


@njit(error_model="numpy", forceinline=True)
def three_constants(m: np.ndarray, at: int) -> tuple[float, float, float]:
    return (m[at], m[at + 1], m[at + 2])


CONSTANTS_OF = (no_constants, one_constant, two_constants, three_constants)


def mapped(inputs: int, formula: Callable[..., Any]) -> Callable[..., None]:
    """The column function of `formula(x1, .., x_inputs, constants..)`, a compiled function of floats for one row.

    Written without branches, and with `features.maths` in place of `math`'s functions (`sqrt` apart), the formula
    runs on vectors; a conditional expression is a selection, not a branch, when both sides are plain arithmetic.
    """
    parameters = len(inspect.signature(formula.py_func).parameters)  # type: ignore[attr-defined]
    constants_of = CONSTANTS_OF[parameters - inputs]

    @njit(error_model="numpy")
    def one(m: np.ndarray, target: np.ndarray, d: int, n: int, plan: np.ndarray, i: int) -> None:
        to, a = np.uint64(d), np.uint64(plan[i + INPUTS])
        constants = constants_of(m, plan[i + CONSTANTS])
        for t in range(np.uint64(n)):
            target[to + t] = formula(m[a + t], *constants)

    @njit(error_model="numpy")
    def two(m: np.ndarray, target: np.ndarray, d: int, n: int, plan: np.ndarray, i: int) -> None:
        to, a, b = np.uint64(d), np.uint64(plan[i + INPUTS]), np.uint64(plan[i + INPUTS + 1])
        constants = constants_of(m, plan[i + CONSTANTS])
        for t in range(np.uint64(n)):
            target[to + t] = formula(m[a + t], m[b + t], *constants)

    @njit(error_model="numpy")
    def three(m: np.ndarray, target: np.ndarray, d: int, n: int, plan: np.ndarray, i: int) -> None:
        to, a, b = np.uint64(d), np.uint64(plan[i + INPUTS]), np.uint64(plan[i + INPUTS + 1])
        c = np.uint64(plan[i + INPUTS + 2])
        constants = constants_of(m, plan[i + CONSTANTS])
        for t in range(np.uint64(n)):
            target[to + t] = formula(m[a + t], m[b + t], m[c + t], *constants)

    @njit(error_model="numpy")
    def four(m: np.ndarray, target: np.ndarray, d: int, n: int, plan: np.ndarray, i: int) -> None:
        to, a, b = np.uint64(d), np.uint64(plan[i + INPUTS]), np.uint64(plan[i + INPUTS + 1])
        c, e = np.uint64(plan[i + INPUTS + 2]), np.uint64(plan[i + INPUTS + 3])
        constants = constants_of(m, plan[i + CONSTANTS])
        for t in range(np.uint64(n)):
            target[to + t] = formula(m[a + t], m[b + t], m[c + t], m[e + t], *constants)

    @njit(error_model="numpy")
    def five(m: np.ndarray, target: np.ndarray, d: int, n: int, plan: np.ndarray, i: int) -> None:
        to, a, b = np.uint64(d), np.uint64(plan[i + INPUTS]), np.uint64(plan[i + INPUTS + 1])
        c, e, f = np.uint64(plan[i + INPUTS + 2]), np.uint64(plan[i + INPUTS + 3]), np.uint64(plan[i + INPUTS + 4])
        constants = constants_of(m, plan[i + CONSTANTS])
        for t in range(np.uint64(n)):
            target[to + t] = formula(m[a + t], m[b + t], m[c + t], m[e + t], m[f + t], *constants)

    @njit(error_model="numpy")
    def six(m: np.ndarray, target: np.ndarray, d: int, n: int, plan: np.ndarray, i: int) -> None:
        to, a, b = np.uint64(d), np.uint64(plan[i + INPUTS]), np.uint64(plan[i + INPUTS + 1])
        c, e, f = np.uint64(plan[i + INPUTS + 2]), np.uint64(plan[i + INPUTS + 3]), np.uint64(plan[i + INPUTS + 4])
        g = np.uint64(plan[i + INPUTS + 5])
        constants = constants_of(m, plan[i + CONSTANTS])
        for t in range(np.uint64(n)):
            target[to + t] = formula(m[a + t], m[b + t], m[c + t], m[e + t], m[f + t], m[g + t], *constants)

    return (one, two, three, four, five, six)[inputs - 1]
