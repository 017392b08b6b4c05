"""Ranked runoff: against a naive twin, what makes a ranking void, and what a runoff shows."""

from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rosters import NUMBERS, QUORUMS, WEIGHTS, rational, same_again

from quorate.arbitration import Absence, Arbiter, Decision, Proposal, RankedRunoffArbiter, gather
from quorate.core import limits
from quorate.core.canonical import canonical, digest
from quorate.core.errors import UsageError, UsageTypeError

RANKINGS = st.lists(st.sampled_from("abcd"), min_size=1, max_size=5)
ROWS = st.lists(st.tuples(RANKINGS, NUMBERS, WEIGHTS), min_size=1, max_size=7)


def twin(rows, away, quorum, *, named=False):
    """Instant runoff as a textbook has it; ``rows`` are (expert, ranking, vote, weight).

    Options are the first places, unless ``named``: then all places are.
    Returns the winner if it is committed, its support and its backing.
    """
    places = None if named else 1
    standing = sorted({option for _, ranking, _, _ in rows for option in ranking[:places]})
    history = []

    def holders(option):
        mine = []
        for row in rows:
            first = next((o for o in row[1] if o in standing), None)
            if first == option:
                mine.append(row)
        return mine

    while True:
        tally = {o: sum((r[2] for r in holders(o)), Fraction(0)) for o in standing}
        history.append(tally)

        def behind(o):
            # Least now, then least in the latest earlier round, then the greater option.
            return ([past[o] for past in reversed(history)], -ord(o))

        if len(standing) <= 2:
            break
        standing.remove(min(standing, key=behind))
    winner = max(standing, key=behind)
    mine = holders(winner)
    gone = sum(away, Fraction(0))
    total = sum((r[2] for r in rows), Fraction(0)) + gone
    roster = sum((r[3] for r in rows), Fraction(0)) + gone
    support = sum((r[2] for r in mine), Fraction(0)) / total if total else Fraction(0)
    backing = sum((r[3] for r in mine), Fraction(0)) / roster if roster else Fraction(0)
    commits = total > 0 and support >= quorum and backing >= quorum
    return (winner if commits else None), support, backing, history


@settings(max_examples=40)
@given(ROWS, st.lists(WEIGHTS, max_size=2), QUORUMS, st.randoms())
def test_it_commits_what_the_textbook_does(rows, away, quorum, rnd):
    proposals = [
        Proposal(f"e{i}", ranking[0], c, w, ranking=ranking)
        for i, (ranking, c, w) in enumerate(rows)
    ]
    absences = [Absence(f"g{i}", w, "crashed") for i, w in enumerate(away)]
    arbiter = RankedRunoffArbiter(quorum)
    outcome = arbiter.fold(gather(proposals, absences))
    plain = [
        (f"e{i}", ranking, rational(c) * rational(w), rational(w))
        for i, (ranking, c, w) in enumerate(rows)
    ]
    winner, support, backing, history = twin(plain, map(rational, away), rational(quorum))
    committed = isinstance(outcome, Decision)
    assert (outcome.consensus if committed else None) == winner
    assert Fraction(outcome.support_exact) == support
    assert Fraction(outcome.backing_exact) == backing
    total = Fraction(outcome.trace["total_votes"])
    named = {option["digest"]: option["answer"] for option in outcome.trace["options"]}
    for one, tally in zip(outcome.trace["rounds"], history, strict=True):
        shown = {named[d]: Fraction(v) for d, v in one["tally"].items()}
        assert shown == {f'"{o}"': v for o, v in tally.items() if v}
        assert sum(shown.values()) + Fraction(one["exhausted"]) == total
    same_again(outcome)
    rnd.shuffle(proposals)
    again = arbiter.fold(gather(proposals, absences))
    assert canonical(again.to_dict()) == canonical(outcome.to_dict())


@settings(max_examples=40)
@given(ROWS, st.lists(WEIGHTS, max_size=2), QUORUMS)
def test_places_that_nobody_puts_first_change_no_winner(rows, away, quorum):
    plain = [
        (f"e{i}", ranking, rational(c) * rational(w), rational(w))
        for i, (ranking, c, w) in enumerate(rows)
    ]
    gone, asked = list(map(rational, away)), rational(quorum)
    some = sum((row[2] for row in plain), Fraction(0)) > 0
    winner, support, backing, _ = twin(plain, gone, asked)
    if some:
        # A ballot without a vote may end elsewhere now, and its weight is in the backing.
        wide, wide_support, wide_backing, _ = twin(plain, gone, asked, named=True)
        assert support == wide_support
        assert winner is None or wide in (None, winner)
        if all(row[2] for row in plain):
            assert (winner, backing) == (wide, wide_backing)


