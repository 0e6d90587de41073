"""The numbers of a bar, and the groups of them that features read."""

BAR_FIELDS: tuple[str, ...] = (
    "open",
    "high",
    "low",
    "close",
    "volume",
    "quote_volume",
    "trades",
    "taker_buy_volume",
    "taker_buy_quote_volume",
)
"""Order of the nine numbers of a bar wherever a bar is a plain row (`BarArrays` without its time)."""

OPTIONAL_FIELDS: tuple[str, ...] = BAR_FIELDS[5:]
"""Fields that a source may lack (NaN); the features that need one are then left out by `available_features`."""

OHLC = ("open", "high", "low", "close")
HLC = ("high", "low", "close")
CLOSE = ("close",)
VOLUME = ("volume",)
TAKER = ("volume", "taker_buy_volume")
QUOTE = ("close", "quote_volume")
