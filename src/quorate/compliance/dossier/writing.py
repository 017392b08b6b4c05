"""Write a dossier: whole, or not at all."""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Final

from quorate.compliance import bounds as evidence_bounds
from quorate.compliance.coverage import Coverage
from quorate.compliance.dossier import bounds
from quorate.compliance.dossier.composing import (
    MANIFEST,
    Contents,
    compose,
    digest_of,
    evaluated,
    made_under,
    manifest,
    policy_text,
    sealing,
)
from quorate.compliance.dossier.declared import (
    declaration_in,
    names_of_documents,
    refuse_undeclared,
    refused_coverage,
)
from quorate.compliance.dossier.sealed import SEAL, read_seal, seal_manifest
from quorate.compliance.dossier.verifying import verify_dossier
from quorate.compliance.evidence import EvidenceSet
from quorate.compliance.profiles import SHIPPED, load_profile
from quorate.compliance.report import ComplianceReport
from quorate.compliance.system import System
from quorate.core.canonical import parse
from quorate.core.errors import OperationalError, UsageError, VerificationError
from quorate.core.text import counted, printable
from quorate.ledger import Bundle, Ledger, Policy
from quorate.ledger.files import read_start, read_text

_SECRET: Final = re.compile(rb"-----BEGIN [A-Z ]*PRIVATE KEY-----|hmac-sha256:[A-Za-z0-9+/]{20,}=*")


def write_dossier(  # noqa: PLR0913 - one argument for each part of a dossier
    folder: str | Path,
    report: ComplianceReport,
    evidence: EvidenceSet,
    bundles: Iterable[Bundle],
    policy: Policy,
    *,
    profile: str | Path = "core",
    documents: Iterable[str | Path] = (),
    ledger: Ledger | None = None,
    coverage: Coverage | None = None,
) -> Path:
    """Write a dossier into ``folder``, which must be empty or not there.

    It is composed in a folder beside it, verified there, and put in place with one rename.
    With the ``ledger`` it is sealed as a whole before that, and nobody else can make one that
    leaves evidence out. The policy in it has only those keys that signed what lies in it.

    Args:
        folder: to be made.
        report: that is to lie in it; it has to be what ``evidence``, the bundles and ``policy``
            give under ``profile``.
        evidence: all items; receipts are taken from the bundles.
        bundles: of every entry that an item names as its receipt or among its entries, and
            of the one that declares the system (it must be there where evidence was
            collected), all against one checkpoint (``Ledger.bundles``). Others are left out.
        policy: public keys.
        profile: of the report: the name of one shipped, or the path of one's own.
        documents: files whose digests sealed evidence names, to lie in it too.
        ledger: that the evidence is sealed in, open with its key, to seal the digest of the
            manifest; ``None`` leaves the whole unsealed, and ``verify_dossier`` says so.
        coverage: of the ledger, as it was surveyed: how far its end is pinned, and what it does
            not show; ``None`` without bundles. What its checkpoint pins has to be what that of
            the bundles pins.

    Returns:
        The folder.

    Raises:
        OperationalError: a file cannot be read or written, or the extra ``reports`` is missing.
        UsageError: the folder is not empty; something is missing, does not belong together, or
            may not lie in a dossier; or the report's system is not as it was declared last by the
            end of its day. Nothing was written, and nothing sealed.
        VerificationError: a bundle does not verify under ``policy``.
    """
    target = free_folder(Path(folder))
    text = None if profile in SHIPPED else read_text(
        profile, "profile", evidence_bounds.MAX_PROFILE_BYTES
    )  # fmt: skip
    needed = _needed(evidence, {each.seq: each for each in bundles}, report.system)
    for each in needed.values():
        each.verify(policy)
    # As it will be read back: the order of members is not kept everywhere.
    report = ComplianceReport.from_dict(report.to_dict())
    refuse_undeclared(report.system, evidence, needed)
    contents = Contents(
        report=report,
        evidence=replace(evidence, system=report.system, receipts=sealing(evidence, needed)),
        bundles=needed,
        policy=policy_text(made_under(policy, needed.values())),
        profile=text,
        documents=_documents(documents, names_of_documents(evidence, needed)),
        coverage=coverage,
    )
    wrong = None if coverage is None else refused_coverage(coverage, needed)
    if wrong is not None:
        raise UsageError(f"the coverage is not of this ledger: {wrong}")
    if evaluated(contents, policy, load_profile(profile)) != report:
        raise UsageError(
            "the report is not what this evidence, these bundles and this policy give under the "
            f"profile {printable(str(profile))!r}; evaluate again and write what comes out"
        )
    files = compose(contents, policy)
    files[MANIFEST] = manifest(files, report)
    _refuse_secrets(files)
    _check_log(ledger, needed)
    declared = declaration_in(needed, report.system)
    _write(target, files, policy, ledger, None if declared is None else declared[0])
    return target


