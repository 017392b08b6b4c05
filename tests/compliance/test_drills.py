"""Drills: that they start real work, and pass only on what was seen."""

import re
from datetime import date, timedelta
from fractions import Fraction

import pytest
from collect_tools import DAY, SCOPE, SYSTEM, Clock, Place, declaration, experts, lacking

from quorate.arbitration import Arbiter
from quorate.compliance import drill_work, drills
from quorate.compliance.declaring import declare_system
from quorate.compliance.drill_record import Drill
from quorate.compliance.drill_work import Workforce, of_panel, scripted
from quorate.compliance.drills import halt_drill, override_drill
from quorate.core.errors import UsageError, VerificationError
from quorate.core.identity import Ed25519Signer
from quorate.hub import Expert, Hub, Panel, Policy
from quorate.hub.oversight import Guard, HaltedError, Oversight
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
    monkeypatch.setattr(Guard, "seal", lambda self, items: ledger.append_all(items))
    # Nobody stops what hangs either: it is not waited for here for a whole minute.
    monkeypatch.setattr(drill_work, "WAIT_SECONDS", 1.0)
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
    assert result.drill.failures == ("no work went on after the halt was lifted",)
    assert [one.by for one in Oversight(ledger).in_force] == ["A. Person"]
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


def test_no_verdict_of_a_drill_stands_behind_its_halt(ledger, monkeypatch):
    """Somebody else halts right before the first verdict is written."""
    real = ledger.append_all

    def halted_before(items, **more):
        Oversight(ledger).halt("A. Person", "an emergency")
        return real(items, **more)

    monkeypatch.setattr(ledger, "append_all", halted_before)
    with pytest.raises(HaltedError):
        halt_drill(ledger, scope=SCOPE, by="J. Doe")
    assert kinds(ledger) == ["panel", "oversight"]


def test_a_name_scope_or_reason_that_says_nothing(ledger):
    long = {"reason": "x" * 4096}
    for wrong in ({"by": " "}, {"reason": ""}, {"scope": {"system": "triage"}}, long):
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


# -- what replay holds a drill to: each change is sealed with the ledger's own key


def forged(ledger, monkeypatch, change, *, kind="halt"):
    """Drill, and have another body sealed than what was seen; what replay says of it."""
    append = ledger.append

    def lying(of, body, **more):
        return append(of, change(body) if of == "drill" else body, **more)

    monkeypatch.setattr(ledger, "append", lying)
    (halt_drill if kind == "halt" else override_drill)(ledger, scope=SCOPE, by="J. Doe")
    monkeypatch.undo()
    return refused(ledger)


def refused(ledger):
    with pytest.raises(VerificationError) as caught:
        ledger.verify(replay=True)
    assert (caught.value.rule, caught.value.index) == ("replay", len(ledger) - 1)
    return str(caught.value)


@pytest.mark.parametrize("run", [halt_drill, override_drill])
@pytest.mark.parametrize("change", [{}, {"scope": {"system": "triage", "version": "3.0.0"}}])
def test_a_drill_is_sealed_once_and_for_one_version(ledger, run, change):
    old = run(ledger, scope=SCOPE, by="J. Doe").receipt
    ledger.append("drill", old.payload | change)
    assert f"as the drill of entry {old.seq} did" in refused(ledger)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"work": "panel"}, "work is 'panel', and its experts are scripted-1"),
        ({"experts": ["a", "b", "c"]}, "its panel has others"),
        ({"panel": "0" * 64}, "was not decided under its panel"),
        ({"by": "A. Other"}, r"was not sealed by A\. Other for this drill"),
        ({"reason": "another"}, "that says 'drill: another' as its reason"),
    ],
)
@pytest.mark.parametrize("kind", ["halt", "override"])
def test_a_drill_that_was_another(ledger, monkeypatch, change, told, kind):
    assert re.search(told, forged(ledger, monkeypatch, lambda body: body | change, kind=kind))


@pytest.mark.parametrize("kind", ["halt", "override"])
def test_who_acted_did_so_when_the_entry_was_sealed(ledger, monkeypatch, kind):
    def earlier(body):
        return body | {"acted": body["started"]}

    assert "acted is" in forged(ledger, monkeypatch, earlier, kind=kind)


def test_an_ordinary_halt_over_ordinary_work_is_no_drill(ledger, monkeypatch):
    """What a person really did, told as a drill that never was."""
    oversight = Oversight(ledger)

    def instead(body):
        halt = oversight.halt("J. Doe", "it misjudges")
        resume = oversight.resume("J. Doe", "mended")
        named = {"halt": halt, "resume": resume}
        for name, one in named.items():
            body["entries"][name] = {"seq": one.seq, "hash": one.entry_hash}
        body["entries"]["after"] = []
        return body | {
            "acted": halt.timestamp, "ended": resume.timestamp, "passed": False,
            "seen": body["seen"] | {"resumed": 0},
            "failures": ["no work went on after the halt was lifted"],
        }  # fmt: skip

    assert "was not sealed by J. Doe for this drill" in forged(ledger, monkeypatch, instead)


