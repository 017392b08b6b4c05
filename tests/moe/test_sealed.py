"""The record of a batch: proofs against a twin of the tree, and every figure held to its tokens.

Needs no PyTorch: an auditor has none.
"""

import copy
import hashlib
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quorate.core.canonical import canonical
from quorate.core.errors import UsageError, VerificationError
from quorate.moe.inclusion import (
    audit_path,
    leaf_hashes,
    prove_token,
    root_from_path,
    root_of,
    token_salt,
    verify_token,
)
from quorate.moe.policy import Policy
from quorate.moe.sealed import body_of, describe, replay, seen_quorum
from quorate.moe.splits import in_words, listed

SALT = bytes(range(32))

# -- the tree


def _twin_root(hashes):
    """RFC 6962 section 2.1 as it is written."""
    if not hashes:
        return hashlib.sha256(b"").digest()
    if len(hashes) == 1:
        return hashes[0]
    k = 1
    while k * 2 < len(hashes):
        k *= 2
    return hashlib.sha256(b"\x01" + _twin_root(hashes[:k]) + _twin_root(hashes[k:])).digest()


@given(st.integers(1, 70))
def test_every_leaf_of_every_size_is_proven_and_no_other_place(size):
    hashes = [hashlib.sha256(bytes([i])).digest() for i in range(size)]
    root = _twin_root(hashes)
    assert root_of(hashes) == root
    for index in range(size):
        path = audit_path(hashes, index)
        assert root_from_path(hashes[index], index, size, path) == root
        for other in {0, index - 1, index + 1, size - 1} - {index}:
            if 0 <= other < size:
                assert root_from_path(hashes[index], other, size, path) != root
        if path:
            assert root_from_path(hashes[index], index, size, path[:-1]) is None
            assert root_from_path(hashes[index], index, size, [*path, path[0]]) is None


def test_there_is_no_path_to_no_leaf():
    for index in (-1, 3):
        with pytest.raises(UsageError):
            audit_path([bytes(32)] * 3, index)


def test_a_leaf_is_salted_by_its_index():
    import hmac

    leaf = {"token": 4}
    salt = hmac.new(SALT, (4).to_bytes(8, "big"), "sha256").digest()
    assert token_salt(SALT, 4) == salt
    expected = hashlib.sha256(b"\x00" + salt + canonical(leaf)).digest()
    assert leaf_hashes(SALT, [{}] * 4 + [leaf])[4] == expected


# -- a batch


def _seen(layer, experts, others=None, *, quorum=True):
    return {"layer": layer, "experts": experts, "quorum": quorum, "others": others or {}}


def _body(*, policy="fallback", status="served", inline=1024):
    """Four tokens through two gates; at the second, replica 3 is absent."""
    leaves = [
        {"token": 0, "layers": [_seen(0, [0, 1]), _seen(1, [2, 3])]},
        {"token": 1, "layers": [_seen(0, [0, 2], {"1": [0, 3]}), _seen(1, [0, 1])]},
        {"token": 2, "layers": [
            _seen(0, [1, 3], {"0": None, "2": [0, 1]}, quorum=False),
            _seen(1, [1, 2]),
        ]},
        {"token": 3, "layers": [
            _seen(0, [2, 3], {"0": None}),
            _seen(1, [0, 3], {"0": [1, 2]}, quorum=False),
        ]},
    ]  # fmt: skip
    about = {"experts": 4, "top_k": 2, "tokens": 4}
    layers = [
        {"name": "a", **about, "without_quorum": 1, "dissent": [0, 1, 0, 0],
         "dropped": [2, 0, 0, 0], "absent": []},
        {"name": "b", **about, "without_quorum": 1, "dissent": [0, 0, 0, 0],
         "dropped": [0, 0, 0, 0], "absent": [3]},
    ]  # fmt: skip
    if policy == "refuse":
        leaves = [{**leaf, "layers": leaf["layers"][:1]} for leaf in leaves]
        layers = layers[:1]
    head = {
        "fusion": "median", "replicas": 4, "faults": 1, "quorum": 3,
        "policy": Policy(policy, 2 if policy == "fallback" else None).to_dict(),
        "weights": ["ab" * 32, "ab" * 32, "cd" * 32, "ab" * 32],
    }  # fmt: skip
    return body_of(head, layers, leaves, salt=SALT, status=status, inline=inline), leaves


