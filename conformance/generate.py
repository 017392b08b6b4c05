"""Writes the vectors: ``python -m conformance.generate`` in the root of the repository.

What is drawn is drawn from SHA-256 of a counter, and what is expected is written by hand,
built together with the input, or computed by :mod:`conformance.naive`; of the package
nothing is used but its table of unassigned code points.
"""

from __future__ import annotations

import hashlib
import json
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any, TypeVar

from conformance import by_hand, naive

HERE = Path(__file__).parent
Case = dict[str, Any]
T = TypeVar("T")

NUMBERS = ["0", "0.1", "0.2", "0.3", "0.5", "0.6", "1", "2", "1/3", "0.25", "1e-7", "1e21"]
SURENESS = ["0", "0.1", "0.3", "0.5", "0.55", "0.9", "1", "2/3"]
QUORUMS = ["0.5", "0.66", "2/3", "0.6", "1", "0.3", "0.1", "1e-9"]
EXPERTS = ["a", "b", "B", "\u00e9", "\U0001f600", "\uffee", "z", "aa"]
UNICODE = "14.0.0"


class Draw:
    """Draws that come out alike in every language and version."""

    def __init__(self, name: str) -> None:
        """Start the draws called ``name``."""
        self._name = name
        self._count = 0

    def below(self, bound: int) -> int:
        """A whole number from 0 to ``bound`` - 1."""
        self._count += 1
        drawn = hashlib.sha256(f"{self._name}/{self._count}".encode()).digest()
        return int.from_bytes(drawn, "big") % bound

    def one(self, items: Sequence[T]) -> T:
        """One of the items."""
        return items[self.below(len(items))]

    def some(self, items: Sequence[T], most: int) -> list[T]:
        """At most ``most`` items, in a drawn order, none twice."""
        left = list(items)
        return [left.pop(self.below(len(left))) for _ in range(self.below(most + 1))]


def _outcome(rule: Callable[..., Case], *given: Any) -> Case:
    try:
        return rule(*given)
    except naive.Refused:
        return {"refused": True}


def _checked(found: Case, must: Case, name: str) -> Case:
    wrong = {key: found.get(key) for key, value in must.items() if found.get(key) != value}
    if wrong:
        raise AssertionError(f"{name}: by hand {must}, by the naive rule {wrong}")
    return found


def digests() -> Iterator[Case]:
    """JSON text -> canonical form and digest."""
    for text, form, _ in by_hand.NUMBERS:
        yield _canonical(f"number {text[:30]}", text, form)
    for index, (text, form) in enumerate(by_hand.CANONICAL):
        yield _canonical(f"by hand {index}", text, form)
    draw = Draw("digests")
    for index in range(60):
        value = _value(draw, 3)
        yield _canonical(f"drawn {index}", _spelled(draw, value), naive.canonical(value))


def _canonical(name: str, text: str, form: str | None) -> Case:
    out = {"refused": True} if form is None else {"canonical": form, "sha256": naive.sha256(form)}
    return {"name": name, "in": {"json": text}, "out": out}


def _value(draw: Draw, depth: int) -> Any:
    kind = draw.below(9 if depth else 6)
    if kind == 0:
        return draw.one([None, True, False])
    if kind == 1:
        return draw.below(2**54) - 2**53 + 1
    if kind in (2, 3):
        digits, power = draw.below(10**17), draw.below(60) - 40
        return float(f"{digits}e{power}")
    if kind in (4, 5):
        return _text(draw)
    if kind == 6:  # noqa: PLR2004 - a third of what is left
        return [_value(draw, depth - 1) for _ in range(draw.below(4))]
    return {_text(draw): _value(draw, depth - 1) for _ in range(draw.below(5))}


def _text(draw: Draw) -> str:
    alphabet = 'aAbZ0 "\\/\b\t\n\u001f\u007f\u00e9\u2028\u20ac\ufb33\uffee\U00010000\U0001f600'
    return "".join(draw.one(alphabet) for _ in range(draw.below(7)))


