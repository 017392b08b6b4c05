"""``quorate council blocs``: who votes like whom, how likely that is, and what it rests on."""

import sys

import pytest
from cli_council_tools import VOTERS, approve, ballot, opened, told


@pytest.fixture
def council(tmp_path, monkeypatch, quorate):
    yield from opened(tmp_path, monkeypatch, quorate)


@pytest.fixture
def voted(council):
    """Three proposals: anna and ben approve, chris rejects, dana abstains."""
    for number in range(3):
        council("propose", "quarantine", "--target", f"x{number}", "--as", "anna")
        approve(council, f"p{number + 1}", ("anna", "ben"))
        council(*ballot(f"p{number + 1}", "reject", "chris"))
        council(*ballot(f"p{number + 1}", "abstain", "dana"))
        council("tally", f"p{number + 1}")
    return council


def test_all_of_it_is_told_in_words(voted):
    pytest.importorskip("networkx", reason="needs quorate[insight]")
    pytest.importorskip("scipy", reason="needs quorate[insight]")
    code, out, err = voted("blocs")
    assert (code, err) == (0, "")
    rows = [line.split() for line in out.splitlines()]
    assert ["anna", "100%", "(3)", "0%", "(3)", "-"] in rows
    assert ["chris", "100%", "(3)", "0", "3", "0", "3", "of", "3"] in rows
    assert ["dana", "0%", "(3)", "0", "0", "3", "0", "of", "0"] in rows
    assert "anna, ben: unanimous on 3 of 3 proposals" in out
    assert "Probability if each voted on its own at its own rate: 1; corrected for 18 groups" in out
    assert "chris lost all 3 decided votes it took part in" in out
    assert "no proof" in out
    assert "no such bloc" in voted("blocs", "--min-shared", "4")[1]


def test_all_of_it_is_told_in_json(voted):
    pytest.importorskip("networkx", reason="needs quorate[insight]")
    pytest.importorskip("scipy", reason="needs quorate[insight]")
    found = told(voted("blocs", "--json"))
    assert found["probabilities_lack"] is None
    assert found["agreement"]["anna"] == {"anna": 1.0, "ben": 1.0, "chris": 0.0, "dana": None}
    assert {"voters": ["anna", "ben"], "same": 3, "shared": 3, "rate": "1"} in found["pairs"]
    (bloc,) = found["blocs"]
    assert (bloc["voters"], bloc["shared"], bloc["probability"]) == (["anna", "ben"], 3, 1.0)
    assert found["always_losing"] == ["chris"]
    assert [one["participation"] for one in found["voters"]] == ["1", "1", "1", "0"]


@pytest.mark.parametrize("missing", ["networkx", "scipy"])
def test_without_its_libraries_it_names_the_extra_and_shows_the_rest(voted, monkeypatch, missing):
    monkeypatch.setitem(sys.modules, missing, None)
    code, out, err = voted("blocs")
    assert code == 0
    assert 'pip install "quorate[insight]"' in err
    assert "Probability" not in out
    for said in (
        "anna, ben: unanimous on 3 of 3 proposals",
        "chris lost all 3 decided",
        "100% (3)",
    ):
        assert said in out
    found = told(voted("blocs", "--json"))
    assert "quorate[insight]" in found["probabilities_lack"]
    (bloc,) = found["blocs"]
    assert (bloc["voters"], bloc["probability"], bloc["corrected"]) == (["anna", "ben"], None, None)


def test_without_votes_nothing_is_said_of_anyone(council):
    code, out, _ = council("blocs")
    assert (code, "no such bloc" in out) == (0, True)
    found = told(council("blocs", "--json"))
    assert [one["voter"] for one in found["voters"]] == list(VOTERS)
    assert (found["blocs"], found["always_losing"]) == ([], [])
