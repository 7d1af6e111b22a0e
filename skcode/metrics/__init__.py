"""How good are codes and dictionaries, and what happens to them under a shift."""

from .codes import mcc_score, unexplained_variance
from .dictionary import match_dictionaries
from .gap import amortisation_gap, duality_gap
from .shift import shift_report
from .support import support_scores

__all__ = [
    "amortisation_gap",
    "duality_gap",
    "match_dictionaries",
    "mcc_score",
    "shift_report",
    "support_scores",
    "unexplained_variance",
]
