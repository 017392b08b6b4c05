"""Instant runoff against a twin that follows every way a tie can go, and its two paths alike."""

import itertools
import random
from decimal import Decimal
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quorate.arbitration import instant_runoff
from quorate.arbitration.rules import columns, runoff
from quorate.core import limits
from quorate.core.errors import UsageError, UsageTypeError


def exactly(weight):
    return Fraction(repr(weight)) if isinstance(weight, float) else Fraction(weight)


def first_of(ballot, standing):
    return next((option for option in ballot if option in standing), None)


def tally_of(ballots, weights, standing):
    tally = dict.fromkeys(standing, 0)
    for ballot, weight in zip(ballots, weights, strict=True):
        option = first_of(ballot, standing)
        if option is not None:
            tally[option] += weight
    return tally


def possible_winners(ballots, weights, standing):
    """Everyone who wins if each tie is followed every way it can go."""
    tally = tally_of(ballots, weights, standing)
    if not any(tally.values()):
        return {None}
    if len(standing) <= 2:
        return {option for option in standing if tally[option] == max(tally.values())}
    least = [option for option in standing if tally[option] == min(tally.values())]
    return set().union(
        *(possible_winners(ballots, weights, standing - {option}) for option in least)
    )


def naive(ballots, weights, standing):
    """The rule as it is worded: look back round by round, then take the greater text."""
    history = []
    while True:
        history.append(tally_of(ballots, weights, standing))
        tied = set(standing)
        for tally in reversed(history):
            least = min(tally[option] for option in tied)
            tied = {option for option in tied if tally[option] == least}
        out = max(tied)
        if len(standing) <= 2:
            winner = min(standing - {out}, default=out)
            return (winner if any(history[-1].values()) else None), history
        standing = standing - {out}


def naive_condorcet(ballots, weights, options):
    if not any(tally_of(ballots, weights, options).values()):
        return None

    def prefers(one, other):
        margin = 0
        for ballot, weight in zip(ballots, weights, strict=True):
            margin += weight * {one: 1, other: -1, None: 0}[first_of(ballot, {one, other})]
        return margin > 0

    return next((a for a in options if all(prefers(a, b) for b in options if a != b)), None)


def profile(draw):
    options = "abcdef"[: draw.randint(1, 5)]
    ballots = [
        draw.sample(options, draw.randint(0, len(options))) for _ in range(draw.randint(0, 6))
    ]
    weights = [draw.choice([0, 1, 1, 1, 2, 3, 0.1, 0.2, 0.3]) for _ in ballots]
    return options, ballots, weights


def test_ten_thousand_profiles_against_every_way_a_tie_can_go():
    draw = random.Random(20)
    tied = 0
    for _ in range(10_000):
        options, ballots, weights = profile(draw)
        tenths = [int(10 * exactly(weight)) for weight in weights]
        result = instant_runoff(ballots, weights, options=list(options))
        winners = possible_winners(ballots, tenths, frozenset(options))
        tied += len(winners) > 1
        assert result.winner in winners
        winner, history = naive(ballots, tenths, frozenset(options))
        assert result.winner == winner
        assert [{o: 10 * v for o, v in r.tally.items()} for r in result.rounds] == history
        assert result.condorcet_winner == naive_condorcet(ballots, tenths, options)
    assert tied > 400


def test_the_order_of_ballots_never_matters():
    draw = random.Random(21)
    for _ in range(300):
        options, ballots, weights = profile(draw)
        expected = instant_runoff(ballots, weights, options=list(options))
        pairs = list(zip(ballots, weights, strict=True))
        draw.shuffle(pairs)
        again = instant_runoff(
            [b for b, _ in pairs], [w for _, w in pairs], options=list(options)[::-1]
        )
        assert again == expected
        assert [list(r.tally) for r in again.rounds] == [list(r.tally) for r in expected.rounds]


any_weight = st.one_of(
    st.integers(0, 5),
    st.integers(0, 2**70),
    st.sampled_from([0.1, 0.2, 0.3, 5e-324, 1e21, 2.0**53, Fraction(1, 3), Decimal("0.7")]),
)
choices = st.lists(st.sampled_from(["a", "b", "B", "é", "\U0001f600", "\uffee"]), max_size=6)


