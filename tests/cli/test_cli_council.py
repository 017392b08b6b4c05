"""``quorate council``: what voters see and do, and what programs read."""

import re
import tomllib

import pytest
from cli_council_tools import VOTERS, approve, ballot, opened, told

TOLD = {
    "proposal", "action", "critical", "target", "proposer", "recused", "status", "decision",
    "execution", "opened_at", "expires_at", "expires_in_seconds", "expired", "standing", "needs",
    "next", "signed", "digest", "changes", "approval_lapses_at", "execution_began", "decided_at",
    "execution_ended",
}  # fmt: skip


@pytest.fixture
def council(tmp_path, monkeypatch, quorate):
    yield from opened(tmp_path, monkeypatch, quorate)


def test_what_a_proposal_needs_is_the_same_json_everywhere(council):
    proposed = told(council("propose", "terminate", "--target", "x", "--as", "anna", "--json"))
    assert set(proposed) == TOLD
    assert (proposed["status"], proposed["expires_in_seconds"] > 3000) == ("open", True)
    voted = told(council(*ballot("p1", "approve", "ben"), "--json"))
    assert set(voted) == TOLD
    assert voted["needs"] == {
        "approvals": 2, "weight": "5/3", "heads": 0, "waiting_for": ["anna", "chris", "dana"],
    }  # fmt: skip
    assert voted["next"] == (
        "quorate council vote p1 approve|reject|abstain --as VOTER --digest " + voted["digest"][:12]
    )
    approve(council, "p1", ("anna", "chris"))
    assert set(told(council("tally", "p1", "--json"))) == TOLD
    done = told(council("execute", "p1", "--json"))
    assert set(done) == TOLD | {"marked", "begun", "executor", "detail"}
    assert (done["marked"], done["begun"], done["executor"]) == (True, False, None)
    shown = told(council("show", "p1", "--json"))
    assert set(shown) == TOLD | {
        "evidence", "signatures", "votes", "cancel_calls", "executor", "outcome", "certificate_seq",
    }  # fmt: skip
    assert set(shown["votes"][0]) == {"voter", "value", "reason", "at", "revision", "signature"}
    listed = told(council("list", "--json"))
    assert set(listed) == {
        "council", "genesis", "electorate", "now", "clock_ahead_seconds", "signatures", "proposals",
    }  # fmt: skip
    assert [set(proposal) for proposal in listed["proposals"]] == [TOLD]
    events = told(council("history", "--json"))["events"]
    assert [e["event"] for e in events][:2] == ["opened", "proposed"]
    assert set(events[0]) == {"number", "seq", "at", "event", "proposal", "details", "hash"}
    votes = told(council("history", "ben", "--json"))["votes"]
    assert [(v["proposal"], v["value"]) for v in votes] == [("p1", "approve")]
    assert set(told(council("blocs", "--json"))) == {
        "agreement", "proposals", "threshold", "min_shared", "voters", "pairs", "blocs",
        "always_losing", "caveat", "probabilities_lack", "signatures",
    }  # fmt: skip
    assert told(council("render", "--json"))["proposals"] == 1


def test_a_routine_action_needs_heads(council):
    council("propose", "quarantine", "--target", "x", "--as", "anna")
    needs = "needs 2 more approvals and 2 more voters to approve or reject"
    assert needs in council("list")[1]
    assert needs in council("tally", "p1")[1]
    assert "needs 1 more approval and 1 more voter" in council(*ballot("p1", "approve", "ben"))[1]


def test_weight_is_told_where_heads_do_not_bring_it(council, quorate, tmp_path):
    text = (tmp_path / "council.toml").read_text().replace('id = "council"', 'id = "heavy"', 1)
    heavy = text.replace('id = "anna"\nweight = 1', 'id = "anna"\nweight = 1.25')
    (tmp_path / "council.toml").write_text(heavy)
    assert council("open")[0] == 0
    council("propose", "terminate", "--target", "x", "--as", "anna")
    assert "needs 3 more approvals\n" in council("list")[1]
    approve(council, "p1", ("ben", "chris"))
    # Four and a quarter in all, of which two thirds are asked: two and five sixths.
    assert "needs 1 more approval\n" in council("list")[1]
    assert told(council("show", "p1", "--json"))["needs"]["weight"] == "5/6"


def test_times_are_the_readers_own(council):
    council("propose", "quarantine", "--target", "x", "--as", "anna", "--expires", "1h30m")
    out = council("list")[1]
    assert re.search(r" IST \(in 8\d min\), then no quorum as the votes stand", out)
    never = council("propose", "quarantine", "--target", "y", "--as", "ben", "--expires", "never")
    assert "time: no limit" in never[1]


def test_a_proposal_whose_time_is_up_takes_no_vote_and_can_be_sealed(council):
    council("propose", "quarantine", "--target", "x", "--as", "anna", "--expires", "1ms")
    assert "no vote counts any more" in council("list")[1]
    code, _, err = council(*ballot("p1", "approve", "anna"))
    assert code == 2
    assert "its time is up; tally it" in err
    found = told(council("tally", "p1", "--json"))
    assert (found["status"], found["decision"], found["next"]) == ("expired", "no_quorum", None)


