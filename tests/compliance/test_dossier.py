"""A dossier: written whole or not at all, holding what it should, and found to check out."""

import hashlib
import json
import re
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from evidence_tools import KEY, POLICY, STRANGER, SYSTEM, TODAY, core_items, data_for, form_of, item
from page_tools import check
from report_tools import NASTY, made, reported, several_states

import quorate
from quorate.compliance import DISCLAIMER, EvidenceSet, System, evaluate, load_catalogue
from quorate.compliance.dossier import verify_dossier, write_dossier
from quorate.compliance.dossier.annex import TITLES
from quorate.compliance.dossier.data import laid_out
from quorate.compliance.rendering.words import reference
from quorate.core.canonical import canonical, parse
from quorate.core.errors import OperationalError, UsageError, VerificationError
from quorate.core.identity import HmacSigner
from quorate.ledger import Bundle, Ledger, Policy

pytest.importorskip("jinja2", reason="needs quorate[reports]")


def write(folder, evidence, bundles, *, profile="core", policy=POLICY, **more):
    report = reported(evidence, profile, policy)
    return write_dossier(folder, report, evidence, bundles, policy, profile=profile, **more)


def files_of(folder):
    return sorted(str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file())


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    folder = tmp_path_factory.mktemp("dossiers") / "one"
    evidence, bundles = several_states()
    return write(folder, evidence, bundles)


def test_it_holds_what_it_says_and_verifies(written):
    evidence, _ = several_states()
    named = {i.receipt.seq for i in evidence.items if i.receipt}
    named |= {each.seq for i in evidence.items for each in i.entries}
    assert files_of(written) == sorted(
        [
            "annex-iv.html", "annex-iv.md", "checkpoint.note", "evidence.json", "manifest.json",
            "policy.toml", "report.html", "report.json", "report.md",
            *(f"bundles/{seq:06d}.json" for seq in named),
        ]
    )  # fmt: skip
    found = verify_dossier(written, POLICY)
    assert found.verified
    assert not found.own_policy
    assert found.report == reported(evidence)
    assert (found.bundles, found.items) == (len(named), len(evidence.items))
    assert found.size == 17
    told = found.describe()
    assert told.startswith("verified dossier")
    assert DISCLAIMER in " ".join(told.split())
    assert "What was left out, only the ledger can show" in told


def test_with_its_own_policy_it_says_how_little_that_shows(written):
    found = verify_dossier(written)
    assert found.verified
    assert found.own_policy
    assert "not who made it" in found.describe()
    assert "--policy" in found.describe()


