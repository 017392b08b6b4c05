"""What is sealed of a drill, and whether it passed: computed from what was seen.

A drill starts real work, a person acts, and what came of it is counted. An entry of the kind
``drill`` holds who acted and why, who was at work, three moments, the ledger entries that
were made on the way, and the counts::

    {"rule": "drill/1", "drill": "halt", "scope": {"system": "triage", "version": "2.1.0"},
     "by": "J. Doe", "reason": "yearly drill", "work": "scripted", "experts": ["scripted-1", …],
     "panel": "…", "started": "…", "acted": "…", "ended": "…",
     "entries": {"before": [{"seq": 4, "hash": "…"}], "halt": {…}, "resume": {…}, "after": […]},
     "seen": {"before": 3, "under_way": 2, "stopped": 2, "attempted": 3, "refused": 3,
              "calls_before": 20, "calls_after": 0, "verdicts_after": 0, "resumed": 1},
     "passed": true, "failures": []}

The moments are those at which three of the entries were sealed: the first, the one by which
the person acted (of an override drill the last), and the last. ``work`` is ``"scripted"``
where a script stood in for experts, and ``"panel"`` where the system's own were asked.
``failures`` follows from ``entries`` and ``seen``, and ``passed`` from ``failures``.

The entries are named by hash, so a drill cannot be carried to another log, and no two drills
name one of them, so it cannot be sealed again. Replay holds a drill to them: the verdicts are
of its panel and experts, who halted, resumed or overrode is who drilled and said so, and it
was sealed as it ended. It counts the verdicts between halt and resume again. How often experts
were called, and what was under way or refused, leaves no entry: that is the word of the
process that drilled, sealed with the ledger's key. Who ``by`` is nobody checks.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from quorate.arbitration.forms import hex_digest, items, members, shown, text
from quorate.compliance.committing import read_scope
from quorate.compliance.evidence import Scope
from quorate.compliance.times import microseconds
from quorate.core import limits
from quorate.core.errors import UsageError, UsageTypeError
from quorate.core.text import counted
from quorate.hub.oversight.rules import Event, Reference, Resume, State, who, why

KIND: Final = "drill"
RULE: Final = "drill/1"

HALT: Final = "halt"
OVERRIDE: Final = "override"
SCRIPTED: Final = "scripted"
PANEL: Final = "panel"

VERDICTS: Final = frozenset({"decision", "refusal"})

SCRIPT: Final = ("scripted-1", "scripted-2", "scripted-3", "scripted-4")
"""Ids of the experts of a drill's script, which no panel's own experts have."""

OVER: Final = "the drill is over"
"""Why a drill lifts its halt."""

SEALED_SECONDS: Final = 600
"""A drill is sealed within this time of the last of its entries."""

_HALT_SEEN: Final = (
    "before", "under_way", "stopped", "attempted", "refused", "calls_before", "calls_after",
    "verdicts_after", "resumed",
)  # fmt: skip
_OVERRIDE_SEEN: Final = ("committed", "put", "returned", "withheld")
_NAMES: Final = (
    "rule", "drill", "scope", "by", "reason", "work", "experts", "panel", "started", "acted",
    "ended", "entries", "seen", "passed", "failures",
)  # fmt: skip

Lookup = Callable[[Reference], str]
"""Gives the kind of the entry that a reference names, in the log that the drill is in.

