"""The coordinate-wise rules once more, as plainly as can be, and rows to try them on."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from hypothesis import strategies as st

FLOATS = ("float16", "float32", "float64")
_WIDE = {"float16": np.float32, "float32": np.float64, "float64": np.float64}


def order(value: Any) -> tuple[float, float]:
    """Numbers in order, -0.0 before 0.0."""
    return float(value), math.copysign(1.0, float(value))


def bits(array: np.ndarray) -> bytes:
    return np.ascontiguousarray(array).tobytes()


def median(vectors: np.ndarray) -> np.ndarray:
    return _by_column(vectors, _median)


def trimmed(vectors: np.ndarray, f: int) -> np.ndarray:
    return _by_column(vectors, lambda column: _mean(column[f : len(column) - f]))


def near_median(vectors: np.ndarray, f: int) -> np.ndarray:
    def rule(column: list[Any]) -> Any:
        wide = _WIDE[column[0].dtype.name]
        centre, left = wide(_median(column)), list(column)
        for _ in range(f):
            if _farther(centre, wide(left[0]), wide(left[-1])):
                left.pop(0)
            else:
                left.pop()
        return _mean(left)

    return _by_column(vectors, rule)


def _by_column(vectors: np.ndarray, rule: Any) -> np.ndarray:
    flat = vectors.reshape(len(vectors), -1)
    out = np.empty(flat.shape[1], vectors.dtype)
    with np.errstate(all="ignore"):
        for j in range(flat.shape[1]):
            out[j] = rule(sorted(flat[:, j], key=order))
    return out.reshape(vectors.shape[1:])


def _median(column: list[Any]) -> Any:
    low, high = column[(len(column) - 1) // 2], column[len(column) // 2]
    kind = type(low)
    if order(low) == order(high):
        return low
    if kind is np.float16:
        return kind(np.float32(low) / 2 + np.float32(high) / 2)
    return low if low == high != 0 else kind(low / kind(2) + high / kind(2))


def _mean(kept: list[Any]) -> Any:
    kind = type(kept[0])
    wide = _WIDE[np.dtype(kind).name]
    total = wide(kept[0])
    for value in kept[1:]:
        total = total + wide(value)
    mean = total / wide(len(kept))
    if np.isinf(total):
        total = wide(0)
        for value in kept:
            total = total + wide(value) / wide(2048)
        mean = total / wide(len(kept)) * wide(2048)
    mean = kind(mean)
    if mean < kept[0]:
        return kept[0]
    # Not min(): of -0.0 and 0.0 it would take the bound.
    return kept[-1] if mean > kept[-1] else mean  # noqa: FURB136 - see above


def _farther(centre: Any, low: Any, high: Any) -> bool:
    below, above = centre - low, high - centre
    if np.isinf(below) and np.isinf(above):
        below, above = centre / 4 - low / 4, high / 4 - centre / 4
    return bool(below > above)


def awkward(dtype: str) -> list[Any]:
    """Numbers at the edges of a type, and some that tie."""
    about = np.finfo(dtype)
    small, normal, large = about.smallest_subnormal, about.smallest_normal, about.max
    some = [0.0, 1.0, 3.0, small, small * 3, small * 5, normal, normal / 2, large, large / 2]
    some.append(np.nextafter(np.dtype(dtype).type(1), np.dtype(dtype).type(2)))
    with np.errstate(all="ignore"):
        return [sign * np.dtype(dtype).type(number) for number in some for sign in (1, -1)]


def one_value(dtype: str) -> st.SearchStrategy[Any]:
    width = np.dtype(dtype).itemsize * 8
    anything = st.floats(allow_nan=False, allow_infinity=False, width=width)
    return st.sampled_from(awkward(dtype)) | anything.map(np.dtype(dtype).type)


@st.composite
def clean_vectors(draw: Any, dtypes: tuple[str, ...] = FLOATS, most: int = 12) -> np.ndarray:
    """Finite vectors [n, d] or [n, t, d] of any float type, with many ties."""
    dtype = draw(st.sampled_from(dtypes))
    shape = (draw(st.integers(1, most)), *draw(st.lists(st.integers(1, 4), min_size=1, max_size=2)))
    few = draw(st.lists(one_value(dtype), min_size=1, max_size=6))
    seed = draw(st.integers(0, 2**32 - 1))
    return np.random.default_rng(seed).choice(np.array(few, dtype), size=shape)
