"""What a router gives back: the decision, its story in words, and its JSON form."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Final

from quorate.core.calls import CRASHED, TIMEOUT
from quorate.core.canonical import CanonicalError, canonical
from quorate.core.errors import NoQuorum, UsageError, UsageTypeError
from quorate.core.text import shortened
from quorate.routing.rules import Key

REASONS: Final = (CRASHED, TIMEOUT)
"""Why a replica has no vote in a round."""


@dataclass(frozen=True, slots=True)
class Absentee:
    """A member that cast no vote; it stays in the denominator.

    Attributes:
        replica: its id.
        reason: ``"crashed"`` or ``"timeout"``.
        detail: for people; one line, at most ``limits.MAX_DETAIL_LENGTH`` characters.
    """

    replica: str
    reason: str
    detail: str = ""

    def to_dict(self) -> dict[str, str]:
        """The three fields by name."""
        return {"replica": self.replica, "reason": self.reason, "detail": self.detail}

    @classmethod
    def from_dict(cls, value: object) -> Absentee:
        """Read back what :meth:`to_dict` wrote.

        Raises:
            UsageError: other fields, something but text in them, or an unknown reason.
        """
        members = _exact_fields(value, {"replica", "reason", "detail"}, "an absence")
        for name, text in members.items():
            if type(text) is not str:
                raise UsageTypeError(f"{name} of an absence is {text!r}; it should be text")
        if members["reason"] not in REASONS:
            raise UsageError(f"the reason of an absence is {members['reason']!r}, not of {REASONS}")
        if shortened(members["detail"]) != members["detail"]:
            raise UsageError("the detail of an absence is too long, or no Unicode text")
        return cls(**members)


@dataclass(frozen=True, slots=True)
class RoutingDecision:
    """What the replicas agreed on, if they did, and what came of it.

    Attributes:
        session_id: the session of the round.
        round: its number in the session, from 1.
        consensus: whether one expert got ``quorum`` votes.
        dispatched: whether the agreed expert ran and returned.
        expert_key: the agreed expert; ``None`` without consensus.
        result: what the expert returned; ``None`` if it did not run or raised.
        agreed_hash: digest of the agreed proposal ``{"key": expert_key}``, or ``None``.
        input_digest: 64 hex digits that name the input.
        quorum: matching votes needed.
        faults: how many of the replicas may lie without a wrong dispatch.
        total_replicas: size of the roster, absentees included.
        votes: votes standing behind the expert that has the most, agreed or not.
        proposals: replica -> what it proposed; a void answer as it came if it is a JSON
            scalar, otherwise printed.
        void: replicas that named no known expert, sorted.
        absent: replicas without a vote, sorted by id.
        dissenting: replicas whose vote is not for the agreed expert, void ones included,
            sorted; empty without consensus.
        equivocating: replicas that voted twice, differently, sorted.
        error: what the agreed expert raised, as text; the routing stands all the same.
        receipt: of the sealed round, or ``None`` if nothing was sealed. Not compared.
    """

    session_id: str
    round: int
    consensus: bool
    dispatched: bool
    expert_key: Key | None
    result: Any
    agreed_hash: str | None
    input_digest: str
    quorum: int
    faults: int
    total_replicas: int
    votes: int
    proposals: Mapping[str, Any]
    void: tuple[str, ...] = ()
    absent: tuple[Absentee, ...] = ()
    dissenting: tuple[str, ...] = ()
    equivocating: tuple[str, ...] = ()
    error: str | None = None
    receipt: Any = field(default=None, compare=False)

    def describe(self) -> str:
        """Say in one paragraph why it came out so, and what the bound assumes."""
        return " ".join(
            part
            for part in (
                f"Round {self.round} of session {self.session_id!r}:",
                self._outcome(),
                self._others(),
                f"That up to {self.faults} may lie counts replicas that fail independently;",
                "the independence of these is undeclared.",
            )
            if part
        )

    def _outcome(self) -> str:
        of = f"of {self.total_replicas} replicas"
        if not self.consensus:
            return (
                f"no expert got the {self.quorum} matching votes needed {of}; "
                f"the most was {self.votes}. Nothing was dispatched."
            )
        agreed = f"{self.votes} {of} chose expert {self.expert_key!r}; {self.quorum} were needed."
        if self.dispatched:
            return f"{agreed} It was dispatched and returned."
        if self.error is not None:
            return f"{agreed} It was called and failed ({self.error}); the routing stands."
        return f"{agreed} It was decided only, not dispatched."

    def _others(self) -> str:
        shown = ", ".join(
            f"{replica} ({self.proposals.get(replica)!r})" for replica in self.dissenting
        )
        absent = ", ".join(f"{a.replica} ({a.reason})" for a in self.absent)
        parts = (
            ("Dissenting", shown),
            ("Void", ", ".join(self.void)),
            ("Absent", absent),
            ("Voted twice, differently", ", ".join(self.equivocating)),
        )
        return " ".join(f"{name}: {ids}." for name, ids in parts if ids)

    def to_dict(self) -> dict[str, Any]:
        """The decision as JSON values.

        A result that is not JSON is left out and shown as text under ``result_shown``;
        a receipt is there in the form of its own ``to_dict``.
        """
        value: dict[str, Any] = {each.name: getattr(self, each.name) for each in fields(self)}
        value["proposals"] = dict(self.proposals)
        value["absent"] = [absentee.to_dict() for absentee in self.absent]
        for name in ("void", "dissenting", "equivocating"):
            value[name] = list(value[name])
        if hasattr(self.receipt, "to_dict"):
            value["receipt"] = self.receipt.to_dict()
        try:
            canonical(self.result)
        except CanonicalError:
            del value["result"]
            value["result_shown"] = _shown(self.result)
        return value

    @classmethod
    def from_dict(cls, value: object) -> RoutingDecision:
        """Read back what :meth:`to_dict` wrote.

        The round trip is exact but for two things: a result that was not JSON comes back
        as ``None``, and a receipt as the plain dict it was written as. Tuples in a result
        come back as they were in the dict.

        Raises:
            UsageError: a field is missing, unknown or of another type.
        """
        if not isinstance(value, Mapping):
            raise UsageTypeError(f"a routing decision is a JSON object, not {value!r}")
        given = dict(value)
        if given.pop("result_shown", None) is not None:
            given.setdefault("result", None)
        members = _exact_fields(given, {each.name for each in fields(cls)}, "a routing decision")
        for name, kinds in _KINDS.items():
            if type(members[name]) not in kinds:
                raise UsageTypeError(f"{name} of a routing decision is {members[name]!r}")
        members["absent"] = tuple(Absentee.from_dict(each) for each in members["absent"])
        for name in ("void", "dissenting", "equivocating"):
            if not all(type(each) is str for each in members[name]):
                raise UsageTypeError(f"{name} of a routing decision is {members[name]!r}")
            members[name] = tuple(members[name])
        return cls(**members)


_KINDS: Final[dict[str, tuple[type, ...]]] = {
    **dict.fromkeys(("session_id", "input_digest"), (str,)),
    **dict.fromkeys(("consensus", "dispatched"), (bool,)),
    **dict.fromkeys(("round", "quorum", "faults", "total_replicas", "votes"), (int,)),
    **dict.fromkeys(("agreed_hash", "error"), (str, type(None))),
    **dict.fromkeys(("absent", "void", "dissenting", "equivocating"), (list,)),
    "expert_key": (str, int, type(None)),
    "proposals": (dict,),
}


class NoConsensusError(NoQuorum):
    """Too few replicas agreed, and ``strict=True`` asked for an error.

    Attributes:
        decision: the full :class:`RoutingDecision`, without consensus.
    """

    def __init__(self, decision: RoutingDecision) -> None:
        """Hold the ``decision``; the message is its description."""
        super().__init__(decision.describe())
        self.decision = decision


def _exact_fields(value: object, names: set[str], what: str) -> dict[str, Any]:
    if not isinstance(value, Mapping):
        raise UsageTypeError(f"{what} is a JSON object, not {value!r}")
    if set(value) != names:
        missing, unknown = sorted(names - set(value)), sorted(map(str, set(value) - names))
        raise UsageError(f"{what} has missing fields {missing} and unknown fields {unknown}")
    return dict(value)


def _shown(value: object) -> str:
    try:
        return shortened(repr(value))
    # A result is foreign, and may fail even at being shown.
    except Exception:  # noqa: BLE001
        return f"(a {type(value).__name__} that cannot be shown)"
