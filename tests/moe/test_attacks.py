"""Forged records of batches, by one who holds the key and so can sign anything.

Needs no PyTorch: an auditor has none.
"""

import copy

import pytest

from quorate.core.errors import VerificationError
from quorate.moe.inclusion import leaf_hashes, prove_token, root_of, verify_token
from quorate.moe.policy import Policy
from quorate.moe.sealed import body_of, replay

SALT = bytes(range(32))
TOKENS = 12
EMPTY = root_of([]).hex()


def _seen(layer, others=None, *, quorum=True):
    return {"layer": layer, "experts": [0, 1], "quorum": quorum, "others": others or {}}


def _batch(*, inline=0, policy="fallback"):
    """Twelve tokens through two gates of eight experts; replica 2 dissents on two at the first."""
    leaves = [
        {"token": t, "layers": [_seen(0, {"2": [3, 4]} if t in {3, 7} else {}), _seen(1)]}
        for t in range(TOKENS)
    ]
    about = {"experts": 8, "top_k": 2, "tokens": TOKENS, "without_quorum": 0, "absent": []}
    layers = [
        {"name": "a", **about, "dissent": [0, 0, 2, 0], "dropped": [0] * 4},
        {"name": "b", **about, "dissent": [0] * 4, "dropped": [0] * 4},
    ]
    head = {
        "fusion": "median", "replicas": 4, "faults": 1, "quorum": 3,
        "policy": Policy(policy, 2 if policy == "fallback" else None).to_dict(),
        "weights": ["ab" * 32] * 4,
    }  # fmt: skip
    return body_of(head, layers, leaves, salt=SALT, status="served", inline=inline), leaves


def test_what_the_forgeries_start_from_holds():
    for inline in (0, 24):
        body, leaves = _batch(inline=inline)
        replay("gating", body)
        assert (body["leaves"] is None) == (inline == 0)
        assert verify_token(prove_token(SALT, leaves, 7), body) == leaves[7]


# -- leaves of large batches that nobody sees but with a proof


LIES = {
    "nobody was finite, and yet a quorum": lambda leaf: leaf["layers"][0].update(
        others={str(i): None for i in range(4)}
    ),
    "an expert that is none": lambda leaf: leaf["layers"][0].update(experts=[0, 999]),
    "a quorum denied": lambda leaf: leaf["layers"][1].update(quorum=False),
    "no layers": lambda leaf: leaf.pop("layers"),
    "layers a number": lambda leaf: leaf.update(layers=3),
    "one layer": lambda leaf: leaf["layers"].pop(),
    "others a list": lambda leaf: leaf["layers"][0].update(others=[]),
    "more": lambda leaf: leaf.update(more=1),
    "a dissenter whom the figures do not know": lambda leaf: leaf["layers"][1].update(
        others={"0": [2, 3]}
    ),
    "a row not finite that the figures do not know": lambda leaf: leaf["layers"][1].update(
        others={"0": None}
    ),
    "no quorum that the figures do not know": lambda leaf: leaf["layers"][1].update(
        others={"0": [2, 3], "1": [4, 5]}, quorum=False
    ),
}


@pytest.mark.parametrize("lie", LIES.values(), ids=LIES)
def test_a_leaf_that_cannot_be_is_refused_though_it_stands_in_the_tree(lie):
    body, leaves = _batch()
    leaves = copy.deepcopy(leaves)
    lie(leaves[7])
    body["root"] = root_of(leaf_hashes(SALT, leaves)).hex()
    replay("gating", body)
    with pytest.raises(VerificationError) as caught:
        verify_token(prove_token(SALT, leaves, 7), body)
    assert caught.value.rule == "inclusion"


def test_a_token_that_is_false_as_a_number_is_refused():
    body, leaves = _batch()
    leaves = copy.deepcopy(leaves)
    leaves[1]["token"] = True
    body["root"] = root_of(leaf_hashes(SALT, leaves)).hex()
    with pytest.raises(VerificationError, match="token is True"):
        verify_token(prove_token(SALT, leaves, 1), body)


def test_a_proof_is_refused_against_a_body_that_does_not_follow_the_rules():
    body, leaves = _batch()
    proof = prove_token(SALT, leaves, 7)
    for change in ({"quorum": 1}, {"layers": []}, {"faults": 2}, {"weights": 3}):
        with pytest.raises(VerificationError) as caught:
            verify_token(proof, {**body, **change})
        assert caught.value.rule == "inclusion"


def _nested(depth):
    value = []
    for _ in range(depth):
        value = [value]
    return value


@pytest.mark.parametrize(
    "value",
    [float("nan"), b"x", 10**5000, 2**60, _nested(5000), {1: 2}],
    ids=["nan", "bytes", "huge", "big", "deep", "keys"],
)
def test_a_malformed_proof_is_no_usage_error(value):
    body, leaves = _batch()
    for change in (
        {"leaf": {"token": 7, "x": value}},
        {"leaf": value},
        {"index": value},
        {"size": value},
        {"salt": value},
        {"path": [value]},
        {"proof": value},
    ):
        with pytest.raises(VerificationError) as caught:
            verify_token({**prove_token(SALT, leaves, 7), **change}, body)
        assert caught.value.rule == "inclusion"


