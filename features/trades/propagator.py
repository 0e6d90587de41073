"""A power law as a sum of exponentials, so that its convolution with all past trades takes a few additions a trade."""

from math import exp, log

NODE_RATIO = 3.0
"""Ratio of one exponential's time constant to the next."""
FASTEST = 6.0
"""Rates up to this many times 1 / lag are kept; the weight of faster ones is below e^-6."""
SLOWEST = 10.0
"""Time constant of the slowest exponential, in units of the memory; it stands for all slower ones too."""


def kernel_terms(exponent: float, lag: float, memory: int) -> tuple[list[float], list[float]]:
    """Decays per trade and weights, fastest last, of G(k) = Σ weight · decay^k ≈ (1 + k / lag)^-exponent; G(0) = 1.

    A power is a mixture of exponentials, Γ(a) (1 + x)^-a = ∫ s^(a-1) e^-s e^(-s x) ds; the integral is taken by the
    trapezoidal rule in ln s, which converges geometrically in the width of its nodes. For exponents from 0.2 on and
    up to k = memory the relative error stays under 3 %; beyond about ten memories G dies away.
    """
    rate = lag / (SLOWEST * memory)
    slower = exp(-exponent * log(NODE_RATIO))
    weights = [exp(exponent * log(rate)) * (exp(-rate) + slower / (1.0 - slower))]
    rates = [rate]
    while rates[-1] < FASTEST:
        rate = rates[-1] * NODE_RATIO
        rates.append(rate)
        weights.append(exp(exponent * log(rate) - rate))
    total = sum(weights)
    return [exp(-rate / lag) for rate in rates], [weight / total for weight in weights]
