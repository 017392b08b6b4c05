"""What the rules of fusion share: checking arrays, exact keys of floats, a canonical order.

Arrays are NumPy arrays, or PyTorch tensors on any device; PyTorch itself is never imported
here. The first axis counts replicas, the last one the coordinates of a vector; what lies
between counts tokens. A row is what one replica says about one token.

Floats compare equal that are not the same (``-0.0 == 0.0``). Wherever the order of replicas
must not change a bit of a result, floats are compared by their *keys* instead: signed
integers of the same width that stand in the order of the floats, ``-0.0`` just below
``0.0``. Two keys are equal only where all bits are.
"""

from __future__ import annotations

import operator
from typing import Any, Final

import numpy as np
from array_api_compat import array_namespace, device, is_numpy_array, is_torch_array

from quorate.core.errors import UsageError, UsageTypeError

Array = Any
"""A NumPy array or a PyTorch tensor."""

_KEY_TYPES: Final = {2: "int16", 4: "int32", 8: "int64"}
_FEWEST_AXES: Final = 2
_WHAT: Final = "give real numbers as a NumPy array or a PyTorch tensor [replicas, ..., length]"
# NumPy holds a string's length in a C int.
_LONGEST_STRING: Final = 2**31 - 1
_FIRST_STRETCH: Final = 64
_FINITE_BLOCK: Final = 1 << 16


def namespace(array: Array) -> Any:
    """The array API namespace that ``array`` belongs to."""
    return array_namespace(array)


def is_numpy(array: Array) -> bool:
    """Whether ``array`` is a NumPy array."""
    return bool(is_numpy_array(array))


def is_torch(array: Array) -> bool:
    """Whether ``array`` is a PyTorch tensor; does not import PyTorch."""
    return bool(is_torch_array(array))


def whole(value: Any, name: str) -> int:
    """``value`` as an int, where it is a whole number of any library; a bool is none.

    Args:
        value: a Python int, a NumPy integer, or anything else with an index.
        name: of the argument, for the message.

    Raises:
        UsageTypeError: something else.
    """
    # Libraries disagree on whether their own bools have an index.
    if not isinstance(value, bool | np.bool_) and "bool" not in str(getattr(value, "dtype", "")):
        try:
            return operator.index(value)
        except TypeError:
            pass
    raise UsageTypeError(f"{name} is {value!r} ({type(value).__name__}); give a whole number")


def as_vectors(vectors: Any, *, at_least: int = 1, name: str = "vectors") -> Array:
    """Check what the replicas sent and give it as an array of floats.

    Args:
        vectors: ``[n, E]`` or ``[n, ..., E]``; nested lists and integers become float64.
        at_least: fewest replicas that will do.
        name: of the caller's argument, for messages.

    Returns:
        The same array where it holds floats already, never a changed one.

    Raises:
        UsageTypeError: not real numbers, or not of one shape.
        UsageError: fewer than two axes, an empty axis, or too few replicas.
    """
    array = _float_tensor(vectors, name) if is_torch(vectors) else _float_array(vectors, name)
    shape = tuple(array.shape)
    if len(shape) < _FEWEST_AXES:
        raise UsageError(f"{name} has shape {shape}; it needs at least two axes: {_WHAT}")
    if 0 in shape:
        raise UsageError(f"{name} has shape {shape}, where an axis is empty; {_WHAT}")
    if shape[0] < at_least:
        raise UsageError(
            f"{name} holds {shape[0]} replicas (shape {shape}); give at least {at_least}"
        )
    return array


def _masked(value: Any) -> bool:
    """Whether a masked array is in there: read as one array, it would lose its mask."""
    if isinstance(value, list | tuple):
        return any(_masked(each) for each in value)
    return isinstance(value, np.ma.MaskedArray)


def _float_array(vectors: Any, name: str) -> Array:
    if _masked(vectors):
        raise UsageTypeError(f"{name} is a masked array, or holds one; fill it first: {_WHAT}")
    try:
        array = np.asarray(vectors)
    except (TypeError, ValueError) as error:
        raise UsageTypeError(f"{name} cannot be read as one array ({error}); {_WHAT}") from error
    if array.dtype.kind in "iu":
        return array.astype(np.float64)
    if array.dtype.kind == "f" and array.dtype.itemsize in _KEY_TYPES:
        return array if array.dtype.isnative else array.astype(array.dtype.newbyteorder("="))
    raise UsageTypeError(
        f"{name} holds {array.dtype}; {_WHAT}, of float16, float32, float64 or integers"
    )


def _float_tensor(vectors: Array, name: str) -> Array:
    kind = str(vectors.dtype).removeprefix("torch.")
    if vectors.layout != namespace(vectors).strided:
        raise UsageTypeError(f"{name} is a tensor of layout {vectors.layout}; make it dense")
    if kind in {"float16", "bfloat16", "float32", "float64"}:
        return vectors
    if kind.removeprefix("u") in {"int8", "int16", "int32", "int64"}:
        return vectors.double()
    raise UsageTypeError(
        f"{name} holds {kind}; {_WHAT}, of float16, bfloat16, float32, float64 or integers"
    )