def test_what_liars_rank_behind_brings_in_no_options():
    honest = [Proposal(f"h{i}", "x", 1, 1) for i in range(35)]
    per = limits.MAX_RANKING
    liars = [
        Proposal(f"l{i}", f"{i}-0", 1, 1, ranking=[f"{i}-{k}" for k in range(per)])
        for i in range(17)
    ]
    decision = fold(*honest, *liars, quorum=0.66)
    assert decision.consensus == "x"
    assert len(decision.trace["options"]) == 18
    same_again(decision)


def test_of_a_long_runoff_the_last_tallies_are_told():
    def tallies(count):
        decision = fold(
            *(Proposal(f"e{i:02}", f"o{i:02}", 1, 1 + (i == 0)) for i in range(count)), quorum=0.01
        )
        same_again(decision)
        return decision, [one["tally"] for one in decision.trace["rounds"]]

    # 2 + 3 + ... + 63 is 2015, and one more option is over the bound.
    full, told = tallies(63)
    assert sum(map(len, told)) == 2015 <= limits.MAX_ROUND_TALLIES
    assert "too many" not in full.describe()
    cut, told = tallies(64)
    assert told[0] is None
    assert sum(map(len, told[1:])) == 2015
    assert cut.trace["rounds"][0]["eliminated"] == digest("o63")
    assert cut.consensus == full.consensus == "o00"
    assert "Round 1: too many votes to tell; out is" in cut.describe()


def tennessee(quorum=0.5, **options):
    """The capital of Tennessee: a Condorcet winner that loses the runoff."""
    rows = {
        42: ["Memphis", "Nashville", "Chattanooga", "Knoxville"],
        26: ["Nashville", "Chattanooga", "Knoxville", "Memphis"],
        15: ["Chattanooga", "Knoxville", "Nashville", "Memphis"],
        17: ["Knoxville", "Chattanooga", "Nashville", "Memphis"],
    }
    proposals = [
        Proposal(ranking[0][:1], ranking[0], 1, weight, ranking=ranking)
        for weight, ranking in rows.items()
    ]
    return RankedRunoffArbiter(quorum, **options).fold(gather(proposals))


def test_tennessee():
    decision = tennessee()
    assert (decision.consensus, decision.support_exact) == ("Knoxville", "29/50")
    assert decision.dissenting == ("M",)
    assert decision.trace["condorcet"] == digest("Nashville")
    said = decision.describe()
    assert 'Committed "Knoxville" (digest' in said
    assert "which won the runoff in 3 rounds: the ballots of C, K and N ended with it" in said
    assert 'Round 1: "Memphis" 42.0%, "Nashville" 26.0%' in said
    assert 'out is "Chattanooga".' in said
    assert 'One to one, "Nashville" (digest' in said
    assert 'Dissent: M for "Memphis"' in said
    refusal = tennessee(0.6)
    assert refusal.message == (
        "the runoff's winner held 58.0% of the votes and 58.0% of the roster's route weight, "
        "both < 60.0%"
    )
    assert refusal.leader == digest("Knoxville")
    assert "Round 3:" in refusal.describe()
    assert same_again(tennessee(options=["Memphis", "Nashville", "Chattanooga", "Knoxville"]))


def fold(*proposals, quorum=0.3, **options):
    return RankedRunoffArbiter(quorum, **options).fold(gather(proposals))


def test_without_a_ranking_the_payload_is_the_ranking():
    decision = fold(
        Proposal("a", "x", 1, 2),
        Proposal("b", "y", 1, 3),
        Proposal("c", "z", 1, 2, ranking=["z", "x"]),
    )
    assert decision.consensus == "x"
    assert decision.trace["groups"][0]["members"] == ["a", "c"]
    assert decision.trace["groups"][0]["top"] == "a"


def test_a_ballot_that_runs_out_counts_in_the_whole():
    decision = fold(Proposal("a", "x", 1, 3), Proposal("b", "y", 1, 2), Proposal("c", "z", 1, 1))
    assert (decision.consensus, decision.support_exact) == ("x", "1/2")
    assert decision.trace["exhausted"] == ["c"]
    assert decision.dissenting == ("b", "c")
    assert "Ballots that ran out of options: c." in decision.describe()


