"""Rosters for the tests of arbitration, small numbers that tie often, and outcomes."""

from dataclasses import replace
from fractions import Fraction

from hypothesis import strategies as st

from quorate.arbitration import Absence, Decision, Pending, Proposal, Tally, gather
from quorate.core.canonical import canonical, parse

NUMBERS = st.sampled_from([0, 0.1, 0.25, Fraction(1, 3), 0.5, Fraction(2, 3), 0.9, 1])
WEIGHTS = st.sampled_from([0, 0.1, 0.25, Fraction(1, 3), 0.5, 1, 2, 3])
QUORUMS = st.sampled_from([0.2, Fraction(1, 3), 0.5, 0.51, 0.66, Fraction(2, 3), 0.75, 1])
MAJORITIES = st.sampled_from([0.51, 0.66, Fraction(2, 3), 0.75, 1])


def rational(x):
    return Fraction(repr(x)) if isinstance(x, float) else Fraction(x)


def voters(answers="xyz", least=1, most=6, weights=WEIGHTS):
    """Lists of (expert, answer or None for absent, confidence, weight)."""
    one = st.tuples(st.sampled_from([*answers, None]), NUMBERS, weights)
    return st.lists(one, min_size=least, max_size=most).map(
        lambda rows: [(f"e{i}", *row) for i, row in enumerate(rows)]
    )


def sent(rows):
    """The proposals and absences of such a list."""
    return (
        [Proposal(e, a, c, w) for e, a, c, w in rows if a is not None],
        [Absence(e, w, "timeout") for e, a, _, w in rows if a is None],
    )


def waiting(rows):
    return [Pending(e, w) for e, _, _, w in rows]


def intake_of(rows, later=(), **more):
    return replace(gather(*sent(rows), waiting(later)), **more)


def through_json(form):
    return parse(canonical(form))


def same_again(outcome):
    """The outcome read back from JSON, shown to be the same and to say the same."""
    kind = Decision if isinstance(outcome, Decision) else Tally
    again = kind.from_dict(through_json(outcome.to_dict()))
    assert again == outcome
    assert again.describe() == outcome.describe()
    assert outcome.describe().isprintable()
    return again
