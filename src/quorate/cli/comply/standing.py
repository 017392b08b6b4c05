"""Which of the evidence sealed in a ledger stands: the last of each field and source, mostly.

A later item stands for the earlier ones, but a failure is not got rid of by sealing something
after it. What a collector found failed, only a collector retires, by finding it passed in
entries of the log; what people sealed as failed, only a later finding of the same source.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass

from quorate.compliance import Evidence, System
from quorate.compliance.collect import Survey
from quorate.compliance.declaring import KIND as SYSTEM
from quorate.compliance.declaring import Declaration, Declarations, scope_of
from quorate.compliance.evidence import KIND as EVIDENCE
from quorate.compliance.evidence import Scope
from quorate.compliance.sealed import COLLECTED
from quorate.compliance.times import microseconds
from quorate.compliance.wording import folded
from quorate.core.canonical import canonical
from quorate.core.errors import UsageError
from quorate.core.text import counted
from quorate.ledger import Ledger, Receipt

_FAILED = "failed"

Sealed = tuple[Evidence, Receipt]


@dataclass(frozen=True, slots=True)
class Standing:
    """Sealed evidence that stands.

    Attributes:
        items: in the order of the log, and ``receipts`` that seal them.
        declared: the last entry that declares the system.
        notices: what a reader has to know of the rest.
    """

    items: tuple[Evidence, ...] = ()
    receipts: tuple[Receipt, ...] = ()
    declared: Receipt | None = None
    notices: tuple[str, ...] = ()


@dataclass(slots=True)
class _Line:
    """The items of one field, source and version: the last, and a failure not retired yet."""

    last: Sealed
    failed: Sealed | None = None

    @property
    def standing(self) -> list[Sealed]:
        return [self.last] if self.failed in (None, self.last) else [self.failed, self.last]


def sealed_before(
    ledger: Ledger, system: System, *, until: int | None = None, survey: Survey | None = None
) -> Standing:
    """Evidence on a system that lies sealed in a ledger.

    That of another version is kept only where its field has none of this version, so that it
    is told why it does not count. What is no evidence is told by its reason; the evaluation
    judges the others by their receipts, one by one.

    Args:
        ledger: verified. Every entry of it is read, so that none can hide.
        system: that it is on.
        until: what was sealed later is left out, in microseconds since 1970.
        survey: what the ledger shows now, or showed by ``until``; a failure that a collector
            sealed is retired only if it finds the same passed, and what it sealed as passed
            does not stand where it can no longer show it.

    Raises:
        VerificationError: an entry is damaged.
    """
    lines: dict[tuple[str, str, str], _Line] = {}
    declared: list[tuple[int, Declaration]] = []
    receipts: dict[int, Receipt] = {}
    damaged: list[str] = []
    retired: list[str] = []
    for receipt in ledger.follow(lambda entry: entry.kind in (EVIDENCE, SYSTEM)).read():
        if until is not None and receipt.entry.time > until:
            continue
        try:
            if receipt.kind == SYSTEM:
                declared.append((receipt.seq, Declaration.from_dict(receipt.payload)))
                receipts[receipt.seq] = receipt
                continue
            body = receipt.payload
            item = Evidence.read(body if isinstance(body, dict) else None).sealed_by(receipt)
        except UsageError as error:
            damaged.append(f"entry {receipt.seq}: {error}")
            continue
        if item.scope.system == system.name or _alike(item, system):
            retired += _take(lines, (item, receipt), survey)
    kept, denied = _undenied(_current(lines.values(), system), survey)
    kept, gone = _shown_still(kept, survey)
    last = Declarations.of(declared).last_of(scope_of(system))
    return Standing(
        tuple(item for item, _ in kept),
        tuple(receipt for _, receipt in kept),
        None if last is None else receipts[last[0]],
        tuple(_notices(damaged, [*retired, *denied, *gone])),
    )


def standing_already(ledger: Ledger, items: Iterable[Evidence]) -> Iterator[Evidence]:
    """The items, each that lies sealed already, the same, with the entry that seals it.

    Only where it is the last of its field and source: what others were sealed after has to be
    sealed again to count.

    Args:
        ledger: open. An entry counts only if the ledger's own key signed it.
        items: those that name a receipt are given as they are.

    Raises:
        VerificationError: an entry is damaged.
    """
    last: dict[tuple[str, str, Scope], Sealed] = {}
    for receipt in ledger.follow(lambda entry: entry.kind == EVIDENCE).read():
        body = receipt.payload
        # What is no evidence seals none.
        with suppress(UsageError):
            item = Evidence.read(body if isinstance(body, dict) else None)
            last[item.field, item.source, item.scope] = item, receipt
    for item in items:
        known = last.get((item.field, item.source, item.scope))
        same = known is not None and canonical(known[0].body()) == canonical(item.body())
        yield item.sealed_by(known[1]) if item.receipt is None and known and same else item


def _alike(item: Evidence, system: System) -> bool:
    """Whether it is a failure of a system whose name and version read the same."""
    one, other = item.scope, scope_of(system)
    return item.status == _FAILED and (folded(one.system), folded(one.version)) == (
        folded(other.system), folded(other.version),
    )  # fmt: skip


def _take(
    lines: dict[tuple[str, str, str], _Line], new: Sealed, survey: Survey | None
) -> Iterable[str]:
    """Take the next item in; say which failure it retires."""
    item, receipt = new
    key = item.field, item.source, item.scope.version
    line = lines.setdefault(key, _Line(new))
    line.last = new
    if item.status == _FAILED:
        line.failed = new
    elif line.failed is not None and _retires(item, line.failed[0], survey):
        yield (
            f"entry {receipt.seq} says {item.field} passed, which {item.source} had found failed "
            f"in entry {line.failed[1].seq}"
        )
        line.failed = None


def _retires(item: Evidence, failed: Evidence, survey: Survey | None) -> bool:
    later = microseconds(item.time) > microseconds(failed.time)
    if not item.source.startswith(COLLECTED):
        return later
    if survey is None or _unknown(item, survey):
        # What was collected later was made from later entries.
        return later and _newest(item) > _newest(failed)
    # Whoever has the key can seal what looks collected; the collector itself is asked.
    found = [
        one.status for one in survey.items if (one.field, one.source) == (item.field, item.source)
    ]
    return bool(found) and _FAILED not in found


def _newest(item: Evidence) -> int:
    return max((each.seq for each in item.entries), default=-1)


def _unknown(item: Evidence, survey: Survey) -> bool:
    """Whether no collector of that name was asked: one of somebody's own, not registered here."""
    asked = {one.source for one in survey.items}
    asked |= {f"{COLLECTED}{one.collector}" for one in survey.lacking}
    return item.source not in asked


