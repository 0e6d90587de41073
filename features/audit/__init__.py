"""Does a row know more than it should? Audits for any function of bars or events, features or not.

`compute` may be anything: a feature, a scaler and model behind it, positions, the observations of a market.

- Truncation: compute on the first n bars alone; its rows must be the very bytes that the whole history gave.
- Perturbation: change everything from row n on, keeping the times; no row before n may change by a bit.
- Delay: at a moment T, take away or change whatever was *received* later, also what was sent earlier; no row that is
  said to be known by T may change.

The first two take functions that give one row per bar (or event), the third one functions that say when each of their
rows is known, on whatever grid. A clean report means something only if it compared values: it says how many.
"""

from features.audit.delay import audit_delay
from features.audit.report import AuditReport, Leak
from features.audit.rows import audit_perturbation, audit_truncation, perturb_future

__all__ = [
    "AuditReport",
    "Leak",
    "audit_delay",
    "audit_perturbation",
    "audit_truncation",
    "perturb_future",
]