@settings(max_examples=50)
@given(st.lists(st.tuples(choices, any_weight), max_size=8))
def test_weight_is_conserved_in_every_round(pairs):
    ballots, weights = [b for b, _ in pairs], [w for _, w in pairs]
    total = sum(map(exactly, weights), Fraction(0))
    result = instant_runoff(ballots, weights)
    named = set(itertools.chain(*ballots))
    assert len(result.rounds) == max(len(named) - 1, min(len(named), 1))
    standing = named
    for index, shown in enumerate(result.rounds):
        assert set(shown.tally) == standing
        assert sum(shown.tally.values()) + shown.exhausted == total
        assert (shown.eliminated is None) == (index == len(result.rounds) - 1)
        standing = standing - {shown.eliminated}
    behind = any(first_of(b, named) is not None and exactly(w) for b, w in pairs)
    assert result.winner in (standing if behind else {None})


@settings(max_examples=50)
@given(st.lists(st.tuples(choices, any_weight), max_size=8), st.booleans())
def test_both_ways_of_counting_agree(pairs, equal):
    """A ballot repeated, its weight shared out, counts as it did: then the other way is taken."""
    ballots, weights = [b for b, _ in pairs], [w for _, w in pairs]
    few = instant_runoff(ballots, None if equal else weights)
    blank = [[] for _ in range(runoff.FEW + 1)]
    many = instant_runoff(ballots + blank, None if equal else weights + [0] * len(blank))
    assert many.winner == few.winner
    assert many.condorcet_winner == few.condorcet_winner
    assert [(r.tally, r.eliminated) for r in many.rounds] == [
        (r.tally, r.eliminated) for r in few.rounds
    ]
    extra = len(blank) if equal else 0
    assert [r.exhausted for r in many.rounds] == [r.exhausted + extra for r in few.rounds]


@pytest.mark.parametrize("size", [5, 400])
def test_an_array_counts_like_the_lists_it_stands_for(size):
    draw = np.random.default_rng(size)
    options = ["d", "a", "c", "b"]
    array = np.argsort(draw.random((size, 4)), axis=1)
    array[np.arange(4) >= draw.integers(0, 5, size)[:, None]] = -1
    weights = draw.integers(0, 9, size)
    lists = [[options[i] for i in row if i >= 0] for row in array.tolist()]
    expected = instant_runoff(lists, weights.tolist(), options=options)
    for kind in (np.int8, np.int64):
        assert instant_runoff(array.astype(kind), weights, options=options) == expected
    halves = instant_runoff(array, weights / 2, options=options)
    assert halves.winner == expected.winner
    assert halves.rounds[0].exhausted * 2 == expected.rounds[0].exhausted


def test_many_ballots_against_the_naive_count():
    draw = random.Random(5)
    options = [f"o{i}" for i in range(7)]
    for top in (1, 3, 2**60, 2**90):
        ballots = [draw.sample(options, draw.randint(0, 7)) for _ in range(300)]
        weights = [draw.randint(0, top) for _ in ballots]
        result = instant_runoff(ballots, weights, options=options)
        winner, history = naive(ballots, weights, frozenset(options))
        assert (result.winner, [r.tally for r in result.rounds]) == (winner, history)
        assert result.condorcet_winner == naive_condorcet(ballots, weights, options)


@settings(max_examples=50)
@given(st.lists(st.floats(0, allow_infinity=False, allow_nan=False), min_size=1, max_size=9))
def test_many_floats_are_read_as_exactly_as_few(weights):
    ballots = [["ab"[i % 2]] for i in range(len(weights))]
    few = instant_runoff(ballots, weights)
    many = instant_runoff(ballots + [[]] * 40, weights + [0.0] * 40)
    assert many == few
    shown = [type(x) for r in many.rounds for x in r.tally.values()]
    assert shown == [type(x) for r in few.rounds for x in r.tally.values()]


