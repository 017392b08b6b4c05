"""Checking a card: its form, its signatures, its evidence; together the verdict."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from pathlib import Path
from typing import Any

from quorate.cards import bounds
from quorate.cards.coverage import PROFILE, coverage
from quorate.cards.evidence import evidence_of, system_of, together
from quorate.cards.problems import error
from quorate.cards.reading import Card, read_card
from quorate.cards.signatures import UNCHECKED, SignatureReport, verify_signatures
from quorate.cards.trust import TrustStore
from quorate.cards.verdict import CardInputs, CardVerdict
from quorate.compliance import EvidenceSet, System, evaluate
from quorate.compliance.times import read_day
from quorate.core.canonical import CanonicalError, canonical, parse
from quorate.core.errors import UsageError
from quorate.core.identity import Ed25519Verifier
from quorate.core.text import shortened
from quorate.ledger import Policy
from quorate.ledger.files import read_text

Evidence = EvidenceSet | Mapping[str, Any] | str | Path
"""A set of evidence, its JSON, a mapping of fields to items, or a file of it."""


def check_card(
    card: Card | str | bytes | Mapping[str, Any],
    *,
    as_of: date | str,
    trust: TrustStore | None = None,
    evidence_policy: Policy | None = None,
    evidence: Evidence | None = None,
    system: System | Mapping[str, Any] | None = None,
    profile: str = "core",
) -> CardVerdict:
    """Check an agent card, as it stands on the day ``as_of``.

    Args:
        card: its JSON text, the object, or what :func:`~quorate.cards.reading.read_card` gave.
        as_of: the day in UTC, a date or ``YYYY-MM-DD``.
        trust: whose signatures count; without it none does, and the card cannot pass.
        evidence_policy: keys that may seal evidence; without it none counts as sealed.
        evidence: beside that of the card.
        system: what applies to the agent: role, category, conditions; where left out, as the
            evidence beside the card declares. Its name and version are the card's.
        profile: of the AI Act, ``"core"``, ``"full"``, or the path of one's own.

    Raises:
        UsageTypeError: the card is neither text nor an object, or the day is of another type.
        UsageError: the day, the profile, the system or the evidence cannot be read.
        OperationalError: a file cannot be read.
    """
    day = read_day(as_of, "as_of")
    read = card if isinstance(card, Card) else read_card(card)
    content = read.content or {}
    beside = _as_json(evidence)
    given = EvidenceSet() if beside is None else EvidenceSet.read(beside)
    own, wrong = evidence_of(content)
    declared = given.system if system is None else System.read(system)
    subject = system_of(content, declared)
    try:
        items = together(own, given)
    except UsageError as unfit:
        wrong = [*wrong, error(("capabilities", "extensions"), "evidence", shortened(str(unfit)))]
        items = given
    shown, act = (
        evaluate(items, each, day, system=subject, policy=evidence_policy)
        for each in (PROFILE, profile)
    )
    problems, left_out = _bounded((*read.problems, *wrong), read.left_out)
    signatures = SignatureReport(UNCHECKED, 0 if trust is None else trust.signatures, ())
    if read.content is not None and read.version is not None:
        sound = read.valid and not wrong
        signatures = verify_signatures(content, read.version, trust, valid=sound)
    return CardVerdict(
        digest=read.digest,
        name=_text(content.get("name")),
        version=_text(content.get("version")),
        protocol=read.version,
        because=read.because,
        as_of=day.isoformat(),
        problems=problems,
        left_out=left_out,
        signatures=signatures,
        coverage=coverage(shown),
        ai_act=act,
        inputs=CardInputs(
            content=read.content,
            trust=None if trust is None else trust.to_dict(),
            policy=None if evidence_policy is None else _policy_as_json(evidence_policy),
            evidence=beside,
            system=None if system is None else System.read(system).to_dict(),
            profile=profile,
        ),
    )


def _text(value: Any) -> str | None:
    return value[: bounds.MAX_TEXT_LENGTH] if isinstance(value, str) and value else None


def _bounded(problems: tuple[Any, ...], left_out: int) -> tuple[tuple[Any, ...], int]:
    kept = problems[: bounds.MAX_PROBLEMS]
    return kept, left_out + len(problems) - len(kept)


def _as_json(evidence: Evidence | None) -> Any:
    """Evidence as JSON, as it came: what is wrong in it is part of the verdict."""
    if evidence is None:
        return None
    if isinstance(evidence, EvidenceSet):
        return evidence.to_dict()
    try:
        if isinstance(evidence, str | Path):
            return parse(read_text(evidence, "evidence file", bounds.MAX_EVIDENCE_BYTES))
        return parse(canonical(dict(evidence)))
    except CanonicalError as unfit:
        raise UsageError(f"the evidence cannot be read: {unfit}") from unfit


def _policy_as_json(policy: Policy) -> dict[str, Any]:
    """A policy as its file says it; a shared secret is left out, and named so."""
    keys = [
        each.to_text() if isinstance(each, Ed25519Verifier) else f"{each.algorithm}:not shown"
        for each in policy.verifiers
    ]
    return {"origin": policy.origin, "keys": keys, "signatures": policy.signatures}
