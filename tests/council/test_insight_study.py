"""Blocs, their odds, participation and losing sides, against plain counting and enumeration."""

import random
import sys
from dataclasses import replace
from fractions import Fraction
from itertools import combinations, product
from math import comb, prod

import pytest
from council_tools import Clock, council, proposal_under
from council_twin import Rules
from hypothesis import given, settings
from hypothesis import strategies as st

pytest.importorskip("networkx", reason="needs quorate[insight]")
pytest.importorskip("scipy", reason="needs quorate[insight]")

from quorate.core.errors import OperationalError, UsageError
from quorate.council import Vote, VoteValue, bounds
from quorate.council.insight import agreements, blocs
from quorate.council.study import CAVEAT, study

VOTERS = "abcde"
YES, NO, SILENT = "approve", "reject", "abstain"


def proposals(table):
    """Open proposals with the votes of the table, a row each."""
    plain = proposal_under(Rules(dict.fromkeys(VOTERS, 1), critical=False))
    return [
        replace(plain, votes={v: Vote(v, VoteValue(value), None, 0) for v, value in row.items()})
        for row in table
    ]


def rows(*texts):
    """Rows written short: ``yyn.-`` is approve, approve, reject, no vote, abstain."""
    words = {"y": YES, "n": NO, "-": SILENT}
    return [{v: words[c] for v, c in zip(VOTERS, text, strict=False) if c != "."} for text in texts]


def enumerated(table, group):
    """Chance of at least as many unanimous rows, by trying out all that could have been said."""
    spoken = [{v: row[v] for v in row if row[v] != SILENT} for row in table]
    rates = {}
    for voter in group:
        said = [row[voter] for row in spoken if voter in row]
        rates[voter] = Fraction(said.count(YES), len(said))
    cells = [(n, v) for n, row in enumerate(spoken) for v in group if v in row]
    shared = [n for n, row in enumerate(spoken) if sum(v in row for v in group) > 1]

    def unanimous(said):
        return sum(len({said[n, v] for v in group if (n, v) in said}) == 1 for n in shared)

    seen = unanimous({(n, v): spoken[n][v] for n, v in cells})
    total = Fraction(0)
    for outcome in product((YES, NO), repeat=len(cells)):
        said = dict(zip(cells, outcome, strict=True))
        if unanimous(said) >= seen:
            total += prod(
                (rates[v] if value == YES else 1 - rates[v] for (_, v), value in said.items()),
                start=Fraction(1),
            )
    return len(shared), seen, total


TABLES = st.lists(
    st.dictionaries(st.sampled_from("abc"), st.sampled_from([YES, NO, SILENT])),
    min_size=1,
    max_size=4,
)


@settings(max_examples=30)
@given(TABLES, st.sampled_from([0.5, 0.75, 1]))
def test_the_probability_is_that_of_enumerating_all_outcomes(table, threshold):
    found = study(VOTERS, proposals(table), threshold, 1)
    for bloc in found.blocs:
        together, unanimous, chance = enumerated(table, bloc.voters)
        assert (bloc.together, bloc.unanimous) == (together, unanimous)
        assert bloc.probability == pytest.approx(float(chance), rel=1e-9)


def test_hands_and_heads_give_the_same():
    """Two that vote half and half agree on all four: one chance in two to the fourth."""
    (bloc,) = study("ab", proposals(rows("yy", "yy", "nn", "nn"))).blocs
    assert (bloc.voters, bloc.together, bloc.unanimous) == (("a", "b"), 4, 4)
    assert bloc.probability == pytest.approx(1 / 16, rel=1e-12)
    assert (bloc.groups, bloc.corrected) == (1, bloc.probability)
    # A third who votes on two of them, so that two kinds of trials are added up.
    found = study("abc", proposals(rows("yyy", "yy", "nnn", "nn")), min_shared=2)
    assert found.blocs[0].probability == pytest.approx((1 / 2) ** 2 * (1 / 4) ** 2, rel=1e-12)
    assert found.blocs[0].groups == 1 * 2