def test_a_true_record_replays():
    for body in (_body()[0], _body(inline=7)[0], _body(policy="refuse", status="refused")[0]):
        assert replay("gating", body) is None
    assert _body(inline=7)[0]["leaves"] is None
    assert _body(inline=8)[0]["leaves"] is not None


@pytest.mark.parametrize(
    ("others", "absent", "quorum"),
    [
        ({}, [], True),
        ({"0": [1], "1": [2]}, [], True),
        ({"0": [1], "1": [2], "2": [1]}, [], False),
        ({"0": None, "1": [2]}, [], True),
        # Four of six agree, but more than one is not finite or absent.
        ({"0": None, "1": None}, [], False),
        ({"0": None}, [5], False),
        ({}, [4, 5], False),
        ({"0": [1]}, [5], True),
    ],
)
def test_a_quorum_bears_no_more_broken_than_may_be_faulty(others, absent, quorum):
    assert seen_quorum(others, absent, n=6, faults=1, quorum=4) is quorum


def test_it_is_told_in_words():
    told = describe(_body()[0])
    assert "A batch of 4 tokens through 2 gates, served" in told
    assert "3 of 4 replicas had to choose the same experts for a token" in told
    assert (
        "1 of 4 tokens had no quorum at a (on 1 token replicas 1 and 3 against 2, not finite: 0). "
        "1 of 4 tokens had no quorum at b (on 1 token replicas 1 and 2 against 0, excluded: 3). "
        "The policy for such tokens: fallback."
    ) in told
    assert "Replica 0 sent what is not finite on 2 tokens at a." in told
    assert "Replica 1 chose otherwise than the quorum on 1 token at a." in told
    assert "Replica 3 was excluded at b." in told
    assert "Replica 2" not in told


def test_without_leaves_it_says_where_the_choices_are():
    told = describe(_body(inline=0)[0])
    assert "1 of 4 tokens had no quorum at a. 1 of 4" in told
    assert "only in the batch's leaves" in told


def test_a_batch_that_went_well_says_so_in_the_singular():
    leaves = [{"token": 0, "layers": [_seen(0, [0, 1])]}]
    layer = {
        "name": "a", "experts": 4, "top_k": 2, "tokens": 1, "without_quorum": 0,
        "dissent": [0], "dropped": [0], "absent": [],
    }  # fmt: skip
    head = {
        "fusion": "median", "replicas": 1, "faults": 0, "quorum": 1,
        "policy": Policy("refuse").to_dict(), "weights": ["ab" * 32],
    }  # fmt: skip
    body = body_of(head, [layer], leaves, salt=SALT, status="served", inline=9)
    replay("gating", body)
    assert describe(body).startswith("A batch of 1 token through 1 gate, served: 1 of 1 replica ")
    assert describe(body).endswith("Every token had a quorum.")


def test_the_ways_of_splitting_are_told_the_commonest_first():
    found = listed({(0, 1, 0, -1): 2, (0, 0, 2, -2): 5, (0, 1, 2, 2): 1, (-1,) * 4: 1})
    assert found[0] == {"tokens": 5, "groups": [[0, 1], [2]], "not_finite": [], "absent": [3]}
    assert in_words(found) == (
        "on 5 tokens replicas 0 and 1 against 2, excluded: 3; "
        "on 2 tokens replicas 0 and 2 against 1, not finite: 3; "
        "on 1 token no replica chose, not finite: 0, 1, 2 and 3; on 1 token otherwise"
    )


def _set(*path):
    *way, last = path[:-1]

    def change(body):
        place = body
        for step in way:
            place = place[step]
        place[last] = path[-1]

    return change


def _drop(name):
    return lambda body: body.pop(name)


