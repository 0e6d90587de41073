"""A local exchange: real protocol, real weights, planned faults. Reached by the unmodified ccxt client, on loopback only."""
