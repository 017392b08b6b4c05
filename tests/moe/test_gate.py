"""One gate in a toy model: policies, counters, what is refused, and what restoring undoes."""

import copy
import math

import pytest

pytest.importorskip("torch", reason="needs quorate[torch]")

import torch

from quorate.core.errors import NoQuorum, OperationalError, UsageError, UsageTypeError
from quorate.moe import BFTGate, TokensWithoutQuorum, harden, report, restore, scrub
from quorate.moe.hardening import hardened_gates
from tests.moe.models import Toy, ToyTopKRouter, corrupt, states

# -- harden, restore


def test_restoring_puts_the_very_modules_back():
    model = Toy()
    routers = [layer.gate for layer in model.layers]
    before = {key: value.clone() for key, value in model.state_dict().items()}
    order = [name for name, _ in model.named_modules()]
    harden(model)
    assert [name for name, _ in model.named_modules()] == order
    assert list(model.state_dict()) == list(before)
    assert all(isinstance(layer.gate, ToyTopKRouter) for layer in model.layers)
    assert all(isinstance(layer.gate, BFTGate) for layer in model.layers)
    restore(model)
    assert all(layer.gate is router for layer, router in zip(model.layers, routers, strict=True))
    after = model.state_dict()
    assert list(after) == list(before)
    assert all(torch.equal(after[key], before[key]) for key in before)
    assert set(vars(routers[0])) == set(vars(ToyTopKRouter(8, 16, 2, None)))
    assert "_quorate_moe" not in vars(model)


def test_a_router_that_stands_in_two_places_is_replaced_in_both():
    model = Toy()
    shared = model.layers[1].gate = model.layers[0].gate
    found = harden(model)
    assert len(found.gates) == 1
    assert isinstance(model.layers[0].gate, BFTGate)
    assert model.layers[0].gate is model.layers[1].gate
    restore(model)
    assert model.layers[0].gate is model.layers[1].gate is shared


def test_what_happened_meanwhile_holds_after_restoring():
    model = Toy().half()
    harden(model)
    model.float().train()
    calls = []
    model.layers[0].gate.register_forward_hook(lambda *_: calls.append(1))
    restore(model)
    assert model.layers[0].gate.weight.dtype == torch.float32
    assert model.layers[0].gate.correction.dtype == torch.float32
    assert model.layers[0].gate.training
    model(states())
    assert calls == [1]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"replicas": 0}, "1 to 64"),
        ({"replicas": 65}, "1 to 64"),
        ({"replicas": True}, "1 to 64"),
        ({"replicas": 4, "faults": 2}, "at most 1"),
        ({"rule": "krum"}, "5"),
        ({"rule": "majority"}, "majority"),
        ({"on_no_quorum": "ignore"}, "refuse, fallback, shared-only"),
        ({"on_no_quorum": "fallback"}, "names no expert"),
        ({"on_no_quorum": "fallback", "fallback_expert": 8}, "experts 0 to 7"),
        ({"on_no_quorum": "fallback", "fallback_expert": -1}, "numbered from 0"),
        ({"fallback_expert": 1}, "uses none"),
        ({"on_no_quorum": "shared-only"}, "no shared expert"),
        ({"scrub_every": 0}, "at least 1"),
        ({"inline_decisions": -1}, "at least 0"),
        ({"domains": [{}]}, "there are 4"),
        ({"on_sealed": print}, "no ledger"),
        ({"verifier": object()}, "no folder"),
        ({"verifier": "x", "weights": "folder"}, r"verifier is 'x' \(str\)"),
        ({"ledger": "x.db"}, r"ledger is 'x.db' \(str\); give an open one: Ledger.open"),
        ({"rule": "medain"}, "did you mean 'median'. There is median, .* vote, .* mean, which"),
        ({"rule": "votes"}, "did you mean 'vote'"),
        ({"rule": "nnm+medain"}, r"did you mean 'nnm\+median'"),
        ({"rule": "nmm+median"}, "nnm"),
        ({"rule": 3}, r"rule is 3 \(int\)"),
        ({"weights": [{}] * 4}, "has no 'layers.0.gate.weight'"),
        ({"weights": [{}] * 4, "replicas": 5}, "has no"),
    ],
)
def test_what_does_not_fit_is_refused_and_nothing_changes(options, words):
    model = Toy()
    with pytest.raises(UsageError, match=words):
        harden(model, **options)
    assert type(model.layers[0].gate) is ToyTopKRouter


