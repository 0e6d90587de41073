"""What the tests of bar features share."""

from features.catalogue import select_features
from features.config import BarParameters

QUICK = BarParameters(day=40, days=3)
"""The whole catalogue with a day of 40 bars and a week of three: warm after hours, where the real week takes one."""
QUICK_WARMUP = max(spec.warmup for spec in select_features(None, QUICK))