def test_weights_beyond_doubles_and_64_bits_are_told_apart():
    for big in (2**53, 2**62, 2**64, 10**100):
        ballots = [["a"], ["b"], *([[]] * 40)]
        weights = [big, big + 1, *([0] * 40)]
        assert instant_runoff(ballots, weights).winner == "b"
        assert instant_runoff(ballots[:2], weights[:2]).winner == "b"
        assert instant_runoff(ballots, weights).condorcet_winner == "b"


def test_tenths_are_tenths():
    ballots, weights = [["b"], ["b"], ["a"]], [0.1, 0.2, 0.3]
    assert instant_runoff(ballots, weights).winner == "a"
    assert instant_runoff(ballots + [[]] * 40, weights + [0] * 40).winner == "a"
    # A float and the Fraction equal to it are two different weights.
    odd = [Fraction(0.1), 0.1]
    assert instant_runoff([["a"], ["b"]], odd).winner == "a"
    assert instant_runoff([["a"], ["b"]] + [[]] * 40, odd + [Fraction(0)] * 40).winner == "a"


def test_a_tie_goes_back_to_the_latest_round_that_tells():
    ballots = [["a"]] * 6 + [["b"]] * 4 + [["c"]] * 3 + [["d", "c"]] * 1 + [["e", "a"]] * 0
    result = instant_runoff(ballots, options=list("abcd"))
    # After d leaves, b and c have 4 each; a round before b had more, so c leaves.
    assert [r.eliminated for r in result.rounds] == ["d", "c", None]
    renamed = instant_runoff([[{"b": "c", "c": "b"}.get(o, o) for o in b] for b in ballots])
    assert [r.eliminated for r in renamed.rounds] == ["d", "b", None]


def test_the_last_two_tie_by_the_same_rule():
    assert instant_runoff([["b"], ["a"]]).winner == "a"
    ballots = [["b"]] * 3 + [["a"]] * 2 + [["c", "a"]]
    assert instant_runoff(ballots).winner == "b"


def test_ties_of_texts_go_by_code_point_not_utf16():
    assert instant_runoff([["\U0001f600"], ["\uffee"]]).winner == "\uffee"
    assert instant_runoff([["é"], ["z"], ["Z"]]).rounds[0].eliminated == "é"


def test_ties_of_other_options():
    assert instant_runoff([[10], [9]]).winner == 9
    assert instant_runoff([["10"], ["9"]]).winner == "10"
    assert instant_runoff([["a"], [3], [True]]).winner is True
    assert instant_runoff([[0.5], [-1]]).winner == -1
    assert type(next(iter(instant_runoff([[1.0], [1]]).rounds[0].tally))) is int
    values = [None, False, True, -1, 0.5, 10, "", "a", "\uffee", "\U0001f600", [1], {"a": 1}]
    backwards = values[::-1]
    assert sorted(backwards, key=runoff.order_key) == values


def test_exhausted_ballots_leave_the_continuing_weight():
    result = instant_runoff([["a"], ["a"], ["b"], ["b"], ["b"], ["c"], []], [1, 1, 1, 1, 1, 2, 4])
    assert [r.exhausted for r in result.rounds] == [4, 6]
    assert result.rounds[-1].tally == {"a": 2, "b": 3}


def test_what_the_condorcet_winner_is():
    ballots = [["a", "b", "c"]] * 4 + [["c", "b", "a"]] * 3 + [["b", "a", "c"]] * 2
    result = instant_runoff(ballots)
    assert (result.winner, result.condorcet_winner) == ("a", "b")
    cycle = [["a", "b", "c"], ["b", "c", "a"], ["c", "a", "b"]]
    assert instant_runoff(cycle).condorcet_winner is None
    assert instant_runoff([["a"], ["b"]]).condorcet_winner is None
    # Ranked stands above unranked.
    assert instant_runoff([["a"], ["b", "a"], ["c", "a"]]).condorcet_winner == "a"


