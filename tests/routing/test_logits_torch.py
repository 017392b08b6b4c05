"""PyTorch tensors are routed as NumPy arrays are, and stay where they are."""

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs quorate[torch]")

from hypothesis import given, settings  # noqa: E402 - after the skip
from hypothesis import strategies as st  # noqa: E402

from quorate.routing import (  # noqa: E402
    assign,
    load_balancing_loss,
    noisy_top_k,
    route_logits,
    softmax,
    top_k,
    z_loss,
)
from tests.routing.test_gate import tables  # noqa: E402
from tests.routing.test_logits import BY_REPLICA, OUTCOMES, RULES, logits  # noqa: E402


@settings(max_examples=100)
@given(logits(), st.sampled_from(RULES), st.data())
def test_tensors_are_routed_as_arrays_are(rows, rule, data):
    k = data.draw(st.integers(1, rows.shape[2]))
    tensor = torch.from_numpy(rows.copy())
    got, wanted = route_logits(tensor, rule=rule, k=k), route_logits(rows.copy(), rule=rule, k=k)
    for name in [*OUTCOMES, *BY_REPLICA]:
        ours, theirs = getattr(got, name), getattr(wanted, name)
        assert isinstance(ours, torch.Tensor)
        assert str(ours.dtype) == f"torch.{theirs.dtype}"
        if ours.dtype.is_floating_point:
            np.testing.assert_allclose(ours.numpy(), theirs, rtol=1e-6, err_msg=name)
        else:
            assert np.array_equal(ours.numpy(), theirs), name


@pytest.mark.parametrize("kind", [torch.bfloat16, torch.float16])
def test_half_floats_are_routed_as_their_values_are(kind):
    rows = torch.randn((4, 50, 6), generator=torch.Generator().manual_seed(1)).to(kind)
    rows[1:] = rows[0]
    got = route_logits(rows, k=2)
    wanted = route_logits(rows.to(torch.float64).numpy(), k=2)
    assert np.array_equal(got.experts.numpy(), wanted.experts)
    assert got.weights.dtype == kind
    np.testing.assert_allclose(got.weights.float().numpy(), wanted.weights, atol=0.01)


@pytest.mark.parametrize("rule", RULES)
def test_results_stay_on_the_device(rule):
    if not torch.cuda.is_available():
        pytest.skip("needs a CUDA device")
    rows = torch.randn((4, 64, 8))
    there = route_logits(rows.cuda(), rule=rule, k=2)
    here = route_logits(rows, rule=rule, k=2)
    for name in [*OUTCOMES, *BY_REPLICA]:
        assert getattr(there, name).is_cuda
        torch.testing.assert_close(getattr(there, name).cpu(), getattr(here, name))


@given(tables(masked=True), st.data())
def test_the_gate_gives_the_same(scores, data):
    k = data.draw(st.integers(1, scores.shape[1]))
    tensor = torch.from_numpy(scores)
    experts, values = top_k(scores, k)
    theirs = top_k(tensor, k)
    assert np.array_equal(theirs[0].numpy(), experts)
    assert np.array_equal(theirs[1].numpy(), values)
    capacity = data.draw(st.integers(1, 5))
    got, wanted = assign(tensor, k, capacity), assign(scores, k, capacity)
    for name in ("experts", "places", "load"):
        assert np.array_equal(getattr(got, name).numpy(), getattr(wanted, name))
    assert (got.dropped, got.rerouted) == (wanted.dropped, wanted.rerouted)


@given(tables())
def test_the_losses_are_the_same(scores):
    tensor = torch.from_numpy(scores)
    experts, weights = noisy_top_k(tensor, tensor * 0.5, 1, spread=2.0)
    mine, masses = noisy_top_k(scores, scores * scores.dtype.type(0.5), 1, spread=2.0)
    assert np.array_equal(experts.numpy(), mine)
    np.testing.assert_allclose(weights.numpy(), masses)
    shares = softmax(tensor)
    np.testing.assert_allclose(shares.numpy(), softmax(scores), rtol=2e-3)
    np.testing.assert_allclose(z_loss(tensor).item(), z_loss(scores), rtol=1e-5, atol=1e-6)
    loss = load_balancing_loss(shares, experts)
    wanted = load_balancing_loss(shares.numpy(), experts.numpy())
    np.testing.assert_allclose(loss.item(), wanted, rtol=1e-5)


def test_losses_and_weights_carry_gradients():
    scores = torch.randn((6, 4), generator=torch.Generator().manual_seed(2), requires_grad=True)
    experts, weights = noisy_top_k(scores, torch.zeros_like(scores), 2)
    loss = load_balancing_loss(softmax(scores), experts) + z_loss(scores) + weights[:, 0].sum()
    loss.backward()
    assert scores.grad.abs().sum() > 0


@pytest.mark.parametrize("kind", [torch.uint8, torch.int8, torch.int32])
def test_chosen_experts_may_be_of_any_width(kind):
    # More experts than the narrowest type counts.
    even = torch.full((2, 300), 1 / 300)
    experts = torch.tensor([[0], [2]])
    assert load_balancing_loss(even, experts.to(kind)) == load_balancing_loss(even, experts)


def test_a_spread_is_of_the_logits_kind_and_size():
    scores = torch.zeros(4, 3)
    with pytest.raises(TypeError, match="of the logits' kind"):
        noisy_top_k(scores, scores, 1, spread=np.ones(3))
    with pytest.raises(ValueError, match="broadcast"):
        noisy_top_k(scores, scores, 1, spread=torch.ones(2))
    assert noisy_top_k(scores, scores, 1, spread=torch.ones(4, 1))[0].shape == (4, 1)
