"""Small models to harden: real ones built from their config, and a toy in plain PyTorch."""

import torch
from torch import nn
from torch.nn import functional

FAMILIES = ("mixtral", "qwen3_moe", "olmoe", "gpt_oss", "deepseek_v3")
BASE = {
    "vocab_size": 64, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2,
    "num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": 64,
    "bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0, "num_experts_per_tok": 2,
}  # fmt: skip
TOKENS = torch.arange(24).reshape(2, 12) % 61 + 3


def _config(family):
    import transformers

    match family:
        case "mixtral":
            return transformers.MixtralConfig(**BASE, num_local_experts=8)
        case "qwen3_moe":
            return transformers.Qwen3MoeConfig(
                **BASE, num_experts=8, moe_intermediate_size=16, head_dim=8
            )
        case "olmoe":
            return transformers.OlmoeConfig(**BASE, num_experts=8)
        case "gpt_oss":
            return transformers.GptOssConfig(
                **BASE, num_local_experts=8, head_dim=8, sliding_window=16
            )
        case "deepseek_v3":
            return transformers.DeepseekV3Config(
                **BASE | {"num_key_value_heads": 4}, num_local_experts=8, n_routed_experts=8,
                n_group=2, topk_group=1, moe_intermediate_size=16, first_k_dense_replace=0,
                q_lora_rank=16, kv_lora_rank=16, qk_rope_head_dim=8, qk_nope_head_dim=8,
                v_head_dim=8, n_shared_experts=1,
            )  # fmt: skip
        case "qwen2_moe":
            return transformers.Qwen2MoeConfig(
                **BASE, num_experts=8, moe_intermediate_size=16, shared_expert_intermediate_size=16
            )
    raise AssertionError(family)


def real(family, dtype=torch.float32):
    """A random model of a family, its routers far from ties."""
    import transformers

    transformers.logging.set_verbosity_error()
    torch.manual_seed(5)
    model = transformers.AutoModelForCausalLM.from_config(_config(family)).eval()
    with torch.no_grad():
        for name, values in [*model.named_parameters(), *model.named_buffers()]:
            if ".gate." in name or ".router." in name:
                values.normal_(0, 0.1 if "correction" in name else 0.5)
    return model.to(dtype)


def logits(model, tokens=TOKENS, **options):
    with torch.no_grad():
        return model(tokens, **options).logits


class ToyTopKRouter(nn.Module):
    """A router of the shape that Transformers' have, with a correction bias as DeepSeek's."""

    def __init__(self, experts, hidden, k, generator):
        super().__init__()
        self.top_k = k
        self.weight = nn.Parameter(torch.randn(experts, hidden, generator=generator))
        self.bias = nn.Parameter(torch.randn(experts, generator=generator))
        self.register_buffer("correction", torch.zeros(experts))

    def forward(self, hidden_states):
        logits = functional.linear(hidden_states, self.weight, self.bias)
        scores = logits.float().softmax(dim=-1)
        indices = (scores + self.correction).topk(self.top_k, dim=-1).indices
        weights = scores.gather(-1, indices)
        return logits, weights.to(logits.dtype), indices


class ToyBlock(nn.Module):
    def __init__(self, experts, hidden, k, shared, generator):
        super().__init__()
        self.gate = ToyTopKRouter(experts, hidden, k, generator)
        self.experts = nn.Parameter(torch.randn(experts, hidden, hidden, generator=generator) / 4)
        if shared:
            self.shared_expert = nn.Linear(hidden, hidden, bias=False)
            nn.init.normal_(self.shared_expert.weight, generator=generator)

    def forward(self, hidden_states):
        _, weights, indices = self.gate(hidden_states)
        routed = torch.einsum("tkhi,th->tki", self.experts[indices], hidden_states)
        out = (routed * weights[..., None]).sum(dim=1)
        return out + self.shared_expert(hidden_states) if hasattr(self, "shared_expert") else out


class Toy(nn.Module):
    def __init__(self, experts=8, hidden=16, k=2, layers=2, shared=False):
        super().__init__()
        generator = torch.Generator().manual_seed(3)
        self.layers = nn.ModuleList(
            ToyBlock(experts, hidden, k, shared, generator) for _ in range(layers)
        )

    def forward(self, hidden_states):
        for layer in self.layers:
            hidden_states = hidden_states + torch.tanh(layer(hidden_states))
        return hidden_states


def states(tokens=12, hidden=16, seed=7):
    return torch.randn(tokens, hidden, generator=torch.Generator().manual_seed(seed))


# -- liars


def _huge(values):
    values.copy_(torch.randn(values.shape, generator=torch.Generator().manual_seed(1)) * 3e4)


LIES = {
    "huge": _huge,
    "nan": lambda values: values.fill_(float("nan")),
    "inf": lambda values: values.fill_(float("inf")),
    "sign-flipped": lambda values: values.neg_(),
    "zero": lambda values: values.zero_(),
    "one bit": lambda values: values.view(-1)[:1].mul_(-1),
}


def corrupt(gates, replicas, lie):
    """Let some replicas compute with other weights at every gate."""
    for gate in gates:
        for replica in replicas:
            for values in gate.replica_tensors(replica).values():
                LIES[lie](values)
