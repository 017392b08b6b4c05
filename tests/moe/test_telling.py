"""Who differed is told where it matters: in the error, the report, the entry, and by trace."""

import asyncio
from threading import Thread

import pytest

pytest.importorskip("torch", reason="needs quorate[torch]")

import torch
from torch import nn

from quorate.core.errors import UsageError, UsageTypeError, VerificationError
from quorate.core.identity import Ed25519Signer
from quorate.ledger import Ledger, Policy, Receipt
from quorate.moe import TokensWithoutQuorum, harden, report, scrub, traced, verify_token
from quorate.moe.counters import Counters
from quorate.moe.hardening import hardened_gates
from quorate.moe.splits import MOST_KINDS
from tests.moe.models import Toy, corrupt, states

SIGNER = Ed25519Signer(bytes(range(32)))
GATE = "layers.0.gate"


@pytest.fixture
def ledger():
    with Ledger.open("memory:", signer=SIGNER) as opened:
        yield opened


def _split_in_two(model):
    """Two of four choose as the model does, the two others alike and otherwise."""
    for replica, factor in ((1, -1), (2, -3)):
        for values in model.layers[0].gate.replica_tensors(replica).values():
            values.mul_(factor)


# -- tokens without a quorum


def test_a_refusal_tells_who_stood_against_whom_and_of_no_other_tokens():
    model = Toy()
    harden(model)
    _split_in_two(model)
    with pytest.raises(TokensWithoutQuorum) as caught:
        model(states())
    split = {"tokens": 12, "groups": [[0, 3], [1, 2]], "not_finite": [], "absent": []}
    assert caught.value.layers[GATE]["splits"] == [split]
    assert report(model)[GATE]["splits"] == [split]
    assert str(caught.value) == (
        "layers.0.gate: no 3 of 4 gates agree on the experts of 12 of 12 tokens; nothing was "
        "returned. Without a quorum: on 12 tokens replicas 0 and 3 against 1 and 2"
    )


def test_under_a_fallback_the_report_tells_it_too():
    model = Toy(layers=1)
    harden(model, on_no_quorum="fallback", fallback_expert=0)
    assert report(model)[GATE]["splits"] == []
    _split_in_two(model)
    model(states())
    model(states(5))
    assert [(s["tokens"], s["groups"]) for s in report(model)[GATE]["splits"]] == [
        (17, [[0, 3], [1, 2]])
    ]


def test_what_is_told_of_a_split_is_what_each_replica_chose():
    model = Toy(layers=1)
    harden(model, replicas=7, on_no_quorum="fallback", fallback_expert=0)
    gate = model.layers[0].gate
    for replica in range(4):
        gate.replica_tensors(replica)["bias"].add_(
            torch.randn(8, generator=torch.Generator().manual_seed(replica)) * 3
        )
    corrupt([gate], [5], "nan")
    corrupt([gate], [6], "one bit")
    scrub(model)  # all but 4 and 5, whose bits changed too
    gate.counters.excluded.clear()
    gate.counters.excluded[6] = "of the test"
    hidden = states(60)
    chosen = {}
    for replica in (0, 1, 2, 3, 4):
        own = gate.replica_tensors(replica)
        scores = nn.functional.linear(hidden, own["weight"], own["bias"]).softmax(dim=-1)
        chosen[replica] = scores.topk(2, dim=-1).indices.sort(dim=-1).values.tolist()
    gate(hidden)
    seen = report(model)[GATE]
    assert seen["refused"] == sum(split["tokens"] for split in seen["splits"]) > 30
    for split in seen["splits"]:
        assert (split["not_finite"], split["absent"]) == ([5], [6])
        alike = [
            token
            for token in range(60)
            if all(
                (chosen[a][token] == chosen[b][token])
                == any(a in group and b in group for group in split["groups"])
                for a in chosen
                for b in chosen
            )
        ]
        assert len(alike) >= split["tokens"]


