"""``quorate council``: what is shown is checked, and says what it is, when, and by whom."""

import json
import re
import shutil
import sqlite3
from pathlib import Path

import pytest
from cli_council_acts import approved, declare, program
from cli_council_tools import VOTERS, approve, ballot, opened, told

from quorate.council import ConsensusProtocol
from quorate.ledger import Ledger, read_signer

PUB = ("--key", "keys/council.pub")
LOG = ("--ledger", "council.db")
LOOKS = (("list",), ("show", "p1"), ("history",), ("render",), ("watch", "--once", "--look"))


@pytest.fixture
def council(tmp_path, monkeypatch, quorate):
    yield from opened(tmp_path, monkeypatch, quorate)


def sql(statement):
    with sqlite3.connect("council.db") as store:
        store.execute(statement)
    store.close()


def forge(last=1):
    """Put a signature of zeros under the last entries, as who has no key could."""
    with sqlite3.connect("council.db") as store:
        rows = store.execute("SELECT seq, signatures FROM entries ORDER BY seq DESC").fetchall()
        for seq, signatures in rows[:last]:
            text = signatures if isinstance(signatures, str) else signatures.decode()
            forged = re.sub(r":[0-9a-f]+", lambda found: ":" + "0" * (len(found[0]) - 1), text)
            value = forged if isinstance(signatures, str) else forged.encode()
            store.execute("UPDATE entries SET signatures = ? WHERE seq = ?", (value, seq))
    store.close()


# --- signatures ------------------------------------------------------------------------


def test_a_forged_tail_is_refused_where_the_key_is_at_hand(council):
    id_ = approved(council)
    council("tally", id_)
    assert council("list")[0] == 0
    forge()
    for look in LOOKS:
        code, out, err = council(*look)
        assert (code, "is not over this entry" in err) == (4, True), look
        assert "execute" not in out
    Path("keys/council.pub").unlink()
    assert council("list")[0] == 4
    Path("keys/council.key").rename("elsewhere")
    code, out, err = council("list")
    assert (code, "signatures not checked: no public key" in err) == (0, True)
    assert "council execute" not in out


def test_where_no_key_is_at_hand_it_is_said_and_nothing_is_advised(council):
    id_ = approved(council)
    council("tally", id_)
    forge(2)
    for look in LOOKS:
        code, out, err = council(*look, *LOG)
        assert (code, "signatures not checked" in err) == (0, True), look
        assert "council execute" not in out
        assert council(*look, *LOG, *PUB)[0] == 4
    listed = council("list", *LOG)[1]
    assert "next: do nothing before the signatures are checked" in listed
    assert "quorate council history --verify --key PUB --ledger council.db" in listed
    for command in (("list",), ("show", id_), ("history",), ("render",), ("blocs",)):
        found = json.loads(council(*command, *LOG, "--json")[1])
        assert found["signatures"] == "not checked", command
    state = json.loads(council("watch", "--once", *LOG, "--json")[1].splitlines()[0])
    assert state["signatures"] == "not checked"
    assert "council execute" not in state["proposals"][0]["next"]


def test_an_honest_record_is_said_to_be_checked(council):
    id_ = approved(council)
    council("tally", id_)
    for command in (("list",), ("show", id_), ("history",), ("render",), ("blocs",)):
        assert told(council(*command, "--json"))["signatures"] == "checked"
        assert told(council(*command, *LOG, *PUB, "--json"))["signatures"] == "checked"
    assert told(council("list", "--json"))["proposals"][0]["next"].startswith(
        f"quorate council execute {id_}"
    )


def test_another_record_of_the_same_name_is_refused(council, quorate, tmp_path, monkeypatch):
    """The file is replaced by one that another key signed, with all else as it was."""
    for id_ in (approved(council), approved(council)):
        council("tally", id_)
    keys = tmp_path / "keys"
    shutil.move(keys / "council.pub", keys / "true.pub")
    shutil.move(keys / "council.key", keys / "true.key")
    assert quorate("keys", "new", "keys/council.key")[0] == 0
    code, out, err = council("list")
    assert (code, "signed by 0 trusted keys" in err) == (4, True)
    assert "execute" not in out
    # Who acts by another key is told which one it takes.
    code, _, err = council("tally", "p1")
    assert (code, "open it with the key or keys it was begun with" in err) == (2, True)


