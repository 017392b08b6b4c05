"""``quorate council``: what is said in a voter's name is signed, and about what was read."""

import json

import pytest
from cli_council_acts import approved, events
from cli_council_tools import ballot, opened, told

PROPOSE = ("propose", "quarantine", "--target", "x", "--as", "anna")


@pytest.fixture
def council(tmp_path, monkeypatch, quorate):
    yield from opened(tmp_path, monkeypatch, quorate)


@pytest.fixture
def plain(council, quorate):
    """Commands without the key that the other fixture gives of itself."""
    return lambda *arguments: quorate("council", *arguments)


def key(voter):
    return ("--key", f"keys/voters/{voter}.key")


def test_nobody_proposes_for_a_voter_without_its_key(plain):
    code, _, err = plain(*PROPOSE)
    assert (code, "'anna' has a registered key, so what it says is signed" in err) == (2, True)
    code, _, err = plain(*PROPOSE, *key("ben"))
    assert (code, "is not the key registered for 'anna'" in err) == (2, True)
    assert told(plain("list", "--json"))["proposals"] == []
    assert told(plain(*PROPOSE, *key("anna"), "--json"))["signed"] is True
    assert "proposed  quarantine x, by anna\n" in plain("history")[1]


def test_an_unsigned_proposal_is_shown_as_one(tmp_path, monkeypatch, quorate):
    monkeypatch.chdir(tmp_path)
    quorate("council", "init", "--voter", "anna", "--voter", "ben", "--insecure-unsigned")
    assert "2 of 2 voters have no key (anna, ben)" in quorate("council", "open")[2]
    quorate("council", *PROPOSE)
    assert "by anna (unsigned)" in quorate("council", "history")[1]


def test_a_vote_is_on_what_was_read(council):
    digest = told(council(*PROPOSE, "--json"))["digest"]
    wrong = ("--digest", "0" * 12)
    for command in (ballot("p1", "approve", "ben"), ("cancel", "p1", "--as", "anna", *key("anna"))):
        code, _, err = council(*command, *wrong)
        assert (code, "is another than the one with the digest 000000000000" in err) == (2, True)
    following = told(council("show", "p1", "--json"))["next"]
    assert following.endswith(f"--digest {digest[:12]}")
    for voter in ("anna", "ben", "chris"):
        assert council(*ballot("p1", "approve", voter, "--digest", digest[:12]))[0] == 0
    code, _, err = council("execute", "p1", *wrong)
    assert (code, "nothing was sealed" in err) == (2, True)
    assert council("execute", "p1", "--digest", digest)[0] == 0


def test_who_executes_is_sealed_and_signed(council):
    approved(council)
    assert council("execute", "p1", "--as", "ben")[0] == 2
    assert council("execute", "p1", "--as", "bob", *key("ben"))[0] == 2
    assert council("execute", "p1", "--as", "ben", *key("ben"))[0] == 0
    (event,) = events(council, "executed")
    assert (event["by"], len(event["signature"])) == ("ben", 128)
    assert "executed  by ben" in council("history")[1]
    began = told(council("show", "p1", "--json"))["execution_began"]
    assert (began["by"], began["signed"]) == ("ben", True)


def test_a_change_of_the_electorate_says_what_it_changes(council, tmp_path):
    text = (tmp_path / "council.toml").read_text()
    (tmp_path / "new.toml").write_text(
        text.replace('key = "keys/voters/dana.pub"\n', "").replace('id = "chris"', 'id = "eve"')
    )
    change = ("propose", "change_electorate", "--voters-from", "new.toml", "--as", "anna")
    code, _, err = council(*change)
    assert (code, "the voters that stay and would have no key are ['dana']" in err) == (2, True)
    assert council(*PROPOSE, "--drop-key", "dana")[0] == 2
    out = council(*change, "--drop-key", "dana")
    assert out[0] == 0
    shown = council("list")[1]
    for line in ("voters that come: eve", "voters that go: chris", "LOSE their key", ": dana"):
        assert line in shown
    changes = json.loads(council("show", "p1", "--json")[1])["changes"]
    assert (changes["come"], changes["go"], changes["unkeyed"]) == (["eve"], ["chris"], ["dana"])


def test_what_is_approved_is_called_off_by_a_quorum(council):
    approved(council)
    for voter in ("anna", "ben"):
        assert council("cancel", "p1", "--as", voter, *key(voter))[0] == 0
    assert (
        "p1  quarantine agent-7: cancelled"
        in council("cancel", "p1", "--as", "dana", *key("dana"))[1]
    )
    assert council("execute", "p1", "--strict")[0] == 3


def test_the_record_says_by_which_time_it_goes(council, tmp_path):
    """An event of a machine that is a little ahead, which the council's tolerance lets pass."""
    from quorate.council import ConsensusProtocol
    from quorate.ledger import Ledger, read_signer
    from quorate.ledger.appending import system_clock

    council(*PROPOSE)
    approver = read_signer(tmp_path / "keys" / "voters" / "ben.key")
    from quorate.council import sign_vote

    signer = read_signer(tmp_path / "keys" / "council.key")
    with Ledger.open(f"sqlite:///{tmp_path / 'council.db'}", signer=signer) as ledger:
        ahead = ConsensusProtocol.reopen(ledger, clock=lambda: system_clock() + 60 * 10**6)
        signature = sign_vote(approver, ahead.get_proposal("p1"), "approve")
        ahead.vote("p1", "ben", "approve", signature=signature)
    code, out, err = council("list")
    assert (code, "ahead of this machine's clock" in err) == (0, True)
    assert "votes: 1 of 2 approvals" in out


def test_the_rules_of_who_and_when_are_sealed_as_the_file_has_them(tmp_path, monkeypatch, quorate):
    monkeypatch.chdir(tmp_path)
    quorate("council", "init")
    file = tmp_path / "council.toml"
    text = file.read_text()
    for wrong in ("never", "2d"):
        file.write_text(text.replace('clock_tolerance = "5m"', f'clock_tolerance = "{wrong}"'))
        code, _, err = quorate("council", "open")
        assert (code, ": rules.clock_tolerance: is " in err) == (2, True)
    changed = text.replace('"5m"', '"90s"').replace(
        'execute_within = "7d"', 'execute_within = "1h"'
    )
    file.write_text(changed.replace("only_voters_execute = false", "only_voters_execute = true"))
    assert quorate("council", "open")[0] == 0
    (opening,) = told(quorate("council", "history", "--json"))["events"]
    rules = opening["details"]["config"]
    assert (rules["clock_tolerance_seconds"], rules["execute_within_seconds"]) == ("90", "3600")
    assert rules["only_voters_execute"] is True
