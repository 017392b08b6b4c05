"""``ranked-runoff``: instant runoff over rankings, committed only with a quorum behind it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

from quorate.arbitration import wording
from quorate.arbitration.arbiters.base import (
    DEFAULT_QUORUM,
    QuorumArbiter,
    group_trace,
    outside,
    proposal_of,
    shares,
)
from quorate.arbitration.arbiters.spelling import spelled_by
from quorate.arbitration.counted import Counted, count
from quorate.arbitration.decision import Decision, Tally
from quorate.arbitration.forms import shown
from quorate.arbitration.intake import Intake
from quorate.arbitration.normal import Normalize
from quorate.arbitration.proposal import Proposal, plain_copy
from quorate.arbitration.rules import ranked as pure
from quorate.arbitration.rules.runoff import order_key
from quorate.arbitration.rules.weighted import Group
from quorate.core import limits
from quorate.core.canonical import CanonicalError, JSONValue, canonical, digest
from quorate.core.errors import UsageError, UsageTypeError
from quorate.core.exact import Number, as_text


@dataclass(frozen=True, slots=True, init=False)
class RankedRunoffArbiter(QuorumArbiter):
    """Commits the winner of an instant runoff if votes and weight that end with it suffice.

    A proposal ranks options, best first; the first is its payload, and without a ranking
    the payload is all it ranks. Of an option ranked twice the first place counts. A
    ranking that begins with something else, names an undeclared option or one that the
    normaliser cannot read, or is longer than ``limits.MAX_RANKING``, makes its proposal
    void. Where no options are declared, those are options that some ballot puts first; a
    later place that names anything else is passed over. So nobody can bring in more than
    one. Who wins is the same: an option that nobody puts first has no votes, and would be
    eliminated before any that has. The rule is :mod:`quorate.arbitration.rules.ranked`.

    Attributes:
        options: JSON values that may be ranked; ``None`` for all that somebody puts first.
    """

    # Compared by their canonical bytes: True == 1 in Python.
    options: tuple[JSONValue, ...] | None = field(compare=False)
    _options_json: bytes | None = field(repr=False)

    protocol: ClassVar[str] = "ranked-runoff"
    rule: ClassVar[str] = pure.RULE

    def __init__(
        self,
        quorum: Number = DEFAULT_QUORUM,
        *,
        normalize: Normalize = None,
        options: Sequence[JSONValue] | None = None,
    ) -> None:
        """Take the threshold, and the options if they are declared.

        Raises:
            UsageTypeError: ``quorum`` is not a number, ``normalize`` no way of comparing,
                or ``options`` no list.
            UsageError: ``quorum`` is not in (0, 1], a name is unknown, or an option is no
                JSON, or there are none, or more than ``limits.MAX_OPTIONS``.
        """
        QuorumArbiter.__init__(self, quorum, normalize=normalize)
        kept = None if options is None else _read_options(options)
        object.__setattr__(self, "options", kept)
        object.__setattr__(self, "_options_json", None if kept is None else canonical(list(kept)))
        if kept is not None and self.normaliser.function is None:
            self._declared()

    @property
    def parameters(self) -> dict[str, Any]:
        """All that the rule was given, as JSON, numbers exact; options only where declared."""
        declared = {} if self.options is None else {"options": plain_copy(list(self.options))}
        return {**self._quorum_parameters(), **declared}

    def payloads(self, intake: Intake) -> Iterator[tuple[JSONValue, str]]:
        """Every value that the fold may normalise, with its digest."""
        yield from QuorumArbiter.payloads(self, intake)
        for option in self.options or ():
            yield option, digest(option)
        for proposal in intake.proposals:
            for option in (proposal.ranking or ())[: limits.MAX_RANKING]:
                yield option, digest(option)

    def folded(self, intake: Intake) -> Decision | Tally:
        """Fold what was taken in; a refusal is returned, not raised.

        Raises:
            UsageError: a declared option cannot be normalised, or two become the same.
        """
        counted, rankings, seen = self._read(count(intake, self.normaliser))
        # The greater option leaves first: they are numbered in that order.
        order = sorted(seen, key=lambda normal: order_key(seen[normal]))
        number = {normal: index for index, normal in enumerate(order)}
        ballots = [
            pure.RankedBallot(
                p.expert_id,
                tuple(number[normal] for normal in rankings[p.expert_id]),
                p.exact_weight,
                p.exact_confidence,
            )
            for p in counted.proposals
        ]
        fold = pure.ranked_runoff(ballots, counted.away, len(order), self.exact_quorum)
        trace = self._runoff_trace(intake, counted, fold, [(o, seen[o]) for o in order])
        shared = {
            **self._common(intake, counted),
            **shares(fold.support, fold.backing),
            "trace": trace,
        }
        if fold.reason is not None:
            leader = trace["groups"][0]["digest"] if trace["groups"] else None
            return Tally(**shared, reason=fold.reason, leader=leader)
        dissenting = sorted([*outside(fold.groups[1:]), *fold.exhausted])
        value = self._spelled(counted, fold.groups[0], order[fold.options[0]])
        trace["groups"][0]["answer"] = wording.preview(canonical(value))
        return Decision(
            **shared,
            consensus=plain_copy(value),
            digest=digest(value),
            dissenting=tuple(dissenting),
        )

    def _spelled(self, counted: Counted, group: Group, option: str) -> JSONValue:
        """The spelling of the winning option that is committed, of those its ballots rank."""
        said: dict[str, JSONValue] = {}
        for name in group.members:
            proposal = proposal_of(counted, name)
            ranked = (proposal.payload,) if proposal.ranking is None else proposal.ranking
            said[name] = next(
                one for one in ranked if self.normaliser.digest_of(one, digest(one)) == option
            )
        return said[spelled_by(counted, group, {n: digest(one) for n, one in said.items()})]

    def _declared(self) -> dict[str, JSONValue]:
        """The declared options by the digest of their normal form."""
        found: dict[str, JSONValue] = {}
        for option in self.options or ():
            normal = self.normaliser.digest_of(option, digest(option))
            if normal is None:
                raise UsageError(
                    f"the option {shown(option)} has no normal form under "
                    f"{self.normaliser.name!r}; declare options that have one"
                )
            if normal in found:
                raise UsageError(
                    f"the options {shown(found[normal])} and {shown(option)} are the same under "
                    f"{self.normaliser.name!r}; declare one of them"
                )
            found[normal] = option
        return found

    def _read(self, counted: Counted) -> tuple[Counted, dict[str, list[str]], dict[str, JSONValue]]:
        """Read the rankings.

        Returns:
            What counts; of each expert its options, by normal digest; and each option's
            value, where not declared the first of its spellings.
        """
        declared = None if self.options is None else self._declared()
        faults: dict[str, str] = {}
        rankings: dict[str, list[str]] = {}
        spellings: list[tuple[str, JSONValue]] = []
        for proposal in counted.proposals:
            read = self._ranking(proposal, counted.normal[proposal.digest], declared)
            if isinstance(read, str):
                faults[proposal.expert_id] = read
            else:
                rankings[proposal.expert_id] = list(dict.fromkeys(normal for normal, _ in read))
                spellings += read
        if declared is not None:
            return counted.without(faults), rankings, declared
        seen: dict[str, JSONValue] = {}
        for normal, value in spellings:
            if normal not in seen or order_key(value) < order_key(seen[normal]):
                seen[normal] = value
        firsts = {ranking[0] for ranking in rankings.values()}
        rankings = {
            who: [option for option in ranking if option in firsts]
            for who, ranking in rankings.items()
        }
        return (
            counted.without(faults),
            rankings,
            {normal: value for normal, value in seen.items() if normal in firsts},
        )

    def _ranking(
        self, proposal: Proposal, first: str, declared: Mapping[str, JSONValue] | None
    ) -> list[tuple[str, JSONValue]] | str:
        """One ranking as (normal digest, value) pairs, or what is wrong with it."""
        ranked = (proposal.payload,) if proposal.ranking is None else proposal.ranking
        if len(ranked) > limits.MAX_RANKING:
            return f"its ranking has {len(ranked)} places; at most {limits.MAX_RANKING} may be"
        read: list[tuple[str, JSONValue]] = []
        for place, option in enumerate(ranked, 1):
            found = digest(option)
            normal = self.normaliser.digest_of(option, found)
            if normal is None:
                return (
                    f"place {place} of its ranking, digest {found}, has no normal form under "
                    f"{self.normaliser.name!r}"
                )
            if declared is not None and normal not in declared:
                return f"place {place} of its ranking, digest {found}, is no declared option"
            read.append((normal, option))
        if not read or read[0][0] != first:
            return "its ranking does not begin with its payload"
        return read

    def _runoff_trace(
        self,
        intake: Intake,
        counted: Counted,
        fold: pure.RankedFold,
        options: Sequence[tuple[str, JSONValue]],
    ) -> dict[str, Any]:
        names = [normal for normal, _ in options]
        answers = [wording.preview(canonical(value)) for _, value in options]
        groups = []
        for option, group in zip(fold.options, fold.groups, strict=True):
            top = proposal_of(counted, group.top)
            own = counted.normal[top.digest] == names[option]
            answer = intake.answers[top.digest] if own else answers[option]
            groups.append(group_trace(group, names[option], answer))
        sums = {
            "total_votes": fold.total_votes,
            "absent_weight": fold.absent_weight,
            "roster_weight": fold.roster_weight,
        }
        lost = fold.condorcet is not None and fold.condorcet != fold.winner
        return {
            **self._trace(counted, groups, sums),
            "options": [
                {"digest": name, "answer": answer}
                for name, answer in zip(names, answers, strict=True)
            ],
            "rounds": [_round(one, names) for one in fold.rounds],
            "exhausted": list(fold.exhausted),
            "condorcet": names[fold.condorcet] if lost and fold.condorcet is not None else None,
        }


def _round(one: pure.RankedRound, names: Sequence[str]) -> dict[str, Any]:
    """One round as a trace holds it."""
    return {
        "tally": None
        if one.tally is None
        else {names[o]: as_text(votes) for o, votes in one.tally.items()},
        "eliminated": None if one.eliminated is None else names[one.eliminated],
        "exhausted": as_text(one.exhausted),
    }


def _read_options(options: object) -> tuple[JSONValue, ...]:
    if not isinstance(options, list | tuple):
        raise UsageTypeError(f"options is a {type(options).__name__}; give a list of JSON values")
    if not 1 <= len(options) <= limits.MAX_OPTIONS:
        raise UsageError(
            f"there are {len(options)} options; a runoff is between 1 to {limits.MAX_OPTIONS}"
        )
    try:
        canonical(list(options))
    except CanonicalError as error:
        raise UsageError(f"the options are no JSON: {error}") from error
    return tuple(plain_copy(option) for option in options)
