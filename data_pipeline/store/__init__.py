"""Where bars and trades rest: SQLite for the ledger and the hot rows, a Parquet lake for whole, closed months."""
