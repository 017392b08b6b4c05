"""``quorate council propose --once``: what is repeated after a crash is not proposed twice."""

import json

import pytest
from cli_council_tools import opened, signing, told


@pytest.fixture
def council(tmp_path, monkeypatch, quorate):
    yield from opened(tmp_path, monkeypatch, quorate)


PROPOSE = ("propose", "quarantine", "--target", "x", "--as", "anna")


def proposals(call):
    return [one["proposal"] for one in told(call("list", "--json"))["proposals"]]


def test_the_same_again_under_one_key_is_one_proposal(council):
    assert "p1  quarantine x: proposed\n" in council(*PROPOSE, "--once", "night-7")[1]
    again = council(*PROPOSE, "--once", "night-7")
    assert (again[0], "p1  quarantine x: proposed before, under this name" in again[1]) == (0, True)
    assert proposals(council) == ["p1"]
    assert council(*PROPOSE, "--once", "night-8")[0] == 0
    assert council(*PROPOSE)[0] == 0
    assert proposals(council) == ["p1", "p2", "p3"]
    assert council("history", "--verify")[0] == 0


@pytest.mark.parametrize(
    ("more", "what"),
    [
        (("--target", "y"), "another target;"),
        (("--evidence", '{"a": 1}'), "another evidence;"),
        (("--expires", "2h"), "another time to vote;"),
    ],
)
def test_a_key_stands_for_one_proposal(council, more, what):
    council(*PROPOSE, "--once", "k")
    code, _, err = council(*PROPOSE, "--once", "k", *more)
    assert (code, f"the key 'k' stands for proposal p1, which has {what}" in err) == (2, True)
    code, _, err = council("propose", "restrict", *PROPOSE[2:], "--once", "k")
    assert (code, "another action;" in err) == (2, True)
    assert proposals(council) == ["p1"]


def test_a_key_is_the_proposers_own(council):
    council(*PROPOSE, "--once", "k")
    assert council(*PROPOSE[:-1], "ben", "--once", "k")[0] == 0
    assert proposals(council) == ["p1", "p2"]


def test_a_name_of_nothing_is_none(council):
    assert council(*PROPOSE, "--once", "")[0] == 2
    assert proposals(council) == []


def test_a_new_electorate_is_proposed_once(council, tmp_path):
    text = (tmp_path / "council.toml").read_text()
    (tmp_path / "wider.toml").write_text(text + '\n[[voters]]\nid = "eve"\n')
    change = ("propose", "change_electorate", "--voters-from", "wider.toml", "--as", "anna")
    for _ in range(2):
        assert council(*change, "--once", "k")[0] == 0
    assert proposals(council) == ["p1"]


def test_of_several_terminals_that_repeat_it_at_once_one_proposes(council, fork):
    racing = [
        fork("council", *PROPOSE, *signing(PROPOSE), "--once", "k", "--json") for _ in range(4)
    ]
    done = [(json.loads(p.communicate(timeout=60)[0])["proposal"], p.returncode) for p in racing]
    assert done == [("p1", 0)] * 4
    assert proposals(council) == ["p1"]