def test_others_are_told_of_the_other_tokens_alone():
    model = Toy(layers=1)
    harden(model)
    gate = model.layers[0].gate
    gate.replica_tensors(0)["bias"][3] += 6.0
    gate.replica_tensors(1)["bias"][4] += 6.0
    with pytest.raises(TokensWithoutQuorum) as caught:
        model(states(200))
    counts = caught.value.layers[GATE]
    lacking, dissent = counts["without_quorum"], counts["dissent"]
    assert 0 < lacking < 200
    assert dissent[0]
    told = str(caught.value)
    assert (
        f". Of the other {200 - lacking} tokens: replica 0 chose otherwise on {dissent[0]}" in told
    )
    assert "replica 2 chose" not in told


def test_all_replicas_gone_choose_nothing():
    model = Toy(layers=1)
    harden(model)
    corrupt([model.layers[0].gate], range(4), "one bit")
    scrub(model)
    with pytest.raises(TokensWithoutQuorum, match="no replica chose, excluded: 0, 1, 2 and 3"):
        model(states())


def test_counters_keep_so_many_ways_and_no_more():
    class Counts:
        tokens = without_quorum = 1
        dissent = dropped = named = (0,) * 64

    counters = Counters(64)
    for way in [*range(MOST_KINDS + 5), 0]:
        Counts.splits = {(way,) * 64: 1}
        counters.add(Counts, [(0.0, 0)] * 64)
    assert len(counters.to_dict()["splits"]) == MOST_KINDS
    assert counters.to_dict()["splits"][0]["tokens"] == 2


def test_a_replica_put_right_again_stays_out_and_the_report_says_so():
    model = Toy(layers=1)
    harden(model)
    raw = model.layers[0].gate.replica_tensors(2)["weight"].view(torch.uint8)
    raw[0, 0] ^= 1
    assert scrub(model) == {GATE: [2]}
    raw[0, 0] ^= 1
    assert scrub(model) == {}
    assert report(model)[GATE]["excluded"] == {2: "its weight changed in memory"}


# -- in one line


def test_a_gate_and_a_batch_are_told_in_one_line(ledger):
    model = Toy(layers=1)
    found = harden(model, ledger=ledger, replicas=7, rule="krum")
    told = "replicas=7, faults=2, quorum=5, rule='krum', on_no_quorum='refuse'"
    assert repr(model.layers[0].gate) == f"BFTToyTopKRouter({told})"
    model(states(1))
    assert repr(found.last_batch) == (
        "GatingBatch(entry 0, served: 1 token through 1 gate, 0 decisions without a quorum)"
    )


def test_what_a_router_tells_of_itself_stays():
    model = Toy(layers=1)
    type(model.layers[0].gate).extra_repr = lambda _: "experts=8"
    try:
        harden(model)
        assert repr(model.layers[0].gate).startswith("BFTToyTopKRouter(experts=8, replicas=4")
    finally:
        del type(Toy(layers=1).layers[0].gate).extra_repr


