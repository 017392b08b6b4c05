"""Krum over long vectors, beside the libraries for it and the Gram form in NumPy.

``python -m benchmarks.krum`` runs this part alone. Besides rates it counts how often each
way chooses another row than extended precision does, where rows share a large offset.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from benchmarks import fusion
from benchmarks.measure import Aim, Figure, Settings, Spread, Step, rate_of, side_by_side
from quorate.fusion import krum, krum_compiled
from quorate.fusion.rules import distances

KRUM: Final = "krum"
OURS: Final = "krum"
PLAIN: Final = "NumPy alone"
READ: Final = "reading the input once"
GRAM: Final = "Gram form, NumPy"
BYZFL: Final = "byzfl"
BYZPY: Final = "byzpy"
FLOWER: Final = "flower"

UNIT: Final = "Mcoords/s"
REPLICAS: Final = 10
FAULTS: Final = 2
LENGTH: Final = 1_000_000
TRIALS: Final = 200

Vectors = NDArray[np.float32]
Work = Callable[[], object]

_AIMS: Final = {BYZPY: Aim("5x", ratio=5), FLOWER: Aim("12x", ratio=12)}


def steps(settings: Settings) -> list[Step]:
    """How fast, then how often wrong."""
    return [
        Step("krum of 10", lambda: _rates(settings)),
        Step("krum with an offset", lambda: [_wrong_choices(settings)]),
    ]


def _rates(settings: Settings) -> list[Figure]:
    vectors = np.random.default_rng(10).normal(size=(REPLICAS, LENGTH)).astype(np.float32)
    peers, missing = _peers(vectors)
    works: dict[str, Work] = {
        READ: vectors.sum,
        OURS: lambda: krum(vectors, FAULTS),
        PLAIN: lambda: _plainly(vectors),
        GRAM: lambda: _gram_choice(vectors, REPLICAS - FAULTS - 2),
        **peers,
    }
    subjects = {name: lambda work=work: rate_of(LENGTH, work) / 1e6 for name, work in works.items()}
    turns = side_by_side(subjects, settings.turns)
    notes = [f"not compared: {name} cannot be imported" for name in missing]
    if not krum_compiled.available():
        notes.append('not compiled: pip install "quorate[fast]"')
    note = "; ".join(notes)
    return [
        turns.compare(
            ours,
            name,
            subject=KRUM,
            unit=UNIT,
            title=f"krum of {REPLICAS}" + ("" if ours == OURS else f", {ours}"),
            aim=_AIMS.get(name) if ours == OURS else None,
            note=note,
        )
        for ours, name in [*((OURS, name) for name in (READ, GRAM, *peers)), (PLAIN, GRAM)]
    ]


def _plainly(vectors: Vectors) -> object:
    """The distances without a compiler: nearly all the work there is."""
    rows = vectors[:, None]
    result = np.zeros((REPLICAS, REPLICAS, 1))
    distances._add_distances(rows, result)
    return result


def _gram_choice(vectors: Vectors, near: int) -> int:
    norms = (vectors * vectors).sum(axis=1)
    gaps = norms[:, None] + norms[None] - 2 * (vectors @ vectors.T)
    return int(np.argmin(np.sort(gaps, axis=1)[:, : near + 1].sum(axis=1)))


def _wide_choice(vectors: Vectors, near: int) -> int:
    wide = vectors.astype(np.longdouble)
    gaps = ((wide[:, None] - wide[None]) ** 2).sum(axis=-1)
    return int(np.argmin(np.sort(gaps, axis=1)[:, : near + 1].sum(axis=1)))


def _wrong_choices(settings: Settings) -> Figure:
    """Right choices of ours over all, at offset 300 and deviation 0.05; the Gram form's beside."""
    trials = settings.units(TRIALS)
    near = REPLICAS - FAULTS - 2
    right = gram = 0
    for trial in range(trials):
        drawn = np.random.default_rng(trial).normal(300.0, 0.05, size=(REPLICAS, 1000))
        rows = drawn.astype(np.float32)
        chosen = _wide_choice(rows, near)
        right += krum(rows, FAULTS).tobytes() == rows[chosen].tobytes()
        gram += _gram_choice(rows, near) == chosen
    return Figure(
        subject=KRUM,
        name="right choices at offset 300, deviation 0.05",
        unit=f"of {trials}",
        rate=Spread.of([float(right)]),
        reference=GRAM,
        reference_rate=Spread.of([float(gram)]),
        aim=Aim("all", rate=float(trials)),
    )


def _peers(vectors: Vectors) -> tuple[dict[str, Work], list[str]]:
    found = {BYZFL: _byzfl, BYZPY: _byzpy, FLOWER: _flower}
    works = {name: make(vectors) for name, make in found.items()}
    missing = [name for name, work in works.items() if work is None]
    return {name: work for name, work in works.items() if work is not None}, missing


def _byzfl(vectors: Vectors) -> Work | None:
    rules = fusion._byzfl()
    return None if rules is None else lambda: rules.Krum(FAULTS)(vectors)


def _byzpy(vectors: Vectors) -> Work | None:
    try:
        rule = importlib.import_module("byzpy.aggregators.geometric_wise.krum").Krum(f=FAULTS)
    except ImportError:
        return None
    rows = list(vectors)
    return lambda: rule.aggregate(rows)


def _flower(vectors: Vectors) -> Work | None:
    """Its function alone, from its file: the package asks for a whole server's libraries."""
    spec = importlib.util.find_spec("flwr")
    if spec is None or spec.submodule_search_locations is None:
        return None
    path = Path(spec.submodule_search_locations[0], "server", "strategy", "aggregate.py")
    names = ("flwr", "flwr.common", "flwr.server", "flwr.server.client_proxy")
    before = {name: sys.modules.get(name) for name in names}
    sys.modules.update({name: _Anything(name) for name in names})
    try:
        found = importlib.util.spec_from_file_location("_flower_aggregate", path)
        if found is None or found.loader is None:
            return None
        module: Any = importlib.util.module_from_spec(found)
        found.loader.exec_module(module)
    finally:
        for name, kept in before.items():
            if kept is None:
                del sys.modules[name]
            else:
                sys.modules[name] = kept
    results = [([row], 1) for row in vectors]
    return lambda: module.aggregate_krum(results, FAULTS, 0)


class _Anything(ModuleType):
    """Stands for a module of which only names in annotations are needed."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return Any


def main() -> None:
    """Run this part alone, and print its figures."""
    with tempfile.TemporaryDirectory() as folder:
        settings = Settings(quick="--quick" in sys.argv, scratch=Path(folder))
        for step in steps(settings):
            for figure in step.run():
                print(_line(figure))


def _line(figure: Figure) -> str:
    theirs = figure.reference_rate
    ratio = figure.ratio
    shown = "" if ratio is None else f"{ratio.median:.2f}x ({ratio.least:.2f}-{ratio.most:.2f}) of"
    verdict = {None: "", True: "reached", False: "NOT reached"}[figure.reached]
    aim = "" if figure.aim is None else f"aim {figure.aim.text}: {verdict}"
    beside = "" if theirs is None else f"{figure.reference} {theirs.median:.1f}"
    return (
        f"{figure.name:<44} {figure.rate.median:8.1f} {figure.unit:<10} {shown} {beside}  {aim}"
        f" {figure.note}"
    )


if __name__ == "__main__":
    main()
