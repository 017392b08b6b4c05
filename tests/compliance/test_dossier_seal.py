"""A dossier sealed as a whole, of a system that was declared, and what strangers make of it."""

import hashlib
import shutil
from dataclasses import replace
from types import SimpleNamespace

import pytest
from evidence_tools import DATA, KEY, ORIGIN, POLICY, SEALED, STRANGER, SYSTEM, TODAY, item
from page_tools import check

from quorate.compliance import EvidenceSet, System, evaluate
from quorate.compliance.declaring import declare_system
from quorate.compliance.dossier import sealed, verify_dossier, write_dossier, writing
from quorate.compliance.dossier.composing import manifest
from quorate.compliance.report import ComplianceReport
from quorate.core.canonical import canonical, parse
from quorate.core.errors import UsageError, VerificationError
from quorate.ledger import Bundle, Ledger, Policy

pytest.importorskip("jinja2", reason="needs quorate[reports]")

COLLECTED = "quorate.collect.event_logging"
LOGGED = DATA["log-range"] | {
    "range": DATA["log-range"]["range"] | {"last": 0}, "entries": 1, "kinds": {},
}  # fmt: skip


class Made:
    """A ledger with evidence on a declared system, and the dossier of it."""

    def __init__(self, folder, *, declared=SYSTEM, source=COLLECTED, **more):
        self.log = Ledger.open("memory:", signer=KEY, origin=ORIGIN, clock=lambda: SEALED)
        self.declared = None
        if declared is not None:
            self.declared = declare_system(self.log, declared, by='The "board"').seq
        made_of = [] if self.declared is None else [self.log.get(self.declared)]
        entries = [{"seq": each.seq, "hash": each.entry_hash} for each in made_of]
        items = [
            item("eventLogging", source=source, entries=entries, data=LOGGED),
            item("riskAssessment", status="failed", data={"reason": "reviews are late"}),
        ]
        bound = [each.sealed_by(self.log.append("evidence", each.body())) for each in items]
        self.evidence = EvidenceSet(SYSTEM, tuple(bound))
        self.bundles = self.log.bundles(range(len(self.log)))
        self.folder = written(folder, self.evidence, self.bundles, ledger=self.log, **more)


def reported(evidence, bundles, system=SYSTEM, day=TODAY):
    receipts = [each.receipt for each in bundles]
    return evaluate(evidence, "core", day, system=system, policy=POLICY, receipts=receipts)


def written(folder, evidence, bundles, system=SYSTEM, day=TODAY, policy=POLICY, **more):
    report = reported(evidence, bundles, system, day)
    return write_dossier(folder, report, evidence, bundles, policy, **more)


def again(folder, change=lambda items: items, **more):
    """Make it anew beside it, out of its own files, as whoever has it and no key can."""
    given = EvidenceSet.read(folder / "evidence.json")
    given = replace(given, items=tuple(change(given.items)), receipts=())
    bundles = [Bundle.parse(path.read_text()) for path in sorted(folder.glob("bundles/*"))]
    return written(folder.with_name("again"), given, bundles, **more)


def mended(folder):
    """Write the manifest again over what lies there."""
    files = {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and path.name not in {"manifest.json", "seal.json"}
    }
    report = ComplianceReport.from_dict(parse((folder / "report.json").read_text("utf-8")))
    (folder / "manifest.json").write_bytes(manifest(files, report))
    return folder


def found(folder, policy=POLICY):
    return [(each.path, each.rule) for each in verify_dossier(folder, policy).problems]


@pytest.fixture
def made(tmp_path):
    return Made(tmp_path / "d")


def test_it_is_sealed_and_says_so(made):
    report = verify_dossier(made.folder, POLICY)
    assert report.verified
    assert (report.sealed, report.declared) == (len(made.log) - 1, made.declared)
    told = report.describe()
    assert f"Entry {report.sealed} of {report.sealed_at} seals all of it." in told
    assert "Nothing seals" not in told
    assert "No entry in it declares" not in told
    raw = (made.folder / "manifest.json").read_bytes()
    body = made.log.get(report.sealed).payload
    assert body == {
        "rule": "dossier/1",
        "manifest": f"sha256:{hashlib.sha256(raw).hexdigest()}",
        "as_of": TODAY,
        "profile": "core",
        "system": {"name": SYSTEM.name, "version": SYSTEM.version},
        "declared": report.declared,
    }
    assert sealed.described(body).startswith("A dossier on ")
    made.log.verify(replay=True)
    page = check(
        (made.folder / "annex-iv.html").read_text("utf-8"),
        {str(path.relative_to(made.folder)) for path in made.folder.rglob("*")},
    )
    assert f"sealed in entry {made.declared}, for the entries from 0 on, by " in page.words
    assert "\"The 'board'\"" in page.words


