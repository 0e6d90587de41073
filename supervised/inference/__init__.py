"""Trained models as they are served: one row in, one answer out, in microseconds; and as files for other runtimes."""