def test_a_router_that_multiplies_by_hand_is_told_what_to_write():
    class HandRouter(nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = nn.Parameter(torch.randn(4, 8))

        def forward(self, x):
            weights, indices = (x @ self.weight.t()).softmax(dim=-1).topk(2)
            return x @ self.weight.t(), weights, indices

    with pytest.raises(UsageError, match=r"write functional\.linear\(x, weight\) or use") as caught:
        harden(nn.Sequential(HandRouter()))
    assert "returns (logits, scores, chosen experts)" in str(caught.value)


# -- traces and threads


def test_a_batch_is_sealed_under_the_trace_it_ran_in(ledger):
    model = Toy(layers=1)
    harden(model, ledger=ledger)
    model(states(1))
    with traced("request-1", parent="session-9"):
        model(states(1))
        with traced("request-2"):
            model(states(1))
        model(states(1))
    model(states(1))
    found = [(entry.trace_id, entry.parent) for entry in ledger.find(kind="gating")]
    inner, outer = ("request-2", None), ("request-1", "session-9")
    assert found == [(None, None), outer, inner, outer, (None, None)]


def test_a_refused_batch_bears_its_trace_too(ledger):
    model = Toy(layers=1)
    harden(model, ledger=ledger)
    _split_in_two(model)
    with traced("request-1"), pytest.raises(TokensWithoutQuorum):
        model(states())
    (entry,) = ledger.find(kind="gating")
    assert (entry.trace_id, entry.payload["status"]) == ("request-1", "refused")


@pytest.mark.parametrize("wrong", [None, "", "x" * 10_000, 7])
def test_what_is_no_trace_id_is_refused_at_once(wrong):
    with pytest.raises(UsageError), traced(wrong):
        pytest.fail("it was taken")


def test_threads_neither_mix_batches_nor_traces_nor_counts(ledger):
    model, plain, rounds, each = Toy(), Toy(), 20, 4
    sealed, wrong = [], []
    harden(model, ledger=ledger, on_sealed=sealed.append)
    corrupt(hardened_gates(model).values(), [2], "sign-flipped")

    def serve(number):
        hidden = states(number + 1, seed=number)
        want = plain(hidden)
        for turn in range(rounds):
            with traced(f"{number}-{turn}"):
                if not torch.equal(model(hidden), want):
                    wrong.append((number, turn))

    threads = [Thread(target=serve, args=(number,)) for number in range(each)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
    tokens = {entry.trace_id: entry.payload["tokens"] for entry in ledger.find(kind="gating")}
    assert tokens == {f"{n}-{turn}": n + 1 for n in range(each) for turn in range(rounds)}
    assert {batch.receipt.trace_id for batch in sealed} == tokens.keys()
    ledger.verify(replay=True)
    seen = report(model)[GATE]
    assert (seen["batches"], seen["tokens"]) == (rounds * each, sum(tokens.values()))
    assert seen["named"] == [0, 0, sum(tokens.values()), 0]


def test_a_trace_goes_along_with_a_task_into_its_thread(ledger):
    model = Toy(layers=1)
    harden(model, ledger=ledger)

    async def answer(name):
        with traced(name):
            await asyncio.to_thread(model, states(1))

    async def both():
        await asyncio.gather(answer("a"), answer("b"))

    asyncio.run(both())
    assert {entry.trace_id for entry in ledger.find(kind="gating")} == {"a", "b"}


# -- the auditor


def test_proof_and_receipt_are_checked_together(ledger):
    model = Toy(layers=1)
    found = harden(model, ledger=ledger)
    model(states(3))
    batch, other = found.last_batch, ledger.append("note", found.last_batch.body)
    proof, receipt = batch.prove(2), Receipt.from_dict(batch.receipt.to_dict())
    for trust in (SIGNER.verifier, Policy.of([SIGNER.verifier])):
        assert verify_token(proof, receipt, trust) == batch.leaves[2]
    with pytest.raises(VerificationError) as caught:
        verify_token(proof, receipt, Ed25519Signer(bytes(32)).verifier)
    assert caught.value.rule != "inclusion"
    with pytest.raises(VerificationError, match="of the kind 'note'"):
        verify_token(proof, other, SIGNER.verifier)
    with pytest.raises(UsageTypeError, match=r"give the key as well.*\.payload"):
        verify_token(proof, receipt)
    with pytest.raises(UsageTypeError, match=r"trust is 'gating\.pub' \(str\)"):
        verify_token(proof, receipt, "gating.pub")
    with pytest.raises(UsageTypeError, match="has no signature; give the receipt"):
        verify_token(proof, receipt.payload, SIGNER.verifier)


def test_the_number_of_a_token_is_that_of_its_row(ledger):
    model = Toy(layers=1)
    found = harden(model, ledger=ledger)
    sequences, length = 3, 5
    hidden = states(sequences * length).reshape(sequences, length, 16)
    chosen = model.layers[0].gate(hidden.reshape(-1, 16))[2].reshape(sequences, length, 2)
    for sequence, position in ((0, 4), (1, 0), (2, 3)):
        proof = found.last_batch.prove(sequence * length + position)
        leaf = verify_token(proof, found.last_batch.receipt, SIGNER.verifier)
        assert leaf["layers"][0]["experts"] == sorted(chosen[sequence, position].tolist())
