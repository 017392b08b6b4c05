"""Hardened models that are copied, loaded into, taken apart or changed behind their back."""

import copy
import io
import pickle

import pytest

pytest.importorskip("torch", reason="needs quorate[torch]")

import torch

from quorate.core.errors import OperationalError, UsageError, UsageTypeError
from quorate.ledger import Ledger
from quorate.moe import TokensWithoutQuorum, harden, report, restore, save_replicas, scrub
from quorate.moe.hardening import hardened_gates
from quorate.moe.reporting import APART, COPIES
from tests.moe.models import Toy, corrupt, states

GATE = "layers.0.gate"


def _one_of_four_lies():
    weights = [Toy().state_dict() for _ in range(4)]
    for name in (f"{GATE}.weight", f"{GATE}.bias"):
        weights[2][name] = -weights[2][name]
    return weights


@pytest.mark.parametrize("on_disk", [False, True])
def test_a_liar_among_copies_is_named_though_it_lied_from_the_start(tmp_path, on_disk):
    weights = _one_of_four_lies()
    if on_disk:
        save_replicas(Toy(), tmp_path, 4, weights=weights)
    model = Toy()
    found = harden(model, weights=tmp_path if on_disk else weights)
    assert torch.equal(model(states()), Toy()(states()))
    assert report(model)[GATE]["named"] == [0, 0, 12, 0]
    assert found.assumption == COPIES
    assert [gate.copies for gate in found.gates] == [True, True]


def test_two_of_four_alike_are_no_copies():
    weights = _one_of_four_lies()
    weights[1][f"{GATE}.weight"] = weights[1][f"{GATE}.weight"] + 1e-4
    found = harden(Toy(), weights=weights)
    assert found.assumption == APART
    assert [gate.copies for gate in found.gates] == [False, True]


# -- loading


class _Around(torch.nn.Module):
    """A model with tensors that are loaded before its gates are."""

    def __init__(self):
        super().__init__()
        self.embedding = torch.nn.Linear(16, 16)
        self.inner = Toy()

    def forward(self, hidden_states):
        return self.inner(self.embedding(hidden_states))


def test_a_refused_load_changes_nothing():
    model = _Around()
    before = {name: values.clone() for name, values in model.state_dict().items()}
    other = {name: torch.zeros_like(values) for name, values in before.items()}
    harden(model)
    for into, prefix in ((model, ""), (model.inner, "inner."), (model.inner.layers[0], None)):
        loaded = {k.removeprefix(prefix or "inner.layers.0."): v for k, v in other.items()}
        with pytest.raises(UsageError, match=r"restore\(model\), load"):
            into.load_state_dict(loaded, strict=False)
    assert all(torch.equal(values, before[name]) for name, values in model.state_dict().items())
    restore(model)
    model.load_state_dict(other)
    assert not model.inner.layers[0].gate.weight.any()


# -- restoring


def test_a_parameter_deleted_meanwhile_is_there_again():
    model, plain = Toy(), Toy()
    own = model.layers[0].gate.weight
    harden(model)
    del model.layers[0].gate.weight
    restore(model)
    assert model.layers[0].gate.weight is own
    assert torch.equal(model(states()), plain(states()))
    with pytest.raises(UsageError, match="not hardened"):
        restore(model)


def test_a_restore_that_fails_can_be_done_again(monkeypatch):
    model = Toy()
    harden(model)
    gate = type(model.layers[1].gate)

    def broken(_self):
        raise MemoryError

    with monkeypatch.context() as patched:
        patched.setattr(gate, "released", broken)
        with pytest.raises(MemoryError):
            restore(model)
    restore(model)
    assert not any(isinstance(m, gate) for m in model.modules())
    assert "forward" not in vars(model)


def test_a_parameter_added_meanwhile_is_no_change_of_what_scores():
    model = Toy()
    harden(model)
    model.layers[0].gate.extra = torch.nn.Parameter(torch.ones(1))
    assert scrub(model) == {}


def test_weights_changed_while_they_were_not_used_are_told_on_restoring():
    model = Toy()
    harden(model)
    with torch.no_grad():
        model.layers[0].gate.weight.neg_()
    # The replicas are as they were: that one is bad does no harm in service.
    assert scrub(model) == {}
    assert torch.equal(model(states()), Toy()(states()))
    with pytest.raises(
        OperationalError, match=r"model is restored, but .*layers\.0\.gate \(weight"
    ):
        restore(model)
    assert type(model.layers[0].gate).__name__ == "ToyTopKRouter"
    harden(model)
    restore(model)


