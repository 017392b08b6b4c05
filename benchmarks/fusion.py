"""Median and trimmed mean of whole vectors, beside a bare copy and the libraries for it.

``python -m benchmarks.fusion`` runs this part alone.
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

from benchmarks.measure import Aim, Figure, Settings, Step, Turns, rate_of, side_by_side
from quorate.fusion import compiled, coordinate_wise_median
from quorate.fusion.rules import coordinate

FUSION: Final = "fusion"
COMPILED: Final = "compiled"
PLAIN: Final = "NumPy alone"
PUBLIC: Final = "with all checks"
COPY: Final = "copy of the input"
NUMPY: Final = "np.median"
TORCH: Final = "torch.median"
BYZFL: Final = "byzfl"

UNIT: Final = "Mcoords/s"
LENGTH: Final = 1_000_000
REPLICAS: Final = (4, 7, 10)

Work = Callable[[], object]
Vectors = NDArray[np.float32]

_COPY_AIM: Final = Aim("80% of a copy", ratio=0.8)
_PEER_AIM: Final = Aim("40x", ratio=40)
_PLAIN_AIM: Final = Aim("5x", ratio=5)


def steps(settings: Settings) -> list[Step]:
    """Median, then trimmed mean, for every number of replicas."""
    return [
        *(Step(f"median of {n}", lambda n=n: _medians(settings, n)) for n in REPLICAS),  # type: ignore[misc]
        *(Step(f"trimmed mean of {n}", lambda n=n: _means(settings, n)) for n in REPLICAS),  # type: ignore[misc]
    ]


def _vectors(n: int) -> Vectors:
    return np.random.default_rng(n).normal(size=(n, LENGTH)).astype(np.float32)


def _rates(works: dict[str, Work], settings: Settings) -> Turns:
    """Millions of coordinates per second."""
    subjects = {name: lambda work=work: rate_of(LENGTH, work) / 1e6 for name, work in works.items()}
    return side_by_side(subjects, settings.turns)


def _copying(vectors: Vectors) -> Work:
    out = np.empty_like(vectors)
    return lambda: np.copyto(out, vectors)


def _medians(settings: Settings, n: int) -> list[Figure]:
    vectors = _vectors(n)
    rule = coordinate._median(vectors)
    peers, missing = _median_peers(vectors)
    works: dict[str, Work] = {
        COPY: _copying(vectors),
        PLAIN: lambda: coordinate._plainly(vectors, rule),
        PUBLIC: lambda: coordinate_wise_median(vectors),
        **peers,
    }
    if compiled.available():
        compiled.prepare(compiled.MEDIAN, n)
        works[COMPILED] = lambda: coordinate.median_of(vectors)
    return _figures(_rates(works, settings), f"median of {n}", list(peers), missing)


def _means(settings: Settings, n: int) -> list[Figure]:
    vectors, f = _vectors(n), (n - 1) // 3
    rule = coordinate._trimmed(vectors, f)
    byzfl = _byzfl()
    works: dict[str, Work] = {
        COPY: _copying(vectors),
        PLAIN: lambda: coordinate._plainly(vectors, rule),
    }
    if byzfl is not None:
        works[BYZFL] = lambda: byzfl.TrMean(f)(vectors)
    if compiled.available():
        compiled.prepare(compiled.TRIMMED, n, f)
        works[COMPILED] = lambda: coordinate.trimmed_of(vectors, f)
    peers, missing = ([BYZFL], []) if byzfl is not None else ([], [BYZFL])
    return _figures(_rates(works, settings), f"trimmed mean of {n}", peers, missing)


def _figures(turns: Turns, title: str, peers: list[str], missing: list[str]) -> list[Figure]:
    """Ours against a copy, then against every peer; what could not be compared says so."""
    notes = [f"not compared: {name} cannot be imported" for name in missing]
    if COMPILED not in turns.rates:
        notes.append('not compiled: pip install "quorate[fast]"')
    note = "; ".join(notes)
    made = []
    for ours, against in _pairs(turns, peers):
        aim = None
        if ours == COMPILED:
            aim = _COPY_AIM if against == COPY else _PEER_AIM
        elif ours == PLAIN and against == NUMPY:
            aim = _PLAIN_AIM
        name = f"{title}, {ours}"
        figure = turns.compare(
            ours, against, subject=FUSION, unit=UNIT, title=name, aim=aim, note=note
        )
        made.append(figure)
        note = ""
    return made


def _pairs(turns: Turns, peers: list[str]) -> list[tuple[str, str]]:
    subjects = [name for name in (COMPILED, PLAIN, PUBLIC) if name in turns.rates]
    first = peers[:1] or [COPY]
    pairs = [(subjects[0], COPY), *((subjects[0], peer) for peer in peers)]
    return pairs + [(name, first[0]) for name in subjects[1:]]


def _median_peers(vectors: Vectors) -> tuple[dict[str, Work], list[str]]:
    """What else takes medians, each on one core, and what is not there."""
    works: dict[str, Work] = {NUMPY: lambda: np.median(vectors, axis=0)}
    missing = []
    torch, byzfl = _torch(), _byzfl()
    if torch is None:
        missing.append(TORCH)
    else:
        tensor = torch.from_numpy(vectors)
        works[TORCH] = lambda: torch.median(tensor, dim=0).values
    if byzfl is None:
        missing.append(BYZFL)
    else:
        works[BYZFL] = lambda: byzfl.Median()(vectors)
    return works, missing


def _torch() -> Any:
    if importlib.util.find_spec("torch") is None:
        return None
    torch = importlib.import_module("torch")
    torch.set_num_threads(1)
    return torch


def _byzfl() -> Any:
    """Its aggregators alone: the package itself also wants what trains whole networks."""
    spec = importlib.util.find_spec("byzfl")
    if spec is None or spec.submodule_search_locations is None or _torch() is None:
        return None
    bare = ModuleType("byzfl")
    bare.__path__ = list(spec.submodule_search_locations)
    before = sys.modules.get("byzfl")
    sys.modules["byzfl"] = bare if before is None else before
    try:
        return importlib.import_module("byzfl.aggregators.aggregators")
    finally:
        if before is None:
            del sys.modules["byzfl"]


def main() -> None:
    """Run this part alone, and print its figures."""
    with tempfile.TemporaryDirectory() as folder:
        settings = Settings(quick="--quick" in sys.argv, scratch=Path(folder))
        for step in steps(settings):
            for figure in step.run():
                ratio = figure.ratio
                ratios = (
                    ""
                    if ratio is None
                    else f"{ratio.median:.2f}x ({ratio.least:.2f}-{ratio.most:.2f})"
                )
                verdict = {None: "", True: "reached", False: "NOT reached"}[figure.reached]
                aim = "" if figure.aim is None else f"aim {figure.aim.text}: {verdict}"
                print(
                    f"{figure.name:<34} {figure.rate.median:9.1f} {figure.unit}  "
                    f"{ratios:<24} of {figure.reference:<18} {aim} {figure.note}"
                )


if __name__ == "__main__":
    main()
