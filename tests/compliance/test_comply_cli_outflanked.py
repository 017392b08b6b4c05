"""Ways around what the ledger shows, through the commands alone: none makes a report better."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from comply_tools import POLICY, ago, save, today, written

from quorate.compliance import ComplianceReport, Evidence, load_catalogue
from quorate.compliance.dossier import verify_dossier
from quorate.ledger import Policy

GIVEN = ("quorate.toml", *POLICY, "--profile", "full")


def state(members, name):
    return ComplianceReport.from_dict(members["report"]).result(name).state


def in_dossier(name, folder="dos"):
    """The state of a check in the dossier that lies here, and what it says is not shown."""
    found = verify_dossier(folder, Policy.read("policy.toml"))
    assert found.verified
    lacking = json.loads(Path(folder, "coverage.json").read_text())["lacking"]
    return found.report.result(name).state, " ".join(each["reason"] for each in lacking)


@pytest.fixture
def tomorrow(monkeypatch):
    """Have it be tomorrow, so that today is a past day."""

    def call():
        later = (datetime.now(UTC) + timedelta(days=1)).date()
        monkeypatch.setattr("quorate.cli.comply.gathering.today", lambda: later)

    return call


@pytest.fixture
def measured(told):
    """Seal a threshold and a result."""

    def call(at_least, value=None, dataset="tasks.jsonl"):
        given = ("recall", "quorate.toml", "--at-least", at_least, "--by", "QA")
        _, fixed = told("threshold", *given)
        if value is not None:
            told(
                "measure", fixed["seq"], value, "quorate.toml", "--samples", 8, "--dataset",
                dataset,
            )  # fmt: skip
        return fixed["seq"]

    return call


# -- what the ledger no longer shows


def test_what_a_collector_shows_no_more_does_not_stand(measured, told, comply):
    pytest.importorskip("jinja2", reason="needs quorate[reports]")
    measured("0.5", "0.6")
    told("collect", "quorate.toml", "--seal", *POLICY)
    for name in ("art_9.par_8", "art_15.par_1"):
        assert state(told("report", *GIVEN)[1], name) == "shown"
    # A stricter threshold that nobody measures against.
    measured("0.99")
    _, members = told("report", *GIVEN)
    for name in ("art_9.par_8", "art_15.par_1"):
        assert state(members, name) == "missing"
        words = f"The ledger does not show {name}, as entry"
        assert any(words in each and "left out" in each for each in members["notices"])
    assert comply("dossier", *GIVEN, "-o", "dos")[0] == 0
    found, lacking = in_dossier("art_9.par_8")
    assert found == "missing"
    assert "(recall at least 0.99) has no result yet" in lacking


def test_nor_by_a_panel_that_bears_nothing(told, comply):
    from quorate.cli.app import run

    told("collect", "quorate.toml", "--seal", *POLICY)
    name = "art_15.par_4.s2"
    assert state(told("report", *GIVEN)[1], name) == "shown"
    # From now on one expert decides.
    text = Path("quorate.toml").read_text()
    first = text.index("[[experts]]")
    Path("quorate.toml").write_text(text[: text.index("[[experts]]", first + 5)])
    Path("more.jsonl").write_text(Path("tasks.jsonl").read_text().replace('"m', '"n'))
    assert run(["run", "quorate.toml", "more.jsonl", "-o", "more.out"]) in (0, 3)
    _, members = told("report", *GIVEN)
    assert state(members, name) == "missing"
    assert any("bears no faulty expert at all" in each for each in members["notices"])


def test_what_lacks_only_a_checkpoint_stands(told):
    """It was found with one; that this call was given none denies nothing."""
    from quorate.cli.comply.standing import sealed_before
    from quorate.compliance import System
    from quorate.compliance.collect import Survey
    from quorate.compliance.coverage import Lacking
    from quorate.ledger import Ledger

    told("collect", "quorate.toml", "--seal", *POLICY)
    lack = Lacking("gapless_logging", ("art_12.par_1",), "no checkpoint was given")
    with Ledger.open("sqlite:///ledger.db") as log:
        for untold, there in ((frozenset({"gapless_logging"}), True), (frozenset(), False)):
            survey = Survey((), (lack,), None, len(log), None, untold)
            system = System(name="triage", version="2.1.0")
            items = sealed_before(log, system, survey=survey).items
            assert ("art_12.par_1" in {each.field for each in items}) is there


def test_a_collector_that_is_not_asked_retires_by_later_entries_only(here):
    """One of somebody's own, not registered here: what it sealed later is of later entries."""
    from quorate.cli.comply.standing import sealed_before
    from quorate.compliance import System
    from quorate.ledger import Ledger, read_signer

    def found(log, status, seq, minutes):
        entries = [{"seq": seq, "hash": log.get(seq).entry_hash}]
        body = written(
            "riskAssessment", status=status, source="quorate.collect.mine", entries=entries,
            time=ago(minutes=minutes),
        )  # fmt: skip
        log.append("evidence", Evidence.read(body).body())

    def statuses(log):
        standing = sealed_before(log, System(name="triage", version="2.1.0"))
        return {each.status for each in standing.items}

    with Ledger.open("sqlite:///ledger.db", signer=read_signer(Path("keys/ledger.key"))) as log:
        found(log, "failed", 5, 9)
        found(log, "passed", 5, 8)
        assert "failed" in statuses(log)
        found(log, "passed", 6, 7)
        assert statuses(log) == {"passed"}


