"""A SYNTHETIC market of one-minute bars whose truth is known: no edge at all, or one of a known strength.

The log price moves by r_t = sigma_t (kappa s_{t-1} + eps_t) - drift. sigma_t is a log-normal volatility with an
intraday season, a slow and a fast component and an independent shock per bar (a Gaussian scale mixture: Clark 1973,
Econometrica 41); eps_t is standard normal; s_t is a hidden AR(1) state that no price enters. The taker-buy share of
bar t reads s_t through noise, and no other column does. docs/data.md has every formula and the calibration.
"""

import json
import math
from dataclasses import asdict, dataclass
from typing import NamedTuple

import numba
import numpy as np
import pyarrow as pa

from data_pipeline import synthetic_profit as profit
from data_pipeline import synthetic_truth as truth
from data_pipeline.config import MINUTE_MS, SyntheticConfig
from data_pipeline.schema import BAR_SCHEMA, BarArrays, bar_arrays

# Log-volatility: standard deviation and half-life (bars) of its parts. Chosen so that kurtosis and the autocorrelation
# of |r| at lags 1 and 10 lie inside the bands measured on real bars (data_pipeline.calibration).
SLOW_SD, SLOW_HALF_LIFE = 0.50, 900.0
FAST_SD, FAST_HALF_LIFE = 0.39, 8.0
SHOCK_SD = 0.35
# Intraday season of log-volatility: (amplitude, period in minutes, minute of the peak, UTC).
SEASON = ((0.15, 1440.0, 900.0), (0.10, 720.0, 840.0))

# Log-volume = log(median) + slope * log-volatility + slope * |z| + AR(1) noise + white noise.
VOLUME_MEDIAN = 20.0
VOLUME_ON_SIGMA = 1.0
VOLUME_ON_MOVE = 0.3
VOLUME_NOISE_SD, VOLUME_NOISE_HALF_LIFE = 0.5, 120.0
VOLUME_WHITE_SD = 0.45
TRADES_MEDIAN = 300.0
TRADES_ON_VOLUME = 0.75
TRADES_WHITE_SD = 0.3

# Share of a bar's variance that falls between the previous close and the open: a gap of 2 % of sigma.
GAP_VARIANCE = 0.0004
# The path inside a bar is drawn at this many equal steps; within a step the maximum and the minimum each follow their
# exact Brownian-bridge law. Drawn independently in one step over the whole bar, the range would vary 15 % too much;
# with four steps its standard deviation is within 0.3 % of the exact one.
SUBSTEPS = 4
# Bars drawn at a time: a whole block is always drawn, so a longer market begins with the shorter one, bit for bit.
BLOCK = 8192
_NORMALS = 11 + SUBSTEPS
_COLUMNS = (*(name for name in BAR_SCHEMA.names if name not in ("open_time", "trades")), "state", "sigma")
_MEMORY = 4


class _Constants(NamedTuple):
    """Scalars of the compiled loop, worked out once from the configuration."""

    log_sigma: float
    drift: float
    kappa: float
    state_memory: float
    reading_return: float
    reading_gain: float
    reading_noise: float
    ticks_per_unit: float
    lots_per_unit: float
    first_minute: int
    flip_bar: int


@dataclass(frozen=True)
class SyntheticMarket:
    """SYNTHETIC bars with the truth behind them.

    `bars` is a table of `BAR_SCHEMA` whose schema metadata says `synthetic=true`; `state` float64 (T,) is the hidden
    s_t that drives bar t+1 (not observable at any time); `sigma` float64 (T,) is the volatility of bar t (a fraction,
    not bps).
    """

    bars: pa.Table
    state: np.ndarray
    sigma: np.ndarray
    config: SyntheticConfig

    def arrays(self) -> BarArrays:
        """The bars as plain arrays."""
        return bar_arrays(self.bars)

    def filtered_state(self) -> np.ndarray:
        """E[s_t | bars 0..t, true sigma], float64 (T,): the best anybody can know when bar t has closed."""
        return truth.filter_state(self.arrays(), self.sigma, self.config, drift_per_variance(self.config))

    def best_direction(self, horizon: int) -> np.ndarray:
        """Best call of the sign of ln(open[t+1+h]/open[t+1]) at the close of bar t: int8 (T,), +1, -1 (0 if undecided).

        It is the sign of the filtered state, whatever the horizon: a positive state lifts every later bar.
        """
        truth.check_horizon(horizon)
        return np.sign(self.filtered_state()).astype(np.int8)

    def best_probability(self, horizon: int) -> np.ndarray:
        """P(open[t+1+h] > open[t+1] | bars 0..t), float64 (T,), taking the later bars' volatility as constant."""
        return truth.probability_up(self.filtered_state(), horizon, self.config)

    def best_accuracy(self, horizon: int, start: int = 0, stop: int | None = None) -> float:
        """Accuracy that `best_direction` really has on rows [start, stop), where the label is known and not zero.

        Raises InputError when no such row is left.
        """
        return truth.realised_accuracy(self.filtered_state(), self.arrays().open, horizon, start, stop)

    def expected_accuracy(self, horizon: int, start: int = 0, stop: int | None = None) -> float:
        """Exact expectation of `best_accuracy` over the noise, given the volatility path of rows [start, stop)."""
        return truth.expected_accuracy(self.sigma, horizon, self.config, GAP_VARIANCE, start, stop)

    def best_rule(self, cost_bps: float) -> "profit.BestRule":
        """The most profitable rule on the filtered state for a cost per side in bps, with its expected profit."""
        return profit.best_rule(self.config, mean_sigma(self.config), cost_bps)

    def rule_profit(self, threshold: float, cost_bps: float, start: int = 0, stop: int | None = None) -> float:
        """What the switching rule of `best_rule` really earns on rows [start, stop), bps of log return per bar."""
        return profit.realised_profit(self.filtered_state(), self.arrays().open, threshold, cost_bps, start, stop)


