"""Real model families, hardened: the same bits out, whatever one replica does."""

import pytest

pytest.importorskip("torch", reason="needs quorate[torch]")
pytest.importorskip("transformers", reason="needs quorate[transformers]")

import torch

from quorate.moe import TokensWithoutQuorum, harden, report, restore
from quorate.moe.hardening import hardened_gates
from tests.moe.models import FAMILIES, LIES, TOKENS, corrupt, logits, real

DTYPES = [torch.float32, torch.bfloat16, torch.float16]


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("family", FAMILIES)
def test_a_hardened_model_gives_the_same_bits(family, dtype):
    model = real(family, dtype)
    plain = logits(model)
    assert plain.isfinite().all()
    for n in (4, 7):
        for rule in ("vote", "median"):
            found = harden(model, replicas=n, rule=rule)
            assert [gate.name.rpartition(".")[2] for gate in found.gates] == (
                ["router", "router"] if family == "gpt_oss" else ["gate", "gate"]
            )
            assert torch.equal(logits(model), plain)
            restore(model)
    assert torch.equal(logits(model), plain)


@pytest.mark.parametrize("family", FAMILIES)
def test_it_generates_the_same_text(family):
    model = real(family)
    options = {"max_new_tokens": 6, "do_sample": False, "min_new_tokens": 6}
    plain = model.generate(TOKENS, **options)
    harden(model, rule="vote")
    assert torch.equal(model.generate(TOKENS, **options), plain)
    assert all(each["batches"] == 6 for each in report(model).values())


@pytest.mark.parametrize("family", [f for f in FAMILIES if f != "deepseek_v3"])
@pytest.mark.parametrize("recorded_before", [True, False])
def test_router_logits_are_recorded_hardened_and_restored(family, recorded_before):
    def recorded(model):
        with torch.no_grad():
            return model(TOKENS, output_router_logits=True).router_logits

    plain = recorded(real(family))
    model = real(family)
    if recorded_before:
        recorded(model)
    harden(model)
    for _ in range(2):
        found = recorded(model)
        assert len(found) == len(plain) == 2
        assert all(torch.equal(a, b) for a, b in zip(found, plain, strict=True))
    restore(model)
    assert all(torch.equal(a, b) for a, b in zip(recorded(model), plain, strict=True))


@pytest.mark.parametrize("lie", LIES)
@pytest.mark.parametrize("family", FAMILIES)
def test_one_liar_of_four_changes_not_one_bit_and_is_named(family, lie):
    model = real(family)
    plain = logits(model)
    for rule in ("median", "vote", "trimmed_mean"):
        harden(model, rule=rule)
        corrupt(hardened_gates(model).values(), [2], lie)
        assert torch.equal(logits(model), plain)
        for seen in report(model).values():
            assert seen["tokens"] == TOKENS.numel()
            assert seen["refused"] == 0
            assert [i for i, count in enumerate(seen["named"]) if count] == [2]
        restore(model)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=str)
@pytest.mark.parametrize("lie", ["huge", "nan", "sign-flipped"])
def test_two_liars_of_seven_change_not_one_bit_in_short_numbers(dtype, lie):
    model = real("deepseek_v3", dtype)
    plain = logits(model)
    harden(model, replicas=7)
    corrupt(hardened_gates(model).values(), [0, 6], lie)
    assert torch.equal(logits(model), plain)
    assert all([bool(c) for c in seen["named"]] == [True, *[False] * 5, True]
               for seen in report(model).values())  # fmt: skip


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize(("n", "liars"), [(4, [0, 3]), (7, [1, 2, 3])])
def test_one_liar_more_than_borne_is_refused(family, n, liars):
    model = real(family)
    for lie in ("nan", "sign-flipped"):
        harden(model, replicas=n)
        corrupt(hardened_gates(model).values(), liars, lie)
        with pytest.raises(TokensWithoutQuorum) as caught:
            logits(model)
        assert caught.value.layer == next(iter(report(model)))
        assert caught.value.layers[caught.value.layer]["without_quorum"] > 0
        restore(model)


@pytest.mark.parametrize("family", FAMILIES)
def test_without_the_defence_one_liar_changes_the_output(family):
    model = real(family)
    plain = logits(model)
    # A mean in place of the robust rule: a liar near the others passes the quorum.
    harden(model, rule="mean")
    for gate in hardened_gates(model).values():
        gate.replica_tensors(1)["weight"].mul_(1.01)
    assert not torch.equal(logits(model), plain)
    restore(model)
    # One gate alone, as the model came.
    for module in model.modules():
        if type(module).__name__.endswith(("TopKRouter", "TopkRouter")):
            module.weight.data.neg_()
    assert not torch.equal(logits(model), plain)


def test_the_same_liar_under_the_median_changes_nothing():
    model = real("mixtral")
    plain = logits(model)
    harden(model, rule="median")
    for gate in hardened_gates(model).values():
        gate.replica_tensors(1)["weight"].mul_(1.01)
    assert torch.equal(logits(model), plain)
    assert all(0 < seen["deviation"][1] < 1 for seen in report(model).values())


def test_shared_only_is_for_models_with_a_shared_expert():
    from quorate.core.errors import UsageError

    for family in ("mixtral", "gpt_oss"):
        with pytest.raises(UsageError, match="no shared expert"):
            harden(real(family), on_no_quorum="shared-only")
    for family in ("deepseek_v3", "qwen2_moe"):
        model = real(family)
        harden(model, on_no_quorum="shared-only")
        corrupt(hardened_gates(model).values(), [0, 1], "nan")
        assert logits(model).isfinite().all()
        assert all(seen["refused"] == TOKENS.numel() for seen in report(model).values())


def test_a_linear_beside_a_shared_expert_is_no_router():
    found = harden(real("qwen2_moe"))
    assert [gate.name for gate in found.gates] == [
        "model.layers.0.mlp.gate", "model.layers.1.mlp.gate",
    ]  # fmt: skip


def test_what_is_saved_of_a_hardened_model_is_the_model(tmp_path):
    from transformers import AutoModelForCausalLM

    model = real("qwen3_moe")
    plain, keys = logits(model), list(model.state_dict())
    harden(model)
    assert list(model.state_dict()) == keys
    model.save_pretrained(tmp_path)
    again = AutoModelForCausalLM.from_pretrained(tmp_path).eval()
    assert torch.equal(logits(again), plain)
