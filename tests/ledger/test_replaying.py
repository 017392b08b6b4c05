"""Replay: what claims a rule is computed again, or not called verified."""

from importlib.metadata import EntryPoint, entry_points
from types import SimpleNamespace

import pytest
from ledger_tools import KEY, ORIGIN, ledger_of

from quorate.arbitration import Proposal, WeightedQuorumArbiter
from quorate.arbitration.sealed import body_of
from quorate.core.canonical import digest
from quorate.core.errors import (
    MisbehaviourError,
    OperationalError,
    UsageError,
    VerificationError,
)
from quorate.ledger import Ledger, Policy, replay
from quorate.ledger.replay import ReplayContext


@pytest.fixture
def functions(monkeypatch):
    """Replay functions of the test's own, in the place of the installed ones."""
    functions = {}
    monkeypatch.setattr(replay, "_functions", lambda: functions)
    return functions


def doubled(kind, body, context):
    if body["sum"] != 2 * body["x"]:
        raise VerificationError("the sum differs", rule="replay")


def test_verdicts_are_computed_again_and_others_let_pass(functions):
    functions["sum"] = doubled
    with ledger_of(2) as ledger:
        ledger.append("sum", {"rule": "sum/1", "x": 2, "sum": 4})
        ledger.append("sum", {"rule": "sum/1", "x": 3, "sum": 6})
        report = ledger.verify(replay=True)
        assert (report.size, report.replayed) == (4, 2)
        assert report.to_dict()["replayed"] == 2
        assert "replayed 2 of them" in report.describe()
        assert ledger.verify().replayed is None


def test_a_signed_wrong_verdict_does_not_verify(functions):
    functions["sum"] = doubled
    with ledger_of(2) as ledger:
        ledger.append("sum", {"rule": "sum/1", "x": 2, "sum": 5})
        assert ledger.verify().size == 3
        with pytest.raises(VerificationError, match="entry 2: the sum differs") as caught:
            ledger.verify(replay=True)
        assert (caught.value.index, caught.value.rule) == (2, "replay")
        assert str(caught.value).count("[replay]") == 1


def test_a_rule_of_a_kind_that_nobody_replays_fails(functions):
    with ledger_of(1) as ledger:
        ledger.append("mystery", {"rule": "mystery/1"})
        assert ledger.verify().size == 2
        with pytest.raises(
            VerificationError, match="no installed rule replays the kind 'mystery'"
        ) as caught:
            ledger.verify(replay=True)
        assert (caught.value.index, caught.value.rule) == (1, "replay")


def test_so_it_does_with_what_is_really_installed():
    with Ledger.open("memory:", origin=ORIGIN) as ledger:
        ledger.append("mystery", {"rule": "mystery/1"})
        with pytest.raises(VerificationError, match="no installed rule"):
            ledger.verify(replay=True)
    assert {"panel", "decision", "refusal", "routing"} <= replay._functions().keys()


def test_a_rule_that_cannot_be_imported_is_told_only_where_it_is_needed(functions):
    point = EntryPoint("odd", "quorate.nowhere:replay", replay.GROUP)
    functions["odd"] = replay._Declared(point)
    functions["sum"] = doubled
    with ledger_of(1) as ledger:
        ledger.append("sum", {"rule": "sum/1", "x": 2, "sum": 4})
        assert ledger.verify(replay=True).replayed == 1
        ledger.append("odd", {"rule": "odd/1"})
        with pytest.raises(
            OperationalError,
            match=r"kind 'odd' are replayed by quorate\.nowhere:replay.*ModuleNotFoundError.*anew",
        ):
            ledger.verify(replay=True)
        assert ledger.verify().size == 3


def test_it_is_named_with_the_package_that_declares_it():
    installed = {point.name: point for point in entry_points(group=replay.GROUP)}["routing"]
    broken = SimpleNamespace(name="x", value="x:y", dist=installed.dist, load=None)
    with pytest.raises(OperationalError, match=r"as quorate \d[\d.]* declares"):
        replay._Declared(broken).load()


@pytest.mark.parametrize("body", [{}, {"norule": 1}, ["rule"], "rule", None, 1])
def test_what_claims_no_rule_is_no_verdict(functions, body):
    with ledger_of(0) as ledger:
        ledger.append("mystery", body)
        assert ledger.verify(replay=True).replayed == 0


@pytest.mark.parametrize("error", [UsageError("odd"), MisbehaviourError("e1", "odd")])
def test_what_cannot_even_be_read_fails_as_replay(functions, error):
    def fail(kind, body, context):
        raise error

    functions["sum"] = fail
    with ledger_of(1) as ledger:
        ledger.append("sum", {})
        with pytest.raises(VerificationError, match="odd") as caught:
            ledger.verify(replay=True)
        assert (caught.value.index, caught.value.rule) == (1, "replay")


def test_another_rule_keeps_its_name(functions):
    def fail(kind, body, context):
        raise VerificationError("unknown panel", rule="panel")

    functions["sum"] = fail
    with ledger_of(0) as ledger:
        ledger.append("sum", {})
        with pytest.raises(VerificationError, match="unknown panel") as caught:
            ledger.verify(replay=True)
        assert (caught.value.index, caught.value.rule) == (0, "panel")


