"""What is mistyped or missing is told with what to do next, and leaves nothing behind."""

import os
import sqlite3
from fractions import Fraction

import pytest
from cli_council_tools import VOTERS, approve, ballot, opened, told

from quorate.cli.council.times import duration, moment, relative
from quorate.core.errors import UsageError
from quorate.ledger import Ledger


@pytest.fixture
def council(tmp_path, monkeypatch, quorate):
    yield from opened(tmp_path, monkeypatch, quorate)


@pytest.fixture
def proposed(council):
    assert council("propose", "quarantine", "--target", "x", "--as", "anna")[0] == 0
    return council


def entries(path="council.db"):
    with Ledger.open(f"sqlite:///{path}") as ledger:
        return len(ledger)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (ballot("p1", "approve", "bon")[:5], "'bon' is no voter here; the voters are anna, ben"),
        (ballot("p1", "approve", "bon")[:5], "did you mean 'ben'?"),
        (("vote", "p1", "approve", "--as", "ben"), "give its private key with --key FILE"),
        (("vote", "p1", "approve", "--as", "ben", "--key", "keys/voters/anna.key"),
         "is not the key registered for 'ben', it is that of 'anna'"),
        (("vote", "p1", "approve", "--as", "ben", "--key", "keys/council.key"), "it is nobody's"),
        (("vote", "p1", "approve", "--as", "ben", "--key", "keys/voters/ben.pub"), "public key"),
        (("vote", "p1", "aprove", "--as", "ben"), "did you mean 'approve'?"),
        (ballot("1", "approve", "ben"), "there is no proposal '1'; quorate council list shows"),
        (ballot("1", "approve", "ben"), "did you mean 'p1'?"),
        (("show", "p7"), "there is no proposal 'p7'"),
        (("execute", "P1"), "did you mean 'p1'?"),
        (("propose", "quarantin", "--as", "ben"), "did you mean 'quarantine'?"),
        (("propose", "quarantine", "--as", "annna"), "did you mean 'anna'?"),
        (("propose", "restrict", "--as", "ben", "--expires", "10 m"), "such as 90s, 10m"),
        (("propose", "restrict", "--as", "ben", "--expires", "0s"), "more than 0"),
        (("propose", "restrict", "--as", "ben", "--evidence", "{1}"), "--evidence is not JSON"),
        (("propose", "restrict", "--as", "ben", "--voters-from", "council.toml"), "nothing else"),
        (("close", "p1"), "is pending"),
        (("cancel", "p1", "--as", "anna"), "--key FILE"),
        (("list", "--status", "opn"), "did you mean 'open'?"),
        (("history", "bon"), "did you mean 'ben'?"),
        (("history", "--checkpoint", "note"), "goes with --verify"),
        (("watch", "--every", "1ms"), "give 100ms to 1h"),
        (("resolve", "p1", "executed", "--reason", "r", "--as", "ben"), "cannot resolve"),
        (("init", "other.toml", "--voter", "a/b"), "cannot name a key file"),
        (("init", "other.toml", "--voter", "a", "--voter", "A"), "stands there twice"),
    ],
)  # fmt: skip
def test_a_slip_is_told_with_what_to_do(proposed, arguments, words):
    code, out, err = proposed(*arguments)
    assert (code, out) == (2, "")
    assert words in err
    assert entries() == 2


def test_a_second_and_different_vote_is_refused_and_the_first_stands(proposed):
    approve(proposed, "p1", ["anna"])
    code, _, err = proposed(*ballot("p1", "reject", "anna"))
    assert (code, "voted approve on proposal p1 already" in err) == (2, True)
    assert told(proposed("show", "p1", "--json"))["standing"]["approvals"] == 1


def test_the_target_has_no_vote_on_itself(council):
    council("propose", "terminate", "--target", "dana", "--as", "anna")
    assert "dana is its target, and has no vote" in council("list")[1]
    assert "not voted yet: anna, ben, chris\n" in council("list")[1]
    assert council(*ballot("p1", "reject", "dana"))[0] == 2


