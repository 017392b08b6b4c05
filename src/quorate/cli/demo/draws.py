"""Every way to draw who lies and who is down: the most wrong commits each method can be led to.

The four runs show one draw, made by the seed. A draw may spare a method by luck, and the
best single model more than any: it errs on every patient as soon as it is the one that
lies. So this goes through all draws of a run. Quorate's verdicts are computed here on
arrays, by the same rule and exactly, as probabilities are whole millionths; nothing is
sealed. (For the drawn runs a test holds them to the sealed ones.)
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from itertools import combinations
from typing import Final

import numpy as np

from quorate.cli.demo import methods
from quorate.cli.demo.cases import (
    BENIGN,
    DIGITS,
    FAMILIES,
    MALIGNANT,
    Cases,
    Probabilities,
    Scenario,
    Trained,
    heard,
    labels,
)
from quorate.cli.demo.methods import Answers

_ONE: Final = 10**DIGITS


def by_rule(said: dict[str, Probabilities], absent: int, quorum: Fraction) -> Answers:
    """Weighted quorum over equal weights of 1, for two answers: exact, and on whole arrays.

    Args:
        said: what those who answered said; probabilities of at most ``DIGITS`` decimals.
        absent: how many did not.
        quorum: in (1/2, 1], so that no two answers can both reach it.
    """
    ill = np.rint(np.stack(list(said.values())) * _ONE).astype(np.int64)
    names_ill = 2 * ill >= _ONE
    votes = np.where(names_ill, ill, _ONE - ill)
    total = votes.sum(axis=0) + absent * _ONE
    roster = len(said) + absent
    commits = {}
    for label, those in ((MALIGNANT, names_ill), (BENIGN, ~names_ill)):
        support = (votes * those).sum(axis=0) * quorum.denominator >= total * quorum.numerator
        backing = those.sum(axis=0) * quorum.denominator >= roster * quorum.numerator
        commits[label] = support & backing
    return [
        MALIGNANT if ill else BENIGN if well else None
        for ill, well in zip(commits[MALIGNANT], commits[BENIGN], strict=True)
    ]


def draws(scenario: Scenario) -> Iterator[Scenario]:
    """All runs with as many liars and as many down as ``scenario`` has."""
    for liars in combinations(FAMILIES, len(scenario.liars)):
        others = [name for name in FAMILIES if name not in liars]
        for down in combinations(others, len(scenario.down)):
            yield replace(scenario, liars=liars, down=down)


def worst(scenario: Scenario, cases: Cases, trained: Trained, quorum: Fraction) -> dict[str, int]:
    """The most wrong commits of each method over all draws of ``scenario``."""
    truth = labels(cases.truth)
    most: dict[str, int] = {}
    for drawn in draws(scenario):
        said = heard(drawn, trained.predictions, cases.truth)
        outcomes = {
            methods.BEST_SINGLE: methods.best_single(said, trained.best, len(truth)),
            methods.MAJORITY: methods.majority(said),
            methods.SOFT_VOTE: methods.soft_vote(said),
            methods.QUORATE: by_rule(said, len(drawn.down), quorum),
        }
        for name, answers in outcomes.items():
            wrong = methods.compare(answers, truth, 0.0).wrong
            most[name] = max(most.get(name, 0), wrong)
    return most