def synthetic_market(config: SyntheticConfig) -> SyntheticMarket:
    """Draw the market that `config` describes: the same configuration gives the same bits on the same platform."""
    columns = np.empty((len(_COLUMNS), config.bars))
    trades = np.empty(config.bars, dtype=np.int32)
    constants, season = _constants(config), _season()
    generator = np.random.Generator(np.random.SFC64(config.seed))
    memory = np.concatenate(([math.log(config.initial_price)], generator.standard_normal(_MEMORY)))
    normals, exponentials, dither = np.empty((BLOCK, _NORMALS)), np.empty((BLOCK, 2 * SUBSTEPS)), np.empty(BLOCK)
    for start in range(0, config.bars, BLOCK):
        generator.standard_normal(out=normals)
        generator.standard_exponential(out=exponentials)
        generator.random(out=dither)
        rows = slice(start, min(start + BLOCK, config.bars))
        _draw_block(start, normals, exponentials, dither, season, constants, memory, columns[:, rows], trades[rows])
    times = pa.array(np.arange(config.bars, dtype=np.int64) * MINUTE_MS + config.start_ms)
    arrays = dict(zip(_COLUMNS, columns, strict=True))
    arrays |= {"open_time": times.view(BAR_SCHEMA.field("open_time").type), "trades": trades}
    table = pa.table([pa.array(arrays[name]) for name in BAR_SCHEMA.names], schema=BAR_SCHEMA)
    label = {
        "synthetic": "true",
        "synthetic_config": json.dumps(asdict(config)),
        "symbol": config.symbol,
        "interval": "1m",
    }
    return SyntheticMarket(table.replace_schema_metadata(label), arrays["state"], arrays["sigma"], config)


def drift_per_variance(config: SyntheticConfig) -> float:
    """What is taken off the log return, per unit of sigma squared, so that the mean price change is zero.

    1/2 for the convexity of exp: exact for every bar when kappa is 0. With a planted state the log price gathers the
    long-run variance sigma^2 (1 + kappa^2 (1 + phi) / (1 - phi)), and half of that is taken off.
    """
    phi = config.state_memory
    return 0.5 * (1.0 + config.kappa**2 * (1.0 + phi) / (1.0 - phi))


def mean_sigma(config: SyntheticConfig) -> float:
    """Mean of sigma_t over time, as a fraction: E[exp x] where `sigma_bps` is the root of E[exp 2x]."""
    variance = SLOW_SD**2 + FAST_SD**2 + SHOCK_SD**2
    return config.sigma_bps * 1e-4 * math.exp(-0.5 * variance) * float(np.mean(np.exp(_season())))


def _season() -> np.ndarray:
    """Intraday season of log-volatility, float64 (1440,), with mean square volatility one."""
    minute = np.arange(1440.0)
    season = np.zeros(1440)
    for amplitude, period, peak in SEASON:
        season += amplitude * np.cos(2.0 * np.pi * (minute - peak) / period)
    return season - 0.5 * np.log(np.mean(np.exp(2.0 * season)))


def _constants(config: SyntheticConfig) -> _Constants:
    variance = SLOW_SD**2 + FAST_SD**2 + SHOCK_SD**2
    return _Constants(
        log_sigma=math.log(config.sigma_bps * 1e-4) - variance,  # E[exp(2 x)] = exp(2 variance), so the rms is sigma
        drift=drift_per_variance(config),
        kappa=config.kappa,
        state_memory=config.state_memory,
        reading_return=config.reading_return,
        reading_gain=config.reading_gain,
        reading_noise=config.reading_noise,
        # A product with 0.01 leaves 1000.1100000000001; a quotient by 100 is the double nearest to the decimal.
        ticks_per_unit=float(round(1.0 / config.tick_size)),
        lots_per_unit=float(round(1.0 / config.lot_step)),
        first_minute=config.start_ms // MINUTE_MS % 1440,
        flip_bar=config.bars if config.flip_bar is None else config.flip_bar,
    )


