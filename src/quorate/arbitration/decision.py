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

from quorate.arbitration import describing, rules
from quorate.arbitration.forms import as_given, as_number, hex_digest, items, members, ratio, text
from quorate.arbitration.proposal import Absence, plain_copy
from quorate.arbitration.tracing import read_trace
from quorate.core.canonical import JSONValue, canonical, digest
from quorate.core.errors import NoQuorum, UsageError, UsageTypeError

COMMITTED = "committed"
REFUSED = "refused"

_REPORT = (
    "declared",
    "attributes",
    "worst",
    "faults",
    "quorum",
    "effective_voters",
    "correlation",
    "outcomes",
    "why",
)
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
        trace: JSON: rule version, groups in order (leader first), void, totals, all exact;
            and what the protocol adds, such as the rounds of a runoff.
        independence: how the experts may fail together, as
            :func:`quorate.core.independence.report` has it, or ``None`` if undeclared.
        parent: digest of the weaker verdict this one grew out of, or ``None``.
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
    independence: dict[str, Any] | None = field(default=None, repr=False)
    parent: str | None = None

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
            **(
                {} if self.independence is None else {"independence": plain_copy(self.independence)}
            ),
        }

    def __eq__(self, other: object) -> bool:
        if type(other) is not type(self):
            return NotImplemented
        # Python holds True == 1 and 1 == 1.0; canonical bytes hold what is the same JSON.
        return canonical(self.to_dict()) == canonical(other.to_dict())

    def __hash__(self) -> int:
        return hash((self.protocol, self.quorum_exact, self.support_exact, self.engaged))


def _plain(value: float) -> int | float:
    """The same JSON number, in the form that the fast encoder writes as RFC 8785 does."""
    return int(value) if value.is_integer() else value


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Decision(_Verdict):
    """A committed answer.

    Two decisions are equal where their :meth:`to_dict` is the same JSON.

    Attributes:
        consensus: the payload committed, a JSON copy that nobody else holds.
        digest: SHA-256 of the canonical consensus, 64 hex digits.
        dissenting: ids of those that proposed another answer, sorted.
        by_quorum: False where a declared policy let something other than a quorum decide.
    """

    consensus: JSONValue
    digest: str
    dissenting: tuple[str, ...]
    by_quorum: bool = True

    def describe(self) -> str:
        """Say in one paragraph what was decided, by whom, and over whose dissent."""
        return describing.committed(self)

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
        form = members(data, "the decision", (*_SHARED, *own), ("independence",))
        shared = _read_shared(form, COMMITTED)
        if not shared["trace"]["groups"]:
            raise UsageError("trace.groups is empty; a decision has at least its own group")
        merge = shared["trace"].get("merge")
        if shared["protocol"] == "synthesis" and (
            merge is None or merge["digest"] != form["digest"]
        ):
            raise UsageError("what was committed is not the merge of the trace")
        if not isinstance(form["by_quorum"], bool):
            raise UsageTypeError("by_quorum should be true or false")
        found = digest(form["consensus"])
        if form["digest"] != found:
            raise UsageError(f"digest is {form['digest']!r}, but the consensus has {found!r}")
        return cls(
            **shared,
            consensus=plain_copy(form["consensus"]),
            digest=found,
            dissenting=items(form["dissenting"], "dissenting", _read_id),
            by_quorum=form["by_quorum"],
        )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Tally(_Verdict):
    """All that is known of a fold that committed nothing.

    Attributes:
        reason: one of :data:`quorate.arbitration.rules.REASONS`: what there was none of,
            what fell short, or what was still open.
        leader: digest of the leading answer, or ``None`` if there was no answer.
    """

    reason: str
    leader: str | None

    @property
    def message(self) -> str:
        """One line: the leader's shares, and the threshold they fell short of."""
        return describing.message(self)

    def describe(self) -> str:
        """Say in one paragraph why nothing was committed."""
        return describing.refused(self)

    def to_dict(self) -> dict[str, Any]:
        """As JSON; :meth:`from_dict` gives an equal tally back."""
        return {
            "status": REFUSED,
            **_Verdict.to_dict(self),
            "reason": self.reason,
            "leader": self.leader,
            **({} if self.parent is None else {"parent": self.parent}),
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Tally:
        """Read back what :meth:`to_dict` wrote; checks as :meth:`Decision.from_dict`.

        Raises:
            UsageError: a key is missing, unknown, or not as :meth:`to_dict` writes it.
        """
        form = members(
            data, "the tally", (*_SHARED, "reason", "leader"), ("independence", "parent")
        )
        if "parent" in form and form["parent"] is None:
            raise UsageError("parent is null; where there is none, the key is left out")
        shared = _read_shared(form, REFUSED)
        if form["reason"] not in rules.REASONS:
            raise UsageError(f"reason should be one of {', '.join(rules.REASONS)}")
        owner = rules.REASON_OF.get(form["reason"], shared["protocol"])
        if owner != shared["protocol"]:
            raise UsageError(f"{shared['protocol']} refuses nothing for {form['reason']}")
        leader = form["leader"]
        groups = shared["trace"]["groups"]
        if leader != (groups[0]["digest"] if groups else None):
            raise UsageError("leader should be the first group's digest, null where there is none")
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
    read["trace"] = read_trace(form["trace"], read["protocol"])
    read["independence"] = _read_independence(form)
    parent = form.get("parent")
    read["parent"] = None if parent is None else hex_digest(parent, "parent")
    return read


def _read_independence(form: Mapping[str, Any]) -> dict[str, Any] | None:
    """Check as much of a report as is told of it, and copy it."""
    if "independence" not in form:
        return None
    report: dict[str, Any] = plain_copy(members(form["independence"], "independence", _REPORT))
    describing.independence(report)
    canonical(report)
    return report
