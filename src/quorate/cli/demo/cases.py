"""The cases and the models of the demo.

The cases are the Wisconsin diagnostic breast-cancer data that ship inside scikit-learn:
569 patients, 30 measurements of cell nuclei each, and whether the tumour was malignant.
Seven models of different families are trained on one part and predict the rest. Every
rival works on these same predictions, so they are made once, before anything is timed.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from sklearn.base import clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.datasets import load_breast_cancer
from sklearn.ensemble import GradientBoostingClassifier, RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold, cross_val_predict, train_test_split
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

SEED: Final = 569
"""The only seed: of the split, of the models, and of who lies. It is the number of patients."""

HELD_OUT: Final = 0.4
"""Share of the patients that no model sees in training."""

FOLDS: Final = 5
"""Folds of the cross-validation that names the best single model."""

DIGITS: Final = 6
"""Decimals kept of a probability: what further digits say differs between machines."""

MALIGNANT: Final = "malignant"
BENIGN: Final = "benign"

Probabilities = NDArray[np.float64]
"""Probability that the tumour is malignant, per held-out patient: shape [patients], in [0, 1]."""

Step = Callable[[int, int], None]
"""Called with steps done and steps in all."""

FAMILIES: Final[Mapping[str, str]] = {
    "bayes": "Gaussian naive Bayes",
    "boosting": "gradient boosting",
    "forest": "random forest",
    "logistic": "logistic regression",
    "neighbours": "nearest neighbours",
    "network": "neural network",
    "svm": "support vectors",
}
"""Expert id -> model family, in the order of ids."""


@dataclass(frozen=True, slots=True, eq=False)
class Cases:
    """The patients, split once.

    Attributes:
        measurements: of the training part, shape [trained_on, 30].
        diagnoses: of the training part: 1 malignant, 0 benign, shape [trained_on].
        held_out: measurements of the held-out patients, shape [held_out, 30].
        truth: their diagnoses, shape [held_out].
        patients: their numbers in the data set (0-based), in order, shape [held_out].
    """

    measurements: NDArray[np.float64]
    diagnoses: NDArray[np.int64]
    held_out: NDArray[np.float64]
    truth: NDArray[np.int64]
    patients: tuple[int, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Trained:
    """What the models came to.

    Attributes:
        predictions: expert id -> its probabilities, rounded to :data:`DIGITS`.
        cross_validated: expert id -> training patients it named rightly in cross-validation.
        best: the id with the most of these; the smaller id if there are several.
    """

    predictions: Mapping[str, Probabilities]
    cross_validated: Mapping[str, int]
    best: str


@dataclass(frozen=True, slots=True)
class Scenario:
    """One run over the held-out patients.

    Attributes:
        id: stands in the ids of its tasks.
        title: a few words.
        told: one sentence.
        liars: experts that know the true diagnosis and always name the other one, with
            confidence 1.0. No liar can do more against right answers.
        down: experts that raise an error when asked.
    """

    id: str
    title: str
    told: str
    liars: tuple[str, ...] = ()
    down: tuple[str, ...] = ()


def scenarios() -> tuple[Scenario, ...]:
    """The four runs. Who lies and who is down is drawn by the seed, before any training."""
    first, second, third = random.Random(SEED).sample(sorted(FAMILIES), 3)  # noqa: S311 - a fixed draw
    both = f"The liars are {first} and {second}"
    return (
        Scenario("all-honest", "all honest", "All seven say what they think."),
        Scenario(
            "two-lie",
            "two lie",
            f"{both}: they know the truth and say the opposite, with confidence 1.0.",
            (first, second),
        ),
        Scenario(
            "one-lies-one-down",
            "one lies, one is down",
            f"The liar is {first}, and {third} crashes on every call.",
            (first,),
            (third,),
        ),
        Scenario(
            "two-lie-one-down",
            "two lie, one is down",
            f"{both}, {third} is down. Here refusing is the point: the four honest are too "
            "few for a quorum, so all that would be right is refused, not guessed.",
            (first, second),
            (third,),
        ),
    )


def load() -> Cases:
    """Read the data and split it: stratified, by the seed."""
    measurements, benign = load_breast_cancer(return_X_y=True)
    diagnoses = 1 - benign
    train, rest = train_test_split(
        np.arange(len(diagnoses)), test_size=HELD_OUT, random_state=SEED, stratify=diagnoses
    )
    rest = np.sort(rest)
    return Cases(
        measurements[train],
        diagnoses[train],
        measurements[rest],
        diagnoses[rest],
        tuple(int(number) for number in rest),
    )


def models() -> dict[str, Any]:
    """The seven, untrained, by expert id; every random choice of theirs is seeded."""
    vectors = CalibratedClassifierCV(SVC(random_state=SEED), ensemble=False)
    network = MLPClassifier((16,), solver="lbfgs", alpha=1.0, max_iter=2000, random_state=SEED)
    return {
        "bayes": GaussianNB(),
        "boosting": GradientBoostingClassifier(n_estimators=60, random_state=SEED),
        "forest": RandomForestClassifier(n_estimators=60, n_jobs=1, random_state=SEED),
        "logistic": make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000)),
        "neighbours": make_pipeline(StandardScaler(), KNeighborsClassifier(n_jobs=1)),
        "network": make_pipeline(StandardScaler(), network),
        "svm": make_pipeline(StandardScaler(), vectors),
    }


def train(cases: Cases, step: Step) -> Trained:
    """Cross-validate and train each model on the training part; predict the held-out part."""
    predictions: dict[str, Probabilities] = {}
    right: dict[str, int] = {}
    folds = StratifiedKFold(FOLDS, shuffle=True, random_state=SEED)
    # One thread: sums in another order could differ in the last bit, and a few hundred
    # patients gain nothing from more.
    with threadpool_limits(1):
        for done, (name, model) in enumerate(models().items()):
            step(done, len(FAMILIES))
            guessed = cross_val_predict(
                clone(model), cases.measurements, cases.diagnoses, cv=folds, n_jobs=1
            )
            right[name] = int(np.sum(guessed == cases.diagnoses))
            model.fit(cases.measurements, cases.diagnoses)
            predictions[name] = model.predict_proba(cases.held_out)[:, 1].round(DIGITS)
    step(len(FAMILIES), len(FAMILIES))
    best = min(right, key=lambda name: (-right[name], name))
    return Trained(predictions, right, best)


def heard(
    scenario: Scenario, predictions: Mapping[str, Probabilities], truth: NDArray[np.int64]
) -> dict[str, Probabilities]:
    """What each expert that is up says in ``scenario``, lies included."""
    lie = (1 - truth).astype(np.float64)
    return {
        name: lie if name in scenario.liars else said
        for name, said in predictions.items()
        if name not in scenario.down
    }


def labels(said: Probabilities | NDArray[np.int64]) -> Sequence[str]:
    """The diagnosis that each probability names; one half is malignant, the careful reading."""
    return [MALIGNANT if sure else BENIGN for sure in said >= 0.5]  # noqa: PLR2004 - one half
