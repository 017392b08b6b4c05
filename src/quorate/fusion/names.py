"""The rules by name, and how many replicas each needs.

A name is a rule's own (``"krum"``) or a mixing step and a rule (``"nnm+krum"``,
``"bucketing+median"``): the step replaces the rows by averages of them first.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import comb
from types import MappingProxyType
from typing import Any, Final

from quorate.core.errors import UsageError, UsageTypeError
from quorate.core.limits import MAX_REPLICAS
from quorate.core.quorum import tolerated_faults
from quorate.fusion.arrays import whole
from quorate.fusion.rules.clipping import centered_clipping_of
from quorate.fusion.rules.coordinate import (
    finite_median_of,
    finite_trimmed_of,
    mean_around_median_of,
    median_of,
    trimmed_of,
)
from quorate.fusion.rules.diameter import MAX_SUBSETS, minimum_diameter_of
from quorate.fusion.rules.distances import arranged, mean_of
from quorate.fusion.rules.geometric import geometric_median_of
from quorate.fusion.rules.krum import finite_krum_of, krum_of, multi_krum_of
from quorate.fusion.rules.mixing import BUCKET, bucketed, mixed

Array = Any
"""A NumPy array or a PyTorch tensor."""

MDA: Final = "minimum_diameter_averaging"
_MEAN: Final = "mean"
_MEDIAN: Final = "median"
_VOTE: Final = "vote"
"""Rule of routing and of the gate, which count sets of experts; there is nothing to fold."""


@dataclass(frozen=True, slots=True)
class Rule:
    """One way to fold n rows into one.

    Attributes:
        name: as callers write it.
        fold: from clean rows ``[n, B, E]`` and f to the result ``[B, E]``.
        least: least n for f liars.
        per_coordinate: each coordinate of the result depends on that coordinate alone, and
            never leaves the honest rows' range there.
        before: name of the mixing step in front, or ``""``.
        at_once: ``fold`` of rows that may not be finite, or ``None`` where they are not, for
            rules that find out on the way.
    """

    name: str
    fold: Callable[[Array, int], Array]
    least: Callable[[int], int]
    per_coordinate: bool = False
    before: str = ""
    at_once: Callable[[Array, int], Array | None] | None = None


def _majority(faults: int) -> int:
    return 2 * faults + 1


def _rule(
    name: str,
    fold: Callable[[Array, int], Array],
    least: Callable[[int], int] = _majority,
    *,
    per_coordinate: bool = False,
    at_once: Callable[[Array, int], Array | None] | None = None,
) -> tuple[str, Rule]:
    return name, Rule(name, fold, least, per_coordinate, at_once=at_once)


RULES: Final[Mapping[str, Rule]] = MappingProxyType(
    dict(
        [
            _rule("mean", lambda rows, _: mean_of(arranged(rows)), lambda faults: faults + 1),
            _rule(
                "median",
                lambda rows, _: median_of(rows),
                per_coordinate=True,
                at_once=lambda rows, _: finite_median_of(rows),
            ),
            _rule("trimmed_mean", trimmed_of, per_coordinate=True, at_once=finite_trimmed_of),
            _rule("krum", krum_of, lambda faults: 2 * faults + 3, at_once=finite_krum_of),
            _rule("multi_krum", multi_krum_of, lambda faults: 2 * faults + 3),
            _rule("geometric_median", lambda rows, _: geometric_median_of(rows)),
            _rule("mean_around_median", mean_around_median_of),
            _rule("centered_clipping", lambda rows, _: centered_clipping_of(rows)),
            _rule(MDA, minimum_diameter_of),
        ]
    )
)
"""Every rule by its name. ``mean`` bears no liar; it stands here to compare with."""

BEFORE: Final[Mapping[str, str]] = MappingProxyType(
    {"nnm": "nnm", "nearest_neighbour_mixing": "nnm", "bucketing": "bucketing"}
)
"""Mixing steps by the names callers may write, to the name they go by."""

FUNCTIONS: Final[Mapping[str, str]] = MappingProxyType({"coordinate_wise_median": _MEDIAN})
"""Functions of another name than their rule's, to that rule; as rules they are the same."""