def test_a_bad_signature_of_ones_own_key_is_no_wrong_key(council):
    id_ = approved(council)
    council("tally", id_)
    forge()
    for command in (("tally", id_), ("execute", id_), ("close", id_)):
        code, _, err = council(*command)
        assert (code, "is not over this entry" in err) == (4, True)
        assert "last signed by key" not in err


# --- a record that is gone -------------------------------------------------------------


def test_a_wiped_ledger_is_no_new_council(council, quorate):
    approved(council)
    noted = (*LOG, "--signer", "keys/council.key", "-o", "note")
    assert quorate("ledger", "checkpoint", *noted)[0] == 0
    sql("DELETE FROM entries")
    commands = (
        *LOOKS, ("list", *LOG), ballot("p1", "approve", "dana"), ("execute", "p1"), ("open",),
        ("history", "--verify", "--checkpoint", "note"),
    )  # fmt: skip
    for command in commands:
        code, _, err = council(*command)
        assert (code, "its record was wiped" in err) == (4, True), command
    assert json.loads(council("list", "--json")[1])["error"]["rule"] == "truncation"


def test_an_empty_file_is_no_place_for_a_new_council(council):
    Path("council.db").write_bytes(b"")
    for command in (("list",), ("open",)):
        code, _, err = council(*command)
        assert (code, "council.db is empty" in err) == (5, True)
    Path("council.db").unlink()
    assert council("open")[0] == 0


def test_the_councils_that_are_there_are_named(council):
    code, _, err = council("list", *LOG, "--id", "counsel")
    assert (code, "it holds council: choose with --id; did you mean 'council'?" in err) == (2, True)
    file = Path("council.toml")
    file.write_text(file.read_text().replace('id = "council"', 'id = "second"', 1))
    assert council("open")[0] == 0
    assert "holds the councils council, second; choose one with --id" in council("list", *LOG)[2]
    assert "second: 4 voters" in council("list", *LOG, "--id", "second")[1]
    file.write_text(file.read_text().replace('id = "second"', 'id = "third"', 1))
    code, _, err = council("list")
    assert (code, "(it holds council, second); run: quorate council open" in err) == (2, True)


def test_verifying_takes_a_key_and_says_what_it_leaves_open(council, quorate):
    code, _, err = council("history", "--verify", *LOG)
    assert (code, "give the ledger's public key, its text or its file, with --key PUB" in err) == (
        2,
        True,
    )
    out = council("history", "--verify")[1]
    assert "the end is not proven" in out
    assert told(council("history", "--verify", "--json"))["tail"] == "not proven"
    noted = (*LOG, "--signer", "keys/council.key", "-o", "note")
    assert quorate("ledger", "checkpoint", *noted)[0] == 0
    assert "the end is proven" in council("history", "--verify", "--checkpoint", "note")[1]
    found = told(council("history", "--verify", "--checkpoint", "note", "--json"))
    assert (found["verified"], found["tail"]) == (True, "proven")
    assert "tail" not in told(council("history", "--json"))


# --- what is listed --------------------------------------------------------------------


def test_a_filter_that_finds_nothing_says_so_of_itself(council):
    council("propose", "quarantine", "--target", "x", "--as", "anna")
    for status in ("decided", "executed", "expired", "cancelled"):
        out = council("list", "--status", status)[1]
        assert f"no proposal is {status}" in out
        assert "nothing is open" not in out
    assert "p1  quarantine x" in council("list", "--status", "open")[1]


def test_what_time_is_up_for_is_listed_as_expired_before_it_is_sealed(council):
    council("propose", "quarantine", "--target", "x", "--as", "anna", "--expires", "1ms")
    assert "p1  quarantine x" in council("list", "--status", "expired")[1]
    assert "no proposal is open" in council("list", "--status", "open")[1]
    council("tally", "p1")
    assert "p1  quarantine x" in council("list", "--status", "expired")[1]
    id_ = approved(council)
    council("tally", id_)
    assert id_ not in council("list", "--status", "expired")[1]


