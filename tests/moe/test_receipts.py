"""A sealed entry for each batch, and proofs of single tokens."""

import inspect

import pytest

pytest.importorskip("torch", reason="needs quorate[torch]")

import torch

from quorate.core.errors import QuorateError, UsageError, VerificationError
from quorate.core.identity import Ed25519Signer
from quorate.ledger import Ledger
from quorate.moe import TokensWithoutQuorum, harden, restore, verify_token
from quorate.moe.hardening import hardened_gates
from quorate.moe.sealed import describe, replay
from tests.moe.models import Toy, ToyTopKRouter, corrupt, states


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
    assert "Replica 2 chose otherwise than the quorum on 5 tokens at layers.1.gate" in describe(
        first
    )


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
    assert "Replica 3 was excluded at layers.1.gate" in describe(body)


def test_nothing_is_returned_that_could_not_be_sealed(ledger, monkeypatch):
    def full(*_, **__):
        raise QuorateError("the disk is full")

    model = Toy()
    harden(model, ledger=ledger)
    monkeypatch.setattr(ledger, "append", full)
    with pytest.raises(QuorateError, match="disk is full"):
        model(states())


def test_a_ledger_that_cannot_be_written_is_refused_before_the_first_request(tmp_path):
    url, signer = f"sqlite:///{tmp_path / 'gating.db'}", Ed25519Signer.generate()
    with Ledger.open(url, signer=signer) as opened:
        opened.append("note", {})
    model = Toy()
    with (
        Ledger.open(url, verify_with=signer.verifier) as reading,
        pytest.raises(UsageError, match="opened for reading"),
    ):
        harden(model, ledger=reading)
    assert type(model.layers[0].gate) is ToyTopKRouter


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


# -- batches that end otherwise than they should


def _raise(error):
    def hook(*_):
        raise error

    return hook


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit, TimeoutError])
def test_an_interrupted_batch_ends_and_gates_called_after_it_are_sealed(ledger, error):
    model, seen = Toy(), []
    harden(model, ledger=ledger, on_sealed=seen.append)
    handle = model.layers[1].register_forward_pre_hook(_raise(error))
    with pytest.raises(error):
        model(states(3))
    handle.remove()
    for _ in range(3):
        model.layers[0].gate(states(2))
    model(states(4))
    bodies = [batch.body for batch in seen]
    assert [(body["status"], body["tokens"], len(body["layers"])) for body in bodies] == [
        ("failed", 3, 1), *[("served", 2, 1)] * 3, ("served", 4, 2),
    ]  # fmt: skip
    for body in bodies:
        replay("gating", body)


def test_a_model_called_within_itself_is_two_batches(ledger):
    model, seen, inner = Toy(), [], []
    harden(model, ledger=ledger, on_sealed=seen.append)

    def again(*_):
        if not inner:
            inner.append(True)
            model(states(5))

    model.layers[1].register_forward_pre_hook(again)
    model(states(3))
    assert [(b.body["status"], b.body["tokens"], len(b.body["layers"])) for b in seen] == [
        ("served", 5, 2), ("served", 3, 2),
    ]  # fmt: skip


class _Silent(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.inner = Toy()

    def forward(self, hidden_states):
        self.out = self.inner(hidden_states)


def test_a_model_that_returns_nothing_has_served(ledger):
    model = _Silent()
    found = harden(model, ledger=ledger)
    model(states(3))
    assert found.last_batch.body["status"] == "served"


def test_a_call_without_tokens_is_no_batch(ledger):
    model = Toy()
    harden(model, ledger=ledger)
    assert model(states(0)).shape == (0, 16)
    assert len(ledger) == 0


def test_the_model_is_called_as_before(ledger):
    class Named(Toy):
        def forward(self, hidden_states, *, scale=1.0):
            return super().forward(hidden_states) * scale

    model, plain = Named(), Named()
    found = harden(model, ledger=ledger)
    assert list(inspect.signature(model.forward).parameters) == ["hidden_states", "scale"]
    assert torch.equal(model(states(3), scale=2.0), plain(states(3), scale=2.0))
    assert found.last_batch.body["tokens"] == 3
    restore(model)
    assert "forward" not in vars(model)


def test_a_forward_that_was_put_in_its_place_stays(ledger):
    model = Toy()
    own = model.forward
    model.forward = lambda hidden_states: own(hidden_states) + 1
    placed = model.forward
    harden(model, ledger=ledger)
    assert torch.equal(model(states(2)), Toy()(states(2)) + 1)
    assert len(ledger) == 1
    # Put around ours afterwards: it stays, and what is inside does nothing more.
    watched = model.forward
    model.forward = lambda hidden_states: watched(hidden_states) * 2
    restore(model)
    assert torch.equal(model(states(2)), (Toy()(states(2)) + 1) * 2)
    assert len(ledger) == 1
    del model.forward
    model.forward = placed
    harden(model)
    restore(model)
    assert model.forward is placed


def test_a_proof_shares_nothing_with_the_batch(ledger):
    model = Toy()
    found = harden(model, ledger=ledger)
    model(states(9))
    batch = found.last_batch
    batch.prove(7)["leaf"]["layers"][0]["experts"] = [0, 1, 2]
    batch.prove(7)["leaf"]["layers"][0]["experts"].append(5)
    verify_token(batch.prove(7), batch.body)["layers"].clear()
    replay("gating", batch.body)
    batch.leaves[0]["layers"][0]["experts"].append(5)
    replay("gating", batch.body)


def test_leaves_of_a_small_batch_cannot_be_taken_away(ledger):
    model = Toy()
    found = harden(model, ledger=ledger)
    model(states(12))
    body = {**found.last_batch.body, "leaves": None}
    with pytest.raises(VerificationError, match="has no leaves"):
        replay("gating", body)