@pytest.mark.parametrize(
    "change",
    [
        lambda items: [each for each in items if each.status == "passed"],
        lambda items: [*items, item("humanOversight", source="Notified body 0123")],
        lambda items: items[::-1],
    ],
)
def test_without_the_key_evidence_can_be_left_out_and_it_shows(made, change):
    other = again(made.folder, change)
    report = verify_dossier(other, POLICY)
    assert report.verified
    assert report.sealed is None
    assert "Nothing seals the whole" in report.describe()
    shutil.copy(made.folder / "seal.json", other)
    assert found(other) == [("seal.json", "seal")]


def test_nor_can_another_day_be_taken(made):
    other = again(made.folder, day="2026-11-22")
    shutil.copy(made.folder / "seal.json", other)
    assert found(other) == [("seal.json", "seal")]


@pytest.mark.parametrize(
    "changes",
    [{"role": "deployer"}, {"category": "annex_i"}, {"conditions": {"trains_models": False}}],
)
def test_what_is_asked_for_cannot_be_flipped(made, monkeypatch, changes):
    system = System.read(SYSTEM.to_dict() | changes)
    with pytest.raises(UsageError, match=f"{next(iter(changes))} of triage 2.1.0 differ"):
        again(made.folder, system=system)
    monkeypatch.setattr(writing, "refuse_undeclared", lambda *_: None)
    monkeypatch.setattr(writing, "verify_dossier", lambda *_: SimpleNamespace(verified=True))
    assert ("report.json", "system") in found(again(made.folder, system=system))


def test_nor_by_leaving_the_declaration_out(tmp_path, monkeypatch):
    one = item("eventLogging", source=COLLECTED)
    with Ledger.open("memory:", signer=KEY, origin=ORIGIN, clock=lambda: SEALED) as log:
        evidence = EvidenceSet(SYSTEM, (one.sealed_by(log.append("evidence", one.body())),))
        with pytest.raises(UsageError, match="no entry of that ledger declares triage"):
            written(tmp_path / "f", evidence, log.bundles([0]))
        bundles = log.bundles([0])
    with monkeypatch.context() as patched:
        patched.setattr(writing, "refuse_undeclared", lambda *_: None)
        patched.setattr(writing, "verify_dossier", lambda *_: SimpleNamespace(verified=True))
        other = written(tmp_path / "f", evidence, bundles)
    assert ("report.json", "system") in found(other)
    # Where nothing was collected, none is needed, and it says so.
    report = verify_dossier(Made(tmp_path / "e", declared=None, source="people").folder, POLICY)
    assert report.verified
    assert report.declared is None
    assert "No entry in it declares the system" in report.describe()


def test_the_last_declaration_counts(tmp_path):
    with Ledger.open("memory:", signer=KEY, origin=ORIGIN, clock=lambda: SEALED) as log:
        first = declare_system(log, SYSTEM, by="board")
        later = System.read(SYSTEM.to_dict() | {"role": "deployer"})
        last = declare_system(log, later, by="board")
        one = item("eventLogging", entries=[{"seq": first.seq, "hash": first.entry_hash}])
        evidence = EvidenceSet(SYSTEM, (one.sealed_by(log.append("evidence", one.body())),))
        bundles = log.bundles(range(3))
        with pytest.raises(UsageError, match=f"what entry {last.seq} declares"):
            written(tmp_path / "d", evidence, bundles)
        folder = written(tmp_path / "d", evidence, bundles, system=later)
    assert verify_dossier(folder, POLICY).declared == last.seq


def test_a_declaration_that_is_none(tmp_path):
    with Ledger.open("memory:", signer=KEY, origin=ORIGIN, clock=lambda: SEALED) as log:
        ref = log.append("system", {"rule": "system/2"})
        one = item("eventLogging", entries=[{"seq": ref.seq, "hash": ref.entry_hash}])
        evidence = EvidenceSet(SYSTEM, (one.sealed_by(log.append("evidence", one.body())),))
        with pytest.raises(UsageError, match="the declaration"):
            written(tmp_path / "d", evidence, log.bundles(range(2)))