# -- a silence that is declared as normal afterwards


def test_a_failure_is_not_retired_by_declaring_a_longer_silence(told, comply, finished_soon):
    told("collect", "quorate.toml", "--seal", *POLICY)
    assert state(told("report", "quorate.toml", *POLICY)[1], "EUAIACT-ART12-001") == "failed"
    again = ("declare", "system.toml", "quorate.toml", "--silence", 2_678_400, "--by", "J. Doe")
    assert comply(*again)[0] == 0
    _, members = told("report", "quorate.toml", "--seal", *POLICY)
    assert state(members, "EUAIACT-ART12-001") == "failed"
    reasons = ComplianceReport.from_dict(members["report"]).result("EUAIACT-ART12-001").reasons
    assert any("longer than the 1 declared as normal" in each for each in reasons)


@pytest.fixture
def finished_soon(comply):
    """Have a second of silence declared as the longest, and more than that go by."""
    import time

    again = ("declare", "system.toml", "quorate.toml", "--silence", 1, "--by", "J. Doe")
    assert comply(*again)[0] == 0
    time.sleep(1.2)
    assert comply("declare", "system.toml", "quorate.toml", "--silence", 1, "--by", "x")[0] == 0


# -- a day that is past


def test_what_failed_on_a_past_day_failed(measured, told, comply, tomorrow):
    pytest.importorskip("jinja2", reason="needs quorate[reports]")
    seq = measured("0.9", "0.95")
    told("collect", "quorate.toml", "--seal", *POLICY)
    told("measure", seq, "0.2", "quorate.toml", "--samples", 8, "--dataset", "tasks.jsonl")
    tomorrow()
    _, members = told("report", *GIVEN, "--as-of", today())
    assert (state(members, "art_9.par_8"), state(members, "art_15.par_1")) == ("failed", "failed")
    assert members["collected"] == 0
    assert comply("dossier", *GIVEN, "--as-of", today(), "-o", "dos")[0] == 0
    for name in ("art_9.par_8", "art_15.par_1"):
        assert in_dossier(name)[0] == "failed"


def test_what_the_ledger_did_not_show_on_a_past_day_does_not_stand(
    measured, told, comply, tomorrow
):
    pytest.importorskip("jinja2", reason="needs quorate[reports]")
    measured("0.5", "0.6")
    told("collect", "quorate.toml", "--seal", *POLICY)
    measured("0.99")
    tomorrow()
    assert comply("dossier", *GIVEN, "--as-of", today(), "-o", "dos")[0] == 0
    found, lacking = in_dossier("art_9.par_8")
    assert found == "missing"
    assert "has no result yet" in lacking


def test_on_a_past_day_nothing_is_collected_but_what_failed(told, tomorrow):
    tomorrow()
    _, members = told("report", *GIVEN, "--as-of", today())
    assert state(members, "art_12.par_1") == "missing"
    told("collect", "quorate.toml", "--seal", *POLICY)
    assert state(told("report", *GIVEN, "--as-of", today())[1], "art_12.par_1") == "shown"


# -- what people type


