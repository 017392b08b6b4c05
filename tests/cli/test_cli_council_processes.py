"""``quorate council`` in processes of its own, as people at several terminals use it."""

import json
from pathlib import Path

import pytest
from cli_council_tools import VOTERS, approve, ballot, opened, told


@pytest.fixture
def council(tmp_path, monkeypatch, quorate):
    yield from opened(tmp_path, monkeypatch, quorate)


def test_a_proposal_lives_from_its_proposal_to_its_execution(council, process, forked):
    """Every step in a process of its own, as people do it."""

    def call(*arguments, run=forked):
        done = run("council", *arguments)
        assert done.returncode == 0, done.stderr
        return done.stdout

    Path("facts.json").write_text('{"rss": 7}')
    out = call(
        "propose", "TERMINATE", "--target", "agent-7", "--evidence", "facts.json",
        "--expires", "10h", "--as", "anna", "--key", "keys/voters/anna.key", run=process,
    )  # fmt: skip
    assert "p1  terminate agent-7 (critical): proposed" in out
    for voter in VOTERS[:2]:
        assert f"{voter} says approve" in call(*ballot("p1", "approve", voter, "--reason", "rss"))
    out = council("list")[1]
    assert "needs 1 more approval\n" in out
    assert "not voted yet: chris, dana" in out
    assert "(in 9 h), then rejected as the votes stand" in out
    assert council("tally", "p1", "--strict")[0] == 3
    assert council("close", "p1")[0] == 2
    assert "approved is certain, seal it" in call(*ballot("p1", "approve", "dana"))
    assert "Proposal p1 is approved" in call("tally", "p1", "--strict")
    assert "do nothing before: quorate council execute p1" in council("list")[1]
    out = call("execute", "p1")
    assert "marked as executed, by this call and no other\n" in out
    assert "no executor was run: this only says that you do it, so do it now" in out
    assert "execution: executed" in council("execute", "p1")[1]
    out = council("show", "p1")[1]
    assert '"rss": 7' in out
    assert "dana approve (signed)" in out
    assert "verified: hash chain, signatures and every event" in council("history", "--verify")[1]


def test_of_two_terminals_that_execute_at_once_one_does(council, fork):
    council("propose", "quarantine", "--target", "x", "--as", "anna")
    approve(council, "p1", VOTERS[:3])
    racing = [fork("council", "execute", "p1", "--strict", "--json") for _ in range(2)]
    done = [(json.loads(p.communicate(timeout=60)[0]), p.returncode) for p in racing]
    assert sorted(code for _, code in done) == [0, 3]
    assert sorted(found["marked"] for found, _ in done) == [False, True]
    assert {found["execution"] for found, _ in done} == {"executed"}


def test_two_terminals_that_vote_at_once_both_count(council, fork):
    council("propose", "quarantine", "--target", "x", "--as", "anna")
    racing = [fork("council", *ballot("p1", "approve", voter)) for voter in ("anna", "ben")]
    assert [(p.communicate(timeout=60), p.returncode)[1] for p in racing] == [0, 0]
    assert told(council("show", "p1", "--json"))["standing"]["approvals"] == 2