def test_a_verdict_of_no_panel_is_none_of_a_drill(ledger, monkeypatch):
    experts = [Expert(name, lambda task: "yes", confidence=1) for name in "abc"]
    done = Hub(experts, ledger=ledger).dispatch("a question").receipt

    def with_it(body):
        body["entries"]["before"][0] = {"seq": done.seq, "hash": done.entry_hash}
        return body | {"started": done.timestamp}

    told = forged(ledger, monkeypatch, with_it)
    assert f"the verdict of entry {done.seq} was not decided under its panel" in told


@pytest.mark.parametrize(("late", "sound"), [(600, True), (601, False)])
def test_a_drill_is_sealed_as_it_ended(late, sound, monkeypatch):
    clock = Clock()
    with Ledger.open("memory:", clock=clock) as ledger:
        append = ledger.append

        def later(kind, body, **more):
            if kind == "drill":
                # The clock goes on by a millisecond each time it is asked.
                clock.now += late * 1_000_000 - 1000
            return append(kind, body, **more)

        monkeypatch.setattr(ledger, "append", later)
        halt_drill(ledger, scope=SCOPE, by="J. Doe")
        if sound:
            ledger.verify(replay=True)
        else:
            assert "was sealed 601 seconds after that" in refused(ledger)


# -- what is collected of drills


def workforce(kind="python"):
    """Four experts of a panel's own, as far as a record can tell."""
    arbiter = Arbiter(quorum=Fraction(3, 4))
    declared = declaration(arbiter)
    for one in declared["experts"].values():
        one["kind"] = kind
    asked = experts(declared)
    return Workforce("panel", asked, arbiter, Policy(), declared, "one", asked)


@pytest.fixture
def place(tmp_path):
    made = Place(tmp_path)
    with made.open() as ledger:
        declare_system(ledger, SYSTEM, by="J. Doe", since=0)
    return made


def drill(place, run, work=None):
    with place.open() as ledger:
        return run(ledger, scope=SCOPE, by="J. Doe", work=work)


DRILLS = ("art_14.par_4.d", "art_14.par_4.e", "overrideControl")


def of_drills(place):
    found = place.survey()
    return {item.field: item for item in found.items if item.field in DRILLS}, lacking(found)


def test_a_script_shows_the_ledgers_own_halt_and_says_so(place):
    for run in (halt_drill, override_drill):
        drill(place, run)
    found, lacks = of_drills(place)
    assert found.keys() == {"art_14.par_4.d", "art_14.par_4.e"}
    for item in found.values():
        assert item.source.startswith("quorate.collect.scripted_")
        assert "not that the system's own experts obey them" in item.data["reason"]
        assert "names are as given, not authenticated" in item.data["reason"]
    assert "a script stood in for them in 1" in lacks["both_drills"]
    assert "quorate drill halt quorate.toml --panel --task JSON" in lacks["halt_drill"]


def test_a_panels_own_experts_show_the_rest(place):
    place.decide("before")
    for run in (halt_drill, override_drill):
        drill(place, run, workforce())
    found, lacks = of_drills(place)
    assert found.keys() == set(DRILLS)
    assert found["art_14.par_4.e"].source == "quorate.collect.halt_drill"
    assert "the panel's own experts were at work" in found["art_14.par_4.e"].data["reason"]
    assert "with scripted experts is in the ledger" in lacks["scripted_halt_drill"]


def test_a_script_under_other_names_is_a_script(place):
    for run in (halt_drill, override_drill):
        drill(place, run, workforce("scripted"))
    found, lacks = of_drills(place)
    assert found.keys() == {"art_14.par_4.d", "art_14.par_4.e"}
    assert all("scripted_" in item.source for item in found.values())
    assert "both_drills" in lacks


def test_a_drill_ages_from_its_end(place):
    place.decide("before")
    sealed = drill(place, halt_drill, workforce()).receipt
    ended = sealed.payload["ended"]
    item = of_drills(place)[0]["art_14.par_4.e"]
    assert item.expires[:10] == str(date.fromisoformat(ended[:10]) + timedelta(365))
    place.clock.now += 366 * DAY
    with place.open() as ledger:
        ledger.append("note", {})
    assert "366 days old" in of_drills(place)[1]["halt_drill"]


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
    monkeypatch.setattr(drill_work, "WAIT_SECONDS", 1.0)
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
