"""Attacks on halts and overrides: by whoever has the file and no key, and by haste."""

import asyncio
import gc
import json
import sqlite3

import pytest
from oversight_tools import panel
from run_tools import task_lines

from quorate.cli.app import run as command
from quorate.compliance import drills
from quorate.core.errors import QuorateError, UsageError, VerificationError
from quorate.core.identity import Ed25519Signer
from quorate.hub import Hub
from quorate.hub.oversight import KIND, RULE, HaltedError, OverriddenError, Oversight
from quorate.hub.oversight.rules import Resume
from quorate.ledger import Ledger
from quorate.ledger.entries import entry_hash

KEY = Ed25519Signer(b"\x05" * 32)
SCOPE = {"system": "triage", "version": "2.1.0"}


@pytest.fixture
def path(tmp_path):
    return tmp_path / "ledger.db"


def opened(path):
    return Ledger.open(f"sqlite:///{path}", signer=KEY)


def attack(path, *statements):
    """Change the file as somebody does who has it and no key."""
    database = sqlite3.connect(path)
    for statement in statements:
        database.execute(*([statement] if isinstance(statement, str) else statement))
    database.commit()
    database.close()


def forged(path, start):
    """Make halts from entry ``start`` on into notes, and all after it follow."""
    database = sqlite3.connect(path)
    found = database.execute("SELECT seq, entry FROM entries WHERE seq >= ? ORDER BY seq", (start,))
    prev = None
    for seq, raw in found.fetchall():
        entry = json.loads(raw) | ({"prev": prev} if prev else {})
        entry["kind"] = "note" if entry["kind"] == KIND else entry["kind"]
        new = json.dumps(entry, sort_keys=True, separators=(",", ":"))
        prev = entry_hash(new.encode()).hex()
        statement = "UPDATE entries SET entry = ?, kind = ? WHERE seq = ?"
        database.execute(statement, (new, entry["kind"], seq))
    database.commit()
    database.close()


# --- a halt that is made into something else ----------------------------------------------


@pytest.mark.parametrize("more", [0, 2], ids=["the last entry", "with outcomes after it"])
def test_nobody_signs_over_a_halt_that_was_made_into_a_note(path, more):
    calls = []
    with opened(path) as ledger, opened(path) as other:
        hub = Hub(panel(calls), ledger=ledger)
        for number in range(3):
            hub.dispatch("q", id=f"t{number}")
        Oversight(other).halt("J. Doe", "it misjudges")
        elsewhere = Hub(panel([]), ledger=other)
        for number in range(more):
            elsewhere.outcome(f"t{number}", "yes")
        before = len(calls)
        forged(path, 3)
        with pytest.raises(VerificationError, match="is not over this entry"):
            hub.outcome("t2", "yes")
        with pytest.raises(VerificationError):
            hub.dispatch("q", id="t9")
        assert (len(ledger), len(calls)) == (4 + more, before)
    with pytest.raises(VerificationError, match="is not over this entry"):
        opened(path)


def test_a_halt_on_top_of_a_forged_one_gets_through_and_is_not_lifted(path):
    """Nor does it speak for what is beneath it: the log is seen to be broken ever after."""
    with opened(path) as ledger, opened(path) as other:
        Hub(panel([]), ledger=ledger).dispatch("q")
        Oversight(other).halt("J. Doe", "it misjudges")
        forged(path, 1)
        assert Oversight(ledger).halt("J. Doe", "once more").seq == 2
        for act in (
            lambda: ledger.append("note", {}),
            lambda: Oversight(other).halted,
            lambda: Oversight(other).resume("J. Doe", "on", halt=2),
            lambda: Hub(panel([]), ledger=other).dispatch("q"),
        ):
            with pytest.raises(VerificationError):
                act()
    with pytest.raises(VerificationError, match="stopped for good"):
        opened(path)


# --- a file that cannot be opened, and so not be halted -----------------------------------


