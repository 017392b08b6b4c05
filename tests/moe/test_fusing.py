"""Fusing rows against a twin that goes token by token."""

import math
import statistics

import pytest

pytest.importorskip("torch", reason="needs quorate[torch]")

import torch
from hypothesis import given
from hypothesis import strategies as st

from quorate.core.quorum import quorum_size, tolerated_faults
from quorate.moe.fusing import Rules, fuse_rows, median_of_some

# Few values, so that equal rows, ties and both zeros are common.
VALUES = st.sampled_from([0.0, -0.0, 1.0, 2.0, -1.5, 3.25, math.inf, math.nan])
K = 2


def choose(logits):
    """Top-k by score, ties to the lowest index; the model's own scoring in these tests."""
    order = torch.argsort(logits, dim=-1, descending=True, stable=True)
    return order[:, :K].sort(dim=-1).values


def _choice(row):
    return sorted(sorted(range(len(row)), key=lambda e: (-row[e], e))[:K])


def _median(values):
    low, high = statistics.median_low(values), statistics.median_high(values)
    return low if low == high else low / 2 + high / 2


def _bits(row):
    return [(value, math.copysign(1, value)) for value in row]


def twin(rows, rules):
    """One token: (fused row, quorum, agreeing replicas, void replicas)."""
    n = len(rows)
    good = [i for i in range(n) if rows[i] is not None and all(map(math.isfinite, rows[i]))]
    void = [i not in good for i in range(n)]
    if n - len(good) > rules.faults:
        return None, False, None, void
    own = {i: _choice(rows[i]) for i in good}
    same = [
        i for i in good if sum(_bits(rows[j]) == _bits(rows[i]) for j in good) >= n - rules.faults
    ]
    if rules.copies and same:
        fused = rows[same[0]]
    else:
        part = good
        if rules.name == "vote":
            most = max(sum(own[j] == own[i] for j in good) for i in good)
            first = next(i for i in good if sum(own[j] == own[i] for j in good) == most)
            part = [i for i in good if own[i] == own[first]]
        fused = [_median([rows[i][e] for i in part]) for e in range(len(rows[good[0]]))]
    agrees = [i in good and own[i] == _choice(fused) for i in range(n)]
    return fused, sum(agrees) >= rules.quorum, agrees, void


@st.composite
def batches(draw):
    n = draw(st.integers(1, 7))
    experts = draw(st.integers(K, 4))
    row = st.lists(VALUES, min_size=experts, max_size=experts)
    tokens = []
    for _ in range(draw(st.integers(1, 4))):
        honest = draw(row)
        tokens.append([draw(st.one_of(st.just(honest), st.just(honest), row)) for _ in range(n)])
    absent = draw(st.sets(st.integers(0, n - 1), max_size=max(0, n - 1)))
    faults = draw(st.integers(0, tolerated_faults(n)))
    name = draw(st.sampled_from(["median", "vote"]))
    return tokens, absent, Rules(name, faults, quorum_size(n, faults), draw(st.booleans()))


@given(batches())
def test_as_its_twin(batch):
    tokens, absent, rules = batch
    n = len(tokens[0])
    rows = [None if i in absent else torch.tensor([token[i] for token in tokens]) for i in range(n)]
    found = fuse_rows(rows, rules, choose)
    for t, token in enumerate(tokens):
        fused, quorum, agrees, void = twin(
            [None if i in absent else token[i] for i in range(n)], rules
        )
        assert bool(found.quorum[t]) == quorum
        if found.void is not None:
            assert found.void[:, t].tolist() == void
        if fused is None:
            continue
        assert found.logits[t].tolist() == fused
        if found.agrees is not None:
            assert found.agrees[:, t].tolist() == agrees
        else:
            assert all(agrees[i] or i in absent for i in range(n))


@given(
    st.lists(st.lists(st.integers(-4, 4), min_size=3, max_size=3), min_size=1, max_size=7),
    st.data(),
)
def test_median_of_some_is_that_of_the_chosen(rows, data):
    chosen = data.draw(st.lists(st.booleans(), min_size=len(rows), max_size=len(rows)).filter(any))
    found = median_of_some(
        torch.tensor(rows, dtype=torch.float64)[:, None], torch.tensor(chosen)[:, None]
    )
    part = [row for row, take in zip(rows, chosen, strict=True) if take]
    assert found[0].tolist() == [statistics.median(column) for column in zip(*part, strict=True)]


def test_the_sign_of_zero_is_that_of_the_quorum():
    honest, liar = torch.tensor([[0.0, 1.0, -2.0]]), torch.tensor([[-0.0, 1.0, -2.0]])
    for place in range(4):
        rows = [liar if i == place else honest for i in range(4)]
        for name in ("median", "vote"):
            found = fuse_rows(rows, Rules(name, 1, 3, copies=True), choose)
            assert not torch.signbit(found.logits[0, 0])
            assert found.named[:, 0].tolist() == [i == place for i in range(4)]


def test_a_vote_whose_median_chooses_otherwise_has_no_quorum():
    # Each of the three chooses {0, 1}, but the median of their logits chooses {0, 2}.
    rows = [[9, 8, 7, 7.5], [9, 1, 0, 0.5], [9, 1, 0.9, 0.5]]
    honest = [torch.tensor([row]) for row in rows]
    split = torch.tensor([[0.0, 0.0, 9.0, 8.0]])
    found = fuse_rows([*honest, split], Rules("vote", 1, 3, copies=False), choose)
    assert found.quorum.tolist() == [True]
    assert choose(found.logits).tolist() == [[0, 1]]
    assert found.agrees[:, 0].tolist() == [True, True, True, False]


def test_half_of_each_never_overflows():
    top = torch.finfo(torch.float16).max
    rows = torch.tensor([[top], [top * 0.5]], dtype=torch.float16)[:, None]
    found = median_of_some(rows, torch.ones(2, 1, dtype=torch.bool))
    assert found.isfinite().all()