@pytest.mark.parametrize("call", [harden, report, restore, scrub])
def test_what_is_no_model_is_refused(call):
    with pytest.raises(UsageTypeError, match=r"model is 'mixtral' \(str\); give the loaded model"):
        call("mixtral")


def test_a_fallback_expert_that_is_no_number_is_refused():
    with pytest.raises(UsageTypeError):
        harden(Toy(), on_no_quorum="fallback", fallback_expert=True)


def test_hardening_twice_and_restoring_what_was_not_are_refused():
    model = Toy()
    with pytest.raises(UsageError, match="not hardened"):
        restore(model)
    with pytest.raises(UsageError, match="not hardened"):
        report(model)
    harden(model)
    with pytest.raises(UsageError, match="hardened already"):
        harden(model)
    with pytest.raises(UsageError, match="hardened already"):
        harden(model.layers[0])
    with pytest.raises(UsageError, match="very module"):
        restore(model.layers)


def test_the_report_says_what_the_bound_rests_on():
    found = harden(Toy(), replicas=7)
    assert (found.replicas, found.faults, found.quorum) == (7, 2, 5)
    assert [gate.name for gate in found.gates] == ["layers.0.gate", "layers.1.gate"]
    assert all(gate.copies and gate.experts == 8 and gate.top_k == 2 for gate in found.gates)
    assert "not against a poisoned training" in found.describe()
    # Seven copies in one process are one thing that fails.
    assert found.independence["faults"] == 0
    assert found.independence["attributes"]["weights"]["faults"] == 0
    assert found.to_dict()["independence"]["attributes"]["process"]["groups"] == {"this process": 7}
    assert found.last_batch is None
    assert found.warnings == ()
    told = found.describe()
    assert "of 7 replicas each (copies of one gate): for each token 5 must choose the same" in told
    assert "by process (this process: 7 replicas), of which it bears no faulty process" in told
    # One quorum, that of the replicas; how errors correlate was never asked for.
    assert told.count("quorum") == 1
    assert "unknown" not in told


def test_declared_domains_are_counted():
    vendors = [{"vendor": name} for name in ("a", "a", "b", "c", "d", "e", "f")]
    attributes = harden(Toy(), replicas=7, domains=vendors).independence["attributes"]
    assert attributes["vendor"]["groups"] == {"a": 2, "b": 1, "c": 1, "d": 1, "e": 1, "f": 1}


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"rule": "mean"}, "WARNING: a mean protects against nothing"),
        ({"rule": "nnm+mean"}, "WARNING: a mean protects against nothing"),
        ({"replicas": 1}, "WARNING: replicas=1 bears no faulty replica"),
        ({"replicas": 3}, "WARNING: replicas=3 bears no faulty replica"),
        ({"replicas": 7, "faults": 0}, "WARNING: faults=0 bears no faulty replica"),
    ],
)
def test_what_protects_against_nothing_warns_first_and_promises_nothing(options, words):
    found = harden(Toy(layers=1), **options)
    told = found.describe()
    assert told.startswith(words)
    assert found.to_dict()["warnings"] == list(found.warnings)
    assert "protect against faults" not in told
    assert "1 gate (ToyTopKRouter)" in told
    if options.get("replicas") == 1:
        assert "of 1 replica each" in told
        assert "none may be faulty" in told


# -- policies


def _without_quorum(model):
    """Two of four replicas gone at the first gate for good."""
    corrupt([model.layers[0].gate], [0, 1], "nan")


def test_refusing_says_who_and_returns_nothing():
    model = Toy()
    harden(model)
    corrupt([model.layers[0].gate], [1], "nan")
    corrupt([model.layers[1].gate], [0, 3], "nan")
    with pytest.raises(TokensWithoutQuorum, match="no 3 of 4 gates agree") as caught:
        model(states())
    assert isinstance(caught.value, NoQuorum)
    assert (caught.value.layer, caught.value.quorum) == ("layers.1.gate", 3)
    assert caught.value.layers["layers.0.gate"]["without_quorum"] == 0
    assert caught.value.layers["layers.0.gate"]["dropped"] == [0, 12, 0, 0]
    assert caught.value.layers["layers.1.gate"]["dropped"] == [12, 0, 0, 12]
    assert "on 12 tokens replicas 1 and 2, not finite: 0 and 3" in str(caught.value)


