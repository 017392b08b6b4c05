"""What `quorate verify` finds: bytes flipped, entries cut off, verdicts forged."""

import json
import sqlite3

import pytest

from quorate.arbitration import Absence, Arbiter, Proposal, UnderQuorum
from quorate.arbitration.sealed import body_of
from quorate.core.canonical import digest
from quorate.ledger import Ledger, read_signer

VERIFY = ("verify", "ledger.db", "--policy", "policy.toml")


def change(statement, *values):
    db = sqlite3.connect("ledger.db")
    with db:
        assert db.execute(statement, values).rowcount > 0
    db.close()


def assert_found(quorate, index, rule, *more):
    code, out, err = quorate(*VERIFY, *more)
    assert (code, out) == (4, ""), err
    assert err.startswith("error: ")
    if index is not None:
        assert f"entry {index}: " in err
    assert f"[{rule}]" in err
    code, out, err = quorate(*VERIFY, *more, "--json")
    told = json.loads(out)
    assert (code, err) == (4, "")
    assert told["exit_code"] == 4
    assert told["error"]["type"] == "VerificationError"
    assert (told["error"]["index"], told["error"]["rule"]) == (index, rule)


@pytest.mark.parametrize("seq", [0, 3, 8])
def test_one_flipped_byte_of_the_file_is_named(here, quorate, seq):
    with Ledger.open("sqlite:///ledger.db") as ledger:
        body = ledger.get(seq).body_bytes
    data = bytearray((here / "ledger.db").read_bytes())
    at = data.index(body) + len(body) // 2
    data[at] ^= 1
    (here / "ledger.db").write_bytes(data)
    assert_found(quorate, seq, "commitment")


@pytest.mark.parametrize(
    ("column", "rule"),
    [
        ("body", "commitment"),
        ("salt", "commitment"),
        ("entry", "entry"),
        ("signatures", "signature"),
        ("kind", "look-up"),
        ("trace_id", "look-up"),
        ("key", "look-up"),
    ],
)
def test_one_changed_column_is_named(here, quorate, column, rule):
    value = b"\0" * 16 if column == "salt" else "x"
    change(f"UPDATE entries SET {column} = ? WHERE seq = 5", value)  # noqa: S608
    assert_found(quorate, 5, rule)


def test_entries_that_change_places_are_named(here, quorate):
    change("UPDATE entries SET seq = CASE seq WHEN 3 THEN -1 ELSE 3 END WHERE seq IN (3)")
    change("UPDATE entries SET seq = 3 WHERE seq = 4")
    change("UPDATE entries SET seq = 4 WHERE seq = -1")
    assert_found(quorate, 3, "entry")


def test_an_entry_taken_out_of_the_middle_is_named(here, quorate):
    change("DELETE FROM entries WHERE seq = 4")
    assert_found(quorate, 4, "sequence")


@pytest.mark.parametrize("cut", [1, 2, 9])
def test_a_tail_cut_off_is_found_with_a_checkpoint_only(here, quorate, cut):
    assert quorate("ledger", "checkpoint", "-o", "pin.txt")[0] == 0
    change("DELETE FROM entries WHERE seq >= ?", 9 - cut)
    code, out, _ = quorate(*VERIFY, "--replay")
    assert (code, "the tail is not proven" in out) == (0, True)
    assert_found(quorate, 9 - cut, "truncation", "--checkpoint", "pin.txt")


def test_entries_after_the_checkpoint_are_not_called_complete(here, quorate):
    assert quorate("ledger", "checkpoint", "-o", "pin.txt")[0] == 0
    with writable() as ledger:
        ledger.append("note", {"more": 1})
    code, out, _ = quorate(*VERIFY, "--checkpoint", "pin.txt", "--json")
    report = json.loads(out)
    assert (code, report["complete"], report["proven"], report["size"]) == (0, False, 9, 10)


def test_a_changed_checkpoint_is_found(here, quorate):
    assert quorate("ledger", "checkpoint", "-o", "pin.txt")[0] == 0
    note = (here / "pin.txt").read_text()
    (here / "pin.txt").write_text(note.replace("\n9\n", "\n8\n"))
    assert_found(quorate, None, "checkpoint", "--checkpoint", "pin.txt")