def find_rule(name: str, *, also: Sequence[str] = (), argument: str = "rule") -> Rule:
    """The rule of that name, with its mixing step if one stands in front.

    Args:
        name: as callers write it.
        also: names that the caller takes beside those of fusion, such as ``"vote"``; they are
            offered in the message, not found.
        argument: what the caller calls ``name``, for messages.

    Raises:
        UsageTypeError: ``name`` is not a string.
        UsageError: there is no such rule; says which one may be meant, and which there are.
    """
    if not isinstance(name, str):
        raise UsageTypeError(f"{argument} is {name!r} ({type(name).__name__}); give a rule's name")
    before, plus, last = name.rpartition("+")
    rule = RULES.get(FUNCTIONS.get(last, last))
    if rule is None or (plus and before not in BEFORE):
        raise UsageError(f"{argument} is {name!r}; {_meant(name, also)}")
    return rule if not plus else _mixed(BEFORE[before], rule)


def _meant(name: str, also: Sequence[str]) -> str:
    """Words that help who wrote ``name``, which is no rule."""
    # Protected rules first: whoever picks from the list is not to pick the one that is not.
    rules = [*(rule for rule in RULES if rule != _MEAN), *also]
    step = BEFORE.get(name.removesuffix("+"))
    if step is not None:
        return f"that step stands in front of a rule: write {step}+RULE, such as {step}+median"
    there = (
        f"there is {', '.join(rules)}, nnm+RULE, bucketing+RULE "
        f"and {_MEAN}, which protects against nothing"
    )
    if name == _VOTE:
        return f"a vote chooses experts and fuses nothing (use route_logits); {there}"
    known = [*rules, _MEAN, *FUNCTIONS, *(f"{each}+{rule}" for each in BEFORE for rule in RULES)]
    near = difflib.get_close_matches(name.lower(), known, n=1)
    return f"did you mean {near[0]!r}? T{there[1:]}" if near else there


def _mixed(before: str, rule: Rule) -> Rule:
    name = f"{before}+{rule.name}"
    if before == "nnm":
        return Rule(
            name,
            lambda rows, faults: rule.fold(mixed(rows, faults), faults),
            lambda faults: max(_majority(faults), rule.least(faults)),
            before=before,
        )
    return Rule(
        name,
        lambda rows, faults: rule.fold(bucketed(rows, BUCKET), faults),
        # Each liar may spoil one bucket, so the rule must bear f among the buckets.
        lambda faults: BUCKET * (rule.least(faults) - 1) + 1,
        before=before,
    )


def check_rule(rule: str, n: int, faults: int | None = None, *, also: Sequence[str] = ()) -> int:
    """Check that ``rule`` can bear ``faults`` liars among ``n`` replicas.

    Args:
        rule: a rule's name, such as ``"median"`` or ``"nnm+krum"``.
        n: replicas, 1 to ``limits.MAX_REPLICAS``.
        faults: how many may lie; ``(n - 1) // 3`` if ``None``.
        also: see :func:`find_rule`.

    Returns:
        The number of liars that is meant.

    Raises:
        UsageTypeError: an argument is of the wrong type.
        UsageError: no such rule, or too few replicas for it; the least n is named.
    """
    found = find_rule(rule, also=also)
    n = whole(n, "n")
    f = checked_faults(n, faults)
    least = found.least(f)
    if n < least:
        raise UsageError(
            f"{found.name} with {f} liar{'' if f == 1 else 's'} needs at least {least} "
            f"replicas; there are {n}"
        )
    _check_subsets(found, n, f)
    return f


def _check_subsets(rule: Rule, n: int, faults: int) -> None:
    """Refuse what would try too many subsets."""
    if not rule.name.endswith(MDA):
        return
    count = -(-n // BUCKET) if rule.before == "bucketing" else n
    if comb(count, faults) > MAX_SUBSETS:
        raise UsageError(
            f"{rule.name} over {count} rows with {faults} liars would try "
            f"{comb(count, faults):,} subsets; at most {MAX_SUBSETS:,} are tried: "
            "use multi_krum or nnm+trimmed_mean"
        )


def checked_faults(n: int, faults: int | None, name: str = "faults") -> int:
    """``faults``, or the most that n replicas bear in a quorum where it is ``None``.

    ``name`` is what the caller calls it, for messages.

    Raises:
        UsageTypeError: not a whole number.
        UsageError: out of range.
    """
    most = tolerated_faults(n)
    if faults is None:
        return most
    found = whole(faults, name)
    if not 0 <= found < MAX_REPLICAS:
        raise UsageError(f"{name} is {found}; it lies between 0 and {MAX_REPLICAS - 1}")
    return found
