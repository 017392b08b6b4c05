"""The rivals: other ways to make one answer of many, given the same predictions.

Each gives one diagnosis per held-out patient, or ``None`` where it refuses.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.ensemble import VotingClassifier
from sklearn.frozen import FrozenEstimator

from quorate.cli.demo.cases import BENIGN, MALIGNANT, Probabilities, labels

Answers = Sequence[str | None]
"""One diagnosis per held-out patient; ``None`` is a refusal."""

BEST_SINGLE: Final = "best_single"
MAJORITY: Final = "majority"
SOFT_VOTE: Final = "soft_vote"
QUORATE: Final = "quorate"


@dataclass(frozen=True, slots=True)
class Figures:
    """How the answers of one method compare with the truth; the three add up to the patients.

    Attributes:
        right: answers that name the true diagnosis.
        wrong: answers that name the other one.
        refused: patients without an answer.
        seconds: time it took to decide all of them.
    """

    right: int
    wrong: int
    refused: int
    seconds: float

    def to_dict(self) -> dict[str, Any]:
        """As JSON."""
        return {
            "right": self.right,
            "wrong": self.wrong,
            "refused": self.refused,
            "seconds": self.seconds,
        }


def compare(answers: Answers, truth: Sequence[str], seconds: float) -> Figures:
    """Count the answers against the true diagnoses."""
    refused = sum(answer is None for answer in answers)
    right = sum(answer == true for answer, true in zip(answers, truth, strict=True))
    return Figures(right, len(truth) - right - refused, refused, seconds)


def best_single(heard: Mapping[str, Probabilities], best: str, patients: int) -> Answers:
    """Believe the model that did best in cross-validation; without it there is no answer."""
    return labels(heard[best]) if best in heard else [None] * patients


def majority(heard: Mapping[str, Probabilities]) -> Answers:
    """More than half of those who answered, one voice each; a tie is refused."""
    spoken = [labels(said) for said in heard.values()]
    answers: list[str | None] = []
    for voices in zip(*spoken, strict=True):
        ill = 2 * voices.count(MALIGNANT) - len(voices)
        answers.append(None if ill == 0 else MALIGNANT if ill > 0 else BENIGN)
    return answers


class Prepared(ClassifierMixin, BaseEstimator):  # type: ignore[misc] # scikit-learn has no types
    """A trained model whose predictions are made: its input is the row of the patient."""

    def __init__(self, said: Probabilities) -> None:
        """Answer with ``said``, the probability of class 1 per row."""
        self.said = said
        self.classes_ = np.array([0, 1])

    def fit(self, _rows: NDArray[np.int64], _diagnoses: NDArray[np.int64]) -> Self:
        """Learn nothing: it is trained."""
        return self

    def predict_proba(self, rows: NDArray[np.int64]) -> NDArray[np.float64]:
        """Probabilities of the two classes, shape [rows, 2]."""
        said = self.said[rows[:, 0]]
        return np.stack([1 - said, said], axis=1)

    def __sklearn_is_fitted__(self) -> bool:
        return True


def soft_vote(heard: Mapping[str, Probabilities]) -> Answers:
    """scikit-learn's ``VotingClassifier`` with ``voting="soft"`` over those who answered."""
    patients = len(next(iter(heard.values())))
    rows = np.arange(patients)[:, np.newaxis]
    frozen = [(name, FrozenEstimator(Prepared(said))) for name, said in heard.items()]
    voting = VotingClassifier(frozen, voting="soft")
    # Nothing is trained here, the estimators are frozen; it only has to see both classes.
    voting.fit(rows[:2], [0, 1])
    return [MALIGNANT if ill else BENIGN for ill in voting.predict(rows)]