def test_a_cast_does_not_hide_that_they_changed_and_is_no_change():
    model = Toy()
    harden(model)
    with torch.no_grad():
        model.layers[0].gate.weight.neg_()
    model.half()
    with pytest.raises(OperationalError, match="weight"):
        restore(model)
    harden(model)
    model.float().half()
    restore(model)


# -- what all replicas score with, and what one of them does


def test_an_attribute_that_all_score_with_is_checked():
    model = Toy()
    harden(model)
    model.layers[0].gate.top_k = 1
    with pytest.raises(OperationalError, match="top_k changed in memory"):
        scrub(model)
    with pytest.raises(OperationalError, match="top_k changed in memory"):
        model(states())
    model.layers[0].gate.top_k = 2
    assert scrub(model) == {}
    model.train()
    assert scrub(model) == {}


def test_between_two_checks_a_batch_of_another_top_k_is_not_sealed_as_served():
    model = Toy()
    with Ledger.open("memory:") as ledger:
        harden(model, ledger=ledger, scrub_every=None)
        model.layers[1].gate.top_k = 1
        with pytest.raises(OperationalError, match="chose 1 experts"):
            model(states())
        (entry,) = ledger.find(kind="gating")
        assert entry.payload["status"] == "failed"
        ledger.verify(replay=True)


@pytest.mark.parametrize("name", ["_bft_replica_1_weight", "_bft_replica_1_bias"])
def test_a_replica_whose_tensor_is_gone_or_misshapen_is_excluded(name):
    for harm in (
        lambda gate: delattr(gate, name),
        lambda gate: setattr(gate, name, None),
        lambda gate: setattr(gate, name, getattr(gate, name)[:6].clone()),
    ):
        model = Toy()
        harden(model, scrub_every=None)
        harm(model.layers[0].gate)
        assert torch.equal(model(states()), Toy()(states()))
        assert list(report(model)[GATE]["excluded"]) == [1]
        other = Toy()
        harden(other)
        harm(other.layers[0].gate)
        assert scrub(other) == {GATE: [1]}


# -- copies


def test_a_copy_keeps_books_of_its_own():
    model = Toy()
    harden(model)
    other = copy.deepcopy(model)
    assert other.forward is not model.forward
    assert other.layers[0].gate._bft.recorder is not model.layers[0].gate._bft.recorder
    for each in (model, other):
        corrupt([each.layers[1].gate], [0, 1], "nan")
        with pytest.raises(TokensWithoutQuorum) as caught:
            each(states())
        assert list(caught.value.layers) == ["layers.0.gate", "layers.1.gate"]
    restore(other)
    assert "forward" not in vars(other)
    assert torch.equal(other(states()), Toy()(states()))
    assert list(hardened_gates(model)) == ["layers.0.gate", "layers.1.gate"]


def test_a_copy_called_within_the_original_leaves_it_alone():
    model = Toy()
    harden(model)
    other = copy.deepcopy(model)

    def call_the_copy(*_):
        other(states(2))

    model.layers[1].register_forward_pre_hook(call_the_copy)
    corrupt([model.layers[1].gate], [0, 1], "nan")
    with pytest.raises(TokensWithoutQuorum) as caught:
        model(states(3))
    assert [each["tokens"] for each in caught.value.layers.values()] == [3, 3]


def test_with_a_ledger_there_is_no_copy():
    model = Toy()
    with Ledger.open("memory:") as ledger:
        harden(model, ledger=ledger)
        with pytest.raises(UsageError, match=r"restore\(model\), copy it"):
            copy.deepcopy(model)
        model(states())
        assert len(ledger) == 1


def test_a_hardened_model_is_not_pickled():
    model = Toy()
    harden(model)
    with pytest.raises(UsageError, match=r"restore\(model\), save it"):
        pickle.dumps(model)
    with pytest.raises(UsageError, match=r"restore\(model\), save it"):
        torch.save(model, io.BytesIO())
    restore(model)
    pickle.dumps(model)


# -- arguments


@pytest.mark.parametrize("domains", [[1, 2, 3, 4], 5, [{"vendor": 1}] * 4, {"vendor": "x"}, "abcd"])
def test_domains_of_another_type_are_told(domains):
    with pytest.raises(UsageTypeError, match="domains is"):
        harden(Toy(), domains=domains)
