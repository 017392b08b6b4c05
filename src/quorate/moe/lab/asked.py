"""The check of what the lab is asked for; it needs no PyTorch."""

from __future__ import annotations

from collections.abc import Sequence
from difflib import get_close_matches

from quorate.core.errors import UsageError
from quorate.fusion.names import check_rule, find_rule
from quorate.moe.lab.names import ATTACK_NAMES, MODEL_NAMES, MOST_GATES, RULE_NAMES, SIZES, VOTE


def check_asked(
    models: Sequence[str], sizes: Sequence[int], rules: Sequence[str], attacks: Sequence[str]
) -> None:
    """Check what is asked of the lab; cheap, so that nobody waits for a typo.

    Raises:
        UsageError: something names nothing that there is, or nothing is named.
    """
    for what, given, there in (("model", models, MODEL_NAMES), ("attack", attacks, ATTACK_NAMES)):
        for name in given:
            if name not in there:
                raise UsageError(f"{name!r} is no {what}; {_offer(name, there)}")
    for rule in rules:
        _check_rule_name(rule)
    for what, given in (("model", models), ("attack", attacks), ("rule", rules)):
        if not given:
            raise UsageError(f"no {what} is named; name at least one")
    _check_sizes(sizes)
    for n in sizes:
        reasons = [too_few(rule, n) for rule in rules]
        if None not in reasons:
            raise UsageError(f"{reasons[0]}; name another rule, or more replicas")


def too_few(rule: str, n: int) -> str | None:
    """Why ``n`` replicas are too few for the rule, or ``None``."""
    if rule == VOTE:
        return None
    try:
        check_rule(rule, n)
    except UsageError as error:
        return str(error)
    return None


def _check_rule_name(rule: str) -> None:
    if rule == VOTE:
        return
    try:
        find_rule(rule)
    except UsageError as error:
        # The rules of fusion alone know no vote.
        offer = f"{_offer(rule, RULE_NAMES)}; nnm+RULE and bucketing+RULE work too"
        raise UsageError(f"rule is {rule!r}; {offer}") from error


def _check_sizes(sizes: Sequence[int]) -> None:
    for n in sizes:
        if isinstance(n, bool) or not isinstance(n, int) or not SIZES[0] <= n <= MOST_GATES:
            raise UsageError(
                f"{n!r} replicas; give {SIZES[0]} to {MOST_GATES}: fewer tolerate no liar, and "
                f"{MOST_GATES} gates are trained"
            )
    if not sizes:
        raise UsageError(f"no number of replicas is given; give {SIZES[0]} to {MOST_GATES}")


def _offer(name: str, there: Sequence[str]) -> str:
    close = get_close_matches(name, there, n=1)
    meant = f"did you mean {close[0]}? " if close else ""
    return f"{meant}there is {', '.join(there)}"
