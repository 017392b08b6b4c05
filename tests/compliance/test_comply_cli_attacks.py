"""Ways to have evidence look better than the ledger is, through the commands; each is refused."""

import json
import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from comply_tools import POLICY, ago, entries, forge, save, tamper, today, written

from quorate.cli.app import run
from quorate.compliance import ComplianceReport, Evidence, EvidenceSet
from quorate.compliance.dossier import verify_dossier
from quorate.ledger import Ledger, Policy, read_signer

GIVEN = ("quorate.toml", *POLICY, "--profile", "full")


@pytest.fixture
def fails(told):
    """Have the ledger show a threshold as kept, seal that, and then as missed."""

    def call(*, seal=True):
        _, fixed = told("threshold", "recall", "quorate.toml", "--at-least", "0.9", "--by", "QA")
        measured = ("quorate.toml", "--samples", 100, "--dataset")
        told("measure", fixed["seq"], "0.95", *measured, "tasks.jsonl")
        if seal:
            told("collect", "quorate.toml", "--seal", *POLICY)
        told("measure", fixed["seq"], "0.2", *measured, "experts.py")

    return call


def state(members, name="art_9.par_8"):
    return ComplianceReport.from_dict(members["report"]).result(name).state


def append(kind, body):
    """Append to the ledger behind the back of the commands, with its key."""
    signer = read_signer(Path("keys/ledger.key"))
    with Ledger.open("sqlite:///ledger.db", signer=signer) as log:
        return log.append(kind, body)


def sealed_passed(field="art_9.par_8"):
    """The body of what a collector sealed as passed."""
    with Ledger.open("sqlite:///ledger.db") as log:
        return next(r.payload for r in log.find(kind="evidence") if r.payload["field"] == field)


# -- what fails now


def test_a_dossier_without_seal_has_what_fails_now(fails, told, comply):
    pytest.importorskip("jinja2", reason="needs quorate[reports]")
    fails()
    assert state(told("report", *GIVEN)[1]) == "failed"
    code, _, err = comply("dossier", *GIVEN, "-o", "dos")
    assert code == 0
    assert "failed now and not sealed, yet in it: " in err
    assert "art_9.par_8" in err
    found = verify_dossier("dos", Policy.read("policy.toml"))
    assert found.verified
    assert found.report.result("art_9.par_8").state == "failed"
    assert "art_9.par_8" in found.report.failed
    items = EvidenceSet.read("dos/evidence.json").items
    assert all(i.receipt is not None or i.status == "failed" for i in items)


def test_a_dossier_against_a_checkpoint_has_it_too(fails, comply):
    pytest.importorskip("jinja2", reason="needs quorate[reports]")
    fails()
    early = Path("cp.note")
    assert run(["ledger", "checkpoint", "--signer", "keys/ledger.key", "-o", str(early)]) == 0
    ledger = ("ledger.db", *POLICY, "--profile", "full", "--checkpoint", "cp.note")
    code, _, err = comply("dossier", *ledger, "-o", "dos", "--as-of", today())
    assert code == 0
    assert "nothing seals the whole" in err
    found = verify_dossier("dos", Policy.read("policy.toml"))
    assert found.report.result("art_9.par_8").state == "failed"


# -- what is sealed by hand


def test_a_collectors_failure_is_not_retired_by_what_the_key_seals(fails, told):
    fails()
    told("collect", "quorate.toml", "--seal", *POLICY)
    assert state(told("report", *GIVEN)[1]) == "failed"
    forged = sealed_passed() | {"time": ago(seconds=0)}
    append("evidence", forged)
    _, members = told("report", *GIVEN)
    assert state(members) == "failed"
    assert any("the entry is left out" in each for each in members["notices"])
    # Nor where the ledger is not asked, as nothing after that day is.
    later = (datetime.now(UTC) + timedelta(days=1)).date()
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("quorate.cli.comply.gathering.today", lambda: later)
        assert state(told("report", *GIVEN, "--as-of", today())[1]) == "failed"


def test_a_failure_stands_while_the_ledger_shows_nothing_else(told, comply):
    field = "art_12.par_1"
    told("collect", "quorate.toml", "--seal", *POLICY)
    passed = sealed_passed(field)
    told("collect", "quorate.toml", "--seal", *POLICY, "--silence", "0.000001")
    # Declared again without a bound on silence, the collector can say neither.
    assert comply("declare", "system.toml", "quorate.toml", "--by", "J. Doe")[0] == 0
    append("evidence", passed | {"time": ago(seconds=0)})
    _, members = told("report", *GIVEN)
    assert any(field in each["fields"] for each in members["lacking"])
    assert state(members, field) == "failed"


