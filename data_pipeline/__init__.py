"""Exchange data to clean bars: schema, readers, quality report, and a synthetic market whose truth is known."""
