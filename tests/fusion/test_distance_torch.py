"""The rules on PyTorch tensors: NumPy's results, on every device and type."""

import numpy as np
import pytest

from quorate.core.errors import NoQuorum
from quorate.fusion import (
    RULES,
    attacks,
    bucketing,
    centered_clipping,
    fuse,
    krum,
    nearest_neighbour_mixing,
    robust_aggregate,
    robust_route,
)
from quorate.fusion.names import find_rule

torch = pytest.importorskip("torch", reason="needs quorate[torch]")

NAMES = [*RULES, "nnm+krum", "nnm+median", "bucketing+median"]
DEVICES = ["cpu", *(["cuda"] if torch.cuda.is_available() else [])]


def rows_of(seed, *shape):
    return torch.from_numpy(np.random.default_rng(seed).normal(size=shape))


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("rule", NAMES)
def test_tensors_get_what_arrays_get(rule, device):
    vectors = rows_of(1, 9, 6, 5)
    vectors[0, 2, 1] = torch.nan
    vectors[:3, 4] = torch.inf
    for dtype in (torch.float32, torch.float64):
        given = vectors.to(dtype)
        fusion, plain = fuse(given.to(device), rule, 2), fuse(given.numpy(), rule, 2)
        assert fusion.values.dtype == dtype
        assert fusion.values.device.type == fusion.quorum.device.type == device
        assert fusion.quorum.tolist() == plain.quorum.tolist()
        assert fusion.dropped.tolist() == plain.dropped.tolist()
        close = 1e-5 if dtype == torch.float32 else 1e-9
        assert fusion.values.cpu().numpy() == pytest.approx(plain.values, abs=close)


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", "float64"])
@pytest.mark.parametrize("rule", [name for name in NAMES if name != "mean"])
def test_equal_honest_rows_come_back_bit_for_bit(rule, dtype, device):
    kind = getattr(torch, dtype)
    honest = rows_of(2, 1, 20, 5).to(kind)
    n = max(7, find_rule(rule).least(2))
    liars = (rows_of(3, 2, 20, 5) * 10).to(kind)
    rows = torch.cat([liars[:1], honest.repeat(n - 2, 1, 1), liars[1:]]).to(device)
    assert torch.equal(robust_aggregate(rows, rule, 2).cpu(), honest[0])


@pytest.mark.parametrize("rule", NAMES)
def test_the_order_of_replicas_changes_no_bit(rule):
    rows = rows_of(4, 9, 30, 4).to(torch.bfloat16)  # coarse: many ties
    first = robust_aggregate(rows, rule, 2)
    turned = rows[torch.tensor([3, 1, 8, 0, 2, 7, 6, 5, 4])]
    assert torch.equal(robust_aggregate(turned, rule, 2), first)


@pytest.mark.parametrize("device", DEVICES)
def test_functions_with_parameters(device):
    rows = rows_of(5, 7, 3, 4)
    there = rows.to(device)
    assert krum(there, 2, neighbours=4).cpu().numpy().tolist() == (
        krum(rows.numpy(), 2, neighbours=4).tolist()
    )
    centre = torch.zeros(3, 4, dtype=torch.float64, device=device)
    clipped = centered_clipping(there, centre=centre, radius=1.0, steps=2)
    plain = centered_clipping(rows.numpy(), centre=np.zeros((3, 4)), radius=1.0, steps=2)
    assert clipped.cpu().numpy() == pytest.approx(plain)
    for step in (nearest_neighbour_mixing, lambda rows, f: bucketing(rows, 2, faults=1)):
        assert step(there, 2).cpu().numpy() == pytest.approx(step(rows.numpy(), 2))
    shuffled = bucketing(there, 2, faults=1, order=[6, 5, 4, 3, 2, 1, 0])
    assert shuffled[0].cpu().numpy() == pytest.approx((rows[6] + rows[5]).numpy() / 2)


@pytest.mark.parametrize("device", DEVICES)
def test_routes_are_tensors_and_no_quorum_is_said(device):
    scores = rows_of(6, 4, 8, 5).to(device)
    routes = robust_route(scores)
    assert routes.dtype == torch.int64
    assert routes.tolist() == robust_route(scores.cpu().numpy()).tolist()
    assert type(robust_route(scores[:, 0])) is int
    scores[:2, 3] = torch.nan
    with pytest.raises(NoQuorum, match="1 of 8 tokens"):
        robust_route(scores)


def test_gradients_flow_through_the_rules():
    for rule in ("krum", "multi_krum", "median"):
        rows = rows_of(7, 5, 2, 3).requires_grad_(requires_grad=True)
        robust_aggregate(rows, rule, 1).sum().backward()
        assert torch.isfinite(rows.grad).all()
        assert rows.grad.sum() == pytest.approx(6.0)


@pytest.mark.parametrize("name", ["sign_flip", "a_little_is_enough", "mimic", "infinity", "nan"])
def test_attacks_send_tensors(name):
    honest = rows_of(8, 4, 3, 2)
    sent = getattr(attacks, name)(honest, 2)
    plain = getattr(attacks, name)(honest.numpy(), 2)
    assert sent.dtype == honest.dtype
    assert sent.numpy() == pytest.approx(plain, nan_ok=True)


def test_collusion_is_searched_on_tensors_too():
    honest = rows_of(9, 4, 3, 2)
    sent = attacks.colluding_optimum(honest, 1, rule="median")
    assert sent.numpy() == pytest.approx(
        attacks.colluding_optimum(honest.numpy(), 1, rule="median")
    )
