"""The rules once more, straight from their wording, slow, and without the package.

Expected values are computed here, so that a vector never says only what the code under
test says.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from decimal import Decimal
from fractions import Fraction
from typing import Any

Ballot = dict[str, str]

_SIGNIFICANT_DIGITS_WITHOUT_EXPONENT = 21
_LEAST_EXPONENT_WITHOUT_EXPONENT = -6
_ESCAPES = {
    '"': '\\"', "\\": "\\\\", "\b": "\\b", "\t": "\\t", "\n": "\\n", "\f": "\\f", "\r": "\\r",
}  # fmt: skip


class Refused(Exception):  # noqa: N818 - an outcome, not a failure
    """The input has no outcome."""


# --- numbers and canonical JSON --------------------------------------------------


def rational(text: str) -> Fraction:
    """A number of a vector: ``p/q``, or a decimal, exactly as it is spelled."""
    return Fraction(text)


def number_text(value: float) -> str:
    """How ECMAScript writes a double (RFC 8785, 3.2.2.3), from its shortest digits."""
    if value == 0:
        return "0"
    sign, digits, exponent = Decimal(repr(value)).as_tuple()
    shown = "".join(map(str, digits)).rstrip("0")
    # The value is 0.shown times ten to the point.
    point = len(digits) + int(exponent)
    if len(shown) <= point <= _SIGNIFICANT_DIGITS_WITHOUT_EXPONENT:
        body = shown + "0" * (point - len(shown))
    elif 0 < point <= _SIGNIFICANT_DIGITS_WITHOUT_EXPONENT:
        body = f"{shown[:point]}.{shown[point:]}"
    elif _LEAST_EXPONENT_WITHOUT_EXPONENT < point <= 0:
        body = "0." + "0" * -point + shown
    else:
        fraction = f".{shown[1:]}" if len(shown) > 1 else ""
        body = f"{shown[0]}{fraction}e{'+' if point > 0 else '-'}{abs(point - 1)}"
    return "-" * sign + body


def canonical(value: Any) -> str:
    """RFC 8785."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, int):
        return str(value)
    if isinstance(value, float):
        return number_text(value)
    if isinstance(value, str):
        return '"' + "".join(map(_escaped, value)) + '"'
    if isinstance(value, list):
        return "[" + ",".join(map(canonical, value)) + "]"
    keys = sorted(value, key=lambda key: key.encode("utf-16-be"))
    return "{" + ",".join(f"{canonical(key)}:{canonical(value[key])}" for key in keys) + "}"


def _escaped(character: str) -> str:
    if character in _ESCAPES:
        return _ESCAPES[character]
    return f"\\u{ord(character):04x}" if character < " " else character


def sha256(text: str) -> str:
    """Of the UTF-8 bytes."""
    return hashlib.sha256(text.encode()).hexdigest()


# --- quorums ---------------------------------------------------------------------


def quorum_size(n: int, faults: int | None) -> dict[str, int]:
    """The least size of which any two quorums share more than the faults."""
    most = max(f for f in range(n) if 3 * f < n)
    f = most if faults is None else faults
    if not 0 <= f <= most:
        raise Refused
    return {"faults": f, "size": next(q for q in range(n + 2) if 2 * q - n > f)}


# --- folds -----------------------------------------------------------------------


def settle(ballots: Sequence[Ballot]) -> tuple[list[Ballot], dict[str, Fraction]]:
    """One ballot per expert; those that sent different ones, with their greatest weight."""
    kept: list[Ballot] = []
    void: dict[str, Fraction] = {}
    for expert in sorted({ballot["expert"] for ballot in ballots}):
        sent = [ballot for ballot in ballots if ballot["expert"] == expert]
        told = {(b["answer"], rational(b["confidence"]), rational(b["weight"])) for b in sent}
        if len(told) == 1:
            kept.append(sent[0])
        else:
            void[expert] = max(weight for _, _, weight in told)
    return kept, void


def vote(ballot: Ballot) -> Fraction:
    """Weight times confidence."""
    return rational(ballot["weight"]) * rational(ballot["confidence"])


def ordered(kept: Sequence[Ballot]) -> list[dict[str, Any]]:
    """The groups in the one total order."""
    groups: list[dict[str, Any]] = []
    for answer in {ballot["answer"] for ballot in kept}:
        members = [ballot for ballot in kept if ballot["answer"] == answer]
        top = max(map(vote, members))
        groups.append(
            {
                "answer": answer,
                "votes": sum(map(vote, members), Fraction(0)),
                "weight": sum((rational(b["weight"]) for b in members), Fraction(0)),
                "top_vote": top,
                "top": min(b["expert"] for b in members if vote(b) == top),
            }
        )
    groups.sort(key=lambda group: group["top"])
    groups.sort(key=lambda group: (group["votes"], group["top_vote"]), reverse=True)
    return groups


