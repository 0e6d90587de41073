"""Bars to feature rows, labels with end times, the scaler, and the audit against look-ahead."""
