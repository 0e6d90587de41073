"""Features of the kind "trades": one row per trade, from the tape alone."""