Raises UsageError where the log has another entry there, or none."""


@dataclass(frozen=True, slots=True)
class HaltEntries:
    """Entries of a halt drill: verdicts before it, the halt, its lifting, verdicts after that."""

    before: tuple[Reference, ...]
    halt: Reference
    resume: Reference | None
    after: tuple[Reference, ...]

    def to_dict(self) -> dict[str, Any]:
        """As JSON."""
        return {
            "before": [one.to_dict() for one in self.before],
            "halt": self.halt.to_dict(),
            "resume": None if self.resume is None else self.resume.to_dict(),
            "after": [one.to_dict() for one in self.after],
        }

    @property
    def all(self) -> tuple[Reference, ...]:
        """All of them, in the order in which they should stand."""
        resume = () if self.resume is None else (self.resume,)
        return (*self.before, self.halt, *resume, *self.after)


@dataclass(frozen=True, slots=True)
class OverrideEntries:
    """Entries of an override drill: two decisions, one replaced and one disregarded."""

    decision: Reference
    override: Reference
    disregarded: Reference
    disregard: Reference

    def to_dict(self) -> dict[str, Any]:
        """As JSON."""
        return {name: getattr(self, name).to_dict() for name in self.__slots__}

    @property
    def all(self) -> tuple[Reference, ...]:
        """All of them."""
        return (self.decision, self.override, self.disregarded, self.disregard)


@dataclass(frozen=True, slots=True)
class Drill:
    """One drill, as it was seen; the module says what each member is.

    Attributes:
        kind: ``"halt"`` or ``"override"``.
        started, acted, ended: RFC 3339 in UTC.
        seen: of a halt, counts; of an override, the digests of what was ``committed``, of what
            was ``put`` in its place and of what was ``returned`` afterwards, and whether the
            disregarded decision was ``withheld``.
    """

    kind: str
    scope: Scope
    by: str
    reason: str
    work: str
    experts: tuple[str, ...]
    panel: str
    started: str
    acted: str
    ended: str
    entries: HaltEntries | OverrideEntries
    seen: Mapping[str, Any]

    @property
    def failures(self) -> tuple[str, ...]:
        """Why it did not pass; empty where it did."""
        found = [
            f"{name} {later} is before {earlier}"
            for name, earlier, later in (
                ("acted", self.started, self.acted),
                ("ended", self.acted, self.ended),
            )
            if microseconds(later) < microseconds(earlier)
        ]
        if isinstance(self.entries, HaltEntries):
            return (*found, *_halt_failures(self.work, self.entries, self.seen))
        return (*found, *_override_failures(self.entries, self.seen))

    @property
    def passed(self) -> bool:
        """Whether what was seen is what should be."""
        return not self.failures

    def to_dict(self) -> dict[str, Any]:
        """The body that is sealed."""
        failures = self.failures
        return {
            "rule": RULE,
            "drill": self.kind,
            "scope": self.scope.model_dump(mode="json"),
            "by": self.by,
            "reason": self.reason,
            "work": self.work,
            "experts": list(self.experts),
            "panel": self.panel,
            "started": self.started,
            "acted": self.acted,
            "ended": self.ended,
            "entries": self.entries.to_dict(),
            "seen": dict(self.seen),
            "passed": not failures,
            "failures": list(failures),
        }

    @classmethod
    def from_dict(cls, body: object) -> Drill:
        """Read the body of an entry; whether it passed is computed again.

        Raises:
            UsageError: another shape, or it says that it passed, or did not, and the opposite
                follows from what was seen.
        """
        form = members(body, "the drill", _NAMES)
        if form["rule"] != RULE:
            raise UsageError(f"rule is {shown(form['rule'])}; this version reads {RULE}")
        if form["work"] not in (SCRIPTED, PANEL):
            raise UsageError(f"work is {shown(form['work'])}; it is {SCRIPTED!r} or {PANEL!r}")
        entries, seen = _read_entries(form["drill"], form["entries"], form["seen"])
        made = cls(
            kind=form["drill"],
            scope=read_scope(form["scope"]),
            by=who(form["by"]),
            reason=why(form["reason"]),
            work=form["work"],
            experts=items(form["experts"], "experts", lambda name: text(name, "an expert")),
            panel=hex_digest(form["panel"], "panel"),
            started=_moment(form["started"], "started"),
            acted=_moment(form["acted"], "acted"),
            ended=_moment(form["ended"], "ended"),
            entries=entries,
            seen=seen,
        )
        if form["passed"] is not made.passed or form["failures"] != list(made.failures):
            told = "; ".join(made.failures) or "it passed"
            raise UsageError(
                f"passed is {shown(form['passed'])}, and from what was seen follows: {told}"
            )
        return made

    def check(self, lookup: Lookup, state: State) -> None:
        """Hold it to the log that it is in.

        Args:
            lookup: of that log.
            state: what the oversight entries before it came to.

        Raises:
            UsageError: an entry is not there, is of another kind, or what was seen does not
                follow from the entries.
        """
        kinds = [lookup(one) for one in self.entries.all]
        if isinstance(self.entries, HaltEntries):
            _check_halt(self.entries, self.seen, kinds, state)
        else:
            _check_override(self.entries, self.seen, kinds, state)

    @property
    def acts_for(self) -> str:
        """Why it halts or overrides, as it says in those entries."""
        return drilled(self.reason)

    @property
    def verdicts(self) -> tuple[Reference, ...]:
        """The verdicts among its entries."""
        if isinstance(self.entries, HaltEntries):
            return (*self.entries.before, *self.entries.after)
        return (self.entries.decision, self.entries.disregarded)

    def check_people(self, state: State) -> None:
        """Hold it to what was said as it halted and resumed, or overrode: that was the drill.

        Args:
            state: what the oversight entries before it came to.

        Raises:
            UsageError: somebody else said it, or for another reason, or at another time.
        """
        said: list[tuple[Reference, Event | None, str]] = []
        if isinstance(self.entries, HaltEntries):
            acted = self.entries.halt
            said.append((acted, state.told.get(acted.seq), self.acts_for))
            if self.entries.resume is not None:
                said.append((self.entries.resume, state.told.get(self.entries.resume.seq), OVER))
        else:
            acted = self.entries.disregard
            every = {one.seq: one for given in state.overrides.values() for one in given}
            both = (self.entries.override, acted)
            said += [(named, every.get(named.seq), self.acts_for) for named in both]
        for named, told, reason in said:
            if told is None or (told.by, told.reason) != (self.by, reason):
                raise UsageError(
                    f"entry {named.seq} was not sealed by {self.by} for this drill: that says "
                    f"{reason!r} as its reason"
                )
            at = "" if isinstance(told, Resume) else told.time
            if named is acted and at and at != self.acted:
                raise UsageError(f"acted is {self.acted}, and entry {named.seq} was sealed at {at}")

    def check_panel(self, seq: int, digest: str | None, roster: Iterable[str]) -> None:
        """Hold a verdict that it names to the panel and experts that it tells of.

        Args:
            seq: of the verdict.
            digest: of the panel under which it was decided; ``None`` for none.
            roster: ids of that panel's experts.

        Raises:
            UsageError: they are others, or a script's where it says the panel's own.
        """
        if digest != self.panel:
            raise UsageError(f"the verdict of entry {seq} was not decided under its panel")
        ids = tuple(sorted(roster))
        if ids != self.experts:
            raise UsageError(f"experts are {', '.join(self.experts)}; its panel has others")
        script = not set(SCRIPT).isdisjoint(ids)
        if script is not (self.work == SCRIPTED):
            raise UsageError(f"work is {self.work!r}, and its experts are {', '.join(ids)}")

    def check_sealed(self, at: int) -> None:
        """See that it was sealed as it ended.

        Args:
            at: microseconds since 1970.

        Raises:
            UsageError: it was not.
        """
        late = at - microseconds(self.ended)
        if not 0 <= late <= SEALED_SECONDS * 1_000_000:
            raise UsageError(
                f"it ended at {self.ended}, and was sealed {late / 1e6:.0f} seconds after that; "
                f"a drill is sealed within {SEALED_SECONDS}"
            )

    def describe(self) -> str:
        """In words."""
        at_work = "scripted experts" if self.work == SCRIPTED else "the panel's own experts"
        seen, whole = self.seen, f"{self.scope.system} {self.scope.version}"
        if self.kind == HALT:
            did = (
                f"{counted(seen['before'], 'task')} decided by {at_work}, then a halt with "
                f"{seen['under_way']} under way: {seen['stopped']} stopped, {seen['refused']} of "
                f"{seen['attempted']} further tasks refused, {seen['calls_after']} calls of "
                f"experts and {seen['verdicts_after']} verdicts after it; {seen['resumed']} "
                "decided after it was lifted"
            )
        else:
            same = "was" if seen["returned"] == seen["put"] else "was NOT"
            held = "withheld" if seen["withheld"] else "NOT withheld"
            did = (
                f"a decision by {at_work} was overridden, and what was put in its place {same} "
                f"what came back; one that was disregarded was {held}"
            )
        end = "It passed." if self.passed else f"It FAILED: {'; '.join(self.failures)}."
        return f"A drill of {whole} by {self.by} ({self.kind}): {did}. {end}"


def drilled(reason: str) -> str:
    """The reason that is sealed where a drill halts or overrides."""
    return f"drill: {reason}"


def _halt_failures(work: str, entries: HaltEntries, seen: Mapping[str, Any]) -> list[str]:
    found = []

    def need(holds: bool, told: str) -> None:  # noqa: FBT001 - a condition, not a flag
        if not holds:
            found.append(told)

    need(seen["before"] >= 1 and seen["calls_before"] >= 1, "no work was done before the halt")
    need(seen["before"] == len(entries.before), "not all that was decided before has an entry")
    need(work != SCRIPTED or seen["under_way"] >= 1, "nothing was under way when it was halted")
    need(
        seen["stopped"] == seen["under_way"],
        f"of {seen['under_way']} under way {seen['stopped']} were stopped",
    )
    need(seen["attempted"] >= 1, "nothing was attempted after the halt")
    need(
        seen["refused"] == seen["attempted"],
        f"of {seen['attempted']} tasks after the halt {seen['refused']} were refused",
    )
    need(seen["calls_after"] == 0, f"experts were called {seen['calls_after']} times after it")
    need(seen["verdicts_after"] == 0, f"{seen['verdicts_after']} verdicts were sealed after it")
    need(entries.resume is not None, "the halt was not lifted by the drill")
    need(
        seen["resumed"] >= 1 and seen["resumed"] == len(entries.after),
        "no work went on after the halt was lifted",
    )
    return found


def _override_failures(entries: OverrideEntries, seen: Mapping[str, Any]) -> list[str]:
    found = []
    if seen["put"] == seen["committed"]:
        found.append("what was put in its place is what was decided")
    if seen["returned"] != seen["put"]:
        found.append("what came back is not what was put in its place")
    if not seen["withheld"]:
        found.append("the decision that was disregarded was given out")
    if entries.decision.seq == entries.disregarded.seq:
        found.append("one decision was both overridden and disregarded")
    return found


def _check_halt(
    entries: HaltEntries, seen: Mapping[str, Any], kinds: list[str], state: State
) -> None:
    order = [one.seq for one in entries.all]
    if order != sorted(set(order)):
        raise UsageError(f"its entries are {order}, which is not the order in which it went")
    expected = ["verdict"] * len(entries.before) + ["oversight"]
    expected += ["oversight"] * (entries.resume is not None) + ["verdict"] * len(entries.after)
    for reference, kind, wanted in zip(entries.all, kinds, expected, strict=True):
        if (kind in VERDICTS) is not (wanted == "verdict") or (
            wanted == "oversight" and kind != "oversight"
        ):
            raise UsageError(f"it names entry {reference.seq} as {wanted}, and that is a {kind!r}")
    if entries.halt.seq not in state.halts:
        raise UsageError(f"entry {entries.halt.seq} is no halt")
    before = state.halted_before(entries.halt.seq)
    if before is not None:
        raise UsageError(
            f"it halted what {before.by} had halted in entry {before.seq}, so it halted nothing"
        )
    lifted = state.halts[entries.halt.seq]
    if entries.resume is not None and lifted != entries.resume.seq:
        raise UsageError(f"entry {entries.resume.seq} did not lift the halt of the drill")
    if seen["resumed"] != len(entries.after) or seen["before"] != len(entries.before):
        raise UsageError("what it counts is not the number of entries that it names")


def check_silence(drill: Drill, verdicts: int) -> None:
    """Hold a halt drill to the number of verdicts between its halt and its lifting.

    Raises:
        UsageError: it counts others.
    """
    if isinstance(drill.entries, HaltEntries) and drill.seen["verdicts_after"] != verdicts:
        raise UsageError(
            f"it saw {drill.seen['verdicts_after']} verdicts after the halt of entry "
            f"{drill.entries.halt.seq}, and the log has {verdicts}"
        )


def _check_override(
    entries: OverrideEntries, seen: Mapping[str, Any], kinds: list[str], state: State
) -> None:
    if kinds != ["decision", "oversight", "decision", "oversight"]:
        raise UsageError(f"its entries are of the kinds {', '.join(kinds)}, not those of a drill")
    for decision, override in (
        (entries.decision, entries.override),
        (entries.disregarded, entries.disregard),
    ):
        given = {one.seq: one for one in state.overrides.get(decision.seq, ())}
        if override.seq not in given:
            raise UsageError(f"entry {override.seq} does not override entry {decision.seq}")
        one = given[override.seq]
        answered = override is entries.override
        if one.answered is not answered or (answered and one.said[1] != seen["put"]):
            raise UsageError(f"entry {override.seq} says something else than the drill")


def _read_entries(
    kind: object, entries: object, seen: object
) -> tuple[HaltEntries | OverrideEntries, Mapping[str, Any]]:
    if kind == HALT:
        form = members(entries, "entries", ("before", "halt", "resume", "after"))
        made = HaltEntries(
            items(form["before"], "before", Reference.from_dict),
            Reference.from_dict(form["halt"], "halt"),
            None if form["resume"] is None else Reference.from_dict(form["resume"], "resume"),
            items(form["after"], "after", Reference.from_dict),
        )
        counts = members(seen, "seen", _HALT_SEEN)
        return made, {name: _count(counts[name], name) for name in _HALT_SEEN}
    if kind == OVERRIDE:
        names = OverrideEntries.__slots__
        form = members(entries, "entries", names)
        said = members(seen, "seen", _OVERRIDE_SEEN)
        for name in ("committed", "put", "returned"):
            if said[name] is not None or name != "returned":
                hex_digest(said[name], name)
        if not isinstance(said["withheld"], bool):
            raise UsageTypeError(f"withheld is {shown(said['withheld'])}; it is true or false")
        return OverrideEntries(*(Reference.from_dict(form[name], name) for name in names)), said
    raise UsageError(f"drill is {shown(kind)}; it is {HALT!r} or {OVERRIDE!r}")


def _count(value: object, name: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise UsageTypeError(f"{name} is {shown(value)}; it is a whole number")
    if not 0 <= value <= limits.MAX_SAFE_INTEGER:
        raise UsageError(f"{name} is {value}; it is 0 or more")
    return value


def _moment(value: object, name: str) -> str:
    moment = text(value, name)
    microseconds(moment)
    return moment
