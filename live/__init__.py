"""The same features, fills and policies on a stream of closed bars, with paper money."""
