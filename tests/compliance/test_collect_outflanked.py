"""Ways around a collector, each mounted with the operator's key: none of them shows anything."""

import asyncio
from dataclasses import replace
from fractions import Fraction
from types import SimpleNamespace

import evidence_tools
import pytest
from collect_tools import (
    DATA,
    DAY,
    SCOPE,
    Place,
    declaration,
    experts,
    failed,
    lacking,
    shown,
)

from quorate.arbitration import Arbiter, Proposal
from quorate.arbitration.sealed import body_of, kind_of
from quorate.compliance.collect import Survey, collectors, seal_evidence
from quorate.compliance.collect.reading import Passed, Record
from quorate.compliance.collected import SHIPPED
from quorate.compliance.committing import (
    Threshold,
    commit_threshold,
    read_scope,
    record_measurement,
)
from quorate.compliance.drill_record import Drill
from quorate.compliance.drill_work import Workforce
from quorate.compliance.drills import halt_drill, override_drill
from quorate.compliance.evidence import Evidence, Scope
from quorate.core.canonical import digest
from quorate.core.errors import UsageError, VerificationError
from quorate.hub import Policy
from quorate.ledger import Ledger

ARBITER = Arbiter(quorum=Fraction(3, 4))
OWN = declaration(ARBITER)
TOY = declaration(ARBITER, "wxyz")
DRILLED = ("art_14.par_4.d", "art_14.par_4.e", "overrideControl")


def drill(place, panel, *runs, answer=None):
    """Have a panel's own experts drilled over a ledger."""
    asked = experts(panel)
    for run in runs or (halt_drill, override_drill):
        with place.open() as ledger:
            work = Workforce("panel", asked, ARBITER, Policy(), panel, answer or "one", asked)
            run(ledger, scope=SCOPE, by="J. Doe", work=work)


# -- drills of another panel than decides


def test_the_panel_that_decides_is_the_one_to_be_drilled(place):
    drill(place, TOY)
    found = place.survey()
    assert not shown(found).keys() & set(DRILLED)
    for name in ("halt_drill", "override_drill", "both_drills"):
        assert digest(TOY) in lacking(found)[name]
        assert digest(OWN) in lacking(found)[name]
    drill(place, OWN)
    assert set(DRILLED) <= shown(place.survey()).keys()


def test_a_drill_of_another_panel_takes_nothing_back(place):
    drill(place, OWN)
    drill(place, TOY)
    assert set(DRILLED) <= shown(place.survey()).keys()


def test_a_drill_says_nothing_of_the_panel_that_decides_since(place):
    drill(place, OWN)
    other = declaration(ARBITER, "efgh")
    place.decide("after", panel=other)
    found = place.survey()
    assert not shown(found).keys() & set(DRILLED)
    assert digest(other) in lacking(found)["both_drills"]


def test_a_panel_that_decided_nothing_is_nobodys_own(tmp_path):
    place = Place(tmp_path)
    place.declare()
    drill(place, TOY)
    assert "it counts once that panel has decided" in lacking(place.survey())["both_drills"]
    place.decide("first")
    found = lacking(place.survey())["both_drills"]
    assert digest(TOY) in found
    assert digest(OWN) in found


def test_a_failed_drill_is_not_hidden_behind_one_of_another_panel(place, monkeypatch):
    with monkeypatch.context() as patched:
        spoil_drills(patched)
        drill(place, OWN, halt_drill)
    assert "art_14.par_4.e" in failed(place.survey())
    drill(place, TOY, halt_drill)
    assert "art_14.par_4.e" in failed(place.survey())
    drill(place, OWN, halt_drill)
    assert "art_14.par_4.e" in shown(place.survey())


def spoil_drills(monkeypatch):
    """Have a drill seen to fail: an expert was called after the halt."""
    real = Ledger.append

    def append(self, kind, body, **more):
        if kind == "drill":
            seen = {**body["seen"], "calls_after": 1}
            body = replace(Drill.from_dict(body), seen=seen).to_dict()
        return real(self, kind, body, **more)

    monkeypatch.setattr(Ledger, "append", append)


