"""What people may do to a running system, and what then stands. Pure: no I/O, no clock.

Bodies of entries of the kind ``oversight``, with a ``rule``, ``"oversight/1"`` (of a resume
``"oversight/2"``), and the names of the ``event``, who it is ``by`` and the ``reason``:

============  ===================================================================
``halt``      nothing is dispatched from here on; always allowed, again as well
``resume``    lifts the halt whose entry has the number ``halt``, and no other:
              work goes on when each halt in force was lifted by itself
``override``  ``decision`` names a decision by number and hash; ``answer`` is what
              a person puts in its place, and where there is none, the decision is
              disregarded: nothing is to be acted upon
============  ===================================================================

A resume of ``"oversight/1"`` names the last halt sealed, and lifts all in force. None is
written any more: it lifts halts that nobody named. Those that are sealed mean what they meant.

One person overrides one decision once. Where several do, and agree, that stands; where
they do not, the decision is contested, and nothing is to be acted upon: the order in which
they spoke decides nothing. Who somebody is nobody checks: whoever holds the ledger's key can
give any name, and so undo another's override, or lift another's halt.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from quorate.arbitration.forms import hex_digest, members, shown, text
from quorate.arbitration.proposal import plain_copy
from quorate.core import limits
from quorate.core.canonical import JSONValue, digest
from quorate.core.errors import UsageError, UsageTypeError
from quorate.core.text import shortened

KIND: Final = "oversight"
RULE: Final = "oversight/1"
RESUME_RULE: Final = "oversight/2"
"""Of a resume, which lifts the one halt that it names; one of :data:`RULE` lifts all."""

HALT: Final = "halt"
RESUME: Final = "resume"
OVERRIDE: Final = "override"

NOBODY: Final = "nobody"
"""By whom it is halted where an entry is no sound oversight."""

MOST_REASON: Final = 4096
"""Longest reason, in characters."""

_MOST_LISTED: Final = 8
_ALWAYS: Final = ("rule", "event", "by", "reason")
_DECISION: Final = "decision"
_REFUSAL: Final = "refusal"


@dataclass(frozen=True, slots=True)
class Reference:
    """A ledger entry: its number, and its hash in 64 hex digits."""

    seq: int
    hash: str

    def to_dict(self) -> dict[str, Any]:
        """As JSON."""
        return {"seq": self.seq, "hash": self.hash}

    @classmethod
    def from_dict(cls, data: object, name: str = "the entry") -> Reference:
        """Read it back.

        Raises:
            UsageError: another shape.
        """
        form = members(data, name, ("seq", "hash"))
        return cls(whole_seq(form["seq"], f"seq of {name}"), hex_digest(form["hash"], name))


@dataclass(frozen=True, slots=True)
class Halt:
    """Nothing is dispatched from here on.

    Attributes:
        by: who halts.
        reason: why.
        seq: its entry; -1 while it is not sealed.
        time: when it was sealed, UTC; empty while it is not.
    """

    by: str
    reason: str
    seq: int = -1
    time: str = ""

    def to_dict(self) -> dict[str, Any]:
        """The body that is sealed."""
        return {"rule": RULE, "event": HALT, "by": self.by, "reason": self.reason}


@dataclass(frozen=True, slots=True)
class Resume:
    """Lifts the halt of entry ``halt``; where it is of :data:`RULE`, the last and all others."""

    by: str
    reason: str
    halt: int
    rule: str = RESUME_RULE

    def to_dict(self) -> dict[str, Any]:
        """The body that is sealed."""
        return {
            "rule": self.rule,
            "event": RESUME,
            "by": self.by,
            "reason": self.reason,
            "halt": self.halt,
        }


@dataclass(frozen=True, slots=True)
class Override:
    """A person's word in place of a decision.

    Attributes:
        by: who.
        reason: why.
        decision: the entry of the decision.
        answered: whether another answer is given; else the decision is disregarded.
        answer: any JSON value; ``None`` where none is given.
        seq: its entry; -1 while it is not sealed.
        time: when it was sealed, UTC; empty while it is not.
    """

    by: str
    reason: str
    decision: Reference
    answered: bool
    answer: JSONValue = None
    seq: int = -1
    time: str = ""

    def to_dict(self) -> dict[str, Any]:
        """The body that is sealed."""
        body = {
            "rule": RULE,
            "event": OVERRIDE,
            "by": self.by,
            "reason": self.reason,
            "decision": self.decision.to_dict(),
        }
        return body | {"answer": plain_copy(self.answer)} if self.answered else body

    @property
    def said(self) -> tuple[bool, str]:
        """What is compared between people: whether there is an answer, and its digest."""
        return self.answered, digest(self.answer)


Event = Halt | Resume | Override


@dataclass(frozen=True, slots=True)
class Standing:
    """What people put in place of one decision.

    Attributes:
        overrides: one or more, in order of the log.
        contested: they do not agree.
        answered: an answer is to be acted upon.
        answer: which; ``None`` where there is none.
    """

    overrides: tuple[Override, ...]
    contested: bool
    answered: bool
    answer: JSONValue

    @classmethod
    def of(cls, overrides: tuple[Override, ...]) -> Standing:
        """What one or more overrides of a decision come to."""
        contested = len({one.said for one in overrides}) > 1
        answered = overrides[0].answered and not contested
        return cls(overrides, contested, answered, overrides[0].answer if answered else None)

    @property
    def earlier(self) -> tuple[Standing, ...]:
        """What stood after each of the overrides but the last."""
        return tuple(Standing.of(self.overrides[:n]) for n in range(1, len(self.overrides)))

    def describe(self) -> str:
        """Say it in a sentence or two."""
        who = ", ".join(f"{one.by} (entry {one.seq})" for one in self.overrides)
        if self.contested:
            return (
                f"It is contested: {who} put different things in its place, so nothing is to be "
                "acted upon."
            )
        why = "; ".join(one.reason for one in self.overrides)
        if self.answered:
            return f"Overridden by {who}: {shown_answer(self.answer)} stands in its place ({why})."
        return f"Overridden by {who}: it is disregarded, nothing is to be acted upon ({why})."

    def to_dict(self) -> dict[str, Any]:
        """As JSON."""
        told: dict[str, Any] = {
            "overrides": [{"seq": one.seq, **one.to_dict()} for one in self.overrides],
            "contested": self.contested,
            "acted_upon": self.answered,
        }
        return told | {"answer": self.answer} if self.answered else told


@dataclass(slots=True)
class State:
    """What the oversight entries so far came to.

    Attributes:
        halted: the last halt that was not lifted; ``None`` where work goes on.
        halts: entries of all halts, and of each the entry that lifted it or ``None``.
        told: what was said in each halt and each resume, by its entry.
        overrides: overrides by the entry of the decision, in order of the log.
    """

    halted: Halt | None = None
    halts: dict[int, int | None] = field(default_factory=dict)
    told: dict[int, Halt | Resume] = field(default_factory=dict)
    overrides: dict[int, tuple[Override, ...]] = field(default_factory=dict)

    def check(self, event: Event) -> None:
        """Refuse what may not follow.

        Raises:
            UsageError: says why, and what to do.
        """
        if isinstance(event, Resume):
            self._check_resume(event)
        elif isinstance(event, Override):
            earlier = self.by(event.decision.seq, event.by)
            if earlier is not None and earlier.said != event.said:
                raise UsageError(
                    f"{event.by} overrode decision {event.decision.seq} before, with another "
                    f"answer (entry {earlier.seq}); one person overrides a decision once, so let "
                    "somebody else speak"
                )

    def take(self, seq: int, event: Event, time: str = "") -> None:
        """Take in the entry ``seq``; the caller has checked which entry an override names.

        Raises:
            UsageError: it may not follow; nothing was taken in.
        """
        self.check(event)
        if isinstance(event, Halt):
            self._halt(seq, Halt(event.by, event.reason, seq, time))
        elif isinstance(event, Resume):
            self.told[seq] = event
            for halt in [one.seq for one in self.in_force]:
                if event.rule == RULE or halt == event.halt:
                    self.halts[halt] = seq
            self.halted = next(reversed(self.in_force), None)
        else:
            sealed = Override(
                event.by, event.reason, event.decision, event.answered, event.answer, seq, time
            )
            place = event.decision.seq
            self.overrides[place] = (*self.overrides.get(place, ()), sealed)

    def unsound(self, seq: int, why: str, time: str = "") -> None:
        """Take in an entry that is none of these: nobody knows what was meant, so it halts."""
        self._halt(seq, Halt(NOBODY, f"entry {seq} is no sound oversight: {why}", seq, time))

    def _halt(self, seq: int, halt: Halt) -> None:
        self.halts[seq] = None
        self.told[seq] = self.halted = halt

    @property
    def in_force(self) -> tuple[Halt, ...]:
        """All halts that were not lifted, in order of the log."""
        told = (self.told[halt] for halt, lifted in self.halts.items() if lifted is None)
        return tuple(one for one in told if isinstance(one, Halt))

    def halted_before(self, seq: int) -> Halt | None:
        """The last halt in force when entry ``seq`` was sealed, that entry aside, or ``None``."""
        for halt, lifted in reversed(self.halts.items()):
            told = self.told[halt]
            if halt < seq and (lifted is None or lifted >= seq) and isinstance(told, Halt):
                return told
        return None

    def by(self, decision: int, who: str) -> Override | None:
        """That person's override of that decision, or ``None``."""
        given, name = self.overrides.get(decision, ()), folded(who)
        return next((one for one in given if folded(one.by) == name), None)

    def standing(self, decision: int) -> Standing | None:
        """What stands in place of that decision; ``None`` where nobody overrode it."""
        given = self.overrides.get(decision)
        return Standing.of(given) if given else None

    def _check_resume(self, event: Resume) -> None:
        if self.halted is None:
            raise UsageError("nothing is halted, so there is nothing to resume")
        if event.rule == RESUME_RULE:
            if self.halts.get(event.halt, -1) is not None:
                raise UsageError(
                    f"entry {event.halt} is no halt in force; in force are {listed(self.in_force)}"
                )
        elif event.halt != self.halted.seq:
            raise UsageError(
                f"the halt of entry {event.halt} is not the last one: {self.halted.by} halted in "
                f"entry {self.halted.seq} ({self.halted.reason}); read that, and resume again"
            )


