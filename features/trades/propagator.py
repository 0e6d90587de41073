"""A power law as a sum of exponentials, so that its convolution with all past trades takes a few additions a trade."""

from decimal import Decimal, localcontext

NODE_RATIO = 3
"""Ratio of one exponential's time constant to the next."""
FASTEST = 6
"""Rates up to this many times 1 / lag are kept; the weight of faster ones is below e^-6."""
SLOWEST = 100
"""Time constant of the slowest exponential, in units of the memory; it stands for all slower ones too."""
DIGITS = 30
"""Decimal places of the calculation: its exponentials are then the same floats on every machine."""


def kernel_terms(exponent: float, lag: float, memory: int) -> tuple[list[float], list[float]]:
    """Decays per trade and weights, fastest last, of G(k) = Σ weight · decay^k ≈ (1 + k / lag)^-exponent; G(0) = 1.

    A power is a mixture of exponentials, Γ(a) (1 + x)^-a = ∫ s^(a-1) e^-s e^(-s x) ds; the integral is taken by the
    trapezoidal rule in ln s, which converges geometrically in the width of its nodes. For exponents from 0.1 on and
    up to k = memory the relative error stays under 1 %; far beyond that G dies away as its slowest term does.
    """
    with localcontext(prec=DIGITS):
        power, scale = Decimal(exponent), Decimal(lag)
        rates = [scale / (SLOWEST * memory)]
        while rates[-1] < FASTEST:
            rates.append(rates[-1] * NODE_RATIO)
        weights = [(power * rate.ln() - rate).exp() for rate in rates]
        slower = (-power * Decimal(NODE_RATIO).ln()).exp()
        weights[0] += (power * rates[0].ln()).exp() * slower / (1 - slower)
        total = sum(weights)
        return [float((-rate / scale).exp()) for rate in rates], [float(weight / total) for weight in weights]
