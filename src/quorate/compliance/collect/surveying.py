"""A survey of a ledger: verify it, read it, and ask every collector."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from quorate.compliance.collect.reading import Record, instant, read_record
from quorate.compliance.collect.registry import MOST_DAYS, Collector, Found, Lack, collectors
from quorate.compliance.committing import read_scope
from quorate.compliance.coverage import Lacking
from quorate.compliance.declaring import scope_of
from quorate.compliance.evidence import UNVERIFIED, EntryRef, Evidence, Scope
from quorate.compliance.sealed import COLLECTED
from quorate.compliance.system import System
from quorate.compliance.times import DAY
from quorate.core import limits
from quorate.core.errors import UsageError, UsageTypeError, VerificationError
from quorate.core.text import counted
from quorate.ledger import Ledger, Policy
from quorate.ledger.receipts import timestamp

STRONGER: Final = {
    "scripted_halt_drill": "halt_drill",
    "scripted_override_drill": "override_drill",
}
"""Collectors of drills by a script -> those of the same drill by the system's own experts."""

_DECLARING: Final = "declaration"
_EMPTY: Final = "the ledger is empty"
_NO_ENTRIES: Final = "no entry of its record was sealed in that period"


@dataclass(frozen=True, slots=True)
class Survey:
    """What a ledger shows, and what it does not.

    Attributes:
        items: evidence, unsealed, in the order of its fields.
        lacking: what could not be shown.
        broken: why the ledger does not verify; ``None`` where it does.
        size: entries that were verified; 0 where it does not verify.
        pinned: of them, those that the checkpoint pins; ``None`` without one.
        untold: names of those collectors lacking that lack only what the caller could have
            told, a checkpoint say: they deny nothing that they found with it.
    """

    items: tuple[Evidence, ...]
    lacking: tuple[Lacking, ...]
    broken: str | None
    size: int
    pinned: int | None = None
    untold: frozenset[str] = frozenset()

    @property
    def wanted(self) -> tuple[Lacking, ...]:
        """What is lacking, without drills of a script where the system's own experts passed."""
        passed = {one.source for one in self.items if one.status == "passed"}
        return tuple(
            one
            for one in self.lacking
            if one.collector not in STRONGER
            or f"{COLLECTED}{STRONGER[one.collector]}" not in passed
        )