def test_what_is_not_approved_is_not_marked(proposed):
    code, out, _ = proposed("execute", "p1")
    assert (code, "not executed: p1  quarantine x is not decided" in out) == (2, True)
    assert proposed("execute", "p1", "--strict")[0] == 3
    for voter in VOTERS[:3]:
        proposed(*ballot("p1", "reject", voter))
    code, out, _ = proposed("execute", "p1")
    assert (code, "not executed: p1  quarantine x: rejected" in out) == (2, True)
    assert proposed("execute", "p1", "--strict", "--by-hand")[0] == 3
    assert proposed("tally", "p1")[0] == 0
    assert proposed("tally", "p1", "--strict")[0] == 3
    assert proposed("close", "p1", "--strict")[0] == 3


def test_a_ledger_that_is_not_there_is_never_begun_by_the_way(council, tmp_path):
    (tmp_path / "council.db").unlink()
    for arguments in (("list",), ("propose", "quarantine", "--as", "anna"), ("watch", "--once")):
        code, _, err = council(*arguments)
        assert code == 5
        assert "if this council is new, open it with: quorate council open" in err
        assert not (tmp_path / "council.db").exists()


def test_another_council_of_that_ledger_has_to_be_opened_first(council, tmp_path):
    file = tmp_path / "council.toml"
    file.write_text(file.read_text().replace('id = "council"', 'id = "other"', 1))
    code, _, err = council("propose", "quarantine", "--as", "anna")
    assert code == 2
    assert "the council 'other' is not opened in this ledger yet (it holds council); run: " in err


def test_a_file_that_differs_is_told_and_what_is_sealed_counts(council, tmp_path):
    file = tmp_path / "council.toml"
    changed = file.read_text().replace('"2/3"', '"3/4"', 1).replace("# reboot", "reboot")
    file.write_text(changed)
    code, _, err = council("list")
    assert code == 0
    assert "names other rules and actions than the council was given; what is sealed" in err
    assert council("propose", "reboot", "--as", "anna")[0] == 2
    code, _, err = council("open")
    assert (code, "is open already, and council.toml differs from it" in err) == (2, True)
    assert entries() == 1
    file.write_text(changed.replace('"3/4"', '"2/3"', 1).replace("reboot", "# reboot"))
    code, out, _ = council("open")
    assert (code, out.startswith("open already: council")) == (0, True)


@pytest.mark.parametrize(
    ("before", "after", "words"),
    [
        ('id = "ben"', 'id = "anna"', "{at}: voters[1].id: 'anna' is the id of another"),
        ("weight = 1\n", "weight = 0\n", "{at}: voters[0].weight: is 0; a voter's"),
        ("weight = 1\n", 'weight = "1"\n', "{at}: voters[0].weight: is '1': a number"),
        ("weight = 1\n", "wieght = 1\n", "voters[0].wieght: unknown key; did you mean 'weight'?"),
        ('"1h" ', '"1 h" ', "{at}: rules.default_expiry: is '1 h'"),
        ('"2/3"', '"1/3"', "{at}: rules.supermajority_threshold: is 1/3; it has to be"),
        ('"2/3"', '"2/x"', "{at}: rules.supermajority_threshold:"),
        ("= false", "= 0", "{at}: rules.allow_vote_change: is 0"),
        ('# reboot = "routine"', 'reboot = "routin"', "{at}: actions.reboot: is 'rou"),
        ('# reboot = "routine"', 'Release = "routine"', "'release' is well known, and critical"),
        ('"sqlite:///council.db"', '"memory:"', "{at}: ledger.url"),
        ("[rules]", "[rule]", "rule: unknown key; did you mean 'rules'?"),
        ("[[voters]]", "[voters", "{at}: not TOML"),
        ("anna.pub", "nobody.pub", "{at}: voters[0].key: the key keys/"),
        ("ben.pub", "anna.pub", "two voters have the same key"),
        ("weight = 1\n", "weight = 10\n", "could block every critical proposal"),
    ],
)  # fmt: skip
def test_a_mistake_in_the_file_is_named_with_its_line(council, tmp_path, before, after, words):
    file = tmp_path / "council.toml"
    text = file.read_text()
    assert before in text
    file.write_text(text.replace(before, after, 1))
    code, out, err = council("list")
    assert (code, out) == (2, "")
    line = text[: text.index(before)].count("\n") + 1
    assert words.replace("{at}", f"council.toml:{line}") in err


def test_a_file_that_is_not_there_says_how_to_write_one(tmp_path, monkeypatch, quorate):
    monkeypatch.chdir(tmp_path)
    code, _, err = quorate("council", "list")
    assert (code, "write one with: quorate council init" in err) == (5, True)


