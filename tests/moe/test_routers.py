"""Routers of many families, each alone: found, and unmoved by one liar."""

import inspect
from importlib import import_module

import pytest

pytest.importorskip("torch", reason="needs quorate[torch]")
pytest.importorskip("transformers", reason="needs quorate[transformers]")

import torch
from torch import nn

from quorate.moe import harden, restore
from tests.moe.models import corrupt, states

# Each makes its logits in a way of its own: casts, a bias, an inner Linear, being a Linear,
# a cap, a sigmoid with a correction of its own or one handed in, groups, batches or tokens.
ROUTERS = [
    ("afmoe", "AfmoeTokenChoiceRouter", "AfmoeConfig"),
    ("deepseek_v4", "DeepseekV4TopKRouter", "DeepseekV4Config"),
    ("ernie4_5_moe", "Ernie4_5_MoeTopKRouter", "Ernie4_5_MoeConfig"),
    ("gemma4", "Gemma4TextRouter", "Gemma4TextConfig"),
    ("granitemoe", "GraniteMoeTopKRouter", "GraniteMoeConfig"),
    ("jamba", "JambaTopKRouter", "JambaConfig"),
    ("laguna", "LagunaTopKRouter", "LagunaConfig"),
    ("lfm2_moe", "Lfm2MoeTopKRouter", "Lfm2MoeConfig"),
    ("longcat_flash", "LongcatFlashTopkRouter", "LongcatFlashConfig"),
    ("minimax_m2", "MiniMaxM2TopKRouter", "MiniMaxM2Config"),
    ("nemotron_h", "NemotronHTopkRouter", "NemotronHConfig"),
    ("openai_privacy_filter", "OpenAIPrivacyFilterTopKRouter", "OpenAIPrivacyFilterConfig"),
    ("phimoe", "PhimoeTopKRouter", "PhimoeConfig"),
    ("qwen3_next", "Qwen3NextTopKRouter", "Qwen3NextConfig"),
]
BATCHED = {"afmoe"}


def _router(family, kind, config):
    there = f"transformers.models.{family}"
    try:
        made = getattr(import_module(f"{there}.configuration_{family}"), config)
        router = getattr(import_module(f"{there}.modeling_{family}"), kind)
    except (ImportError, AttributeError):
        pytest.fail(f"Transformers has no {kind} any more")
    options = {"num_experts": 16, "top_k_experts": 2} if family == "gemma4" else {}
    holder = nn.ModuleDict({"gate": router(made(**options))}).eval()
    generator = torch.Generator().manual_seed(9)
    with torch.no_grad():
        for values in [*holder.parameters(), *holder.buffers()]:
            values.copy_(torch.randn(values.shape, generator=generator) * 0.1)
    return holder


@pytest.mark.parametrize(("family", "kind", "config"), ROUTERS, ids=[r[0] for r in ROUTERS])
def test_one_liar_moves_nothing(family, kind, config):
    model = _router(family, kind, config)
    found = harden(model)
    assert found.gates[0].kind == kind
    width = model.gate.replica_tensors(0)["weight"].shape[1]
    restore(model)
    hidden = states(20, width)
    hidden = hidden.reshape(2, 10, width) if family in BATCHED else hidden
    names = list(inspect.signature(model.gate.forward).parameters)[1:]
    more = {name: torch.linspace(0, 1, found.gates[0].experts) for name in names if "bias" in name}
    with torch.no_grad():
        plain = model.gate(hidden.clone(), **more)
        for rule in ("median", "vote"):
            harden(model, rule=rule)
            corrupt([model.gate], [3], "sign-flipped")
            got = model.gate(hidden.clone(), **more)
            assert all(torch.equal(a, b) for a, b in zip(got, plain, strict=True))
            assert model.gate.counters.named == [0, 0, 0, 20]
            restore(model)
