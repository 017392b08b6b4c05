"""What liars may send: attacks for tests, tables and demonstrations.

Each takes the honest rows ``[h, ...]`` (an array of floats, NumPy or PyTorch, the last axis
a vector) and gives the f liars' rows ``[f, ...]`` of the same kind and dtype. All know
everything the honest send, and none draws a random number: noise comes from the caller.
"""

from __future__ import annotations

from collections.abc import Iterator
from statistics import NormalDist
from typing import Any, Final

from quorate.core.errors import UsageError
from quorate.fusion.arrays import as_vectors, namespace, whole
from quorate.fusion.fuse import fuse

Array = Any
"""A NumPy array or a PyTorch tensor."""

_REACHES: Final = (0.25, 0.5, 1.0, 1.5, 2.0, 3.0, 5.0, 10.0, 100.0)
"""How far out :func:`colluding_optimum` puts liars, in standard deviations."""


def sign_flip(honest: Array, f: int, *, scale: float = 1.0) -> Array:
    """Each liar sends an honest row with its sign turned round, times ``scale``."""
    rows = _checked(honest, f)
    return _taken(rows, f) * -scale


def inner_product_manipulation(honest: Array, f: int, *, scale: float = 1.5) -> Array:
    """All send the honest mean times ``-scale``; Xie, Koyejo and Gupta, UAI 2020."""
    rows = _checked(honest, f)
    return _repeated(_mean(rows) * -scale, f)


def a_little_is_enough(honest: Array, f: int, *, z: float | None = None) -> Array:
    """All send the honest mean less z standard deviations; Baruch et al., NeurIPS 2019.

    ``z`` is the paper's if ``None``, or 1 where there are too few rows for the paper's to be
    above 0.

    Raises:
        UsageError: ``z`` is ``None`` and the liars are a majority without any honest row on
            their side, for which the paper has no z.
    """
    rows = _checked(honest, f)
    xp = namespace(rows)
    mean = _mean(rows)
    spread = xp.sqrt(_mean((rows - mean[None]) ** 2))
    return _repeated(mean - spread * (_paper_z(rows.shape[0], f) if z is None else z), f)


def _paper_z(honest: int, f: int) -> float:
    supporters = (honest + f) // 2 + 1 - f
    if supporters < 1:
        raise UsageError(
            f"z is None, and {f} liars beside {honest} honest rows are a majority by themselves, "
            "so no honest row limits how far they may go; give z"
        )
    share = (honest - supporters) / honest
    return NormalDist().inv_cdf(share) if share > 1 / 2 else 1.0


def mimic(honest: Array, f: int, *, who: int = 0) -> Array:
    """All send what honest replica ``who`` sends; Karimireddy et al., ICLR 2022."""
    rows = _checked(honest, f)
    return _repeated(rows[who], f)


def infinity(honest: Array, f: int, *, negative: bool = False) -> Array:
    """All send infinities."""
    rows = _checked(honest, f)
    return _taken(rows, f) * 0 + (-1.0 if negative else 1.0) * float("inf")


def nan(honest: Array, f: int) -> Array:
    """All send NaN."""
    rows = _checked(honest, f)
    return _taken(rows, f) * 0 + float("nan")


def gaussian(honest: Array, f: int, *, noise: Array, scale: float = 10.0) -> Array:
    """The honest mean plus ``scale`` times the caller's ``noise [f, ...]``."""
    rows = _checked(honest, f)
    if tuple(noise.shape) != (f, *rows.shape[1:]):
        raise UsageError(
            f"noise has shape {tuple(noise.shape)}; give {(f, *tuple(rows.shape[1:]))}"
        )
    return namespace(rows).astype(_mean(rows)[None] + noise * scale, rows.dtype)


def label_flip(honest: Array, f: int, *, shift: int = 1) -> Array:
    """Each liar sends an honest row's scores moved on by ``shift`` places."""
    rows = _checked(honest, f)
    return namespace(rows).roll(_taken(rows, f), shift, axis=-1)


def colluding_optimum(honest: Array, f: int, *, rule: str) -> Array:
    """The worst for ``rule`` that a search of many placements finds, token by token.

    Liars stand together, or in two camps, or trail off, at several distances from the
    honest mean along the honest rows' differences, their spread and their mean; or they
    copy an honest row. The worst moves the rule's result farthest from the honest mean.
    """
    rows = _checked(honest, f)
    xp = namespace(rows)
    tried = xp.stack(list(_placements(rows, f)), axis=1)
    shape = (rows.shape[0], *tried.shape[1:])
    together = xp.concat([xp.broadcast_to(rows[:, None], shape), tried], axis=0)
    values = xp.astype(fuse(together, rule, f).values, xp.float64)
    harm = xp.sum((values - xp.astype(_mean(rows), xp.float64)[None]) ** 2, axis=-1)
    worst = xp.argmax(harm, axis=0)
    # One placement per token, the same for all liars and coordinates.
    where = xp.broadcast_to(worst[None, None, ..., None], (f, 1, *rows.shape[1:]))
    return xp.take_along_axis(tried, where, axis=1)[:, 0]


def _placements(rows: Array, f: int) -> Iterator[Array]:
    xp = namespace(rows)
    mean = _mean(rows)
    spread = xp.sqrt(_mean((rows - mean[None]) ** 2))
    length = xp.sqrt(xp.sum(spread**2, axis=-1))[..., None]
    yield from (_repeated(row, f) for row in rows)
    for way in (spread, mean, *(row - mean for row in rows)):
        norm = xp.sqrt(xp.sum(way**2, axis=-1))[..., None]
        step = way / xp.where(norm > 0, norm, 1.0) * length
        for reach in _REACHES:
            yield _repeated(mean + step * reach, f)
            yield _repeated(mean - step * reach, f)
            if f > 1:
                signs = [1.0 if liar % 2 else -1.0 for liar in range(f)]
                yield xp.stack([mean + step * (reach * sign) for sign in signs])
                yield xp.stack([mean + step * (reach * (1 + liar)) for liar in range(f)])


def _checked(honest: Array, f: int) -> Array:
    rows = as_vectors(honest, name="honest")
    if whole(f, "f") < 1:
        raise UsageError(f"f is {f!r}; an attack needs at least one liar")
    return rows


def _mean(rows: Array) -> Array:
    return namespace(rows).mean(rows, axis=0)


def _repeated(row: Array, f: int) -> Array:
    return namespace(row).stack([row] * int(f))


def _taken(rows: Array, f: int) -> Array:
    """Honest rows for f liars, from the first on and round again."""
    return namespace(rows).stack([rows[liar % rows.shape[0]] for liar in range(f)])
