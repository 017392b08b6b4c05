"""What the figures of a sealed batch, and of one token's leaf, can be.

Everything that follows without the leaves' hashes: the head against the rules of quorums
and of fusion, the figures of each gate against one another, a leaf against its own batch.
The form of a body and of a leaf is told in :mod:`quorate.moe.sealed`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, NoReturn

from quorate.core.errors import VerificationError
from quorate.core.quorum import quorum_size
from quorate.fusion.names import check_rule
from quorate.moe.policy import REFUSE, Policy

RULE: Final = "bft-gating/1"
"""Name and version of the rules that the figures follow."""

SERVED: Final = "served"
REFUSED: Final = "refused"
FAILED: Final = "failed"

_VOTE: Final = "vote"  # of quorate.moe.fusing, which needs PyTorch
_FIELDS: Final = frozenset({
    "rule", "fusion", "replicas", "faults", "quorum", "policy", "weights", "status", "tokens",
    "layers", "root", "salt", "inline", "leaves",
})  # fmt: skip
_LAYER_FIELDS: Final = frozenset({
    "name", "experts", "top_k", "tokens", "without_quorum", "dissent", "dropped", "absent",
})  # fmt: skip
_SEEN_FIELDS: Final = frozenset({"layer", "experts", "quorum", "others"})
_DIGITS: Final = 64
_HEX: Final = frozenset("0123456789abcdef")


def seen_quorum(
    others: Mapping[str, Any], absent: Sequence[int], *, n: int, faults: int, quorum: int
) -> bool:
    """Whether a token has a quorum, from the replicas that did not choose what was chosen."""
    void = len(absent) + sum(other is None for other in others.values())
    return void <= faults and n - len(absent) - len(others) >= quorum


def check_figures(body: object) -> None:
    """Check all of a body but its root and leaves.

    Raises:
        VerificationError: rule ``replay``; says what cannot be. A body of another shape may
            also show as a KeyError, TypeError, ValueError, AttributeError or IndexError.
    """
    if not isinstance(body, dict) or set(body) != _FIELDS:
        _refuse(f"the body must have exactly the fields {sorted(_FIELDS)}")
    if body["rule"] != RULE:
        _refuse(f"the rule is {body['rule']!r}; this version knows {RULE!r}")
    _check_head(body)
    for layer in body["layers"]:
        _check_layer(layer, body)
    _check_parts(body)
    _check_status(body)


def _count(value: object, name: str, most: int | None = None, least: int = 0) -> int:
    if type(value) is not int or value < least or (most is not None and value > most):
        bound = f"of at least {least}" if most is None else f"from {least} to {most}"
        _refuse(f"{name} is {value!r}; it should be a whole number {bound}")
    return value


def _list(value: object, name: str, length: int | None = None) -> list[Any]:
    if type(value) is not list or (length is not None and len(value) != length):
        told = "" if length is None else f" of {length}"
        _refuse(f"{name} is {value!r}; it should be a list{told}")
    return value


def _digest(value: object, name: str) -> None:
    if type(value) is not str or len(value) != _DIGITS or set(value) - _HEX:
        _refuse(f"{name} is {value!r}; it should be {_DIGITS} lower-case hex digits")


def _check_head(body: dict[str, Any]) -> None:
    n, faults = _count(body["replicas"], "replicas"), _count(body["faults"], "faults")
    if body["quorum"] != quorum_size(n, faults) or type(body["quorum"]) is not int:
        _refuse(
            f"quorum is {body['quorum']!r}; of {n} replicas of which {faults} may lie it is "
            f"{quorum_size(n, faults)}"
        )
    if body["fusion"] != _VOTE:
        check_rule(body["fusion"], n, faults)
    policy = Policy(body["policy"]["on_no_quorum"], body["policy"]["fallback_expert"])
    if policy.to_dict() != body["policy"]:
        _refuse(f"policy {body['policy']!r} is unknown")
    for replica, weights in enumerate(_list(body["weights"], "weights", n)):
        if weights is not None:
            _digest(weights, f"the weights' digest of replica {replica}")
    _digest(body["root"], "root")
    _digest(body["salt"], "salt")


def _check_parts(body: dict[str, Any]) -> None:
    """What the head and the gates tell of one another."""
    layers, policy = _list(body["layers"], "layers"), body["policy"]
    if not layers:
        _refuse("layers is empty; a batch passes at least one gate")
    most = max(layer["tokens"] for layer in layers)
    if _count(body["tokens"], "tokens", least=1) != most:
        _refuse(f"tokens is {body['tokens']}; the layers had up to {most}")
    for layer in layers:
        if (policy["fallback_expert"] or 0) >= layer["experts"]:
            _refuse(
                f"fallback_expert is {policy['fallback_expert']}; {layer['name']} has the experts "
                f"0 to {layer['experts'] - 1}"
            )
        for replica, weights in enumerate(body["weights"]):
            if weights is None and replica not in layer["absent"]:
                _refuse(f"replica {replica} has no weights, and yet was heard at {layer['name']}")
    decisions = sum(layer["tokens"] for layer in layers)
    small = decisions <= _count(body["inline"], "inline")
    if small != (body["leaves"] is not None):
        there = "has no leaves" if small else "has leaves"
        _refuse(f"the body {there}; a batch holds them up to {body['inline']} decisions")


def _check_layer(layer: dict[str, Any], body: dict[str, Any]) -> None:
    name, n = layer["name"], body["replicas"]
    if set(layer) != _LAYER_FIELDS or not isinstance(name, str):
        _refuse(f"a layer must have exactly the fields {sorted(_LAYER_FIELDS)}")
    tokens = _count(layer["tokens"], f"tokens of {name}")
    lacking = _count(layer["without_quorum"], f"without_quorum of {name}", tokens)
    experts = _count(layer["experts"], f"experts of {name}", least=1)
    _count(layer["top_k"], f"top_k of {name}", experts, 1)
    absent = _list(layer["absent"], f"absent at {name}")
    if absent != sorted({_count(each, f"absent at {name}", n - 1) for each in absent}):
        _refuse(f"absent at {name} is {absent!r}; it lists each replica once, ascending")
    figures = [_list(layer[key], f"{key} of {name}", n) for key in ("dissent", "dropped")]
    for replica, (dissent, dropped) in enumerate(zip(*figures, strict=True)):
        _count(dissent, f"dissent of replica {replica} at {name}", tokens - lacking)
        _count(dropped, f"dropped of replica {replica} at {name}", tokens)
        if replica in absent and (dissent or dropped):
            _refuse(f"replica {replica} is absent at {name}, and yet was heard there")
    _check_bounds(layer, body)


def _check_bounds(layer: dict[str, Any], body: dict[str, Any]) -> None:
    """Figures that no batch can have: each token with a quorum bears only so many others."""
    n, name, lacking = body["replicas"], layer["name"], layer["without_quorum"]
    served, absent = layer["tokens"] - lacking, len(layer["absent"])
    if absent > body["faults"] and served:
        _refuse(f"{served} tokens of {name} cannot have a quorum: {layer['absent']} were absent")
    # As many as there are tokens without a quorum may have been not finite on those; the
    # others of them were so on tokens that had one.
    void = [max(0, dropped - lacking) for dropped in layer["dropped"]]
    for replica, (dissent, broken) in enumerate(zip(layer["dissent"], void, strict=True)):
        if dissent + broken > served:
            _refuse(
                f"replica {replica} at {name} dissents on {dissent} tokens with a quorum and was "
                f"not finite on at least {broken}; there are {served}"
            )
    if sum(void) > (body["faults"] - absent) * served:
        _refuse(
            f"at {name} at least {sum(void)} rows of tokens with a quorum were not finite; "
            f"{served} of them bear {(body['faults'] - absent) * served}"
        )
    spare = (n - body["quorum"] - absent) * served
    if sum(layer["dissent"]) + sum(void) > spare:
        _refuse(
            f"at {name} {sum(layer['dissent'])} choices dissent and {sum(void)} rows are not "
            f"finite; a quorum bears {spare}"
        )


def _check_status(body: dict[str, Any]) -> None:
    status, layers = body["status"], body["layers"]
    lacking = [number for number, each in enumerate(layers) if each["without_quorum"]]
    if status not in {SERVED, REFUSED, FAILED}:
        _refuse(f"status is {status!r}; it is served, refused or failed")
    refused = body["policy"]["on_no_quorum"] == REFUSE and bool(lacking)
    if refused and lacking != [len(layers) - 1]:
        _refuse(f"{layers[lacking[0]]['name']} had tokens without a quorum, but the batch went on")
    if refused != (status == REFUSED):
        names = [layers[number]["name"] for number in lacking]
        _refuse(f"the status is {status!r}, but tokens of {names or 'no gate'} had no quorum")


# -- one token


def check_leaf(leaf: dict[str, Any], index: int, body: dict[str, Any]) -> None:
    """Check one token's leaf by itself.

    Raises:
        VerificationError: as by :func:`check_figures`, which has to have passed.
    """
    if set(leaf) != {"token", "layers"} or _count(leaf["token"], "token") != index:
        _refuse(f"leaf {index} is not of token {index}")
    passed = [number for number, layer in enumerate(body["layers"]) if layer["tokens"] > index]
    if [_count(seen["layer"], "layer") for seen in leaf["layers"]] != passed:
        _refuse(f"token {index} did not pass the layers that it should have")
    for seen in leaf["layers"]:
        if set(seen) != _SEEN_FIELDS:
            _refuse(f"token {index}: a layer's leaf has the fields {sorted(_SEEN_FIELDS)}")
        layer = body["layers"][seen["layer"]]
        _check_choice(seen["experts"], layer)
        _check_others(seen, index, layer, body["replicas"])
        again = seen_quorum(
            seen["others"], layer["absent"],
            n=body["replicas"], faults=body["faults"], quorum=body["quorum"],
        )  # fmt: skip
        if seen["quorum"] is not again:
            _refuse(f"token {index} at {layer['name']}: quorum is {seen['quorum']!r}, not {again}")


def _check_others(
    seen: dict[str, Any], index: int, layer: Mapping[str, Any], replicas: int
) -> None:
    for replica, other in seen["others"].items():
        told = replica.isdecimal() and str(int(replica)) == replica
        if not told or int(replica) >= replicas or int(replica) in layer["absent"]:
            _refuse(f"token {index}: replica {replica!r} was not heard at {layer['name']}")
        if other is not None:
            _check_choice(other, layer)
        if other == seen["experts"]:
            _refuse(f"token {index}: replica {replica} chose what was chosen")


def _check_choice(chosen: list[int], layer: Mapping[str, Any]) -> None:
    good = all(type(e) is int and 0 <= e < layer["experts"] for e in chosen)
    if not good or sorted(set(chosen)) != chosen or len(chosen) != layer["top_k"]:
        _refuse(f"{chosen!r} is no choice of {layer['top_k']} of {layer['experts']} experts")


def check_share(leaf: dict[str, Any], body: dict[str, Any]) -> None:
    """Check that the figures leave room for what one leaf tells.

    Each figure counts this token as its leaf has it, and each other token at most once.

    Raises:
        VerificationError: as by :func:`check_leaf`, which has to have passed.
    """
    for seen in leaf["layers"]:
        layer, mine = body["layers"][seen["layer"]], none_counted(body["replicas"])
        add_seen(seen, mine)
        pairs = [("without_quorum", layer["without_quorum"], mine["without_quorum"])]
        for key in ("dissent", "dropped"):
            for replica, both in enumerate(zip(layer[key], mine[key], strict=True)):
                pairs.append((f"{key} of replica {replica}", *both))
        for name, whole, part in pairs:
            if not 0 <= whole - part < layer["tokens"]:
                _refuse(
                    f"{name} at {layer['name']} is {whole}; that does not fit to token "
                    f"{leaf['token']}, which counts {part}"
                )


def none_counted(n: int) -> dict[str, Any]:
    """The figures of a gate before any token, for :func:`add_seen`."""
    return {"tokens": 0, "without_quorum": 0, "dissent": [0] * n, "dropped": [0] * n}


def add_seen(seen: Mapping[str, Any], found: dict[str, Any]) -> None:
    """Add what a leaf tells of one gate to that gate's figures."""
    found["tokens"] += 1
    found["without_quorum"] += not seen["quorum"]
    for replica, other in seen["others"].items():
        if other is None:
            found["dropped"][int(replica)] += 1
        elif seen["quorum"]:
            found["dissent"][int(replica)] += 1


def _refuse(message: str) -> NoReturn:
    raise VerificationError(message, rule="replay")
