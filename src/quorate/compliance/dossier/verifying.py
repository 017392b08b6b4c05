"""Verify a dossier, offline: every file, every bundle, and the report and pages again."""

from __future__ import annotations

import hashlib
import os
import re
import stat
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

import quorate
from quorate.compliance.coverage import Coverage
from quorate.compliance.dossier import bounds
from quorate.compliance.dossier.composing import (
    BUNDLES,
    CHECKPOINT,
    COVERAGE,
    DOCUMENTS,
    EVIDENCE,
    FORMAT,
    MANIFEST,
    POLICY,
    PROFILE,
    REPORT,
    Contents,
    bundle_path,
    compose,
    digest_of,
    evaluated,
    manifest,
    policy_text,
    sealing,
    signers,
)
from quorate.compliance.dossier.declared import (
    declaration_in,
    names_of_documents,
    not_collected,
    refused_coverage,
    sealed_items,
    undeclared,
)
from quorate.compliance.dossier.sealed import SEAL, DossierSeal, read_seal
from quorate.compliance.dossier.verdict import DossierReport, Problem
from quorate.compliance.evidence import EvidenceSet
from quorate.compliance.profiles import SHIPPED, Profile, load_profile, read_profile
from quorate.compliance.report import ComplianceReport
from quorate.compliance.system import System
from quorate.core.canonical import CanonicalError, canonical, parse
from quorate.core.errors import OperationalError, UsageError, VerificationError
from quorate.core.text import printable
from quorate.ledger import Bundle, Policy, Receipt
from quorate.ledger import checkpoint as checkpoints

_NAMES: Final = re.compile(
    rf"[a-z-]+\.(?:html|md|json|toml|note)|{BUNDLES}/[0-9]{{6,16}}\.json"
    rf"|{DOCUMENTS}/[A-Za-z0-9_][A-Za-z0-9._-]*"
)
_NEEDED: Final = (REPORT, EVIDENCE, POLICY)
_PAGES: Final = (".html", ".md")


def verify_dossier(folder: str | Path, policy: Policy | None = None) -> DossierReport:
    """Check a dossier with nothing but the folder and the keys that you name.

    What is wrong is told in the report, all of it at once where one thing does not hide
    another; nothing in the folder is believed that can be computed again.

    Args:
        folder: of the dossier.
        policy: whom you trust; without one, the dossier's own is used and the report says
            plainly that this shows only that it hangs together.

    Raises:
        OperationalError: it is not there or cannot be read, or the extra ``reports`` is missing.
    """
    return _Verifying(Path(folder), policy).run()


class _Stop(Exception):  # noqa: N818 - ends the checking, after a problem was noted
    """What is wrong so far hides all that would come."""