def test_a_seal_by_a_stranger_or_of_something_else(made):
    folder = made.folder
    raw = (folder / "manifest.json").read_bytes()
    with Ledger.open("memory:", signer=STRANGER, origin=ORIGIN, clock=lambda: SEALED) as log:
        declared = declare_system(log, SYSTEM, by="a stranger").seq
        forged = sealed.seal_manifest(log, raw, parse(raw.decode()), declared)
    assert declared == made.declared
    (folder / "seal.json").write_text(forged.to_text())
    assert found(folder) == [("seal.json", "seal")]
    shutil.copy(folder / "bundles/000001.json", folder / "seal.json")
    assert found(folder) == [("seal.json", "seal")]
    elsewhere = "example.org/other"
    with Ledger.open("memory:", signer=KEY, origin=elsewhere, clock=lambda: SEALED) as log:
        declared = declare_system(log, SYSTEM, by="J. Doe").seq
        elsewhere = sealed.seal_manifest(log, raw, parse(raw.decode()), declared)
    (folder / "seal.json").write_text(elsewhere.to_text())
    assert found(folder, Policy.of([KEY.verifier])) == [("seal.json", "seal")]
    with Ledger.open("memory:", signer=KEY, origin=ORIGIN) as log:
        log.append("note", sealed.DossierSeal.of(raw, parse(raw.decode()), made.declared).to_dict())
        (folder / "seal.json").write_text(log.bundle(0).to_text())
    assert found(folder) == [("seal.json", "seal")]
    for rubbish in (b"", b"{}", b"\xff", b"[" * 100_000):
        (folder / "seal.json").write_bytes(rubbish)
        assert found(folder)[0][0] == "seal.json"


def test_no_manifest_lists_the_seal(made):
    members = parse((made.folder / "manifest.json").read_text())
    members["files"]["seal.json"] = {"sha256": "0" * 64, "bytes": 1}
    (made.folder / "manifest.json").write_bytes(canonical(members))
    assert ("seal.json", "path") in found(made.folder)


def test_it_is_sealed_in_the_log_of_its_evidence_only(tmp_path, made):
    size = len(made.log)
    with (
        Ledger.open("memory:", signer=KEY, origin="example.org/other") as other,
        pytest.raises(UsageError, match="seal the dossier in its own"),
    ):
        written(tmp_path / "e", made.evidence, made.bundles, ledger=other)
    report = reported(made.evidence, made.bundles)
    bad = replace(made.evidence, items=made.evidence.items[1:])
    with pytest.raises(UsageError, match="report is not what"):
        write_dossier(tmp_path / "e", report, bad, made.bundles, POLICY, ledger=made.log)
    assert len(made.log) == size


def test_what_does_not_verify_is_not_sealed(tmp_path, made, monkeypatch):
    size = len(made.log)
    problem = SimpleNamespace(describe=lambda: "all is wrong")
    monkeypatch.setattr(
        writing, "verify_dossier", lambda *_: SimpleNamespace(verified=False, problems=[problem])
    )
    with pytest.raises(VerificationError, match="all is wrong"):
        written(tmp_path / "e", made.evidence, made.bundles, ledger=made.log)
    assert len(made.log) == size
    assert not (tmp_path / "e").exists()


# -- what else whoever has no key could do


def test_a_manifest_of_another_version_says_nothing_else(made):
    folder = made.folder
    (folder / "seal.json").unlink()
    honest = parse((folder / "manifest.json").read_text())
    honest["tool"]["version"] = "0.0.1"
    (folder / "manifest.json").write_bytes(canonical(honest))
    assert verify_dossier(folder, POLICY).version == "0.0.1"
    for lie in (
        {"verdict": "compliant with the EU AI Act"},
        {"as_of": "2030-01-01"},
        {"system": {"name": "OTHER", "version": "9"}},
        {"tool": {"name": "quorate", "version": "0.0.1", "certified": True}},
        {"tool": {"name": "quorate"}},
    ):
        (folder / "manifest.json").write_bytes(canonical(honest | lie))
        assert found(folder) == [("manifest.json", "manifest")]


def test_a_policy_with_a_further_key(tmp_path, made):
    path = made.folder / "policy.toml"
    key = STRANGER.verifier.to_text()
    path.write_text(path.read_text().replace("keys = [", f'keys = ["{key}", '))
    (made.folder / "seal.json").unlink()
    assert found(mended(made.folder)) == [("policy.toml", "policy")]
    # Nor is a key that signed nothing written into one.
    both = Policy((STRANGER.verifier, KEY.verifier), 1, ORIGIN)
    folder = written(tmp_path / "e", made.evidence, made.bundles, policy=both)
    assert key not in (folder / "policy.toml").read_text()
    assert verify_dossier(folder, both).verified


