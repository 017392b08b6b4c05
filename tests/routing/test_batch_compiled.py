"""Compiled kernels give what the plain rules give."""

import numpy as np
import pytest

pytest.importorskip("numba", reason="needs quorate[fast]")

from hypothesis import given, settings
from hypothesis import strategies as st

from quorate.routing import compiled, route_batch, route_logits
from tests.routing.test_batch import batches
from tests.routing.test_logits import BY_REPLICA, OUTCOMES, RULES, logits

pytestmark = pytest.mark.timeout(600)  # what is not compiled yet is compiled here


@pytest.fixture(scope="module")
def either():
    """Runs a call with kernels, however little there is to do, and without."""

    def both(call):
        with pytest.MonkeyPatch.context() as patch:
            results = []
            for least in (0, 1 << 62):
                patch.setattr(compiled, "LEAST_VOTES", least)
                patch.setattr(compiled, "LEAST_LOGITS", least)
                results.append(call())
            return results

    return both


def same(one, other, names, **close):
    for name in names:
        ours, theirs = getattr(one, name), getattr(other, name)
        assert ours.dtype == theirs.dtype
        if name in close:
            np.testing.assert_allclose(ours, theirs, rtol=close[name], err_msg=name)
        else:
            assert np.array_equal(ours, theirs), name


VOTES = ["expert", "count", "consensus", "dissent", "void"]
EXACT = [*OUTCOMES, *BY_REPLICA]


@settings(deadline=None)
@given(votes=batches(), experts=st.none() | st.sampled_from([1, 2, 127, 255, 256, 2**40]))
def test_votes_are_counted_the_same(either, votes, experts):
    same(*either(lambda: route_batch(votes, experts=experts)), VOTES)


@pytest.mark.parametrize("replicas", [1, 4, 7, 64])
@pytest.mark.parametrize("kind", [np.uint8, np.int16])
def test_many_votes_are_counted_the_same(either, replicas, kind):
    generator = np.random.default_rng(replicas)
    votes = generator.integers(0, 4, (replicas, 70_001)).astype(kind)
    votes[: replicas // 2 + 1, ::3] = 1
    votes[:, 5::7] = 3
    same(*either(lambda: route_batch(votes, experts=3)), VOTES)


@settings(deadline=None, max_examples=60)
@given(rows=logits(), rule=st.sampled_from(RULES), data=st.data())
def test_logits_are_routed_the_same(either, rows, rule, data):
    k = data.draw(st.integers(1, rows.shape[2]))
    one, other = either(lambda: route_logits(rows.astype(np.float32), rule=rule, k=k))
    same(one, other, EXACT, weights=1e-6, deviation=1e-9)


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize(("experts", "k"), [(1, 1), (8, 2), (17, 17), (33, 5), (256, 8)])
@pytest.mark.parametrize("attack", [0, 1, 2, 3])
def test_many_tokens_are_routed_the_same(either, rule, experts, k, attack):
    generator = np.random.default_rng(experts)
    base = generator.normal(size=(333, experts)).astype(np.float32)
    rows = base + generator.normal(size=(7, 333, experts)).astype(np.float32) * 1e-3
    if attack == 1:
        rows[:2] = -rows[:2]
    elif attack == 2:
        rows[3, 5::100] = np.nan
    elif attack == 3:
        rows = np.round(rows)
    one, other = either(lambda: route_logits(rows, rule=rule, k=k))
    same(one, other, EXACT, weights=1e-6, deviation=1e-9)
    turned = either(lambda: route_logits(np.asfortranarray(rows), rule=rule, k=k))
    same(turned[0], other, OUTCOMES, weights=1e-6)


@pytest.mark.parametrize("replicas", [1, 2, 4, 16, 17])
def test_any_number_of_replicas_is_routed_the_same(either, replicas):
    rows = np.random.default_rng(replicas).normal(size=(1, 100, 9)).astype(np.float32)
    rows = rows + np.zeros((replicas, 1, 1), dtype=np.float32)
    one, other = either(lambda: route_logits(rows, k=3))
    same(one, other, EXACT, weights=1e-6, deviation=1e-9)
    assert one.consensus.all()
