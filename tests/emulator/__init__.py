"""A local exchange: real protocol, real weights, planned faults; reached by the unmodified ccxt client on loopback."""