@pytest.mark.parametrize(
    ("change", "back"),
    [
        ("CREATE TABLE x (a)", "DROP TABLE x"),
        ("UPDATE log SET origin = 'x'", "UPDATE log SET origin = 'own'"),
    ],
)
def test_nothing_is_dispatched_over_a_file_that_cannot_be_opened_to_halt_it(path, change, back):
    calls = []
    with Ledger.open(f"sqlite:///{path}", signer=KEY, origin="own") as ledger:
        hub = Hub(panel(calls), ledger=ledger)
        hub.dispatch("q", id="t1")
        before = len(calls)
        attack(path, change)
        with pytest.raises(QuorateError):
            opened(path)
        for task in ("t1", "t2"):
            with pytest.raises(VerificationError):
                hub.dispatch("q", id=task)
        assert len(calls) == before
        attack(path, back)
        assert hub.dispatch("q", id="t2").consensus == "yes"


def test_a_halt_that_a_trigger_swallows_is_no_halt_and_says_so(path):
    with opened(path) as ledger:
        attack(
            path,
            "CREATE TRIGGER t BEFORE INSERT ON entries WHEN new.kind = 'oversight' "
            "BEGIN SELECT RAISE(IGNORE); END",
        )
        with pytest.raises(VerificationError, match="does not keep what is written"):
            Oversight(ledger).halt("J. Doe", "stop")
        with pytest.raises(VerificationError, match="layout"):
            Hub(panel([]), ledger=ledger).dispatch("q")


# --- a decision that people disregarded, made to look undecided ---------------------------


HIDDEN = "UPDATE entries SET key = NULL, kind = 'note' WHERE seq = 0"


def test_a_disregarded_decision_is_not_decided_again(path):
    calls = []
    with opened(path) as ledger:
        hub = Hub(panel(calls, "give the drug"), ledger=ledger)
        sealed = hub.dispatch("patient 7", id="p7").receipt
        Oversight(ledger).override(sealed.seq, "Dr. Roe", "allergy")
        with pytest.raises(OverriddenError):
            hub.dispatch("patient 7", id="p7")
        before = len(calls)
        attack(path, HIDDEN)
        with pytest.raises(VerificationError, match="people overrode this decision") as caught:
            hub.dispatch("patient 7", id="p7")
        assert (caught.value.rule, caught.value.index) == ("look-up", 0)
        assert len(calls) == before


def test_nor_sealed_again_by_whoever_was_at_it_meanwhile(path):
    with opened(path) as ledger:
        sealed = Hub(panel([]), ledger=ledger).dispatch("patient 7", id="p7").receipt
        oversight = Oversight(ledger)
        oversight.override(sealed.seq, "Dr. Roe", "allergy")
        assert oversight.standing(sealed.seq) is not None
        attack(path, HIDDEN)
        with pytest.raises(VerificationError, match="people overrode this decision"):
            oversight.seal([("decision", {"any": "body"}, None, "task:p7")])
        assert len(ledger) == 2


def test_a_run_does_not_decide_it_again_either(panel_folder, monkeypatch):
    folder = panel_folder.tasks(*task_lines(range(2)))
    folder.run()
    with folder.open_ledger() as ledger:
        decision = next(ledger.find(kind="decision"))
        Oversight(ledger).override(decision.seq, "Dr. Roe", "allergy")
    real, hidden = Oversight.check, []

    def checked(self):
        real(self)
        if not hidden:
            hidden.append(True)
            attack(folder.ledger_path, HIDDEN.replace("= 0", f"= {decision.seq}"))

    # Right after the run has read what people did, and before it looks the first task up.
    monkeypatch.setattr(Oversight, "check", checked)
    monkeypatch.setattr(Oversight, "seal", lambda self, items: [pytest.fail(f"{i}") for i in items])
    with pytest.raises(VerificationError, match="people overrode this decision"):
        folder.run(out=str(folder.folder / "other.jsonl"))


# --- a halt that somebody else meant ------------------------------------------------------


def meanwhile(monkeypatch, act):
    """Have somebody act once the work of a drill is under way, right before it halts."""
    real = drills._Drilling._under_way

    async def under_way(self):
        begun = await real(self)
        act()
        return begun

    monkeypatch.setattr(drills._Drilling, "_under_way", under_way)