def test_fallback_sends_tokens_to_the_named_expert_alone():
    model = Toy()
    harden(model, on_no_quorum="fallback", fallback_expert=5)
    _without_quorum(model)
    _, weights, indices = model.layers[0].gate(states())
    assert indices.tolist() == [[5, 5]] * 12
    assert weights.tolist() == [[1.0, 0.0]] * 12
    hidden = states()
    alone = torch.einsum("hi,th->ti", model.layers[0].experts[5], hidden)
    torch.testing.assert_close(model.layers[0](hidden), alone)
    assert report(model)["layers.0.gate"]["refused"] == 24


def test_only_tokens_without_a_quorum_fall_back():
    plain, model = Toy(layers=1), Toy(layers=1)
    harden(model, on_no_quorum="fallback", fallback_expert=5)
    gate = model.layers[0].gate
    for replica, expert in ((0, 3), (1, 4)):
        gate.replica_tensors(replica)["bias"][expert] += 6.0
    out, want = gate(states(200)), plain.layers[0].gate(states(200))
    refused = gate.counters.refused
    fallen = (out[2] == 5).all(dim=-1) & (out[1][:, 0] == 1)
    assert 0 < refused < 200
    assert int(fallen.sum()) == refused
    assert torch.equal(out[2][~fallen].sort().values, want[2][~fallen].sort().values)


def test_shared_only_leaves_the_shared_expert():
    model = Toy(shared=True)
    harden(model, on_no_quorum="shared-only")
    _without_quorum(model)
    hidden = states()
    assert torch.equal(model.layers[0](hidden), model.layers[0].shared_expert(hidden))
    with torch.no_grad():
        clean = Toy(shared=True)
        harden(clean, on_no_quorum="shared-only")
        assert torch.equal(clean(hidden), Toy(shared=True)(hidden))


# -- counters


def test_counters_name_the_liar_and_measure_it():
    model = Toy(layers=1)
    harden(model)
    gate = model.layers[0].gate
    gate.replica_tensors(2)["bias"].add_(0.5)
    corrupt([gate], [3], "nan")
    # Three are needed: with one dropped, a second liar cannot be outvoted where it chooses
    # otherwise.
    gate.replica_tensors(2)["bias"][0] += 100
    with pytest.raises(TokensWithoutQuorum):
        model(states())
    restore(model)
    harden(model)
    gate = model.layers[0].gate
    gate.replica_tensors(2)["bias"].add_(0.5)
    model(states())
    seen = report(model)["layers.0.gate"]
    assert seen["named"] == [0, 0, 12, 0]
    assert seen["dissent"] == [0, 0, 0, 0]
    assert seen["deviation"][:2] == [0.0, 0.0]
    assert seen["deviation"][2] == pytest.approx(0.5, rel=1e-5)
    assert gate.counters.suspects() == [2]
    corrupt([gate], [2], "inf")
    model(states())
    seen = report(model)["layers.0.gate"]
    assert seen["dropped"] == [0, 0, 12, 0]
    assert seen["tokens"] == 24
    assert seen["refused"] == 0


@pytest.mark.parametrize("good", [0, 1])
def test_a_replica_that_sent_what_is_no_number_deviates_without_bound(good):
    model = Toy(layers=1)
    harden(model)
    assert report(model)["layers.0.gate"]["deviation"] == [None] * 4
    for _ in range(good):
        model(states())
    corrupt([model.layers[0].gate], [1], "nan")
    model(states())
    assert report(model)["layers.0.gate"]["deviation"] == [0.0, math.inf, 0.0, 0.0]


