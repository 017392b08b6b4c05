"""How far a ledger's end is pinned, and what it does not show: said in every form there is."""

import json
import shutil
from pathlib import Path

import pytest
from collect_tools import SYSTEM as NAMED
from comply_tools import POLICY as TRUST
from comply_tools import save, tamper, written
from evidence_tools import POLICY, SYSTEM, item
from page_tools import check
from report_tools import edited, found, made, mended, reported, several_states

from quorate.cli.app import run
from quorate.compliance import EvidenceSet
from quorate.compliance.collect import survey
from quorate.compliance.coverage import HEADING, Coverage, Lacking
from quorate.compliance.dossier import verify_dossier, write_dossier
from quorate.compliance.rendering import render_html, render_markdown, render_terminal
from quorate.core.errors import UsageError

pytest.importorskip("jinja2", reason="needs quorate[reports]")

LACKING = (
    Lacking("one", ("art_12.par_1", "eventLogging"), "nobody <b>declared</b> how long"),
    Lacking("two", ("art_9.par_8",), "no measurement is there"),
    Lacking("three", ("art_15.par_1",), "no measurement is there"),
)
UNSEEN = "cannot be seen without a checkpoint kept elsewhere"
ORIGIN = "example.org/evidence"


def covered(pinned=None, size=17):
    return Coverage(ORIGIN, size, pinned, LACKING)


@pytest.mark.parametrize(
    ("pinned", "complete", "words"),
    [
        (None, False, UNSEEN),
        (17, True, "the checkpoint pins exactly these, so none was cut off the end"),
        (16, False, "pins the first 16 entries, and entries cut off after those cannot be seen"),
        (1, False, "pins the first entry, and entries cut off after those cannot be seen"),
        (0, False, "pins the first 0 entries"),
    ],
)
def test_only_a_checkpoint_of_all_entries_shows_that_none_was_cut_off(pinned, complete, words):
    one = covered(pinned)
    assert one.complete is complete
    assert words in one.describe()
    assert one.tail() == {
        "size": 17, "pinned": pinned, "proven": complete, "told": one.describe(),
    }  # fmt: skip
    told = dict(one.gaps())
    assert ("that nothing was cut off the end" in told) is not complete
    # A reason that several share is told once, with all that it is of.
    assert told["art_9.par_8, art_15.par_1"] == "no measurement is there"
    assert Coverage.from_dict(json.loads(json.dumps(one.to_dict()))) == one


@pytest.mark.parametrize(
    "change",
    [
        {"format": "quorate/coverage/2"},
        {"size": True},
        {"size": -1},
        {"size": "17"},
        {"pinned": 18},
        {"pinned": False},
        {"lacking": [{"collector": "one", "fields": [3], "reason": ""}]},
        {"lacking": [{"collector": "one", "fields": [], "reason": "", "more": 1}]},
        {"lacking": None},
        {"origin": ""},
        {"more": 1},
    ],
)
def test_another_shape_is_none(change):
    with pytest.raises((UsageError, TypeError)):
        Coverage.from_dict(covered().to_dict() | change)


@pytest.mark.parametrize("pinned", [None, 9, 17])
def test_every_form_of_a_report_says_it(pinned):
    evidence, _ = several_states()
    report, one = reported(evidence), covered(pinned)
    page = check(render_html(report, coverage=one)).words
    forms = (
        " ".join(render_terminal(report, coverage=one).split()),
        render_markdown(report, coverage=one).replace("\\", ""),
        page,
    )
    for told in forms:
        assert " ".join(one.describe().split()) in told
        assert HEADING in told
        assert "no measurement is there" in told
        assert "nobody <b>declared</b> how long" in told
        assert ("quorate ledger checkpoint -o checkpoint.note" in told) is (pinned != 17)
    for told in (render_terminal(report), render_markdown(report), render_html(report)):
        assert HEADING not in told


def test_what_is_gapless_says_so_unless_all_is_pinned():
    evidence, _ = made([item("eventLogging", source="quorate.collect.event_logging")])
    report = reported(evidence)
    assert report.result("EUAIACT-ART12-001").state == "shown"
    remark = "entries cut off the end cannot be seen without a checkpoint"
    for coverage in (None, covered(), covered(3)):
        assert remark in " ".join(render_markdown(report, coverage=coverage).split())
    assert remark not in " ".join(render_markdown(report, coverage=covered(17)).split())


# -- of a ledger


def test_a_cut_tail_is_said_not_to_be_seen_and_then_it_is_seen(comply, told):
    assert run(["ledger", "checkpoint", "--signer", "keys/ledger.key", "-o", "cp.note"]) == 0
    _, members = told("report", *TRUST, "--checkpoint", "cp.note")
    assert members["tail"]["proven"] is True
    size = members["tail"]["size"]
    tamper("DELETE FROM entries WHERE seq = ?", size - 1)
    code, members = told("report", *TRUST, "--html", "r.html", "--markdown", "r.md")
    assert code == 0
    assert (members["tail"]["size"], members["tail"]["proven"]) == (size - 1, False)
    assert UNSEEN in members["tail"]["told"]
    assert UNSEEN in " ".join(comply("report", *TRUST)[1].split())
    for name in ("r.html", "r.md"):
        assert UNSEEN in Path(name).read_text("utf-8")
        for one in members["lacking"]:
            assert one["fields"][0].replace("_", r"\_") in Path("r.md").read_text("utf-8")
    _, members = told("collect", *TRUST)
    assert members["tail"]["proven"] is False
    assert UNSEEN in comply("collect", *TRUST)[1]
    code, members = told("report", *TRUST, "--checkpoint", "cp.note")
    assert (code, members["tail"]) == (4, None)
    code, members = told("report", *TRUST, "--as-of", "2026-07-26")
    assert members["tail"]["proven"] is False