def test_a_drill_breaks_off_where_somebody_halts_before_it_does(path, monkeypatch, caplog):
    with opened(path) as ledger, opened(path) as other:
        meanwhile(monkeypatch, lambda: Oversight(other).halt("R. Real", "a patient was hurt"))
        with pytest.raises(HaltedError, match=r"R\. Real"):
            drills.halt_drill(ledger, scope=SCOPE, by="J. Doe")
        assert [one.by for one in Oversight(ledger).in_force] == ["R. Real"]
        assert [receipt.kind for receipt in ledger.find(kind=KIND)] == [KIND]
        assert list(ledger.find(kind="drill")) == []
    gc.collect()
    assert "never retrieved" not in caplog.text


def test_what_was_under_way_is_over_when_a_drill_breaks_off(path, monkeypatch):
    with opened(path) as ledger:
        seen = []
        real = drills._Drilling.halt

        async def then_looked(self):
            try:
                return await real(self)
            finally:
                seen.extend(asyncio.all_tasks() - {asyncio.current_task()})

        monkeypatch.setattr(drills._Drilling, "halt", then_looked)
        meanwhile(monkeypatch, lambda: Oversight(ledger).halt("R. Real", "a patient was hurt"))
        with pytest.raises(HaltedError):
            drills.halt_drill(ledger, scope=SCOPE, by="J. Doe")
        assert [task for task in seen if "_decided" in repr(task)] == []


def test_a_drill_that_lifted_another_halt_with_its_own_is_not_sound(path, monkeypatch):
    """As the first rule had it, where a resume lifted all."""
    real = Oversight.halt

    def first_rule(self, by, reason, *, halt):
        return self.ledger.append(KIND, Resume(by, reason, halt, RULE).to_dict())

    with opened(path) as ledger:
        meanwhile(monkeypatch, lambda: real(Oversight(ledger), "R. Real", "a patient was hurt"))
        monkeypatch.setattr(Oversight, "halt", lambda self, by, reason, **_: real(self, by, reason))
        monkeypatch.setattr(Oversight, "resume", first_rule)
        assert drills.halt_drill(ledger, scope=SCOPE, by="J. Doe").passed
        with pytest.raises(VerificationError, match=r"it halted what R\. Real had halted"):
            ledger.verify(replay=True)


def test_a_halt_that_asks_for_none_before_it_is_refused_behind_one(path):
    with opened(path) as ledger:
        oversight = Oversight(ledger)
        oversight.halt("J. Doe", "drill", unless_halted=True)
        with pytest.raises(HaltedError):
            oversight.halt("J. Doe", "drill", unless_halted=True)
        assert len(ledger) == 1


def test_the_command_lifts_no_halt_that_nobody_named(panel_folder, capsys):
    folder = panel_folder.tasks(*task_lines(range(2)))
    folder.run()

    def acts(*arguments):
        code = command([str(one) for one in (*arguments, "--by", "A. One", "--reason", "feed")])
        return code, capsys.readouterr()

    assert acts("halt", folder.path)[0] == 0
    with folder.open_ledger() as ledger:
        (first,) = Oversight(ledger).in_force
        second = Oversight(ledger).halt("B. Two", "a patient was hurt")
    code, told = acts("resume", folder.path)
    assert code == 2
    assert f"entry {first.seq} by A. One (feed), entry {second.seq} by B. Two" in told.err
    assert "--halt" in told.err
    code, told = acts("resume", folder.path, "--halt", first.seq)
    assert (code, "the halt by A. One is lifted" in told.out) == (0, True)
    assert f"still halted by B. Two in entry {second.seq}: a patient was hurt" in told.out
    assert acts("resume", folder.path, "--halt", first.seq)[0] == 2
    with folder.open_ledger() as ledger:
        assert [one.by for one in Oversight(ledger).in_force] == ["B. Two"]
        with pytest.raises(UsageError, match="whole number"):
            Oversight(ledger).resume("A. One", "feed", halt=True)
    assert acts("resume", folder.path)[0] == 0