@pytest.mark.parametrize("blank", [0, 40])
def test_duplicates_keep_the_first(blank):
    rest = [[] for _ in range(blank)]
    doubled = [["a", "b", "a", "c"], ["b", "b", "c"], ["c", "b", "c", "b"], *rest]
    single = [["a", "b", "c"], ["b", "c"], ["c", "b"], *rest]
    assert instant_runoff(doubled) == instant_runoff(single)


@pytest.mark.parametrize("blank", [0, 40])
def test_the_edges(blank):
    rest = [[] for _ in range(blank)]
    assert instant_runoff(rest) == runoff.RunoffResult(None, (), None)
    one = instant_runoff([["a"], *rest])
    assert (one.winner, one.condorcet_winner) == ("a", "a")
    assert one.rounds == (runoff.Round({"a": 1}, None, blank),)


@pytest.mark.parametrize("blank", [0, 40])
def test_what_nothing_stands_behind_does_not_win(blank):
    rest = [[] for _ in range(blank)]
    zero = instant_runoff([["b", "c", "a"], *rest], [0] * (blank + 1))
    assert (zero.winner, zero.condorcet_winner) == (None, None)
    assert [r.eliminated for r in zero.rounds] == ["c", None]
    alone = instant_runoff([["a"], *rest], [0] * (blank + 1))
    assert (alone.winner, alone.condorcet_winner) == (None, None)
    empty = instant_runoff(rest, options=["b", "a"])
    assert (empty.winner, empty.rounds[0].exhausted) == (None, blank)
    nobody = instant_runoff(rest, options=["a"])
    assert (nobody.winner, nobody.condorcet_winner, len(nobody.rounds)) == (None, None, 1)
    nothing = instant_runoff(np.empty((blank, 0), dtype=int), options=["a", "b"])
    assert nothing.winner is None
    least = instant_runoff([["b"], ["a"], *rest], [5e-324, 0, *([0] * blank)])
    assert (least.winner, least.condorcet_winner) == ("b", "b")


@pytest.fixture
def counted(monkeypatch):
    """How often limbs were put together, and weights brought to lowest terms."""
    done = {"joined": 0, "reduced": 0}
    joined = columns._joined

    def joining(sums):
        done["joined"] += 1
        return joined(sums)

    def reducing(*args):
        done["reduced"] += 1
        return Fraction(*args)

    monkeypatch.setattr(columns, "_joined", joining)
    monkeypatch.setattr(runoff, "Fraction", reducing)
    return done


@pytest.mark.parametrize("places", [1, 5])
def test_the_work_on_long_weights_grows_with_ballots_that_move_not_with_rounds(counted, places):
    size = 150
    draw = random.Random(places)
    options = [f"o{i:03}" for i in range(size)]
    ballots = [[first, *draw.sample(options, places - 1)] for first in options]
    weights = [Fraction(draw.randrange(10**39), 10**329) for _ in options]
    result = instant_runoff(ballots, weights)
    winner, history = naive(ballots, weights, frozenset(options))
    assert (result.winner, [r.tally for r in result.rounds]) == (winner, history)
    # One round for each option: what is done in each for all would be size * size.
    assert len(result.rounds) == size - 1
    # At the start once for each option and the exhausted; then to compare options in pairs.
    assert counted["joined"] <= (size + 1) + 4 * size
    # At the start likewise; then both sums that a ballot changes when it moves.
    assert counted["reduced"] <= (size + 1) + 2 * size * places


def test_many_ballots_that_move_at_once_are_summed_by_limbs(counted):
    ballots = [["c", "b"]] * 300 + [["a"]] * 400 + [["b"]] * 900
    result = instant_runoff(ballots, [2**60] * len(ballots))
    assert result.rounds[-1].tally == {"a": 400 * 2**60, "b": 1200 * 2**60}
    # The sums of three options and the exhausted, at the start and after the one round.
    assert counted["joined"] == 4 + 4


def test_whole_weights_are_shown_as_ints():
    assert type(instant_runoff([["a"]], [2]).rounds[0].tally["a"]) is int
    assert type(instant_runoff([["a"]], [0.5]).rounds[0].tally["a"]) is Fraction


