"""The pure verdicts: what one item of evidence shows, what a check shows, what it all scores.

An item shows something only where nothing speaks against it. A check is shown by an item for
its field, or by items for each applicable obligation that a machine can check; one failed
item fails it, whatever else there is.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Final

SHOWN: Final = "shown"
MISSING: Final = "missing"
FAILED: Final = "failed"
INVALID: Final = "invalid"
UNSIGNED: Final = "unsigned"
OUT_OF_SCOPE: Final = "out_of_scope"
STALE: Final = "stale"
NOT_APPLICABLE: Final = "not_applicable"

WORST_FIRST: Final = (FAILED, INVALID, UNSIGNED, OUT_OF_SCOPE, STALE, MISSING, SHOWN)
"""States of an applicable check."""

WEIGHTS: Final[Mapping[str, int]] = {"blocker": 5, "major": 2, "minor": 1}


@dataclass(frozen=True, slots=True)
class ItemFacts:
    """What is known of one item; a text is a reason, ``None`` that nothing is wrong.

    Attributes:
        malformed: why it is no item at all.
        misfit: why its data or digest is not what the schema asks for.
        failed: that it says the thing was not found, or does not say that it was.
        elsewhere: why it speaks of another system, version or a later time.
        stale: why it no longer counts.
        unsealed: why no receipt binds it.
    """

    malformed: str | None = None
    misfit: str | None = None
    failed: str | None = None
    elsewhere: str | None = None
    stale: str | None = None
    unsealed: str | None = None


def item_verdict(facts: ItemFacts) -> tuple[str, tuple[str, ...]]:
    """State of one item and all that speaks against it, the worst first.

    A failed item fails as long as it speaks of this system, sealed or not, whatever its data
    and however old it is: only :func:`retired` takes it back.
    """
    if facts.malformed is not None:
        return INVALID, (facts.malformed,)
    if facts.failed is not None:
        if facts.elsewhere is not None:
            return OUT_OF_SCOPE, (facts.elsewhere,)
        return FAILED, (facts.failed,)
    found = (
        (INVALID, facts.misfit),
        (UNSIGNED, facts.unsealed),
        (OUT_OF_SCOPE, facts.elsewhere),
        (STALE, facts.stale),
    )
    against = [(state, reason) for state, reason in found if reason is not None]
    if not against:
        return SHOWN, ()
    return against[0][0], tuple(reason for _, reason in against)


def retired(source: str, time: int, shown: Iterable[tuple[str, int]]) -> bool:
    """Whether a failure no longer counts: the same source found later that it passed.

    Args:
        source: that found the failure.
        time: when, in microseconds since 1970.
        shown: source and time of each item for the same field that shows something.
    """
    return any(each == source and later > time for each, later in shown)


def together(states: Iterable[str]) -> str:
    """State of all items for one field: failed by one, shown by one, else the worst."""
    found = set(states)
    if FAILED in found:
        return FAILED
    if SHOWN in found:
        return SHOWN
    return worst(found)


def worst(states: Iterable[str]) -> str:
    """The worst of ``states``; missing where there is none."""
    found = set(states)
    return next((state for state in WORST_FIRST if state in found), MISSING)


def check_verdict(
    field: Sequence[str],
    machine: Sequence[Sequence[str]],
    judged: Sequence[Sequence[str]] = (),
) -> str:
    """State of an applicable check.

    Args:
        field: states of the items for its field.
        machine: for each applicable obligation that a machine can check, the states of its
            items.
        judged: likewise for those that a person judges; they can fail it, not show it.
    """
    of_field = together(field)
    each = [together(states) for states in machine]
    if FAILED in (of_field, *each, *map(together, judged)):
        return FAILED
    if of_field == SHOWN or (each and all(state == SHOWN for state in each)):
        return SHOWN
    return worst([of_field, *(state for state in each if state != SHOWN)])


def score(weighed: Iterable[tuple[str, int]]) -> tuple[int, int, Fraction | None]:
    """Weight shown, weight in all, and their ratio; ``None`` where nothing applies.

    Args:
        weighed: state and weight of each check; those that do not apply do not count.
    """
    counted = [(state, weight) for state, weight in weighed if state != NOT_APPLICABLE]
    total = sum(weight for _, weight in counted)
    shown = sum(weight for state, weight in counted if state == SHOWN)
    return shown, total, Fraction(shown, total) if total else None
