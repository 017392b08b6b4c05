"""Decision quality: what each rule makes of the same answers, liars among them.

    python -m benchmarks.quality [--quick] [--json PATH]

Seven classifiers read the handwritten digits that ship inside scikit-learn, trained on one
half, and say how sure they are. Then k of them lie: they know the truth, agree on one
wrong digit (the one that the honest find likeliest), rank it first, and claim to be sure.
Every rule folds exactly the same proposals. ``timid`` is the same with the confidence of
the honest halved: whoever weighs by claimed confidence hears the liars twice as loud.

Which experts lie is drawn anew for each image, with one seed.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.progress import track
from rich.table import Table

from quorate.arbitration import (
    FirstToQuorumArbiter,
    Pending,
    Proposal,
    RankedRunoffArbiter,
    SynthesisArbiter,
    UnderQuorum,
    WeightedQuorumArbiter,
)
from quorate.hub import Proposals

SEED: Final = 1797
QUORUM: Final = 0.66
TRAINED_ON: Final = 900
LIARS: Final = (0, 1, 2, 3, 4)
MOODS: Final = ("as they are", "timid")
Shares = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Case:
    """One image, as seven experts answered it.

    Attributes:
        truth: the digit it shows.
        proposals: one of each expert, in order of id.
        shares: probability of each digit as each expert states it, shape [7, 10].
        liars: ids of those that lie.
        order: ids in the order in which they arrive.
    """

    truth: int
    proposals: tuple[Proposal, ...]
    shares: Shares
    liars: frozenset[str]
    order: tuple[str, ...]

    @property
    def honest_all_right(self) -> bool:
        """Whether every honest expert names the digit."""
        return all(p.payload == self.truth for p in self.proposals if p.expert_id not in self.liars)

    def honest_backer(self, answer: object) -> bool:
        """Whether an honest expert gave that answer."""
        return any(p.payload == answer for p in self.proposals if p.expert_id not in self.liars)


@dataclass(slots=True)
class Score:
    """What one rule made of all cases of one kind.

    Attributes:
        right, wrong, refused: they add up to the cases.
        unbacked: commits that no honest expert had proposed.
        misled: wrong commits where every honest expert was right.
    """

    right: int = 0
    wrong: int = 0
    refused: int = 0
    unbacked: int = 0
    misled: int = 0

    def add(self, case: Case, answer: int | None) -> None:
        """Count one answer; ``None`` is a refusal."""
        if answer is None:
            self.refused += 1
            return
        if answer == case.truth:
            self.right += 1
        else:
            self.wrong += 1
            self.misled += case.honest_all_right
        self.unbacked += not case.honest_backer(answer)


Rule = Callable[[Case], int | None]


def majority(case: Case) -> int | None:
    """More than half of the voices."""
    answer, voices = Counter(int(p.payload) for p in case.proposals).most_common(1)[0]
    return answer if 2 * voices > len(case.proposals) else None


def confidence_weighted(case: Case) -> int | None:
    """The answer with the greatest summed confidence."""
    sums: dict[int, float] = {}
    for proposal in case.proposals:
        sums[proposal.payload] = sums.get(proposal.payload, 0.0) + proposal.vote
    return max(sorted(sums), key=lambda answer: sums[answer])


def share_of_votes(case: Case) -> int | None:
    """The same, if it holds the quorum of the votes; no share of the roster is asked for."""
    answer = confidence_weighted(case)
    total = sum(p.vote for p in case.proposals)
    held = sum(p.vote for p in case.proposals if p.payload == answer)
    return answer if total and held / total >= QUORUM else None


def soft_voting(case: Case) -> int | None:
    """The digit of the greatest mean probability."""
    return int(case.shares.mean(axis=0).argmax())


def _committed(arbiter: Any, proposals: Sequence[Proposal]) -> int | None:
    try:
        return int(arbiter.arbitrate(proposals).consensus)
    except UnderQuorum:
        return None


def weighted_quorum(case: Case) -> int | None:
    """Ours: the votes and the roster's weight both reach the quorum."""
    return _committed(WeightedQuorumArbiter(QUORUM), case.proposals)


def ranked_runoff(case: Case) -> int | None:
    """Ours: instant runoff over whole rankings."""
    return _committed(RankedRunoffArbiter(QUORUM), case.proposals)


