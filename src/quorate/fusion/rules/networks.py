"""Selection networks: which pairs to compare so that chosen wires hold chosen order statistics.

Theory of operation. A comparator (i, j) puts the lesser of two wires on i and the greater
on j. What it compares does not depend on the data, so a network runs over whole rows at
once, as one minimum and one maximum, and it is right for all inputs if it is right for all
inputs of zeros and ones (the 0-1 principle: Knuth, The Art of Computer Programming 3,
5.3.4, theorem Z). Tests prove each network that way.

A network that only selects is a sorting one without what nobody reads: walked backwards
from the wanted wires, a comparator of which no output is needed is dropped, and one of
which only one output is needed keeps only its minimum or its maximum. Of several
constructions the one with the fewest operations is taken. The middle has a construction of
its own: of a few values, neither the least nor the greatest can be in the middle, so both
are set aside and a value not seen before takes their place (Paeth, Median Finding on a 3x3
Grid, Graphics Gems, 1990).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

from quorate.core.errors import UsageError

MAX_WIRES: Final = 64
"""Most replicas that a network is made for; beyond it sorting is no slower."""

Pair = tuple[int, int]
Operation = Callable[[Any, Any], Any]

# Waksman's for ten values: fewer comparators than a merge, and none with fewer exists.
_TEN: Final[tuple[Pair, ...]] = (
    *((0, 8), (1, 9), (2, 7), (3, 5), (4, 6)),
    *((0, 2), (1, 4), (5, 8), (7, 9)),
    *((0, 3), (2, 4), (5, 7), (6, 9)),
    *((0, 1), (3, 6), (8, 9)),
    *((1, 5), (2, 3), (4, 8), (6, 7)),
    *((1, 2), (3, 5), (4, 6), (7, 8)),
    *((2, 3), (4, 5), (6, 7)),
    *((3, 4), (5, 6)),
)


@dataclass(frozen=True, slots=True)
class Comparator:
    """One comparison of two wires.

    Attributes:
        low: the wire that gets the lesser value, if ``minimum``.
        high: the wire that gets the greater value, if ``maximum``.
        minimum: whether anything reads ``low`` afterwards.
        maximum: whether anything reads ``high`` afterwards.
    """

    low: int
    high: int
    minimum: bool
    maximum: bool


@dataclass(frozen=True, slots=True)
class Network:
    """Comparators in order, and where the results stand afterwards.

    Attributes:
        wires: how many values go in.
        comparators: pruned to what ``outputs`` needs.
        outputs: wires to read; wire ``outputs[i]`` holds the i-th statistic asked for.
    """

    wires: int
    comparators: tuple[Comparator, ...]
    outputs: tuple[int, ...]

    @property
    def operations(self) -> int:
        """Minima and maxima to compute; a whole comparator is two."""
        return sum(step.minimum + step.maximum for step in self.comparators)

    def run(self, values: Sequence[Any], least: Operation, most: Operation) -> list[Any]:
        """Send one value down each wire; the outputs, in their order."""
        held = list(values)
        for step in self.comparators:
            one, other = held[step.low], held[step.high]
            if step.minimum:
                held[step.low] = least(one, other)
            if step.maximum:
                held[step.high] = most(one, other)
        return [held[wire] for wire in self.outputs]

    def program(self) -> Program:
        """The same as steps over registers, so that no result needs memory of its own."""
        return _program(self)


@dataclass(frozen=True, slots=True)
class Program:
    """A network as single operations over numbered registers.

    Attributes:
        steps: (whether a maximum, register, register, register of the result).
            Registers below ``wires`` hold the input and are never written.
        registers: how many are needed beyond the input.
        outputs: registers of the outputs, in the order of the network's; of two wires
            and more, none that holds input.
        spare: a register that holds no output.
    """

    steps: tuple[tuple[bool, int, int, int], ...]
    registers: int
    outputs: tuple[int, ...]
    spare: int


@lru_cache(maxsize=1024)
def _program(network: Network) -> Program:
    at = list(range(network.wires))
    free: list[int] = []
    top = network.wires
    steps: list[tuple[bool, int, int, int]] = []
    for step in network.comparators:
        one, other = at[step.low], at[step.high]
        wanted = [True] * step.maximum + [False] * step.minimum
        # The last operation on a value may write over it, unless it is the input.
        owned = [place for place in (one, other) if place >= network.wires]
        for index, greater in enumerate(wanted):
            last = index == len(wanted) - 1
            if last and owned:
                into = owned.pop()
            elif free:
                into = free.pop()
            else:
                into, top = top, top + 1
            steps.append((greater, one, other, into))
            at[step.high if greater else step.low] = into
        free += owned
    outputs = tuple(at[wire] for wire in network.outputs)
    spare = free.pop() if free else top
    return Program(tuple(steps), max(top, spare + 1) - network.wires, outputs, spare)


@lru_cache(maxsize=1024)
def sorting(wires: int, first: int = 0, last: int | None = None) -> Network:
    """The network that gives the ``first`` to ``last`` least values, in order.

    Args:
        wires: 1 to ``MAX_WIRES``.
        first: least statistic wanted; 0 is the minimum.
        last: greatest statistic wanted; the maximum if ``None``.

    Raises:
        UsageError: out of range.
    """
    _check(wires)
    stop = wires if last is None else last + 1
    if not 0 <= first < stop <= wires:
        raise UsageError(f"statistics {first} to {stop - 1} of {wires}; give 0 <= first <= last")
    outputs = tuple(range(first, stop))
    return _fewest(pruned(wires, pairs, outputs) for pairs in _sorters(wires))


@lru_cache(maxsize=MAX_WIRES)
def middle(wires: int) -> Network:
    """The network that gives the middle value, or the two of an even number in any order.

    Raises:
        UsageError: ``wires`` is not 1 to ``MAX_WIRES``.
    """
    _check(wires)
    outputs = tuple(sorted({(wires - 1) // 2, wires // 2}))
    made = [pruned(wires, pairs, outputs) for pairs in _sorters(wires)]
    # Which of the two lies higher is nobody's business: a last comparison falls away.
    made += [pruned(wires, _unordered(net, outputs), outputs) for net in made]
    if wires > 2:  # noqa: PLR2004 - of two there is nothing to set aside
        pairs, left = _set_aside(wires)
        made.append(pruned(wires, pairs, left))
    return _fewest(made)


def pruned(wires: int, pairs: Iterable[Pair], outputs: tuple[int, ...]) -> Network:
    """Keep of ``pairs`` only what the wires in ``outputs`` depend on."""
    needed = set(outputs)
    kept: list[Comparator] = []
    for low, high in reversed(tuple(pairs)):
        if low in needed or high in needed:
            kept.append(Comparator(low, high, low in needed, high in needed))
            needed |= {low, high}
    return Network(wires, tuple(reversed(kept)), outputs)


def _check(wires: int) -> None:
    if not 1 <= wires <= MAX_WIRES:
        raise UsageError(f"{wires} wires; networks are made for 1 to {MAX_WIRES}")


def _fewest(networks: Iterable[Network]) -> Network:
    return min(networks, key=lambda network: (network.operations, len(network.comparators)))


def _sorters(wires: int) -> Iterator[tuple[Pair, ...]]:
    """Ways to sort: every one gives the i-th least value on wire i."""
    yield tuple(_exchanges(wires))
    size = 1 << (wires - 1).bit_length()
    # A larger sorter whose surplus wires hold values beyond all others, at either end.
    yield tuple(pair for pair in _exchanges(size) if pair[1] < wires)
    surplus = size - wires
    yield tuple((a - surplus, b - surplus) for a, b in _exchanges(size) if a >= surplus)
    if wires <= len(_TEN_WIRES):
        yield tuple(pair for pair in _TEN if pair[1] < wires)
        surplus = len(_TEN_WIRES) - wires
        yield tuple((a - surplus, b - surplus) for a, b in _TEN if a >= surplus)


_TEN_WIRES: Final = range(10)


def _exchanges(wires: int) -> Iterator[Pair]:
    """Batcher's merge exchange, for any number of wires (Knuth 3, 5.2.2, algorithm M)."""
    top = 1 << ((wires - 1).bit_length() - 1) if wires > 1 else 0
    p = top
    while p:
        q, r, d = top, 0, p
        while True:
            yield from ((i, i + d) for i in range(wires - d) if i & p == r)
            if q == p:
                break
            d, q, r = q - p, q >> 1, p
        p >>= 1