# -- a silence that is declared as normal afterwards


def test_a_silence_is_not_made_normal_by_declaring_it_afterwards(place):
    place.clock.now += 2 * DAY
    assert "eventLogging" in failed(place.survey())
    place.declare(silence_seconds=2_678_400)
    found = failed(place.survey())
    assert "longer than the 86400 declared as normal" in found["eventLogging"]
    # Nor by declaring no bound at all.
    place.declare(silence_seconds=None)
    assert "eventLogging" in failed(place.survey())


def test_the_first_bound_holds_for_what_was_recorded_before_it(tmp_path):
    place = Place(tmp_path)
    place.decide("one")
    place.clock.now += 2 * DAY
    place.decide("two")
    place.declare(silence_seconds=60)
    place.declare(silence_seconds=2_678_400)
    assert "longer than the 60 declared" in failed(place.survey())["art_12.par_1"]


def naive_bound(bounds, asked, seq):
    """Of the bounds declared before an entry the last, else the first; or the stricter asked."""
    found = None
    for at, seconds in bounds:
        if found is None or at < seq:
            found = seconds
    told = [one for one in (found, asked) if one is not None]
    return min(told) if told else None


@pytest.mark.parametrize("asked", [None, 2, 5, 9])
@pytest.mark.parametrize("bounds", [(), ((3, 4),), ((1, 8), (4, 2)), ((0, 3), (2, 9), (6, 1))])
def test_the_bound_that_held_as_a_silence_ended(bounds, asked):
    record = SimpleNamespace(bounds=bounds, asked_seconds=asked)
    for seq in range(1, 9):
        after = Passed(seq, "0" * 64, "note", 0)
        assert Record.bound_before(record, after) == naive_bound(bounds, asked, seq)


# -- what a remote client has folded


@pytest.fixture
def folded(place):
    """A verdict that names neither task nor panel, as the tool ``arbitrate`` seals one."""
    proposals = [Proposal("x", "yes", confidence=1, route_weight=1)]
    fold = Arbiter()
    outcome = fold.arbitrate(proposals)
    with place.open() as ledger:
        ledger.append(kind_of(outcome), body_of(outcome, fold, proposals))
    return place


def test_what_a_remote_client_has_folded_is_no_decision_of_the_system(folded, decided):
    before, after = shown(decided.survey()), shown(folded.survey())
    for name in ("art_13.par_1", "transparencyDesign"):
        assert after[name].data["decisions"] == before[name].data["decisions"]
    told = after["art_15.par_4.s2"].data
    assert told["n"] == 4
    assert "1 verdict names neither a task nor a panel, the first in entry 5" in told["limit"]
    assert after["art_12.par_2.c"].data["kinds"] == before["art_12.par_2.c"].data["kinds"]


def test_where_only_a_remote_client_folds_nothing_was_decided(tmp_path):
    place = Place(tmp_path)
    place.declare()
    proposals = [Proposal("x", "yes", confidence=1, route_weight=1)]
    outcome = Arbiter().arbitrate(proposals)
    with place.open() as ledger:
        ledger.append(kind_of(outcome), body_of(outcome, Arbiter(), proposals))
    found = place.survey()
    assert "neither a task nor a panel" in lacking(found)["interpretable_decisions"]
    assert not {"art_12.par_2.b", "art_12.par_2.c", "art_13.par_1"} & shown(found).keys()


def test_what_the_server_seals_for_a_client_names_neither_task_nor_panel(place, decided):
    mcp = pytest.importorskip("mcp", reason="needs quorate[mcp]")
    from quorate.mcp import Settings, build_server

    async def call(ledger):
        given = {"expert_id": "x", "payload": "yes", "confidence": 1, "route_weight": 1}
        async with mcp.Client(build_server(Settings(ledger=ledger))) as client:
            await client.call_tool("arbitrate", {"proposals": [given]})

    with place.open() as ledger:
        size = len(ledger)
        asyncio.run(call(ledger))
        assert len(ledger) == size + 1
    before, after = shown(decided.survey()), shown(place.survey())
    assert after["art_13.par_1"].data["decisions"] == before["art_13.par_1"].data["decisions"]
    assert "neither a task nor a panel" in after["art_15.par_4.s2"].data["limit"]