def test_gates_trained_apart_are_suspected_but_never_named():
    model = Toy(layers=1)
    generator = torch.Generator().manual_seed(11)
    weights = []
    for _ in range(4):
        own = {key: value.clone() for key, value in model.state_dict().items()}
        own["layers.0.gate.weight"] += torch.randn(8, 16, generator=generator) * 0.02
        weights.append(own)
    found = harden(model, weights=weights, on_no_quorum="fallback", fallback_expert=0)
    assert not found.gates[0].copies
    assert "trained apart" in found.assumption
    model(states(100))
    seen = report(model)["layers.0.gate"]
    assert seen["named"] == [0] * 4
    assert all(0 < each < 0.3 for each in seen["deviation"])
    assert seen["refused"] < 50


RULES_OF_SEVEN = [
    "vote", "median", "trimmed_mean", "krum", "multi_krum", "geometric_median",
    "mean_around_median", "centered_clipping", "minimum_diameter_averaging", "nnm+trimmed_mean",
]  # fmt: skip


@pytest.mark.parametrize("rule", RULES_OF_SEVEN)
def test_every_rule_serves_copies_and_gates_trained_apart(rule):
    model, plain = Toy(layers=1), Toy(layers=1)
    harden(model, replicas=7, rule=rule)
    corrupt([model.layers[0].gate], [1], "huge")
    corrupt([model.layers[0].gate], [4], "nan")
    assert torch.equal(model(states()), plain(states()))
    restore(model)
    weights = [{k: v.clone() for k, v in model.state_dict().items()} for _ in range(7)]
    generator = torch.Generator().manual_seed(12)
    for own in weights:
        own["layers.0.gate.weight"] += torch.randn(8, 16, generator=generator) * 1e-3
    harden(model, weights=weights, rule=rule, on_no_quorum="fallback", fallback_expert=0)
    gate = model.layers[0].gate
    corrupt([gate], [1], "sign-flipped")
    corrupt([gate], [4], "nan")
    logits = gate(states(100))[0]
    quorum = gate.counters.tokens - gate.counters.refused
    assert quorum > 80
    assert gate.counters.dissent[1] > 0
    assert gate.counters.dropped == [0, 0, 0, 0, 100, 0, 0]
    near = (logits - plain.layers[0].gate(states(100))[0]).abs().amax(dim=-1) < 0.1
    assert int(near.sum()) >= quorum


def test_weights_of_another_shape_or_dtype_are_refused():
    model = Toy(layers=1)
    with pytest.raises(UsageError, match=r"float32 \[4, 16\]; the model's gate .* \[8, 16\]"):
        harden(model, weights=[Toy(experts=4, layers=1).state_dict()] * 4)
    with pytest.raises(UsageError, match="float16"):
        harden(model, weights=[Toy(layers=1).half().state_dict()] * 4)
    with pytest.raises(UsageError, match="replicas is 5, but weights holds 4"):
        harden(model, weights=[model.state_dict()] * 4, replicas=5)


# -- gradients, loading, moving


@pytest.mark.parametrize("training", [True, False])
def test_the_forward_pass_works_with_gradients_but_backward_is_refused(training):
    model, plain = Toy().train(training), Toy().train(training)
    harden(model)
    out = model(states())
    assert torch.equal(out, plain(states()))
    with pytest.raises(UsageError, match="have no gradient"):
        model(states().requires_grad_()).sum().backward()
    restore(model)
    model(states()).sum().backward()
    assert model.layers[0].gate.weight.grad is not None


def test_loading_weights_into_a_hardened_model_is_refused():
    model = Toy()
    harden(model)
    with pytest.raises(UsageError, match=r"restore\(model\), load"):
        model.load_state_dict(Toy().state_dict())


def test_a_cast_holds_for_the_replicas_and_hides_no_change():
    model = Toy()
    harden(model)
    corrupt([model.layers[0].gate], [3], "one bit")
    model.half()
    assert list(model.layers[0].gate.counters.excluded) == [3]
    plain = Toy().half()
    assert torch.equal(model(states().half()), plain(states().half()))
    assert scrub(model) == {}


def test_a_deep_copy_is_a_gate_of_its_own():
    model = Toy()
    harden(model)
    other = copy.deepcopy(model)
    third = copy.deepcopy(model)
    restore(third)
    assert torch.equal(third(states()), Toy()(states()))
    assert not third._forward_hooks
    corrupt(hardened_gates(other).values(), [0, 1], "nan")
    assert torch.equal(model(states()), Toy()(states()))
    with pytest.raises(TokensWithoutQuorum):
        other(states())