def test_a_proposer_calls_off_alone_before_any_vote(council):
    council("propose", "quarantine", "--target", "x", "--as", "anna")
    key = ("--key", "keys/voters/anna.key")
    assert "p1  quarantine x: cancelled" in council("cancel", "p1", "--as", "anna", *key)[1]
    council("propose", "quarantine", "--target", "x", "--as", "anna")
    approve(council, "p2", ("ben",))
    out = council("cancel", "p2", "--as", "anna", *key)[1]
    assert "1 of the 3 voters that it takes call it off" in out
    assert "cancelled" in council("list")[1]
    assert told(council("show", "p1", "--json"))["certificate_seq"] is None


def test_an_electorate_is_changed_by_a_vote_and_takes_effect_by_execution(council, tmp_path):
    text = (tmp_path / "council.toml").read_text()
    wider = text + '\n[[voters]]\nid = "eve"\n'
    (tmp_path / "wider.toml").write_text(wider)
    code, _, err = council("propose", "change_electorate", "--as", "anna")
    assert (code, "--voters-from" in err) == (2, True)
    assert council("propose", "change-electorate", "--as", "anna")[0] == 2
    change = ("propose", "change_electorate", "--voters-from", "wider.toml", "--as", "anna")
    assert council(*change)[0] == 0
    approve(council, "p1", VOTERS[:3])
    assert council("execute", "p1")[0] == 0
    code, out, err = council("list")
    assert "council: 5 voters" in out
    assert "council.toml names other voters than the council was given" in err
    assert council("list", "-c", "wider.toml")[2] == ""


def test_what_began_and_has_no_result_is_resolved_by_hand(council, tmp_path):
    from quorate.council import ConsensusProtocol
    from quorate.ledger import Ledger, read_signer

    council("propose", "quarantine", "--target", "x", "--as", "anna")
    approve(council, "p1", VOTERS[:3])
    council("tally", "p1")
    key = read_signer(tmp_path / "keys" / "council.key")
    with Ledger.open(f"sqlite:///{tmp_path / 'council.db'}", signer=key) as ledger:
        ConsensusProtocol.reopen(ledger).begin_execution("p1", "a program that died", timeout=0)
    assert "its execution began and has no result: find out, then resolve" in council("list")[1]
    resolve = ("resolve", "p1", "executed", "--reason", "the process is gone", "--as", "dana")
    assert council("resolve", "p1", "exeucted", *resolve[3:])[2].endswith("mean 'executed'?\n")
    assert "execution: executed" in council(*resolve)[1]
    code, _, err = council(*resolve)
    assert (code, "cannot resolve" in err) == (2, True)


def test_other_files_and_ledgers_are_found_and_named_in_what_comes_next(
    tmp_path, monkeypatch, quorate
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "night watch").mkdir()
    file = "night watch/board.toml"
    out = quorate("council", "init", file, "--voter", "a", "--voter", "b", "--insecure-unsigned")[1]
    assert "open the council: quorate council open --council 'night watch/board.toml'" in out
    assert quorate("council", "open", "-c", file)[0] == 0
    monkeypatch.setenv("QUORATE_COUNCIL", file)
    monkeypatch.setenv("QUORATE_VOTER", "a")
    found = told(quorate("council", "propose", "quarantine", "--target", "x", "--json"))
    assert found["next"].endswith(" --council 'night watch/board.toml'")
    assert quorate("council", "vote", "p1", "approve")[0] == 0
    monkeypatch.delenv("QUORATE_COUNCIL")
    code, out, _ = quorate("council", "list", "--ledger", "night watch/council.db")
    assert (code, "not voted yet: b" in out) == (0, True)
    assert quorate("council", "list", "--ledger", "night watch/council.db", "--id", "c")[0] == 2
    assert quorate("council", "list", "--id", "c")[0] == 2


def test_a_timeline_is_drawn(council, tmp_path):
    pytest.importorskip("matplotlib", reason="needs quorate[plots]")
    council("propose", "quarantine", "--target", "x", "--as", "anna")
    assert council("plot", "timeline", "when.svg")[0] == 0
    assert "<svg" in (tmp_path / "when.svg").read_text("utf-8")


def test_the_starter_file_is_toml_and_its_keys_are_private(council, tmp_path):
    found = tomllib.loads((tmp_path / "council.toml").read_text())
    assert [voter["id"] for voter in found["voters"]] == list(VOTERS)
    for path in (tmp_path / "keys").rglob("*.key"):
        assert path.stat().st_mode & 0o077 == 0
    code, _, err = council("init")
    assert (code, "is there already" in err) == (2, True)


def test_opening_again_changes_nothing(council):
    found = told(council("open", "--json"))
    assert (found["opened"], found["events"], found["keyed"]) == (False, 1, list(VOTERS))
    made = told(council("init", "other/council.toml", "--voter", "eve", "--json"))
    assert made["voters"] == ["eve"]
    assert "other/keys/voters/eve.key" in made["files"]
    opened_now = told(council("open", "--council", "other/council.toml", "--json"))
    assert (opened_now["opened"], opened_now["bft_quorum"]) == (True, 1)