@pytest.mark.parametrize(
    ("rankings", "weights", "options", "message"),
    [
        ([["a"]], None, ["b"], r"rankings\[0\] names 'a', which is not in options"),
        ([["a"]], [1, 2], None, "2 weights for 1 ballots"),
        ([["a"], ["b"]], [1, -1], None, r"weights\[1\] is -1"),
        ([["a"]], [-0.5], None, "negative"),
        ([["a"]], [float("nan")], None, "finite"),
        ([["a"]] * 40, [1.0] * 39 + [float("inf")], None, r"weights\[39\] is inf"),
        ([["a"]] * 40, [1.0] * 39 + [-0.5], None, r"weights\[39\] is -0.5"),
        ([["a"]], [True], None, "bool"),
        ([["a"]], ["1"], None, "str"),
        ([["a"]], "1", None, "weights is a str"),
        ("ab", None, None, "rankings is a str"),
        (["ab"], None, None, r"rankings\[0\] is a str"),
        ([[["a"]]], None, None, "options of type list"),
        ([[None]], None, None, "NoneType"),
        ([[float("nan")]], None, None, "nan is no JSON number"),
        ([[2**53]], None, None, "write it as a text"),
        ([[1], [True]], None, None, "True and 1"),
        ([[0.0], [False]], None, None, "False and 0"),
        ([[1]], None, [True], "True and 1"),
        ([["a"]], None, ["a", "b", "a"], "'a' is declared twice"),
        ([["a"]], None, "a", "options is a str"),
        ([["a"]], None, [["a"]], "of type list"),
        (np.zeros((2, 2), dtype=int), None, None, "name the options"),
        (np.zeros((2, 2)), None, ["a"], "float64"),
        (np.zeros((2, 2), dtype=bool), None, ["a"], "bool"),
        (np.zeros(2, dtype=int), None, ["a"], "shape"),
        (np.array(1), None, ["a"], "shape"),
        (np.array([[0, 1]]), None, ["a"], r"rankings\[0, 1\] is 1"),
        (np.array([[0], [-2]]), None, ["a"], r"rankings\[1, 0\] is -2"),
        (np.array([[-1, 0]]), None, ["a"], "pad only at the end"),
        (np.array([[300]], dtype=np.uint16), None, ["a"], "300"),
    ],
)
def test_what_cannot_be_counted_is_refused(rankings, weights, options, message):
    with pytest.raises(UsageError, match=message):
        instant_runoff(rankings, weights, options=options)


def test_wrong_types_are_type_errors():
    with pytest.raises(UsageTypeError):
        instant_runoff({"a"})
    with pytest.raises(UsageTypeError):
        instant_runoff([["a"]], options=["a", ("b",)])


def test_bounds_on_options_and_ballots():
    most = [str(i) for i in range(limits.MAX_OPTIONS)]
    assert instant_runoff([[o] for o in most]).winner == "0"
    assert instant_runoff([["7"]], options=most).winner == "7"
    with pytest.raises(UsageError, match="options"):
        instant_runoff([[*most, "one more"]])
    with pytest.raises(UsageError, match="options"):
        instant_runoff([], options=[*most, "one more"])
    column = np.broadcast_to(np.int8(0), (limits.MAX_BALLOTS, 1))
    assert instant_runoff(column, options=["a"]).rounds[0].tally == {"a": limits.MAX_BALLOTS}
    one_more = np.broadcast_to(np.int8(0), (limits.MAX_BALLOTS + 1, 1))
    with pytest.raises(UsageError, match="ballots"):
        instant_runoff(one_more, options=["a"])


def test_the_common_denominator_is_bounded():
    odd = [Fraction(1, 10**399 + 2 * k + 1) for k in range(12)]
    with pytest.raises(UsageError, match="denominator"):
        instant_runoff([["a"]] * 12, odd)


def test_sums_of_limbs_are_exact_at_their_bounds():
    for top in (2**53 - 1, 2**53, 2**78 - 1, 2**78):
        cut = columns.limbs_of([top, 0, 1])
        assert columns._joined([float(limb.sum()) for limb in cut]) == top + 1
