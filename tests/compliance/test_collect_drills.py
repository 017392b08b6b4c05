"""Drills, collected: none of another system, none stale, none sealed otherwise than it went."""

from dataclasses import replace

import pytest
from collect_tools import DAY, Place, failed, lacking, shown, whole_reason

from quorate.compliance.coverage import Lacking
from quorate.ledger import Ledger


def test_a_drill_of_another_system_or_version_is_none(place):
    place.drill("halt", {"system": "triage", "version": "2.0.0"})
    place.drill("override", {"system": "other", "version": "2.1.0"})
    found = place.survey()
    assert "no halt drill of triage 2.1.0" in lacking(found)["scripted_halt_drill"]
    assert "(1 of other systems or versions)" in lacking(found)["scripted_override_drill"]
    assert "both_drills" in lacking(found)


def test_one_drill_is_not_both(place):
    place.drill("halt")
    found = place.survey()
    assert "art_14.par_4.e" in shown(found)
    assert "overrideControl" not in shown(found)


def test_a_script_s_drills_say_so_and_are_not_the_system_s(whole):
    found = whole.survey()
    item = shown(found)["art_14.par_4.e"]
    assert item.source == "quorate.collect.scripted_halt_drill"
    assert "scripted experts stood in" in item.data["reason"]
    assert "a script stood in" in lacking(found)["both_drills"]


def test_a_script_is_not_asked_for_where_the_system_s_own_experts_passed(whole):
    found = whole.survey()
    panels = {"halt_drill", "override_drill"}
    assert panels <= set(lacking(found))
    # Now the panel's own passed the one, and nobody drilled with a script.
    passed = next(one for one in found.items if one.source.endswith(".scripted_halt_drill"))
    own = passed.model_copy(update={"source": "quorate.collect.halt_drill"})
    no_script = [Lacking(f"scripted_{name}", ("f",), "drill") for name in sorted(panels)]
    told = replace(found, items=(own,), lacking=tuple(no_script)).wanted
    assert [one.collector for one in told] == ["scripted_override_drill"]
    failed_ = own.model_copy(update={"status": "failed"})
    told = replace(found, items=(failed_,), lacking=tuple(no_script)).wanted
    assert list(told) == no_script


def test_a_drill_goes_stale(whole):
    item = shown(whole.survey())["art_14.par_4.e"]
    assert item.expires > whole.clock.moment.isoformat()
    whole.clock.now += 364 * DAY
    assert "art_14.par_4.e" in shown(whole.survey())
    whole.clock.now += 2 * DAY
    assert "366 days old" in lacking(whole.survey())["scripted_halt_drill"]


@pytest.fixture
def sealing(monkeypatch):
    """Have a drill sealed otherwise than it went."""

    def otherwise(**changes):
        real = Ledger.append

        def append(self, kind, body, **more):
            if kind == "drill":
                seen = {**body["seen"], **changes.pop("seen", {})}
                body = {**body, **changes, "seen": seen}
            return real(self, kind, body, **more)

        monkeypatch.setattr(Ledger, "append", append)

    return otherwise


def test_the_last_drill_counts(whole, sealing):
    why = ["of 2 under way 1 were stopped"]
    sealing(seen={"stopped": 1}, passed=False, failures=why)
    whole.drill("halt")
    found = failed(whole.survey())
    assert found.keys() == {"art_14.par_4.e"}
    assert why[0] in found["art_14.par_4.e"]


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"calls_after": 3}, "passed is True"),
        ({"before": 4}, "passed is True"),
        ({"refused": 2}, "passed is True"),
        ({"verdicts_after": 1}, "passed is True"),
    ],
)
def test_a_drill_whose_verdict_does_not_follow_from_its_counts(place, sealing, change, told):
    sealing(seen=change)
    place.drill("halt")
    assert told in whole_reason(place.survey())


def test_a_drill_during_which_something_was_decided_after_the_halt(
    place, sealing, monkeypatch, tmp_path_factory
):
    """What it counted is its word; the verdict between halt and resume is the log's."""
    copy = place.copy(tmp_path_factory.mktemp("sneaked"))
    copy.decide("sneaked")
    with copy.open() as ledger:
        sneaked = [ledger.get(len(ledger) - 1).payload]
    sealing(seen={"verdicts_after": 0}, passed=True, failures=[])
    real = Ledger.append

    def append(self, kind, body, **more):
        if kind == "oversight" and body["event"] == "resume" and sneaked:
            real(self, "decision", sneaked.pop())
        return real(self, kind, body, **more)

    monkeypatch.setattr(Ledger, "append", append)
    place.drill("halt")
    assert not sneaked
    assert "the log has 1" in whole_reason(place.survey())


def test_a_drill_sealed_again_shows_nothing(whole):
    with whole.open() as ledger:
        ledger.append("drill", next(ledger.find(kind="drill")).payload)
    assert "a drill is sealed once" in whole_reason(whole.survey())


def test_a_drill_from_another_ledger_pasted(whole, tmp_path):
    other = Place(tmp_path, "other.db")
    other.decide("one", "two", "split")
    with whole.open() as source, other.open() as ledger:
        for receipt in list(source)[4:]:
            ledger.append(receipt.kind, receipt.payload)
    assert "that entry of this log has" in whole_reason(other.survey())


def test_a_drill_that_tells_other_times_than_its_entries_have(place, sealing):
    sealing(started="2020-01-01T00:00:00.000000Z")
    place.drill("halt")
    assert "gives other times" in failed(place.survey())["art_14.par_4.e"]
