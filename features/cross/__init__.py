"""Features of the kind "cross": one row per bar, from a market beside a leader."""