def test_small_tails_keep_their_digits():
    (bloc,) = study(VOTERS, proposals(rows("yyyyy", "nnnnn") * 40)).blocs
    assert bloc.probability == pytest.approx(float(Fraction(1, 16) ** 80), rel=1e-9)
    assert "1.2e-93" not in bloc.describe()
    assert f"{float(Fraction(1, 16) ** 80):.2g}" in bloc.describe()


def test_voters_that_always_say_the_same_are_no_news():
    """Whoever approves everything agrees with everyone who does, by chance too."""
    (bloc,) = study("abc", proposals(rows(*["yyy"] * 50))).blocs
    assert (bloc.unanimous, bloc.probability, bloc.corrected) == (50, 1.0, 1.0)
    assert "no more than chance" in bloc.describe()


@settings(max_examples=30)
@given(
    st.lists(st.dictionaries(st.sampled_from(VOTERS), st.sampled_from([YES, NO])), max_size=8),
    st.sampled_from([0.5, 0.75, 1]),
    st.integers(1, 3),
)
def test_the_blocs_are_those_that_need_no_library(table, threshold, min_shared):
    looked = proposals(table)
    expected = blocs(VOTERS, agreements(VOTERS, looked), threshold, min_shared)
    found = study(reversed(VOTERS), looked, threshold, min_shared).blocs
    assert [(b.voters, b.shared, float(b.agreement)) for b in found] == [
        (b.voters, b.shared, b.agreement) for b in expected
    ]


@pytest.mark.parametrize("n", [2, 3, 5])
def test_the_correction_gives_every_group_its_share_of_one(n):
    shares = Fraction(0)
    for size in range(2, n + 1):
        # The others say the opposite of one another and of these, as far as two words allow.
        row = "y" * size + "." * (n - size)
        (bloc,) = study(VOTERS[:n], proposals(rows(*[row] * 3))).blocs
        assert len(bloc.voters) == size
        shares += Fraction(comb(n, size), bloc.groups)
    assert shares == 1


def test_of_independent_voters_few_councils_are_suspected_and_copies_are_found():
    """Two hundred councils, each looked at at three thresholds; the seed is fixed."""
    chance = random.Random(20)
    false = found = 0
    for _ in range(200):
        table = [{v: chance.choice([YES, NO]) for v in VOTERS} for _ in range(20)]
        false += any(
            bloc.corrected < 0.05
            for threshold in (0.6, 0.75, 0.9)
            for bloc in study(VOTERS, proposals(table), threshold).blocs
        )
        copied = [{**row, "b": row["a"]} for row in table]
        found += any(
            bloc.voters == ("a", "b") and bloc.corrected < 0.05
            for bloc in study(VOTERS, proposals(copied)).blocs
        )
    assert false <= 200 * 0.05
    assert found >= 195


def test_what_each_voter_did():
    clock = Clock()
    c = council(clock=clock)

    def put(text, action="restrict", target="x", **options):
        p = c.propose("a", action, target, **options)
        for row in rows(text):
            for voter, value in row.items():
                c.vote(p, voter, value)
        return p

    c.tally(put("nyyy-"))
    c.tally(put("yynnn"))
    c.tally(put("yn.", target="e", expiry_seconds=5))
    clock.wait(5)
    c.tally("p3")
    called_off = put("", target="y")
    c.cancel(called_off, "a")
    put("ny", target="z")
    found = study(c.voter_ids, c.list_proposals(), min_shared=1)
    seen = {r.voter: (r.called, r.approvals, r.rejections, r.abstentions, r.decided, r.lost)
            for r in found.records}  # fmt: skip
    assert [p.decision.value for p in c.list_proposals()] == [
        "approved", "rejected", "no_quorum", "rejected", "pending",
    ]  # fmt: skip
    # The fourth was called off before any vote; the fifth is open, and two have voted on it.
    assert seen == {
        "a": (5, 2, 2, 0, 2, 2),
        "b": (5, 3, 1, 0, 2, 1),
        "c": (4, 1, 1, 0, 2, 0),
        "d": (4, 1, 1, 0, 2, 0),
        "e": (3, 0, 1, 1, 1, 0),
    }
    assert found.losing == ("a",)
    assert study(c.voter_ids, c.list_proposals(), min_shared=3).losing == ()
    a, e = found.records[0], found.records[4]
    assert (a.participation, a.base_rate) == (Fraction(4, 5), Fraction(1, 2))
    assert (e.participation, e.base_rate) == (Fraction(1, 3), Fraction(0))
    assert "a lost all 2 decided votes it took part in; it may be wrong, bought, or the only" in (
        found.describe()
    )