def test_a_record_with_a_hole_does_not_verify(proposed):
    approve(proposed, "p1", ["anna", "ben"])
    with sqlite3.connect("council.db") as store:
        store.execute("DELETE FROM entries WHERE seq = 2")
    code, _, err = proposed("list")
    assert (code, "entry 2: found number 3" in err) == (4, True)
    assert proposed("vote", "p1", "approve", "--as", "chris")[0] == 4


def test_a_record_that_was_cut_off_does_not_verify_against_a_checkpoint(proposed, quorate):
    approve(proposed, "p1", ["anna", "ben"])
    noted = ("--ledger", "council.db", "--signer", "keys/council.key", "-o", "note")
    assert quorate("ledger", "checkpoint", *noted)[0] == 0
    assert proposed("history", "--verify", "--checkpoint", "note")[0] == 0
    with sqlite3.connect("council.db") as store:
        store.execute("DELETE FROM entries WHERE seq > 2")
    code, out, _ = proposed("history", "--verify", "--checkpoint", "note", "--json")
    assert (code, '"rule": "truncation"' in out) == (4, True)
    # Without it nobody can tell.
    assert proposed("history", "--verify")[0] == 0
    key = ("--ledger", "council.db", "--key", "keys/council.pub")
    assert proposed("history", "--verify", *key)[0] == 0
    assert proposed("history", "--verify", "--ledger", "council.db")[0] == 2


def test_errors_are_json_too(proposed):
    code, out, err = proposed("vote", "p1", "approve", "--as", "bon", "--json")
    assert (code, err) == (2, "")
    assert '"exit_code": 2' in out
    assert proposed("vote", "p1", "--json")[0] == 2


def test_what_liars_write_cannot_rewrite_a_terminal(council):
    council("propose", "quarantine", "--target", "x\x1b[2J\n[red]y", "--as", "anna")
    for arguments in (("list",), ("show", "p1"), ("history",), ("watch", "--once"), ("render",)):
        out = council(*arguments)[1]
        assert "\x1b" not in out
        assert r'"x\u001b[2J\n[red]y"' in out


def test_shells_are_offered_ids_and_actions(proposed, quorate, monkeypatch):
    def offered(*words):
        monkeypatch.setenv("_QUORATE_COMPLETE", "complete_bash")
        monkeypatch.setenv("COMP_WORDS", " ".join(("quorate", "council", *words)))
        monkeypatch.setenv("COMP_CWORD", str(len(words) + 1))
        return quorate()[1].split()

    assert offered("show", "p") == ["p1"]
    assert offered("propose", "re") == ["release", "restrict"]
    os.rename("council.db", "gone")  # noqa: PTH104
    assert offered("show", "p") == []


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90s", 90), ("10m", 600), ("1h30m", 5400), ("2d", 172800), ("1ms", Fraction(1, 1000)),
     ("1m1ms", 60 + Fraction(1, 1000)), ("never", 0), ("3660d", 3660 * 86400)],
)  # fmt: skip
def test_durations_are_read_exactly(text, seconds):
    assert duration(text, "it") == seconds


@pytest.mark.parametrize(
    "text",
    ["", "10", "m", "10 m", " 10m", "10M", "1m1h", "1.5h", "-1s", "1e3s", "\u0661s", "10m\n",
     "0s", "0d0h", "3661d", "9999999999s", "forever", "1s1s"],
)  # fmt: skip
def test_what_is_no_duration_is_refused(text):
    with pytest.raises(UsageError, match="it is "):
        duration(text, "it")


def test_moments_are_told_as_people_say_them(council):
    now = 1_700_000_000_000_000
    cases = [
        (0, "now"),
        (59, "in 59 s"),
        (240, "in 4 min"),
        (7200, "in 2 h"),
        (172800, "in 2 days"),
    ]
    assert [relative(now + s * 10**6, now) for s, _ in cases] == [told for _, told in cases]
    assert relative(now - 119 * 10**6, now) == "119 s ago"
    assert moment(now, now) == "03:43:20 IST"
    assert moment(now + 86_400 * 10**6, now) == "2023-11-16 03:43:20 IST"
    assert moment(10**18, now) == "beyond the year 9999"
