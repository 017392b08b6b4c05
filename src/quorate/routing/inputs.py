"""The input of a round: one private snapshot, its digest, and a copy for whoever asks.

Replicas may do to their copy what they like; neither the caller, nor the expert, nor
another replica sees it. The digest is of the snapshot, so what is sealed, what is voted
on and what the expert is given are one and the same, whatever the caller does to its
own object meanwhile.

Accepted, by exact type: JSON values (None, bool, int, float, str, list, tuple, dict with
text keys), bytes, and one NumPy array of plain numbers, dates or text. NumPy is never
imported here: an array can only come from a process that has loaded it.
"""

from __future__ import annotations

import hashlib
import marshal
import sys
from dataclasses import dataclass
from typing import Any, Final

from quorate.core.canonical import CanonicalError, canonical, digest
from quorate.core.errors import UsageError, UsageTypeError

_ATOMS: Final = frozenset({str, int, float, bool, type(None)})
_CONTAINERS: Final = frozenset({dict, list, tuple})
_ARRAY_KINDS: Final = frozenset("biufcmMSU")
# Not the first byte of any JSON text, so no JSON value shares a digest with these.
_HEADED: Final = b"quorate/input/v1\n"
_ADVICE: Final = "give JSON values, bytes or one NumPy array"


@dataclass(frozen=True, slots=True)
class Snapshot:
    """An input as it was when its round was opened.

    Attributes:
        digest: 64 hex digits.
    """

    digest: str
    _value: Any
    _array: tuple[Any, ...] | None = None
    _packed: bytes | None = None

    def for_replica(self) -> Any:
        """A copy of its own: an atom or bytes as it is, an array as a read-only view."""
        if self._array is not None:
            return _view(self._value, *self._array)
        # Four times quicker than walking the value; the bytes are our own.
        return self._value if self._packed is None else marshal.loads(self._packed)  # noqa: S302

    def for_expert(self) -> Any:
        """The snapshot itself, which nobody else was given; an array as a writable copy."""
        if self._array is not None:
            return _view(self._value, *self._array).copy()
        return self._value


def snapshot(x: object) -> Snapshot:
    """Take one private copy of ``x`` and name it by digest.

    The digest of a JSON value is that of its canonical bytes; of bytes or an array, the
    SHA-256 of ``quorate/input/v1``, a line feed and the canonical JSON of a header:
    ``{"kind": "bytes", "sha256"}`` or ``{"kind": "ndarray", "dtype", "shape", "sha256"}``,
    data in C order, little-endian.

    Raises:
        UsageError: ``x``, or something in it, has no digest; says what to give instead.
    """
    kind = type(x)
    if kind in _ATOMS:
        return Snapshot(_json_digest(x), x)
    if kind in _CONTAINERS:
        return _of_container(x)
    if kind is bytes:
        return Snapshot(_headed({"kind": "bytes", "sha256": _sha256(x)}), x)
    numpy = sys.modules.get("numpy")
    if numpy is not None and isinstance(x, numpy.ndarray):
        return _of_array(numpy, x)
    raise UsageTypeError(f"the input is a {kind.__name__}, which has no digest; {_ADVICE}")


def _of_array(numpy: Any, x: Any) -> Snapshot:
    if type(x) is not numpy.ndarray:
        raise UsageTypeError(
            f"the input is a {type(x).__name__}, a kind of array; give numpy.asarray(x)"
        )
    if x.dtype.kind not in _ARRAY_KINDS:
        raise UsageTypeError(
            f"the input is an array of {x.dtype}, which has no digest; "
            "give one of numbers, dates or fixed-length text"
        )
    data = x.tobytes()
    little = x.dtype.newbyteorder("<")
    same = little == x.dtype
    header = {
        "kind": "ndarray",
        "dtype": little.str,
        "shape": list(x.shape),
        "sha256": _sha256(data if same else x.astype(little).tobytes()),
    }
    return Snapshot(_headed(header), data, (numpy, x.dtype, x.shape))


def _view(data: bytes, numpy: Any, dtype: Any, shape: tuple[int, ...]) -> Any:
    # Over bytes, which nothing can make writable; over a read-only array, a replica could
    # switch the base back to writable and change what the others see.
    if not data:
        return numpy.zeros(shape, dtype)
    return numpy.frombuffer(data, dtype).reshape(shape)


def _of_container(x: Any) -> Snapshot:
    try:
        packed = marshal.dumps(x)
        value = marshal.loads(packed)  # noqa: S302 - our own bytes
        return Snapshot(digest(value), value, _packed=packed)
    except (ValueError, RuntimeError) as error:
        # The original tells better what is wrong with it than its copy.
        _json_digest(x)
        raise UsageError(f"the input cannot be copied ({error}); {_ADVICE}") from error


def _json_digest(value: Any) -> str:
    try:
        return digest(value)
    except CanonicalError as error:
        raise UsageError(f"the input has no digest: {error}; {_ADVICE}") from error


def _sha256(data: Any) -> str:
    return hashlib.sha256(data).hexdigest()


def _headed(header: dict[str, Any]) -> str:
    return hashlib.sha256(_HEADED + canonical(header)).hexdigest()
