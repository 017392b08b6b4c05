"""The rules that look at one coordinate at a time, compiled (extra ``fast``).

Theory of operation. A kernel is written here as text, from the same network that NumPy
runs (``rules.networks``): one loop over the columns whose body holds one value per
replica and compares them as the network says, without a branch. The compiler makes vector
instructions of it, so one pass reads the input once and writes the result: for up to ten
replicas that takes less time than copying the input.

Values are held as keys, integers in the order of the floats, so every bit takes part and
the result has the bits of the NumPy path. Contraction and reordering of float operations
stay off. While it reads, a kernel also notices non-finite values, which is as good as free.

A kernel is compiled on first use for its number of replicas (about a second) and kept as
long as the process lives; nothing is written to disk. A replica that sends what is not finite
leaves one replica fewer, which is a kernel of its own: :func:`prepare` makes those too, so
that no liar chooses when a server compiles. It runs on one core and releases
the interpreter's lock, so callers may split columns over threads.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import Any, Final

import numpy as np

from quorate.core.errors import OperationalError, UsageError
from quorate.fusion.arrays import Array
from quorate.fusion.rules.networks import Network, middle, sorting

MEDIAN: Final = "median"
TRIMMED: Final = "trimmed_mean"
NEAR: Final = "mean_around_median"

MAX_REPLICAS: Final = 16
"""Most replicas that kernels are made for; beyond it compiling takes longer than it saves."""

FEWEST_VALUES: Final = 1 << 16
"""Smallest input worth a kernel; below it NumPy is about as fast."""

_FEWEST_REPLICAS: Final = 2
_TYPES: Final = ("float32", "float64")
_INDENT: Final = "        "


def available() -> bool:
    """Whether Numba can be imported."""
    return _numba() is not None


def prepare(rule: str, n: int, f: int = 0, *, dtype: str = "float32") -> None:
    """Compile the kernels of a rule ahead of their first use.

    That is one for n replicas, and one for each number of rows that are left where up to f
    are not finite: f + 1 in all, a second or more each. There is none for more than
    ``MAX_REPLICAS`` rows, but fewer may be left.

    Args:
        rule: ``median``, ``trimmed_mean`` or ``mean_around_median``.
        n: replicas, 2 to ``MAX_REPLICAS + f``.
        f: liars that the rule allows for, n > 2f; of the median's own kernel no part.
        dtype: ``float32`` or ``float64``.

    Raises:
        UsageError: there is no such kernel.
        OperationalError: Numba is missing.
    """
    if rule not in {MEDIAN, TRIMMED, NEAR} or dtype not in _TYPES:
        raise UsageError(
            f"no kernel for rule {rule!r} on {dtype!r}; give one of {MEDIAN!r}, {TRIMMED!r} and "
            f"{NEAR!r}, on one of {_TYPES}"
        )
    if not _FEWEST_REPLICAS <= n <= MAX_REPLICAS + f or not 0 <= 2 * f < n:
        raise UsageError(
            f"no kernel for n = {n}, f = {f}; give 2 <= n <= {MAX_REPLICAS} + f and n > 2f"
        )
    if not available():
        raise OperationalError(
            'compiled kernels need Numba, which is not installed: pip install "quorate[fast]"'
        )
    for broken in range(max(0, n - MAX_REPLICAS), min(f, n - _FEWEST_REPLICAS) + 1):
        _kernel(rule, n - broken, 0 if rule == MEDIAN else f - broken, dtype)


def run(
    rule: str, f: int, flat: Array, *, fewest: int = FEWEST_VALUES
) -> tuple[Array, bool] | None:
    """Run ``rule`` on ``flat [n, d]`` if there is a kernel for it.

    Args:
        rule: ``median``, ``trimmed_mean`` or ``mean_around_median``.
        f: liars that the rule allows for; 0 for the median.
        flat: NumPy array.
        fewest: values that ``flat`` must hold to be worth it.

    Returns:
        The result [d], and whether all of ``flat`` was finite (where it was not, the result
        means nothing). ``None`` if there is no kernel or Numba is missing.
    """
    n, name = flat.shape[0], flat.dtype.name
    made = _FEWEST_REPLICAS <= n <= MAX_REPLICAS and name in _TYPES
    if not made or flat.size < fewest or not available():
        return None
    kernel = _kernel(rule, n, f, name)
    out = np.empty(flat.shape[1], dtype=flat.dtype)
    ready = np.require(flat, requirements=["C", "A"])
    found = kernel(ready.view(f"int{8 * flat.itemsize}"), out)
    return out, found == 0


@lru_cache(maxsize=1)
def _numba() -> Any:
    try:
        import numba  # noqa: PLC0415 - heavy, and optional
    except ImportError:
        return None
    return numba


@lru_cache(maxsize=256)
def _kernel(rule: str, n: int, f: int, name: str) -> Callable[[Array, Array], int]:
    numba = _numba()
    real = np.dtype(name).type
    bits = 8 * np.dtype(name).itemsize
    whole = np.dtype(f"int{bits}").type
    names: dict[str, Any] = {
        "Real": real,
        "Int": whole,
        "Wide": np.float64,
        "PLACES": whole(bits - 1),
        "MAGNITUDE": whole(2 ** (bits - 1) - 1),
        "INFINITE": real(np.inf).view(whole),
        "HALF": real(0.5),
        "ZERO": real(0),
        "NONE": whole(0),
        "DOWN": 2.0**-11,
        "LARGEST": float(np.finfo(np.float64).max),
    }
    text = _source(rule, n, f, name)
    exec(compile(text, f"<{rule} of {n}>", "exec"), names)  # noqa: S102 - written here, of whole numbers alone
    whole_type = getattr(numba, f"int{bits}")
    given = numba.types.Array(whole_type, 2, "C", readonly=True)
    result = numba.types.Array(getattr(numba, name), 1, "C")
    compiler = numba.njit(whole_type(given, result), nogil=True, error_model="numpy")
    kernel: Callable[[Array, Array], int] = compiler(names["kernel"])
    return kernel


def _source(rule: str, n: int, f: int, name: str) -> str:
    """The kernel in Python, as Numba compiles it."""
    if rule == MEDIAN:
        network, tail = middle(n), _half_of_each("y", len(middle(n).outputs))
    elif rule == TRIMMED:
        network = sorting(n, f, n - f - 1)
        tail = _mean([f"y{i}" for i in range(n - 2 * f)], "y0", f"y{n - 2 * f - 1}", name)
    else:
        network, tail = sorting(n), _near(n, f, name)
    head = ["def kernel(given, out):", "    found = NONE", "    for j in range(given.shape[1]):"]
    body = [*_read(n), *_compared(network), *tail]
    return "\n".join([*head, *(_INDENT + line for line in body), "    return found", ""])


def _read(n: int) -> Iterator[str]:
    """Read a column as keys, and note what is not finite."""
    for i in range(n):
        yield f"b = given[{i}, j]"
        yield "found = Int(found | Int(Int(b & INFINITE) == INFINITE))"
        yield f"k{i} = {_folded('b')}"


def _compared(network: Network) -> Iterator[str]:
    """Run the network, then give its outputs as floats y0, y1, ..."""
    for step in network.comparators:
        low, high = f"k{step.low}", f"k{step.high}"
        least, most = f"{low} if {low} < {high} else {high}", f"{low} if {low} > {high} else {high}"
        if step.minimum and step.maximum:
            yield f"{low}, {high} = ({least}), ({most})"
        else:
            yield f"{low} = {least}" if step.minimum else f"{high} = {most}"
    for place, wire in enumerate(network.outputs):
        yield f"y{place} = {_folded(f'k{wire}')}.view(Real)"


def _folded(bits: str) -> str:
    """Between the bits of a float and its key, either way."""
    return f"Int({bits} ^ Int(Int({bits} >> PLACES) & MAGNITUDE))"


def _half_of_each(letter: str, middles: int) -> Iterator[str]:
    if middles == 1:
        yield f"out[j] = {letter}0"
        return
    one, other = f"{letter}0", f"{letter}1"
    yield f"half = {one} * HALF + {other} * HALF"
    yield f"out[j] = {one} if ({one} == {other}) & ({one} != ZERO) else half"


def _mean(
    rows: list[str], low: str, high: str, name: str, count: int | None = None
) -> Iterator[str]:
    """The mean of ``rows``, summed in their order, within ``low`` and ``high``."""
    many = float(len(rows) if count is None else count)
    yield "total = " + " + ".join(f"Wide({row})" for row in rows)
    yield f"mean = total / {many}"
    if name == "float64":
        yield "scaled = " + " + ".join(f"{row} * DOWN" for row in rows)
        yield f"mean = mean if abs(total) <= LARGEST else scaled / {many} / DOWN"
    yield "narrow = Real(mean)"
    yield f"narrow = {low} if narrow < {low} else narrow"
    yield f"out[j] = {high} if narrow > {high} else narrow"


def _near(n: int, f: int, name: str) -> Iterator[str]:
    """The mean of the n - f sorted values nearest to the median."""
    kept = n - f
    one, other = f"y{(n - 1) // 2}", f"y{n // 2}"
    yield f"half = {one} * HALF + {other} * HALF"
    yield f"centre = Wide({one} if ({one} == {other}) & ({one} != ZERO) else half)"
    yield f"low, high = y0, y{kept - 1}"
    yield from (f"x{i} = y{i}" for i in range(n))
    for i in range(f):
        yield f"below, above = centre - Wide(y{i}), Wide(y{i + kept}) - centre"
        yield "moved = below > above"
        if name == "float64":
            yield "both = (below > LARGEST) & (above > LARGEST)"
            yield "quarter = centre * 0.25"
            yield f"further = quarter - y{i} * 0.25 > y{i + kept} * 0.25 - quarter"
            yield "moved = moved | (both & further)"
        yield f"low = y{i + 1} if moved else low"
        yield f"high = y{i + kept} if moved else high"
        yield f"x{i} = -ZERO if moved else y{i}"
        yield f"x{i + kept} = y{i + kept} if moved else -ZERO"
    yield from _mean([f"x{i}" for i in range(n)], "low", "high", name, kept)
