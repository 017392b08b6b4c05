"""The softmax gate: PyTorch's path against a twin, Triton's kernel against PyTorch's path.

No GPU is needed: the kernel runs in Triton's interpreter, in a process of its own.
"""

import os
import subprocess
import sys
from importlib.util import find_spec
from itertools import combinations

import pytest

pytest.importorskip("torch", reason="needs quorate[torch]")

import torch
from hypothesis import given
from hypothesis import strategies as st

from quorate.core.errors import UsageError
from quorate.core.quorum import quorum_size, tolerated_faults
from quorate.moe.fusing import median_of_some
from quorate.moe.kernels import softmax_gate, softmax_gate_torch

VALUES = st.sampled_from([0.0, 1.0, 2.0, -1.5, 3.25, 0.5, float("inf"), float("nan")])


def _top(row, k):
    return sorted(range(len(row)), key=lambda e: (-row[e], e))[:k]


def twin(rows, k, faults):
    """One token: (median, experts or None, support)."""
    n = len(rows)
    good = [row for row in rows if all(abs(value) < float("inf") for value in row)]
    if n - len(good) > faults:
        return [0.0] * len(rows[0]), None, None
    fused = []
    for column in zip(*good, strict=True):
        ordered = sorted(column)
        low, high = ordered[(len(good) - 1) // 2], ordered[len(good) // 2]
        fused.append(low if low == high else low / 2 + high / 2)
    chosen = _top(fused, k)
    support = sum(set(_top(row, k)) == set(chosen) for row in good)
    return fused, chosen if support >= quorum_size(n, faults) else None, support


@st.composite
def batches(draw):
    n, experts = draw(st.integers(1, 8)), draw(st.integers(1, 5))
    row = st.lists(VALUES, min_size=experts, max_size=experts)
    tokens = []
    for _ in range(draw(st.integers(1, 3))):
        common = draw(row)
        tokens.append([draw(st.one_of(st.just(common), row)) for _ in range(n)])
    return tokens, draw(st.integers(1, experts)), draw(st.integers(0, tolerated_faults(n)))


@given(batches())
def test_the_pytorch_path_is_as_its_twin(batch):
    tokens, k, faults = batch
    found = softmax_gate(torch.tensor(tokens).transpose(0, 1), k, faults)
    for t, rows in enumerate(tokens):
        fused, chosen, support = twin(rows, k, faults)
        assert found.logits[t].tolist() == fused
        assert bool(found.consensus[t]) == (chosen is not None)
        assert int(found.support[t]) == (support or 0)
        assert found.experts[t].tolist() == (chosen or [-1] * k)
        weights = torch.tensor([fused[e] for e in chosen]).softmax(0) if chosen else torch.zeros(k)
        torch.testing.assert_close(found.weights[t], weights)


@pytest.mark.parametrize(
    ("logits", "k", "faults"),
    [
        ([[1.0]], 1, None),
        (torch.zeros(2, 3), 1, None),
        (torch.zeros(2, 0, 3), 1, None),
        (torch.zeros(9, 1, 3), 1, None),
        (torch.zeros(4, 1, 3, dtype=torch.float64), 1, None),
        (torch.zeros(4, 1, 3), 0, None),
        (torch.zeros(4, 1, 3), 4, None),
        (torch.zeros(4, 1, 3), True, None),
        (torch.zeros(4, 1, 3), 1, 2),
    ],
)
def test_what_does_not_fit_is_refused(logits, k, faults):
    with pytest.raises(UsageError):
        softmax_gate(logits, k, faults)


def test_one_liar_of_four_is_outvoted_and_two_are_not():
    honest = torch.tensor([[0.1, 0.9, 0.3, 0.2]])
    rows = honest.repeat(4, 1, 1)
    plain = softmax_gate(rows, 2)
    assert plain.experts.tolist() == [[1, 2]]
    rows[3] = -rows[3] * 1e30
    assert torch.equal(softmax_gate(rows, 2).logits, honest)
    assert torch.equal(softmax_gate(rows, 2).weights, plain.weights)
    rows[0] = rows[3]
    assert softmax_gate(rows, 2).experts.tolist() == [[-1, -1]]
    rows[0], rows[3] = float("nan"), float("nan")
    assert not softmax_gate(rows, 2).consensus.any()


def test_where_too_many_are_not_finite_nobody_supports_anything():
    rows = torch.tensor([[[1.0, 2.0, 3.0]]]).repeat(4, 1, 1)
    rows[2:] = float("nan")
    assert softmax_gate_torch(rows, 1, 1).support.tolist() == [0]


@pytest.mark.parametrize("liars", list(combinations(range(7), 2)))
def test_liars_do_not_turn_the_sign_of_a_zero(liars):
    """By value both zeros are one: the median's bits are those of the honest rows all the same."""
    for honest in (0.0, -0.0):
        rows = torch.full((7, 1, 2), honest)
        rows[:, :, 1] = 1
        for liar in liars:
            rows[liar, :, 0] = -honest
        for found in (
            softmax_gate_torch(rows, 1, 2).logits,
            median_of_some(rows, torch.ones(7, 1, dtype=torch.bool)),
        ):
            assert bool(torch.signbit(found[0, 0])) == (str(honest) == "-0.0")


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16, torch.float64])
def test_the_median_orders_as_numbers_do(dtype):
    generator = torch.Generator().manual_seed(3)
    rows = torch.randn(5, 40, 6, generator=generator).to(dtype) * 100
    rows[0, 0, :2] = torch.tensor([torch.finfo(dtype).max, torch.finfo(dtype).min])
    found = median_of_some(rows, torch.ones(5, 40, dtype=torch.bool))
    assert torch.equal(found, rows.median(dim=0).values)


