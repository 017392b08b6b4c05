"""Redundancy, collected: how many may fail, by the weakest panel that decided."""

import asyncio
import itertools
from fractions import Fraction

from collect_tools import DAY, Place, declaration, experts, lacking, shown
from hypothesis import example, given
from hypothesis import strategies as st

from quorate.arbitration import Arbiter
from quorate.compliance.collect.redundancy import faults_borne
from quorate.core.canonical import digest
from quorate.hub import decide

# -- redundancy


def panel(names="abcd", quorum=Fraction(3, 4), **more):
    return declaration(Arbiter(quorum=quorum), names, **more)


def test_the_weakest_of_two_panels_counts(place):
    seven = panel("abcdefg", Fraction(5, 7))
    place.decide("later", panel=seven)
    data = shown(place.survey())["art_15.par_4.s2"].data
    assert (data["n"], data["faults"], data["share"]) == (4, 1, "3/4")
    assert "of 2 panels that decided this is the weakest" in data["limit"]


def test_a_panel_that_decided_nothing_is_not_counted(place):
    with place.open() as ledger:
        ledger.append("panel", panel("ab"))
    assert shown(place.survey())["art_15.par_4.s2"].data["n"] == 4


def test_a_panel_that_bears_nothing_shows_no_redundancy(place):
    place.decide("later", panel=panel("abc", Fraction(2, 3)))
    assert "bears no faulty expert at all" in lacking(place.survey())["redundancy"]


def test_the_limit_is_told_where_nothing_is_declared(place):
    limit = shown(place.survey())["art_15.par_4.s2"].data["limit"]
    assert "is not declared: 4 experts on one host, say, are lost together" in limit
    assert "not that they are right" in limit


def test_what_is_declared_of_failing_together_is_counted(place):
    one_host = panel("abcdefg", Fraction(5, 7), failure_domain={"host": "rack-1"})
    place.decide("later", panel=one_host)
    data = shown(place.survey())["art_15.par_4.s2"].data
    assert (data["n"], data["faults"], data["effective_faults"]) == (7, 2, 0)
    assert data["domains"] == [{"attribute": "host", "groups": 1, "largest": 7, "faults": 0}]
    assert "counted by host (rack-1: 7) it bears none" in data["limit"]
    states = {result.id: result.state for result in place.report("full").results}
    assert states["art_15.par_4.s2"] == "shown"


def test_verdicts_without_a_panel_show_no_redundancy_and_are_told_of(tmp_path):
    bare = Place(tmp_path)
    bare.drill("halt")
    bare.declare()
    found = bare.survey()
    # The script's panel is not the system's.
    assert "no verdict of the period names a panel" in lacking(found)["redundancy"]
    assert "art_13.par_1" not in shown(found)
    assert "art_12.par_2.a" not in shown(found)


def test_verdicts_by_nobody_knows_whom_show_no_redundancy(place):
    """One expert that decides without a panel hides behind four that decide under theirs."""
    arbiter = Arbiter(quorum=Fraction(1, 2))
    alone = experts({"roster": {"a": "1"}, "experts": {"a": {}}})
    for task in ("x", "y"):
        named = {"id": task, "input_digest": digest(task)}
        verdict = asyncio.run(decide(alone, task, arbiter, task=named))
        with place.open() as ledger:
            ledger.append(verdict.kind, verdict.body)
    told = lacking(place.survey())["redundancy"]
    assert "2 verdicts of 5 name no panel that was sealed before, the first in entry 5" in told


def test_verdicts_of_long_ago_show_nothing_of_today(place):
    until = shown(place.survey())["art_15.par_4.s2"].expires
    place.clock.now += 366 * DAY
    with place.open() as ledger:
        ledger.append("note", {})
    assert until < place.clock.moment.isoformat()
    assert "is 366 days old" in lacking(place.survey())["redundancy"]


def naive_faults(weights, quorum):
    """Try every set of liars of every size."""
    whole, best = sum(weights), 0
    for f in range(1, (len(weights) - 1) // 3 + 1):
        worst = max(sum(group) for group in itertools.combinations(weights, f))
        if not (
            3 * worst < whole and worst <= (1 - quorum) * whole and worst < (2 * quorum - 1) * whole
        ):
            break
        best = f
    return best


@example([1] * 6, Fraction(7, 12))
@example([1] * 7, Fraction(6, 7))
@given(
    st.lists(st.integers(1, 6), min_size=1, max_size=9),
    st.integers(1, 12).map(lambda n: Fraction(n, 12)),
)
def test_the_faults_that_are_borne_are_those_of_every_set_of_liars(weights, quorum):
    assert faults_borne([Fraction(w) for w in weights], quorum) == naive_faults(weights, quorum)


def test_seven_of_equal_weight_bear_two_at_the_demos_quorum():
    assert faults_borne([Fraction(1)] * 7, Fraction(66, 100)) == 2
    assert faults_borne([Fraction(1)] * 7, Fraction(1, 2)) == 0
    assert faults_borne([Fraction(0)] * 7, Fraction(1, 2)) == 0
