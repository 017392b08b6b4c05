"""``quorate halt`` and ``resume``: looking without acting, what fails, and what to do then."""

import json
import sqlite3

import pytest

WHO = ("--by", "J. Doe", "--reason", "answers look wrong")


@pytest.fixture
def bare(here):
    """The folder without its panel file: a ledger and its keys."""
    (here / "quorate.toml").unlink()
    key = next(path.relative_to(here) for path in here.rglob("*.key"))
    return ("ledger.db", "--signer", str(key))


def entries(path):
    with sqlite3.connect(path) as store:
        return store.execute("SELECT count(*) FROM entries").fetchone()[0]


def test_who_halts_is_shown_and_nothing_is_written(here, quorate):
    before = entries(here / "ledger.db")
    assert quorate("halt", "--show")[:2] == (0, "not halted: sqlite:///ledger.db\n")
    shown = json.loads(quorate("halt", "--show", "--json")[1])
    assert (shown["halted"], shown["in_force"]) == (False, [])
    assert entries(here / "ledger.db") == before
    assert quorate("halt", *WHO)[0] == 0
    assert quorate("halt", "--by", "Op2", "--reason", "a second look")[0] == 0
    for where in ((), ("quorate.toml",), ("ledger.db",)):
        code, out, _ = quorate("halt", *where, "--show")
        assert code == 0
        assert "2 halts in force" in out
        assert f"entry {before}, " in out
        assert "by J. Doe: answers look wrong" in out
        assert "by Op2: a second look" in out
        assert f"--halt {before + 1} --by NAME" in out
    shown = json.loads(quorate("halt", "--show", "--json")[1])
    assert [(one["seq"], one["by"]) for one in shown["in_force"]] == [
        (before, "J. Doe"),
        (before + 1, "Op2"),
    ]
    assert entries(here / "ledger.db") == before + 2


def test_a_run_says_where_all_halts_are_told(here, quorate):
    assert quorate("halt", *WHO)[0] == 0
    code, _, err = quorate("run", "quorate.toml", "tasks.jsonl", "-o", "new.jsonl")
    assert code == 3
    assert "'quorate halt --show' lists all halts in force" in err


def test_looking_takes_no_reason(here, quorate):
    code, _, err = quorate("halt", "--show", "--reason", "x")
    assert (code, "--show only looks" in err) == (2, True)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("--reason", "x"), "--by NAME"),
        (("--by", "A"), "--reason TEXT"),
        (("--by", "", "--reason", "x"), "--by is empty"),
        (("--by", "A", "--reason", ""), "--reason is empty"),
        (("--by", "\t", "--reason", "x"), "--by: the name is"),
    ],
)
def test_what_is_missing_is_told_by_its_option(here, quorate, monkeypatch, arguments, told):
    monkeypatch.delenv("QUORATE_BY", raising=False)
    code, _, err = quorate("halt", *arguments)
    assert (code, told in err) == (2, True), err


def test_which_halt_is_asked_for_by_its_option(here, quorate):
    for _ in range(2):
        assert quorate("halt", *WHO)[0] == 0
    code, _, err = quorate("resume", *WHO)
    assert code == 2
    assert "name it with --halt SEQ" in err
    assert "halt=" not in err


def test_a_halt_that_fails_says_that_nothing_is_halted(here, quorate):
    (here / "ledger.db").write_bytes(b"no database at all" * 100)
    code, out, err = quorate("halt", *WHO)
    assert (code, out) == (5, "")
    assert "it was NOT halted" in err
    assert "end the processes that work over this ledger" in err


def test_a_halt_over_a_last_entry_that_does_not_verify_says_so(here, quorate):
    with sqlite3.connect(here / "ledger.db") as store:
        last = "(SELECT max(seq) FROM entries)"
        store.execute(f"UPDATE entries SET entry = '{{}}' WHERE seq = {last}")  # noqa: S608
    code, _, err = quorate("halt", *WHO)
    assert code == 4
    assert "it was NOT halted" in err
    assert "begin another" in err


def test_a_halt_over_a_damaged_log_does_not_lead_to_a_resume_that_fails(here, quorate):
    with sqlite3.connect(here / "ledger.db") as store:
        store.execute("UPDATE entries SET entry = '{}' WHERE seq = 1")
    code, out, err = quorate("halt", *WHO)
    assert code == 0
    assert "the log before it is damaged" in err
    assert "no resume lifts it" in out
    assert "to go on" not in out
    assert "entry 1" in json.loads(quorate("halt", *WHO, "--json")[1])["damaged"]
    code, _, err = quorate("resume", *WHO)
    assert (code, "begin another" in err) == (4, True)


def test_without_a_panel_file_the_other_way_is_told(bare, here, quorate):
    (here / "system.toml").write_text('name = "s"\nversion = "1"\nrole = "provider"\n')
    for command in (
        ("halt", *WHO),
        ("resume", *WHO),
        ("halt", "--show"),
        ("comply", "declare", "--since", "0", "--by", "J"),
    ):
        code, _, err = quorate(*command)
        assert code in (2, 5), err
        assert "quorate.toml" in err
        assert "LEDGER --signer KEY" in err, command
    code, out, _ = quorate("halt", *bare, *WHO)
    assert code == 0
    assert f"quorate resume {' '.join(bare)} --by" in out
    assert quorate("resume", *bare, *WHO)[0] == 0


def test_entries_are_listed_of_a_ledger_that_is_named_first(here, quorate):
    assert quorate("ledger", "ls", "ledger.db") == quorate("ledger", "ls", "--ledger", "ledger.db")
    code, _, err = quorate("ledger", "ls", "ledger.db", "--ledger", "ledger.db")
    assert (code, "give one of them" in err) == (2, True)
