"""Logits of many tokens at once, beside plain loops and against replicas that lie."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quorate.core.errors import UsageError, UsageTypeError
from quorate.core.quorum import Quorum, tolerated_faults
from quorate.routing import route_logits, rules_logits
from tests.routing import naive_batch

RULES = ["median", "vote"]
OUTCOMES = ["experts", "weights", "consensus", "support"]
BY_REPLICA = ["deviation", "dissent", "dropped"]


@st.composite
def logits(draw, least=1):
    """Few different values, so that ties abound; rows that are not finite; replicas alike."""
    shape = draw(st.integers(least, 7)), draw(st.integers(1, 4)), draw(st.integers(1, 5))
    generator = np.random.default_rng(draw(st.integers(0, 2**32)))
    rows = generator.integers(-2, 3, shape) / draw(st.sampled_from([1.0, 8.0]))
    alike = draw(st.integers(0, shape[0]))
    rows[:alike] = rows[0]
    rows[rows == 0] *= generator.choice([-1.0, 1.0])
    broken = generator.random(shape) < draw(st.sampled_from([0.0, 0.0, 0.05]))
    rows[broken] = generator.choice([np.nan, np.inf, -np.inf], int(broken.sum()))
    return rows.astype(draw(st.sampled_from([np.float32, np.float64])))


def same_as_naive(rows, got, rule, k, faults=None):
    quorum = Quorum(len(rows), faults)
    wanted = naive_batch.route_logits(rows.tolist(), rule, quorum.faults, quorum.size, k)
    for name in [*OUTCOMES, *BY_REPLICA]:
        found = np.asarray(getattr(got, name), dtype=np.float64)
        np.testing.assert_allclose(found, wanted[name], rtol=1e-5, atol=1e-6, err_msg=name)
    assert (got.quorum, got.faults, got.rule) == (quorum.size, quorum.faults, rule)


@settings(max_examples=200)
@given(logits(), st.sampled_from(RULES), st.data())
def test_every_token_is_routed_as_by_hand(rows, rule, data):
    k = data.draw(st.integers(1, rows.shape[2]))
    faults = data.draw(st.integers(0, tolerated_faults(len(rows))))
    before = rows.copy()
    same_as_naive(before, route_logits(rows, rule=rule, k=k, faults=faults), rule, k, faults)
    assert np.array_equal(rows, before, equal_nan=True)


@given(logits(), st.sampled_from(RULES), st.data())
def test_the_order_of_replicas_never_changes_the_outcome(rows, rule, data):
    k = data.draw(st.integers(1, rows.shape[2]))
    order = data.draw(st.permutations(range(len(rows))))
    one = route_logits(rows.copy(), rule=rule, k=k)
    other = route_logits(rows[list(order)], rule=rule, k=k)
    for name in OUTCOMES:
        assert np.array_equal(getattr(one, name), getattr(other, name)), name
    for name in BY_REPLICA:
        assert np.array_equal(getattr(one, name)[list(order)], getattr(other, name)), name


@pytest.mark.parametrize("rule", RULES)
def test_blocks_make_the_same_as_one(rule, monkeypatch):
    rows = np.random.default_rng(3).normal(size=(5, 700, 6))
    rows[1:] = rows[0] + 0.01 * rows[1:]
    rows[4, ::50, 2] = np.nan
    whole = route_logits(rows, rule=rule, k=2)
    same_as_naive(rows, whole, rule, 2)
    monkeypatch.setattr(rules_logits, "_BLOCK_BYTES", 1)
    parts = route_logits(rows, rule=rule, k=2)
    for name in OUTCOMES:
        assert np.array_equal(getattr(whole, name), getattr(parts, name))


def attacked(rule, lie, k=2):
    """Five honest replicas that rank alike on scales of their own, and two that send ``lie``."""
    generator = np.random.default_rng(8)
    base = generator.normal(size=(200, 6))
    honest = np.stack([base * scale + shift for scale, shift in [(1, 0), (2, 1), (3, -2)] * 2])[:5]
    wanted = np.sort(np.argsort(-base, axis=-1)[:, :k], axis=-1)
    got = route_logits(np.concatenate([lie(honest), honest]), rule=rule, k=k)
    return got, wanted


LIES = {
    "flipped": lambda honest: -10 * honest[:2],
    "huge": lambda honest: np.roll(honest[:2], 1, axis=-1) * 1e300,
    "another's choice": lambda honest: np.roll(honest[:2], 1, axis=-1),
    "nan": lambda honest: np.full_like(honest[:2], np.nan),
    "infinite": lambda honest: np.where(honest[:2] > 0, -np.inf, np.inf),
    "even": lambda honest: np.zeros_like(honest[:2]),
}


@pytest.mark.parametrize("lie", LIES)
@pytest.mark.parametrize("rule", RULES)
def test_liars_never_choose_where_the_honest_agree(rule, lie):
    got, wanted = attacked(rule, LIES[lie])
    mine = np.sort(got.experts, axis=-1)
    assert ((mine == wanted).all(axis=-1) | ~got.consensus).all()
    assert (got.experts[~got.consensus] == -1).all()
    assert (got.weights[~got.consensus] == 0).all()
    if rule == "vote":
        assert got.consensus.all()
        np.testing.assert_allclose(got.weights.sum(axis=-1), 1)


def test_without_a_quorum_of_supporters_a_fusion_misroutes(monkeypatch):
    class Nothing(Quorum):
        def __init__(self, n, faults=None):
            super().__init__(n, faults)
            object.__setattr__(self, "size", 0)

    monkeypatch.setattr(rules_logits, "Quorum", Nothing)
    got, wanted = attacked("median", LIES["huge"])
    assert not (np.sort(got.experts, axis=-1) == wanted).all()


def test_votes_of_liars_and_a_minority_of_the_honest_are_no_quorum(monkeypatch):
    # Two liars and two of five honest replicas: four of seven, a majority of all.
    rows = np.zeros((7, 1, 2))
    rows[:4, :, 1], rows[4:, :, 0] = 1.0, 1.0
    assert not route_logits(rows, rule="vote").consensus.any()

    class Majority(Quorum):
        def __init__(self, n, faults=None):
            super().__init__(n, faults)
            object.__setattr__(self, "size", n // 2 + 1)

    monkeypatch.setattr(rules_logits, "Quorum", Majority)
    assert route_logits(rows, rule="vote").experts.tolist() == [[1]]


@pytest.mark.parametrize("lie", [1e30, -1e30, 0.0])
def test_weights_of_a_vote_stay_within_the_honest_range(lie):
    # The liar supports the choice, and lies about how much better it is.
    rows = np.array([[[3.0, 2.0, 0.0]], [[3.5, 2.0, 0.0]], [[4.0, 2.0, 0.0]], [[3.0, 2.0, 0.0]]])
    rows[3, 0, 0] = lie
    got = route_logits(rows, rule="vote", k=2)
    ratio = got.weights[0, 0] / got.weights[0, 1]
    assert np.exp(1.0) <= ratio * (1 + 1e-12)
    assert ratio <= np.exp(2.0) * (1 + 1e-12)


def test_deviation_tells_who_is_far_off():
    rows = np.tile(np.arange(6.0).reshape(1, 2, 3), (4, 1, 1))
    rows[1] += 0.5
    rows[2] = np.nan
    got = route_logits(rows, k=1)
    np.testing.assert_allclose(got.deviation[[0, 1, 3]], [0, 0.5, 0])
    assert got.deviation[2] == np.inf
    assert got.dropped.tolist() == [0, 0, 2, 0]
    assert got.dissent.tolist() == [0, 0, 2, 0]


def test_half_floats_and_lists_are_taken():
    rows = np.array([[[1, 3, 2]]] * 4, dtype=np.float16)
    assert route_logits(rows, k=2).weights.dtype == np.float16
    got = route_logits(rows.tolist(), k=3)
    assert got.experts.tolist() == [[1, 2, 0]]
    np.testing.assert_allclose(got.weights, [naive_batch.softmax([3, 2, 1])])


def test_other_rules_of_fusion_route_too():
    rows = np.random.default_rng(1).normal(size=(7, 30, 4))
    rows[1:] = rows[1] + 0.001 * rows[1:]
    for rule in ("trimmed_mean", "krum", "nnm+median"):
        got = route_logits(rows, rule=rule, k=1)
        agreed = got.experts[:, 0] == rows[1].argmax(axis=-1)
        assert agreed[got.consensus].all()
        assert got.consensus.mean() > 0.9


@pytest.mark.parametrize(
    ("rows", "options", "kind", "words"),
    [
        (np.zeros((4, 3)), {}, UsageError, "shape"),
        (np.zeros((4, 0, 3)), {}, UsageError, "empty"),
        (np.zeros((4, 2, 3), bool), {}, UsageTypeError, "bool"),
        (np.zeros((4, 2, 3)), {"k": 0}, UsageError, "k is 0"),
        (np.zeros((4, 2, 3)), {"k": 4}, UsageError, "k is 4; with 3 experts"),
        (np.zeros((4, 2, 3)), {"k": True}, UsageTypeError, "k is True"),
        (np.zeros((4, 2, 3)), {"faults": 2}, UsageError, "at least 5"),
        (np.zeros((5, 2, 3)), {"faults": 2}, UsageError, "faults is 2"),
        (np.zeros((4, 2, 3)), {"faults": 2, "rule": "vote"}, UsageError, "faults"),
        (np.zeros((4, 2, 3)), {"rule": "krum"}, UsageError, "5"),
        (np.zeros((4, 2, 3)), {"rule": "best"}, UsageError, "rule is 'best'; there is median, "),
        (np.zeros((4, 2, 3)), {"rule": "votes"}, UsageError, r"did you mean 'vote'\?"),
        (np.zeros((4, 2, 3)), {"rule": "medain"}, UsageError, r"'median'\? There .*, vote, nnm"),
        (np.zeros((4, 2, 3)), {"rule": "+median"}, UsageError, r"rule is '\+median'"),
        (np.zeros((4, 2, 3)), {"faults": True}, UsageTypeError, "faults is True"),
        (np.zeros((4, 2, 3)), {"faults": 1.0, "rule": "vote"}, UsageTypeError, "faults is 1.0"),
        (np.zeros((65, 4, 3)), {}, UsageError, "65 replicas; give 1 to 64: .replicas, tokens"),
        (np.zeros((65, 4, 3)), {"rule": "vote"}, UsageError, "65 replicas"),
        (np.zeros((4, 3, 0)), {}, UsageError, "logits has shape"),
    ],
)
def test_what_cannot_be_routed_is_refused(rows, options, kind, words):
    with pytest.raises(kind, match=words):
        route_logits(rows, **options)


@pytest.mark.parametrize("rule", RULES)
def test_whole_numbers_of_numpy_and_most_replicas_are_taken(rule):
    rows = np.tile(np.random.default_rng(4).normal(size=(3, 5)), (64, 1, 1))
    got = route_logits(rows, rule=rule, k=np.int64(2), faults=np.uint8(21))
    assert got.consensus.all()
    assert got.experts.tolist() == route_logits(rows[:4], rule=rule, k=2).experts.tolist()
    assert type(got.faults) is int


def test_a_rule_goes_by_one_name():
    rows = np.random.default_rng(5).normal(size=(4, 3, 5))
    got = route_logits(rows, rule="coordinate_wise_median")
    assert got.rule == "median"
    assert got.experts.tolist() == route_logits(rows).experts.tolist()


@pytest.mark.parametrize("rule", RULES)
def test_the_greatest_floats_raise_no_warning(rule):
    for kind in (np.float16, np.float32, np.float64):
        most = np.finfo(kind).max
        got = route_logits(np.array([[[most, -most, 0]]] * 4, kind), rule=rule, k=3)
        assert got.weights.tolist() == [[1, 0, 0]]