def test_every_entry_is_verified_and_read_step_by_step(place):
    steps = []
    with place.open() as ledger:
        survey(
            ledger,
            policy=place.policy,
            system=NAMED,
            now=place.clock.moment,
            progress=lambda done, total: steps.append((done, total)),
        )
        size = len(ledger)
    assert steps == [(done, 2 * size) for done in range(1, 2 * size + 1)]


# -- in a dossier


@pytest.fixture(scope="module")
def honest(tmp_path_factory):
    evidence, bundles = several_states()
    folder = tmp_path_factory.mktemp("covered") / "d"
    return write_dossier(folder, reported(evidence), evidence, bundles, POLICY, coverage=covered())


@pytest.fixture
def folder(honest, tmp_path):
    return shutil.copytree(honest, tmp_path / "d")


def test_a_dossier_says_it_on_every_page_and_verifies(folder):
    assert verify_dossier(folder, POLICY).verified
    assert Coverage.from_dict(json.loads((folder / "coverage.json").read_text())) == covered()
    for name in ("report.html", "annex-iv.html", "report.md", "annex-iv.md"):
        text = (folder / name).read_text("utf-8").replace("\\", "")
        assert UNSEEN in text
        assert HEADING in text
        assert "no measurement is there" in text


def test_a_dossier_that_says_less_or_more_of_its_ledger_is_found(folder):
    (folder / "coverage.json").unlink()
    assert ("report.md", "page") in found(mended(folder))
    (folder / "coverage.json").write_text(json.dumps(covered(5).to_dict(), indent=1) + "\n")
    assert ("coverage.json", "coverage") in found(mended(folder))
    other = Coverage("example.org/other", 17, None, LACKING)
    (folder / "coverage.json").write_text(json.dumps(other.to_dict(), indent=1) + "\n")
    assert ("coverage.json", "coverage") in found(mended(folder))
    (folder / "coverage.json").write_text("[]")
    assert found(mended(folder)) == [("coverage.json", "coverage")]


def test_what_it_lacks_cannot_be_taken_from_the_pages(folder):
    edited(folder / "coverage.json", lambda members: members["lacking"].clear())
    assert {("report.md", "page"), ("annex-iv.html", "page")} <= set(found(mended(folder)))


def test_no_dossier_is_written_that_says_more_than_its_entries_hold(tmp_path):
    evidence, bundles = several_states()
    for one, words in (
        (covered(5), "the one of the bundles pins 17"),
        (Coverage("example.org/other", 17), "the evidence lies in example.org/evidence"),
    ):
        with pytest.raises(UsageError, match=words):
            write_dossier(
                tmp_path / "d", reported(evidence), evidence, bundles, POLICY, coverage=one
            )
    loose = EvidenceSet(SYSTEM, (item("eventLogging"),))
    with pytest.raises(UsageError, match="nothing holds it to one"):
        write_dossier(tmp_path / "d", reported(loose), loose, [], POLICY, coverage=covered())
    assert not (tmp_path / "d").exists()


def test_a_dossier_that_nothing_ties_to_a_ledger_says_so_first(tmp_path):
    loose = EvidenceSet(SYSTEM, (item("eventLogging"), item("riskAssessment")))
    folder = write_dossier(tmp_path / "d", reported(loose), loose, [], POLICY)
    for policy in (POLICY, None):
        found_ = verify_dossier(folder, policy)
        first, second = found_.describe().splitlines()[:2]
        assert "NOTHING TIES IT TO A LEDGER" in first
        assert "verified" not in first
        assert "anybody could have written it, with no key at all" in second
        assert (found_.tied, found_.bound, found_.to_dict()["tied"]) == (False, 0, False)
    for name in ("report.html", "report.md"):
        assert "This dossier is of no ledger" in (folder / name).read_text("utf-8")


def test_items_that_no_entry_seals_are_counted(tmp_path):
    evidence, bundles = made([item("eventLogging")], unsealed=[item("riskAssessment")])
    folder = write_dossier(tmp_path / "d", reported(evidence), evidence, bundles, POLICY)
    found_ = verify_dossier(folder, POLICY)
    assert (found_.tied, found_.bound, found_.items) == (True, 1, 2)
    assert "1 of the 2 items of evidence is sealed in no entry" in found_.describe()


def test_the_command_writes_what_it_found_of_the_ledger(comply, told):
    assert run(["ledger", "checkpoint", "--signer", "keys/ledger.key", "-o", "cp.note"]) == 0
    save("e.json", written("riskAssessment"))
    brought = ("dossier", "ledger.db", "--evidence", "e.json", *TRUST)
    code, members = told(*brought, "--checkpoint", "cp.note", "-o", "d")
    assert code == 0
    assert members["tail"]["proven"] is True
    # The declaration is bundled, so the dossier is tied to the ledger that it speaks of.
    one = Coverage.from_dict(json.loads(Path("d/coverage.json").read_text()))
    assert one.complete
    assert one.lacking
    code, _, err = comply("dossier", "quorate.toml", "-o", "e", "--seal", *TRUST)
    assert code == 0
    assert UNSEEN in " ".join(err.split())
    assert comply("verify", "e", *TRUST, "--strict")[0] == 0