def synthesis(case: Case) -> int | None:
    """Ours: a merge by mean probability, ratified by experts that had the same answer."""
    merged = soft_voting(case)
    own = {p.expert_id: p.payload for p in case.proposals}
    arbiter = SynthesisArbiter(
        QUORUM,
        merge=lambda _: merged,
        ratify=lambda expert_id, payload: payload == own[expert_id],
    )
    return _committed(arbiter, case.proposals)


def first_to_quorum(early: str) -> Rule:
    """Ours: commit at the first arrival that allows it."""
    arbiter = FirstToQuorumArbiter(QUORUM, early=early)

    def decide(case: Case) -> int | None:
        by_id = {p.expert_id: p for p in case.proposals}
        for arrived in range(1, len(case.order) + 1):
            here = [by_id[id_] for id_ in case.order[:arrived]]
            away = [Pending(id_, by_id[id_].route_weight) for id_ in case.order[arrived:]]
            standing = arbiter.standing(here, (), away)
            if standing == "commit":
                return _committed(arbiter, Proposals(here, (), away))
            if standing == "refuse":
                return None
        return None

    return decide


RULES: Final[Mapping[str, Rule]] = {
    "plain majority": majority,
    "confidence-weighted": confidence_weighted,
    "share of votes alone": share_of_votes,
    "soft voting": soft_voting,
    "weighted-quorum": weighted_quorum,
    "ranked-runoff": ranked_runoff,
    "synthesis, ratified": synthesis,
    "first-to-quorum, certain": first_to_quorum("certain"),
    "first-to-quorum, fast": first_to_quorum("fast"),
}
OURS: Final = tuple(name for name in RULES if name.split(",")[0] not in list(RULES)[:4])


def predictions() -> tuple[dict[str, Shares], NDArray[np.int64]]:
    """Train seven models; their probabilities of each digit, [images, 10], and the truth."""
    from sklearn.calibration import CalibratedClassifierCV
    from sklearn.datasets import load_digits
    from sklearn.ensemble import ExtraTreesClassifier
    from sklearn.linear_model import LogisticRegression
    from sklearn.naive_bayes import GaussianNB
    from sklearn.neighbors import KNeighborsClassifier
    from sklearn.neural_network import MLPClassifier
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler
    from sklearn.svm import SVC
    from sklearn.tree import DecisionTreeClassifier

    models = {
        "bayes": GaussianNB(var_smoothing=1e-2),
        "logistic": make_pipeline(StandardScaler(), LogisticRegression(max_iter=500)),
        "neighbours": KNeighborsClassifier(5),
        "network": make_pipeline(
            StandardScaler(), MLPClassifier((32,), max_iter=400, random_state=0)
        ),
        "svm": CalibratedClassifierCV(SVC(), ensemble=False),
        "tree": DecisionTreeClassifier(random_state=0),
        "trees": ExtraTreesClassifier(40, random_state=0),
    }
    pixels, digits = load_digits(return_X_y=True)
    said = {}
    for id_, model in models.items():
        model.fit(pixels[:TRAINED_ON], digits[:TRAINED_ON])
        # What further digits say differs between machines.
        said[id_] = np.round(model.predict_proba(pixels[TRAINED_ON:]), 6)
    return said, digits[TRAINED_ON:]


def cases(
    said: Mapping[str, Shares], truth: NDArray[np.int64], liars: int, factor: float, most: int
) -> list[Case]:
    """All cases with that many liars, the confidence of the honest times ``factor``."""
    chosen = random.Random(SEED + liars)
    ids = sorted(said)
    made = []
    for image in range(min(most, len(truth))):
        lying = frozenset(chosen.sample(ids, liars))
        order = tuple(chosen.sample(ids, len(ids)))
        right = int(truth[image])
        honest = sum(said[id_][image] for id_ in ids if id_ not in lying)
        rivals = np.array(honest, dtype=float)
        rivals[right] = -1
        lie = int(rivals.argmax())
        shares = np.stack([said[id_][image] for id_ in ids])
        proposals = []
        for row, id_ in enumerate(ids):
            if id_ in lying:
                shares[row] = np.eye(10)[lie]
            order_of_shares = np.argsort(-shares[row], kind="stable")
            ranking = [int(digit) for digit in order_of_shares if shares[row][digit] > 0]
            sure = float(shares[row].max()) * (1 if id_ in lying else factor)
            proposals.append(Proposal(id_, ranking[0], round(sure, 6), 1, ranking=ranking))
        made.append(Case(right, tuple(proposals), shares, lying, order))
    return made


