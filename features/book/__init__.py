"""Features of the book (kind "book"): ten levels a side after each update."""
