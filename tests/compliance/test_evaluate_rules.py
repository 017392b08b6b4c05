"""The pure verdicts beside their naive twin."""

from fractions import Fraction
from itertools import product

from hypothesis import given
from hypothesis import strategies as st

from quorate.compliance import rules
from quorate.compliance.rules import ItemFacts

ORDER = ["failed", "invalid", "unsigned", "out_of_scope", "stale", "missing", "shown"]
FACTS = ("malformed", "misfit", "failed", "elsewhere", "stale", "unsealed")


def naive_item(facts):
    """Ask one question after the other, in the words of the documentation."""
    if facts["malformed"]:
        return "invalid"
    states = set()
    if facts["failed"]:
        # It fails, unless it speaks of something else; it does not age.
        return "out_of_scope" if facts["elsewhere"] else "failed"
    if facts["misfit"]:
        states.add("invalid")
    if facts["unsealed"]:
        states.add("unsigned")
    if facts["elsewhere"]:
        states.add("out_of_scope")
    if facts["stale"]:
        states.add("stale")
    return min(states, key=ORDER.index) if states else "shown"


def test_every_item_there_can_be():
    for present in product([False, True], repeat=len(FACTS)):
        facts = dict(zip(FACTS, present, strict=True))
        state, reasons = rules.item_verdict(
            ItemFacts(**{name: f"<{name}>" if held else None for name, held in facts.items()})
        )
        assert state == naive_item(facts), facts
        assert (state == "shown") == (not reasons) == (not any(present))


TIMES = st.integers(0, 3)
SHOWN = st.lists(st.tuples(st.sampled_from("ab"), TIMES), max_size=3)


@given(st.sampled_from("ab"), TIMES, SHOWN)
def test_a_failure_is_taken_back_by_its_source_alone_and_later(source, time, shown):
    twin = False
    for other, later in shown:
        if other == source and later > time:
            twin = True
    assert rules.retired(source, time, shown) == twin


def naive_group(states):
    if "failed" in states:
        return "failed"
    if "shown" in states:
        return "shown"
    return min(states, key=ORDER.index) if states else "missing"


def naive_check(field, machine, judged):
    everything = [*field, *(s for states in (*machine, *judged) for s in states)]
    if "failed" in everything:
        return "failed"
    groups = [naive_group(states) for states in machine]
    if "shown" in field:
        return "shown"
    if groups and all(group == "shown" for group in groups):
        return "shown"
    left = [naive_group(field)] + [group for group in groups if group != "shown"]
    return min(left, key=ORDER.index)


STATES = st.lists(st.sampled_from([each for each in ORDER if each != "missing"]), max_size=3)


@given(STATES, st.lists(STATES, max_size=3), st.lists(STATES, max_size=2))
def test_every_check_as_its_twin(field, machine, judged):
    assert rules.check_verdict(field, machine, judged) == naive_check(field, machine, judged)


@given(STATES, st.lists(STATES, max_size=3))
def test_taking_evidence_away_never_shows_more_unless_it_failed(field, machine):
    whole = rules.check_verdict(field, machine)
    for gone in range(len(field)):
        less = field[:gone] + field[gone + 1 :]
        if field[gone] != "failed" and whole != "shown":
            assert rules.check_verdict(less, machine) != "shown"


@given(
    st.lists(
        st.tuples(st.sampled_from([*ORDER, "not_applicable"]), st.sampled_from([5, 2, 1])),
        max_size=25,
    )
)
def test_the_score_as_its_twin(weighed):
    shown = total = 0
    for state, weight in weighed:
        if state == "not_applicable":
            continue
        total += weight
        shown += weight if state == "shown" else 0
    found = rules.score(weighed)
    assert found == (shown, total, Fraction(shown, total) if total else None)


def test_weights_and_order_are_the_published_ones():
    assert rules.WEIGHTS == {"blocker": 5, "major": 2, "minor": 1}
    assert list(rules.WORST_FIRST) == ORDER