def spelled(cast: Sequence[Ballot]) -> dict[str, str]:
    """Which spelling of one group is committed, and whose: the order, step by step."""
    sums: dict[str, Fraction] = {}
    for ballot in cast:
        sums[ballot["answer"]] = sums.get(ballot["answer"], Fraction(0)) + vote(ballot)
    heaviest = {answer for answer, votes in sums.items() if votes == max(sums.values())}
    left = [ballot for ballot in cast if ballot["answer"] in heaviest]
    highest = max(map(vote, left))
    first = min((b for b in left if vote(b) == highest), key=lambda ballot: ballot["expert"])
    return {"spelling": first["answer"], "expert": first["expert"]}


def weighted_quorum(given: dict[str, Any]) -> dict[str, Any]:
    """Weighted quorum, from its formulas."""
    return first_to_quorum({**given, "pending": [], "early": "certain"})


def first_to_quorum(given: dict[str, Any]) -> dict[str, Any]:
    """First to quorum, from its formulas; with nobody pending it is weighted quorum."""
    quorum = rational(given["quorum"])
    kept, void = settle(given["ballots"])
    away = sum(void.values(), Fraction(0)) + _weight(given["absent"])
    waiting = _weight(given["pending"])
    groups = ordered(kept)
    votes = sum((group["votes"] for group in groups), Fraction(0))
    weight = sum((group["weight"] for group in groups), Fraction(0))
    roster = weight + away + waiting
    arrived = votes + away
    total = arrived if given["early"] == "fast" else arrived + waiting

    def lacking(led: Fraction, backed: Fraction, whole: Fraction) -> str | None:
        if not groups and not waiting:
            return "no_proposals"
        if whole == 0:
            return "zero_total"
        short = [
            name
            for name, part, of in (("support", led, whole), ("backing", backed, roster))
            if part < quorum * of
        ]
        return "_and_".join(short) or None

    nobody: dict[str, Any] = {
        "votes": Fraction(0),
        "weight": Fraction(0),
        "answer": None,
        "top": None,
    }
    leader = groups[0] if groups else nobody
    rival = groups[1]["votes"] if len(groups) > 1 else Fraction(0)
    why = lacking(leader["votes"], leader["weight"], total) if groups else "no_proposals"
    ahead = not waiting or given["early"] == "fast" or leader["votes"] > rival + waiting
    if why is None and ahead:
        standing = "commit"
    else:
        # At best every pending expert joins one group in full confidence.
        best = [
            lacking(g["votes"] + waiting, g["weight"] + waiting, arrived + waiting)
            for g in (groups or [nobody])
        ]
        standing = "open" if waiting and None in best else "refuse"
        if waiting:
            why = "pending" if standing == "open" else best[0]
    return {
        "standing": standing,
        "reason": why,
        "leader": leader["answer"],
        "top": leader["top"],
        "support": str(leader["votes"] / total if total else 0),
        "backing": str(leader["weight"] / roster if roster else 0),
        "void": sorted(void),
    }


def _weight(listed: Sequence[dict[str, str]]) -> Fraction:
    return sum((rational(one["weight"]) for one in listed), Fraction(0))


# --- runoff ----------------------------------------------------------------------


def runoff(given: dict[str, Any]) -> dict[str, Any]:
    """Instant runoff as it is worded: look back round by round, then take the greater text."""
    ballots = [
        (ranking, rational(weight))
        for ranking, weight in zip(given["rankings"], given["weights"], strict=True)
    ]
    named = {option for ranking, _ in ballots for option in ranking}
    options = set(given["options"]) if given["options"] is not None else named
    if named - options:
        raise Refused
    standing = set(options)
    out = ""
    history: list[dict[str, Fraction]] = []
    rounds = []
    while standing:
        tally = dict.fromkeys(sorted(standing), Fraction(0))
        exhausted = Fraction(0)
        for ranking, weight in ballots:
            option = next((o for o in ranking if o in standing), None)
            if option is None:
                exhausted += weight
            else:
                tally[option] += weight
        history.append(tally)
        out = _behind(standing, history)
        last = len(standing) <= 2  # noqa: PLR2004 - two remain
        rounds.append(
            {
                "tally": [[option, str(weight)] for option, weight in tally.items()],
                "eliminated": None if last else out,
                "exhausted": str(exhausted),
            }
        )
        if last:
            break
        standing.remove(out)
    if not history or not any(history[-1].values()):
        return {"winner": None, "rounds": rounds, "condorcet": None}
    winner = min(standing - {out}, default=out)
    return {"winner": winner, "rounds": rounds, "condorcet": _condorcet(ballots, sorted(options))}


def _behind(standing: set[str], history: Sequence[dict[str, Fraction]]) -> str:
    tied = set(standing)
    for tally in reversed(history):
        least = min(tally[option] for option in tied)
        tied = {option for option in tied if tally[option] == least}
    return max(tied)


def _condorcet(ballots: Sequence[tuple[list[str], Fraction]], options: Sequence[str]) -> str | None:
    def beats(one: str, other: str) -> bool:
        margin = Fraction(0)
        for ranking, weight in ballots:
            first = next((o for o in ranking if o in (one, other)), None)
            margin += {one: weight, other: -weight, None: Fraction(0)}[first]
        return margin > 0

    return next((a for a in options if all(beats(a, b) for b in options if b != a)), None)


def as_json(value: Any) -> str:
    """JSON text of a value, ASCII only."""
    return json.dumps(value, ensure_ascii=True)
