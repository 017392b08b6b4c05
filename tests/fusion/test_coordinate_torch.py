"""The coordinate-wise rules on PyTorch tensors: NumPy's bits, on every device and type."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quorate.fusion import compiled
from quorate.fusion.arrays import floats_of, keys_of
from quorate.fusion.rules import coordinate
from quorate.fusion.rules.coordinate import (
    finite_median_of,
    mean_around_median_of,
    median_of,
    trimmed_of,
)
from tests.fusion import naive_coordinate as naive
from tests.fusion.naive_coordinate import clean_vectors

torch = pytest.importorskip("torch", reason="needs quorate[torch]")

_RULES = {
    "median": lambda vectors, f: median_of(vectors),
    "trimmed": trimmed_of,
    "near": mean_around_median_of,
}
_TYPES = ["float16", "bfloat16", "float32", "float64"]
_DEVICES = ["cpu", *(["cuda"] if torch.cuda.is_available() else [])]


def bits(tensor):
    return keys_of(tensor).cpu().numpy().tobytes()


def some(dtype, n, length, seed=0):
    """Rows with many ties, both zeros and the ends of the type's range."""
    about, kind = torch.finfo(dtype), {"generator": torch.Generator().manual_seed(seed)}
    small = float(about.smallest_normal)
    edges = [0.0, -0.0, 1.0, -1.0, 3.0, small, -small / 2, about.max, about.min, about.max / 2]
    values = torch.tensor(edges, dtype=torch.float64).to(dtype)
    return values[torch.randint(len(edges), (n, length), **kind)]


@pytest.mark.parametrize("rule", _RULES)
@settings(max_examples=60)
@given(vectors=clean_vectors(), data=st.data())
def test_same_bits_as_numpy(rule, vectors, data):
    f = data.draw(st.integers(0, (len(vectors) - 1) // 2))
    tensor = torch.from_numpy(vectors.copy())
    result = _RULES[rule](tensor, f)
    assert result.dtype == tensor.dtype
    assert result.numpy().tobytes() == _RULES[rule](vectors, f).tobytes()


@pytest.mark.parametrize("device", _DEVICES)
@pytest.mark.parametrize("rule", _RULES)
@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
@pytest.mark.parametrize("n", [2, 3, 4, 7, 10, 65])
def test_the_way_of_other_devices_gives_the_same_bits(device, rule, dtype, n, monkeypatch):
    """What GPUs take, taken on any device."""
    vectors = some(getattr(torch, dtype), n, 300)
    f = (n - 1) // 3
    expected = bits(_RULES[rule](vectors, f))
    monkeypatch.setattr(coordinate, "_shared_with_numpy", lambda tensor: False)
    result = _RULES[rule](vectors.to(device), f)
    assert result.device.type == device
    assert bits(result) == expected


@pytest.mark.parametrize("device", _DEVICES)
@pytest.mark.parametrize("n", [3, 4, 7, 65])
def test_bfloat16_beside_the_twin(device, n):
    """The halves and means of bfloat16 are those of float32, rounded once."""
    vectors = some(torch.bfloat16, n, 200).to(device)
    result = median_of(vectors)
    assert result.dtype == torch.bfloat16
    as_float32 = torch.from_numpy(naive.median(vectors.float().cpu().numpy()))
    assert (result.cpu() == as_float32.bfloat16()).all()
    f = (n - 1) // 3
    kept = vectors.float().cpu().sort(dim=0).values[f : n - f]
    result = trimmed_of(vectors, f).float().cpu()
    assert (kept[0] <= result).all()
    assert (result <= kept[-1]).all()
    near = kept.double().mean(dim=0)
    plain = near.abs() < 1e30
    assert torch.allclose(result[plain].double(), near[plain], rtol=2**-7, atol=1e-37)


@pytest.mark.parametrize("device", _DEVICES)
@pytest.mark.parametrize("rule", _RULES)
@pytest.mark.parametrize("dtype", _TYPES)
@pytest.mark.parametrize(("n", "f"), [(4, 1), (7, 2), (10, 3), (67, 22)])
def test_equal_honest_rows_come_back_bit_for_bit(device, rule, dtype, n, f):
    vectors = some(getattr(torch, dtype), n, 500, seed=1).to(device)
    honest = torch.randperm(n, generator=torch.Generator().manual_seed(n))[f:]
    vectors[honest.to(device)] = vectors[int(honest[0])].clone()
    assert bits(_RULES[rule](vectors, f)) == bits(vectors[int(honest[0])])
    assert bits(_RULES[rule](vectors.flip(0), f)) == bits(vectors[int(honest[0])])


@pytest.mark.parametrize("dtype", _TYPES)
def test_keys_order_and_give_back_all_bits(dtype):
    values = some(getattr(torch, dtype), 1, 400)[0]
    keys = keys_of(values)
    assert keys.dtype.itemsize == values.dtype.itemsize
    assert bits(floats_of(keys, values)) == bits(values)
    assert ((values[:, None] < values) <= (keys[:, None] < keys)).all()
    zeros = torch.tensor([-0.0, 0.0], dtype=values.dtype)
    assert keys_of(zeros)[0] + 1 == keys_of(zeros)[1]


@pytest.mark.parametrize("rule", _RULES)
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_gradients_reach_the_chosen_values(rule, dtype):
    vectors = torch.tensor([[1.0], [2.0], [4.0], [100.0]], dtype=getattr(torch, dtype))
    plain = _RULES[rule](vectors, 1)
    vectors.requires_grad_()
    result = _RULES[rule](vectors, 1)
    assert bits(result) == bits(plain)
    result.sum().backward()
    assert vectors.grad.sum().item() == pytest.approx(1, rel=0.01)
    assert vectors.grad[3].item() == 0
    assert vectors.grad[1].item() > 0
    with torch.no_grad():
        assert not _RULES[rule](vectors, 1).requires_grad


def test_views_and_one_replica():
    vectors = torch.arange(24.0).reshape(4, 2, 3)
    turned = vectors.permute(0, 2, 1)
    assert torch.equal(median_of(turned), median_of(turned.contiguous()))
    alone = median_of(vectors[:1])
    alone += 1
    assert vectors[0, 0, 0] == 0


@pytest.mark.parametrize("length", [3, compiled.FEWEST_VALUES])
@pytest.mark.parametrize("dtype", ["bfloat16", "float32"])
def test_finite_or_nothing(length, dtype):
    vectors = torch.zeros((4, length), dtype=getattr(torch, dtype))
    assert bits(finite_median_of(vectors)) == bits(vectors[0])
    vectors[3, 1] = float("nan")
    assert finite_median_of(vectors) is None


def test_a_median_of_tensors_is_that_of_numpy_at_scale():
    vectors = np.random.default_rng(0).normal(size=(5, 70_001)).astype(np.float32)
    assert median_of(torch.from_numpy(vectors)).numpy().tobytes() == median_of(vectors).tobytes()
