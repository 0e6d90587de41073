"""Own logarithm, exponential, normal distribution function and circle functions: plain IEEE arithmetic, no branches.

Those of the system's library differ from machine to machine in the last bit, and are called one value at a time. These
are made of additions, multiplications, divisions and selections only, each rounded once: the same bits everywhere,
whether LLVM runs them on one value or on a vector register full of them. `fastmath=False` is stated on each: where it
is not, numba takes the setting of the function that calls it first, and keeps it for every caller after that.
"""

import math
from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba import njit, types
from numba.extending import intrinsic

from features.vectors import exponent_and_mantissa, select

LN2_HIGH = float.fromhex("0x1.62e42feep-1")
"""ln 2 without its last 21 bits: whole multiples of it, up to the largest exponent, are exact."""
LN2_LOW = float.fromhex("0x1.a39ef35793c76p-33")
ROUNDER = 1.5 * 2.0**52
"""Adding and taking it away again rounds to the nearest whole number, for magnitudes below 2^51."""
SUBNORMAL = 2.0**-1022
TWO_54 = 2.0**54


def _bitcast(source: types.Type, target: types.Type, llvm: ir.Type) -> Callable[..., Any]:
    """Compiled function that reads the bits of a `source` as a `target` of the same size."""

    def cast(typing: Any, value: Any) -> Any:  # noqa: ARG001  (the names numba asks for)
        return target(source), lambda _, builder, __, args: builder.bitcast(args[0], llvm)

    return intrinsic(cast)


float_bits = _bitcast(types.float64, types.int64, ir.IntType(64))
bits_float = _bitcast(types.int64, types.float64, ir.DoubleType())


@njit(error_model="numpy", fastmath=False, forceinline=True)
def log(x: float) -> float:
    """Natural logarithm of a positive, finite float64, subnormal ones included; error below 1 unit in the last place.

    x = 2^k m with √½ <= m < √2, then the series of fdlibm's `log` in s = (m - 1) / (m + 1). No meaning for x <= 0,
    infinity or NaN. Takes a vector (`features.vectors`) as well.
    """
    tiny = x < SUBNORMAL
    exponent, mantissa = exponent_and_mantissa(select(tiny, x * TWO_54, x))
    f = mantissa - 1.0
    k = exponent - select(tiny, 54.0, 0.0)
    s = f / (2.0 + f)
    z = s * s
    w = z * z
    even = w * (0.3999999999940941908 + w * (0.2222219843214978396 + w * 0.1531383769920937332))
    odd = z * (
        0.6666666666666735130 + w * (0.2857142874366239149 + w * (0.1818357216161805012 + w * 0.1479819860511658591))
    )
    half = 0.5 * f * f
    return k * LN2_HIGH - ((half - (s * (half + (even + odd)) + k * LN2_LOW)) - f)


@njit(error_model="numpy", fastmath=False, forceinline=True)
def exp(x: float) -> float:
    """e^x; error of about 1 unit in the last place. 0 below -745.2 and infinity above 709.8; no meaning for NaN.

    x = k ln 2 + r with |r| <= ½ ln 2, then the rational series of fdlibm's `exp` in r.
    """
    clipped = min(max(x, -1000.0), 1000.0)
    k = (clipped * (1.0 / math.log(2.0)) + ROUNDER) - ROUNDER
    high = clipped - k * LN2_HIGH
    low = k * LN2_LOW
    r = high - low
    z = r * r
    c = r - z * (
        0.166666666666666019037
        + z
        * (
            -0.00277777777770155933842
            + z
            * (0.0000661375632143793436117 + z * (-0.00000165339022054652515390 + z * 0.0000000413813679705723846039))
        )
    )
    value = 1.0 - ((low - (r * c) / (2.0 - c)) - high)
    whole = int(k)
    first = whole >> 1
    return value * bits_float((first + 1023) << 52) * bits_float((whole - first + 1023) << 52)


