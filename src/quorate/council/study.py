"""How a council votes: blocs and how likely they are, participation, and who always loses.

Agreement is counted as in :mod:`quorate.council.insight`.

The probability. Each voter has a base rate: approvals among all it approved or rejected. If
voters with rates p_i spoke each on its own, those of a group who spoke on a proposal would
all say the same with chance prod(p_i) + prod(1 - p_i). Of the proposals on which two or more
of the group spoke, count those on which all that spoke said the same: the chance of a count
as high is the upper tail of a Poisson binomial, summed exactly (no normal approximation). It
takes the base rates as known, and knows nothing of the cases: easy ones make all agree.

The correction. Who looks at many groups finds one that agrees by chance. With n voters there
are C(n, k) groups of k, and n - 1 sizes; the probability of a group of k is multiplied by
C(n, k) * (n - 1), at most to 1 (Bonferroni over all groups there are, each size having an
equal share). So it holds for every group at once, whatever threshold found it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from importlib import import_module
from importlib.util import find_spec
from itertools import combinations, islice
from math import comb, prod
from typing import Any, Final

from quorate.core.errors import OperationalError
from quorate.core.exact import Number, as_text, exact
from quorate.core.text import counted, printable
from quorate.council.bounds import MAX_BLOCS
from quorate.council.insight import Agreements, agreements, blocs, near_pairs, too_many
from quorate.council.rules.proposal import Proposal, State
from quorate.council.rules.values import Decision, VoteValue

CAVEAT: Final = (
    "Agreement is a reason to look, no proof: honest voters who see the same facts agree too, "
    "and whoever colludes may take care to differ now and then."
)
"""What stands beside every figure on agreement."""

_UNLIKELY: Final = 0.05


@dataclass(frozen=True, slots=True)
class Record:
    """What one voter did.

    Attributes:
        voter: its id.
        called: proposals that it could vote on and that have ended, and open ones on which it
            has voted. Some may have been decided before it came to speak.
        approvals: of its standing votes.
        rejections: likewise.
        abstentions: likewise.
        decided: proposals approved or rejected, not called off, on which it approved or
            rejected.
        lost: those of them that went against it.
    """

    voter: str
    called: int
    approvals: int
    rejections: int
    abstentions: int
    decided: int
    lost: int

    @property
    def spoken(self) -> int:
        """Votes that approve or reject."""
        return self.approvals + self.rejections

    @property
    def participation(self) -> Fraction | None:
        """Approvals and rejections over ``called``, exact; ``None`` if never called."""
        return Fraction(self.spoken, self.called) if self.called else None

    @property
    def base_rate(self) -> Fraction | None:
        """Approvals over approvals and rejections, exact; ``None`` without any."""
        return Fraction(self.approvals, self.spoken) if self.spoken else None

    def to_dict(self) -> dict[str, Any]:
        """As JSON, rates as ``"p/q"``."""
        return {
            "voter": self.voter,
            "called": self.called,
            "approvals": self.approvals,
            "rejections": self.rejections,
            "abstentions": self.abstentions,
            "participation": _text(self.participation),
            "base_rate": _text(self.base_rate),
            "decided": self.decided,
            "lost": self.lost,
        }


@dataclass(frozen=True, slots=True)
class LikelyBloc:
    """A bloc, and how likely so much agreement is among voters that do not heed each other.

    Attributes:
        voters: their ids, sorted.
        shared: fewest shared votes of any two of them.
        agreement: lowest rate of any two of them, exact.
        together: proposals on which two or more of them approved or rejected.
        unanimous: those of them on which all that did said the same.
        probability: of at least so many unanimous ones under independence, 0 to 1; a double,
            so below about 1e-308 it is 0. ``None`` if it was not asked for.
        groups: how many it is multiplied by, for all the groups that there are.
        corrected: the product, at most 1; ``None`` without a probability.
    """

    voters: tuple[str, ...]
    shared: int
    agreement: Fraction
    together: int
    unanimous: int
    probability: float | None
    groups: int
    corrected: float | None

    def to_dict(self) -> dict[str, Any]:
        """As JSON, the rate as ``"p/q"``."""
        return {
            "voters": list(self.voters),
            "shared": self.shared,
            "agreement": as_text(self.agreement),
            "together": self.together,
            "unanimous": self.unanimous,
            "probability": self.probability,
            "groups": self.groups,
            "corrected": self.corrected,
        }

    def describe(self) -> str:
        """Say in a line what was found, and how likely it is."""
        names = ", ".join(map(printable, self.voters))
        found = (
            f"{names}: unanimous on {self.unanimous} of {counted(self.together, 'proposal')} that "
            f"two or more of them voted on; every two agree on {float(self.agreement):.0%} or more "
            f"of {counted(self.shared, 'shared vote')} or more."
        )
        if self.probability is None or self.corrected is None:
            return found
        says = (
            "rarer than chance makes it"
            if self.corrected < _UNLIKELY
            else "no more than chance may make it"
        )
        return (
            f"{found} Probability if each voted on its "
            f"own at its own rate: {_odds(self.probability)}; corrected for {self.groups} groups: "
            f"{_odds(self.corrected)}, {says}."
        )


@dataclass(frozen=True, slots=True)
class Study:
    """How a council votes.

    Attributes:
        proposals: how many were looked at.
        threshold: least rate of agreement of any two of a bloc, exact.
        min_shared: fewest shared votes that say anything.
        records: of every voter, in order of the ids.
        pairs: agreement of every two.
        blocs: the largest first, then in order of the ids.
        losing: voters that lost every decided proposal they approved or rejected, at least
            ``min_shared`` of them. They need not be wrong.
    """

    proposals: int
    threshold: Fraction
    min_shared: int
    records: tuple[Record, ...]
    pairs: Agreements
    blocs: tuple[LikelyBloc, ...]
    losing: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """As JSON; exact rates as ``"p/q"``."""
        return {
            "proposals": self.proposals,
            "threshold": as_text(self.threshold),
            "min_shared": self.min_shared,
            "voters": [record.to_dict() for record in self.records],
            "pairs": [
                {"voters": list(pair), "same": one.same, "shared": one.shared,
                 "rate": _text(one.rate)}
                for pair, one in self.pairs.items()
            ],
            "blocs": [bloc.to_dict() for bloc in self.blocs],
            "always_losing": list(self.losing),
            "caveat": CAVEAT,
        }  # fmt: skip

    def describe(self) -> str:
        """Say in some lines what was found."""
        first = (
            f"{counted(len(self.records), 'voter')}, {counted(self.proposals, 'proposal')}; blocs "
            f"are groups of whom every two agree on {float(self.threshold):.1%} or more of "
            f"{counted(self.min_shared, 'shared vote')} or more"
        )
        found = [bloc.describe() for bloc in self.blocs] or ["no such bloc"]
        decided = {record.voter: record.decided for record in self.records}
        losing = [
            f"{printable(voter)} lost all {decided[voter]} decided votes it took part in; it may "
            "be wrong, bought, or the only one that is right"
            for voter in self.losing
        ]
        return "\n".join([first, *found, *losing, CAVEAT])


def study(
    voters: Sequence[str],
    proposals: Iterable[Proposal],
    threshold: Number = 0.9,
    min_shared: int = 3,
    *,
    probabilities: bool = True,
) -> Study:
    """Look at how a council votes.

    Args:
        voters: ids, such as ``ConsensusProtocol.voter_ids``.
        proposals: such as ``ConsensusProtocol.list_proposals()``.
        threshold: least rate of agreement of any two of a bloc, above 0 and at most 1, exact.
        min_shared: fewest shared votes of any two of a bloc, and fewest decided votes before
            somebody is said always to lose; at least 1.
        probabilities: say how likely each bloc is; without, all else is found, by no library.

    Raises:
        UsageError: an argument out of range, or more than ``bounds.MAX_BLOCS`` blocs.
        OperationalError: NetworkX or SciPy is not installed, and probabilities are asked for.
    """
    networkx = _library("networkx") if probabilities else None
    stats = _library("scipy.stats") if probabilities else None
    known, looked = sorted(voters), list(proposals)
    pairs = agreements(known, looked)
    if networkx is None:
        groups = [bloc.voters for bloc in blocs(known, pairs, threshold, min_shared)]
    else:
        near = near_pairs(pairs, threshold, min_shared)
        groups = [tuple(sorted(group)) for group in _bounded(networkx, near)]
    records = tuple(_record(voter, looked) for voter in known)
    rates = {record.voter: record.base_rate or Fraction(0) for record in records}
    ballots = _ballots(known, looked)
    return Study(
        proposals=len(looked),
        threshold=exact(threshold, "threshold"),
        min_shared=min_shared,
        records=records,
        pairs=pairs,
        blocs=tuple(
            _likely(group, pairs, rates, ballots, stats)
            for group in sorted(groups, key=lambda g: (-len(g), g))
        ),
        losing=tuple(r.voter for r in records if r.lost == r.decided >= min_shared),
    )


def has_libraries() -> bool:
    """Whether NetworkX and SciPy are installed, which the probabilities need."""
    return find_spec("networkx") is not None and find_spec("scipy") is not None


def _library(name: str) -> Any:
    try:
        return import_module(name)
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] != name.partition(".")[0]:
            raise
        raise OperationalError(
            "who votes with whom is found by NetworkX and SciPy, and one of them is not "
            'installed; run: pip install "quorate[insight]"'
        ) from error


def _bounded(networkx: Any, near: list[tuple[str, str]]) -> list[list[str]]:
    """Maximal cliques of two or more."""
    graph = networkx.Graph()
    graph.add_edges_from(near)
    found = list(islice(networkx.find_cliques(graph), MAX_BLOCS + 1))
    if len(found) > MAX_BLOCS:
        raise too_many()
    return found


def _record(voter: str, proposals: Iterable[Proposal]) -> Record:
    said: Counter[VoteValue] = Counter()
    called = decided = lost = 0
    for proposal in proposals:
        vote = proposal.votes.get(voter)
        if vote is None:
            might = voter in proposal.electorate.units and voter != proposal.recused
            called += might and proposal.state is not State.OPEN
            continue
        called += 1
        said[vote.value] += 1
        result = proposal.result
        if vote.value is VoteValue.ABSTAIN or result is None or result.by == "cancel":
            continue
        if result.decision in {Decision.APPROVED, Decision.REJECTED}:
            decided += 1
            lost += result.approved is not (vote.value is VoteValue.APPROVE)
    return Record(
        voter,
        called,
        said[VoteValue.APPROVE],
        said[VoteValue.REJECT],
        said[VoteValue.ABSTAIN],
        decided,
        lost,
    )


_Sides = tuple[frozenset[str], frozenset[str]]


def _ballots(voters: Sequence[str], proposals: Iterable[Proposal]) -> Counter[_Sides]:
    """How often which voters approved and which rejected."""
    known = frozenset(voters)
    found: Counter[_Sides] = Counter()
    for proposal in proposals:
        sides = tuple(
            known & {voter for voter, vote in proposal.votes.items() if vote.value is value}
            for value in (VoteValue.APPROVE, VoteValue.REJECT)
        )
        found[sides[0], sides[1]] += 1
    return found


def _likely(
    group: tuple[str, ...],
    pairs: Agreements,
    rates: Mapping[str, Fraction],
    ballots: Counter[_Sides],
    stats: Any,
) -> LikelyBloc:
    members = frozenset(group)
    spoke: Counter[frozenset[str]] = Counter()
    unanimous = 0
    for (approving, rejecting), times in ballots.items():
        for_it, against = approving & members, rejecting & members
        if len(for_it) + len(against) > 1:
            spoke[for_it | against] += times
            unanimous += 0 if for_it and against else times
    alike: Counter[Fraction] = Counter()
    for who, times in spoke.items():
        alike[_unanimity([rates[voter] for voter in who])] += times
    probability = None if stats is None else _tail(alike, unanimous, stats)
    n, k = len(rates), len(group)
    groups = comb(n, k) * (n - 1)
    within = [pairs[pair] for pair in combinations(group, 2)]
    return LikelyBloc(
        voters=group,
        shared=min(pair.shared for pair in within),
        agreement=min(pair.rate or Fraction(0) for pair in within),
        together=spoke.total(),
        unanimous=unanimous,
        probability=probability,
        groups=groups,
        corrected=None if probability is None else min(1.0, probability * groups),
    )


def _unanimity(rates: Sequence[Fraction]) -> Fraction:
    """Chance that all say the same, each on its own."""
    return prod(rates, start=Fraction(1)) + prod((1 - rate for rate in rates), start=Fraction(1))


def _tail(chances: Mapping[Fraction, int], least: int, stats: Any) -> float:
    """Chance of ``least`` or more successes in independent trials: chance -> how many of it.

    Sums of products of positive numbers alone, so small tails keep their relative precision.
    """
    import numpy as np  # noqa: PLC0415 - SciPy's own, loaded with it

    masses = np.ones(1)
    for chance, times in sorted(chances.items()):
        masses = np.convolve(masses, stats.binom.pmf(np.arange(times + 1), times, float(chance)))
    return min(1.0, float(masses[least:].sum()))


def _odds(probability: float) -> str:
    return "below 1e-300" if probability < 1e-300 else f"{probability:.2g}"  # noqa: PLR2004


def _text(rate: Fraction | None) -> str | None:
    return None if rate is None else as_text(rate)
