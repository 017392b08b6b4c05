"""Selection networks: proven on zeros and ones, and as small as they are said to be."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest

from quorate.core.errors import UsageError
from quorate.fusion.rules.networks import (
    MAX_WIRES,
    Comparator,
    Network,
    middle,
    pruned,
    sorting,
)

_EXHAUSTIVE = 13
_DRAWN = 1000
_POISON = 7


def inputs(wires: int) -> np.ndarray:
    """All inputs of zeros and ones, or many random ones where there are too many."""
    if wires <= _EXHAUSTIVE:
        return np.array(list(product((0, 1), repeat=wires)), dtype=np.int8).T
    generator = np.random.default_rng(wires)
    some = generator.random((wires, _DRAWN)).argsort(axis=0)
    # Around a threshold the middle is hardest; random bits alone seldom get there.
    ones = (some < np.arange(_DRAWN) % (wires + 1)).astype(np.int8)
    return np.concatenate([ones, some.astype(np.int8)], axis=1)


def through(network: Network, values: np.ndarray) -> np.ndarray:
    """One comparator after the other; an output that is not computed holds poison."""
    held = values.copy()
    for step in network.comparators:
        pair = np.sort(held[[step.low, step.high]], axis=0)
        held[step.low] = pair[0] if step.minimum else _POISON
        held[step.high] = pair[1] if step.maximum else _POISON
    return held[list(network.outputs)]


def by_program(network: Network, values: np.ndarray) -> np.ndarray:
    program = network.program()
    held = np.full((network.wires + program.registers, values.shape[1]), _POISON, values.dtype)
    held[: network.wires] = values
    for greater, one, other, into in program.steps:
        assert into >= network.wires
        held[into] = (np.maximum if greater else np.minimum)(held[one], held[other])
    held[program.spare] = _POISON
    assert network.wires == 1 or min(program.outputs) >= network.wires
    return held[list(program.outputs)]


def middles(wires: int) -> list[int]:
    return sorted({(wires - 1) // 2, wires // 2})


@pytest.mark.parametrize("wires", range(1, MAX_WIRES + 1))
def test_middle_gives_the_middle_values(wires):
    values = inputs(wires)
    expected = np.sort(values, axis=0)[middles(wires)]
    network = middle(wires)
    assert (np.sort(through(network, values), axis=0) == expected).all()
    assert (np.sort(by_program(network, values), axis=0) == expected).all()


@pytest.mark.parametrize("wires", range(1, MAX_WIRES + 1))
def test_sorting_gives_every_statistic_in_order(wires):
    values = inputs(wires)
    expected = np.sort(values, axis=0)
    assert (through(sorting(wires), values) == expected).all()
    assert (by_program(sorting(wires), values) == expected).all()


@pytest.mark.parametrize("wires", [*range(2, _EXHAUSTIVE + 1), 16, 31, MAX_WIRES])
def test_sorting_gives_the_chosen_statistics_for_every_f(wires):
    values = inputs(wires)
    expected = np.sort(values, axis=0)
    step = 1 if wires <= _EXHAUSTIVE else 5
    for f in range(0, (wires + 1) // 2, step):
        network = sorting(wires, f, wires - f - 1)
        assert (through(network, values) == expected[f : wires - f]).all()
        assert (by_program(network, values) == expected[f : wires - f]).all()


@pytest.mark.parametrize("wires", [4, 5, 7, 10])
def test_no_comparator_of_a_middle_can_be_left_out(wires):
    values = inputs(wires)
    expected = np.sort(values, axis=0)[middles(wires)]
    network = middle(wires)
    for place in range(len(network.comparators)):
        rest = network.comparators[:place] + network.comparators[place + 1 :]
        broken = Network(wires, rest, network.outputs)
        assert (np.sort(through(broken, values), axis=0) != expected).any()


@pytest.mark.parametrize(
    ("wires", "most"), [(3, 3), (4, 5), (5, 9), (7, 14), (9, 20), (10, 29), (16, 63), (31, 152)]
)
def test_middles_are_small(wires, most):
    assert len(middle(wires).comparators) <= most


@pytest.mark.parametrize(("wires", "most"), [(4, 5), (7, 16), (8, 19), (9, 25), (10, 29)])
def test_sorters_are_the_smallest_known(wires, most):
    assert len(sorting(wires).comparators) == most


def test_pruning_keeps_only_what_is_read():
    network = pruned(3, [(0, 1), (1, 2), (0, 1)], (2,))
    assert network.comparators == (
        Comparator(0, 1, minimum=False, maximum=True),
        Comparator(1, 2, minimum=False, maximum=True),
    )
    assert network.operations == 2
    assert middle(4).operations == 6


def test_run_calls_the_operations_given():
    assert sorting(3).run([3, 1, 2], min, max) == [1, 2, 3]
    assert sorting(5, 1, 2).run([9, 7, 5, 3, 1], min, max) == [3, 5]


@pytest.mark.parametrize("wires", [0, -1, MAX_WIRES + 1])
def test_too_few_or_too_many_wires_are_refused(wires):
    with pytest.raises(UsageError, match=rf"{wires} wires; networks are made for 1 to 64"):
        middle(wires)
    with pytest.raises(UsageError, match="networks are made for"):
        sorting(wires)


@pytest.mark.parametrize(("first", "last"), [(-1, 2), (3, 2), (0, 4)])
def test_statistics_out_of_range_are_refused(first, last):
    with pytest.raises(UsageError, match=r"statistics .* of 4"):
        sorting(4, first, last)
