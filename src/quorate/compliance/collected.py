"""What a collector of ours sealed, held to the entries that it names.

An item whose source is a collector's can be written by whoever has the ledger's key. So each is
held to what that collector makes: its fields, the kinds of entries that it is made from, and of
drills that they are those drills. Numbers that were computed over a whole log are not computed
again here; only the log shows those (``quorate comply report``).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple

from quorate.compliance.drill_record import KIND as DRILL
from quorate.compliance.drill_record import PANEL, Drill
from quorate.compliance.evidence import COLLECTED, EntryRef, Evidence
from quorate.compliance.wording import folded
from quorate.core.errors import UsageError

_VERDICT: Final = frozenset({"decision", "refusal"})


class Made(NamedTuple):
    """What a collector makes.

    Attributes:
        fields: for which it makes evidence.
        kinds: sets of kinds; an entry of each set is among those that it names.
    """

    fields: tuple[str, ...]
    kinds: tuple[frozenset[str], ...] = ()


def _kinds(*each: str) -> tuple[frozenset[str], ...]:
    return tuple(frozenset({one}) for one in each)


SHIPPED: Final[Mapping[str, Made | None]] = {
    "acceptance": None,
    "accuracy_series": Made(
        ("art_15.par_1",), (*_kinds("threshold"), frozenset({"measurement", "decision"}))
    ),
    "attack_runs": Made(("art_15.par_5.s1", "redTeamReport"), _kinds("threshold", "redteam")),
    "both_drills": Made(("overrideControl",), _kinds(DRILL)),
    "event_logging": Made(("eventLogging",)),
    "gapless_logging": Made(("art_12.par_1",)),
    "halt_drill": Made(("art_14.par_4.e",), _kinds(DRILL)),
    "interpretable_decisions": Made(
        ("art_13.par_1", "art_14.par_4.c", "transparencyDesign"), (_VERDICT,)
    ),
    "monitoring_events": Made(("art_12.par_2.b",)),
    "operation_events": Made(("art_12.par_2.c",)),
    "override_drill": Made(("art_14.par_4.d",), _kinds(DRILL)),
    "redundancy": Made(("art_15.par_4.s2",), (*_kinds("panel"), _VERDICT)),
    "retention": Made(("art_19.par_1", "art_26.par_6")),
    "risk_events": Made(("art_12.par_2.a",)),
    "scripted_halt_drill": Made(("art_14.par_4.e",), _kinds(DRILL)),
    "scripted_override_drill": Made(("art_14.par_4.d",), _kinds(DRILL)),
    "thresholds_before_results": Made(("art_9.par_8",), _kinds("threshold", "measurement")),
    "traceable_events": Made(("logTraceability",)),
}
"""The collectors that come with this package; ``None`` for one that never shows anything."""

_OWN_PANEL: Final = frozenset({"both_drills", "halt_drill", "override_drill"})
_TOLD: Final = ("kind", "started", "acted", "ended", "by")


def is_shipped(source: str) -> bool:
    """Whether a source is that of a collector that comes with this package."""
    return source.startswith(COLLECTED) and source.removeprefix(COLLECTED) in SHIPPED


def looks_collected(source: str) -> bool:
    r"""Whether a source reads as a collector's, though it may be none.

    >>> looks_collected("quorate\u2024collect\u2024x"), looks_collected("Quorate Collect!")
    (True, True)
    """
    plain = re.sub(r"[\W_]+", "", folded(source))
    return plain.startswith("quoratecollect")


def check_collected(
    item: Evidence, kind_of: Callable[[EntryRef], str], drill_of: Callable[[EntryRef], Drill]
) -> None:
    """Hold an item of a collector of ours to the entries that it names.

    Args:
        item: one that passed; of another source, or failed, nothing is checked.
        kind_of: the kind of an entry that it names, in the log that it is sealed in.
        drill_of: the drill of an entry of that kind.

    Raises:
        UsageError: no such collector made it of these entries; and what the lookups raise.
    """
    if item.status != "passed" or not is_shipped(item.source):
        return
    name = item.source.removeprefix(COLLECTED)
    made = SHIPPED[name]
    if made is None or item.field not in made.fields:
        raise UsageError(f"its source is {item.source}, which never shows {item.field}")
    kinds = {each.seq: kind_of(each) for each in item.entries}
    for wanted in made.kinds:
        if wanted.isdisjoint(kinds.values()):
            raise UsageError(
                f"its source is {item.source}, and none of the entries that it names is a "
                f"{' or '.join(sorted(wanted))}"
            )
    _check_range(item)
    if DRILL in {kind for wanted in made.kinds for kind in wanted}:
        drills = [drill_of(each) for each in item.entries if kinds[each.seq] == DRILL]
        _check_drills(item, name, drills)


def _check_range(item: Evidence) -> None:
    told = item.data.get("range")
    if not isinstance(told, dict):
        return
    named = {each.seq for each in item.entries}
    if not {told.get("first"), told.get("last")} <= named:
        raise UsageError("it tells of a range, and does not name its first and last entry")


def _check_drills(item: Evidence, name: str, drills: list[Drill]) -> None:
    both = [item.data.get("halt"), item.data.get("override")]
    for told in both if name == "both_drills" else [item.data]:
        found = [one for one in drills if _is_that(one, told)]
        if name in _OWN_PANEL:
            found = [one for one in found if one.work == PANEL]
        if not any(one.passed and one.scope == item.scope for one in found):
            raise UsageError(f"its source is {item.source}, and it names no drill such as it tells")


def _is_that(drill: Drill, told: Any) -> bool:
    return isinstance(told, dict) and all(told.get(name) == getattr(drill, name) for name in _TOLD)