INTERPRETED = """
import torch
from quorate.moe.kernels import _kernel_serves, softmax_gate, softmax_gate_torch
from quorate.core.quorum import tolerated_faults
generator = torch.Generator().manual_seed(4)
compared = 0
for name, n, experts, k in (
    ("float32", 4, 5, 2), ("float32", 7, 20, 3), ("float32", 1, 1, 1),
    ("bfloat16", 2, 8, 8), ("bfloat16", 8, 16, 2), ("float16", 4, 8, 2), ("float16", 3, 8, 1),
):
    dtype = getattr(torch, name)
    common = torch.randn(1, 9, experts, generator=generator)
    noise = torch.randn(n, 9, experts, generator=generator)
    rows = (common + 0.3 * noise * (torch.arange(9) % 3)[None, :, None]).to(dtype)
    rows[:, 3] = rows[0, 3].round()  # ties within a row
    rows[0, 4] = float("nan")
    rows[-1, 5, 0] = float("inf")
    rows[n // 2, 6] = 60000.0
    rows[: n // 2 + 1, 7] = -float("inf")
    rows[:, 8] = -0.0 * rows[:, 8].abs()  # both zeros
    rows[0, 8] = 0.0
    assert _kernel_serves(rows)
    faults = tolerated_faults(n)
    ours, theirs = softmax_gate(rows, k, faults), softmax_gate_torch(rows, k, faults)
    assert ours.logits.dtype == dtype
    whole = torch.int32 if name == "float32" else torch.int16
    assert torch.equal(ours.logits.view(whole), theirs.logits.view(whole)), (dtype, n)
    assert torch.equal(ours.consensus, theirs.consensus), (dtype, n)
    assert torch.equal(ours.experts, theirs.experts), (dtype, n)
    assert torch.equal(ours.support, theirs.support), (dtype, n)
    torch.testing.assert_close(ours.weights, theirs.weights)
    compared += int(ours.consensus.sum())
print("compared", compared)
"""


@pytest.mark.skipif(
    find_spec("triton") is None, reason="Triton is missing; it comes with GPU builds"
)
def test_the_kernel_gives_the_same_in_the_interpreter():
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", INTERPRETED],
        capture_output=True, text=True, check=False, env={**os.environ, "TRITON_INTERPRET": "1"},
    )  # fmt: skip
    assert done.stdout.startswith("compared "), done.stderr
    assert int(done.stdout.split()[1]) > 20