def test_what_presses_comes_first(council):
    for target, time in (("never", "never"), ("late", "2h"), ("soon", "1h")):
        council("propose", "quarantine", "--target", target, "--as", "anna", "--expires", time)
    approve(council, "p2", VOTERS[:3])
    council("tally", "p2")
    heads = re.findall(r"^p\d", council("list")[1], re.MULTILINE)
    assert heads == ["p2", "p3", "p1"]


def test_what_is_no_plain_word_is_quoted(council):
    lie = "agent-9: approved, execution: executed"
    council("propose", "restrict", "--target", lie, "--as", "anna")
    council("propose", "restrict", "--target", "agent-7 ", "--as", "anna")
    for look in LOOKS:
        if look[0] != "show":
            out = council(*look)[1]
            assert f'restrict "{lie}"' in out
            assert 'restrict "agent-7 "' in out
    assert f'restrict "{lie}"' in council("show", "p1")[1]


def test_a_name_of_an_emoji_is_no_emoji(council):
    """Lines of a file are told as FILE:LINE:, which a terminal's markup takes for a picture."""
    Path("x.toml").write_text("\n" * 99 + "id = 7\n")
    code, _, err = council("list", "--council", "x.toml")
    assert (code, "x.toml:100:" in err) == (2, True)


def test_a_clock_ahead_is_told(council, tmp_path):
    from quorate.ledger.appending import system_clock

    def ahead():
        return system_clock() + 73 * 3_600_000_000

    key = read_signer(tmp_path / "keys" / "council.key")
    with Ledger.open(f"sqlite:///{tmp_path / 'council.db'}", signer=key, clock=ahead) as ledger:
        ConsensusProtocol.reopen(ledger, clock=ahead).settle()
        protocol = ConsensusProtocol.reopen(ledger, clock=ahead)
        from quorate.council import sign_proposal

        signer = read_signer(tmp_path / "keys" / "voters" / "anna.key")
        asked = ("anna", "restrict", "x", None, 600)
        signature = sign_proposal(signer, protocol.request(*asked))
        protocol.propose(*asked, signature=signature)
    for look in LOOKS[:2]:
        out, err = council(*look)[1:]
        assert "the record is 3 days ahead of this machine's clock" in " ".join(err.split())
        assert "(in 10 min)" in out
        assert "in 3 days" not in out
    assert json.loads(council("list", "--json")[1])["clock_ahead_seconds"] > 73 * 3600 - 600


# --- the story of one proposal -----------------------------------------------------------


def test_show_tells_the_whole_story(council):
    program("fence.sh", 'echo "$0 went wrong" >&2', "exit 7")
    declare('[executors.quarantine]\nkind = "command"\ncommand = ["./fence.sh"]\ntimeout = 60\n')
    id_ = approved(council)
    assert council("execute", id_, "--as", "ben", "--key", "keys/voters/ben.key")[0] == 5
    out = council("show", id_)[1]
    assert re.search(r"^proposed: .* IST \(.*\) by anna$", out, re.MULTILINE)
    assert re.search(r"^decided: .* IST \(.*\)\. Proposal p1 is approved", out, re.MULTILINE)
    assert re.search(r"^began: .* IST \(.*\), by ben$", out, re.MULTILINE)
    assert re.search(r"^ended: .* it may or may not have been done$", out, re.MULTILINE)
    assert "executor: command:fence.sh#" in out
    assert "went wrong" in out
    reason = ("--reason", "process list shows it", "--as", "dana")
    assert council("resolve", id_, "executed", *reason)[0] == 0
    out = council("show", id_)[1]
    assert "executed, says dana by hand: process list shows it" in out
    found = told(council("show", id_, "--json"))
    assert "at" not in found["outcome"]
    assert (found["execution_ended"]["by"], found["execution_ended"]["by_hand"]) == ("dana", True)
    assert found["execution_ended"]["at"].endswith("Z")
    assert found["decided_at"].endswith("Z")
    assert found["expires_in_seconds"] is None
    listed = council("list")[1]
    assert re.search(r"approved .*, execution: executed .* by dana by hand", listed)
    assert "resolved  executed, says dana: process list shows it" in council("history")[1]


