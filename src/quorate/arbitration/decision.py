"""What comes out: a decision, or a refusal that holds the whole tally.

Both hold the shares as nearest doubles for people and programs, and exactly as
``"p/q"``; both say in one paragraph why they came out so, and both survive a round trip
through JSON unchanged.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

from quorate.arbitration import rules, wording
from quorate.arbitration.forms import as_given, as_number, hex_digest, items, members, ratio, text
from quorate.arbitration.proposal import Absence, plain_copy
from quorate.core import limits
from quorate.core.canonical import JSONValue, canonical, digest
from quorate.core.errors import NoQuorum, UsageError, UsageTypeError
from quorate.core.text import printable

COMMITTED = "committed"
REFUSED = "refused"

_INDEPENDENCE = (
    "The experts' independence is undeclared: those that share a model, host or vendor "
    "err together, and are counted here as if they did not."
)
_TRACE = ("rule", "groups", "void", "total_votes", "absent_weight", "roster_weight")
_GROUP = ("digest", "answer", "votes", "weight", "top_vote", "top", "members")
_SHARED = (
    "status",
    "protocol",
    "quorum",
    "quorum_exact",
    "support",
    "support_exact",
    "backing",
    "backing_exact",
    "engaged",
    "absent",
    "cost",
    "cost_exact",
    "trace",
)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Verdict:
    """What a decision and a refusal have in common.

    Attributes:
        protocol: name of the protocol, such as ``"weighted-quorum"``.
        quorum: the threshold: the double that writes it exactly, else a Fraction.
        support: leader's votes / (all votes + route weight of the absent), nearest double.
        backing: leader's route weight / the roster's, nearest double.
        engaged: ids of the experts whose proposals were folded, sorted.
        absent: absences, sorted by expert; equivocators are among them, as ``void``.
        cost: sum over all proposals received, in the caller's unit.
        trace: JSON: rule version, groups in order (leader first), void, totals, all exact.
        quorum_exact, support_exact, backing_exact, cost_exact: the same as ``"p/q"``.
    """

    protocol: str
    quorum: float | Fraction
    support: float
    backing: float
    engaged: tuple[str, ...]
    absent: tuple[Absence, ...]
    cost: int | float
    trace: dict[str, Any] = field(repr=False)
    quorum_exact: str
    support_exact: str
    backing_exact: str
    cost_exact: str

    def to_dict(self) -> dict[str, Any]:
        """As JSON; ``from_dict`` gives an equal object back."""
        return {
            "protocol": self.protocol,
            "quorum": _plain(float(self.quorum)),
            "quorum_exact": self.quorum_exact,
            "support": _plain(self.support),
            "support_exact": self.support_exact,
            "backing": _plain(self.backing),
            "backing_exact": self.backing_exact,
            "engaged": list(self.engaged),
            "absent": [absence.to_dict() for absence in self.absent],
            "cost": self.cost,
            "cost_exact": self.cost_exact,
            "trace": plain_copy(self.trace),
        }

    def __eq__(self, other: object) -> bool:
        if type(other) is not type(self):
            return NotImplemented
        # Python holds True == 1 and 1 == 1.0; canonical bytes hold what is the same JSON.
        return canonical(self.to_dict()) == canonical(other.to_dict())

    def __hash__(self) -> int:
        return hash((self.protocol, self.quorum_exact, self.support_exact, self.engaged))

    def _group_words(self, group: Mapping[str, Any]) -> str:
        total = ratio(self.trace["total_votes"], "total_votes")
        total += ratio(self.trace["absent_weight"], "absent_weight")
        share = ratio(group["votes"], "votes") / total if total else Fraction(0)
        told = wording.answer(group["answer"], group["digest"])
        return f"{wording.names(group['members'])} for {told} with {wording.percent(share)}"

    def _rest_words(self) -> str:
        """The dissenters and the absent, in sentences."""
        said = []
        against = self.trace["groups"][1:]
        if against:
            told = "; ".join(self._group_words(group) for group in against[:_MOST_TOLD])
            left = len(against) - _MOST_TOLD
            said.append(f"Dissent: {told}{f'; and {left} more answers' if left > 0 else ''}.")
        elif self.trace["groups"]:
            said.append("Nobody dissented.")
        if self.absent:
            roster = ratio(self.trace["roster_weight"], "roster_weight")
            told = "; ".join(_absence_words(one, roster) for one in self.absent[:_MOST_TOLD])
            left = len(self.absent) - _MOST_TOLD
            more = f"; and {left} more" if left > 0 else ""
            said.append(f"Absent, and counted against the quorum: {told}{more}.")
        else:
            said.append("Nobody was absent.")
        return " ".join(said)


_MOST_TOLD = 12


def _plain(value: float) -> int | float:
    """The same JSON number, in the form that the fast encoder writes as RFC 8785 does."""
    return int(value) if value.is_integer() else value


def _absence_words(absence: Absence, roster: Fraction) -> str:
    share = absence.exact_weight / roster if roster else Fraction(0)
    why = absence.reason.replace("_", " ")
    if absence.detail:
        why += f": {printable(absence.detail)}"
    who = printable(absence.expert_id)
    return f"{who} ({why}; {wording.percent(share)} of the weight)"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Decision(_Verdict):
    """A committed answer.

    Two decisions are equal where their :meth:`to_dict` is the same JSON.

    Attributes:
        consensus: the payload committed, a JSON copy that nobody else holds.
        digest: SHA-256 of the canonical consensus, 64 hex digits.
        dissenting: ids of those that proposed another answer, sorted.
        by_quorum: False where a declared policy let something other than a quorum decide.
        parent: digest of the weaker decision this one grew out of, or ``None``.
    """

    consensus: JSONValue
    digest: str
    dissenting: tuple[str, ...]
    by_quorum: bool = True
    parent: str | None = None

    def describe(self) -> str:
        """Say in one paragraph what was decided, by whom, and over whose dissent."""
        leader = self.trace["groups"][0]
        threshold = Fraction(self.quorum_exact)
        support = wording.percent(Fraction(self.support_exact), threshold)
        backing = wording.percent(Fraction(self.backing_exact), threshold)
        how = "" if self.by_quorum else " It was not decided by a quorum, but by a declared policy."
        return (
            f"Committed {wording.answer(leader['answer'], self.digest)}: "
            f"{wording.names(leader['members'])} agreed, with {support} of the votes "
            f"(route weight times claimed confidence) and {backing} of the roster's route "
            f"weight; {self.protocol} asks for {wording.quorum_percent(threshold)} of both."
            f"{how} {self._rest_words()} {_INDEPENDENCE}"
        )

    def to_dict(self) -> dict[str, Any]:
        """As JSON; :meth:`from_dict` gives an equal decision back."""
        return {
            "status": COMMITTED,
            # Named: a slotted dataclass is a new class, which bare super() does not know.
            **_Verdict.to_dict(self),
            "consensus": plain_copy(self.consensus),
            "digest": self.digest,
            "dissenting": list(self.dissenting),
            "by_quorum": self.by_quorum,
            "parent": self.parent,
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Decision:
        """Read back what :meth:`to_dict` wrote.

        The form is checked, the doubles against the exact shares and the digest against
        the consensus; whether the verdict follows from its proposals is for
        :func:`quorate.arbitration.sealed.replay`.

        Raises:
            UsageError: a key is missing, unknown, or not as :meth:`to_dict` writes it.
        """
        own = ("consensus", "digest", "dissenting", "by_quorum", "parent")
        form = members(data, "the decision", (*_SHARED, *own))
        shared = _read_shared(form, COMMITTED)
        if not shared["trace"]["groups"]:
            raise UsageError("trace.groups is empty; a decision has at least its own group")
        if not isinstance(form["by_quorum"], bool):
            raise UsageTypeError("by_quorum should be true or false")
        found = digest(form["consensus"])
        if form["digest"] != found:
            raise UsageError(f"digest is {form['digest']!r}, but the consensus has {found!r}")
        parent = form["parent"]
        return cls(
            **shared,
            consensus=plain_copy(form["consensus"]),
            digest=found,
            dissenting=items(form["dissenting"], "dissenting", _read_id),
            by_quorum=form["by_quorum"],
            parent=None if parent is None else hex_digest(parent, "parent"),
        )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Tally(_Verdict):
    """All that is known of a fold that committed nothing.

    Attributes:
        reason: ``no_proposals``, ``zero_total``, ``support``, ``backing`` or
            ``support_and_backing``: what there was none of, or what fell short.
        leader: digest of the leading answer, or ``None`` if there was no answer.
    """

    reason: str
    leader: str | None

    @property
    def message(self) -> str:
        """One line: the leader's shares, and the threshold they fell short of."""
        threshold = Fraction(self.quorum_exact)
        asked = wording.quorum_percent(threshold)
        if self.reason == rules.NO_PROPOSALS:
            gone = f"all {len(self.absent)} of the roster absent" if self.absent else "empty roster"
            return f"no proposal to fold ({gone}); the quorum is {asked}"
        if self.reason == rules.ZERO_TOTAL:
            return (
                f"the votes of all {len(self.engaged)} proposals sum to zero; the quorum is {asked}"
            )
        support = wording.percent(Fraction(self.support_exact), threshold)
        backing = wording.percent(Fraction(self.backing_exact), threshold)
        if self.reason == rules.SUPPORT:
            return f"the top answer held {support} of the votes < {asked}"
        if self.reason == rules.BACKING:
            return (
                f"the top answer held {support} of the votes, "
                f"but {backing} of the roster's route weight < {asked}"
            )
        return (
            f"the top answer held {support} of the votes "
            f"and {backing} of the roster's route weight, both < {asked}"
        )

    def describe(self) -> str:
        """Say in one paragraph why nothing was committed."""
        groups = self.trace["groups"]
        led = f" In front: {self._group_words(groups[0])} of the votes." if groups else ""
        return (
            f"Refused, nothing is committed ({self.protocol}): {self.message}.{led} "
            f"{self._rest_words()} {_INDEPENDENCE}"
        )

    def to_dict(self) -> dict[str, Any]:
        """As JSON; :meth:`from_dict` gives an equal tally back."""
        return {
            "status": REFUSED,
            **_Verdict.to_dict(self),
            "reason": self.reason,
            "leader": self.leader,
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Tally:
        """Read back what :meth:`to_dict` wrote; checks as :meth:`Decision.from_dict`.

        Raises:
            UsageError: a key is missing, unknown, or not as :meth:`to_dict` writes it.
        """
        form = members(data, "the tally", (*_SHARED, "reason", "leader"))
        shared = _read_shared(form, REFUSED)
        if form["reason"] not in rules.REASONS:
            raise UsageError(f"reason should be one of {', '.join(rules.REASONS)}")
        leader = form["leader"]
        if (leader is None) == bool(shared["trace"]["groups"]):
            raise UsageError("leader should be null exactly where trace.groups is empty")
        return cls(
            **shared,
            reason=form["reason"],
            leader=None if leader is None else hex_digest(leader, "leader"),
        )


class UnderQuorum(NoQuorum):
    """No answer reached the quorum, so none is committed. Nobody's fault.

    Escalate, retry with a wider plan, or fall back to a trusted expert by a declared policy.

    Attributes:
        tally: the whole fold: leader, shares, groups, absences, and the reason.
    """

    def __init__(self, tally: Tally) -> None:
        """Hold the tally; the message states its shares and the threshold."""
        super().__init__(tally.message)
        self.tally = tally

    def describe(self) -> str:
        """See :meth:`Tally.describe`."""
        return self.tally.describe()


def _read_id(value: object) -> str:
    return text(value, "an expert's id")


def _read_shared(form: Mapping[str, Any], status: str) -> dict[str, Any]:
    """Read and check what decisions and tallies have in common."""
    if form["status"] != status:
        raise UsageError(f"status is {form['status']!r}; it should be {status!r}")
    read: dict[str, Any] = {}
    for name in ("quorum", "support", "backing", "cost"):
        exact = ratio(form[f"{name}_exact"], f"{name}_exact")
        value = form[name]
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise UsageTypeError(f"{name} is a {type(value).__name__}; it should be a number")
        if value != (as_number(exact) if name == "cost" else float(exact)):
            raise UsageError(f"{name} is {value!r}, which is not the number nearest to {exact}")
        read[name] = as_number(exact) if name == "cost" else float(exact)
        read[f"{name}_exact"] = form[f"{name}_exact"]
    read["quorum"] = as_given(Fraction(read["quorum_exact"]))
    read["protocol"] = text(form["protocol"], "protocol")
    read["engaged"] = items(form["engaged"], "engaged", _read_id)
    read["absent"] = items(form["absent"], "absent", Absence.from_dict)
    read["trace"] = _read_trace(form["trace"])
    return read


def _read_trace(value: object) -> dict[str, Any]:
    """Check as much of a trace as ``describe`` relies on, and copy it."""
    trace = members(value, "trace", _TRACE)
    for name in ("total_votes", "absent_weight", "roster_weight"):
        ratio(trace[name], name)
    for group in items(trace["groups"], "trace.groups", dict):
        one = members(group, "a group of the trace", _GROUP)
        ratio(one["votes"], "votes")
        hex_digest(one["digest"], "digest")
        text(one["answer"], "answer", limits.MAX_ID_LENGTH)
        if not items(one["members"], "members", _read_id):
            raise UsageError("a group of the trace has no members")
    canonical(value)
    copied: dict[str, Any] = plain_copy(value)
    return copied
