"""What an instruction looks like, and how the column functions read it.

A group's column function is called alike in every module of this package:

    group_column(op, m, target, d, n, plan, i)

It writes `target[d : d + n]` from columns that lie in the scratch `m`; where, stands in the instruction that starts at
`plan[i]`. One branch an operation, each a loop over the rows around a formula for one row. Formulas are written without
branches (a conditional expression whose sides are plain arithmetic is a selection) and with `features.maths` in place
of `math`'s functions (`sqrt` apart), so that the compiler can run them on vectors.
"""

import numpy as np
from numba import njit

from features.compiled import FORMULA

OP, DIRECT, TARGET, CONSTANTS, STATE, INPUTS = range(6)
"""Slots: operation, whether it writes a feature, where to, its constants in scratch, its state, input columns."""
MOST_INPUTS = 6
INSTRUCTION = INPUTS + MOST_INPUTS
"""Slots of an instruction in all."""
ONE, TWO, THREE, FOUR, FIVE = (np.uint64(k) for k in range(1, 6))


@njit(**FORMULA)
def inputs(plan: np.ndarray, i: int) -> tuple[np.uint64, ...]:
    """Addresses of the input columns; unsigned, since signed indices may be negative and keep loops from vectors."""
    k = np.uint64(i + INPUTS)
    return (
        np.uint64(plan[k]),
        np.uint64(plan[k + ONE]),
        np.uint64(plan[k + TWO]),
        np.uint64(plan[k + THREE]),
        np.uint64(plan[k + FOUR]),
        np.uint64(plan[k + FIVE]),
    )


@njit(**FORMULA)
def constants(m: np.ndarray, plan: np.ndarray, i: int) -> tuple[float, float]:
    """The first two constants; numbers without meaning where there are fewer."""
    k = np.uint64(plan[np.uint64(i + CONSTANTS)])
    return m[k], m[k + ONE]