def test_a_council_without_votes_says_nothing_of_anyone():
    found = study("ab", [])
    assert (found.blocs, found.losing) == ((), ())
    assert found.records[0].participation is found.records[0].base_rate is None
    assert found.to_dict()["pairs"] == [{"voters": ["a", "b"], "same": 0, "shared": 0,
                                         "rate": None}]  # fmt: skip


def test_it_is_told_with_its_caveat_and_what_it_rests_on():
    found = study("abc", proposals(rows("yyn", "nny", "yyy", "nnn")))
    told = found.describe()
    assert told.endswith(CAVEAT)
    assert "a, b: unanimous on 4 of 4 proposals" in told
    assert "of 4 shared votes or more" in told
    assert "corrected for 6 groups" in told
    json = found.to_dict()
    assert json["caveat"] == CAVEAT
    assert json["pairs"][0] == {"voters": ["a", "b"], "same": 4, "shared": 4, "rate": "1"}
    assert json["pairs"][1] == {"voters": ["a", "c"], "same": 2, "shared": 4, "rate": "1/2"}
    assert "no such bloc" in study("abc", proposals(rows("yn"))).describe()


def test_names_of_voters_cannot_write_on_the_screen():
    plain = proposals(rows("yy"))[0]
    names = ["a\x1b[2J", "b"]
    voted = replace(plain, votes={v: Vote(v, VoteValue(YES), None, 0) for v in names})
    assert "\x1b" not in study(names, [voted], min_shared=1).describe()


def test_more_blocs_than_can_be_read_are_refused():
    """Three voters out of each of seven parties: every choice of one from each is a bloc."""
    voters = [f"v{n:02}" for n in range(21)]
    plain = proposals(rows(""))[0]
    table = []
    for one, other in combinations(voters, 2):
        same = int(one[1:]) // 3 != int(other[1:]) // 3
        said = {one: YES, other: YES if same else NO}
        table.append(
            replace(plain, votes={v: Vote(v, VoteValue(x), None, 0) for v, x in said.items()})
        )
    assert bounds.MAX_BLOCS < 3**7
    with pytest.raises(UsageError, match="more than 1000 blocs"):
        study(voters, table, 1, 1)


@pytest.mark.parametrize("wrong", [{"threshold": 0}, {"threshold": 1.1}, {"min_shared": 0}])
def test_arguments_out_of_range_are_refused(wrong):
    with pytest.raises(UsageError, match=next(iter(wrong))):
        study("ab", [], **wrong)


@pytest.mark.parametrize("name", ["networkx", "scipy.stats"])
def test_without_its_libraries_it_says_what_to_install(monkeypatch, name):
    monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(OperationalError, match=r'pip install "quorate\[insight\]"$'):
        study("ab", [])


def test_what_was_called_off_has_no_losers():
    c = council()
    p = c.propose("a", "restrict", "x")
    c.vote(p, "a", "approve")
    assert [c.cancel(p, voter) for voter in "bcde"] == [False, False, False, True]
    found = study(c.voter_ids, c.list_proposals(), min_shared=1)
    assert (found.records[0].decided, found.losing) == (0, ())
