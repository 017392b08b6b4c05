"""Evidence for the EU AI Act: what is shown, what is missing, and from when it matters.

>>> from quorate.compliance import evaluate
>>> evaluate({}, "core", "2026-11-21").score
'0'

Nothing here says that a system meets the law; that is for people to judge.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from quorate.compliance.catalogue import (
        Catalogue,
        Obligation,
        UnknownObligation,
        load_catalogue,
    )
    from quorate.compliance.evaluation import evaluate
    from quorate.compliance.evidence import EntryRef, Evidence, EvidenceSet, ReceiptRef, Scope
    from quorate.compliance.profiles import Check, Profile, ProfileError, load_profile
    from quorate.compliance.report import (
        DISCLAIMER,
        ArticleResult,
        CheckResult,
        ComplianceReport,
        ItemResult,
        LawText,
    )
    from quorate.compliance.system import System

_HOMES = {
    "ArticleResult": "report",
    "Catalogue": "catalogue",
    "Check": "profiles",
    "CheckResult": "report",
    "ComplianceReport": "report",
    "DISCLAIMER": "report",
    "EntryRef": "evidence",
    "Evidence": "evidence",
    "EvidenceSet": "evidence",
    "ItemResult": "report",
    "LawText": "report",
    "Obligation": "catalogue",
    "Profile": "profiles",
    "ProfileError": "profiles",
    "ReceiptRef": "evidence",
    "Scope": "evidence",
    "System": "system",
    "UnknownObligation": "catalogue",
    "evaluate": "evaluation",
    "load_catalogue": "catalogue",
    "load_profile": "profiles",
}

__all__ = [
    "DISCLAIMER",
    "ArticleResult",
    "Catalogue",
    "Check",
    "CheckResult",
    "ComplianceReport",
    "EntryRef",
    "Evidence",
    "EvidenceSet",
    "ItemResult",
    "LawText",
    "Obligation",
    "Profile",
    "ProfileError",
    "ReceiptRef",
    "Scope",
    "System",
    "UnknownObligation",
    "evaluate",
    "load_catalogue",
    "load_profile",
]


def __getattr__(name: str) -> object:
    from importlib import import_module  # noqa: PLC0415 - only when a name is used

    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module 'quorate.compliance' has no attribute {name!r}")
    value = getattr(import_module(f"quorate.compliance.{home}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOMES})
