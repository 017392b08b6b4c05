"""A sealed entry for each batch, and proofs of single tokens."""

import pytest

pytest.importorskip("torch", reason="needs quorate[torch]")

import torch

from quorate.core.errors import QuorateError, UsageError, VerificationError
from quorate.ledger import Ledger
from quorate.moe import TokensWithoutQuorum, harden, restore, verify_token
from quorate.moe.hardening import hardened_gates
from quorate.moe.sealed import describe, replay
from tests.moe.models import Toy, corrupt, states


@pytest.fixture
def ledger():
    with Ledger.open("memory:") as opened:
        yield opened


def test_one_entry_for_each_batch_of_the_model(ledger):
    model, plain = Toy(), Toy()
    found = harden(model, ledger=ledger)
    corrupt([model.layers[1].gate], [2], "sign-flipped")
    for count in (5, 1):
        assert torch.equal(model(states(count)), plain(states(count)))
    bodies = [receipt.payload for receipt in ledger.find(kind="gating")]
    assert [body["tokens"] for body in bodies] == [5, 1]
    first = bodies[0]
    assert [layer["name"] for layer in first["layers"]] == ["layers.0.gate", "layers.1.gate"]
    assert (first["replicas"], first["faults"], first["quorum"]) == (4, 1, 3)
    assert (first["fusion"], first["status"]) == ("median", "served")
    assert first["layers"][0]["dissent"] == [0, 0, 0, 0]
    assert first["layers"][1]["dissent"] == [0, 0, 5, 0]
    assert len(set(first["weights"])) == 1
    for body in bodies:
        replay("gating", body)
    assert found.last_batch.body == bodies[1]
    assert found.last_batch.receipt.seq == 1
    ledger.verify()
    assert "Replica 2: 5 dissenting" in describe(first)


def test_each_token_is_provable_alone(ledger):
    model = Toy()
    found = harden(model, ledger=ledger)
    corrupt([model.layers[0].gate], [1], "nan")
    chosen = []
    model.layers[0].gate.register_forward_hook(lambda _m, _a, out: chosen.extend(out[2].tolist()))
    model(states(7))
    batch = found.last_batch
    for token in range(7):
        leaf = verify_token(batch.prove(token), batch.receipt.payload)
        assert leaf["token"] == token
        assert leaf["layers"][0]["experts"] == sorted(chosen[token])
        assert leaf["layers"][0]["others"] == {"1": None}
        assert leaf["layers"][1]["others"] == {}
    for wrong in (7, -1, True, "0"):
        with pytest.raises(UsageError):
            batch.prove(wrong)


def test_a_large_batch_holds_the_root_alone(ledger):
    model = Toy()
    found = harden(model, ledger=ledger, inline_decisions=20)
    for count, inline in ((10, True), (11, False)):
        model(states(count))
        batch = found.last_batch
        assert (batch.body["leaves"] is not None) == inline
        replay("gating", batch.body)
        assert verify_token(batch.prove(9), batch.body)["token"] == 9


def test_a_refused_batch_is_sealed_too(ledger):
    model = Toy()
    harden(model, ledger=ledger)
    corrupt([model.layers[1].gate], [0, 1], "sign-flipped")
    with pytest.raises(TokensWithoutQuorum) as caught:
        model(states(3))
    assert caught.value.layers["layers.0.gate"]["without_quorum"] == 0
    assert caught.value.layers["layers.1.gate"]["without_quorum"] == 3
    (receipt,) = ledger.find(kind="gating")
    assert receipt.payload["status"] == "refused"
    assert [layer["without_quorum"] for layer in receipt.payload["layers"]] == [0, 3]
    replay("gating", receipt.payload)
    # The next batch begins afresh.
    corrupt(hardened_gates(model).values(), [], "nan")
    with pytest.raises(TokensWithoutQuorum):
        model(states(2))
    assert [r.payload["tokens"] for r in ledger.find(kind="gating")] == [3, 2]


@pytest.mark.parametrize("policy", [{"on_no_quorum": "fallback", "fallback_expert": 1},
                                    {"on_no_quorum": "shared-only"}])  # fmt: skip
def test_what_a_policy_let_through_is_told(ledger, policy):
    model = Toy(shared=True)
    found = harden(model, ledger=ledger, **policy)
    corrupt([model.layers[0].gate], [0, 1], "nan")
    model(states(4))
    body = found.last_batch.body
    assert body["status"] == "served"
    assert body["policy"]["on_no_quorum"] == policy["on_no_quorum"]
    assert body["layers"][0]["without_quorum"] == 4
    assert body["layers"][0]["dropped"] == [4, 4, 0, 0]
    assert not verify_token(found.last_batch.prove(2), body)["layers"][0]["quorum"]
    replay("gating", body)


def test_a_batch_that_fails_elsewhere_is_sealed_as_failed(ledger):
    model = Toy()
    harden(model, ledger=ledger)

    def broken(*_):
        raise RuntimeError("out of memory")

    handle = model.layers[1].register_forward_pre_hook(broken)
    with pytest.raises(RuntimeError):
        model(states(3))
    (receipt,) = ledger.find(kind="gating")
    assert receipt.payload["status"] == "failed"
    assert len(receipt.payload["layers"]) == 1
    replay("gating", receipt.payload)
    handle.remove()
    with pytest.raises(RuntimeError):
        # Before any gate was reached there is nothing to seal.
        model(torch.zeros(2, 3))
    assert len(ledger) == 1


def test_a_gate_called_by_itself_is_a_batch(ledger):
    model = Toy()
    harden(model, ledger=ledger)
    model.layers[1].gate(states(2))
    model.layers[0](states(2))
    named = [[layer["name"] for layer in r.payload["layers"]] for r in ledger.find(kind="gating")]
    assert named == [["layers.1.gate"], ["layers.0.gate"]]


def test_an_excluded_replica_is_absent_in_the_record(ledger):
    model = Toy()
    found = harden(model, ledger=ledger, scrub_every=1)
    corrupt([model.layers[1].gate], [3], "one bit")
    model(states(2))
    body = found.last_batch.body
    assert [layer["absent"] for layer in body["layers"]] == [[], [3]]
    replay("gating", body)
    assert "absent at 1 gates" in describe(body)


def test_nothing_is_returned_that_could_not_be_sealed():
    class Full:
        def append(self, kind, body):
            raise QuorateError("the disk is full")

    model = Toy()
    harden(model, ledger=Full())
    with pytest.raises(QuorateError, match="disk is full"):
        model(states())


def test_batches_are_handed_out_and_restoring_ends_it(ledger):
    model, seen = Toy(), []
    harden(model, ledger=ledger, on_sealed=seen.append)
    model(states(2))
    assert [batch.receipt.seq for batch in seen] == [0]
    restore(model)
    model(states(2))
    assert len(ledger) == 1


def test_the_ledger_replays_them(tmp_path, ledger):
    from importlib.metadata import entry_points

    if "gating" not in {each.name for each in entry_points(group="quorate.replay")}:
        pytest.fail('pyproject.toml lacks gating = "quorate.moe.sealed:replay"')
    model = Toy()
    harden(model, ledger=ledger)
    model(states(2))
    ledger.verify(replay=True)


def test_a_wrong_figure_that_was_signed_does_not_replay(ledger):
    model = Toy()
    found = harden(model, ledger=ledger)
    corrupt([model.layers[0].gate], [2], "sign-flipped")
    model(states(3))
    body = found.last_batch.body
    body["layers"][0]["dissent"] = [0, 0, 0, 0]
    with pytest.raises(VerificationError, match=r"dissent of layers\.0\.gate"):
        replay("gating", body)