@numba.njit(cache=True)
def _draw_block(
    first: int,
    normals: np.ndarray,
    exponentials: np.ndarray,
    dither: np.ndarray,
    season: np.ndarray,
    c: _Constants,
    memory: np.ndarray,
    columns: np.ndarray,
    trades: np.ndarray,
) -> None:
    """Write len(trades) bars from row `first` on into `columns` (rows in the order of _COLUMNS) and `trades`.

    `memory` holds log price, hidden state, slow and fast log-volatility and volume noise, and is carried on.
    """
    slow_memory, fast_memory = 0.5 ** (1.0 / SLOW_HALF_LIFE), 0.5 ** (1.0 / FAST_HALF_LIFE)
    noise_memory = 0.5 ** (1.0 / VOLUME_NOISE_HALF_LIFE)
    slow_new, fast_new = math.sqrt(1.0 - slow_memory**2), math.sqrt(1.0 - fast_memory**2)
    noise_new, state_new = math.sqrt(1.0 - noise_memory**2), math.sqrt(1.0 - c.state_memory**2)
    gap_sd, step_sd = math.sqrt(GAP_VARIANCE), math.sqrt((1.0 - GAP_VARIANCE) / SUBSTEPS)
    log_price, hidden, slow, fast, noise = memory[0], memory[1], memory[2], memory[3], memory[4]
    for i in range(len(trades)):
        n = normals[i]
        slow = slow_memory * slow + slow_new * n[0]
        fast = fast_memory * fast + fast_new * n[1]
        log_activity = season[(c.first_minute + first + i) % 1440] + SLOW_SD * slow + FAST_SD * fast + SHOCK_SD * n[2]
        s = math.exp(c.log_sigma + log_activity)

        # The bar's path in log price: a gap, then SUBSTEPS pieces of drift and noise with exact bridge extremes.
        x_open = log_price + s * gap_sd * n[3]
        step_drift = (s * c.kappa * hidden - c.drift * s * s) / SUBSTEPS
        twice_variance = 2.0 * (s * step_sd) ** 2
        x, x_high, x_low = x_open, x_open, x_open
        for k in range(SUBSTEPS):
            move = step_drift + s * step_sd * n[11 + k]
            middle = 2.0 * x + move
            x_high = max(x_high, 0.5 * (middle + math.sqrt(move * move + twice_variance * exponentials[i, 2 * k])))
            x_low = min(x_low, 0.5 * (middle - math.sqrt(move * move + twice_variance * exponentials[i, 2 * k + 1])))
            x += move
        z = (x - log_price) / s + c.drift * s
        log_price = x

        # Dithered rounding: floor(price / tick + u) with one uniform u per bar. Its mean is the price itself, so the
        # error of the next open cannot be told beforehand; rounding to the nearest tick would plant a bounce. One u
        # for all four prices keeps their order.
        u = dither[i]
        o, h = _to_tick(math.exp(x_open), u, c.ticks_per_unit), _to_tick(math.exp(x_high), u, c.ticks_per_unit)
        lo, cl = _to_tick(math.exp(x_low), u, c.ticks_per_unit), _to_tick(math.exp(x), u, c.ticks_per_unit)

        hidden = c.state_memory * hidden + state_new * n[4]
        gain = c.reading_gain if first + i < c.flip_bar else -c.reading_gain
        logit = c.reading_return * z + gain * hidden + c.reading_noise * n[5]
        noise = noise_memory * noise + noise_new * n[6]
        relative = (
            VOLUME_ON_SIGMA * log_activity + VOLUME_ON_MOVE * abs(z) + VOLUME_NOISE_SD * noise + VOLUME_WHITE_SD * n[7]
        )
        lots = max(2.0, math.floor(VOLUME_MEDIAN * math.exp(relative) * c.lots_per_unit + 0.5))
        buy_lots = min(lots - 1.0, max(1.0, math.floor(lots / (1.0 + math.exp(-logit)) + 0.5)))
        share = buy_lots / lots
        v, buy = lots / c.lots_per_unit, buy_lots / c.lots_per_unit

        # Volume-weighted prices: of all trades inside [low, high], and of buyers above it by a part of the room that
        # keeps both the buyers' and the sellers' average inside the range.
        vwap = min(h, max(lo, 0.25 * (o + h + lo + cl) + 0.1 * (h - lo) * n[8]))
        room = min(h - vwap, (vwap - lo) * (1.0 - share) / share)
        columns[0, i], columns[1, i], columns[2, i], columns[3, i] = o, h, lo, cl
        columns[4, i], columns[5, i], columns[6, i] = v, v * vwap, buy
        columns[7, i] = buy * (vwap + room * min(0.9, 0.1 * abs(n[9])))
        columns[8, i], columns[9, i] = hidden, s
        count = TRADES_MEDIAN * math.exp(TRADES_ON_VOLUME * relative + TRADES_WHITE_SD * n[10])
        trades[i] = int(min(2e9, max(1.0, count)))
    memory[0], memory[1], memory[2], memory[3], memory[4] = log_price, hidden, slow, fast, noise


@numba.njit(cache=True)
def _to_tick(price: float, dither: float, ticks_per_unit: float) -> float:
    """One of the two multiples of the tick around `price`, at least one tick; on average over `dither` the price."""
    return max(1.0, math.floor(price * ticks_per_unit + dither)) / ticks_per_unit