def _unordered(network: Network, outputs: tuple[int, ...]) -> tuple[Pair, ...]:
    """The pairs without a last one that only puts the two outputs in order.

    It stays where it is the only one: every output has gone through some comparator.
    """
    pairs = tuple((step.low, step.high) for step in network.comparators)
    return pairs[:-1] if len(pairs) > 1 and pairs[-1] == outputs else pairs


def _set_aside(wires: int) -> tuple[tuple[Pair, ...], tuple[int, ...]]:
    """Set the least and the greatest aside, again and again, until the middle is left."""
    wanted = 2 - wires % 2
    # With this many in hand, the least has too many above it to be in the middle.
    size = wires // 2 + 2
    hand, unseen = list(range(size)), list(range(size, wires))
    pairs: list[Pair] = []
    while len(hand) > wanted:
        pairs += _extremes(hand)
        hand = hand[1:-1]
        if unseen:
            hand.append(unseen.pop(0))
    return tuple(pairs), tuple(sorted(hand))


def _extremes(hand: list[int]) -> Iterator[Pair]:
    """Bring the least to the first wire of ``hand`` and the greatest to its last."""
    half = len(hand) // 2
    lows, highs = hand[: len(hand) - half], hand[half:]
    yield from zip(hand[:half], reversed(hand[len(hand) - half :]), strict=True)
    yield from ((hand[0], other) for other in lows[1:])
    yield from ((other, hand[-1]) for other in highs[:-1])
