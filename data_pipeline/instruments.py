"""What the exchange demands of an order in one symbol: steps, smallest order, fees."""

import math
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np

from data_pipeline.errors import InputError

Contract = Literal["spot", "linear", "inverse"]

# Quote currencies, longest first so that BTCFDUSD is not read as (BTCFD, USD).
_QUOTES = ("FDUSD", "USDT", "USDC", "BUSD", "TUSD", "USD", "EUR", "BTC", "ETH")

# Fees without any discount, (maker, taker) in bps: Binance spot, USD-M and COIN-M futures, regular user.
_FEES_BPS: dict[str, tuple[float, float]] = {"spot": (10.0, 10.0), "linear": (2.0, 5.0), "inverse": (2.0, 5.0)}

# (maintenance margin, liquidation fee in bps) of the smallest position tier.
_MARGIN: dict[str, tuple[float, float]] = {"spot": (0.0, 0.0), "linear": (0.005, 100.0), "inverse": (0.005, 100.0)}

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
    # Inverse contracts are counted in quote units: the lot is the contract's size, the min notional one contract.
    ("BTC", "inverse"): (0.1, 100.0, 0.0),
    ("ETH", "inverse"): (0.01, 10.0, 0.0),
    ("BNB", "inverse"): (0.01, 10.0, 0.0),
    ("SOL", "inverse"): (0.01, 10.0, 0.0),
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
    """Order rules of one symbol. Prices in quote units, fees in bps of the notional.

    Quantities are base units and money is quote units, but for inverse contracts, which are counted in quote units and
    settle in base units.

    Raises InputError on a step, notional or fee that makes no sense (a maker fee may be a rebate, so negative).
    """

    symbol: str
    tick_size: float
    lot_step: float
    min_notional: float
    maker_fee_bps: float
    taker_fee_bps: float
    contract: Contract = "linear"
    maintenance_margin: float = 0.0
    """Fraction of the position's value that equity must keep; the exchange closes the position below it."""
    liquidation_fee_bps: float = 0.0
    """Fee of such a close, on top of the taker fee."""

    def __post_init__(self) -> None:
        where = f"instrument {self.symbol}"
        if not self.symbol:
            raise InputError("symbol is empty", where="instrument", remedy="give one, such as BTCUSDT")
        if self.contract not in get_args(Contract):
            raise InputError(
                f"contract {self.contract!r} is unknown", where=where, remedy="use spot, linear or inverse"
            )
        for name in ("tick_size", "lot_step"):
            value = getattr(self, name)
            if not (math.isfinite(value) and value > 0):
                raise InputError(f"{name} {value} is not positive", where=where, remedy="use the exchange's step")
        if not (math.isfinite(self.min_notional) and self.min_notional >= 0):
            raise InputError(f"min_notional {self.min_notional} is negative", where=where, remedy="use 0 or above")
        if not 0 <= self.maintenance_margin < 1:
            raise InputError(f"maintenance_margin {self.maintenance_margin} is not in [0, 1)", where=where)
        if not 0 <= self.liquidation_fee_bps < 1_000:
            raise InputError(f"liquidation_fee_bps {self.liquidation_fee_bps} is not in [0, 1000)", where=where)
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
        raise InputError(f"contract {contract!r} is unknown", where=symbol, remedy="use spot, linear or inverse")
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
    return Instrument(symbol, tick_size, lot_step, min_notional, fees[0], fees[1], contract, *_MARGIN[contract])


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