@pytest.mark.parametrize("bound", [False, True])
def test_a_document_that_only_unsealed_evidence_names(tmp_path, made, monkeypatch, bound):
    document = tmp_path / "certificate.html"
    document.write_text("<h1>COMPLIANT</h1><script>alert(1)</script>")
    digest = f"sha256:{hashlib.sha256(document.read_bytes()).hexdigest()}"
    extra = item("technicalDocumentation", digest=digest, source="Notified body 0123")
    if bound:
        # It may name an entry, though that seals another item.
        extra = extra.sealed_by(made.bundles[1].receipt)

    def more(items):
        return (*items, extra)

    with pytest.raises(UsageError, match="no sealed evidence names the document"):
        again(made.folder, more, documents=[document])
    other = again(made.folder, more)
    (other / "documents").mkdir()
    shutil.copy(document, other / "documents")
    assert ("documents/certificate.html", "document") in found(mended(other))


def test_documents_are_to_be_saved_and_not_opened(tmp_path):
    document = tmp_path / "manual.html"
    document.write_text("<h1>manual</h1>")
    digest = f"sha256:{hashlib.sha256(document.read_bytes()).hexdigest()}"
    with Ledger.open("memory:", signer=KEY, origin=ORIGIN, clock=lambda: SEALED) as log:
        one = item("technicalDocumentation", digest=digest)
        evidence = EvidenceSet(SYSTEM, (one.sealed_by(log.append("evidence", one.body())),))
        folder = written(tmp_path / "d", evidence, log.bundles([0]), documents=[document])
    assert '<a href="documents/manual.html" download>' in (folder / "annex-iv.html").read_text()


def test_a_name_does_not_read_as_a_finding(tmp_path):
    name = 'This system is COMPLIANT with the EU AI Act" (certified'
    system = System(name=name, version="2")
    one = item("eventLogging", scope={"system": name, "version": "2"})
    with Ledger.open("memory:", signer=KEY, origin=ORIGIN, clock=lambda: SEALED) as log:
        evidence = EvidenceSet(system, (one.sealed_by(log.append("evidence", one.body())),))
        folder = written(tmp_path / "d", evidence, log.bundles([0]), system=system)
    quoted = '"This system is COMPLIANT with the EU AI Act\' (certified", version "2"'
    for page in ("report.html", "annex-iv.html"):
        links = {str(path.relative_to(folder)) for path in folder.rglob("*")}
        words = check((folder / page).read_text("utf-8"), links).words
        assert quoted in words
        assert words.count("COMPLIANT") == words.count('"This system is COMPLIANT')


# -- the sealed body


def body(**changes):
    scope = {"name": "triage", "version": "2.1.0"}
    good = {"rule": "dossier/1", "manifest": "sha256:" + "0" * 64, "as_of": TODAY,
            "profile": "core", "system": scope, "declared": None}  # fmt: skip
    return {name: each for name, each in (good | changes).items() if each is not ...}


def test_a_sealed_dossier_is_checked_again():
    sealed.replay("dossier", body())
    with pytest.raises(VerificationError, match="as 'note'"):
        sealed.replay("note", body())


@pytest.mark.parametrize(
    "changes",
    [
        {"rule": "dossier/2"}, {"manifest": "0" * 64}, {"manifest": "sha256:" + "G" * 64},
        {"manifest": None}, {"as_of": "today"}, {"as_of": 3}, {"profile": ""}, {"profile": ...},
        {"system": {"name": "triage"}}, {"system": None}, {"more": 1},
    ],
)  # fmt: skip
def test_a_body_of_another_shape_does_not_replay(changes):
    with pytest.raises(VerificationError) as refused:
        sealed.replay("dossier", body(**changes))
    assert refused.value.rule == "replay"
    with Ledger.open("memory:", signer=KEY) as log:
        log.append("dossier", body(**changes))
        if "rule" in body(**changes):
            with pytest.raises(VerificationError):
                log.verify(replay=True)


@pytest.mark.parametrize("wrong", [None, 3, [], "dossier"])
def test_no_object_does_not_replay(wrong):
    with pytest.raises(VerificationError):
        sealed.replay("dossier", wrong)
