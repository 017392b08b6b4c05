"""Dossiers by whoever has the ledger's key: of another declaration, of drills that never were."""

import json
import shutil

import evidence_tools
import pytest
from evidence_tools import KEY, ORIGIN, POLICY, SYSTEM, item

from quorate.compliance import EvidenceSet, evaluate
from quorate.compliance.declaring import declare_system
from quorate.compliance.dossier import verify_dossier, write_dossier
from quorate.compliance.dossier.sealed import DossierSeal
from quorate.compliance.times import microseconds
from quorate.core.canonical import canonical
from quorate.core.errors import UsageError, VerificationError
from quorate.ledger import Ledger

pytest.importorskip("jinja2", reason="needs quorate[reports]")

DEPLOYER = SYSTEM.model_copy(update={"role": "deployer"})
NOON = microseconds("2026-11-20T12:00:00Z")
DAY = 86_400_000_000


class Log:
    """A ledger by a clock that is moved, and dossiers of it."""

    def __init__(self, folder):
        self.now, self.folder = NOON, folder
        self.log = Ledger.open("memory:", signer=KEY, origin=ORIGIN, clock=lambda: self.now)

    def declare(self, system=SYSTEM, **more):
        return declare_system(self.log, system, by="J. Doe", **more).seq

    def write(self, system, *seqs, items=(), day="2026-11-20", seal=True):
        bundles = self.log.bundles(seqs)
        evidence = EvidenceSet(system, tuple(items))
        receipts = [each.receipt for each in bundles]
        report = evaluate(evidence, "core", day, system=system, policy=POLICY, receipts=receipts)
        return write_dossier(
            self.folder / "d", report, evidence, bundles, POLICY, ledger=self.log if seal else None
        )


@pytest.fixture
def made(tmp_path):
    return Log(tmp_path)


def test_a_dossier_is_of_the_last_declaration(made):
    first, second = made.declare(DEPLOYER), made.declare()
    size = len(made.log)
    with pytest.raises(UsageError, match=f"as entry {first} declares it, and entry {second} did"):
        made.write(DEPLOYER, first)
    assert len(made.log) == size
    assert not (made.folder / "d").exists()
    assert verify_dossier(made.write(SYSTEM, second), POLICY).declared == second


def test_nor_of_none_where_one_was_declared(made):
    made.declare()
    made.log.append("note", {})
    with pytest.raises(UsageError, match="as no entry declares it, and entry 0 did so last"):
        made.write(SYSTEM, 1)


def test_of_a_past_day_it_is_of_what_was_declared_by_then(made):
    first = made.declare(DEPLOYER)
    made.now += DAY
    made.declare()
    assert verify_dossier(made.write(DEPLOYER, first), POLICY).verified
    shutil.rmtree(made.folder / "d")
    with pytest.raises(UsageError, match="declares it"):
        made.write(DEPLOYER, first, day="2026-11-21")


@pytest.mark.parametrize("declared", [0, None, 7])
def test_a_seal_of_an_earlier_declaration_is_not_sound(made, declared):
    made.declare(DEPLOYER)
    second = made.declare()
    folder = made.write(SYSTEM, second)
    body = made.log.get(verify_dossier(folder, POLICY).sealed).payload
    made.log.verify(replay=True)
    made.log.append("dossier", body | {"declared": declared})
    with pytest.raises(VerificationError, match="did so last by 2026-11-20"):
        made.log.verify(replay=True)


def test_a_seal_for_another_declaration_than_lies_in_it(made):
    folder = made.write(SYSTEM, made.declare())
    manifest = (folder / "manifest.json").read_bytes()
    told = json.loads(manifest)
    forged = made.log.append("dossier", DossierSeal.of(manifest, told, None).to_dict())
    (folder / "seal.json").write_text(made.log.bundle(forged.seq).to_text())
    (problem,) = verify_dossier(folder, POLICY).problems
    assert (problem.path, problem.rule) == ("seal.json", "seal")
    assert "another declaration" in problem.message


def test_what_is_declared_between_the_look_and_the_seal_is_seen(made, monkeypatch):
    first = made.declare(DEPLOYER)
    real, once = Ledger.append, [True]

    def append(self, kind, body, **more):
        if kind == "dossier" and once:
            once.clear()
            declare_system(self, SYSTEM, by="J. Doe")
        return real(self, kind, body, **more)

    monkeypatch.setattr(Ledger, "append", append)
    with pytest.raises(UsageError, match="did so last"):
        made.write(DEPLOYER, first)
    made.log.verify(replay=True)
    assert [each.kind for each in made.log] == ["system", "system"]


def test_drills_that_never_were_make_no_dossier(made):
    declared = made.declare()
    entries = [{"seq": 0, "hash": made.log.get(0).entry_hash}]
    data = {kind: evidence_tools.drill(kind) for kind in ("halt", "override")}
    one = item("overrideControl", source="quorate.collect.both_drills", entries=entries, data=data)
    sealed = made.log.append("evidence", one.body())
    with pytest.raises(VerificationError, match="none of the entries that it names is a drill"):
        made.write(SYSTEM, declared, sealed.seq, items=[one.sealed_by(sealed)])


@pytest.mark.parametrize("name", ["\u200b", "", " ", "\u3164", "x" * 10_000])
@pytest.mark.parametrize("member", ["name", "version"])
def test_a_manifest_that_names_no_system_does_not_verify(made, member, name):
    folder = made.write(SYSTEM, made.declare())
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["system"][member] = name
    (folder / "manifest.json").write_bytes(canonical(manifest))
    assert ("seal.json", "seal") in [
        (each.path, each.rule) for each in verify_dossier(folder, POLICY).problems
    ]
