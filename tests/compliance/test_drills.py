"""Drills: that they start real work, and pass only on what was seen."""

import pytest
from collect_tools import SCOPE

from quorate.compliance import drills
from quorate.compliance.drill_record import Drill
from quorate.compliance.drills import halt_drill, of_panel, override_drill, scripted
from quorate.core.errors import UsageError
from quorate.core.identity import Ed25519Signer
from quorate.hub import Panel
from quorate.hub.oversight import Guard, Oversight
from quorate.ledger import Ledger, write_key


@pytest.fixture
def ledger():
    with Ledger.open("memory:") as opened:
        yield opened


def kinds(ledger):
    return [receipt.kind for receipt in ledger]


def test_a_halt_drill_decides_halts_and_goes_on(ledger):
    result = halt_drill(ledger, scope=SCOPE, by="J. Doe", reason="yearly")
    assert result.passed
    seen = result.drill.seen
    assert (seen["before"], seen["under_way"], seen["stopped"]) == (3, 2, 2)
    assert seen["calls_before"] == 4 * 5
    assert (seen["attempted"], seen["refused"]) == (3, 3)
    assert (seen["calls_after"], seen["verdicts_after"], seen["resumed"]) == (0, 0, 1)
    assert kinds(ledger) == [
        "panel", *["decision"] * 3, "oversight", "oversight", "decision", "drill",
    ]  # fmt: skip
    assert Oversight(ledger).halted is None
    assert all(name.startswith("scripted-") for name in result.drill.experts)
    assert result.drill.work == "scripted"
    assert ledger.verify(replay=True).replayed == 8


def test_an_override_drill_overrides_and_disregards(ledger):
    result = override_drill(ledger, scope=SCOPE, by="J. Doe")
    assert result.passed
    seen = result.drill.seen
    assert seen["returned"] == seen["put"] != seen["committed"]
    assert seen["withheld"] is True
    assert kinds(ledger) == ["panel", "decision", "decision", "oversight", "oversight", "drill"]
    assert ledger.verify(replay=True).replayed == 6


def test_a_drill_can_be_run_again(ledger):
    for _ in range(2):
        assert halt_drill(ledger, scope=SCOPE, by="J. Doe").passed
        assert override_drill(ledger, scope=SCOPE, by="J. Doe").passed
    ledger.verify(replay=True)


def test_a_guard_that_does_not_guard_is_seen_and_sealed_as_failed(ledger, monkeypatch):
    """The defence taken out: the drill looks at what happens, and not at what should."""
    monkeypatch.setattr(Guard, "check", lambda self: None)
    # Nobody stops what hangs either: it is not waited for here for a whole minute.
    monkeypatch.setattr(drills, "_WAIT_SECONDS", 1.0)
    result = halt_drill(ledger, scope=SCOPE, by="J. Doe", work=scripted())
    assert not result.passed
    assert result.drill.seen["calls_after"] >= 4
    assert result.drill.seen["verdicts_after"] >= 3
    assert result.drill.seen["refused"] == 0
    assert "experts were called" in " ".join(result.drill.failures)
    assert ledger.get(len(ledger) - 1).payload["passed"] is False
    # It failed, and is soundly sealed as failed.
    ledger.verify(replay=True)
    assert Oversight(ledger).halted is None


def test_an_override_that_is_not_what_comes_back_is_seen(ledger, monkeypatch):
    monkeypatch.setattr(Oversight, "standing", lambda self, decision: None)
    result = override_drill(ledger, scope=SCOPE, by="J. Doe")
    assert not result.passed
    assert result.drill.seen["returned"] == result.drill.seen["committed"]
    assert result.drill.seen["withheld"] is False
    ledger.verify(replay=True)


def test_a_drill_does_not_lift_what_somebody_meant(ledger):
    Oversight(ledger).halt("A. Person", "an emergency")
    for drill in (halt_drill, override_drill):
        with pytest.raises(UsageError, match=r"halted already, by A\. Person"):
            drill(ledger, scope=SCOPE, by="J. Doe")
    assert Oversight(ledger).halted.by == "A. Person"


def test_nor_what_somebody_means_while_it_lasts(ledger, monkeypatch):
    resume = Oversight.resume

    def meanwhile(self, by, reason, *, halt=None):
        Oversight(ledger).halt("A. Person", "an emergency")
        return resume(self, by, reason, halt=halt)

    monkeypatch.setattr(Oversight, "resume", meanwhile)
    result = halt_drill(ledger, scope=SCOPE, by="J. Doe")
    assert not result.passed
    assert "the halt was not lifted by the drill" in result.drill.failures
    assert Oversight(ledger).halted.by == "A. Person"
    ledger.verify(replay=True)


def test_a_drill_that_breaks_off_leaves_nothing_halted(ledger, monkeypatch):
    real = drills._Drilling._decided

    async def breaks(self, task, name=None):
        if self.oversight.halted is not None:
            raise RuntimeError("broken")
        return await real(self, task, name)

    monkeypatch.setattr(drills._Drilling, "_decided", breaks)
    with pytest.raises(RuntimeError, match="broken"):
        halt_drill(ledger, scope=SCOPE, by="J. Doe")
    assert Oversight(ledger).halted is None


