"""Instruments: validated order rules, and steps inferred where none are listed."""

import numpy as np
import pytest

from data_pipeline.errors import InputError
from data_pipeline.instruments import Instrument, default_instrument, split_symbol

GOOD = {
    "symbol": "BTCUSDT",
    "tick_size": 0.1,
    "lot_step": 0.001,
    "min_notional": 5.0,
    "maker_fee_bps": 2.0,
    "taker_fee_bps": 5.0,
}


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("symbol", ""),
        ("tick_size", 0.0),
        ("tick_size", float("nan")),
        ("lot_step", -1.0),
        ("lot_step", float("inf")),
        ("min_notional", -1.0),
        ("taker_fee_bps", -1.0),
        ("taker_fee_bps", float("nan")),
        ("maker_fee_bps", -6.0),
        ("contract", "quanto"),
        ("maintenance_margin", 1.0),
        ("liquidation_fee_bps", -1.0),
    ],
)
def test_rules_that_make_no_sense_are_refused(field: str, value: object) -> None:
    with pytest.raises(InputError):
        Instrument(**(GOOD | {field: value}))


def test_a_maker_rebate_is_allowed_and_spot_cannot_be_sold_short() -> None:
    assert Instrument(**(GOOD | {"maker_fee_bps": -0.5})).shortable
    assert not Instrument(**GOOD, contract="spot").shortable


@pytest.mark.parametrize("symbol", ["BTCUSDT", "BTC/USDT", "btc-usdt", "BTC/USDT:USDT"])
def test_a_symbol_is_known_in_every_notation(symbol: str) -> None:
    assert split_symbol(symbol) == ("BTC", "USDT")
    instrument = default_instrument(symbol, "linear")
    assert (instrument.tick_size, instrument.lot_step, instrument.taker_fee_bps) == (0.1, 0.001, 5.0)
    assert default_instrument(symbol, "spot").taker_fee_bps == 10.0


def test_longer_quote_currencies_are_tried_first() -> None:
    assert split_symbol("BTCFDUSD") == ("BTC", "FDUSD")
    assert split_symbol("ETHBTC") == ("ETH", "BTC")
    assert split_symbol("USDT") == ("USDT", "")


def test_an_unknown_symbol_needs_prices() -> None:
    with pytest.raises(InputError, match="no order rules are known for symbol 'DOGEUSDT'"):
        default_instrument("DOGEUSDT")
    instrument = default_instrument("DOGEUSDT", "linear", np.array([0.08213, 0.0822, 0.08]))
    assert (instrument.tick_size, instrument.lot_step, instrument.min_notional) == (1e-5, 10.0, 5.0)
    assert default_instrument("YFIUSDT", "linear", np.array([30_000.0, 31_000.0])).lot_step == 1e-5
    with pytest.raises(InputError, match="not positive"):
        default_instrument("DOGEUSDT", "linear", np.array([0.1, np.nan]))
