"""Features of the best bid and ask (kind "quotes"): one row of input for each update of either."""