def survey(  # noqa: PLR0913 - one argument for each thing that a survey may be told
    ledger: Ledger,
    *,
    policy: Policy,
    system: System | Scope | Mapping[str, Any],
    now: datetime,
    period: tuple[datetime, datetime] | None = None,
    checkpoint: str | None = None,
    silence_seconds: float | None = None,
    only: Iterable[str] | None = None,
    past: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> Survey:
    """Verify a ledger, and say what it shows of the system.

    Args:
        ledger: open.
        policy: the keys that the entries have to be signed by, and the log's name where it is
            known.
        system: that evidence is collected for. The ledger has to declare exactly this name
            and version; entries of another's record, and drills, thresholds, measurements and
            runs of attacks on another system or version, count for nothing.
        now: with its time zone. Evidence is dated as the newest entry behind it is.
        period: first and last moment to look at; the whole record unless told.
        checkpoint: a signed note that was kept elsewhere; without one, entries that were cut
            off at the end go unseen.
        silence_seconds: the greatest gap between two entries that is normal; where the ledger
            declares one as well, the smaller counts.
        only: names of the collectors to ask; all, unless told.
        past: that ``now`` is over: the ledger is verified as it is, and what was sealed later
            than ``now`` shows nothing.
        progress: called with steps done and steps in all, two for each entry: it is verified,
            and then read.

    Raises:
        UsageError: an argument cannot be used.
        StoreError: the ledger cannot be read.
    """
    if not isinstance(policy, Policy):
        raise UsageTypeError(
            f"policy is a {type(policy).__name__}; name the keys that you trust: Policy.of([…])"
        )
    scope, asked = _scope(system), collectors(only)
    most = limits.MAX_SAFE_INTEGER
    if silence_seconds is not None and not 0 < silence_seconds <= most:
        raise UsageError(f"silence_seconds is {silence_seconds}; it is above 0 and up to {most}")
    moment = timestamp(instant(now, "now"))
    try:
        record = read_record(
            ledger,
            policy=policy,
            scope=scope,
            now=now,
            period=period,
            checkpoint=checkpoint,
            silence_seconds=silence_seconds,
            past=past,
            progress=progress,
        )
    except VerificationError as error:
        why = f"{UNVERIFIED}: {error}"
        broken = Found({"rule": error.rule, "index": error.index}, failed=why)
        items = [item for one in asked for item in _items(one, broken, scope, moment, None)]
        return Survey(_sorted(items), (), why, 0)
    found, untold = [], set()
    lacking = list(_declared_late(record))
    for one in asked:
        came = _look(one, record)
        if isinstance(came, Lack):
            lacking.append(Lacking(one.name, one.fields, came.reason))
            if came.untold:
                untold.add(one.name)
        else:
            found += _items(one, came, scope, *_dated(came, record))
    pinned = None if checkpoint is None else record.report.proven
    size = record.report.size
    return Survey(_sorted(found), tuple(lacking), None, size, pinned, frozenset(untold))


def collect(
    ledger: Ledger,
    *,
    policy: Policy,
    system: System | Scope | Mapping[str, Any],
    now: datetime,
    period: tuple[datetime, datetime] | None = None,
    **more: Any,
) -> list[Evidence]:
    """The evidence that a ledger shows, unsealed; see :func:`survey`.

    A ledger that does not verify gives an item for every field of every collector, all of
    them failed, with the entry and the rule.
    """
    return list(survey(ledger, policy=policy, system=system, now=now, period=period, **more).items)


def _look(one: Collector, record: Record) -> Found | Lack:
    if record.start is None:
        return Lack(_EMPTY)
    if record.declared is None:
        scope = record.scope
        return Lack(
            f"no entry declares that this ledger is the record of {scope.system} {scope.version}; "
            "declare the system: quorate comply declare system.toml LEDGER --since 0"
        )
    if not record.passed:
        return Lack(_NO_ENTRIES)
    came = one.look(record)
    if not isinstance(came, Found | Lack):
        raise UsageTypeError(
            f"the collector {one.name} gave a {type(came).__name__}; it gives Found or Lack"
        )
    if isinstance(came, Found) and came.failed is None and came.expires is None:
        age = record.days_since(_moment(came, record))
        if age > MOST_DAYS:
            return Lack(
                f"the newest of what would show it is {counted(int(age), 'day')} old, and such "
                f"records count for {MOST_DAYS} days"
            )
    return came


def _declared_late(record: Record) -> Iterator[Lacking]:
    """What was recorded before anybody declared whose record it is."""
    for one in record.late:
        at, first = record.whole[one.seq], record.whole[one.declared.since]
        named = f"entries {first.seq} to {one.last} are"
        if first.seq == one.last:
            named = f"entry {first.seq} is"
        yield Lacking(
            _DECLARING,
            (f"that {named} the record of {record.scope.system} {record.scope.version}",),
            f"entry {at.seq} declares it, on {timestamp(at.time)}, after what it claims, which "
            f"reaches back to {timestamp(first.time)}; whose record that was is the word of "
            f"{one.declared.by} alone",
        )


def _moment(came: Found, record: Record) -> int:
    if came.moment is not None:
        return came.moment
    return max((record.whole[one.seq].time for one in came.entries), default=record.now)


def _dated(came: Found, record: Record) -> tuple[str, str | None]:
    """When it is established, and until when it counts; a failure does not pass with time."""
    newest = max((record.whole[one.seq].time for one in came.entries), default=record.now)
    expires = came.expires
    if came.failed is None and expires is None:
        # What is a year old to the microsecond still counts, and so ends after it began.
        expires = timestamp(max(_moment(came, record) + MOST_DAYS * DAY, newest + 1))
    return timestamp(newest), None if came.failed is not None else expires


def _items(
    one: Collector, came: Found, scope: Scope, moment: str, expires: str | None
) -> list[Evidence]:
    data = dict(came.data)
    if came.failed is not None:
        data["reason"] = came.failed
    entries = tuple(EntryRef(seq=ref.seq, hash=ref.hash) for ref in came.entries)
    return [
        Evidence(
            field=name,
            status="passed" if came.failed is None else "failed",
            source=f"{COLLECTED}{one.name}",
            time=moment,
            expires=expires,
            scope=scope,
            data=data,
            entries=entries,
        )
        for name in one.fields
    ]


def _sorted(items: list[Evidence]) -> tuple[Evidence, ...]:
    return tuple(sorted(items, key=lambda item: (item.field, item.source)))


def _scope(system: System | Scope | Mapping[str, Any]) -> Scope:
    if isinstance(system, Scope):
        return system
    if isinstance(system, Mapping) and "system" in system:
        return read_scope(system)
    return scope_of(System.read(system))
