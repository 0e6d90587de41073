"""Feature rows on disk: years of them in Parquet, addressed by what they were made from, never computed twice."""