def test_the_manifest_is_canonical_and_names_the_tool(written):
    raw = (written / "manifest.json").read_bytes()
    members = parse(raw.decode())
    assert canonical(members) == raw
    assert members["tool"] == {"name": "quorate", "version": quorate.__version__}
    assert members["files"].keys() == set(files_of(written)) - {"manifest.json"}
    for path, facts in members["files"].items():
        content = (written / path).read_bytes()
        assert facts == {"sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content)}


def test_each_bundle_stands_on_its_own(written):
    notes = set()
    for path in (written / "bundles").iterdir():
        bundle = Bundle.parse(path.read_text("utf-8"))
        bundle.verify(POLICY)
        assert path.name == f"{bundle.seq:06d}.json"
        notes.add(bundle.note)
    assert notes == {(written / "checkpoint.note").read_text("utf-8")}
    own = Policy.read(written / "policy.toml")
    assert [each.key_id for each in own.verifiers] == [KEY.verifier.key_id]
    assert (own.signatures, own.origin) == (POLICY.signatures, POLICY.origin)


def test_the_evidence_in_it_can_be_evaluated_alone(written):
    given = EvidenceSet.read(written / "evidence.json")
    assert reported(given) == reported(several_states()[0])


def test_its_pages_are_closed_and_lead_only_to_its_own_files(written):
    links = {path for path in files_of(written) if not path.endswith(".md")}
    for name in ("report.html", "annex-iv.html"):
        page = check((written / name).read_text("utf-8"), links)
        assert {a["href"] for a in page.of("a")} & {path for path in links if "bundles" in path}
    for name in ("report.md", "annex-iv.md"):
        text = (written / name).read_text("utf-8")
        assert set(re.findall(r"(?<!\\)\]\(([^)]+)\)", text)) <= links
        assert all(line.isprintable() for line in text.splitlines())


def test_annex_iv_is_told_point_by_point(written):
    page = check((written / "annex-iv.html").read_text("utf-8"), set(files_of(written)))
    markdown = (written / "annex-iv.md").read_text("utf-8")
    for number, title in TITLES.items():
        assert f"Annex IV({number}): {title}" in page.words
        assert f"## Annex IV({number}): {title}" in markdown
    points = [id_ for id_ in load_catalogue().at(TODAY) if id_.startswith("annex_iv.")]
    assert len(points) == 23
    for id_ in points:
        assert [text.startswith(f"{reference(id_)}: ") for tag, text in page.texts
                if tag == "h3"].count(True) == 1  # fmt: skip
        assert f"### {reference(id_)}: " in markdown
    heads = [text for tag, text in page.texts if tag in {"h2", "h3"}]
    assert heads.index("Annex IV(9): Monitoring on the market (Article 72)") < heads.index(
        "For people to judge"
    )
    assert page.words.count(DISCLAIMER) == 2


def test_evidence_is_laid_out_to_be_read(written):
    for text in (
        check((written / "annex-iv.html").read_text("utf-8"), set(files_of(written))).words,
        (written / "annex-iv.md").read_text("utf-8").replace("\\", ""),
    ):
        assert "wrong triage" in text
        assert "a rare symptom is taken for a common one" in text
        assert "part of EUAIACT-ART9-001" in text.replace("Part of", "part of")
        assert "none of its own" in text
        assert "In the documentation Technical documentation" in text


def test_its_own_profile_and_documents_lie_in_it(tmp_path):
    document = tmp_path / "../docs of" / "Technical documentation (7).pdf"
    document.parent.mkdir(exist_ok=True)
    document.write_bytes(b"%PDF the documentation")
    digest = f"sha256:{hashlib.sha256(document.read_bytes()).hexdigest()}"
    profile = tmp_path / "own.toml"
    profile.write_text(
        'format = "quorate/profile/1"\nname = "bank"\ntitle = "What we ask"\n[[checks]]\n'
        'id = "B1"\ntitle = "Documented"\narticle = "11"\nobligations = ["art_11.par_1"]\n'
        'field = "technicalDocumentation"\nseverity = "blocker"\n'
    )
    evidence, bundles = made([item("technicalDocumentation", digest=digest)])
    folder = write(tmp_path / "d", evidence, bundles, profile=str(profile), documents=[document])
    assert (
        folder / "documents/Technical-documentation-7-.pdf"
    ).read_bytes() == b"%PDF the documentation"
    assert (folder / "profile.toml").read_text() == profile.read_text()
    assert (
        'href="documents/Technical-documentation-7-.pdf"' in (folder / "annex-iv.html").read_text()
    )
    found = verify_dossier(folder, POLICY)
    assert found.verified
    assert found.report.profile == "bank"
    for name in ("report.html", "annex-iv.html"):
        page = check((folder / name).read_text("utf-8"), set(files_of(folder)))
        assert f'one\'s own, named "bank", {found.report.profile_digest}' in page.words
    other = tmp_path / "other.txt"
    other.write_text("nobody speaks of it")
    with pytest.raises(UsageError, match="no sealed evidence names the document"):
        write(tmp_path / "e", evidence, bundles, profile=str(profile), documents=[other])
    with pytest.raises(UsageError, match="a name of its own"):
        write(tmp_path / "e", evidence, bundles, profile=str(profile), documents=[document] * 2)


def test_without_sealed_evidence_it_says_so(tmp_path):
    evidence = EvidenceSet(SYSTEM, (item("eventLogging"),))
    folder = write(tmp_path / "d", evidence, [])
    assert not (folder / "checkpoint.note").exists()
    found = verify_dossier(folder, POLICY)
    assert found.verified
    assert found.report.unsigned == ("EUAIACT-ART12-001",)
    assert "nothing ties it to a ledger" in (folder / "annex-iv.md").read_text()


def test_bundles_that_nothing_names_are_left_out(tmp_path):
    evidence, bundles = made([item("riskAssessment"), item("eventLogging")], before=0)
    one = replace(evidence, items=evidence.items[:1])
    folder = write(tmp_path / "d", one, bundles)
    assert [path.name for path in (folder / "bundles").iterdir()] == ["000000.json"]


def test_it_is_written_into_an_empty_folder_only(tmp_path):
    evidence, bundles = made([item("eventLogging")])
    (tmp_path / "empty").mkdir()
    write(tmp_path / "empty", evidence, bundles)
    for name, words in (
        ("empty", "is not empty"), ("file", "is no folder"), ("link", "symbolic link"),
        ("a/b", "no folder"),
    ):  # fmt: skip
        (tmp_path / "file").write_text("")
        if not (tmp_path / "link").is_symlink():
            (tmp_path / "link").symlink_to(tmp_path / "empty")
        before = files_of(tmp_path)
        with pytest.raises(UsageError, match=words):
            write(tmp_path / name, evidence, bundles)
        assert files_of(tmp_path) == before


def test_nothing_is_left_where_writing_fails(tmp_path, monkeypatch):
    evidence, bundles = made([item("eventLogging")])
    begun = []

    def full_disk(fd):
        begun.append(fd)
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full_disk)
    with pytest.raises(OperationalError, match="No space left"):
        write(tmp_path / "d", evidence, bundles)
    assert begun
    assert list(tmp_path.iterdir()) == []


