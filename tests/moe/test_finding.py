"""Which modules are taken for routers, and what is said of those that are not."""

import pytest

pytest.importorskip("torch", reason="needs quorate[torch]")

import torch
from torch import nn
from torch.nn import functional

from quorate.core.errors import UsageError
from quorate.moe import harden
from tests.moe.models import Toy, ToyTopKRouter, corrupt, states


class _PlainLinear(nn.Module):
    def __init__(self):
        super().__init__()
        self.gate = nn.Linear(16, 8)


class _TwoLinear(ToyTopKRouter):
    def forward(self, hidden_states):
        functional.linear(hidden_states, self.weight)
        return super().forward(hidden_states)


class _AllScores(ToyTopKRouter):
    def forward(self, hidden_states):
        logits, _, indices = super().forward(hidden_states)
        return logits, logits.softmax(-1), indices


class _AsksMore(ToyTopKRouter):
    def forward(self, hidden_states, table):
        del table
        return super().forward(hidden_states)


class _Longer(ToyTopKRouter):
    def forward(self, hidden_states):
        logits, scores, indices = super().forward(hidden_states)
        return logits[..., 1:], scores, indices


class _Scaled(ToyTopKRouter):
    def forward(self, hidden_states):
        logits = functional.linear(hidden_states, self.weight * 2, self.bias)
        return logits, logits.topk(2)[0], logits.topk(2)[1]


class _Raises(ToyTopKRouter):
    def forward(self, hidden_states):
        raise ValueError("not\nlike this")


def _holding(kind):
    class Holder(nn.Module):
        def __init__(self):
            super().__init__()
            self.gate = kind(8, 16, 2, None)

    return Holder()


@pytest.mark.parametrize(
    ("model", "reason"),
    [
        (_PlainLinear(), "a plain Linear"),
        (_holding(_TwoLinear), "makes 2 linear calls"),
        (_holding(_AllScores), "not of those chosen"),
        (_holding(_Longer), "one for each row of its weight"),
        (_holding(_AsksMore), "also asks for table"),
        (_holding(_Scaled), "does not compute with its weight as it is"),
        (_holding(_Raises), "cannot be tried out: ValueError: not"),
        (_holding(lambda *_: nn.Sequential(nn.ReLU())), "no weight"),
        (_holding(ToyTopKRouter).to("meta"), "on no device"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_is_passed_over_says_why(model, reason):
    with pytest.raises(UsageError, match="no router was found") as caught:
        harden(model)
    assert reason in str(caught.value)


def test_a_router_whose_forward_was_replaced_is_passed_over():
    model = Toy()
    gate = model.layers[0].gate
    gate.forward = gate.forward
    found = harden(model)
    assert [(s.name, "replaced" in s.reason) for s in found.skipped] == [("layers.0.gate", True)]
    assert [each.name for each in found.gates] == ["layers.1.gate"]
    assert "Left alone: layers.0.gate" in found.describe()


def test_trying_out_leaves_modes_and_random_numbers_alone():
    class Noisy(ToyTopKRouter):
        def forward(self, hidden_states):
            if self.training:
                hidden_states = hidden_states + torch.randn_like(hidden_states)
            return super().forward(hidden_states)

    model = _holding(Noisy).train()
    before = torch.random.get_rng_state()
    harden(model)
    assert torch.equal(torch.random.get_rng_state(), before)
    assert model.gate.training


def test_a_correction_that_the_block_hands_in_is_handed_on():
    class Corrected(ToyTopKRouter):
        def forward(self, hidden_states, expert_bias):
            logits = functional.linear(hidden_states, self.weight)
            indices = (logits.sigmoid() + expert_bias).topk(2, dim=-1).indices
            return logits, logits.sigmoid().gather(-1, indices), indices

    model, bias = _holding(Corrected), torch.tensor([3.0, *[0.0] * 7])
    plain = model.gate(states(), bias)
    assert (plain[2] == 0).any(dim=-1).all()
    harden(model)
    corrupt([model.gate], [1], "sign-flipped")
    found = model.gate(states(), expert_bias=bias)
    assert all(torch.equal(a, b) for a, b in zip(found, plain, strict=True))


def test_a_router_may_take_batches_or_tokens():
    class Batched(ToyTopKRouter):
        def forward(self, hidden_states):
            batch, length, _ = hidden_states.shape
            logits, scores, indices = super().forward(hidden_states.reshape(batch * length, -1))
            return logits, scores, indices

    model = _holding(Batched)
    plain = model.gate(states().reshape(2, 6, 16))
    harden(model)
    found = model.gate(states().reshape(2, 6, 16))
    assert all(torch.equal(a, b) for a, b in zip(found, plain, strict=True))