@pytest.mark.parametrize(
    ("path", "rule"),
    [
        (("body", "verdict", "consensus"), "commitment"),
        (("body", "task", "id"), "commitment"),
        (("salt",), "commitment"),
        (("entry", "kind"), "signature"),
        (("entry", "seq"), "signature"),
        (("entry", "prev"), "signature"),
        (("signatures", 0, "signature"), "signature"),
        (("origin",), "origin"),
    ],
)
def test_a_changed_receipt_does_not_verify(here, quorate, path, rule):
    receipt = json.loads(quorate("ledger", "show", 2, "--json")[1])
    *inner, last = path
    place = receipt
    for step in inner:
        place = place[step]
    if isinstance(place[last], int):
        place[last] += 1
    elif last in {"salt", "prev", "signature"}:
        place[last] = place[last][:-1] + ("0" if place[last][-1] != "0" else "1")
    else:
        place[last] += "x"
    (here / "receipt.json").write_text(json.dumps(receipt))
    code, out, err = quorate("verify", "receipt.json", "--policy", "policy.toml")
    assert (code, out) == (4, "")
    assert f"[{rule}]" in err


def test_what_is_no_receipt_is_bad_use(here, quorate):
    for text in ("{}", "[]", "not json", '{"a": 1, "a": 1}'):
        (here / "receipt.json").write_text(text)
        assert quorate("verify", "receipt.json", "--policy", "policy.toml")[0] == 2


# -- forged with the right key


def writable():
    return Ledger.open("sqlite:///ledger.db", signer=read_signer("keys/ledger.key"))


def sealed_body(seq):
    with Ledger.open("sqlite:///ledger.db") as ledger:
        return ledger.get(seq).payload


def forge(kind, body):
    with writable() as ledger:
        return ledger.append(kind, body).seq


def decide_again(body, *, quorum="0.66", without=(), panel=...):
    """Decide on what was sealed, under another quorum or without some of the roster."""
    proposals = [Proposal.from_dict(p) for p in body["proposals"] if p["expert_id"] not in without]
    absences = [Absence.from_dict(a) for a in body["absences"] if a["expert_id"] not in without]
    arbiter = Arbiter(quorum=float(quorum))
    try:
        outcome = arbiter.arbitrate(proposals, absences)
    except UnderQuorum as refusal:
        outcome = refusal
    declared = body["panel"] if panel is ... else panel
    # A task is decided once, so this is about another one.
    task = body["task"] | {"id": "another"}
    return body_of(outcome, arbiter, proposals, absences, task=task, panel=declared)


def assert_only_replay_finds(quorate, index, rule):
    code, _, err = quorate(*VERIFY)
    assert (code, err) == (0, "")
    assert_found(quorate, index, rule, "--replay")


def test_an_honest_decision_sealed_again_replays(here, quorate):
    """The forger's tools below forge nothing by themselves."""
    forge("decision", decide_again(sealed_body(1)))
    assert quorate(*VERIFY, "--replay")[0] == 0


def test_a_forged_consensus_fails_the_replay(here, quorate):
    body = sealed_body(1)
    body["verdict"] |= {"consensus": "spam", "digest": digest("spam")}
    body["verdict"]["trace"]["groups"][0] |= {"digest": digest("spam"), "answer": '"spam"'}
    assert_only_replay_finds(quorate, forge("decision", body), "replay")


def test_a_refusal_made_out_as_a_decision_fails_the_replay(here, quorate):
    refused = sealed_body(4)
    won = decide_again(refused, quorum="0.5")
    won["parameters"], won["verdict"]["quorum"] = refused["parameters"], 0.66
    won["verdict"]["quorum_exact"] = "33/50"
    assert won["verdict"]["status"] == "committed"
    assert_only_replay_finds(quorate, forge("decision", won), "replay")


@pytest.mark.parametrize("kind", ["decision", "refusal"])
def test_a_verdict_under_the_other_kind_fails_the_replay(here, quorate, kind):
    body = sealed_body(4 if kind == "decision" else 1)
    assert_only_replay_finds(quorate, forge(kind, body), "replay")


def test_a_lowered_quorum_is_held_against_the_sealed_panel(here, quorate):
    body = decide_again(sealed_body(4), quorum="0.5")
    assert body["verdict"]["status"] == "committed"
    assert_only_replay_finds(quorate, forge("decision", body), "panel")