def free_folder(folder: Path) -> Path:
    """A folder that a dossier can be written to: empty or not there, beside others that are.

    Raises:
        OperationalError: it cannot be looked at.
        UsageError: it is neither.
    """
    try:
        if folder.is_symlink():
            raise UsageError(f"{folder} is a symbolic link; name a folder")
        if folder.exists():
            if not folder.is_dir():
                raise UsageError(f"{folder} is no folder; name another")
            if any(folder.iterdir()):
                raise UsageError(f"{folder} is not empty; name another, nothing is replaced")
        if not folder.absolute().parent.is_dir():
            raise UsageError(f"there is no folder {folder.parent} to write {folder.name} into")
    except OSError as error:
        raise OperationalError(f"{folder} cannot be read: {error.strerror}") from error
    if not folder.name:
        raise UsageError("name a folder of its own for the dossier")
    return folder


def _check_log(ledger: Ledger | None, bundles: dict[int, Bundle]) -> None:
    other = next((b.receipt.origin for b in bundles.values()), None)
    if ledger is not None and other not in (None, ledger.origin):
        raise UsageError(
            f"the evidence lies in {printable(str(other))}, and the ledger is {ledger.origin}; "
            "seal the dossier in its own"
        )


def _needed(evidence: EvidenceSet, given: dict[int, Bundle], system: System) -> dict[int, Bundle]:
    """The bundles of all entries that the evidence names and of the declaration, in order."""
    asked: dict[int, str] = {}
    origins = {each.receipt.origin for each in given.values()}
    for item in evidence.items:
        if item.receipt is not None:
            origins.add(item.receipt.origin)
            asked[item.receipt.seq] = item.receipt.hash
        asked |= {each.seq: each.hash for each in item.entries}
    if len(origins) > 1:
        told = ", ".join(sorted(map(printable, origins)))
        raise UsageError(f"the evidence lies in several logs ({told}); write a dossier for each")
    lacking = [seq for seq, hash_ in asked.items()
               if seq not in given or given[seq].receipt.entry_hash != hash_]  # fmt: skip
    if lacking:
        first = min(lacking)
        raise UsageError(
            f"{counted(len(lacking), 'entry', 'entries')} that evidence names have no bundle here "
            f"with that hash, the first is {first}; give ledger.bundles(…) of the ledger that the "
            "evidence was made from"
        )
    declared = declaration_in(given, system)
    if declared is not None:
        asked[declared[0]] = given[declared[0]].receipt.entry_hash
    needed = {seq: given[seq] for seq in sorted(asked)}
    if len({each.note for each in needed.values()}) > 1:
        raise UsageError("the bundles lead to several checkpoints; take them with one call")
    return needed


def _documents(paths: Iterable[str | Path], named: set[str]) -> dict[str, bytes]:
    found: dict[str, bytes] = {}
    for path in map(Path, paths):
        try:
            content = read_start(path, bounds.MAX_FILE_BYTES + 1)
        except OSError as error:
            raise OperationalError(
                f"the document {path} cannot be read: {error.strerror}"
            ) from error
        if len(content) > bounds.MAX_FILE_BYTES:
            raise UsageError(f"the document {path} is larger than {bounds.MAX_FILE_BYTES} bytes")
        if digest_of(content) not in named:
            raise UsageError(
                f"no sealed evidence names the document {path}, {digest_of(content)}; give the "
                "version that the evidence speaks of, seal the evidence, or leave it out"
            )
        name = re.sub(r"[^A-Za-z0-9._-]+", "-", path.name).lstrip(".-")[-bounds.MAX_NAME :]
        if not name or name in found:
            raise UsageError(f"the document {path} needs a name of its own")
        found[name] = content
    return dict(sorted(found.items()))


def _refuse_secrets(files: dict[str, bytes]) -> None:
    for path, content in files.items():
        if _SECRET.search(content):
            raise UsageError(
                f"{path} would hold a private key or shared secret; take it out of the evidence "
                "or document, and change that key"
            )
    if len(files) > bounds.MAX_FILES:
        raise UsageError(f"{len(files)} files; a dossier has at most {bounds.MAX_FILES}")
    if sum(map(len, files.values())) > bounds.MAX_TOTAL_BYTES:
        raise UsageError(f"a dossier has at most {bounds.MAX_TOTAL_BYTES} bytes")


def _write(
    target: Path,
    files: dict[str, bytes],
    policy: Policy,
    ledger: Ledger | None,
    declared: int | None,
) -> None:
    try:
        building = Path(tempfile.mkdtemp(prefix=f".{target.name}.", dir=target.absolute().parent))
    except OSError as error:
        raise OperationalError(f"{target} cannot be written: {error.strerror}") from error
    try:
        for path, content in files.items():
            _put(building / path, content)
        found = verify_dossier(building, policy)
        if not found.verified:
            raise VerificationError(found.problems[0].describe(), rule="dossier")
        # Last, so that nothing is sealed that was not written whole and verified.
        if ledger is not None:
            told = parse(files[MANIFEST].decode())
            raw = seal_manifest(ledger, files[MANIFEST], told, declared).to_text()
            read_seal(raw, policy, files[MANIFEST], told)
            _put(building / SEAL, raw.encode())
        building.chmod(0o755)
        # Replaces an empty folder, and fails on one that was filled meanwhile.
        building.rename(target)
    except OSError as error:
        raise OperationalError(f"{target} cannot be written: {error.strerror}") from error
    finally:
        shutil.rmtree(building, ignore_errors=True)


def _put(place: Path, content: bytes) -> None:
    place.parent.mkdir(exist_ok=True)
    with place.open("xb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
