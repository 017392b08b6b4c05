"""The seal over a whole dossier: a ledger entry that holds the digest of its manifest.

Bundles show each item of evidence on its own. That all of them are there, and that the day and
the system are those of the operator, shows an entry of the kind ``dossier``::

    {"rule": "dossier/1", "manifest": "sha256:…", "as_of": "2026-11-21", "profile": "core",
     "system": {"name": "triage", "version": "2.1.0"}}

Its bundle lies in the dossier as ``seal.json``; the manifest, which is sealed, cannot list it.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from quorate.arbitration.forms import members, shown, text
from quorate.compliance.committing import read_scope
from quorate.compliance.evidence import Scope
from quorate.compliance.times import read_day
from quorate.core.errors import UsageError, VerificationError
from quorate.ledger import Bundle, Ledger, Policy, Receipt

if TYPE_CHECKING:
    from quorate.ledger.replay import ReplayContext

KIND: Final = "dossier"
RULE: Final = "dossier/1"
SEAL: Final = "seal.json"

_DIGEST: Final = re.compile(r"sha256:[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class DossierSeal:
    """What is sealed of a dossier.

    Attributes:
        manifest: digest of its manifest, ``sha256:…``.
        scope: the system and version that it is of.
        as_of: the day of its report, such as ``2026-11-21``.
        profile: name of the profile of its report.
    """

    manifest: str
    scope: Scope
    as_of: str
    profile: str

    def to_dict(self) -> dict[str, Any]:
        """The body that is sealed."""
        return {
            "rule": RULE,
            "manifest": self.manifest,
            "as_of": self.as_of,
            "profile": self.profile,
            "system": {"name": self.scope.system, "version": self.scope.version},
        }

    @classmethod
    def from_dict(cls, body: object) -> DossierSeal:
        """Read the body of an entry.

        Raises:
            UsageError: another shape.
        """
        form = members(body, "the seal", ("rule", "manifest", "as_of", "profile", "system"))
        if form["rule"] != RULE:
            raise UsageError(f"rule is {shown(form['rule'])}; this version reads {RULE}")
        digest = form["manifest"]
        if not isinstance(digest, str) or not _DIGEST.fullmatch(digest):
            raise UsageError(f"manifest is {shown(digest)}; it is sha256: and 64 hex digits")
        named = members(form["system"], "system", ("name", "version"))
        scope = read_scope({"system": named["name"], "version": named["version"]})
        day = read_day(text(form["as_of"], "as_of"), "as_of")
        return cls(digest, scope, day.isoformat(), text(form["profile"], "profile"))

    @classmethod
    def of(cls, manifest: bytes, told: Any) -> DossierSeal:
        """The seal over a manifest.

        Args:
            manifest: its bytes.
            told: what it says, read.

        Raises:
            UsageError: it is none.
        """
        form = {name: told.get(name) for name in ("as_of", "profile", "system")}
        digest = f"sha256:{hashlib.sha256(manifest).hexdigest()}"
        return cls.from_dict({"rule": RULE, "manifest": digest, **form})

    def describe(self) -> str:
        """In words."""
        return (
            f"A dossier on {self.scope.system} {self.scope.version} as of {self.as_of}, profile "
            f"{self.profile}, was written; its manifest has the digest {self.manifest}."
        )


def seal_manifest(ledger: Ledger, manifest: bytes, told: Any) -> Bundle:
    """Seal a manifest in the ledger that the dossier is of; the bundle of the entry.

    Args:
        ledger: open with its key.
        manifest: its bytes.
        told: what it says, read.

    Raises:
        UsageError: it is no manifest, or the ledger is open for reading; nothing was sealed.
        StoreError: it could not be written.
    """
    sealed = ledger.append(KIND, DossierSeal.of(manifest, told).to_dict())
    return ledger.bundle(sealed.seq)


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
    if found != DossierSeal.of(manifest, told):
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
        context: of the log; nothing before it bears on it.

    Raises:
        VerificationError: rule ``"replay"``; says what is wrong.
    """
    del context
    try:
        DossierSeal.from_dict(body)
    except UsageError as error:
        raise VerificationError(f"the dossier is not sound: {error}", rule="replay") from error
    if kind != KIND:
        raise VerificationError(f"a dossier is sealed as {kind!r}", rule="replay")