def test_numbers_that_people_type_rest_on_what_they_wrote(told, comply):
    items = [
        written(field, source="Ops", digest=None)
        for field in ("eventLogging", "overrideControl", "transparencyDesign")
    ]
    save("hand.json", *items)
    assert comply("seal", "hand.json", "quorate.toml")[0] == 0
    code, out, _ = comply("report", "quorate.toml", *POLICY)
    assert code == 0
    assert "3 of the 3 shown rest on what people wrote, texts or numbers" in " ".join(out.split())


def test_a_source_that_reads_as_a_collector_s_is_refused(comply, told):
    save("hand.json", written("overrideControl", source="quorate\u2024collect.both_drills"))
    code, _, err = comply("seal", "hand.json", "quorate.toml")
    assert code == 2
    assert "reads as a collector's and is none" in " ".join(err.split())
    assert comply("threshold", "recall", "quorate.toml", "--at-least", "-1", "--by", "x")[0] == 2


# -- a declaration that came after what it claims


def test_every_report_says_that_the_declaration_came_later(told, comply):
    pytest.importorskip("jinja2", reason="needs quorate[reports]")
    words = "after what it claims, which reaches back to"
    saved = ("--html", "r.html", "--markdown", "r.md")
    code, out, _ = comply("report", "quorate.toml", *POLICY, *saved)
    assert code == 0
    assert words in " ".join(out.split())
    assert comply("dossier", *GIVEN, "-o", "dos")[0] == 0
    for name in ("r.html", "r.md", "dos/report.html", "dos/report.md", "dos/annex-iv.md"):
        assert words in " ".join(Path(name).read_text("utf-8").split())


# -- policies that name no log, and profiles that rename the law


def test_a_policy_that_names_no_log_is_told(comply, told):
    pytest.importorskip("jinja2", reason="needs quorate[reports]")
    words = "olicy names no log: what the same keys sealed in any other log counts too"
    assert comply("dossier", *GIVEN, "-o", "dos")[0] == 0
    key = ("--key", "keys/ledger.pub")
    code, _, err = comply("verify", "dos", *key)
    assert code == 0
    assert words in " ".join(err.split())
    save("one.json", written("riskAssessment", time=ago(minutes=9)))
    assert comply("seal", "one.json", "quorate.toml", "-o", "sealed.json")[0] == 0
    code, out, _ = comply("evaluate", "sealed.json", *key)
    assert code == 0
    assert words in " ".join(out.split())
    Path("bound.toml").write_text(
        f'origin = "{told("report", *GIVEN)[1]["ledger"]}"\nkeys = ["{key_text()}"]\n'
    )
    code, out, _ = comply("evaluate", "sealed.json", "--policy", "bound.toml")
    assert code == 0
    assert words not in " ".join(out.split())


def key_text():
    return Path("keys/ledger.pub").read_text().strip()


def test_what_is_brought_from_another_log_is_told(told, comply, tmp_path):
    from quorate.ledger import Ledger, read_signer

    save("one.json", written("riskAssessment"))
    signer = read_signer(Path("keys/ledger.key"))
    with Ledger.open("sqlite:///other.db", signer=signer):
        pass
    sealing = ("--signer", "keys/ledger.key", "-o", "sealed.json")
    assert comply("seal", "one.json", "other.db", *sealing)[0] == 0
    key = ("--key", "keys/ledger.pub")
    _, members = told("report", "quorate.toml", *key, "--evidence", "sealed.json")
    assert any("sealed in another log than" in each for each in members["notices"])
    assert not any(
        "another log" in each for each in told("report", "quorate.toml", *key)[1]["notices"]
    )


def test_a_profile_renames_no_article_of_the_law(told):
    Path("own.toml").write_text(
        'format = "quorate/profile/1"\nname = "own"\ntitle = "Own"\n'
        '[groups]\n"12" = "Records: this article is met"\n'
        '[[checks]]\nid = "OWN-1"\ntitle = "Events that matter"\narticle = "12"\n'
        'obligations = ["art_12.par_2.a"]\nfield = "art_12.par_2.a"\nseverity = "blocker"\n'
    )
    code, members = told("report", "quorate.toml", *POLICY, "--profile", "./own.toml")
    assert code == 0, members
    (article,) = members["report"]["articles"]
    assert article["title"] == load_catalogue().articles["12"]