def finite_rows(vectors: Array) -> Array:
    """Which rows are wholly finite: bool ``[n, ...]`` for vectors ``[n, ..., E]``."""
    if not is_numpy(vectors):
        return namespace(vectors).isfinite(vectors).all(-1)
    rows = vectors.reshape(-1, vectors.shape[-1])
    finite: Array = np.ones(rows.shape[0], dtype=bool)
    # In pieces, so that what is written between the two steps stays in the cache.
    wide = max(1, _FINITE_BLOCK // rows.shape[1])
    for top in range(0, rows.shape[0], wide):
        for left in range(0, rows.shape[1], _FINITE_BLOCK):
            part = rows[top : top + wide, left : left + _FINITE_BLOCK]
            finite[top : top + wide] &= np.isfinite(part).all(axis=-1)
    return finite.reshape(vectors.shape[:-1])


def in_float64(array: Array) -> Array:
    """A float64 copy, on the same device."""
    return array.astype(np.float64) if is_numpy(array) else array.double().clone()


def keys_of(array: Array) -> Array:
    """Signed integers that order the floats of ``array`` as real numbers, all bits counted.

    Of the same width and on the same device; a copy.
    """
    width = array.dtype.itemsize
    kind = getattr(np if is_numpy(array) else namespace(array), _KEY_TYPES[width])
    bits = array if is_numpy(array) else array.detach()
    return _folded(bits.view(kind), 8 * width - 1)


def floats_of(keys: Array, like: Array) -> Array:
    """What :func:`keys_of` was made from, in the type of ``like``; a copy."""
    return _folded(keys, 8 * keys.dtype.itemsize - 1).view(like.dtype)


def _folded(bits: Array, places: int) -> Array:
    """Turn round the magnitude of negative floats, so that integers sort as they do."""
    sign = bits >> places
    sign &= 2**places - 1
    sign ^= bits
    return sign


def canonical_order(vectors: Array) -> Array:
    """Put the rows of each token in an order that does not depend on who sent them.

    Rows stand in lexicographic order of their values, ``-0.0`` before ``0.0``; rows equal
    in every bit keep the order they came in, which nothing can tell.

    Args:
        vectors: ``[n, ..., E]`` of floats, all finite.

    Returns:
        int64 ``[n, ...]``: at i, the replica whose row comes i-th.
    """
    keys = keys_of(vectors)
    if is_numpy(keys):
        return _order_of_strings(keys)
    if str(keys.device) == "cpu":
        return namespace(keys).from_numpy(_order_of_strings(keys.numpy()))
    return _order_of_pairs(keys)


def in_order(vectors: Array, order: Array) -> Array:
    """Rows ``[n, ..., E]`` in the order ``[m, ...]``, each token by its own: ``[m, ..., E]``."""
    if is_numpy(vectors):
        return np.take_along_axis(vectors, order[..., None], axis=0)
    places = order[..., None].expand(*order.shape, vectors.shape[-1])
    return vectors.gather(0, places)


def _order_of_strings(keys: Array) -> Array:
    """Sort each token's rows as strings of bytes, which stops at the first difference."""
    size = keys.shape[-1] * keys.dtype.itemsize
    if size > _LONGEST_STRING:
        return _order_of_pairs(keys)
    unsigned = np.moveaxis(keys, 0, -2).astype(f">i{keys.dtype.itemsize}", order="C")
    letters = unsigned.view(np.uint8)
    # Bytes have no sign: the greatest bit turned round puts negative keys first.
    letters[..., :: keys.dtype.itemsize] ^= 0x80
    strings = letters.view(f"S{size}")[..., 0]
    order = np.argsort(strings, axis=-1, kind="stable")
    return np.ascontiguousarray(np.moveaxis(order, -1, 0))


def _order_of_pairs(keys: Array) -> Array:
    """Count for each row how many come before it, from comparing every pair."""
    xp = namespace(keys)
    ranks = xp.zeros(keys.shape[:-1], dtype=xp.int64, device=device(keys))
    for later in range(1, keys.shape[0]):
        for earlier in range(later):
            before = _comes_before(keys[later], keys[earlier])
            ranks[earlier] += before
            ranks[later] += ~before
    return ranks.argsort(0)


def _comes_before(row: Array, other: Array) -> Array:
    """Whether ``row [..., E]`` stands strictly before ``other`` in lexicographic order."""
    before = row[..., 0] < other[..., 0]
    equal = row[..., 0] == other[..., 0]
    start, stretch = 1, _FIRST_STRETCH
    while start < row.shape[-1] and bool(equal.any()):
        ours, theirs = row[..., start : start + stretch], other[..., start : start + stretch]
        differs = ours != theirs
        # The first True: argmax of bools is not there on every device.
        place = (differs.cumsum(-1) == 0).sum(-1)
        found = place < differs.shape[-1]
        at = place.clip(max=differs.shape[-1] - 1)[..., None]
        if is_numpy(row):
            less = np.take_along_axis(ours, at, -1) < np.take_along_axis(theirs, at, -1)
        else:
            less = ours.gather(-1, at) < theirs.gather(-1, at)
        before = before | (equal & found & less[..., 0])
        equal = equal & ~found
        start, stretch = start + stretch, stretch * 4
    return before
