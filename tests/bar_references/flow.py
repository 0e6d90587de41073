"""Slow formulas of the families flow, activity and time (the new ones)."""

import math

import numpy as np
from scipy import stats

from features.config import BarParameters
from tests.bar_references.history import History, Reference, balance, correlation, divide, last, mean, ratio


def share(part: np.ndarray, whole: np.ndarray, w: int) -> float:
    return ratio(math.fsum(last(part, w)), math.fsum(last(whole, w)))


def bulk(x: History, count: int) -> np.ndarray:
    """Bulk volume classification: bought less sold share of each of the last bars (Easley et al. 2012)."""
    z = divide(last(x.returns, count), last(x.sigmas, count))
    return stats.norm.cdf(z) - stats.norm.sf(z)


def divergence(x: History, w: int) -> float:
    delta, r = last(x.delta, w), last(x.returns, w)
    standardised = [ratio(math.fsum(v), math.sqrt(math.fsum(v**2))) for v in (delta, r)]
    return standardised[0] - standardised[1]


def taker_price_gap(x: History, w: int) -> float:
    bars = x.bars
    bought, bought_quote = last(bars.taker_buy_volume, w), last(bars.taker_buy_quote_volume, w)
    sold = math.fsum(last(bars.volume, w) - bought)
    sold_quote = math.fsum(last(bars.quote_volume, w) - bought_quote)
    amounts = (math.fsum(bought), math.fsum(bought_quote), sold, sold_quote)
    if min(amounts) <= 0:
        return 0.0
    gap = math.log(amounts[1] / amounts[0] * (sold / sold_quote))
    bound = max(last(x.log_high, w)) - min(last(x.log_low, w))
    return ratio(min(bound, max(-bound, gap)) / math.sqrt(w), x.sigma)


def money_flow(x: History, w: int) -> float:
    typical = (x.bars.high + x.bars.low + x.bars.close) / 3
    flow = last((typical * x.bars.volume)[1:], w)
    change = last(np.diff(typical), w)
    up, down = math.fsum(flow[change > 0]), math.fsum(flow[change < 0])
    return ratio(up - down, up + down)


def accumulation(x: History, w: int) -> float:
    high, low, close = (last(v, w) for v in (x.bars.high, x.bars.low, x.bars.close))
    volume = last(x.bars.volume, w)
    return ratio(math.fsum(divide(2 * close - high - low, high - low) * volume), math.fsum(volume))


def season(x: History, values: np.ndarray) -> float:
    """z-score of the newest value among those of the same minute of the days before and itself."""
    span = x.p.day * x.p.days + 1
    same = last(values, span)[:: x.p.day]
    return float(stats.zscore(same, ddof=1)[-1]) if np.ptp(same) > 0 else 0.0


def concentration(x: History, w: int) -> float:
    volume = last(x.bars.volume, w)
    shares = divide(volume, np.full(w, math.fsum(volume)))
    return (w * math.fsum(shares**2) - 1) / (w - 1) if volume.any() else 0.0


def volume_centre(x: History, w: int) -> float:
    volume = last(x.bars.volume, w)
    return float(np.average(np.linspace(-1, 1, w), weights=volume)) if volume.any() else 0.0


def trade_size(x: History, w: int) -> float:
    return ratio(math.fsum(last(x.bars.volume, w)), math.fsum(last(x.bars.trades, w)))


def angle(x: History, period_ms: int, offset_ms: int = 0) -> float:
    close_ms = int(x.bars.open_time_ms[-1]) + x.p.interval_ms
    return 2 * math.pi * ((close_ms + offset_ms) % period_ms) / period_ms


def references(p: BarParameters) -> dict[str, Reference]:
    s, n = p.short, p.long
    hour = 3_600_000
    monday = 3 * 24 * hour  # 1970 began on a Thursday
    phases = {"time_of_week": (168 * hour, monday), "quarter_hour": (hour // 4, 0), "funding": (8 * hour, 0)}
    table: dict[str, Reference] = {
        f"imbalance_autocorrelation_{n}": lambda x: correlation(last(x.imbalance, n), last(x.imbalance, n, 1)),
        f"imbalance_lead_{n}": lambda x: correlation(last(x.returns, n), last(x.imbalance, n, 1)),
        f"buyers_balance_{n}": lambda x: mean(np.sign(last(x.delta, n))),
        "bulk_imbalance": lambda x: float(bulk(x, 1)[0]),
        f"bulk_vpin_{n}": lambda x: share(abs(bulk(x, n)) * last(x.bars.volume, n), x.bars.volume, n),
        f"delta_price_divergence_{n}": lambda x: divergence(x, n),
        "taker_price_gap": lambda x: taker_price_gap(x, 1),
        f"taker_price_gap_{n}": lambda x: taker_price_gap(x, n),
        f"volume_ratio_{s}_{n}": lambda x: balance(mean(last(x.bars.volume, s)), mean(last(x.bars.volume, n))),
        f"trade_count_ratio_{s}_{n}": lambda x: balance(mean(last(x.bars.trades, s)), mean(last(x.bars.trades, n))),
        f"trade_size_ratio_{s}_{n}": lambda x: balance(trade_size(x, s), trade_size(x, n)),
        f"seasonal_volume_zscore_{p.days}": lambda x: season(x, x.bars.volume),
        f"seasonal_range_zscore_{p.days}": lambda x: season(x, x.log_high - x.log_low),
        f"volume_autocorrelation_{n}": lambda x: correlation(last(x.bars.volume, n), last(x.bars.volume, n, 1)),
        f"volume_volatility_{n}": lambda x: correlation(last(x.bars.volume, n), abs(last(x.returns, n))),
        f"volume_return_{n}": lambda x: correlation(last(x.bars.volume, n), last(x.returns, n)),
        f"trade_count_dispersion_{n}": lambda x: balance(
            float(np.var(last(x.bars.trades, n), ddof=1)), mean(last(x.bars.trades, n))
        ),
        f"volume_centre_{n}": lambda x: volume_centre(x, n),
    }
    for w in (s, n):
        table |= {
            f"taker_imbalance_{w}": lambda x, w=w: share(x.delta, x.bars.volume, w),
            f"imbalance_trend_{w}": lambda x, w=w: correlation(last(x.imbalance, w), np.arange(1.0, w + 1)),
            f"bulk_imbalance_{w}": lambda x, w=w: share(bulk(x, w) * last(x.bars.volume, w), x.bars.volume, w),
            f"vpin_{w}": lambda x, w=w: share(abs(x.delta), x.bars.volume, w),
            f"money_flow_{w}": lambda x, w=w: money_flow(x, w),
            f"accumulation_{w}": lambda x, w=w: accumulation(x, w),
            f"volume_concentration_{w}": lambda x, w=w: concentration(x, w),
        }
    for name, phase in phases.items():
        table[f"{name}_sin"] = lambda x, phase=phase: math.sin(angle(x, *phase))
        table[f"{name}_cos"] = lambda x, phase=phase: math.cos(angle(x, *phase))
    return table