def test_what_would_not_verify_is_not_written(tmp_path):
    evidence, bundles = several_states()
    report = reported(evidence)
    bad = [
        (evaluate(evidence, "core", "2026-11-22", policy=POLICY), evidence, bundles, None),
        (report, replace(evidence, items=evidence.items[1:]), bundles, "report is not what"),
        (report, evidence, bundles[:5], "have no bundle here"),
        (reported(evidence, "full"), evidence, bundles, "report is not what"),
    ]
    for number, (one, given, proofs, words) in enumerate(bad):
        if words is None:
            write_dossier(tmp_path / str(number), one, given, proofs, POLICY)
            continue
        with pytest.raises(UsageError, match=words):
            write_dossier(tmp_path / str(number), one, given, proofs, POLICY)
        assert not (tmp_path / str(number)).exists()


def test_bundles_of_a_stranger_or_of_other_entries_are_refused(tmp_path):
    evidence, bundles = several_states()
    strange = Policy.of([STRANGER.verifier])
    with pytest.raises(VerificationError) as refused:
        write(tmp_path / "d", evidence, bundles, policy=strange)
    assert refused.value.rule == "signature"
    _, others = made([item(field) for field in ("riskAssessment",) * 14])
    with pytest.raises(UsageError, match="no bundle here with that hash"):
        write(tmp_path / "d", evidence, others)


def test_evidence_of_several_logs_is_refused(tmp_path):
    evidence, bundles = made([item("eventLogging")])
    with Ledger.open("memory:", signer=KEY, origin="example.org/other") as log:
        other = item("riskAssessment")
        bound = other.sealed_by(log.append("evidence", other.body()))
        more = log.bundles([0])
    both = replace(evidence, items=(*evidence.items, bound))
    policy = Policy.of([KEY.verifier])
    report = evaluate(both, "core", TODAY, policy=policy)
    with pytest.raises(UsageError, match="several logs"):
        write_dossier(tmp_path / "d", report, both, [*bundles, *more], policy)


