"""The gate of a Mixture-of-Experts layer, as pure functions of arrays.

Every function takes NumPy arrays or PyTorch tensors and gives the same kind back, on the
same device; PyTorch differentiates through softmax, weights and losses. Wherever scores are
equal, the expert of the lowest index comes first. ``-0.0`` equals ``0.0``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from quorate.core.errors import UsageError, UsageTypeError
from quorate.fusion.arrays import is_numpy, is_torch, namespace, whole

Array = Any
"""A NumPy array or a PyTorch tensor."""

FORMS: Final = ("switch", "gshard")
"""Forms of the load-balancing loss."""

_WHAT: Final = "give floats as a NumPy array or a PyTorch tensor [..., experts]"
_KEY_WIDTH: Final = 4
_INDEX_BITS: Final = 32
_TABLE: Final = 2


def softmax(scores: Array) -> Array:
    """Softmax over the last axis, in the array's own type; -inf gives 0.

    Raises:
        UsageTypeError: no array of floats.
        UsageError: an empty axis, NaN or +inf, or a row of -inf alone.
    """
    return _softmax(_checked(scores, "scores"))


def top_k(scores: Array, k: int) -> tuple[Array, Array]:
    """The ``k`` greatest of each row: (experts int64 [..., k], their scores [..., k]).

    Greatest first, ties to the lowest index. -inf counts as the least score.

    Raises:
        UsageTypeError: ``k`` is no int, or no array of floats.
        UsageError: ``k`` below 1 or above the number of experts, NaN or +inf.
    """
    array = _checked(scores, "scores")
    experts = best_of(array, checked_k(k, int(array.shape[-1])))
    return experts, _taken(array, experts)


def noisy_top_k(logits: Array, noise: Array, k: int, *, spread: Array = 1.0) -> tuple[Array, Array]:
    """Noisy top-k gating: (experts int64 [..., k], weights [..., k] that sum to 1).

    The ``k`` greatest of ``logits + noise * spread``, and a softmax over these alone
    (Shazeer et al., Outrageously Large Neural Networks, 2017, where the noise is standard
    normal and the spread the softplus of a learned score).

    Args:
        logits: ``[..., E]``; -inf is the least score, as in :func:`top_k`.
        noise: ``[..., E]``, drawn by the caller, so that the same call gives the same choice.
        k: experts per token.
        spread: at least 0; a number, or an array that broadcasts to ``[..., E]``.

    Raises:
        UsageTypeError: ``k`` is no int, or no array of floats.
        UsageError: ``k`` out of range, shapes that differ, a spread below 0, NaN or +inf (in
            what is given, or in the sum), or a token of -inf alone.
    """
    array = _checked(logits, "logits")
    drawn = _checked(noise, "noise")
    if tuple(drawn.shape) != tuple(array.shape):
        raise UsageError(
            f"noise has shape {tuple(drawn.shape)} and logits {tuple(array.shape)}; "
            "draw one number per logit"
        )
    wide = _checked_spread(spread, array)
    with np.errstate(over="ignore", invalid="ignore"):
        noisy = _checked(array + drawn * wide, "logits + noise * spread")
    experts = best_of(noisy, checked_k(k, int(array.shape[-1])))
    return experts, _softmax(_taken(noisy, experts))


@dataclass(frozen=True, slots=True, eq=False)
class Assignment:
    """Which experts each token goes to, within what each can take.

    Attributes:
        experts: int64 [T, k]; best first, -1 where nothing was left to go to.
        places: int64 [T, k]; the slot's number in its expert's buffer, 0 to ``capacity - 1``;
            -1 where dropped.
        load: int64 [E]; slots that each expert got.
        dropped: slots that found no expert with room.
        rerouted: slots whose expert is not among the token's own ``k`` best.
        capacity: most slots that one expert takes.
    """

    experts: Array
    places: Array
    load: Array
    dropped: int
    rerouted: int
    capacity: int


def assign(scores: Array, k: int, capacity: int) -> Assignment:
    """Send each token to its ``k`` best experts that have room, never twice to one.

    Tokens choose in their order, each all of its ``k`` slots: token t gets the best experts
    that the tokens before it left room in. A slot is dropped only when every expert that the
    token is not with already, and whose score is not -inf, is full.

    Args:
        scores: ``[T, E]``; the order of choice, ties to the lowest index; -inf never chosen.
        k: experts per token.
        capacity: most slots that one expert takes, over all k slots; at least 1.

    Raises:
        UsageTypeError: ``k`` or ``capacity`` is no int, or no array of floats.
        UsageError: not two axes, an argument out of range, NaN or +inf.
    """
    array = _checked(scores, "scores")
    if array.ndim != _TABLE:
        raise UsageError(f"scores has shape {tuple(array.shape)}; give [tokens, experts]")
    tokens, count = (int(length) for length in array.shape)
    chosen = checked_k(k, count)
    most = whole(capacity, "capacity")
    if most < 1:
        raise UsageError(f"capacity is {most}; give at least 1 slot per expert")
    xp = namespace(array)
    order = best_of(array, count)
    allowed = _taken(array, order) > -xp.inf
    # No expert gets a token twice, so more room than tokens is no more room.
    experts = _in_phases(order, allowed, chosen, min(most, tokens))
    return _assignment(experts, order[:, :chosen], count, most, tokens)


def load_balancing_loss(probabilities: Array, experts: Array, *, form: str = "switch") -> Array:
    """How far the load is from even: E times the sum over experts of f_e P_e.

    1.0 when the load is even, for every k, and up to E when all goes to one expert. P_e is
    the mean probability of expert e in the full softmax; f_e its share of the slots chosen,
    before capacity:

    - ``"switch"``: of all k slots (Fedus et al., Switch Transformers, 2021, where k = 1).
    - ``"gshard"``: of the first slots alone (Lepikhin et al., GShard, 2020, whose loss is
      this one divided by E^2).

    Args:
        probabilities: ``[..., E]``, the softmax over all experts.
        experts: integers ``[..., k]``; -1 is no expert. Tokens without any do not count.
        form: see above.

    Returns:
        A scalar of the array's kind; 0 where no token has an expert.

    Raises:
        UsageTypeError: no arrays of floats and integers.
        UsageError: an unknown form, shapes that differ, or an expert out of range.
    """
    if form not in FORMS:
        raise UsageError(f"form is {form!r}; give one of {', '.join(FORMS)}")
    shares = _checked(probabilities, "probabilities")
    xp = namespace(shares)
    count = int(shares.shape[-1])
    if not (is_numpy(experts) or is_torch(experts)) or not xp.isdtype(experts.dtype, "integral"):
        raise UsageTypeError("experts is no array of integers; give what top_k returns")
    if tuple(experts.shape[:-1]) != tuple(shares.shape[:-1]):
        raise UsageError(
            f"experts has shape {tuple(experts.shape)} and probabilities {tuple(shares.shape)}; "
            "give one row of each per token"
        )
    # Of unsigned types -1 is the greatest value, and a narrow one may not hold the count.
    named = xp.astype(experts, xp.int64)
    least = 0 if xp.isdtype(experts.dtype, "unsigned integer") else -1
    if bool(xp.any((named < least) | (named >= count))):
        raise UsageError(f"experts holds an index beyond {least} to {count - 1}")
    slots = xp.reshape(named, (-1, named.shape[-1]))
    if form == "gshard":
        slots = slots[:, :1]
    wide = xp.float64 if shares.dtype == xp.float64 else xp.float32
    everyone = xp.arange(count, device=shares.device)
    hits = xp.astype(slots[:, :, None] == everyone, wide)
    routed = xp.astype(xp.any(slots >= 0, axis=-1), wide)
    mean = routed @ xp.astype(xp.reshape(shares, (-1, count)), wide)
    load = xp.sum(hits, axis=(0, 1))
    # Nothing is routed where either is 0; the product is 0 then, whatever divides it.
    parts = xp.clip(xp.sum(routed), min=1.0) * xp.clip(xp.sum(load), min=1.0)
    return count * xp.sum(load * mean) / parts


def z_loss(logits: Array) -> Array:
    """The mean over tokens of the squared log-sum-exp: large logits cost.

    Unscaled; the source adds it times 0.001 (Zoph et al., ST-MoE, 2022).

    Raises:
        UsageTypeError: no array of floats.
        UsageError: an empty axis, NaN or +inf, or a row of -inf alone.
    """
    array = _checked(logits, "logits")
    xp = namespace(array)
    wide = array if array.dtype == xp.float64 else xp.astype(array, xp.float32)
    most = _greatest(wide)
    # Beyond the greatest float the difference is -inf, whose share is 0; the loss may be inf.
    with np.errstate(over="ignore"):
        total = xp.sum(xp.exp(wide - most), axis=-1)
        return xp.mean((xp.log(total) + most[..., 0]) ** 2)


def checked_k(k: int, experts: int) -> int:
    """Give back ``k`` if so many of ``experts`` can be chosen.

    Raises:
        UsageTypeError: no int.
        UsageError: out of range.
    """
    chosen = whole(k, "k")
    if not 1 <= chosen <= experts:
        raise UsageError(f"k is {chosen}; with {experts} experts give 1 to {experts}")
    return chosen


def _checked_spread(spread: Any, logits: Array) -> Any:
    """Give back a spread of at least 0 that goes with ``logits``.

    Raises:
        UsageTypeError: no number, and no array of numbers of the logits' kind.
        UsageError: below 0, NaN, or of a shape that does not broadcast to the logits'.
    """
    number = isinstance(spread, int | float | np.integer | np.floating)
    same = is_numpy(spread) if is_numpy(logits) else is_torch(spread)
    if isinstance(spread, bool) or not (number or same):
        raise UsageTypeError(
            f"spread is {spread!r} ({type(spread).__name__}); give a number, or an array of the "
            "logits' kind"
        )
    if not number:
        sizes, full = tuple(spread.shape), tuple(logits.shape)
        ends = zip(reversed(sizes), reversed(full), strict=False)
        if len(sizes) > len(full) or any(size not in {1, length} for size, length in ends):
            raise UsageError(
                f"spread has shape {sizes}, which does not broadcast to the logits' {full}"
            )
    if not bool((spread >= 0.0) if number else (spread >= 0.0).all()):
        raise UsageError("spread holds a value below 0, or none; give a spread of at least 0")
    return spread


def best_of(scores: Array, k: int) -> Array:
    """Indices int64 ``[..., k]`` of the greatest, ties to the lowest index; holds no NaN."""
    xp = namespace(scores)
    if scores.dtype.itemsize > _KEY_WIDTH:
        order = xp.argsort(scores, axis=-1, descending=True, stable=True)
        return xp.astype(order[..., :k], xp.int64)
    # Order and index in one integer: no two are equal, so any way to select will do.
    keys = _keys(scores)
    if is_numpy(scores):
        if k < keys.shape[-1]:
            keys = np.partition(keys, k - 1, axis=-1)[..., :k]
        return np.sort(keys, axis=-1) & (2**_INDEX_BITS - 1)
    return keys.topk(k, largest=False, sorted=True).values & (2**_INDEX_BITS - 1)


def _keys(scores: Array) -> Array:
    """Distinct int64: the greater the score, or the lower the index, the lesser the key."""
    xp = namespace(scores)
    plain = scores if is_numpy(scores) else scores.detach()
    # A sum with 0.0 turns -0.0 round.
    bits = (xp.astype(plain, xp.float32) + 0.0).view(xp.int32)
    rising = bits ^ ((bits >> 31) & (2**31 - 1))
    falling = xp.astype(~rising, xp.int64) << _INDEX_BITS
    return falling | xp.arange(scores.shape[-1], dtype=xp.int64, device=scores.device)


def _softmax(scores: Array) -> Array:
    xp = namespace(scores)
    wide = scores if scores.dtype.itemsize >= _KEY_WIDTH else xp.astype(scores, xp.float32)
    # Beyond the greatest float the difference is -inf, whose share is 0.
    with np.errstate(over="ignore"):
        masses = xp.exp(wide - _greatest(wide))
    return xp.astype(masses / xp.sum(masses, axis=-1, keepdims=True), scores.dtype)


def _greatest(scores: Array) -> Array:
    """The greatest of each row ``[..., 1]``.

    Raises:
        UsageError: a row of -inf alone, of which there is no softmax.
    """
    xp = namespace(scores)
    most = xp.max(scores, axis=-1, keepdims=True)
    if not bool(xp.all(most > -xp.inf)):
        raise UsageError("a row is -inf throughout; leave every token at least one expert")
    return most


def _taken(scores: Array, experts: Array) -> Array:
    return namespace(scores).take_along_axis(scores, experts, axis=-1)


def _checked(array: Array, name: str) -> Array:
    """Give back an array of floats that holds neither NaN nor +inf.

    Raises:
        UsageTypeError: something else.
        UsageError: no axis, an empty one, NaN or +inf.
    """
    if not (is_numpy(array) or is_torch(array)):
        raise UsageTypeError(f"{name} is a {type(array).__name__}; {_WHAT}")
    xp = namespace(array)
    if not xp.isdtype(array.dtype, "real floating"):
        raise UsageTypeError(f"{name} holds {array.dtype}; {_WHAT}")
    if array.ndim == 0 or 0 in array.shape:
        raise UsageError(f"{name} has shape {tuple(array.shape)}; {_WHAT}")
    if not bool(xp.all(array < xp.inf)):
        raise UsageError(f"{name} holds NaN or +inf; only finite scores and -inf can be ranked")
    return array


def _in_phases(order: Array, allowed: Array, k: int, capacity: int) -> Array:
    """Experts int64 [T, k] by turns of choice, -1 where none was left.

    All tokens choose among the experts still open, as if they were enough. That is right up
    to the first token at which some expert fills up: so far is settled, the full are closed,
    and the rest choose again. Each phase closes an expert, so there are at most E + 1.
    """
    xp = namespace(order)
    tokens, count = order.shape
    everyone = xp.arange(count, device=order.device)
    settled = xp.full((tokens, k), -1, dtype=xp.int64, device=order.device)
    room = xp.full((count,), capacity, dtype=xp.int64, device=order.device)
    start = 0
    while start < tokens:
        able = allowed[start:] & (room > 0)[order[start:]]
        wanted = able & (xp.cumulative_sum(xp.astype(able, xp.int64), axis=-1) <= k)
        # By expert instead of by rank.
        taken = xp.zeros(wanted.shape, dtype=xp.int64, device=order.device)
        taken[xp.arange(tokens - start, device=order.device)[:, None], order[start:]] = xp.astype(
            wanted, xp.int64
        )
        used = xp.cumulative_sum(taken, axis=0)
        full = xp.any((used >= room) & (taken > 0), axis=-1)
        # The token that takes the last place still gets it.
        early = int(xp.sum(xp.astype(xp.cumulative_sum(xp.astype(full, xp.int64)) == 0, xp.int64)))
        stop = min(tokens, start + early + 1)
        settled[start:stop] = _packed(order[start:stop], wanted[: stop - start], k)
        room = room - used[stop - start - 1]
        start = stop
        if not bool(xp.any(room[everyone] > 0)):
            break
    return settled


def _packed(order: Array, wanted: Array, k: int) -> Array:
    """The wanted experts of each row, in order, then -1: [t, k]."""
    xp = namespace(order)
    front = xp.argsort(xp.astype(~wanted, xp.uint8), axis=-1, stable=True)[:, :k]
    there = xp.take_along_axis(wanted, front, axis=-1)
    return xp.where(there, xp.take_along_axis(order, front, axis=-1), -1)


def _assignment(experts: Array, own: Array, count: int, capacity: int, tokens: int) -> Assignment:
    """Number the slots of each expert in the order of the tokens."""
    xp = namespace(experts)
    everyone = xp.arange(count, device=experts.device)
    taken = xp.astype(xp.any(experts[:, :, None] == everyone, axis=1), xp.int64)
    before = xp.cumulative_sum(taken, axis=0) - taken
    placed = experts >= 0
    at = xp.clip(experts, min=0)
    places = xp.where(placed, xp.take_along_axis(before, at, axis=-1), -1)
    kept = xp.any(experts[:, :, None] == own[:, None, :], axis=-1)
    slots = int(xp.sum(xp.astype(placed, xp.int64)))
    return Assignment(
        experts=experts,
        places=places,
        load=xp.sum(taken, axis=0),
        dropped=tokens * experts.shape[1] - slots,
        rerouted=int(xp.sum(xp.astype(placed & ~kept, xp.int64))),
        capacity=capacity,
    )
