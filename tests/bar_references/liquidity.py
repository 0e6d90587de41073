"""Slow formulas of the family liquidity (the new ones)."""

import math

import bidask
import numpy as np
import statsmodels.api as sm

from features.config import BarParameters
from tests.bar_references.history import History, Reference, balance, correlation, divide, last, mean, ratio


def roll(x: History, w: int) -> float:
    """Roll 1984, equation (2): 2 √-cov of successive returns; 0 when it is positive."""
    covariance = np.cov(last(x.returns, w), last(x.returns, w, 1))[0, 1]
    return ratio(2 * math.sqrt(max(0.0, -covariance)), x.sigma)


def edge(x: History, w: int) -> float:
    bars = x.bars
    spread = bidask.edge(*(last(v, w + 1) for v in (bars.open, bars.high, bars.low, bars.close)), sign=True)
    return 0.0 if math.isnan(spread) else ratio(spread, x.sigma)


def corwin_schultz(x: History, w: int) -> float:
    """Corwin & Schultz 2012, equations (14) and (18), two bars at a time, negative estimates set to 0."""
    high, low = last(x.log_high, w + 1), last(x.log_low, w + 1)
    k = 3 - 2 * math.sqrt(2)
    spreads = []
    for i in range(w):
        beta = (high[i] - low[i]) ** 2 + (high[i + 1] - low[i + 1]) ** 2
        gamma = (max(high[i : i + 2]) - min(low[i : i + 2])) ** 2
        alpha = (math.sqrt(2 * beta) - math.sqrt(beta)) / k - math.sqrt(gamma / k)
        spreads.append(max(0.0, 2 * (math.exp(alpha) - 1) / (1 + math.exp(alpha))))
    return ratio(mean(spreads), x.sigma)


def abdi_ranaldo(x: History, w: int) -> float:
    """Abdi & Ranaldo 2017, equation (11), a negative mean set to 0."""
    middle = (x.log_high + x.log_low) / 2
    before = last(x.log_close, w, 1)
    terms = (before - last(middle, w, 1)) * (before - last(middle, w))
    return ratio(math.sqrt(max(0.0, 4 * mean(terms))), x.sigma)


def vwap_deviation(x: History, w: int) -> float:
    volume, quote = math.fsum(last(x.bars.volume, w)), math.fsum(last(x.bars.quote_volume, w))
    if volume == 0 or quote == 0:
        return 0.0
    return ratio(math.log(x.bars.close[-1] / (quote / volume)) / math.sqrt(w), x.sigma)


def illiquidity(x: History) -> np.ndarray:
    """Amihud's |r| / Q of every bar but the first, with the return's sign; 0 where Q is 0."""
    return divide(x.returns, x.bars.quote_volume[1:])


def amihud_asymmetry(x: History, n: int) -> float:
    terms = last(illiquidity(x), n)
    up, down = math.fsum(terms[terms > 0]), -math.fsum(terms[terms < 0])
    return ratio(up - down, up + down)


def amihud_of_bar(x: History, n: int) -> float:
    terms, traded = abs(last(illiquidity(x), n)), last(x.bars.quote_volume, n) > 0
    return balance(terms[-1], mean(terms[traded])) if traded[-1] else 0.0


def impact(x: History, w: int) -> float:
    """Slope of the return on taker flow; 0 when the flow is constant."""
    flow, r = last(x.delta, w), last(x.returns, w)
    if correlation(flow, r) == 0:
        return 0.0
    return float(sm.OLS(r, sm.add_constant(flow)).fit().params[1])


def impact_change(x: History) -> float:
    near, far = impact(x, x.p.short), impact(x, x.p.long)
    return ratio(near - far, abs(near) + abs(far))


def square_root_flow(x: History) -> np.ndarray:
    net = x.bars.taker_buy_quote_volume - (x.bars.quote_volume - x.bars.taker_buy_quote_volume)
    return np.sign(net) * np.sqrt(abs(net))


def reversal(x: History, n: int) -> float:
    """Pástor & Stambaugh 2003, equation (1): γ of sign(r) Q on the next return, in standard deviations of both."""
    r, before = last(x.returns, n), last(x.returns, n, 1)
    signed = np.sign(before) * last(x.bars.quote_volume, n, 1)
    if abs(correlation(before, signed)) ** 2 > 1 - 1e-9 or not all(np.var(v) > 0 for v in (r, before, signed)):
        return 0.0
    unit = signed / np.std(signed)
    fit = sm.OLS(r / np.std(r), sm.add_constant(np.column_stack((before / np.std(before), unit)))).fit()
    return float(fit.params[2])


def references(p: BarParameters) -> dict[str, Reference]:
    s, n = p.short, p.long
    return {
        f"roll_spread_{s}": lambda x: roll(x, s),
        f"roll_spread_{n}": lambda x: roll(x, n),
        f"edge_{n}": lambda x: edge(x, n),
        f"corwin_schultz_{s}": lambda x: corwin_schultz(x, s),
        f"abdi_ranaldo_{s}": lambda x: abdi_ranaldo(x, s),
        f"vwap_deviation_{s}": lambda x: vwap_deviation(x, s),
        f"amihud_asymmetry_{n}": lambda x: amihud_asymmetry(x, n),
        f"amihud_1_{n}": lambda x: amihud_of_bar(x, n),
        f"zero_returns_{n}": lambda x: mean(last(x.returns, n) == 0),
        f"hasbrouck_lambda_{n}": lambda x: correlation(last(square_root_flow(x), n), last(x.returns, n)),
        f"kyle_lambda_{s}": lambda x: correlation(last(x.delta, s), last(x.returns, s)),
        f"kyle_lambda_change_{s}_{n}": impact_change,
        f"pastor_stambaugh_{n}": lambda x: reversal(x, n),
    }
