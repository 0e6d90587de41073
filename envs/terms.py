"""What trading costs and allows: an instrument and a config in one small array, read by compiled code."""

import math
from fractions import Fraction

import numpy as np

from data_pipeline.errors import InputError
from data_pipeline.instruments import Instrument
from envs.config import MarketConfig, RewardMode

# Entries of the trading terms, float64.
(
    HALF_SPREAD,
    IMPACT,
    LATENCY,  # root of latency / interval: the share of a bar's adverse excursion that it costs
    PARTICIPATION,
    MAKER_FEE,
    TAKER_FEE,
    LIQUIDATION_FEE,
    MARGIN,  # 1 / leverage: equity that a unit of notional ties up
    MAINTENANCE,  # margin that must stay, as a fraction of the position's value; 0 where nothing is liquidated
    TICK_NUMERATOR,
    TICK_DENOMINATOR,
    LOT_NUMERATOR,
    LOT_DENOMINATOR,
    MIN_NOTIONAL,
    SHORTABLE,
    INVERSE,
    FUNDED,  # 1 where funding is due
    TARGET_FIRST,  # 1 when a bar that touched both barriers counts as the take-profit
    TRAILING,  # fractions; inf for none
    BREAK_EVEN,
    LIMIT_TTL,
    STOP_OUT,
    REWARD_SCALE,
    REWARD_MODE,
    REWARD_WEIGHT,
    RISK,  # 1 when any of the limits below is set
    DAILY_LOSS,
    DRAWDOWN,
    LOSING_STREAK,
    COOL_DOWN,
    DAILY_ENTRIES,
    EXPOSURE,
    COLLAR,
    VOLATILITY,
) = range(34)
TERMS = 34

REWARD_MODES: tuple[RewardMode, ...] = ("log_equity", "differential_sharpe", "drawdown", "inventory")
LOG_EQUITY, DIFFERENTIAL_SHARPE, DRAWDOWN_PENALTY, INVENTORY_PENALTY = range(4)


def trading_terms(
    instrument: Instrument, config: MarketConfig, interval_ms: int = 60_000, *, funded: bool = False
) -> np.ndarray:
    """What fills cost, how sizes are rounded and when risk limits bite: float64 (34,), entries HALF_SPREAD ... .

    Steps travel as fractions (0.01 as 1 / 100): n × 1 / 100 is the float64 nearest to the decimal price, the same one
    that a parsed bar holds, so "touched" and "traded through" are exact comparisons.
    Raises InputError when spot is to be traded with leverage, and for leverage that the maintenance margin forbids.
    """
    where = f"market {instrument.symbol}"
    if instrument.contract == "spot" and config.leverage > 1:
        raise InputError(
            f"leverage {config.leverage:g} on a spot instrument",
            where=where,
            remedy="use leverage 1 or a linear contract",
        )
    if config.leverage * instrument.maintenance_margin >= 1.0:
        raise InputError(
            f"leverage {config.leverage:g} with a maintenance margin of {instrument.maintenance_margin:g}",
            where=where,
            remedy=f"use less than {1.0 / instrument.maintenance_margin:g}",
        )
    tick, lot = (Fraction(repr(float(step))) for step in (instrument.tick_size, instrument.lot_step))
    maker_bps, taker_bps = config.fees_bps or (instrument.maker_fee_bps, instrument.taker_fee_bps)
    risk = config.risk
    terms = np.zeros(TERMS)
    terms[HALF_SPREAD] = config.half_spread_bps * 1e-4
    terms[IMPACT] = config.impact
    terms[LATENCY] = math.sqrt(min(config.latency_ms / interval_ms, 1.0))
    terms[PARTICIPATION] = config.max_participation
    terms[MAKER_FEE] = maker_bps * 1e-4
    terms[TAKER_FEE] = taker_bps * 1e-4
    terms[LIQUIDATION_FEE] = instrument.liquidation_fee_bps * 1e-4
    terms[MARGIN] = 1.0 / config.leverage
    terms[MAINTENANCE] = instrument.maintenance_margin
    terms[TICK_NUMERATOR], terms[TICK_DENOMINATOR] = tick.numerator, tick.denominator
    terms[LOT_NUMERATOR], terms[LOT_DENOMINATOR] = lot.numerator, lot.denominator
    terms[MIN_NOTIONAL] = instrument.min_notional
    terms[SHORTABLE] = float(instrument.shortable)
    terms[INVERSE] = float(instrument.contract == "inverse")
    terms[FUNDED] = float(funded)
    terms[TARGET_FIRST] = float(config.both_touched == "target_first")
    terms[TRAILING] = config.trailing_bps * 1e-4
    terms[BREAK_EVEN] = config.break_even_bps * 1e-4
    terms[LIMIT_TTL] = _whole_bars(config.limit_ttl_bars)
    terms[STOP_OUT] = config.stop_out_fraction
    terms[REWARD_SCALE] = config.reward_scale
    terms[REWARD_MODE] = REWARD_MODES.index(config.reward)
    terms[REWARD_WEIGHT] = config.reward_weight
    terms[RISK] = float(risk.any_set)
    terms[DAILY_LOSS] = risk.daily_loss
    terms[DRAWDOWN] = risk.drawdown
    terms[LOSING_STREAK] = risk.losing_streak
    terms[COOL_DOWN] = _whole_bars(risk.cool_down_bars)
    terms[DAILY_ENTRIES] = risk.entries_per_day
    terms[EXPOSURE] = risk.exposure
    terms[COLLAR] = risk.price_collar_bps * 1e-4
    terms[VOLATILITY] = risk.volatility_multiple
    return terms


def _whole_bars(bars: float) -> float:
    """A number of bars as one that int64 holds: a part of a bar lasts to its end, and inf beyond any market."""
    return float(math.ceil(min(bars, 1e15)))