def _spelled(draw: Draw, value: Any) -> str:
    """One of the ways to write a value as JSON."""
    ascii_only, indent = draw.below(2) == 0, draw.one([None, 1, "\t"])
    return json.dumps(value, ensure_ascii=ascii_only, indent=indent)


def numbers() -> Iterator[Case]:
    """Number as JSON spells it -> the rational it stands for."""
    for text, form, value in by_hand.NUMBERS:
        if value is not None or form is None:
            out = {"refused": True} if value is None else {"exact": value}
            yield {"name": text[:40], "in": {"json": text}, "out": out}
    draw = Draw("numbers")
    for index in range(40):
        digits, power = 1 + draw.below(10 ** (1 + draw.below(15))), draw.below(40) - 30
        text = f"{digits}e{power}"
        # At most fifteen digits always come back: the shortest decimal is the one written.
        exact = Fraction(digits) * Fraction(10) ** power
        yield {"name": f"drawn {index}", "in": {"json": text}, "out": {"exact": str(exact)}}


def votes() -> Iterator[Case]:
    """Weight and confidence -> vote."""
    drawn = [
        (weight, confidence, str(naive.rational(weight) * naive.rational(confidence)))
        for weight in NUMBERS
        for confidence in SURENESS[1:6]
    ]
    by_pair = {(w, c): vote for w, c, vote in [*drawn, *by_hand.VOTES]}
    for (weight, confidence), vote in by_pair.items():
        yield {
            "name": f"{weight} * {confidence}",
            "in": {"weight": weight, "confidence": confidence},
            "out": {"vote": vote},
        }