def read_event(body: object) -> Event:
    """Read the body of an oversight entry.

    Raises:
        UsageError: another shape.
    """
    form = members(body, "the body", _ALWAYS, ("halt", "decision", "answer"))
    rule = form["rule"]
    if rule != RULE and (rule, form["event"]) != (RESUME_RULE, RESUME):
        raise UsageError(
            f"rule is {shown(rule)}; this version reads {RULE}, and {RESUME_RULE} of a resume"
        )
    by, reason = who(form["by"]), why(form["reason"])
    extra = form.keys() - set(_ALWAYS)
    if form["event"] == HALT and not extra:
        return Halt(by, reason)
    if form["event"] == RESUME and extra == {"halt"}:
        return Resume(by, reason, whole_seq(form["halt"], "halt"), rule)
    if form["event"] == OVERRIDE and extra in ({"decision"}, {"decision", "answer"}):
        decision = Reference.from_dict(form["decision"], "decision")
        return Override(by, reason, decision, "answer" in form, form.get("answer"))
    raise UsageError(f"the event {shown(form['event'])} is none of halt, resume, override")


def listed(halts: tuple[Halt, ...]) -> str:
    """Halts, each by its entry, by whom and why; of many the first few."""
    told = [
        f"entry {one.seq} by {one.by} ({shortened(one.reason)})" for one in halts[:_MOST_LISTED]
    ]
    more = len(halts) - len(told)
    return ", ".join(told) + (f" and {more} more" if more else "")


