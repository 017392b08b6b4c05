"""A batch of routed tokens as it is sealed, and its figures computed again from that.

Body of kind ``gating``::

    {"rule": "bft-gating/1", "fusion", "replicas", "faults", "quorum",
     "policy": {"on_no_quorum", "fallback_expert"},
     "weights": [digest per replica, or null where it was never there],
     "status": "served" | "refused" | "failed", "tokens",
     "layers": [{"name", "experts", "top_k", "tokens", "without_quorum",
                 "dissent": [...n], "dropped": [...n], "absent": [replicas]}],
     "root", "salt", "inline", "leaves": [...] | null}

Leaf of one token, a leaf of the tree whose root is in the body::

    {"token", "layers": [{"layer", "experts": [...k], "quorum",
                          "others": {replica: [...k] | null}}]}

``experts`` are those that the fused logits choose, ascending; ``others`` holds each
replica that chose otherwise, with ``null`` where its logits were not finite. Replicas in
``absent`` are not told again in the leaves. So each token's quorum follows from its leaf.
Batches of up to ``inline`` decisions (tokens times gates) hold their leaves, and everything
in them is computed again; of larger ones the figures are held against each other, and the
leaves against the root and the figures one by one, with :func:`quorate.moe.verify_token`.
The scores themselves are not sealed, nor why f was chosen as it was: where no token had
more than g < f rows that were not finite, the same figures are also those of f = g.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from copy import deepcopy
from typing import Any, Final, NoReturn

from quorate.core.canonical import canonical
from quorate.core.errors import UsageError, VerificationError
from quorate.core.text import counted
from quorate.moe.figures import (
    FAILED,
    REFUSED,
    RULE,
    SERVED,
    add_seen,
    check_figures,
    check_leaf,
    none_counted,
    seen_quorum,
)
from quorate.moe.inclusion import leaf_hashes, root_of
from quorate.moe.splits import in_words, listed, pattern_of

__all__ = [
    "FAILED", "KIND", "REFUSED", "RULE", "SERVED", "body_of", "describe", "replay", "seen_quorum",
]  # fmt: skip

KIND: Final = "gating"
"""Kind of the ledger entry."""

_DIGITS: Final = 64
_MOST_NAMED: Final = 3

Leaf = Mapping[str, Any]


def replay(kind: str, body: Any, context: object = None) -> None:
    """Compute the figures of a sealed batch again; return only if nothing differs.

    Args:
        kind: must be ``"gating"``.
        body: the sealed body.
        context: not needed here.

    Raises:
        VerificationError: rule ``"replay"``; says what differs.
    """
    del context
    if kind != KIND:
        _refuse(f"kind {kind!r} is none of a routed batch")
    # What is sealed may be anything: a bad shape shows as one of these while it is read.
    try:
        check_figures(body)
        if body["leaves"] is not None:
            _check_leaves(body)
    except (KeyError, TypeError, ValueError, AttributeError, IndexError, RecursionError) as error:
        _refuse(f"the body is no routed batch: {type(error).__name__}: {error}")


def describe(body: Mapping[str, Any]) -> str:
    """Tell a sealed batch in one paragraph; :func:`replay` it first."""
    layers, policy = body["layers"], body["policy"]["on_no_quorum"]
    told = [
        (
            f"A batch of {counted(body['tokens'], 'token')} through "
            f"{counted(len(layers), 'gate')}, {body['status']}: {body['quorum']} of "
            f"{counted(body['replicas'], 'replica')} had to choose the same experts for a token, "
            f"up to {body['faults']} of them faulty, fused by {body['fusion']}."
        )
    ]
    lacking = [number for number, each in enumerate(layers) if each["without_quorum"]]
    if not lacking:
        told.append("Every token had a quorum.")
    told += [_without_quorum(body, number) for number in lacking]
    if lacking:
        told.append(f"The policy for such tokens: {policy}.")
        if body["leaves"] is None:
            told.append("Who chose what on them is not in this entry, only in the batch's leaves.")
    for replica in range(body["replicas"]):
        parts = [
            _at_gates(layers, replica, "dissent", "chose otherwise than the quorum on"),
            _at_gates(layers, replica, "dropped", "sent what is not finite on"),
        ]
        gates = [each["name"] for each in layers if replica in each["absent"]]
        parts.append(f"was excluded at {_names(gates)}" if gates else "")
        if any(parts):
            told.append(f"Replica {replica} {'; it '.join(part for part in parts if part)}.")
    return " ".join(told)


def _without_quorum(body: Mapping[str, Any], number: int) -> str:
    layer = body["layers"][number]
    told = (
        f"{layer['without_quorum']} of {counted(layer['tokens'], 'token')} had no quorum at "
        f"{layer['name']}"
    )
    if body["leaves"] is None:
        return f"{told}."
    # A token that the batch did not bring to this gate has nothing about it in its leaf.
    seen = [each for leaf in body["leaves"] for each in leaf["layers"] if each["layer"] == number]
    patterns = Counter(
        pattern_of(each, layer["absent"], body["replicas"]) for each in seen if not each["quorum"]
    )
    return f"{told} ({in_words(listed(patterns))})."


def _at_gates(layers: Sequence[Mapping[str, Any]], replica: int, figure: str, words: str) -> str:
    """``chose otherwise on 5 tokens at layers.1.gate``, or nothing where it never did."""
    there = [each for each in layers if each[figure][replica]]
    if not there:
        return ""
    most = max(each[figure][replica] for each in there)
    upto = "up to " if len({each[figure][replica] for each in there}) > 1 else ""
    return f"{words} {upto}{counted(most, 'token')} at {_names([each['name'] for each in there])}"


def _names(gates: Sequence[str]) -> str:
    """A few gates by name, many by their number."""
    return ", ".join(gates) if len(gates) <= _MOST_NAMED else f"{len(gates)} gates"


def _check_leaves(body: dict[str, Any]) -> None:
    leaves, n = body["leaves"], body["replicas"]
    if len(leaves) != body["tokens"]:
        _refuse(f"there are {len(leaves)} leaves of {body['tokens']} tokens")
    root = root_of(leaf_hashes(bytes.fromhex(body["salt"]), leaves)).hex()
    if root != body["root"]:
        _refuse(f"the root is {body['root']}; of these leaves it is {root}")
    found = [none_counted(n) for _ in body["layers"]]
    for index, leaf in enumerate(leaves):
        check_leaf(leaf, index, body)
        for seen in leaf["layers"]:
            add_seen(seen, found[seen["layer"]])
    for layer, again in zip(body["layers"], found, strict=True):
        for name, figure in again.items():
            if canonical(layer[name]) != canonical(figure):
                _refuse(
                    f"{name} of {layer['name']} is {layer[name]!r}; by its tokens it is {figure!r}"
                )


def body_of(
    head: Mapping[str, Any],
    layers: Sequence[Mapping[str, Any]],
    leaves: Sequence[Leaf],
    *,
    salt: bytes,
    status: str,
    inline: int,
) -> dict[str, Any]:
    """Write a batch down.

    Args:
        head: ``fusion``, ``replicas``, ``faults``, ``quorum``, ``policy`` and ``weights``.
        layers: one per gate, in the order they ran.
        leaves: one per token.
        salt: 32 random bytes.
        status: how the batch ended.
        inline: most decisions (tokens times layers) of a batch that holds its leaves.

    Raises:
        UsageError: ``salt`` is not 32 bytes.
    """
    if len(salt) * 2 != _DIGITS:
        raise UsageError(f"the salt has {len(salt)} bytes; it should have {_DIGITS // 2}")
    decisions = sum(len(leaf["layers"]) for leaf in leaves)
    return {
        "rule": RULE,
        **head,
        "status": status,
        "tokens": len(leaves),
        "layers": deepcopy(list(layers)),
        "root": root_of(leaf_hashes(salt, leaves)).hex(),
        "salt": salt.hex(),
        "inline": inline,
        "leaves": deepcopy(list(leaves)) if decisions <= inline else None,
    }


def _refuse(message: str) -> NoReturn:
    raise VerificationError(message, rule="replay")
