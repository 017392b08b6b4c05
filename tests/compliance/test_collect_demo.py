"""The ledger that the demo makes: what it shows of the law, and what is left after tampering."""

import pytest
from collect_tools import Place, failed, lacking, shown

from quorate.core.errors import VerificationError

cases = pytest.importorskip(
    "quorate.cli.demo.cases", reason="the demo's models need scikit-learn, which is not installed"
)

PATIENTS = 6


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    """A ledger by the demo's own functions: all four runs, over a few patients, nothing trained."""
    import numpy as np

    from quorate.cli.demo.deciding import decide, open_panel

    truth = np.arange(PATIENTS) % 2
    said = {name: np.where(truth == 1, 0.9, 0.1) for name in cases.FAMILIES}
    few = cases.Cases(
        measurements=np.zeros((1, 30)),
        diagnoses=np.zeros(1, dtype=np.int64),
        held_out=np.zeros((PATIENTS, 30)),
        truth=truth,
        patients=tuple(range(PATIENTS)),
    )
    trained = cases.Trained(said, dict.fromkeys(cases.FAMILIES, 5), "svm")
    place = Place(tmp_path_factory.mktemp("demo"))
    with place.open() as ledger:
        panel = open_panel(ledger, trained)
        for scenario in cases.scenarios():
            decide(scenario, few, trained, ledger, panel, lambda _done, _all: None)
    place.declare(since=0, silence_seconds=60)
    return place


def test_of_a_system_that_it_does_not_declare_it_shows_nothing(demo, tmp_path):
    found = demo.copy(tmp_path).survey(system={"name": "payroll", "version": "7"})
    assert found.items == ()
    assert "declare the system" in lacking(found)["interpretable_decisions"]


@pytest.fixture(scope="module")
def drilled(demo, tmp_path_factory):
    place = demo.copy(tmp_path_factory.mktemp("drilled"))
    assert place.drill("halt").passed
    return place


def states(place, **more):
    return {result.id: result.state for result in place.report("full", **more).results}


def test_articles_12_and_13_are_shown_and_redundancy_with_its_limit(demo, tmp_path):
    found = states(demo.copy(tmp_path))
    for name in ("art_12.par_1", "art_12.par_2.a", "art_12.par_2.b", "art_12.par_2.c"):
        assert found[name] == "shown"
    assert found["art_13.par_1"] == "shown"
    assert found["art_15.par_4.s2"] == "shown"
    # No drill was run, nothing measured, nothing attacked, and no month has passed.
    for name in ("art_14.par_4.e", "art_9.par_8", "art_15.par_5.s1", "art_19.par_1"):
        assert found[name] == "missing"


def test_the_limit_of_the_redundancy_is_told(demo):
    data = shown(demo.survey())["art_15.par_4.s2"].data
    assert (data["n"], data["faults"], data["share"]) == (7, 2, "33/50")
    assert "7 experts on one host, say, are lost together" in data["limit"]


def test_every_refusal_and_decision_is_counted(demo):
    data = shown(demo.survey())["art_13.par_1"].data
    assert data["decisions"] == data["replayed"] == 4 * PATIENTS
    # With two liars and one down the four honest are too few for a quorum.
    assert data["refused"] == PATIENTS


def test_a_halt_drill_shows_the_stop_button_and_changes_nothing_else(demo, drilled, tmp_path):
    before, after = states(demo.copy(tmp_path)), states(drilled)
    assert after.pop("art_14.par_4.e") == "shown"
    assert before.pop("art_14.par_4.e") == "missing"
    assert after == before


def test_that_it_was_declared_afterwards_is_told(demo):
    """Simulated patients become nobody's product unseen."""
    told = lacking(demo.survey())["declaration"]
    assert "after what it claims, which reaches back to" in told
    assert "is the word of J. Doe alone" in told


def test_one_entry_deleted_turns_all_of_it_red_and_says_why(drilled, tmp_path):
    copy = drilled.copy(tmp_path)
    copy.tamper("DELETE FROM entries WHERE seq = 5")
    found = copy.survey()
    assert shown(found) == {}
    assert not lacking(found)
    for name in ("art_12.par_1", "art_13.par_1", "art_14.par_4.e", "art_15.par_4.s2"):
        assert failed(found)[name] == (
            "the ledger does not verify: entry 5: found number 6 instead [sequence]"
        )
    # What it says of itself is sealed elsewhere, and turns the report red.
    from quorate.compliance import EvidenceSet, System, evaluate
    from quorate.compliance.collect import seal_evidence

    elsewhere = Place(tmp_path, "elsewhere.db", copy.clock)
    with elsewhere.open() as ledger:
        items = tuple(seal_evidence(ledger, found.items, collected=found))
        receipts = tuple(ledger.get(item.receipt.seq) for item in items)
    given = EvidenceSet(System(name="triage", version="2.1.0"), items, receipts)
    as_of = copy.clock.moment.date()
    report = evaluate(given, "full", as_of, policy=elsewhere.policy)
    told = {result.id: result for result in report.results}
    for name in ("art_12.par_1", "art_13.par_1", "art_14.par_4.e", "art_15.par_4.s2"):
        assert told[name].state == "failed"
        assert "entry 5: found number 6 instead" in " ".join(told[name].reasons)


def test_one_entry_altered_does_too(drilled, tmp_path):
    copy = drilled.copy(tmp_path)
    copy.tamper("UPDATE entries SET body = replace(body, 'patient', 'person') WHERE seq = 5")
    assert shown(copy.survey()) == {}
    assert "entry 5" in failed(copy.survey())["art_12.par_1"]
    with copy.open() as ledger, pytest.raises(VerificationError):
        ledger.verify(policy=copy.policy)
