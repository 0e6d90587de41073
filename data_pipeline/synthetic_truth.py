"""What can be known about the synthetic market: the exact filter of its hidden state, and the best accuracy it allows.

With z_t the standardised return and u_t = logit(taker-buy share) - a z_t, both shown by the bars once sigma is known,

    z_t = kappa s_{t-1} + eps_t,    s_t = phi s_{t-1} + sqrt(1 - phi^2) eta_t,    u_t = b s_t + c xi_t

is a linear Gaussian system, so the Kalman filter (Kalman 1960) is the Bayes-optimal reading of the state; nothing else
in the bars depends on it. A trader who has to estimate sigma can only do worse: the figures here are upper bounds.
"""

import math

import numba
import numpy as np
from scipy.special import ndtr

from data_pipeline.config import SyntheticConfig
from data_pipeline.errors import InputError
from data_pipeline.schema import BarArrays


def filter_state(bars: BarArrays, sigma: np.ndarray, config: SyntheticConfig, drift: float) -> np.ndarray:
    """E[s_t | bars 0..t, sigma], float64 (T,). `drift` is what the log return lost per unit of sigma squared."""
    previous = np.concatenate(([config.initial_price], bars.close[:-1]))
    z = np.log(bars.close / previous) / sigma + drift * sigma
    reading = np.log(bars.taker_buy_volume / (bars.volume - bars.taker_buy_volume)) - config.reading_return * z
    reading[config.flip_bar if config.flip_bar is not None else len(reading) :] *= -1.0
    return _kalman(z, reading, config.kappa, config.state_memory, config.reading_gain, config.reading_noise)


@numba.njit(cache=True)
def _kalman(z: np.ndarray, reading: np.ndarray, kappa: float, phi: float, gain: float, noise: float) -> np.ndarray:
    mean, variance = 0.0, 1.0
    out = np.empty(len(z))
    for t in range(len(z)):
        weight = variance * kappa / (1.0 + kappa * kappa * variance)
        mean += weight * (z[t] - kappa * mean)
        variance *= 1.0 - weight * kappa
        mean *= phi
        variance = phi * phi * variance + 1.0 - phi * phi
        weight = variance * gain / (gain * gain * variance + noise * noise)
        mean += weight * (reading[t] - gain * mean)
        variance *= 1.0 - weight * gain
        out[t] = mean
    return out


def posterior_variance(config: SyntheticConfig) -> float:
    """Var[s_t | bars 0..t] once the filter has settled: the positive root of its Riccati equation.

    With A = phi^2, Q = 1 - phi^2, k = kappa^2 and m = (b/c)^2, one step maps P to M / (1 + m M) where
    M = A P / (1 + k P) + Q; the fixed point solves (k + m A + m k Q) P^2 + (1 + m Q - A - k Q) P - Q = 0.
    """
    a = config.state_memory**2
    q, k = 1.0 - a, config.kappa**2
    m = (config.reading_gain / config.reading_noise) ** 2
    square, linear = k + m * a + m * k * q, 1.0 + m * q - a - k * q
    if square == 0.0:  # nothing reads the state: it stays as uncertain as at the start
        return 1.0
    # The form without cancellation; square > 0 and the constant term is negative, so exactly one root is positive.
    return 2.0 * q / (linear + math.sqrt(linear**2 + 4.0 * square * q))


def probability_up(filtered: np.ndarray, horizon: int, config: SyntheticConfig) -> np.ndarray:
    """P(label > 0 | filtered state), float64 (T,), for bars of equal volatility after row t."""
    check_horizon(horizon)
    phi = config.state_memory
    slope = config.kappa * (1.0 - phi**horizon) / (1.0 - phi)
    lags = np.abs(np.subtract.outer(np.arange(horizon), np.arange(horizon)))
    variance = horizon + config.kappa**2 * float(np.sum(phi**lags)) - slope**2 * (1.0 - posterior_variance(config))
    return ndtr(slope * filtered / math.sqrt(variance))


def realised_accuracy(filtered: np.ndarray, open_: np.ndarray, horizon: int, start: int, stop: int | None) -> float:
    """Share of rows [start, stop) on which the filtered state has the sign of ln(open[t+1+h]/open[t+1])."""
    check_horizon(horizon)
    last = len(open_) - 1 - horizon
    rows = np.arange(start, last if stop is None else min(stop, last))
    label = np.sign(open_[rows + 1 + horizon] - open_[rows + 1]) if len(rows) else np.empty(0)
    known = label != 0.0
    if not known.any():
        raise InputError(
            f"no label of horizon {horizon} is known in rows {start}-{stop}",
            where="synthetic market",
            remedy="add bars",
        )
    return float(np.mean(np.sign(filtered[rows[known]]) == label[known]))


def expected_accuracy(
    sigma: np.ndarray, horizon: int, config: SyntheticConfig, gap_variance: float, start: int, stop: int | None
) -> float:
    """Mean over rows [start, stop) of 1/2 + asin(rho_t) / pi, the chance that two Gaussians of correlation rho_t agree.

    rho_t is the correlation of the filtered state with the label given the volatility path sigma_{t+1..t+1+h}:
    rho_t^2 = (1 - P) (kappa sum_i sigma_{t+i} phi^(i-1))^2 / Var(label), where P is `posterior_variance`.
    """
    check_horizon(horizon)
    last = len(sigma) - 1 - horizon
    stop = last if stop is None else min(stop, last)
    if not 0 <= start < stop:
        raise InputError(
            f"no label of horizon {horizon} is known in rows {start}-{stop}",
            where="synthetic market",
            remedy="add bars",
        )
    known = 1.0 - posterior_variance(config)
    correlation = _correlations(sigma, horizon, config.kappa, config.state_memory, gap_variance, start, stop)
    return float(np.mean(0.5 + np.arcsin(math.sqrt(known) * correlation) / math.pi))


@numba.njit(cache=True)
def _correlations(
    sigma: np.ndarray, horizon: int, kappa: float, phi: float, gap_variance: float, start: int, stop: int
) -> np.ndarray:
    """Correlation of s_t with the label of row t for each t in [start, stop), given the volatility path."""
    out = np.empty(stop - start)
    for t in range(start, stop):
        pull, discount, noise, tail, moved = 0.0, 1.0, 0.0, 0.0, 0.0
        for i in range(t + 1, t + 1 + horizon):
            pull += sigma[i] * discount  # sum sigma_i phi^(i-1)
            discount *= phi
            noise += sigma[i] * sigma[i]
            moved += sigma[i] * (sigma[i] + 2.0 * phi * tail)  # double sum of sigma_i sigma_j phi^|i-j|
            tail = phi * tail + sigma[i]
        # The label starts after the first bar's opening gap and ends after the one that follows the last bar.
        noise += gap_variance * (sigma[t + 1 + horizon] ** 2 - sigma[t + 1] ** 2)
        out[t - start] = kappa * pull / math.sqrt(noise + kappa * kappa * moved)
    return out


def check_horizon(horizon: int) -> None:
    """Raise InputError unless `horizon` is a whole number of bars, at least 1."""
    if horizon < 1:
        raise InputError(f"horizon {horizon} is below one bar", where="synthetic market", remedy="use 1 or more")