def test_a_running_execution_is_told_as_one(council, tmp_path):
    id_ = approved(council)
    council("tally", id_)
    assert (
        "have it carried out, and do nothing before: quorate council execute p1"
        in (council("list")[1])
    )
    key = read_signer(tmp_path / "keys" / "council.key")
    with Ledger.open(f"sqlite:///{tmp_path / 'council.db'}", signer=key) as ledger:
        ConsensusProtocol.reopen(ledger).begin_execution(id_, "a night shift", timeout=600)
    out = council("list")[1]
    assert re.search(r'running: begun \d\d:.* IST \(.*\) \("a night shift"\); its result is', out)
    assert "approved" in out
    assert "execution: no result yet" in out
    assert "running: begun" in council("show", id_)[1]
    reason = ("--reason", "it looks dead", "--as", "dana")
    code, _, err = council("resolve", id_, "failed", *reason)
    assert (code, "due" in err) == (2, True)


def test_calls_to_cancel_are_counted_in_words(council):
    council("propose", "quarantine", "--target", "x", "--as", "anna")
    approve(council, "p1", ["ben"])
    out = council("cancel", "p1", "--as", "anna", "--key", "keys/voters/anna.key")[1]
    assert "1 of the 3 voters that it takes call it off; it goes on until then" in out


def test_a_change_of_the_electorate_is_put_into_effect(council, tmp_path):
    text = (tmp_path / "council.toml").read_text()
    (tmp_path / "wider.toml").write_text(text + '\n[[voters]]\nid = "eve"\n')
    council("propose", "change_electorate", "--voters-from", "wider.toml", "--as", "anna")
    assert "voters that come: eve" in council("list")[1]
    approve(council, "p1", VOTERS[:3])
    council("tally", "p1")
    listed = council("list")[1]
    assert "voters that come: eve" in listed
    assert "next: put it into effect: quorate council execute p1" in listed
    out = council("execute", "p1")[1]
    assert "voters that come: eve" in out
    assert "next: let the council file name the same voters, weights and keys" in out


def test_the_digests_that_an_endpoint_pins_are_told(council, tmp_path):
    found = told(council("list", "--json"))
    with Ledger.open(f"sqlite:///{tmp_path / 'council.db'}") as ledger:
        protocol = ConsensusProtocol.reopen(ledger)
        assert found["genesis"] == protocol.audit_log[0].entry_hash
        assert found["electorate"] == protocol.electorate.digest


def test_a_voter_named_twice_is_named(council):
    for twice, words in (("a", "the voter 'a' stands there twice;"), ("A", "as 'a' too")):
        code, _, err = council("init", "x.toml", "--voter", "a", "--voter", twice)
        assert (code, words in err) == (2, True)


def test_a_password_in_the_url_of_the_ledger_is_not_repeated(council):
    file = Path("council.toml")
    file.write_text(file.read_text().replace("sqlite:///council.db", "postgres://u:s3cret@h/x"))
    code, out, err = council("list")
    assert (code, "s3cret" in out + err, "ledger.url" in err) == (2, False, True)


def test_how_often_to_look_has_its_own_range(council):
    for every in ("0s", "10d", "never", "5"):
        code, _, err = council("watch", "--once", "--every", every)
        assert code == 2
        assert "or never" not in err
    assert "give 100ms to 1h" in council("watch", "--every", "10d")[2]


def test_a_short_screen_says_how_much_it_does_not_show():
    from rich.text import Text

    from quorate.cli.council.watching import _fitting

    state = [Text("head"), *(Text(f"line {n}") for n in range(9))]
    assert [line.plain for line in _fitting(state, [Text("told")], 80, 12)][-1] == "told"
    cut = [line.plain for line in _fitting(state, [Text("told")], 80, 6)]
    assert cut[:4] == ["head", "line 0", "line 1", "line 2"]
    assert cut[4].startswith("7 more lines")
    assert len(cut) == 5
    # A long line takes several rows.
    assert len(_fitting([Text("x" * 100), *state], [], 20, 8)) == 3
    assert len(_fitting([Text("x" * 100)], [], 20, 2)) == 1