def test_autocast_is_the_same_for_the_replicas():
    model, plain = Toy(), Toy()
    harden(model)
    corrupt(hardened_gates(model).values(), [1], "sign-flipped")
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(model(states()), plain(states()))


def test_a_compiled_model_is_as_safe():
    model, plain = Toy(), Toy()
    harden(model)
    compiled = torch.compile(model, backend="eager")
    gate = model.layers[0].gate
    with torch.no_grad():
        assert torch.equal(compiled(states()), plain(states()))
        corrupt([gate], [1], "huge")
        assert torch.equal(compiled(states()), plain(states()))
        corrupt([gate], [2], "nan")
        corrupt([gate], [1], "nan")
        with pytest.raises(TokensWithoutQuorum):
            compiled(states())
    assert gate.counters.named == [0, 12, 0, 0]
    # Tokens without a quorum say nothing about how far the honest ones are off.
    assert [gate.counters.deviation[i] for i in (0, 2, 3)] == [0.0, math.inf, 0.0]


# -- scrubbing


@pytest.mark.parametrize("n", [4, 7])
def test_one_flipped_bit_in_memory_is_found_and_its_replica_excluded(n):
    model, plain = Toy(), Toy()
    harden(model, replicas=n, scrub_every=3)
    gate = model.layers[1].gate
    raw = gate.replica_tensors(2)["weight"].view(torch.uint8)
    raw[3, 5] ^= 1  # the lowest bit of one byte: no logit may show it
    for _ in range(2):
        assert torch.equal(model(states()), plain(states()))
    assert gate.counters.excluded == {}
    assert torch.equal(model(states()), plain(states()))
    assert gate.counters.excluded == {2: "its weight changed in memory"}
    assert model.layers[0].gate.counters.excluded == {}
    # It stays out, though it is as it was again, and counts against the quorum.
    raw[3, 5] ^= 1
    model(states())
    assert list(gate.counters.excluded) == [2]
    corrupt([gate], [r for r in range(n) if r != 2][: (n - 1) // 3], "nan")
    with pytest.raises(TokensWithoutQuorum):
        model(states())


def test_a_replica_excluded_for_good_is_told_apart_from_one_that_lies():
    model = Toy(layers=1)
    harden(model, replicas=7)
    gate = model.layers[0].gate
    corrupt([gate], [6], "one bit")
    assert scrub(model) == {"layers.0.gate": [6]}
    corrupt([gate], [1], "nan")
    assert torch.equal(model(states()), Toy(layers=1)(states()))
    assert gate.counters.dropped == [0, 12, 0, 0, 0, 0, 0]
    assert gate.counters.suspects() == [1, 6]


def test_four_of_six_that_agree_do_not_make_up_for_two_that_are_broken():
    model = Toy(layers=1)
    harden(model, replicas=6)
    corrupt([model.layers[0].gate], [0], "nan")
    assert torch.equal(model(states()), Toy(layers=1)(states()))
    corrupt([model.layers[0].gate], [1], "inf")
    with pytest.raises(TokensWithoutQuorum, match="no 4 of 6"):
        model(states())


def test_all_replicas_gone_is_no_quorum():
    model = Toy(layers=1)
    harden(model)
    corrupt([model.layers[0].gate], range(4), "one bit")
    assert scrub(model) == {"layers.0.gate": [0, 1, 2, 3]}
    with pytest.raises(TokensWithoutQuorum, match="12 of 12"):
        model(states())


def test_a_change_in_what_all_share_is_refused_for_good():
    model = Toy()
    harden(model, scrub_every=2)
    model.layers[0].gate.correction[0] = 100.0
    model(states())
    for _ in range(3):
        with pytest.raises(OperationalError, match="correction changed in memory"):
            model(states())


def test_without_scrubbing_the_flip_stays_unseen():
    model = Toy(layers=1)
    harden(model, scrub_every=None)
    model.layers[0].gate.replica_tensors(2)["weight"].view(torch.uint8)[3, 5] ^= 1
    for _ in range(5):
        model(states())
    assert model.layers[0].gate.counters.excluded == {}