@dataclass(frozen=True, slots=True)
class Result:
    """The scores of one rule: mood -> number of liars -> score."""

    rule: str
    scores: dict[str, dict[int, Score]] = field(default_factory=dict)


def measure(most: int, console: Console) -> list[Result]:
    """Fold every case by every rule."""
    said, truth = predictions()
    results = {name: Result(name, {mood: {} for mood in MOODS}) for name in RULES}
    rounds = [(mood, k) for mood in MOODS for k in LIARS]
    for mood, k in track(rounds, "folding", console=console, transient=True):
        put = cases(said, truth, k, 1.0 if mood == MOODS[0] else 0.5, most)
        for name, rule in RULES.items():
            score = results[name].scores[mood][k] = Score()
            for case in put:
                score.add(case, rule(case))
    return list(results.values())


def tables(results: Sequence[Result], mood: str) -> Table:
    """Right / wrong / refused of each rule, per number of liars."""
    table = Table(
        title=f"right / wrong / refused, the honest {mood}", title_justify="left", box=SIMPLE_HEAD
    )
    table.add_column("rule", no_wrap=True)
    for k in LIARS:
        table.add_column(f"{k} of 7 lie", justify="right", no_wrap=True)
    for result in results:
        cells = []
        for k in LIARS:
            score = result.scores[mood][k]
            cells.append(f"{score.right} / {score.wrong} / {score.refused}")
        table.add_row(result.rule, *cells)
    return table


def breaking(results: Sequence[Result]) -> Table:
    """Where each rule breaks: the least number of liars at which it fails in a given way."""
    table = Table(title="where each rule breaks", title_justify="left", box=SIMPLE_HEAD)
    table.add_column("rule", no_wrap=True)
    heads = ("commits what no honest expert said", "wrong though every honest expert is right")
    for mood in MOODS:
        for head in heads:
            table.add_column(f"{head} (honest {mood})", justify="right")
    for result in results:
        row = []
        for mood in MOODS:
            for name in ("unbacked", "misled"):
                at = [k for k in LIARS if getattr(result.scores[mood][k], name)]
                row.append(f"from {at[0]} liars" if at else "not up to 4")
        table.add_row(result.rule, *row)
    return table


def promises_broken(results: Sequence[Result]) -> list[str]:
    """What our protocols promise for up to 2 liars of 7, where it did not hold."""
    return [
        f"{result.rule}, {k} liars, honest {mood}: {score.unbacked} commits without an honest "
        f"backer, {score.misled} wrong where every honest expert was right"
        for result in results
        if result.rule in OURS
        for mood, by_liars in result.scores.items()
        for k, score in by_liars.items()
        if k <= 2 and (score.unbacked or score.misled)
    ]


def main() -> int:
    """Measure and print; 1 if a promise did not hold."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.quality", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="the first 150 images only")
    parser.add_argument("--json", type=Path, metavar="PATH", help="where figures go")
    arguments = parser.parse_args()
    results = measure(150 if arguments.quick else 10_000, Console(stderr=True))
    console = Console(width=None if sys.stdout.isatty() else 150)
    for mood in MOODS:
        console.print(tables(results, mood))
    console.print(breaking(results))
    broken = promises_broken(results)
    for line in broken:
        console.print(f"[red]broken:[/red] {line}")
    if arguments.json:
        arguments.json.write_text(
            json.dumps([_plain(r) for r in results], indent=2) + "\n", "utf-8"
        )
    return 1 if broken else 0


def _plain(result: Result) -> dict[str, Any]:
    return {
        "rule": result.rule,
        "scores": {
            mood: {
                str(k): {name: getattr(score, name) for name in Score.__slots__}
                for k, score in by_liars.items()
            }
            for mood, by_liars in result.scores.items()
        },
    }


if __name__ == "__main__":
    sys.exit(main())