@njit(error_model="numpy", fastmath=False, forceinline=True)
def normal_cdf(x: float) -> float:
    """Distribution function of the standard normal; absolute error below 4e-16. No meaning for NaN.

    Φ(-z √2) = ½ erfc(z) with (1 + 2z) e^(z²) erfc(z) as a polynomial in (z - 3.75) / (z + 3.75) for z >= 0 (Shepherd &
    Laframboise 1981; coefficients by Chebyshev interpolation in 40 digits, error 6e-18).
    """
    z = min(abs(x) * math.sqrt(0.5), 40.0)
    y = (z - 3.75) / (z + 3.75)
    scaled = 4.434959070009628e-10
    scaled = scaled * y + 3.110310719839165e-10
    scaled = scaled * y - 5.28428697963142e-09
    scaled = scaled * y - 3.743568033634583e-09
    scaled = scaled * y + 3.8965452548985966e-08
    scaled = scaled * y + 2.3261913276696566e-08
    scaled = scaled * y - 2.591069687796658e-07
    scaled = scaled * y - 5.721597255990987e-08
    scaled = scaled * y + 1.752057970166318e-06
    scaled = scaled * y - 9.735619015182663e-07
    scaled = scaled * y - 1.1444412439171722e-05
    scaled = scaled * y + 2.2384240314224437e-05
    scaled = scaled * y + 5.1649211390702855e-05
    scaled = scaled * y - 0.0002901540809795271
    scaled = scaled * y + 0.0002937136342850081
    scaled = scaled * y + 0.0017556258530017257
    scaled = scaled * y - 0.009746579552504244
    scaled = scaled * y + 0.028362277418940665
    scaled = scaled * y - 0.058693398590212366
    scaled = scaled * y + 0.09230432116037876
    scaled = scaled * y - 0.10880393014171785
    scaled = scaled * y + 0.08227673849014516
    scaled = scaled * y + 0.003585415485463775
    scaled = scaled * y - 0.14024059858554697
    scaled = scaled * y + 1.2375126308378275
    tail = 0.5 * scaled * exp(-z * z) / (1.0 + 2.0 * z)
    return tail if x < 0.0 else 1.0 - tail


@njit(error_model="numpy", fastmath=False, forceinline=True)
def sin_turns(x: float) -> float:
    """sin(2πx), exact at quarters of a turn, error below 2 units in the last place; |x| < 2^40."""
    return _circle(x, 0)


@njit(error_model="numpy", fastmath=False, forceinline=True)
def cos_turns(x: float) -> float:
    """cos(2πx), exact at quarters of a turn, error below 2 units in the last place; |x| < 2^40."""
    return _circle(x, 1)


@njit(error_model="numpy", fastmath=False, forceinline=True)
def _circle(x: float, quarters: int) -> float:
    """sin(2π (x + quarters / 4)): fdlibm's series on the eighth of a turn around the nearest quarter."""
    nearest = (4.0 * x + ROUNDER) - ROUNDER
    angle = 2.0 * math.pi * (x - 0.25 * nearest)
    z = angle * angle
    sine = angle + angle * z * (
        -0.166666666666666324348
        + z
        * (
            0.00833333333332248946124
            + z
            * (
                -0.000198412698298579493134
                + z
                * (0.00000275573137070700676789 + z * (-2.50507602534068634195e-08 + z * 1.58969099521155010221e-10))
            )
        )
    )
    cosine = 1.0 - (
        0.5 * z
        - z
        * z
        * (
            0.0416666666666666019037
            + z
            * (
                -0.00138888888888741095749
                + z
                * (
                    0.0000248015872894767294178
                    + z
                    * (-2.75573143513906633035e-07 + z * (2.08757232129817482790e-09 - z * 1.13596475577881948265e-11))
                )
            )
        )
    )
    quarter = int(nearest) + quarters
    value = cosine if quarter & 1 else sine
    return -value if quarter & 2 else value