FALSE = {
    "kind of rule": _set("rule", "bft-gating/2"),
    "field missing": _drop("weights"),
    "field more": _set("more", 1),
    "quorum too small": _set("quorum", 2),
    "quorum not whole": _set("quorum", 3.0),
    "faults too many": _set("faults", 2),
    "faults none": _set("faults", None),
    "replicas": _set("replicas", 7),
    "policy unknown": _set("policy", {"on_no_quorum": "ignore", "fallback_expert": None}),
    "policy without expert": _set("policy", {"on_no_quorum": "fallback", "fallback_expert": None}),
    "policy with more": _set("policy", "more", 1),
    "fusion": _set("fusion", 3),
    "weights of three": _set("weights", [None] * 3),
    "weights no digest": _set("weights", 0, "xy" * 32),
    "weights a number": _set("weights", 0, 12),
    "tokens more": _set("tokens", 5),
    "tokens text": _set("tokens", "4"),
    "layer tokens": _set("layers", 0, "tokens", 3),
    "layer tokens true": _set("layers", 0, "tokens", True),
    "layer without": _set("layers", 0, "without_quorum", 0),
    "layer without more": _set("layers", 1, "without_quorum", 2),
    "layer without too many": _set("layers", 1, "without_quorum", 5),
    "dissent hidden": _set("layers", 0, "dissent", [0, 0, 0, 0]),
    "dissent of another": _set("layers", 0, "dissent", [0, 0, 1, 0]),
    "dissent true": _set("layers", 0, "dissent", 1, True),
    "dissent short": _set("layers", 0, "dissent", [0, 1, 0]),
    "dropped hidden": _set("layers", 0, "dropped", [1, 0, 0, 0]),
    "dropped negative": _set("layers", 0, "dropped", [-2, 0, 0, 0]),
    "absent hidden": _set("layers", 1, "absent", []),
    "absent more": _set("layers", 0, "absent", [3]),
    "absent unknown": _set("layers", 1, "absent", [4]),
    "absent twice": _set("layers", 1, "absent", [3, 3]),
    "experts fewer": _set("layers", 0, "experts", 3),
    "top_k more": _set("layers", 0, "top_k", 3),
    "layer name": _set("layers", 0, "name", 7),
    "layer field": _set("layers", 0, "more", 7),
    "layers none": _set("layers", None),
    "status refused": _set("status", "refused"),
    "status unknown": _set("status", "fine"),
    "root": _set("root", "00" * 32),
    "root short": _set("root", "00"),
    "salt": _set("salt", "00" * 32),
    "leaves fewer": lambda body: body["leaves"].pop(),
    "leaves swapped": lambda body: body["leaves"].reverse(),
    "leaf experts": _set("leaves", 0, "layers", 0, "experts", [0, 3]),
    "leaves text": _set("leaves", "none"),
}


@pytest.mark.parametrize("change", FALSE.values(), ids=FALSE)
def test_a_false_record_does_not_replay(change):
    body = copy.deepcopy(_body()[0])
    change(body)
    with pytest.raises(VerificationError) as caught:
        replay("gating", body)
    assert caught.value.rule == "replay"


def _leaf_set(token, layer, name, value):
    return lambda leaves: leaves[token]["layers"][layer].__setitem__(name, value)


FALSE_LEAVES = {
    "quorum claimed": _leaf_set(2, 0, "quorum", True),
    "quorum denied": _leaf_set(0, 0, "quorum", False),
    "quorum a number": _leaf_set(0, 0, "quorum", 1),
    "dissenter agrees": _leaf_set(1, 0, "others", {"1": [0, 2]}),
    "dissenter unknown": _leaf_set(1, 0, "others", {"4": [0, 3]}),
    "dissenter misspelt": _leaf_set(1, 0, "others", {"01": [0, 3]}),
    "dissenter absent": _leaf_set(0, 1, "others", {"3": [0, 3]}),
    "dissent out of range": _leaf_set(1, 0, "others", {"1": [0, 4]}),
    "experts out of range": _leaf_set(0, 0, "experts", [0, 4]),
    "experts twice": _leaf_set(0, 0, "experts", [1, 1]),
    "experts unordered": _leaf_set(0, 0, "experts", [1, 0]),
    "experts one": _leaf_set(0, 0, "experts", [1]),
    "experts true": _leaf_set(0, 0, "experts", [0, True]),
    "layer skipped": lambda leaves: leaves[0]["layers"].pop(),
    "layer field": _leaf_set(0, 0, "more", 1),
    "token number": lambda leaves: leaves[0].__setitem__("token", 1),
}


@pytest.mark.parametrize("change", FALSE_LEAVES.values(), ids=FALSE_LEAVES)
def test_leaves_that_cannot_be_do_not_replay_though_the_root_is_theirs(change):
    body = copy.deepcopy(_body()[0])
    change(body["leaves"])
    body["root"] = root_of(leaf_hashes(SALT, body["leaves"])).hex()
    with pytest.raises(VerificationError) as caught:
        replay("gating", body)
    assert caught.value.rule == "replay"


NO_LEAVES = {
    "more dissent than a quorum bears": _set("layers", 0, "dissent", [2, 2, 0, 0]),
    "dissent of an absent one": _set("layers", 1, "dissent", [0, 0, 0, 1]),
    "two absent, and yet a quorum": _set("layers", 0, "absent", [1, 2]),
}


