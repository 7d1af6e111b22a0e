"""How good are codes and dictionaries, what a shift does to them, and how alike representations are."""

from .alignment import (
    expected_alignment,
    linear_cka,
    linear_identifiability_score,
    linear_regression_score,
    rsa_score,
)
from .codes import mcc_score
from .concepts import absorption_scores, concept_scores
from .dictionary import match_dictionaries
from .gap import amortisation_gap, duality_gap
from .interpretability import interpretability_score
from .shift import shift_report
from .superposition import feature_dimensionality
from .support import support_scores
from .unexplained import UnexplainedVariance, unexplained_variance

__all__ = [
    "UnexplainedVariance",
    "absorption_scores",
    "amortisation_gap",
    "concept_scores",
    "duality_gap",
    "expected_alignment",
    "feature_dimensionality",
    "interpretability_score",
    "linear_cka",
    "linear_identifiability_score",
    "linear_regression_score",
    "match_dictionaries",
    "mcc_score",
    "rsa_score",
    "shift_report",
    "support_scores",
    "unexplained_variance",
]
