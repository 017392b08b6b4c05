"""The seal over a whole dossier: a ledger entry that holds the digest of its manifest.

Bundles show each item of evidence on its own. That all of them are there, and that the day and
the system are those of the operator, shows an entry of the kind ``dossier``::

    {"rule": "dossier/1", "manifest": "sha256:…", "as_of": "2026-11-21", "profile": "core",
     "system": {"name": "triage", "version": "2.1.0"}, "declared": 0}

``declared`` is the entry that declares the system, the last that was sealed by the end of that
day, or ``null`` where there was none: a dossier is of what was declared last, and replay holds
it to that. Its bundle lies in the dossier as ``seal.json``; the manifest, which is sealed,
cannot list it.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from quorate.arbitration.forms import members, shown, text
from quorate.compliance.committing import read_scope
from quorate.compliance.declaring import Declarations, declarations, declared_in
from quorate.compliance.evidence import Scope
from quorate.compliance.times import end_of, read_day
from quorate.core.errors import HeadMovedError, UsageError, VerificationError
from quorate.hub.oversight.rules import whole_seq
from quorate.ledger import Bundle, Ledger, Policy, Receipt

if TYPE_CHECKING:
    from quorate.ledger.replay import ReplayContext

KIND: Final = "dossier"
RULE: Final = "dossier/1"
SEAL: Final = "seal.json"

_ATTEMPTS: Final = 8

_DIGEST: Final = re.compile(r"sha256:[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class DossierSeal:
    """What is sealed of a dossier.

    Attributes:
        manifest: digest of its manifest, ``sha256:…``.
        scope: the system and version that it is of.
        as_of: the day of its report, such as ``2026-11-21``.
        profile: name of the profile of its report.
        declared: number of the entry that declares its system; ``None`` where none does.
    """

    manifest: str
    scope: Scope
    as_of: str
    profile: str
    declared: int | None

    def to_dict(self) -> dict[str, Any]:
        """The body that is sealed."""
        return {
            "rule": RULE,
            "manifest": self.manifest,
            "as_of": self.as_of,
            "profile": self.profile,
            "system": {"name": self.scope.system, "version": self.scope.version},
            "declared": self.declared,
        }

    @classmethod
    def from_dict(cls, body: object) -> DossierSeal:
        """Read the body of an entry.

        Raises:
            UsageError: another shape.
        """
        names = ("rule", "manifest", "as_of", "profile", "system", "declared")
        form = members(body, "the seal", names)
        if form["rule"] != RULE:
            raise UsageError(f"rule is {shown(form['rule'])}; this version reads {RULE}")
        digest = form["manifest"]
        if not isinstance(digest, str) or not _DIGEST.fullmatch(digest):
            raise UsageError(f"manifest is {shown(digest)}; it is sha256: and 64 hex digits")
        named = members(form["system"], "system", ("name", "version"))
        scope = read_scope({"system": named["name"], "version": named["version"]})
        day = read_day(text(form["as_of"], "as_of"), "as_of")
        declared = None if form["declared"] is None else whole_seq(form["declared"], "declared")
        profile = text(form["profile"], "profile")
        return cls(digest, scope, day.isoformat(), profile, declared)

    @classmethod
    def of(cls, manifest: bytes, told: Any, declared: int | None) -> DossierSeal:
        """The seal over a manifest.

        Args:
            manifest: its bytes.
            told: what it says, read.
            declared: number of the entry in the dossier that declares its system.

        Raises:
            UsageError: it is none.
        """
        form = {name: told.get(name) for name in ("as_of", "profile", "system")}
        digest = f"sha256:{hashlib.sha256(manifest).hexdigest()}"
        return cls.from_dict({"rule": RULE, "manifest": digest, **form, "declared": declared})

    def check(self, declared: Declarations) -> None:
        """Hold it to what its log had declared of its system by the end of its day.

        Raises:
            UsageError: another entry did so last.
        """
        until = end_of(read_day(self.as_of, "as_of"))
        last = declared.last_of(self.scope, until)
        found = None if last is None else last[0]
        if found != self.declared:
            raise UsageError(
                f"the dossier is of {self.scope.system} {self.scope.version} as "
                f"{_entry(self.declared)} declares it, and {_entry(found)} did so last by "
                f"{self.as_of}; write it of what was declared last"
            )

    def describe(self) -> str:
        """In words."""
        return (
            f"A dossier on {self.scope.system} {self.scope.version} as of {self.as_of}, profile "
            f"{self.profile}, was written; its manifest has the digest {self.manifest}."
        )


def _entry(seq: int | None) -> str:
    return "no entry" if seq is None else f"entry {seq}"


def seal_manifest(ledger: Ledger, manifest: bytes, told: Any, declared: int | None) -> Bundle:
    """Seal a manifest in the ledger that the dossier is of; the bundle of the entry.

    Args:
        ledger: open with its key.
        manifest: its bytes.
        told: what it says, read.
        declared: number of the entry in the dossier that declares its system.

    Raises:
        UsageError: it is no manifest, another entry declares its system last, the ledger is
            open for reading, or others keep writing meanwhile; nothing was sealed.
        VerificationError: an entry of the ledger is damaged.
        StoreError: it could not be written.
    """
    seal = DossierSeal.of(manifest, told, declared)
    for _ in range(_ATTEMPTS):
        size = len(ledger)
        seal.check(declarations(ledger))
        try:
            # Nothing may be declared between the look and the seal.
            sealed = ledger.append(KIND, seal.to_dict(), expect=size)
        except HeadMovedError:
            continue
        return ledger.bundle(sealed.seq)
    raise UsageError(
        f"others wrote to the ledger {_ATTEMPTS} times in a row meanwhile, so the dossier was "
        "not sealed; try again"
    )


def read_seal(raw: str, policy: Policy, manifest: bytes, told: Any) -> Receipt:
    """Hold a seal to the manifest that it lies beside; its receipt.

    Args:
        raw: the bundle's text.
        policy: whom you trust.
        manifest: the manifest's bytes.
        told: what the manifest says, read.

    Raises:
        UsageError: it is no seal, or seals another dossier than this one.
        VerificationError: it does not verify.
    """
    bundle = Bundle.parse(raw)
    bundle.verify(policy)
    if bundle.receipt.kind != KIND:
        raise UsageError(f"entry {bundle.seq} is of the kind {bundle.receipt.kind!r}, not {KIND!r}")
    found = DossierSeal.from_dict(bundle.receipt.payload)
    if found != DossierSeal.of(manifest, told, found.declared):
        raise UsageError(f"entry {bundle.seq} seals another dossier than what lies here")
    return bundle.receipt


def described(body: object) -> str:
    """The story of a sealed dossier.

    Raises:
        UsageError: it is none.
    """
    return DossierSeal.from_dict(body).describe()


def replay(kind: str, body: Any, context: ReplayContext | None = None) -> None:
    """Check one sealed dossier again; return only if it is sound.

    Args:
        kind: must be ``"dossier"``.
        body: the sealed body.
        context: of the log; one that has not passed all entries before this one, or none,
            checks the body on its own.

    Raises:
        VerificationError: rule ``"replay"``; says what is wrong.
    """
    try:
        seal = DossierSeal.from_dict(body)
        if context is not None and context.whole:
            seal.check(declared_in(context))
    except UsageError as error:
        raise VerificationError(f"the dossier is not sound: {error}", rule="replay") from error
    if kind != KIND:
        raise VerificationError(f"a dossier is sealed as {kind!r}", rule="replay")