def _current(lines: Iterable[_Line], system: System) -> list[Sealed]:
    found = [each for line in lines for each in line.standing]
    current = {item.field for item, _ in found if item.scope.version == system.version}
    return sorted(
        (
            (item, receipt)
            for item, receipt in found
            if item.scope.version == system.version
            or item.field not in current
            or _alike(item, system)
        ),
        key=lambda each: each[1].seq,
    )


def _undenied(kept: list[Sealed], survey: Survey | None) -> tuple[list[Sealed], list[str]]:
    """Without what says that a collector passed after the same collector found it failed.

    It would take the failure back, and did not come from the collector.
    """
    now = () if survey is None else survey.items
    failed: dict[tuple[str, str], int] = {}
    for item in (*(item for item, _ in kept), *now):
        if item.status == _FAILED and item.source.startswith(COLLECTED):
            key, time = (item.field, item.source), microseconds(item.time)
            failed[key] = min(time, failed.get(key, time))
    left: list[Sealed] = []
    denied = []
    for item, receipt in kept:
        since = failed.get((item.field, item.source))
        if item.status != _FAILED and since is not None and microseconds(item.time) > since:
            denied.append(
                f"entry {receipt.seq} says {item.field} passed, and {item.source} found it "
                "failed: the entry is left out"
            )
        else:
            left.append((item, receipt))
    return left, denied


def _shown_still(kept: list[Sealed], survey: Survey | None) -> tuple[list[Sealed], list[str]]:
    """Without what says that a collector passed which can no longer show it.

    What the ledger showed once says nothing of today, where it shows it no more.
    """
    lacking = {
        (name, f"{COLLECTED}{one.collector}"): one.reason
        for one in (() if survey is None else survey.lacking)
        if survey is not None and one.collector not in survey.untold
        for name in one.fields
    }
    left: list[Sealed] = []
    gone = []
    for item, receipt in kept:
        reason = lacking.get((item.field, item.source))
        if reason is None or item.status == _FAILED:
            left.append((item, receipt))
        else:
            gone.append(
                f"the ledger does not show {item.field}, as entry {receipt.seq} says it did, so "
                f"that entry is left out: {reason}"
            )
    return left, gone


def _notices(damaged: list[str], told: list[str]) -> Iterable[str]:
    if damaged:
        yield f"{counted(len(damaged), 'sealed item')} of evidence cannot be read: {damaged[0]}"
    for each in told:
        yield f"{each[:1].upper()}{each[1:]}."
