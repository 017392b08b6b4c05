"""Six judges, each of which ranks athletes by one thing that was measured.

The measurements are Linnerud's, which ship inside scikit-learn: three exercises and three
physiological values of twenty men in a fitness club.
"""

from collections.abc import Callable
from typing import Any

from sklearn.datasets import load_linnerud

from quorate.hub import Answer

_DATA = load_linnerud()
_COLUMNS = {
    **{name.lower(): _DATA.data[:, i] for i, name in enumerate(_DATA.feature_names)},
    **{name.lower(): _DATA.target[:, i] for i, name in enumerate(_DATA.target_names)},
}


def _judge(measure: str, best: Callable[[float], float]) -> Callable[[dict[str, Any]], Answer]:
    values = _COLUMNS[measure]

    def rank(task: dict[str, Any]) -> Answer:
        athletes = sorted(task["athletes"], key=lambda number: (best(values[number]), number))
        ranking = [f"athlete {number}" for number in athletes]
        return Answer(ranking[0], 1, ranking=ranking)

    return rank


def _most(value: float) -> float:
    return -value


def _least(value: float) -> float:
    return value


chins = _judge("chins", _most)
situps = _judge("situps", _most)
jumps = _judge("jumps", _most)
weight = _judge("weight", _least)
waist = _judge("waist", _least)
pulse = _judge("pulse", _least)
