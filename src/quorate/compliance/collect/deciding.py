"""Articles 13(1) and 14(4)(c): that every decision can be interpreted."""

from __future__ import annotations

from typing import Any

from quorate.compliance.collect.reading import Record
from quorate.compliance.collect.registry import Found, Lack, collector
from quorate.core.text import counted
from quorate.hub.oversight.rules import Reference


@collector(
    "art_13.par_1",
    "art_14.par_4.c",
    "transparencyDesign",
    title="Every decision carries support, dissent and a reason, and comes out the same",
)
def interpretable_decisions(record: Record) -> Found | Lack:
    """Support, dissent and reason of every verdict; each was computed again when verified."""
    verdicts = record.verdicts
    if not verdicts:
        told = nobodys(record)
        return Lack(f"no decision and no refusal was sealed in the period{told and f' ({told})'}")
    committed = sum(one.committed for one in verdicts)
    data: dict[str, Any] = {
        "range": record.range(),
        "decisions": len(verdicts),
        "committed": committed,
        "refused": len(verdicts) - committed,
        # Replay stops at the first verdict that comes out otherwise.
        "replayed": len(verdicts),
    }
    for name in ("support", "dissent", "reason"):
        data[f"with_{name}"] = sum(name not in one.lacks for one in verdicts)
    last = verdicts[-1].entry
    entries = {verdicts[0].entry.reference, last.reference, *record.ends}
    for one in verdicts:
        if one.lacks:
            told = f"entry {one.entry.seq} carries no {' and no '.join(one.lacks)}"
            return Found(data, _sorted({*entries, one.entry.reference}), failed=told)
    return Found(data, _sorted(entries), moment=last.time)


def nobodys(record: Record) -> str:
    """What is told of verdicts that nothing says are the system's; nothing without any."""
    number = len(record.nobodys)
    if not number:
        return ""
    return (
        f"{counted(number, 'verdict')} {'names' if number == 1 else 'name'} neither a task nor a "
        f"panel, the first in entry {record.nobodys[0]}, and {'is' if number == 1 else 'are'} not "
        "counted as the system's"
    )


def _sorted(entries: set[Reference]) -> list[Reference]:
    return sorted(entries, key=lambda one: one.seq)
