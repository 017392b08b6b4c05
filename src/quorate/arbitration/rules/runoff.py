"""Instant runoff, version 1: ranked ballots of any exact weight, one winner, pure.

Theory of operation. A ballot counts for the best option on it that still stands. While
more than two options stand, the one with the least weight is eliminated and its ballots
read on; of the last two the one with more weight wins. That is the same winner as
stopping at the first majority, with more of its support shown. A ballot that names no
standing option is exhausted: its weight is set aside and shown, so that in every round
the tallies and what is exhausted sum to the weight of all ballots.

Ties. Of options with equal tallies, the one that had less in the round before is behind;
then in the round before that, and so on back to the first; then the greater one in
:func:`order_key` (for texts: by Unicode code point). Whoever is behind is eliminated
first, and loses the last round. Sorting the standing options by this round's tally,
stably, from the order of the round before, is exactly that rule.

The Condorcet winner, where there is one, is the option that beats every other: strictly
more weight ranks it above the other than below, and an option that a ballot names stands
above all it does not name. If there is one it is found by a single walk: whoever loses to
the next in line is not it.

Defined at the edges: no option at all has no winner and no round; one option wins its one
round. Where all weights are zero, or no ballot names anything, every tally is zero and
nobody wins: the rounds are shown as the tie rule has them, but what nothing stands behind
is no winner, nor does it beat anything.

Work. A weight is added up once for each place that its ballot moves to, and what a round
shows of a tally that did not change is what the round before showed: so long weights are
summed and reduced no more often than ballots move, whatever the rounds and options.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Context, Decimal
from fractions import Fraction
from itertools import chain
from typing import Any, Final, Protocol

from quorate.core import limits
from quorate.core.canonical import canonical
from quorate.core.errors import UsageError, UsageTypeError
from quorate.core.exact import Number, exact

RULE: Final = "ranked-runoff/1"

FEW: Final = 31
"""Most ballots that are counted without NumPy, whose calls would cost more than they save."""

Option = str | int | float | bool
"""What may stand on a ballot: a JSON scalar but null. 1 and 1.0 are the same option."""

Weight = int | Fraction
"""A weight in a result: an int where all weights are whole numbers."""

_SCALE_BOUND: Final = 10**limits.MAX_SCALE_DIGITS
_WIDE: Final = Context(prec=limits.MAX_SCALE_DIGITS)
_SCALARS: Final = frozenset({str, int, float, bool})
_TEXTS: Final = frozenset({str})


@dataclass(frozen=True, slots=True)
class Round:
    """One round.

    Attributes:
        tally: weight by standing option, in the order of :func:`order_key`.
        eliminated: who left after this round; ``None`` in the last one.
        exhausted: weight of the ballots that name no standing option.
    """

    tally: Mapping[Option, Weight]
    eliminated: Option | None
    exhausted: Weight


@dataclass(frozen=True, slots=True)
class RunoffResult:
    """The outcome of a runoff.

    Attributes:
        winner: ``None`` if there was no option (then there is no round either), or if no
            weight above zero stands behind any: all weights are zero, or no ballot names
            anything.
        rounds: first to last.
        condorcet_winner: who beats every other option, or ``None``; often the winner.
    """

    winner: Option | None
    rounds: tuple[Round, ...]
    condorcet_winner: Option | None


class _Count(Protocol):
    """What the rounds need of a way of counting; options are numbers here."""

    tally: list[int]
    exhausted: int

    def eliminate(self, option: int) -> None: ...

    def prefers(self, one: int, other: int) -> bool: ...


def order_key(value: Any) -> tuple[int, Any]:
    """Sort key of the one order of JSON values: the greater of two equals leaves first.

    null, false, true, numbers by value, texts by code point, and then lists and objects
    by the code points of their canonical JSON.
    """
    if isinstance(value, str):
        return (3, value)
    if value is None:
        return (0, 0)
    if isinstance(value, bool):
        return (1, value)
    if isinstance(value, int | float):
        return (2, value)
    return (4, canonical(value))


def instant_runoff(
    rankings: Any,
    weights: Sequence[Number] | Any | None = None,
    *,
    options: Sequence[Option] | None = None,
) -> RunoffResult:
    """Count ranked ballots by instant runoff, exactly.

    Args:
        rankings: B ballots, each a list of options, best first (of an option named twice
            the first counts); or an integer array [B, K] of positions in ``options``,
            padded at the end with -1. At most ``limits.MAX_BALLOTS``.
        weights: B numbers >= 0, read exactly (0.1 is one tenth); each 1 if ``None``.
        options: what may be voted for, at most ``limits.MAX_OPTIONS``; if ``None``, what
            the ballots name.

    Raises:
        UsageTypeError: rankings, options or weights are of the wrong type.
        UsageError: an option that is not declared, one declared twice, a negative weight,
            not one weight per ballot, or too many of something.
    """
    given = _size(rankings)
    amounts, scale = _scaled(weights, given)
    if getattr(rankings, "dtype", None) is None:
        labels, codes = _read_options(rankings, options)
        count = _count_lists(rankings, amounts, codes)
    else:
        labels, count = _count_array(rankings, amounts, options)
    return _run(count, labels, scale) if labels else RunoffResult(None, (), None)


def _size(rankings: Any) -> int:
    if getattr(rankings, "dtype", None) is not None:
        given = int(rankings.shape[0]) if rankings.ndim else 0
    elif isinstance(rankings, list | tuple):
        given = len(rankings)
    else:
        raise UsageTypeError(
            f"rankings is a {type(rankings).__name__}; give a list of lists or an integer array"
        )
    if given > limits.MAX_BALLOTS:
        raise UsageError(
            f"there are {given} ballots; one runoff counts at most {limits.MAX_BALLOTS}"
        )
    return given


def _scaled(weights: Any, ballots: int) -> tuple[list[int] | None, int]:
    """Weights as integers over one denominator; ``None`` where each is 1."""
    if weights is None:
        return None, 1
    if getattr(weights, "dtype", None) is not None:
        weights = weights.tolist()
    if not isinstance(weights, list | tuple):
        raise UsageTypeError(f"weights is a {type(weights).__name__}; give a list or an array")
    if len(weights) != ballots:
        raise UsageError(f"there are {len(weights)} weights for {ballots} ballots; give one each")
    kinds = set(map(type, weights))
    if kinds <= {int}:
        return _not_negative(list(weights), weights), 1
    if kinds == {float} and ballots > FEW:
        return _scaled_floats(weights)
    read = [exact(weight, f"weights[{i}]") for i, weight in enumerate(weights)]
    scale = 1
    for denominator in {number.denominator for number in read}:
        scale = math.lcm(scale, denominator)
        if scale >= _SCALE_BOUND:
            raise UsageError(
                f"the weights share no denominator of at most {limits.MAX_SCALE_DIGITS} digits; "
                "write them as decimals"
            )
    return _not_negative([n.numerator * (scale // n.denominator) for n in read], weights), scale


def _scaled_floats(weights: Sequence[float]) -> tuple[list[int], int]:
    """Many floats as integers over one denominator: by powers of ten, without Fractions."""
    if not all(map(math.isfinite, weights)):
        index = next(i for i, weight in enumerate(weights) if not math.isfinite(weight))
        exact(weights[index], f"weights[{index}]")
    read = [Decimal(float.__repr__(weight)) for weight in weights]
    places = max(0, -min(int(number.as_tuple().exponent) for number in read))
    amounts = [int(number.scaleb(places, _WIDE)) for number in read]
    shared = math.gcd(10**places, *amounts)
    return _not_negative([amount // shared for amount in amounts], weights), 10**places // shared


def _not_negative(amounts: list[int], weights: Sequence[Any]) -> list[int]:
    if amounts and min(amounts) < 0:
        index = next(i for i, amount in enumerate(amounts) if amount < 0)
        raise UsageError(f"weights[{index}] is {weights[index]}; a weight cannot be negative")
    return amounts


def _read_options(
    rankings: Sequence[Any], options: Sequence[Option] | None
) -> tuple[list[Option], dict[Option, int]]:
    """The options in order, and the place of each."""
    for index, ranking in enumerate(rankings):
        if type(ranking) is not list and type(ranking) is not tuple:
            raise UsageTypeError(
                f"rankings[{index}] is a {type(ranking).__name__}; give a list, best first"
            )
    kinds = set(map(type, chain.from_iterable(rankings)))
    _check_kinds(kinds, "rankings name")
    named = set(chain.from_iterable(rankings))
    declared = None
    if options is not None:
        declared = _declared(options)
        kinds |= set(map(type, options))
    if not kinds <= _TEXTS:
        _tell_apart(chain(chain.from_iterable(rankings), options or ()))
    labels = _in_order(named) if declared is None else declared
    codes = {label: code for code, label in enumerate(labels)}
    strange = named - codes.keys()
    if strange:
        option = min(strange, key=order_key)
        index = next(i for i, ranking in enumerate(rankings) if option in ranking)
        raise UsageError(f"rankings[{index}] names {option!r}, which is not in options")
    return labels, codes


def _check_kinds(kinds: set[type], who: str) -> None:
    unfit = sorted(kind.__name__ for kind in kinds - _SCALARS)
    if unfit:
        raise UsageTypeError(
            f"{who} options of type {', '.join(unfit)}; an option is a text, a number or a bool"
        )


def _tell_apart(named: Any) -> None:
    """Refuse numbers that are no JSON, and bools beside the numbers Python takes them for."""
    bools: set[bool] = set()
    numbers: set[int | float] = set()
    for option in named:
        if type(option) is bool:
            bools.add(option)
        elif type(option) is int or type(option) is float:
            numbers.add(option)
    for number in numbers:
        if isinstance(number, int) and abs(number) > limits.MAX_SAFE_INTEGER:
            raise UsageError(f"the option {number} is beyond ±(2^53-1); write it as a text")
        if not math.isfinite(number):
            raise UsageError(f"the option {number} is no JSON number")
    if bools & numbers:
        raise UsageError("True and 1, or False and 0, are both options; write them as texts")


def _in_order(named: set[Option]) -> list[Option]:
    if len(named) > limits.MAX_OPTIONS:
        raise UsageError(
            f"there are {len(named)} options; one runoff counts at most {limits.MAX_OPTIONS}"
        )
    return sorted(map(_plain, named), key=order_key)


def _plain(option: Option) -> Option:
    """1.0 as 1: which spelling came first must not show."""
    whole = isinstance(option, float) and abs(option) <= limits.MAX_SAFE_INTEGER
    return int(option) if whole and option == int(option) else option


def _declared(options: Sequence[Option]) -> list[Option]:
    if not isinstance(options, list | tuple):
        raise UsageTypeError(f"options is a {type(options).__name__}; give a list")
    _check_kinds(set(map(type, options)), "there are")
    named = set(options)
    if len(named) != len(options):
        twice = next(o for i, o in enumerate(options) if o in options[:i])
        raise UsageError(f"the option {twice!r} is declared twice")
    return _in_order(named)


def _count_lists(
    rankings: Sequence[Sequence[Option]], amounts: list[int] | None, codes: dict[Option, int]
) -> _Count:
    if len(rankings) <= FEW:
        coded = [[codes[option] for option in ranking] for ranking in rankings]
        return _Piles(coded, amounts, len(codes))
    # Loading NumPy takes longer than any panel's count.
    from quorate.arbitration.rules import columns  # noqa: PLC0415

    return columns.Columns(columns.from_lists(rankings, codes), amounts, len(codes))


def _count_array(
    rankings: Any, amounts: list[int] | None, options: Sequence[Option] | None
) -> tuple[list[Option], _Count]:
    from quorate.arbitration.rules import columns  # noqa: PLC0415

    if options is None:
        raise UsageError("rankings is an array of positions; name the options they stand for")
    labels = _declared(options)
    _tell_apart(options)
    codes = {label: code for code, label in enumerate(labels)}
    array = columns.read_array(rankings, len(labels))
    array = columns.recoded(array, [codes[option] for option in options])
    if len(array) <= FEW:
        return labels, _Piles(columns.as_lists(array), amounts, len(labels))
    return labels, columns.Columns(array, amounts, len(labels))


class _Piles:
    """A handful of ballots, piled by the option they count for."""

    def __init__(self, ballots: list[list[int]], weights: list[int] | None, count: int) -> None:
        self._ballots = ballots
        self._weights = [1] * len(ballots) if weights is None else weights
        self._standing = [True] * count
        self._piles: list[list[Any]] = [[] for _ in range(count)]
        self._positions: list[tuple[int, ...]] = []
        self.tally = [0] * count
        self.exhausted = 0
        self._deal([(iter(b), w) for b, w in zip(ballots, self._weights, strict=True)])

    def _deal(self, pile: list[Any]) -> None:
        """Let each ballot read on to the next option that stands."""
        standing, tally, piles = self._standing, self.tally, self._piles
        for ballot in pile:
            left, weight = ballot
            for option in left:
                if standing[option]:
                    tally[option] += weight
                    piles[option].append(ballot)
                    break
            else:
                self.exhausted += weight

    def eliminate(self, option: int) -> None:
        self._standing[option] = False
        self.tally[option] = 0
        self._deal(self._piles[option])

    def prefers(self, one: int, other: int) -> bool:
        if not self._positions:
            self._positions = self._first_positions()
        a, b = self._positions[one], self._positions[other]
        margin = 0
        for mine, its, weight in zip(a, b, self._weights, strict=True):
            if mine < its:
                margin += weight
            elif its < mine:
                margin -= weight
        return margin > 0

    def _first_positions(self) -> list[tuple[int, ...]]:
        """Where each option first stands on each ballot; unranked is last."""
        last = max(map(len, self._ballots), default=0)
        rows = []
        for ballot in self._ballots:
            row = [last] * len(self._standing)
            for place, option in enumerate(ballot):
                if row[option] == last:
                    row[option] = place
            rows.append(row)
        return list(zip(*rows, strict=True)) or [()] * len(self._standing)


def _run(count: _Count, labels: list[Option], scale: int) -> RunoffResult:
    condorcet = _condorcet(count, len(labels))
    # Those behind come first; at the start nothing but the order of options tells.
    order = list(range(len(labels) - 1, -1, -1))
    standing = order[::-1]
    told = _Told(scale)
    rounds: list[Round] = []
    while True:
        tally = count.tally
        order.sort(key=tally.__getitem__)
        last = len(order) <= 2  # noqa: PLR2004 - two remain
        out = None if last else order[0]
        if scale == 1:
            shown: dict[Option, Weight] = {labels[o]: tally[o] for o in standing}
            spent: Weight = count.exhausted
        else:
            shown = {labels[o]: told.weight(o, tally[o]) for o in standing}
            spent = told.weight(None, count.exhausted)
        rounds.append(Round(shown, None if out is None else labels[out], spent))
        if out is None:
            if not tally[order[-1]]:
                return RunoffResult(None, tuple(rounds), None)
            beats_all = None if condorcet is None else labels[condorcet]
            return RunoffResult(labels[order[-1]], tuple(rounds), beats_all)
        del order[0]
        standing.remove(out)
        count.eliminate(out)


class _Told:
    """Weights as results show them, brought to lowest terms only where they changed."""

    def __init__(self, scale: int) -> None:
        self._scale = scale
        self._last: dict[int | None, tuple[int, Weight]] = {}

    def weight(self, whose: int | None, amount: int) -> Weight:
        """The weight of an option, or what is exhausted (``None``)."""
        before = self._last.get(whose)
        # Asked first whether it is the very same integer: long ones take time to compare.
        if before is not None and (before[0] is amount or before[0] == amount):
            return before[1]
        shown = Fraction(amount, self._scale)
        self._last[whose] = (amount, shown)
        return shown


def _condorcet(count: _Count, options: int) -> int | None:
    """Who beats every other option; asked before anybody is eliminated."""
    top = max(range(options), key=count.tally.__getitem__)
    if 2 * count.tally[top] > sum(count.tally):
        return top
    candidate = 0
    for other in range(1, options):
        if not count.prefers(candidate, other):
            candidate = other
    # Those behind it in line it has beaten already.
    beats_all = all(count.prefers(candidate, other) for other in range(candidate))
    return candidate if beats_all else None