def test_a_collectors_failure_is_retired_by_the_collector(told):
    told("collect", "quorate.toml", "--seal", *POLICY, "--silence", "0.000001")
    assert state(told("report", *GIVEN)[1], "art_12.par_1") == "failed"
    _, members = told("report", *GIVEN, "--seal")
    assert state(members, "art_12.par_1") == "shown"
    assert any("says art_12.par_1 passed, which" in each for each in members["notices"])


def test_what_people_found_failed_is_retired_by_a_later_finding_only(told, comply):
    save("one.json", written("riskAssessment", status="failed"))
    save("two.json", written("riskAssessment", time=ago(minutes=9)))
    for name in ("one.json", "two.json"):
        assert comply("seal", name, "quorate.toml")[0] == 0
    assert state(told("report", *POLICY)[1], "EUAIACT-ART9-002") == "failed"


def test_a_failure_of_a_name_that_reads_the_same_is_not_lost(told, comply):
    scope = {"system": "Triage", "version": "2.1.0"}
    late = written("riskAssessment", status="failed", source="audit", scope=scope)
    append("evidence", Evidence.read(late).body())
    save("one.json", written("riskAssessment"))
    assert comply("seal", "one.json", "quorate.toml")[0] == 0
    assert state(told("report", *POLICY)[1], "EUAIACT-ART9-002") == "failed"


def test_the_source_of_a_collector_is_not_for_people(comply, told):
    forged = written("art_14.par_4.e", source="quorate.collect.halt_drill")
    save("forged.json", forged | {"data": {}, "digest": None})
    before = entries()
    code, _, err = comply("seal", "forged.json", "quorate.toml")
    assert code == 2
    assert "which is a collector's" in " ".join(err.split())
    assert entries() == before
    told("collect", "quorate.toml", "--seal", *POLICY)
    body = sealed_passed("art_12.par_2.a") | {"source": "quorate.collect.accuracy_series"}
    append("evidence", body | {"field": "art_15.par_1"})
    # Whoever has the key can seal it, and then the ledger does not verify.
    code, members = told("report", *GIVEN)
    assert code == 4
    assert "none of the entries that it names is a threshold" in members["broken"]


# -- what is hidden


def test_a_past_day_verifies_the_ledger_too(told, comply, monkeypatch):
    later = (datetime.now(UTC) + timedelta(days=1)).date()
    save("one.json", written("riskAssessment", time=ago(minutes=9)))
    save("two.json", written("riskAssessment", status="failed"))
    for name in ("one.json", "two.json"):
        assert comply("seal", name, "quorate.toml")[0] == 0
    append("note", {})
    monkeypatch.setattr("quorate.cli.comply.gathering.today", lambda: later)
    past = ("report", *POLICY, "--as-of", today())
    code, members = told(*past)
    assert (code, state(members, "EUAIACT-ART9-002")) == (0, "failed")
    tamper("UPDATE entries SET kind = 'note' WHERE seq = ?", entries() - 2)
    code, members = told(*past)
    assert code == 4
    assert state(members, "EUAIACT-ART9-002") == "missing"
    assert "does not verify" in members["broken"]
    assert any("Nothing in it counts" in each for each in members["notices"])


def test_a_past_day_sees_a_body_that_was_changed(told, comply, monkeypatch):
    save("one.json", written("riskAssessment"))
    assert comply("seal", "one.json", "quorate.toml")[0] == 0
    later = (datetime.now(UTC) + timedelta(days=1)).date()
    monkeypatch.setattr("quorate.cli.comply.gathering.today", lambda: later)
    past = ("report", *POLICY, "--as-of", today())
    assert told(*past)[0] == 0
    forge()
    code, members = told(*past)
    assert code == 4
    assert "entry 3" in members["broken"]
    assert members["report"]["score"] == "0"


def test_evidence_that_a_look_up_would_miss_is_found(comply, monkeypatch):
    """Should the verification be gone, the reading itself holds."""
    from quorate.cli.comply.standing import sealed_before
    from quorate.compliance import System
    from quorate.core.errors import VerificationError

    save("one.json", written("riskAssessment", status="failed"))
    assert comply("seal", "one.json", "quorate.toml")[0] == 0
    append("note", {})
    tamper("UPDATE entries SET kind = 'note' WHERE seq = ?", entries() - 2)
    with Ledger.open("sqlite:///ledger.db") as log, pytest.raises(VerificationError):
        sealed_before(log, System(name="triage", version="2.1.0"))