def test_a_proof_and_what_it_proves_share_nothing_with_the_batch():
    body, leaves = _batch(inline=24)
    proof = prove_token(SALT, leaves, 7)
    proof["leaf"]["layers"][0]["experts"].append(5)
    leaves[3]["layers"][0]["others"].clear()
    replay("gating", body)
    proof = prove_token(SALT, body["leaves"], 7)
    verify_token(proof, body)["layers"][0]["experts"].append(5)
    verify_token(proof, body)


# -- figures that no batch has


def _figures(number, **figures):
    return lambda body: body["layers"][number].update(figures)


FIGURES = {
    "nobody was ever finite, and yet all were served": _figures(0, dropped=[TOKENS] * 4),
    "dissents and is not finite on the same tokens": _figures(
        0, dissent=[TOKENS, 0, 0, 0], dropped=[TOKENS, 0, 0, 0]
    ),
    "two not finite on tokens that bear one": _figures(0, dissent=[0] * 4, dropped=[7, 7, 0, 0]),
    "more not finite than lack a quorum and may be": _figures(
        0, without_quorum=2, dissent=[0] * 4, dropped=[8, 8, 2, 2]
    ),
    "dissent and rows not finite that no quorum bears": _figures(
        0, dissent=[0, 0, 2, 0], dropped=[TOKENS - 1, 0, 0, 0]
    ),
    "one absent and one not finite": _figures(0, absent=[3], dissent=[0] * 4, dropped=[1, 0, 0, 0]),
}


@pytest.mark.parametrize("change", FIGURES.values(), ids=FIGURES)
def test_figures_that_no_batch_has(change):
    body = _batch()[0]
    change(body)
    with pytest.raises(VerificationError) as caught:
        replay("gating", body)
    assert caught.value.rule == "replay"


def test_figures_at_the_very_bound_are_those_of_a_batch():
    for figures in (
        {"dissent": [0, 0, 2, 0], "dropped": [TOKENS - 2, 0, 0, 0]},
        {"dissent": [0, 0, 0, 6], "dropped": [6, 0, 0, 0]},
        {"dissent": [0, 0, 0, 0], "dropped": [4, 4, 2, 2]},
        {"without_quorum": 2, "dissent": [0] * 4, "dropped": [TOKENS, 2, 2, 0]},
        {"without_quorum": 2, "dissent": [10, 0, 0, 0], "dropped": [2, 2, 2, 2]},
    ):
        body = _batch()[0]
        body["layers"][0].update(figures)
        replay("gating", body)


# -- heads that contradict the rules


def _head(**fields):
    return lambda body: body.update(fields)


def _no_leaves(body):
    body["leaves"] = None


HEADS = {
    "a rule that is none": _head(fusion="banana"),
    "a rule that needs more replicas": _head(fusion="krum"),
    "a rule that is no text": _head(fusion=["median"]),
    "no weights of anybody": _head(weights=[None] * 4),
    "no weights of one who was heard": _head(weights=["ab" * 32] * 3 + [None]),
    "weights as keys": _head(weights={f"{i:064x}": 1 for i in range(4)}),
    "a root of letters": lambda body: body.update(root=list(body["root"])),
    "a salt of letters": lambda body: body.update(salt=list(body["salt"])),
    "an expert to fall back on that is none": _head(
        policy={"on_no_quorum": "fallback", "fallback_expert": 8}
    ),
    "leaves taken away": _no_leaves,
    "another limit": _head(inline=23),
    "a limit below none": _head(inline=-1),
    "no gates": _head(layers=[], tokens=0, leaves=None, inline=-1, root=EMPTY),
    "no gates and no tokens": _head(layers=[], tokens=0, leaves=[], root=EMPTY),
    "gates by key": lambda body: body.update(layers=dict(enumerate(body["layers"]))),
    "no status": _head(status=["served"]),
}


@pytest.mark.parametrize("change", HEADS.values(), ids=HEADS)
def test_heads_that_contradict_the_rules(change):
    body = _batch(inline=24)[0]
    change(body)
    with pytest.raises(VerificationError) as caught:
        replay("gating", body)
    assert caught.value.rule == "replay"


@pytest.mark.parametrize("name", ["root", "salt"])
def test_a_hash_is_text_also_where_no_leaves_show_it(name):
    body = _batch()[0]
    body[name] = list(body[name])
    with pytest.raises(VerificationError, match=f"{name} is"):
        replay("gating", body)


def test_a_batch_of_no_tokens_is_none():
    body = _batch(inline=24)[0]
    for layer in body["layers"]:
        layer.update(tokens=0, dissent=[0] * 4)
    body.update(tokens=0, leaves=[], root=EMPTY)
    with pytest.raises(VerificationError, match="tokens is 0"):
        replay("gating", body)


@pytest.mark.parametrize("rule", ["vote", "trimmed_mean", "nnm+median", "mean"])
def test_the_rules_there_are_replay(rule):
    body = _batch()[0]
    body["fusion"] = rule
    replay("gating", body)


def test_a_gate_that_lacked_a_quorum_and_was_passed_again_did_not_refuse():
    body = _batch(policy="refuse")[0]
    for layer in body["layers"]:
        layer["name"] = "shared"
    body["layers"][0].update(without_quorum=1, dissent=[0] * 4)
    body["status"] = "refused"
    with pytest.raises(VerificationError, match="went on"):
        replay("gating", body)