def test_what_was_declared_is_known_to_later_entries_only(functions):
    seen = []

    def panel(kind, body, context):
        context.declare_panel("d", body)

    def decision(kind, body, context):
        seen.append(context.panel("d"))

    functions.update(panel=panel, decision=decision)
    with ledger_of(0) as ledger:
        for kind in ("decision", "panel", "decision"):
            ledger.append(kind, {"p": 1})
        for _ in range(2):
            ledger.verify(replay=True)
    assert seen == [None, {"p": 1}] * 2
    assert ReplayContext().panel("d") is None


def test_progress_is_told_entry_by_entry():
    told = []
    with ledger_of(3) as ledger:
        ledger.verify(progress=lambda done, total: told.append((done, total)))
    assert told == [(1, 3), (2, 3), (3, 3)]


def test_verdicts_that_name_no_panel_are_counted():
    arbiter = WeightedQuorumArbiter(0.5)
    sent = [Proposal("a", 1, 1, 1)]
    body = body_of(arbiter.arbitrate(sent), arbiter, sent)
    with Ledger.open("memory:") as ledger:
        ledger.append("decision", body)
        report = ledger.verify(replay=True)
    assert (report.replayed, report.unbound) == (1, 1)
    assert "1 verdict names no panel" in report.describe()
    assert report.to_dict()["unbound"] == 1


def test_a_replay_function_that_stumbles_refuses_the_entry(functions):
    functions["odd"] = lambda kind, body, context: body["nowhere"]
    with Ledger.open("memory:") as ledger:
        ledger.append("odd", {})
        with pytest.raises(VerificationError, match="KeyError") as caught:
            ledger.verify(replay=True)
    assert (caught.value.index, caught.value.rule) == (0, "replay")


def decided(id_, payload=1, **named):
    arbiter = WeightedQuorumArbiter(0.5)
    sent = [Proposal("a", payload, 1, 1)]
    task = {"id": id_, "input_digest": "0" * 64}
    return body_of(arbiter.arbitrate(sent), arbiter, sent, task=task, **named)


PANEL = {
    "rule": "panel/1",
    "protocol": "weighted-quorum",
    "parameters": {"quorum": "1/2"},
    "roster": {"a": "1"},
    "experts": {"a": {}},
}


def test_a_task_is_decided_once():
    with Ledger.open("memory:") as ledger:
        ledger.append("decision", decided("m1"))
        ledger.append("decision", decided("m2"))
        ledger.append("decision", decided("m1", payload=2))
        with pytest.raises(VerificationError, match="already, in entry 0") as caught:
            ledger.verify(replay=True)
    assert (caught.value.index, caught.value.rule) == (2, "replay")


def test_panels_are_listed_and_can_be_pinned():
    lax = {**PANEL, "parameters": {"quorum": "1/100"}}
    with Ledger.open("memory:") as ledger:
        ledger.append("panel", PANEL)
        ledger.append("decision", decided("m1", panel=digest(PANEL)))
        ledger.append("note", "free text")
        trusted = Policy((KEY.verifier,), panels=frozenset({digest(PANEL)}))
        report = ledger.verify(replay=True)
        assert [(p.seq, p.digest) for p in report.panels] == [(0, digest(PANEL))]
        assert f"entry 0 declares panel {digest(PANEL)}: 1 expert," in report.describe()
        assert report.unreplayed == {"note": 1}
        assert "not replayed, for they claim no verdict: note (1)" in report.describe()
        ledger.append("panel", lax)
    with Ledger.open("memory:", signer=KEY) as ledger:
        ledger.append("panel", PANEL)
        ledger.append("panel", lax)
        ledger.append("decision", decided("m1", panel=digest(PANEL)))
        assert len(ledger.verify(replay=True, policy=trusted).panels) == 2
        ledger.append("decision", decided("m2"))
        with pytest.raises(VerificationError, match="names no panel") as caught:
            ledger.verify(replay=True, policy=trusted)
        assert (caught.value.index, caught.value.rule) == (3, "panel")


def test_a_panel_that_is_not_pinned_decides_nothing():
    body = decided("m1", panel=digest(PANEL))
    with Ledger.open("memory:", signer=KEY) as ledger:
        ledger.append("panel", PANEL)
        ledger.append("decision", body)
        other = Policy((KEY.verifier,), panels=frozenset({"0" * 64}))
        with pytest.raises(VerificationError, match="not one the policy names") as caught:
            ledger.verify(replay=True, policy=other)
    assert (caught.value.index, caught.value.rule) == (1, "panel")


@pytest.mark.parametrize(
    "change",
    [
        {"parameters": 5}, {"parameters": {"quorum": 0.5}}, {"protocol": []}, {"experts": None},
        {"experts": {"b": {}}}, {"roster": {}}, {"roster": {"a": "-1"}}, {"roster": {"a": 1}},
        {"rule": "panel/2"}, {"more": 1},
    ],
)  # fmt: skip
def test_a_panel_that_declares_nothing_usable_is_refused(change):
    with Ledger.open("memory:") as ledger:
        ledger.append("panel", {**PANEL, **change})
        with pytest.raises(VerificationError) as caught:
            ledger.verify(replay=True)
    assert caught.value.index == 0
