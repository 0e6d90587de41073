"""What the exchange demands of an order in one symbol: steps, smallest order, fees."""

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np

from data_pipeline.errors import InputError

Contract = Literal["spot", "linear"]

# Quote currencies, longest first so that BTCFDUSD is not read as (BTCFD, USD).
_QUOTES = ("FDUSD", "USDT", "USDC", "BUSD", "TUSD", "USD", "EUR", "BTC", "ETH")

# Fees without any discount, (maker, taker) in bps: Binance spot and USD-M futures, regular user.
_FEES_BPS: dict[str, tuple[float, float]] = {"spot": (10.0, 10.0), "linear": (2.0, 5.0)}

# (tick size, lot step, min notional) in USDT as the exchange lists them for recent years. Exchanges change them now and
# then: a run that must match an account exactly passes its own Instrument.
_RULES: dict[tuple[str, str], tuple[float, float, float]] = {
    ("BTC", "spot"): (0.01, 0.00001, 5.0),
    ("ETH", "spot"): (0.01, 0.0001, 5.0),
    ("BNB", "spot"): (0.01, 0.001, 5.0),
    ("SOL", "spot"): (0.01, 0.001, 5.0),
    ("MATIC", "spot"): (0.0001, 0.1, 5.0),
    ("POL", "spot"): (0.0001, 0.1, 5.0),
    ("FIL", "spot"): (0.001, 0.01, 5.0),
    ("BTC", "linear"): (0.1, 0.001, 100.0),
    ("ETH", "linear"): (0.01, 0.001, 20.0),
    ("BNB", "linear"): (0.01, 0.01, 5.0),
    ("SOL", "linear"): (0.01, 0.01, 5.0),
    ("MATIC", "linear"): (0.0001, 1.0, 5.0),
    ("POL", "linear"): (0.0001, 1.0, 5.0),
    ("FIL", "linear"): (0.001, 0.1, 5.0),
    # The synthetic market trades by the steps of SyntheticConfig's defaults.
    ("SYN", "spot"): (0.01, 0.0001, 5.0),
    ("SYN", "linear"): (0.01, 0.0001, 5.0),
}


@dataclass(frozen=True, slots=True)
class Instrument:
    """Order rules of one symbol. Prices in quote units, quantities in base units, fees in bps of the notional.

    Raises InputError on a step, notional or fee that makes no sense (a maker fee may be a rebate, so negative).
    """

    symbol: str
    tick_size: float
    lot_step: float
    min_notional: float
    maker_fee_bps: float
    taker_fee_bps: float
    contract: Contract = "linear"

    def __post_init__(self) -> None:
        where = f"instrument {self.symbol}"
        if not self.symbol:
            raise InputError("symbol is empty", where="instrument", remedy="give one, such as BTCUSDT")
        if self.contract not in ("spot", "linear"):
            raise InputError(f"contract {self.contract!r} is unknown", where=where, remedy="use spot or linear")
        for name in ("tick_size", "lot_step"):
            value = getattr(self, name)
            if not (math.isfinite(value) and value > 0):
                raise InputError(f"{name} {value} is not positive", where=where, remedy="use the exchange's step")
        if not (math.isfinite(self.min_notional) and self.min_notional >= 0):
            raise InputError(f"min_notional {self.min_notional} is negative", where=where, remedy="use 0 or above")
        if not 0 <= self.taker_fee_bps < 1_000:
            raise InputError(f"taker_fee_bps {self.taker_fee_bps} is not in [0, 1000)", where=where, remedy="use bps")
        if not -self.taker_fee_bps <= self.maker_fee_bps < 1_000:
            raise InputError(
                f"maker_fee_bps {self.maker_fee_bps} is not in [-taker fee, 1000)", where=where, remedy="use bps"
            )

    @property
    def shortable(self) -> bool:
        """Whether a short position can be held at all (not on spot)."""
        return self.contract != "spot"


def split_symbol(symbol: str) -> tuple[str, str]:
    """(base, quote) of 'BTCUSDT', 'BTC/USDT', 'BTC-USDT' or 'BTC/USDT:USDT'; quote is '' when none is recognised."""
    plain = symbol.upper().split(":")[0].strip()
    for separator in "/-_":
        if separator in plain:
            base, quote = plain.split(separator, 1)
            return base, quote
    for quote in _QUOTES:
        if plain.endswith(quote) and len(plain) > len(quote):
            return plain[: -len(quote)], quote
    return plain, ""


def default_instrument(symbol: str, contract: Contract = "linear", prices: np.ndarray | None = None) -> Instrument:
    """The order rules usual for `symbol`; for a symbol without an entry, steps inferred from `prices` (T,).

    Inferred: the tick is the coarsest power of ten on which all prices lie, the lot step the largest power of
    ten worth at most one quote unit at the median price, the min notional 5 quote units.

    Raises InputError for an unknown symbol without prices, and for prices that are not positive and finite.
    """
    fees = _FEES_BPS.get(contract)
    if fees is None:
        raise InputError(f"contract {contract!r} is unknown", where=symbol, remedy="use spot or linear")
    base = split_symbol(symbol)[0]
    rules = _RULES.get((base, contract))
    if rules is None:
        if prices is None:
            known = " ".join(sorted({name for name, _ in _RULES}))
            raise InputError(
                f"no order rules are known for symbol {symbol!r}",
                where="instrument",
                remedy=f"known bases: {known}; else give an Instrument or prices to infer from",
            )
        rules = (*_infer_steps(symbol, np.asarray(prices, dtype=np.float64)), 5.0)
    tick_size, lot_step, min_notional = rules
    return Instrument(symbol, tick_size, lot_step, min_notional, fees[0], fees[1], contract)


def _infer_steps(symbol: str, prices: np.ndarray) -> tuple[float, float]:
    if prices.size == 0 or not np.all(np.isfinite(prices) & (prices > 0)):
        raise InputError("prices to infer from are empty or not positive", where=f"instrument {symbol}")
    tick_size = 1e-8
    for decimals in range(8):
        # Relative tolerance of a float64 that was parsed from decimal text.
        if np.all(np.abs(np.round(prices, decimals) - prices) <= 1e-12 * prices):
            tick_size = 10.0**-decimals
            break
    lot_step = 10.0 ** math.floor(math.log10(1.0 / float(np.median(prices))))
    return tick_size, lot_step