# -- a day that is past


def test_of_a_past_day_all_counts_that_was_sealed_by_then_and_no_more(place):
    then = place.clock.moment
    before = place.survey()
    place.clock.now += DAY
    place.decide("later")
    place.clock.now += 5 * DAY
    found = place.survey(now=then, past=True)
    assert found.items == before.items
    assert found.lacking == before.lacking
    assert found.size == before.size + 1
    assert "art_12.par_1" in failed(place.survey())
    with place.open() as ledger:
        seal_evidence(ledger, found.items, collected=found)


def test_a_ledger_that_was_changed_after_that_day_shows_nothing_of_it(place):
    then = place.clock.moment
    place.clock.now += DAY
    place.decide("later", "last")
    place.tamper("UPDATE entries SET body = replace(body, 'yes', 'no!') WHERE seq = 5")
    assert shown(place.survey(now=then, past=True)) == {}


# -- thresholds that nothing misses


@pytest.mark.parametrize("value", ["0", "-1", "-1/1000000"])
def test_a_threshold_that_nothing_misses_is_refused_and_shows_nothing(place, value):
    given = {"scope": SCOPE, "by": "J. Doe"}
    with place.open() as ledger:
        with pytest.raises(UsageError, match="which whatever is counted is"):
            commit_threshold(ledger, "recall", "at_least", value, **given)
        # Another program with the key seals it all the same.
        lax = Threshold("recall", "at_least", Fraction(value), Scope(**SCOPE), "J. Doe")
        at = ledger.append("threshold", lax.to_dict())
        record_measurement(ledger, at.seq, "0", samples=1, dataset=DATA)
    made = place.report()
    for name in ("art_9.par_8", "art_15.par_1"):
        assert made.result(name).state == "invalid"


# -- what is sealed as a collector's, and is not


def forged(place, **changes):
    """An item such as a collector makes, written by whoever has the key."""
    with place.open() as ledger:
        first = ledger.get(0)
    body = {
        "field": "overrideControl", "status": "passed",
        "source": "quorate.collect.both_drills", "time": first.timestamp, "scope": SCOPE,
        "data": {"halt": told("halt"), "override": told("override")},
        "entries": [{"seq": 0, "hash": first.entry_hash}],
    }  # fmt: skip
    return Evidence.read(body | changes)


def told(kind):
    """A drill that never was."""
    return evidence_tools.drill(kind)


def replayed(place, item):
    """Why the ledger does not verify with that item in it; ``None`` where it does."""
    with place.open() as ledger:
        ledger.append("evidence", item.body())
        try:
            ledger.verify(replay=True, policy=place.policy)
        except VerificationError as error:
            return str(error)
    return None


def test_drills_that_never_were_are_not_collected(place):
    item = forged(place)
    with place.open() as ledger:
        made_up = Survey((item,), (), None, 1)
        size = len(ledger)
        with pytest.raises(UsageError, match="none of the entries that it names is a drill"):
            seal_evidence(ledger, [item], collected=made_up)
        assert len(ledger) == size
    assert "none of the entries that it names is a drill" in replayed(place, item)


@pytest.mark.parametrize("changes", [{"by": "A. Nother"}, {"acted": "2020-01-01T00:00:00Z"}])
def test_nor_are_others_than_the_entry_tells_of(whole, changes):
    found = shown(whole.survey())["art_14.par_4.e"]
    item = found.model_copy(update={"data": found.data | changes})
    assert "it names no drill such as it tells" in replayed(whole, item)


def test_a_script_s_drills_are_not_the_panel_s(whole):
    found = shown(whole.survey())["art_14.par_4.e"]
    item = found.model_copy(update={"source": "quorate.collect.halt_drill"})
    assert "it names no drill such as it tells" in replayed(whole, item)


def test_nor_those_of_another_version(whole):
    found = shown(whole.survey())["art_14.par_4.e"]
    item = found.model_copy(update={"scope": Scope(system="triage", version="9")})
    assert "it names no drill such as it tells" in replayed(whole, item)


