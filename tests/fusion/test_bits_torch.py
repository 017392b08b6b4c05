"""Signs of zeros and ties on PyTorch, where a library may choose between equals as it likes."""

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs quorate[torch]")

from quorate.fusion import fuse  # noqa: E402
from quorate.fusion.names import find_rule  # noqa: E402
from tests.fusion.test_bits import PROTECTED  # noqa: E402


def bits(tensor):
    return tensor.numpy().tobytes()


@pytest.mark.parametrize("kind", ["float16", "float32", "float64"])
@pytest.mark.parametrize("rule", PROTECTED)
def test_a_copy_with_another_zero_does_not_replace_the_honest_row(rule, kind):
    n = find_rule(rule).least(1)
    for honest, lie in ((0.0, -0.0), (-0.0, 0.0)):
        row = torch.ones(8, dtype=getattr(torch, kind))
        row[0] = honest
        for liar in range(n):
            rows = row.repeat(n, 8, 1)
            rows[liar, :, 0] = lie
            assert bits(fuse(rows, rule, 1).values) == bits(row.repeat(8, 1)), liar


@pytest.mark.parametrize("rule", PROTECTED)
def test_no_order_of_replicas_turns_a_zero_round(rule):
    n = max(4, find_rule(rule).least(1))
    for seed in range(6):
        drawn = np.random.default_rng(seed)
        rows = torch.from_numpy(drawn.choice(np.array([-1.0, -0.0, 0.0, 1.0]), size=(n, 3, 2)))
        for kind in (torch.float32, torch.float64):
            found = fuse(rows.to(kind), rule, 1).values
            assert bits(fuse(rows.flip(0).to(kind), rule, 1).values) == bits(found)


def test_how_a_tensor_is_stored_decides_no_tie():
    for seed in range(20):
        drawn = np.random.default_rng(seed).integers(-3, 4, size=(7, 6, 9)) * 0.1
        scores = torch.from_numpy(drawn)
        turned = scores.permute(2, 1, 0).contiguous().permute(2, 1, 0)
        for rule in ("krum", "multi_krum", "nnm+krum"):
            assert bits(fuse(turned, rule, 2).values) == bits(fuse(scores, rule, 2).values)


def test_gradients_reach_the_rows_that_are_given_back():
    rows = torch.zeros(4, 1, 2)
    rows[0] = -0.0
    rows.requires_grad_(True)
    fuse(rows, "mean", 1).values.sum().backward()
    assert rows.grad.sum() == 2


def test_a_bool_of_another_library_is_no_whole_number():
    with pytest.raises(TypeError, match="give a whole number"):
        fuse(torch.zeros(4, 2), "median", torch.tensor(True))
    assert fuse(torch.zeros(4, 2), "median", torch.tensor(1)).faults == 1