@pytest.mark.parametrize(
    ("ranking", "options", "detail"),
    [
        (["y", "x"], None, "does not begin with its payload"),
        ([], None, "does not begin with its payload"),
        (["x", "q"], ["x", "y"], "place 2 of its ranking, digest"),
        (["x", *range(limits.MAX_RANKING)], None, f"has {limits.MAX_RANKING + 1} places"),
    ],
)
def test_a_ranking_that_cannot_be_read_voids_its_proposal(ranking, options, detail):
    outcome = fold(
        Proposal("bad", "x", 1, 1, ranking=ranking), Proposal("good", "x", 1, 1), options=options
    )
    (gone,) = outcome.absent
    assert (gone.expert_id, gone.reason) == ("bad", "void")
    assert detail in gone.detail
    assert outcome.support_exact == "1/2"
    assert [one["expert_id"] for one in outcome.trace["void"]] == ["bad"]


def test_bounds_are_held():
    full = ["x", *range(limits.MAX_RANKING - 1)]
    assert fold(Proposal("a", "x", 1, 1, ranking=full)).absent == ()
    most = [f"o{i}" for i in range(limits.MAX_OPTIONS)]
    assert fold(Proposal("a", "o1", 1, 1), options=most).consensus == "o1"
    for bad in ([], [*most, "more"]):
        with pytest.raises(UsageError, match="options"):
            RankedRunoffArbiter(options=bad)


def test_an_option_ranked_twice_counts_at_its_first_place():
    one = fold(Proposal("a", "x", 1, 1, ranking=["x", "y", "x", "y"]), Proposal("b", "y", 1, 2))
    assert one.consensus == "y"
    assert one.absent == ()


def test_options_are_declared_as_json():
    for bad in ("xy", {"x": 1}, 7):
        with pytest.raises(UsageTypeError, match="options is"):
            RankedRunoffArbiter(options=bad)
    with pytest.raises(UsageError, match="no JSON"):
        RankedRunoffArbiter(options=["x", {1}])
    with pytest.raises(UsageError, match="'x' and 'x' are the same"):
        RankedRunoffArbiter(options=["x", "x"])
    with pytest.raises(UsageError, match="'Yes' and ' yes' are the same under 'text'"):
        RankedRunoffArbiter(options=["Yes", " yes"], normalize="text")
    with pytest.raises(UsageError, match="the option of type int has no normal form"):
        RankedRunoffArbiter(options=["Yes", 7], normalize="text")
    declared = [{"n": [1]}, "x"]
    arbiter = Arbiter(protocol="ranked-runoff", options=declared)
    declared[0]["n"].append(2)
    assert arbiter.parameters == {"quorum": "33/50", "options": [{"n": [1]}, "x"]}
    assert arbiter.inner == RankedRunoffArbiter(options=[{"n": [1.0]}, "x"])
    assert arbiter.inner != RankedRunoffArbiter(options=[{"n": [True]}, "x"])
    assert hash(arbiter.inner)


def test_options_are_compared_by_their_normal_form():
    decision = fold(
        Proposal("a", "Yes", 1, 2, ranking=["Yes", "no"]),
        Proposal("b", " yes ", 1, 1, ranking=["yes", "NO"]),
        Proposal("c", "NO", 1, 2, ranking=["no"]),
        Proposal("d", "maybe", 1, 1, ranking=["MAYBE", "yes"]),
        normalize="text",
    )
    assert decision.consensus == "Yes"
    assert decision.digest == digest("Yes")
    assert decision.support_exact == "2/3"
    assert decision.trace["normalize"] == "text"
    assert len(decision.trace["options"]) == 3
    same_again(decision)


def test_ties_go_by_the_order_of_json_values():
    decision = fold(Proposal("a", 10, 1, 1), Proposal("b", 9, 1, 1), Proposal("c", "9", 1, 1))
    assert decision.trace["rounds"][0]["eliminated"] == digest("9")
    assert decision.consensus == 9


def test_a_tie_of_everything_with_no_votes_is_refused():
    refusal = fold(Proposal("a", "x", 0, 1), Proposal("b", "y", 0, 1))
    assert refusal.reason == "zero_total"
    same_again(refusal)
    absent = RankedRunoffArbiter(0.1).fold(
        gather([Proposal("a", "x", 0, 1)], [Absence("b", 1, "crashed")])
    )
    assert absent.reason == "support"
    assert RankedRunoffArbiter().fold(gather([])).reason == "no_proposals"