@pytest.mark.parametrize(
    ("field", "source", "data", "words"),
    [
        ("art_9.par_8", "thresholds_before_results", {}, "is a threshold"),
        ("art_15.par_5.s1", "attack_runs", {}, "is a threshold"),
        ("art_13.par_1", "interpretable_decisions", {}, "is a decision or refusal"),
        ("art_15.par_4.s2", "redundancy", {}, "is a decision or refusal"),
        ("overrideControl", "gapless_logging", {}, "never shows overrideControl"),
        ("art_14.par_4.b", "acceptance", {}, "never shows art_14.par_4.b"),
        ("art_12.par_1", "gapless_logging", {"range": {"first": 0, "last": 3}}, "first and last"),
    ],
)
def test_what_a_collector_made_is_made_of_what_it_makes_it_of(place, field, source, data, words):
    item = forged(place, field=field, source=f"quorate.collect.{source}", data=data)
    assert words in replayed(place, item)


def test_what_was_collected_is_found_sound(whole):
    drill(whole, OWN)
    with whole.open() as ledger:
        at = commit_threshold(ledger, "recall", "at_least", "0.9", scope=SCOPE, by="J. Doe")
        record_measurement(ledger, at.seq, "0.95", samples=1, dataset=DATA)
    found = whole.survey()
    assert {*DRILLED, "art_9.par_8", "art_15.par_1", "art_15.par_4.s2"} <= shown(found).keys()
    with whole.open() as ledger:
        seal_evidence(ledger, found.items, collected=found)
        ledger.verify(replay=True, policy=whole.policy)


def test_every_collector_that_is_shipped_is_known_with_its_fields():
    known = {one.name: one for one in collectors() if "compliance.collect" in one.look.__module__}
    assert SHIPPED.keys() == known.keys()
    for name, made in SHIPPED.items():
        assert made is None or made.fields == known[name].fields
        assert (made is None) is known[name].helps


@pytest.mark.parametrize(
    "source",
    [
        "quorate\u2024collect.both_drills",
        "Quorate.Collect.both_drills",
        "quorate\u200b.collect.both_drills",
        "quorate collect: both drills",
    ],
)
def test_a_source_that_reads_as_a_collector_s_is_refused(place, source):
    item = forged(place, source=source)
    with place.open() as ledger:
        size = len(ledger)
        with pytest.raises(UsageError, match="reads as a collector's and is none"):
            seal_evidence(ledger, [item])
        assert len(ledger) == size


# -- names that are none


@pytest.mark.parametrize("name", ["\u200b", "\u3164", " ", " triage"])
def test_a_scope_that_names_nothing_is_a_usage_error(name):
    for scope in ({"system": name, "version": "1"}, {"system": "triage", "version": name}):
        with pytest.raises(UsageError):
            read_scope(scope)


# -- a declaration that came after what it claims


def test_what_was_recorded_before_it_was_declared_is_told(place):
    told = lacking(place.survey())["declaration"]
    assert "entry 4 declares it, on 2026-05-28" in told
    assert "after what it claims, which reaches back to 2026-05-28" in told
    assert "is the word of J. Doe alone" in told
    # Declaring it again hides nothing.
    place.declare(since=None)
    found = [one for one in place.survey().lacking if one.collector == "declaration"]
    assert [one.fields for one in found] == [
        ("that entries 0 to 3 are the record of triage 2.1.0",)
    ]


def test_a_declaration_that_reaches_back_further_is_told_besides(tmp_path):
    place = Place(tmp_path)
    place.decide("one", "two")
    place.declare(since=2)
    place.declare(since=0)
    found = [one.fields[0] for one in place.survey().lacking if one.collector == "declaration"]
    assert found == [
        "that entry 2 is the record of triage 2.1.0",
        "that entries 0 to 1 are the record of triage 2.1.0",
    ]


def test_of_a_record_that_was_declared_first_nothing_is_told(tmp_path):
    place = Place(tmp_path)
    place.declare(since=None)
    place.decide("one")
    place.declare(since=None)
    assert "declaration" not in lacking(place.survey())