def test_what_was_sealed_after_a_day_does_not_displace_what_counted_on_it(comply):
    from quorate.cli.comply.standing import sealed_before
    from quorate.compliance import System

    save("one.json", written("riskAssessment", time=ago(minutes=9)))
    save("two.json", written("riskAssessment"))
    for name in ("one.json", "two.json"):
        assert comply("seal", name, "quorate.toml")[0] == 0
    with Ledger.open("sqlite:///ledger.db") as log:
        system = System(name="triage", version="2.1.0")
        until = log.get(len(log) - 2).entry.time
        (early,) = sealed_before(log, system, until=until).items
        (late,) = sealed_before(log, system).items
    assert (early.receipt.seq, late.receipt.seq) == (entries() - 2, entries() - 1)


# -- another system


def test_a_dossier_is_of_the_system_that_was_declared(comply):
    pytest.importorskip("jinja2", reason="needs quorate[reports]")
    text = Path("system.toml").read_text()
    Path("system.toml").write_text(text.replace('role = "provider"', 'role = "deployer"'))
    before = entries()
    code, _, err = comply("dossier", "quorate.toml", "-o", "dos", *POLICY)
    assert code == 2
    assert "role of triage 2.1.0 differ" in " ".join(err.split())
    assert not Path("dos").exists()
    assert entries() == before
    code, out, _ = comply("report", *POLICY)
    assert code == 0
    assert "follows from a role other than entry" in " ".join(out.split())
    again = ("declare", "system.toml", "quorate.toml", "--by", "J. Doe")
    assert comply(*again)[0] == 0
    assert comply("dossier", "quorate.toml", "-o", "dos", *POLICY)[0] == 0
    found = verify_dossier("dos", Policy.read("policy.toml"))
    assert found.report.system.role == "deployer"
    assert found.declared == before


def test_declare_says_what_it_sealed(comply, told):
    code, out, _ = comply("declare", "system.toml", "quorate.toml", "--by", "J. Doe")
    assert code == 0
    assert f"declared the entries from {entries() - 1} on" in " ".join(out.split())
    code, members = told("declare", "--by", "J. Doe", "--since", 0, "--silence", 60)
    assert code == 0
    assert members["declaration"]["since"] == 0
    assert members["declaration"]["silence_seconds"] == 60
    assert members["seq"] == entries() - 1
    for arguments, words in (
        (("--since", 999), "since is 999"),
        (("--since", -1), "--since"),
        (("--silence", 0), "--silence"),
    ):
        size = entries()
        code, _, err = comply("declare", "--by", "x", *arguments)
        assert code == 2
        assert words in err
        assert entries() == size
    Path("next.toml").write_text('name = "triage"\nversion = "3"\n')
    assert comply("declare", "next.toml", "--by", "x", "--since", 0)[0] == 2
    assert comply("declare", "next.toml", "--by", "x")[0] == 0


# -- the whole


def test_a_dossier_is_sealed_as_a_whole_and_the_ledger_still_verifies(comply, told):
    pytest.importorskip("jinja2", reason="needs quorate[reports]")
    code, members = told("dossier", "-o", "dos", "quorate.toml", "--seal", *POLICY)
    assert (code, members["sealed"]) == (0, True)
    code, members = told("verify", "dos", "--strict", *POLICY)
    assert (code, members["sealed"]) == (0, entries() - 1)
    assert run(["verify", "ledger.db", "--replay", *POLICY]) == 0
    code, out, _ = comply("verify", "dos", *POLICY)
    assert "seals all of it" in out
    assert "Nothing seals" not in out
    # Whoever takes the seal away leaves a dossier that says so.
    Path("dos/seal.json").unlink()
    code, out, _ = comply("verify", "dos", *POLICY)
    assert code == 0
    assert "Nothing seals the whole" in out
    assert comply("verify", "dos", "--strict", *POLICY)[0] == 3


def test_with_a_checkpoint_only_it_says_that_nothing_seals_the_whole(comply, told):
    pytest.importorskip("jinja2", reason="needs quorate[reports]")
    assert run(["ledger", "checkpoint", "--signer", "keys/ledger.key", "-o", "cp.note"]) == 0
    before = entries()
    code, _, err = comply("dossier", "-o", "dos", "ledger.db", *POLICY, "--checkpoint", "cp.note")
    assert code == 0
    assert "nothing seals the whole" in err
    assert entries() == before
    assert told("verify", "dos", *POLICY)[1]["sealed"] is None
    with_key = ("ledger.db", "--signer", "keys/ledger.key", "--checkpoint", "cp.note")
    shutil.rmtree("dos")
    assert comply("dossier", "-o", "dos", *with_key, *POLICY)[0] == 0
    assert told("verify", "dos", *POLICY)[1]["sealed"] == before
    assert json.loads(Path("dos/seal.json").read_text())["receipt"]["entry"]["kind"] == "dossier"