@pytest.mark.parametrize(
    "secret",
    ["-----BEGIN PRIVATE KEY-----", "-----BEGIN OPENSSH PRIVATE KEY-----",
     "hmac-sha256:" + "A" * 43 + "="],
)  # fmt: skip
def test_a_private_key_never_gets_into_it(tmp_path, secret):
    data = data_for(*form_of("automationBiasMitigation")) | {"notice": f"see {secret} there"}
    evidence, bundles = made([item("automationBiasMitigation", data=data)])
    with pytest.raises(UsageError, match="private key or shared secret"):
        write(tmp_path / "d", evidence, bundles)
    assert list(tmp_path.iterdir()) == []


def test_a_policy_with_a_shared_secret_is_refused(tmp_path):
    evidence, bundles = made([item("eventLogging")])
    policy = Policy((KEY.verifier, HmacSigner.generate()))
    with pytest.raises(UsageError, match="shared secret"):
        write(tmp_path / "d", evidence, bundles, policy=policy)


def test_no_local_path_stands_in_it(tmp_path, written):
    for folder in (written, tmp_path):
        for path in written.rglob("*"):
            if path.is_file():
                assert str(folder.parent).encode() not in path.read_bytes()
                assert str(Path.cwd()).encode() not in path.read_bytes()


def test_invalid_items_are_mended_first(tmp_path):
    given = EvidenceSet.read({"system": SYSTEM.to_dict(), "eventLogging": True})
    with pytest.raises(UsageError, match="not all of it can be written as evidence"):
        write(tmp_path / "d", given, [])


def test_every_field_of_the_core_can_be_laid_out(tmp_path):
    evidence, bundles = made(list(core_items()))
    folder = write(tmp_path / "d", evidence, bundles)
    assert verify_dossier(folder, POLICY).report.score == "1"


def test_names_of_any_kind_are_written_and_read_again(tmp_path):
    system = System(name='tri"age\\ é \U0001f3e5 <b>', version="</style>2", category="both",
                    conditions={"trains_models": True, "sme": False})  # fmt: skip
    scope = {"system": system.name, "version": system.version}
    evidence, bundles = made([item("eventLogging", scope=scope)], system=system)
    folder = write(tmp_path / "d", evidence, bundles)
    assert verify_dossier(folder, POLICY).verified
    check((folder / "annex-iv.html").read_text("utf-8"), set(files_of(folder)))


def test_without_jinja_the_extra_is_named(tmp_path, monkeypatch):
    from quorate.compliance.rendering import html

    html.environment.cache_clear()
    monkeypatch.setitem(sys.modules, "jinja2", None)
    evidence, bundles = made([item("eventLogging")])
    with pytest.raises(OperationalError, match=r"quorate\[reports\]"):
        write(tmp_path / "d", evidence, bundles)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("value", "kind", "text"),
    [
        (None, "text", "not given"),
        (True, "text", "yes"),
        (False, "text", "no"),
        (0.1, "text", "0.1"),
        (3, "text", "3"),
        ([], "text", "none"),
        ({}, "text", "none"),
        (["a", "b"], "text", "a, b"),
        (["a" * 80, "b"], "list", ""),
        ({"a_b": 1}, "pairs", ""),
        ([{"a": 1, "b": None}, {"a": 2}], "table", ""),
        ([{"a": {"b": 1}}], "list", ""),
        ({"x": {"p": 1, "q": 2}, "y": {"p": 3, "q": {"t": "T"}}}, "table", ""),
        (NASTY, "text", None),
    ],
)
def test_values_are_laid_out_by_their_shape(value, kind, text):
    node = laid_out(value)
    assert node.kind == kind
    assert node.text.isprintable()
    if text is not None:
        assert node.text == text


def test_long_and_deep_values_are_bounded():
    assert laid_out(list(range(1000))).more == 800
    deep = value = {}
    for _ in range(40):
        value["a"] = {}
        value = value["a"]
    node, levels = laid_out(deep), 0
    while node.members:
        node, levels = node.members[0], levels + 1
    assert levels == 6
    assert json.loads(node.text)