def check_decision(kind: str, seq: int) -> None:
    """Refuse to override an entry that is no decision.

    Raises:
        UsageError: it is not.
    """
    if kind != _DECISION:
        nothing = "nothing was decided there to override"
        told = nothing if kind == _REFUSAL else "only decisions are overridden"
        raise UsageError(
            f"entry {seq} is of the kind {kind!r}: {told}; 'quorate ledger ls --kind decision' "
            "lists what can be"
        )


def who(value: object) -> str:
    """Check a person's name: it is on one line, and has a letter or a digit in it.

    Raises:
        UsageError: it is none, or that by which an entry that nobody can read halts.
    """
    name = text(value, "the name")
    if not name.isprintable() or name != name.strip() or not any(map(str.isalnum, name)):
        raise UsageError(f"the name is {shown(name)}; give a person's name, on one line")
    if folded(name) == NOBODY:
        raise UsageError(f"the name is {shown(name)}; say who it is")
    return name


def folded(name: str) -> str:
    """A name as it is compared: compatibility forms, capitals and blanks make no other person.

    Letters of other scripts that look alike do: this keeps slips apart from people, and does
    not find out who somebody is.
    """
    plain = unicodedata.normalize("NFKC", name).casefold()
    seen = "".join(one for one in plain if unicodedata.category(one) != "Cf")
    return " ".join(unicodedata.normalize("NFKC", seen).split())


def why(value: object) -> str:
    """Check a reason.

    Raises:
        UsageError: it says nothing, or too much.
    """
    reason = text(value, "the reason", MOST_REASON)
    if not reason.strip():
        raise UsageError("the reason is empty; say why, for whoever reads the record later")
    return reason


def whole_seq(value: object, name: str) -> int:
    """Check the number of an entry.

    Raises:
        UsageTypeError: no whole number.
        UsageError: out of range.
    """
    if isinstance(value, bool) or not isinstance(value, int):
        raise UsageTypeError(f"{name} is {shown(value)}; it is a whole number")
    if not 0 <= value <= limits.MAX_SAFE_INTEGER:
        raise UsageError(f"{name} is {value}; it is the number of an entry")
    return value


def shown_answer(answer: JSONValue) -> str:
    """An answer on one line, shortened."""
    return shown(answer) if not isinstance(answer, Mapping | list) else f"an answer {shown(answer)}"