def test_a_name_scope_or_reason_that_says_nothing(ledger):
    for wrong in ({"by": " "}, {"reason": ""}, {"scope": {"system": "triage"}}):
        with pytest.raises(UsageError):
            halt_drill(ledger, **{"scope": SCOPE, "by": "J. Doe"} | wrong)
    assert len(ledger) == 0


def changed(body, path, value):
    *steps, last = path
    place = body
    for step in steps:
        place = place[step]
    place[last] = value
    return body


@pytest.mark.parametrize(
    ("path", "value", "told"),
    [
        (["rule"], "drill/2", "this version reads drill/1"),
        (["drill"], "evacuate", "it is 'halt' or 'override'"),
        (["work"], "imagined", "it is 'scripted' or 'panel'"),
        (["seen", "calls_after"], -1, "it is 0 or more"),
        (["seen", "calls_after"], True, "it is a whole number"),
        (["seen", "before"], 2, "passed is True"),
        (["seen", "under_way"], 0, "passed is True"),
        (["seen", "attempted"], 0, "passed is True"),
        (["entries", "resume"], None, "passed is True"),
        (["entries", "after"], [], "passed is True"),
        (["passed"], False, "it passed"),
        (["started"], "2030-01-01T00:00:00Z", "acted .* is before"),
        (["by"], "", "name"),
    ],
)
def test_a_body_that_is_no_drill(ledger, path, value, told):
    body = halt_drill(ledger, scope=SCOPE, by="J. Doe").receipt.payload
    assert Drill.from_dict(body).to_dict() == body
    with pytest.raises(UsageError, match=told):
        Drill.from_dict(changed(body, path, value))


# -- a panel's own experts, and the commands

PANEL = """
[ledger]
url = "sqlite:///ledger.db"
signer = "ledger.key"

[arbiter]
protocol = "weighted-quorum"
quorum = 0.66
"""
CODE = """
calls = []

def echo(task):
    print("asked", task)
    calls.append(task)
    return task
"""


@pytest.fixture
def folder(tmp_path):
    write_key(tmp_path / "ledger.key", Ed25519Signer.generate())
    experts = [
        f'[[experts]]\nid = "{n}"\nkind = "python"\ncall = "experts:echo"\nconfidence = 0.9'
        for n in "abc"
    ]
    (tmp_path / "experts.py").write_text(CODE)
    (tmp_path / "quorate.toml").write_text("\n\n".join([PANEL, *experts]) + "\n")
    return tmp_path


def test_a_panels_own_experts_are_asked(folder, ledger):
    panel = Panel.load(folder / "quorate.toml")
    for drill in (halt_drill, override_drill):
        work = of_panel(panel, {"question": 1})
        with panel.importing():
            result = drill(ledger, scope=SCOPE, by="J. Doe", work=work)
        assert result.passed, result.drill.describe()
        assert result.drill.work == "panel"
        assert result.drill.experts == ("a", "b", "c")
        assert work.calls >= 6
    ledger.verify(replay=True)


def run(*arguments):
    from quorate.cli.app import run as command

    return command([str(one) for one in arguments])


def test_the_commands_drill_and_say_so(folder, capsys):
    panel, who = folder / "quorate.toml", ["--by", "J. Doe", "--system", "s", "--version", "1"]
    for kind in ("halt", "override"):
        assert run("drill", kind, panel, *who) == 0
        came = capsys.readouterr()
        assert "It passed." in came.out
        assert "a script stood in for the experts" in came.err
        assert run("drill", kind, panel, *who, "--panel", "--task", '"x"', "--json") == 0
        came = capsys.readouterr()
        assert '"work": "panel"' in came.out
        assert "asked x" in came.err
    assert run("verify", folder / "ledger.db", "--key", folder / "ledger.pub", "--replay") == 0


def test_a_drill_that_fails_exits_4(folder, capsys, monkeypatch):
    monkeypatch.setattr(Guard, "check", lambda self: None)
    monkeypatch.setattr(drills, "_WAIT_SECONDS", 1.0)
    who = ["--by", "J. Doe", "--system", "s", "--version", "1"]
    assert run("drill", "halt", folder / "quorate.toml", *who) == 4
    assert "It FAILED" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("more", "told"),
    [
        (["--task", '"x"'], "--task is for --panel"),
        (["--panel"], "--panel takes --task JSON"),
        (["--panel", "--task", "x"], "--task is not JSON"),
        (["--signer", "other.key"], "leave --signer out"),
    ],
)
def test_what_cannot_be_meant_is_told(folder, capsys, more, told):
    who = ["--by", "J. Doe", "--system", "s", "--version", "1"]
    assert run("drill", "halt", folder / "quorate.toml", *who, *more) == 2
    assert told in capsys.readouterr().err


def test_a_ledger_needs_its_key_and_is_never_begun_by_a_drill(folder, capsys):
    who = ["--by", "J. Doe", "--system", "s", "--version", "1"]
    assert run("drill", "halt", folder / "other.db", *who) == 2
    assert "--signer" in capsys.readouterr().err
    key = folder / "ledger.key"
    assert run("drill", "halt", folder / "other.db", *who, "--signer", key) == 5
    assert not (folder / "other.db").exists()
