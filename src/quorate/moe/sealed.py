"""A batch of routed tokens as it is sealed, and its figures computed again from that.

Body of kind ``gating``::

    {"rule": "bft-gating/1", "fusion", "replicas", "faults", "quorum",
     "policy": {"on_no_quorum", "fallback_expert"},
     "weights": [digest per replica, or null where it was never there],
     "status": "served" | "refused" | "failed", "tokens",
     "layers": [{"name", "experts", "top_k", "tokens", "without_quorum",
                 "dissent": [...n], "dropped": [...n], "absent": [replicas]}],
     "root", "salt", "leaves": [...] | null}

Leaf of one token, a leaf of the tree whose root is in the body::

    {"token", "layers": [{"layer", "experts": [...k], "quorum",
                          "others": {replica: [...k] | null}}]}

``experts`` are those that the fused logits choose, ascending; ``others`` holds each
replica that chose otherwise, with ``null`` where its logits were not finite. Replicas in
``absent`` are not told again in the leaves. So each token's quorum follows from its leaf.
Small batches hold their leaves, and everything in them is computed again; of larger ones
the figures are held against each other, and the leaves against the root one by one,
with :func:`quorate.moe.verify_token`. The scores themselves are not sealed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, NoReturn

from quorate.core.canonical import canonical
from quorate.core.errors import UsageError, VerificationError
from quorate.core.quorum import quorum_size
from quorate.moe.inclusion import leaf_hashes, root_of
from quorate.moe.policy import REFUSE, Policy

KIND: Final = "gating"
"""Kind of the ledger entry."""

RULE: Final = "bft-gating/1"
"""Name and version of the rules that the figures follow."""

SERVED: Final = "served"
REFUSED: Final = "refused"
FAILED: Final = "failed"

_FIELDS: Final = frozenset({
    "rule", "fusion", "replicas", "faults", "quorum", "policy", "weights", "status", "tokens",
    "layers", "root", "salt", "leaves",
})  # fmt: skip
_LAYER_FIELDS: Final = frozenset({
    "name", "experts", "top_k", "tokens", "without_quorum", "dissent", "dropped", "absent",
})  # fmt: skip
_SEEN_FIELDS: Final = frozenset({"layer", "experts", "quorum", "others"})
_DIGITS: Final = 64

Leaf = Mapping[str, Any]


def seen_quorum(
    others: Mapping[str, Any], absent: Sequence[int], *, n: int, faults: int, quorum: int
) -> bool:
    """Whether a token has a quorum, from the replicas that did not choose what was chosen."""
    void = len(absent) + sum(other is None for other in others.values())
    return void <= faults and n - len(absent) - len(others) >= quorum


def replay(kind: str, body: object, context: object = None) -> None:
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
    if not isinstance(body, dict) or set(body) != _FIELDS:
        _refuse(f"the body must have exactly the fields {sorted(_FIELDS)}")
    if body["rule"] != RULE:
        _refuse(f"the rule is {body['rule']!r}; this version knows {RULE!r}")
    # What is sealed may be anything: a bad shape shows as one of these while it is read.
    try:
        _check_head(body)
        for layer in body["layers"]:
            _check_layer(layer, body)
        _check_status(body)
        if body["leaves"] is not None:
            _check_leaves(body)
    except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
        _refuse(f"the body is no routed batch: {type(error).__name__}: {error}")


def describe(body: Mapping[str, Any]) -> str:
    """Tell a sealed batch in one paragraph; :func:`replay` it first."""
    layers = body["layers"]
    lacking = [(each["name"], each["without_quorum"]) for each in layers if each["without_quorum"]]
    told = [
        f"A batch of {body['tokens']} tokens through {len(layers)} gates, {body['status']}:",
        f"{body['quorum']} of {body['replicas']} replicas had to agree, fused by {body['fusion']}.",
    ]
    if lacking:
        where = ", ".join(f"{count} at {name}" for name, count in lacking)
        told.append(f"Tokens without a quorum: {where} (policy {body['policy']['on_no_quorum']}).")
    for replica in range(body["replicas"]):
        dissent = sum(each["dissent"][replica] for each in layers)
        dropped = sum(each["dropped"][replica] for each in layers)
        absent = sum(replica in each["absent"] for each in layers)
        if dissent or dropped or absent:
            told.append(
                f"Replica {replica}: {dissent} dissenting, {dropped} not finite, absent at "
                f"{absent} gates."
            )
    return " ".join(told)


def _count(value: object, name: str, most: int | None = None) -> int:
    if type(value) is not int or value < 0 or (most is not None and value > most):
        bound = "" if most is None else f" up to {most}"
        _refuse(f"{name} is {value!r}; it should be a whole number{bound}")
    return value


def _check_head(body: dict[str, Any]) -> None:
    n, faults = _count(body["replicas"], "replicas"), _count(body["faults"], "faults")
    if body["quorum"] != quorum_size(n, faults) or type(body["quorum"]) is not int:
        _refuse(
            f"quorum is {body['quorum']!r}; of {n} replicas of which {faults} may lie it is "
            f"{quorum_size(n, faults)}"
        )
    policy = Policy(body["policy"]["on_no_quorum"], body["policy"]["fallback_expert"])
    if policy.to_dict() != body["policy"] or not isinstance(body["fusion"], str):
        _refuse(f"policy {body['policy']!r} or fusion {body['fusion']!r} is unknown")
    if len(body["weights"]) != n:
        _refuse(f"weights tells of {len(body['weights'])} replicas, not of {n}")
    for name in ("root", "salt", *(each for each in body["weights"] if each is not None)):
        text = body[name] if name in ("root", "salt") else name
        if len(text) != _DIGITS or set(text) - set("0123456789abcdef"):
            _refuse(f"{text!r} is no digest of {_DIGITS} lower-case hex digits")
    most = max((_count(each["tokens"], "tokens") for each in body["layers"]), default=0)
    if _count(body["tokens"], "tokens") != most:
        _refuse(f"tokens is {body['tokens']}; the layers had up to {most}")


def _check_layer(layer: dict[str, Any], body: dict[str, Any]) -> None:
    name, n = layer["name"], body["replicas"]
    if set(layer) != _LAYER_FIELDS or not isinstance(name, str):
        _refuse(f"a layer must have exactly the fields {sorted(_LAYER_FIELDS)}")
    tokens = _count(layer["tokens"], f"tokens of {name}")
    lacking = _count(layer["without_quorum"], f"without_quorum of {name}", tokens)
    _count(layer["top_k"], f"top_k of {name}", _count(layer["experts"], f"experts of {name}"))
    absent = layer["absent"]
    if absent != sorted({_count(each, f"absent at {name}", n - 1) for each in absent}):
        _refuse(f"absent at {name} is {absent!r}; it lists each replica once, ascending")
    if len(layer["dissent"]) != n or len(layer["dropped"]) != n:
        _refuse(f"dissent and dropped of {name} must tell of {n} replicas")
    for replica, (dissent, dropped) in enumerate(
        zip(layer["dissent"], layer["dropped"], strict=True)
    ):
        _count(dissent, f"dissent of replica {replica} at {name}", tokens - lacking)
        _count(dropped, f"dropped of replica {replica} at {name}", tokens)
        if replica in absent and (dissent or dropped):
            _refuse(f"replica {replica} is absent at {name}, and yet was heard there")
    _check_bounds(layer, body)


def _check_bounds(layer: dict[str, Any], body: dict[str, Any]) -> None:
    """Figures that no batch can have: each token with a quorum bears only so many others."""
    n, name = body["replicas"], layer["name"]
    served = layer["tokens"] - layer["without_quorum"]
    if len(layer["absent"]) > body["faults"] and served:
        _refuse(f"{served} tokens of {name} cannot have a quorum: {layer['absent']} were absent")
    spare = (n - body["quorum"] - len(layer["absent"])) * served
    if sum(layer["dissent"]) > spare:
        _refuse(f"at {name} {sum(layer['dissent'])} choices dissent; a quorum bears {spare}")


def _check_status(body: dict[str, Any]) -> None:
    status, refuses = body["status"], body["policy"]["on_no_quorum"] == REFUSE
    lacking = [each["name"] for each in body["layers"] if each["without_quorum"]]
    if status not in (SERVED, REFUSED, FAILED):
        _refuse(f"status is {status!r}; it is served, refused or failed")
    names = [each["name"] for each in body["layers"]]
    refused = refuses and bool(lacking)
    if refused and lacking != names[-1:]:
        _refuse(f"{lacking[0]} had tokens without a quorum, but the batch went on")
    if refused != (status == REFUSED):
        _refuse(f"the status is {status!r}, but tokens of {lacking or 'no gate'} had no quorum")


def _check_leaves(body: dict[str, Any]) -> None:
    leaves, n = body["leaves"], body["replicas"]
    if len(leaves) != body["tokens"]:
        _refuse(f"there are {len(leaves)} leaves of {body['tokens']} tokens")
    root = root_of(leaf_hashes(bytes.fromhex(body["salt"]), leaves)).hex()
    if root != body["root"]:
        _refuse(f"the root is {body['root']}; of these leaves it is {root}")
    found = [
        {"tokens": 0, "without_quorum": 0, "dissent": [0] * n, "dropped": [0] * n}
        for _ in body["layers"]
    ]
    for index, leaf in enumerate(leaves):
        _check_leaf(leaf, index, body)
        for seen in leaf["layers"]:
            _add(seen, found[seen["layer"]])
    for layer, again in zip(body["layers"], found, strict=True):
        for name, figure in again.items():
            if canonical(layer[name]) != canonical(figure):
                _refuse(
                    f"{name} of {layer['name']} is {layer[name]!r}; by its tokens it is {figure!r}"
                )


def _check_leaf(leaf: dict[str, Any], index: int, body: dict[str, Any]) -> None:
    if set(leaf) != {"token", "layers"} or leaf["token"] != index:
        _refuse(f"leaf {index} is not of token {index}")
    passed = [number for number, layer in enumerate(body["layers"]) if layer["tokens"] > index]
    if [seen["layer"] for seen in leaf["layers"]] != passed:
        _refuse(f"token {index} did not pass the layers that it should have")
    for seen in leaf["layers"]:
        if set(seen) != _SEEN_FIELDS:
            _refuse(f"token {index}: a layer's leaf has the fields {sorted(_SEEN_FIELDS)}")
        layer = body["layers"][seen["layer"]]
        _check_choice(seen["experts"], layer)
        for replica, other in seen["others"].items():
            told = replica.isdecimal() and str(int(replica)) == replica
            if not told or int(replica) >= body["replicas"] or int(replica) in layer["absent"]:
                _refuse(f"token {index}: replica {replica!r} was not heard at {layer['name']}")
            if other is not None:
                _check_choice(other, layer)
            if other == seen["experts"]:
                _refuse(f"token {index}: replica {replica} chose what was chosen")
        again = seen_quorum(
            seen["others"], layer["absent"],
            n=body["replicas"], faults=body["faults"], quorum=body["quorum"],
        )  # fmt: skip
        if seen["quorum"] is not again:
            _refuse(f"token {index} at {layer['name']}: quorum is {seen['quorum']!r}, not {again}")


def _check_choice(chosen: list[int], layer: Mapping[str, Any]) -> None:
    good = all(type(e) is int and 0 <= e < layer["experts"] for e in chosen)
    if not good or sorted(set(chosen)) != chosen or len(chosen) != layer["top_k"]:
        _refuse(f"{chosen!r} is no choice of {layer['top_k']} of {layer['experts']} experts")


def _add(seen: Mapping[str, Any], found: dict[str, Any]) -> None:
    found["tokens"] += 1
    found["without_quorum"] += not seen["quorum"]
    for replica, other in seen["others"].items():
        if other is None:
            found["dropped"][int(replica)] += 1
        elif seen["quorum"]:
            found["dissent"][int(replica)] += 1


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
        "layers": [dict(layer) for layer in layers],
        "root": root_of(leaf_hashes(salt, leaves)).hex(),
        "salt": salt.hex(),
        "leaves": [dict(leaf) for leaf in leaves] if decisions <= inline else None,
    }


def _refuse(message: str) -> NoReturn:
    raise VerificationError(message, rule="replay")
