"""The same results as ByzFL's rules, on a thousand inputs each (300 for the slowest).

ByzFL is loaded from its files alone: its package's ``__init__`` asks for libraries that
none of its rules need. It is a peer to compare with, and installed without what it asks for.
"""

import importlib.util
import sys
from itertools import islice
from pathlib import Path
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest

from quorate.fusion import (
    bucketing,
    centered_clipping,
    coordinate_wise_median,
    geometric_median,
    krum,
    mean_around_median,
    minimum_diameter_averaging,
    multi_krum,
    nearest_neighbour_mixing,
    robust_aggregate,
    trimmed_mean,
)

pytest.importorskip("torch", reason="ByzFL's rules import PyTorch: needs quorate[torch]")
pytest.importorskip("scipy", reason="ByzFL's rules import SciPy")

SPEC = importlib.util.find_spec("byzfl")
if SPEC is None or not SPEC.submodule_search_locations:
    pytest.skip("ByzFL is not installed; pip install --no-deps byzfl", allow_module_level=True)

TRIALS = 1000


def _bare(name, folder):
    """A package of that name whose ``__init__`` is not run."""
    package = ModuleType(name)
    package.__path__ = [str(folder)]
    return package


@pytest.fixture(scope="module")
def peers():
    """ByzFL's modules ``(aggregators, preaggregators)``, and no trace of them afterwards."""
    root = Path(SPEC.submodule_search_locations[0])
    with pytest.MonkeyPatch.context() as patch:
        for name, folder in (
            ("byzfl", root),
            ("byzfl.aggregators", root / "aggregators"),
            ("byzfl.utils", root / "utils"),
        ):
            patch.setitem(sys.modules, name, _bare(name, folder))
        made = [
            importlib.import_module(f"byzfl.aggregators.{name}")
            for name in ("aggregators", "preaggregators")
        ]
        yield made
        for name in [name for name in sys.modules if name.startswith("byzfl.")]:
            patch.delitem(sys.modules, name)


def inputs(seed, least=lambda f: 2 * f + 1):
    """Rows in canonical order, of several sizes, dimensions and scales, some far off."""
    drawn = np.random.default_rng(seed)
    for _ in range(TRIALS):
        f = int(drawn.integers(0, 4))
        n = least(f) + int(drawn.integers(1, 4))
        rows = drawn.normal(size=(n, int(drawn.integers(1, 9)))) * 10 ** drawn.uniform(-2, 2)
        rows[:f] *= 10
        yield rows[np.lexsort(rows.T[::-1])], f


def same(ours, theirs):
    assert ours == pytest.approx(np.asarray(theirs), rel=1e-9, abs=1e-12)


def test_average_median_trimmed_mean_and_mean_around_median(peers):
    rules, _ = peers
    for rows, f in inputs(1):
        same(robust_aggregate(rows, "mean", 0), rules.Average()(rows))
        same(coordinate_wise_median(rows, faults=f), rules.Median()(rows))
        same(trimmed_mean(rows, f), rules.TrMean(f)(rows))
        same(mean_around_median(rows, f), rules.Meamed(f)(rows))


def test_krum_and_multi_krum_with_one_neighbour_more(peers):
    """ByzFL counts n - f nearest with the row itself: ``neighbours = n - f - 1`` here."""
    rules, _ = peers
    differs = 0
    for rows, f in inputs(2, lambda f: 2 * f + 3):
        near = len(rows) - f - 1
        same(krum(rows, f, neighbours=near), rules.Krum(f)(rows))
        same(multi_krum(rows, f, neighbours=near), rules.MultiKrum(f)(rows))
        differs += krum(rows, f).tolist() != krum(rows, f, neighbours=near).tolist()
    assert differs > TRIALS // 20, "the two conventions would be the same"


def test_minimum_diameter_averaging(peers):
    rules, _ = peers
    for rows, f in inputs(3):
        same(minimum_diameter_averaging(rows, f), rules.MDA(f)(rows))


def test_centred_clipping_around_zero(peers):
    rules, _ = peers
    for rows, _ in inputs(4):
        for steps, radius in ((1, 100.0), (3, 1.5)):
            theirs = rules.CenteredClipping(L=steps, tau=radius)(rows)
            centre = np.zeros(rows.shape[1])
            ours = centered_clipping(rows, faults=0, centre=centre, radius=radius, steps=steps)
            same(ours, theirs)


def test_the_geometric_median_is_no_farther_from_all_rows_than_theirs(peers):
    """Theirs is smoothed and stops early: run long and smoothed little, they meet."""
    rules, _ = peers
    for trial, (rows, _) in enumerate(islice(inputs(5), 300)):
        ours = geometric_median(rows, faults=0)
        theirs = rules.GeometricMedian(nu=1e-9, T=2000 if trial < 20 else 30)(rows)
        cost = [np.linalg.norm(rows - point, axis=1).sum() for point in (ours, theirs)]
        assert cost[0] <= cost[1] * (1 + 1e-9)
        if trial < 20:
            assert cost[0] == pytest.approx(cost[1], rel=1e-4)


def test_nearest_neighbour_mixing(peers):
    _, steps = peers
    for rows, f in inputs(6):
        same(nearest_neighbour_mixing(rows, f), steps.NNM(f)(rows))


def test_bucketing_in_an_order_of_their_drawing(peers, monkeypatch):
    """Theirs draws the order; here both are told the same one."""
    _, steps = peers
    drawn = np.random.default_rng(8)
    for trial, (rows, _) in enumerate(inputs(7)):
        size = min(1 + trial % 3, len(rows))
        order = drawn.permutation(len(rows))
        told = SimpleNamespace(permutation=lambda given, order=order: given[order])
        monkeypatch.setattr(steps, "random_tool", lambda _, told=told: told)
        same(bucketing(rows, size, faults=0, order=order), steps.Bucketing(size)(rows))