@pytest.mark.parametrize("change", NO_LEAVES.values(), ids=NO_LEAVES)
def test_figures_that_no_batch_has_do_not_replay_without_leaves(change):
    body = _body(inline=0)[0]
    assert replay("gating", body) is None
    change(body)
    with pytest.raises(VerificationError):
        replay("gating", body)


def test_a_batch_that_refused_did_not_go_on_and_was_not_served():
    body = _body(policy="refuse", status="served")[0]
    with pytest.raises(VerificationError, match="status is 'served'"):
        replay("gating", body)
    body = _body()[0]
    body["policy"] = Policy("refuse").to_dict()
    body["status"] = "refused"
    body["layers"][1].update(without_quorum=0)
    with pytest.raises(VerificationError, match="went on"):
        replay("gating", body)


def test_another_kind_or_no_body_is_refused():
    for kind, body in (("routing", _body()[0]), ("gating", None), ("gating", [])):
        with pytest.raises(VerificationError):
            replay(kind, body)
    with pytest.raises(UsageError, match="32"):
        body_of({}, [], [], salt=b"short", status="served", inline=0)


# -- proofs of single tokens


def test_a_proof_holds_and_tells_the_token():
    body, leaves = _body(inline=0)
    for token in range(4):
        assert verify_token(prove_token(SALT, leaves, token), body) == leaves[token]
    with pytest.raises(UsageError, match="no token 4"):
        prove_token(SALT, leaves, 4)


FALSE_PROOFS = {
    "leaf": lambda p: p["leaf"]["layers"][0].__setitem__("experts", [0, 3]),
    "leaf of another token": lambda p: p["leaf"].__setitem__("token", 2),
    "leaf none": lambda p: p.__setitem__("leaf", None),
    "index": lambda p: p.__setitem__("index", 2),
    "index true": lambda p: p.__setitem__("index", True),
    "index beyond": lambda p: p.__setitem__("index", 4),
    "size": lambda p: p.__setitem__("size", 5),
    "salt": lambda p: p.__setitem__("salt", "00" * 32),
    "salt upper case": lambda p: p.__setitem__("salt", p["salt"].upper()),
    "path cut": lambda p: p["path"].pop(),
    "path longer": lambda p: p["path"].append("00" * 32),
    "path changed": lambda p: p["path"].__setitem__(0, "00" * 32),
    "path no hash": lambda p: p["path"].__setitem__(0, 7),
    "path none": lambda p: p.__setitem__("path", None),
    "form": lambda p: p.__setitem__("proof", "other/1"),
    "field more": lambda p: p.__setitem__("more", 1),
}


@pytest.mark.parametrize("change", FALSE_PROOFS.values(), ids=FALSE_PROOFS)
def test_a_false_proof_is_refused(change):
    body, leaves = _body(inline=0)
    proof = copy.deepcopy(prove_token(SALT, leaves, 1))
    change(proof)
    with pytest.raises(VerificationError) as caught:
        verify_token(proof, body)
    assert caught.value.rule == "inclusion"


def test_a_proof_of_another_batch_is_refused():
    body, leaves = _body()
    proof = prove_token(SALT, leaves, 1)
    for other in ({**body, "root": "00" * 32}, {}, None):
        with pytest.raises(VerificationError):
            verify_token(proof, other)


# -- what needs PyTorch, and what does not

WITHOUT = """
import sys
sys.modules["torch"] = None
import importlib.util
found = importlib.util.find_spec
importlib.util.find_spec = lambda name, *a: None if name == "torch" else found(name, *a)
import quorate.moe
from quorate.moe import verify_token, TokensWithoutQuorum
from quorate.moe.sealed import replay
from quorate.core.errors import OperationalError
for name in ("harden", "restore", "report", "BFTGate", "save_replicas"):
    try:
        getattr(quorate.moe, name)
    except OperationalError as error:
        assert str(error).endswith('pip install "quorate[torch]"'), error
    else:
        raise AssertionError(name)
for line in ("from quorate.moe import kernels", "from quorate.moe.kernels import softmax_gate"):
    try:
        exec(line)
    except OperationalError as error:
        assert "quorate.moe.kernels works on PyTorch" in str(error), error
    else:
        raise AssertionError(line)
assert "harden" in dir(quorate.moe)
try:
    quorate.moe.nothing
except AttributeError:
    print("as it should")
"""


def test_auditing_needs_no_pytorch_and_hardening_says_how_to_get_it():
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT], capture_output=True, text=True, check=False
    )
    assert done.stdout == "as it should\n", done.stderr