def quorums() -> Iterator[Case]:
    """Roster and faults -> least quorum."""
    rosters: list[tuple[int, int | None]] = [(n, None) for n in (*range(1, 32), 100, 1000, 1024)]
    rosters += [(n, f) for n in (1, 3, 4, 6, 7, 10) for f in range(-1, n // 3 + 2)]
    for n, faults in rosters:
        out = _outcome(naive.quorum_size, n, faults)
        yield {"name": f"n={n} f={faults}", "in": {"n": n, "faults": faults}, "out": out}
    for n in (0, -1, 1025):
        yield {"name": f"n={n}", "in": {"n": n, "faults": None}, "out": {"refused": True}}


def _fold_input(draw: Draw) -> Case:
    left = draw.some(EXPERTS, len(EXPERTS))
    absent = [left.pop() for _ in range(draw.below(3)) if left]
    cast = [(expert, draw.one("xyz"), draw.one(SURENESS), draw.one(NUMBERS)) for expert in left]
    if cast and draw.below(3) == 0:
        expert, _, confidence, weight = draw.one(cast)
        cast.append((expert, draw.one("xyz"), confidence, weight))
    return {
        "quorum": draw.one(QUORUMS),
        "ballots": by_hand.ballots(*cast),
        "absent": [{"expert": expert, "weight": draw.one(NUMBERS)} for expert in absent],
    }


def weighted_quorum() -> Iterator[Case]:
    """Ballots and absentees -> verdict."""
    for name, quorum, ballots, absent, must in by_hand.FOLDS:
        given = {"quorum": quorum, "ballots": ballots, "absent": absent}
        yield {"name": name, "in": given, "out": _checked(naive.weighted_quorum(given), must, name)}
    draw = Draw("weighted_quorum")
    for index in range(90):
        given = _fold_input(draw)
        yield {"name": f"drawn {index}", "in": given, "out": naive.weighted_quorum(given)}


def first_to_quorum() -> Iterator[Case]:
    """Ballots, absentees and pending -> whether to wait."""
    for name, quorum, early, ballots, absent, pending, must in by_hand.EARLY:
        given = {
            "quorum": quorum, "early": early, "ballots": ballots, "absent": absent,
            "pending": pending,
        }  # fmt: skip
        yield {"name": name, "in": given, "out": _checked(naive.first_to_quorum(given), must, name)}
    draw = Draw("first_to_quorum")
    for index in range(80):
        given = _fold_input(draw)
        given["early"] = draw.one(["certain", "certain", "fast"])
        given["pending"] = [
            {"expert": f"p{i}", "weight": draw.one(["0.1", "0.2", "1", "0.5", "0"])}
            for i in range(draw.below(3))
        ]
        yield {"name": f"drawn {index}", "in": given, "out": naive.first_to_quorum(given)}


def order() -> Iterator[Case]:
    """Ballots -> the answers in the total order."""
    draw = Draw("order")
    for index in range(50):
        experts = draw.some(EXPERTS, len(EXPERTS))
        # Few different votes, so that most sums tie.
        ballots = by_hand.ballots(
            *(
                (e, draw.one("wxyz"), draw.one(["0.5", "1"]), draw.one(["0.1", "0.2"]))
                for e in experts
            )
        )
        out = [
            {"answer": g["answer"], "votes": str(g["votes"]), "top": g["top"]}
            for g in naive.ordered(ballots)
        ]
        yield {"name": f"drawn {index}", "in": {"ballots": ballots}, "out": {"order": out}}


def spellings() -> Iterator[Case]:
    """Ballots of one group, each with its spelling -> the spelling that is committed."""
    for name, cast, must in by_hand.SPELLINGS:
        out = _checked(dict(naive.spelled(cast)), must, name)
        yield {"name": name, "in": {"ballots": cast}, "out": out}
    draw = Draw("spellings")
    for index in range(50):
        experts = [draw.one(EXPERTS), *draw.some(EXPERTS, len(EXPERTS))]
        cast = by_hand.ballots(
            *(
                (e, draw.one("xyz"), draw.one(["0.5", "1"]), draw.one(["0.1", "0.2", "1/3"]))
                for e in dict.fromkeys(experts)
            )
        )
        yield {"name": f"drawn {index}", "in": {"ballots": cast}, "out": naive.spelled(cast)}


def runoff() -> Iterator[Case]:
    """Rankings -> winner and rounds."""
    for name, rankings, weights, options, must in by_hand.RUNOFFS:
        given = {"rankings": rankings, "weights": weights, "options": options}
        out = _checked(_outcome(naive.runoff, given), must, name)
        yield {"name": name, "in": given, "out": out}
    draw = Draw("runoff")
    choices = ["a", "b", "B", "\u00e9", "\U0001f600", "\uffee"]
    for index in range(90):
        options = choices[: 2 + draw.below(5)]
        rankings = [draw.some(options, len(options)) for _ in range(draw.below(9))]
        weights = [
            draw.one(["1", "1", "1", "2", "0.1", "0.2", "0.3", "0", "1/3"]) for _ in rankings
        ]
        declared = draw.one([None, sorted(options)])
        given = {"rankings": rankings, "weights": weights, "options": declared}
        yield {"name": f"drawn {index}", "in": given, "out": naive.runoff(given)}


def normalisers() -> Iterator[Case]:
    """Payload -> normal form and its digest."""
    for index, (name, payload, normal) in enumerate(by_hand.SAME):
        yield _normal(f"{name} by hand {index}", name, naive.as_json(payload), normal)
    for index, (name, payload, normal) in enumerate(by_hand.SAME_SPELLED):
        yield _normal(f"{name} spelled {index}", name, payload, normal)
    for index, (name, payload) in enumerate(by_hand.REFUSED):
        given = {"normaliser": name, "json": naive.as_json(payload)}
        yield {"name": f"{name} refused {index}", "in": given, "out": {"refused": True}}
    draw = Draw("normalisers")
    for make in (_drawn_text, _drawn_number, _drawn_choice, _drawn_json, _drawn_code):
        for index in range(20):
            name, payload, normal = make(draw)
            yield _normal(f"{name} drawn {index}", name, naive.as_json(payload), normal)


def _normal(title: str, name: str, payload: str, normal: Any) -> Case:
    form = naive.canonical(normal)
    return {
        "name": title,
        "in": {"normaliser": name, "json": payload},
        "out": {"normal": form, "sha256": naive.sha256(form)},
    }


def _drawn_text(draw: Draw) -> tuple[str, str, str]:
    words = [draw.one(["yes", "no", "\u00e9t\u00e9", "stra\u00dfe", "x1"]) for _ in range(4)]
    spaces = [draw.one([" ", "\t", "\u00a0\n", "\u2003 ", "\r\n", "\u3000"]) for _ in range(5)]
    cased = [draw.one([str.upper, str.title, str.lower])(word) for word in words]
    decomposed = [unicodedata.normalize(draw.one(["NFC", "NFD"]), word) for word in cased]
    payload = "".join(a + b for a, b in zip(spaces, [*decomposed, ""], strict=True))
    return "text", payload, " ".join(words).replace("\u00df", "ss")


def _drawn_number(draw: Draw) -> tuple[str, str, str]:
    whole, part = 1000 + draw.below(10**9), draw.below(1000)
    value = whole + Fraction(part, 1000)
    grouped = draw.one([f"{whole:,}", f"{whole:_}", str(whole), f"{whole:,}".replace(",", "'")])
    payload, unit = f"{grouped}.{part:03}", ""
    if draw.below(2):
        payload, value = f"-{payload}", -value
    ending = draw.one(["", "", "%", " %", "$", " \u20ac"])
    if ending:
        unit = f" {ending.strip()}"
    return "number", f" {payload}{ending}\n", f"{value}{unit}"


def _drawn_choice(draw: Draw) -> tuple[str, str, str]:
    letter = draw.one("ABCDEIXZ")
    payload = draw.one([letter, letter.lower()])
    for _ in range(draw.below(4)):
        wrap = ["({})", "[{}]", "**{}**", "`{}`", "{}.", " {}\n", "Answer: {}", "the answer is {}"]
        payload = draw.one([*wrap, "option {}", "```\n{}\n```", '"{}"']).format(payload)
    return "choice", payload, letter


def _drawn_json(draw: Draw) -> tuple[str, str, Any]:
    value = _value(draw, 2)
    if isinstance(value, str):
        value = [value]
    text = _spelled(draw, value)
    return "json", draw.one([text, f"\n{text} ", f"```json\n{text}\n```"]), value


def _drawn_code(draw: Draw) -> tuple[str, str, str]:
    lines = ["begin"]
    for _ in range(draw.below(6)):
        lines += [draw.one(["f(x)", "  y = 1", "\tz", "g(\"a b\", 'c')", "    return"])]
        lines += draw.one([[], [], [""]])
    lines.append("end")
    shift = " " * draw.below(5)
    messy: list[str] = draw.one([[], ["", " "]])
    for line in lines:
        blanks = draw.one(["", " ", "\t "])
        messy += [shift + line + blanks if line else blanks]
        messy += ["", " "] if not line and draw.below(2) else []
    payload = draw.one(["\n", "\r\n"]).join([*messy, *draw.one([[], [""]])])
    return "code", draw.one([payload, f"```\n{payload}\n```"]), "\n".join(lines)


def unassigned() -> Iterator[Case]:
    """Code points that Unicode 14.0 does not assign, as the package has them."""
    from quorate.arbitration.rules.unassigned import UNASSIGNED  # noqa: PLC0415

    for first, last in UNASSIGNED:
        yield {"first": f"{first:04X}", "last": f"{last:04X}"}


FILES: dict[str, Callable[[], Iterator[Case]]] = {
    "digests": digests,
    "first_to_quorum": first_to_quorum,
    "normalisers": normalisers,
    "numbers": numbers,
    "order": order,
    "quorums": quorums,
    "runoff": runoff,
    "spellings": spellings,
    "unassigned": unassigned,
    "votes": votes,
    "weighted_quorum": weighted_quorum,
}


def render(name: str) -> str:
    """The text of one file: a case a line, ASCII only."""
    cases = [json.dumps(case, ensure_ascii=True, sort_keys=True) for case in FILES[name]()]
    body = ",\n".join(cases)
    return f'{{"format": "quorate-conformance/1", "kind": "{name}", "cases": [\n{body}\n]}}\n'


def main() -> None:
    """Write every file."""
    for name in FILES:
        (HERE / f"{name}.json").write_text(render(name), encoding="ascii")


if __name__ == "__main__":
    main()
