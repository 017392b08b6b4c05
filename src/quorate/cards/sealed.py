"""Verdicts on cards in a ledger: entries of the kind ``card``.

The body holds all that the verdict was computed from, so replay computes it again::

    {"rule": "card/1",
     "card": the card as it was read,
     "trust": the trust store, or null,
     "policy": {"origin", "keys", "signatures"} of those who may seal evidence, or null,
     "evidence": what was given beside the card, or null,
     "system": what was declared of the agent, or null,
     "profile": "core" or "full",
     "as_of": the day,
     "verdict": as CardVerdict.to_dict() writes it}
"""

from __future__ import annotations

from typing import Any, Final, NoReturn

from quorate.arbitration.forms import members, shown
from quorate.cards.checking import check_card
from quorate.cards.trust import TrustStore
from quorate.cards.verdict import CardVerdict
from quorate.core.canonical import canonical
from quorate.core.errors import QuorateError, UsageError, VerificationError
from quorate.core.identity import Ed25519Verifier
from quorate.ledger import Ledger, Policy, Receipt

KIND: Final = "card"
RULE: Final = "card/1"
_PROFILES: Final = ("core", "full")
_INPUTS: Final = ("card", "trust", "policy", "evidence", "system", "profile", "as_of")


def seal_verdict(ledger: Ledger, verdict: CardVerdict) -> Receipt:
    """Seal a verdict with all that it was computed from.

    Raises:
        UsageError: it was read from JSON, so that is not at hand; the card could not be
            read; the profile is one's own, or a key of the policy a shared secret, which
            nobody else could compute it again with.
        StoreError: it could not be written.
    """
    inputs = verdict.inputs
    if inputs is None:
        raise UsageError("a verdict read from JSON is not sealed; check the card again")
    if inputs.content is None:
        raise UsageError("the card could not be read, so there is no card to seal a verdict on")
    if inputs.profile not in _PROFILES:
        raise UsageError(
            f"the profile {shown(inputs.profile)} is one's own; sealed are verdicts under core or "
            "full, which anyone can compute again"
        )
    body = {
        "rule": RULE,
        "card": inputs.content,
        "trust": inputs.trust,
        "policy": inputs.policy,
        "evidence": inputs.evidence,
        "system": inputs.system,
        "profile": inputs.profile,
        "as_of": verdict.as_of,
        "verdict": verdict.to_dict(),
    }
    _policy(inputs.policy)
    return ledger.append(KIND, body)


def replay(kind: str, body: object, context: Any = None) -> None:
    """Compute a sealed verdict again; return only if nothing differs.

    Args:
        kind: must be ``"card"``.
        body: the sealed body.
        context: of the log; not looked at, for a verdict on a card stands by itself.

    Raises:
        VerificationError: rule ``"replay"``; says what differs.
    """
    del context
    if kind != KIND:
        _refuse(f"kind {kind!r} is no verdict on a card")
    try:
        form = members(body, "the body", (*_INPUTS, "rule", "verdict"))
        if form["rule"] != RULE:
            _refuse(f"rule {shown(form['rule'])} is unknown; this version replays {RULE}")
        if form["profile"] not in _PROFILES:
            _refuse(f"profile {shown(form['profile'])} is none of {' and '.join(_PROFILES)}")
        sealed = CardVerdict.from_dict(form["verdict"])
        again = check_card(
            _object(form["card"], "card"),
            as_of=form["as_of"],
            trust=None if form["trust"] is None else TrustStore.from_dict(form["trust"]),
            evidence_policy=_policy(form["policy"]),
            evidence=None if form["evidence"] is None else _object(form["evidence"], "evidence"),
            system=None if form["system"] is None else _object(form["system"], "system"),
            profile=form["profile"],
        )
    except VerificationError:
        raise
    except (QuorateError, KeyError, TypeError, ValueError, AttributeError) as error:
        _refuse(f"it cannot be computed again: {error}")
    _compare(sealed, again)


def _compare(sealed: CardVerdict, again: CardVerdict) -> None:
    old, new = sealed.to_dict(), again.to_dict()
    versions = [each.ai_act.catalogue_version for each in (sealed, again)]
    if versions[0] != versions[1]:
        _refuse(
            f"it was reached under the catalogue {versions[0]}, and this is {versions[1]}: verify "
            "it with the version of Quorate that sealed it"
        )
    for name, value in new.items():
        if canonical(value) != canonical(old[name]):
            said = ", computed again it is ".join(
                shown(each) if isinstance(each, str | bool) else "another"
                for each in (old[name], value)
            )
            _refuse(f"{name} is {said}")


def _object(value: Any, name: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise UsageError(f"{name} is {shown(value)}; it is an object")
    return value


def _policy(form: Any) -> Policy | None:
    if form is None:
        return None
    told = members(form, "the policy", ("origin", "keys", "signatures"))
    keys = told["keys"]
    if not isinstance(keys, list) or not all(isinstance(key, str) for key in keys):
        raise UsageError("the keys of the policy are a list of texts")
    secret = next((key for key in keys if not key.startswith("ed25519:")), None)
    if secret is not None:
        raise UsageError(
            "the policy names a shared secret, with which nobody else could compute the verdict "
            "again; give public keys"
        )
    verifiers = tuple(Ed25519Verifier.from_text(key) for key in keys)
    return Policy(verifiers, told["signatures"], told["origin"])


def _refuse(message: str) -> NoReturn:
    raise VerificationError(message, rule="replay")