@dataclass
class _Verifying:
    """One dossier being checked."""

    folder: Path
    policy: Policy | None
    problems: list[Problem] = field(default_factory=list)
    files: dict[str, bytes] = field(default_factory=dict)
    bundles: dict[int, Bundle] = field(default_factory=dict)
    items: int = 0
    bound: int = 0
    told: dict[str, Any] = field(default_factory=dict)
    seal: Receipt | None = None
    declared: int | None = None
    version: str | None = None
    note: str | None = None
    own: Policy | None = None

    def run(self) -> DossierReport:
        own = self.policy is None
        report = None
        try:
            self._read()
            self._check_manifest()
            trust = self._trust()
            self._check_bundles(trust)
            self._check_seal(trust)
            report = self._compute(self._contents(), trust)
        except _Stop:
            pass
        pinned = None if self.note is None or self.problems else checkpoints.read(self.note)
        return DossierReport(
            problems=tuple(self.problems),
            own_policy=own,
            version=self.version,
            files=len(self.files),
            bundles=len(self.bundles),
            items=self.items,
            bound=self.bound,
            sealed=None if self.seal is None else self.seal.seq,
            sealed_at=None if self.seal is None else self.seal.timestamp,
            declared=self.declared,
            origin=None if pinned is None else pinned.origin,
            size=None if pinned is None else pinned.size,
            report=None if self.problems else report,
        )

    def _wrong(self, path: str | None, rule: str, message: str) -> None:
        self.problems.append(Problem(path, rule, message))

    # -- the folder

    def _read(self) -> None:
        if not self.folder.is_dir():
            raise OperationalError(f"there is no folder {self.folder}")
        total = 0
        for path, entry in _walk(self.folder, self._wrong):
            content = _content(entry)
            total += len(content)
            if len(content) > bounds.MAX_FILE_BYTES or total > bounds.MAX_TOTAL_BYTES:
                self._wrong(path, "path", "the dossier is larger than any that is written")
                raise _Stop
            if len(self.files) >= bounds.MAX_FILES:
                self._wrong(path, "path", f"more than {bounds.MAX_FILES} files")
                raise _Stop
            self.files[path] = content
        if MANIFEST not in self.files:
            self._wrong(MANIFEST, "missing", "it is not there; this is no dossier")
            raise _Stop

    def _check_manifest(self) -> None:
        raw = self.files[MANIFEST]
        try:
            found = parse(raw.decode())
            same = canonical(found) == raw
        except (UnicodeDecodeError, CanonicalError) as error:
            self._wrong(MANIFEST, "manifest", f"it cannot be read: {error}")
            raise _Stop from error
        if not isinstance(found, dict) or found.get("format") != FORMAT or not same:
            self._wrong(MANIFEST, "manifest", f"it is no canonical JSON of the format {FORMAT}")
            raise _Stop
        self.told = found
        tool, listed = found.get("tool"), found.get("files")
        if isinstance(tool, dict) and isinstance(tool.get("version"), str):
            self.version = tool["version"]
        if not isinstance(listed, dict):
            self._wrong(MANIFEST, "manifest", "it lists no files")
            raise _Stop
        for path, facts in listed.items():
            self._check_listed(path, facts)
        for path in self.files.keys() - listed.keys() - {MANIFEST, SEAL}:
            self._wrong(path, "extra", "the manifest does not list it")

    def _check_listed(self, path: str, facts: Any) -> None:
        if not _NAMES.fullmatch(path) or path in (MANIFEST, SEAL):
            self._wrong(path, "path", "no dossier has a file of that name")
        elif path not in self.files:
            self._wrong(path, "missing", "the manifest lists it, and it is not there")
        else:
            content = self.files[path]
            told = {"sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content)}
            if facts != told:
                self._wrong(path, "digest", "it is not the file that the manifest lists")

    # -- what it holds

    def _text(self, path: str) -> str:
        if path not in self.files:
            if not any(each.path == path for each in self.problems):
                self._wrong(path, "missing", "it is not there")
            raise _Stop
        try:
            return self.files[path].decode()
        except UnicodeDecodeError as error:
            self._wrong(path, "digest", f"it is no UTF-8 text at byte {error.start}")
            raise _Stop from error

    def _trust(self) -> Policy:
        text = self._text(POLICY)
        try:
            own = Policy.parse(text)
        except UsageError as error:
            self._wrong(POLICY, "policy", str(error))
            raise _Stop from error
        self.own = own
        return own if self.policy is None else self.policy

    def _check_bundles(self, trust: Policy) -> None:
        paths = sorted(path for path in self.files if path.startswith(f"{BUNDLES}/"))
        for path in paths:
            try:
                bundle = Bundle.parse(self._text(path))
                bundle.verify(trust)
            except (UsageError, VerificationError) as error:
                self._wrong(path, "bundle", str(error))
                continue
            if path != bundle_path(bundle.seq):
                self._wrong(path, "bundle", f"it is the bundle of entry {bundle.seq}")
                continue
            self.bundles[bundle.seq] = bundle
        self._check_own()
        notes = {each.note for each in self.bundles.values()}
        if len(notes) > 1:
            self._wrong(CHECKPOINT, "bundle", "the bundles lead to several checkpoints")
        if CHECKPOINT in self.files:
            self.note = self._text(CHECKPOINT)
            if self.bundles and self.note not in notes:
                self._wrong(CHECKPOINT, "bundle", "it is not the checkpoint of the bundles")
        if len(self.bundles) < len(paths):
            # Without them everything else would look wrong too.
            raise _Stop

    def _check_own(self) -> None:
        """The keys that the dossier names as its maker's have to be those."""
        for bundle in self.bundles.values():
            try:
                if self.own is not None and self.policy is not None:
                    bundle.verify(self.own)
            except VerificationError as error:
                self._wrong(POLICY, "policy", f"it is not the one that it was made under: {error}")
                return

        if self.bundles and self.own is not None:
            signed = signers(self.bundles.values())
            for each in self.own.verifiers:
                if each.key_id not in signed:
                    told = f"its key {each.key_id} signed nothing that lies here"
                    self._wrong(POLICY, "policy", told)

    def _check_seal(self, trust: Policy) -> None:
        """The manifest has to be the one that was sealed, where one was."""
        if SEAL not in self.files:
            return
        try:
            found = read_seal(self._text(SEAL), trust, self.files[MANIFEST], self.told)
        except (UsageError, VerificationError) as error:
            self._wrong(SEAL, "seal", str(error))
            return
        if any(each.receipt.origin != found.origin for each in self.bundles.values()):
            self._wrong(SEAL, "seal", f"it is sealed in another log, {printable(found.origin)}")
            return
        self.seal = found

    def _contents(self) -> Contents:
        try:
            report = ComplianceReport.from_dict(parse(self._text(REPORT)))
        except UsageError as error:
            self._wrong(REPORT, "report", str(error))
            raise _Stop from error
        try:
            evidence = EvidenceSet.read(_mapping(parse(self._text(EVIDENCE))))
            evidence.to_dict()
        except UsageError as error:
            self._wrong(EVIDENCE, "evidence", str(error))
            raise _Stop from error
        self.items = len(evidence.items)
        self.bound = sum(1 for _ in sealed_items(evidence, self.bundles))
        if evidence.system != report.system:
            self._wrong(EVIDENCE, "evidence", "it is of another system than the report")
        self._find_declaration(report.system)
        self._check_named(evidence)
        self._check_declared(report.system, evidence)
        for name, why in not_collected(evidence, self.bundles):
            self._wrong(EVIDENCE, "evidence", f"{printable(name)}: {why}")
        documents = {
            path.partition("/")[2]: content
            for path, content in self.files.items()
            if path.startswith(f"{DOCUMENTS}/")
        }
        named = names_of_documents(evidence, self.bundles)
        for name, content in documents.items():
            if digest_of(content) not in named:
                self._wrong(
                    f"{DOCUMENTS}/{name}", "document", "no sealed evidence names its digest"
                )
        return Contents(
            report=report,
            # Receipts are those of the bundles; others would differ when it is made again.
            evidence=replace(evidence, receipts=sealing(evidence, self.bundles)),
            bundles=dict(sorted(self.bundles.items())),
            policy="" if self.own is None else policy_text(self.own),
            profile=self._text(PROFILE) if PROFILE in self.files else None,
            documents=dict(sorted(documents.items())),
            coverage=self._coverage(),
        )

    def _coverage(self) -> Coverage | None:
        """What its maker says of the ledger: of this log, and pinned as the checkpoint pins."""
        if COVERAGE not in self.files:
            return None
        try:
            found = Coverage.from_dict(parse(self._text(COVERAGE)))
        except UsageError as error:
            self._wrong(COVERAGE, "coverage", str(error))
            raise _Stop from error
        wrong = refused_coverage(found, self.bundles)
        if wrong is not None:
            self._wrong(COVERAGE, "coverage", wrong)
        return found

    def _check_named(self, evidence: EvidenceSet) -> None:
        """All that items name has to be bundled, and nothing else is."""
        asked = set()
        for item in evidence.items:
            if item.receipt is not None:
                asked.add(item.receipt.seq)
                self._check_entry(item.field, "receipt", item.receipt.seq, item.receipt.hash)
            for each in item.entries:
                asked.add(each.seq)
                self._check_entry(item.field, "entry", each.seq, each.hash)
        for seq in self.bundles.keys() - asked - {self.declared}:
            self._wrong(bundle_path(seq), "extra", "no evidence names that entry")

    def _check_declared(self, system: System, evidence: EvidenceSet) -> None:
        """What is asked for has to follow from what the operator declared."""
        why = undeclared(system, evidence, self.bundles)
        if why is not None:
            self._wrong(REPORT, "system", why)

    def _find_declaration(self, system: System) -> None:
        try:
            found = declaration_in(self.bundles, system)
        except UsageError as error:
            self._wrong(None, "system", str(error))
            raise _Stop from error
        self.declared = None if found is None else found[0]
        if self.seal is None:
            return
        sealed = DossierSeal.from_dict(self.seal.payload).declared
        if sealed != self.declared:
            self._wrong(SEAL, "seal", "it was sealed for another declaration of the system")

    def _check_entry(self, name: str, rule: str, seq: int, hash_: str) -> None:
        bundle = self.bundles.get(seq)
        shown = printable(name)
        if bundle is None:
            self._wrong(EVIDENCE, rule, f"{shown} names entry {seq}, which has no bundle")
        elif bundle.receipt.entry_hash != hash_:
            self._wrong(EVIDENCE, rule, f"{shown} names another entry {seq} than is bundled")

    # -- computed again

    def _compute(self, contents: Contents, trust: Policy) -> ComplianceReport:
        profile = self._profile(contents)
        report = evaluated(contents, trust, profile)
        if report != contents.report:
            self._wrong(REPORT, "report", self._differs("computed again, it says otherwise"))
            raise _Stop
        if self.problems:
            raise _Stop
        try:
            made = compose(contents, trust)
        except UsageError as error:
            self._wrong(None, "page", str(error))
            raise _Stop from error
        for path in sorted(made.keys() | self.files.keys() - {MANIFEST, SEAL}):
            if made.get(path) != self.files.get(path):
                rule = "page" if path.endswith(_PAGES) else "digest"
                self._wrong(path, rule, self._differs("made again, it comes out different"))
        if not self.problems:
            # The version is the one thing in it that is not computed again.
            again = manifest(made, report, self.version or quorate.__version__)
            if again != self.files[MANIFEST]:
                self._wrong(MANIFEST, "manifest", "made again, it comes out different")
        return report

    def _profile(self, contents: Contents) -> Profile:
        try:
            if contents.profile is not None:
                return read_profile(contents.profile, PROFILE)
            if contents.report.profile in SHIPPED:
                return load_profile(contents.report.profile)
        except UsageError as error:
            self._wrong(PROFILE, "profile", str(error))
            raise _Stop from error
        self._wrong(PROFILE, "missing", "the report is under a profile that is not there")
        raise _Stop

    def _differs(self, words: str) -> str:
        if self.version in (None, quorate.__version__):
            return words
        return (
            f"{words}; it was written by quorate {printable(str(self.version))} and this is "
            f"{quorate.__version__}: verify it with that version"
        )


def _mapping(members: Any) -> dict[str, Any]:
    if not isinstance(members, dict):
        raise UsageError("it is no set of evidence")
    return members


def _walk(folder: Path, wrong: Any) -> Iterator[tuple[str, os.DirEntry[str]]]:
    """Regular files of the folder and of its two subfolders, following nothing."""
    for base in ("", BUNDLES, DOCUMENTS):
        place = folder / base
        if base and (place.is_symlink() or not place.is_dir()):
            continue
        try:
            entries = sorted(os.scandir(place), key=lambda entry: entry.name)
        except OSError as error:
            raise OperationalError(f"{place} cannot be read: {error.strerror}") from error
        for entry in entries:
            path = f"{base}/{entry.name}" if base else entry.name
            if entry.is_symlink():
                wrong(path, "path", "it is a symbolic link")
            elif entry.is_dir(follow_symlinks=False):
                if base or entry.name not in (BUNDLES, DOCUMENTS):
                    wrong(path, "extra", "no dossier has that folder")
            elif not entry.is_file(follow_symlinks=False):
                wrong(path, "path", "it is no regular file")
            else:
                yield path, entry


def _content(entry: os.DirEntry[str]) -> bytes:
    # Not followed, though it was none a moment ago; and no waiting for a pipe.
    flags = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
    try:
        with open(os.open(entry.path, flags), "rb") as file:  # noqa: PTH123 - a descriptor
            if stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                return file.read(bounds.MAX_FILE_BYTES + 1)
    except OSError as error:
        raise OperationalError(f"{entry.path} cannot be read: {error.strerror}") from error
    raise OperationalError(f"{entry.path} cannot be read: it is no regular file")
