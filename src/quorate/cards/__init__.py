"""Agent cards: read with precise messages, signed and verified, held to typed evidence.

``check_card`` reads an A2A card of version 1.0 or 0.3, verifies its signatures against keys
that the reader trusts, and evaluates the evidence it brings; ``seal_verdict`` puts the verdict
into a ledger; ``register_expert`` lets an agent into a registry that can say what it does, and
has shown it.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from quorate.cards.checking import check_card
    from quorate.cards.coverage import EXPERTS, ExpertCoverage, SafetyExpert
    from quorate.cards.fetching import FetchRefusedError, FetchRules, fetch_card
    from quorate.cards.lint import EVIDENCE_URI
    from quorate.cards.problems import Problem
    from quorate.cards.reading import Card, read_card
    from quorate.cards.registering import Candidate, CandidateRefusedError, register_expert
    from quorate.cards.sarif import to_sarif
    from quorate.cards.sealed import seal_verdict
    from quorate.cards.signatures import SignatureReport, SignatureResult, verify_signatures
    from quorate.cards.signing import make_key, read_private_key, sign_card
    from quorate.cards.starter import starter_card
    from quorate.cards.trust import TrustedKey, TrustStore
    from quorate.cards.verdict import CardVerdict

_HOMES = {
    "Candidate": "registering",
    "CandidateRefusedError": "registering",
    "Card": "reading",
    "CardVerdict": "verdict",
    "EVIDENCE_URI": "lint",
    "EXPERTS": "coverage",
    "ExpertCoverage": "coverage",
    "FetchRefusedError": "fetching",
    "FetchRules": "fetching",
    "Problem": "problems",
    "SafetyExpert": "coverage",
    "SignatureReport": "signatures",
    "SignatureResult": "signatures",
    "TrustStore": "trust",
    "TrustedKey": "trust",
    "check_card": "checking",
    "fetch_card": "fetching",
    "make_key": "signing",
    "read_card": "reading",
    "read_private_key": "signing",
    "register_expert": "registering",
    "seal_verdict": "sealed",
    "sign_card": "signing",
    "starter_card": "starter",
    "to_sarif": "sarif",
    "verify_signatures": "signatures",
}

__all__ = [
    "EVIDENCE_URI",
    "EXPERTS",
    "Candidate",
    "CandidateRefusedError",
    "Card",
    "CardVerdict",
    "ExpertCoverage",
    "FetchRefusedError",
    "FetchRules",
    "Problem",
    "SafetyExpert",
    "SignatureReport",
    "SignatureResult",
    "TrustStore",
    "TrustedKey",
    "check_card",
    "fetch_card",
    "make_key",
    "read_card",
    "read_private_key",
    "register_expert",
    "seal_verdict",
    "sign_card",
    "starter_card",
    "to_sarif",
    "verify_signatures",
]


def __getattr__(name: str) -> Any:
    """Import a public name from its own module when it is first used."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