def test_an_expert_left_out_is_held_against_the_sealed_panel(here, quorate):
    body = decide_again(sealed_body(4), without={"links", "sender"})
    assert body["verdict"]["status"] == "committed"
    assert_only_replay_finds(quorate, forge("decision", body), "panel")


def test_an_absentee_left_out_is_held_against_the_sealed_panel(here, quorate):
    experts = (here / "experts.py").read_text()
    (here / "experts.py").write_text(experts + "\n\ndef links(message):\n    raise OSError\n")
    (here / "tasks.jsonl").write_text('{"id": "new", "input": {"from": "a@b.c", "text": "hi"}}\n')
    assert quorate("run", "quorate.toml", "tasks.jsonl", "-o", "new.jsonl")[0] == 0
    honest = sealed_body(9)
    assert [a["expert_id"] for a in honest["absences"]] == ["links"]
    assert_only_replay_finds(
        quorate, forge("decision", decide_again(honest, without={"links"})), "panel"
    )


def test_a_panel_that_was_never_sealed_is_found(here, quorate):
    body = decide_again(sealed_body(1), panel="0" * 64)
    assert_only_replay_finds(quorate, forge("decision", body), "panel")


def test_a_panel_sealed_after_its_decision_is_found(here, quorate):
    panel = sealed_body(0)
    panel["parameters"] = {"quorum": "1/2"}
    forged = decide_again(sealed_body(4), quorum="0.5", panel=digest(panel))
    index = forge("decision", forged)
    forge("panel", panel)
    assert_only_replay_finds(quorate, index, "panel")


def test_explain_does_not_tell_a_forged_story(here, quorate):
    body = sealed_body(1)
    body["verdict"]["consensus"] = "spam"
    seq = forge("decision", body)
    code, out, err = quorate("explain", seq)
    assert (code, out) == (4, "")
    assert "[replay]" in err


EVIL = "\x1b[2J\x1b]0;title\x07\x9b31m\u202e\nIts signature checks out[bold]"


def assert_harmless(text):
    for sign in ("\x1b", "\x07", "\x9b", "\u202e"):
        assert sign not in text
    assert not any(line.startswith("Its signature checks out[") for line in text.splitlines())


def test_a_forged_panel_cannot_rewrite_the_screen(here, quorate):
    panel = sealed_body(0)
    panel["protocol"] = EVIL
    panel["roster"] = {EVIL: "1"}
    panel["experts"] = {EVIL: EVIL}
    panel["parameters"] = {"quorum": EVIL}
    seq = forge("panel", panel)
    for command in (("explain",), ("ledger", "show")):
        for more in ((), ("--json",)):
            code, out, err = quorate(*command, seq, *more)
            assert code in {0, 4}
            assert_harmless(out + err)
            if code == 0 and more:
                told = json.loads(out)
                assert EVIL in told.get("body", told.get("payload"))["roster"]


@pytest.mark.parametrize(
    "body",
    [
        [],
        None,
        "panel",
        {"roster": 5},
        {"roster": {"a": "1"}, "experts": {}, "rule": "panel/1", "parameters": [], "protocol": 1},
        {"roster": {"a": 1}, "experts": {}, "rule": "panel/1", "parameters": {}, "protocol": ""},
        {"roster": {"a": "1"}, "experts": 1, "rule": "panel/1", "parameters": {}, "protocol": 1},
    ],
)
def test_explain_tells_nothing_of_what_is_no_panel(here, quorate, body):
    seq = forge("panel", body)
    code, out, err = quorate("explain", seq)
    assert (code, out) == (4, "")
    assert f"entry {seq}: " in err
    code, out, err = quorate("explain", seq, "--json")
    assert (code, json.loads(out)["error"]["index"], err) == (4, seq, "")


def test_explain_in_the_panels_folder_takes_the_panels_own_key(here, quorate):
    assert "checks out by the panel's own key keys/ledger.pub" in quorate("explain", 4)[1]
    other = here / "other.key"
    assert quorate("keys", "new", other)[0] == 0
    (here / "keys/ledger.pub").write_text((here / "other.pub").read_text())
    code, _, err = quorate("explain", 4)
    assert (code, "[signature]" in err) == (4, True)
    assert "was not checked (give --key)" in quorate("explain", 4, "--ledger", "ledger.db")[1]
    (here / "keys/ledger.pub").unlink()
    assert "was not checked (give --key)" in quorate("explain", 4)[1]
