"""Metrics of thresholds: which of them tell of accuracy, and which nobody measures by hand.

Article 15(1) and (3) ask for "levels of accuracy and the relevant accuracy metrics". A name says
little, so those counted as accuracy are listed here; another counts where its threshold was
sealed as one, before anything was measured.
"""

from __future__ import annotations

import re
from fractions import Fraction
from typing import Final
from unicodedata import normalize

from quorate.core.exact import as_text

LEDGER_ACCURACY: Final = "ledger.accuracy"
"""Metric of a threshold that the record itself is held to: the share of the answers committed,
of those whose right answer is known, that are right."""

RESILIENCE: Final = "redteam.resilience"
"""Metric of a threshold that runs of attacks are held to."""

BY_HAND: Final = frozenset({LEDGER_ACCURACY, RESILIENCE})
"""Metrics that follow from the record and that nobody measures by hand."""

ACCURACY: Final = frozenset({
    "accuracy", "balanced_accuracy", "top_k_accuracy", "precision", "recall", "sensitivity",
    "specificity", "f1", "f1_score", "f_beta", "mcc", "cohen_kappa", "auc", "auroc", "roc_auc",
    "auprc", "pr_auc", "average_precision", "map", "error", "error_rate", "equal_error_rate", "eer",
    "false_positive_rate", "fpr", "false_negative_rate", "fnr", "true_positive_rate", "tpr",
    "true_negative_rate", "tnr", "ppv", "npv", "false_match_rate",
    "fmr",
    "false_non_match_rate", "fnmr", "mae", "mse", "rmse", "mape", "r2", "log_loss", "brier",
    "brier_score", "calibration_error", "ece", "word_error_rate", "wer", "character_error_rate",
    "cer", "bleu", "rouge", "exact_match", "iou", "dice", "ndcg", "mrr", "hit_rate",
})  # fmt: skip
"""Names of metrics of accuracy; so is every name that has one of them among its words."""

_MOST_WORDS: Final = max(name.count("_") + 1 for name in ACCURACY)
_MOST_DIGITS: Final = 17


def of_accuracy(metric: str) -> bool:
    """Whether a metric of that name is known as one of accuracy.

    >>> of_accuracy("False-positive rate"), of_accuracy("recall@10"), of_accuracy("latency")
    (True, True, False)
    """
    words = re.findall(r"[^\W_]+", normalize("NFKC", metric).casefold())
    return any(
        "_".join(words[first : last + 1]) in ACCURACY
        for first in range(len(words))
        for last in range(first, min(len(words), first + _MOST_WORDS))
    )


def plainly(value: Fraction) -> str:
    """A number as people write it: as a decimal where that is exact and short, else ``"p/q"``.

    >>> plainly(Fraction(19, 20)), plainly(Fraction(1, 3))
    ('0.95', '1/3')
    """
    for digits in range(_MOST_DIGITS):
        scaled = value * 10**digits
        if scaled.denominator == 1:
            sign, written = "-" if value < 0 else "", str(abs(scaled.numerator)).zfill(digits + 1)
            cut = len(written) - digits
            return f"{sign}{written[:cut]}.{written[cut:]}".rstrip(".")
    return as_text(value)
