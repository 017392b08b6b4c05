"""The bytes that the signatures of a card cover.

A2A 1.0: the card without ``signatures``, and without what says nothing: members that are
empty (texts, lists, objects, null), and flags and texts that have their default and whose
absence means the same; as RFC 8785 JSON. It is what the official SDK signs, and a test
compares the two. Members of 0.3 that stand beside are not covered.

What says nothing to protobuf can say a lot to a reader: a security requirement without scopes is
left out, and so is one that asks for nothing. So anyone can add and take out such things, and
the signature still fits. Ours carry a digest of the whole card in their protected header; that
of whoever does not is told to cover a part.

A2A 0.3 leaves open how a card is written for signing. Accepted are the card as it is published
without ``signatures``, as RFC 8785 JSON; and what the SDKs of that version signed, which have
the empty members left out and, some of them, the defaults. To the one in Python the ``type`` of
a security scheme is a default, too, and its older versions write what is not ASCII as escapes.
"""

from __future__ import annotations

import json
from typing import Any, Final

from quorate.cards.form import V0_3
from quorate.cards.shapes import FLAG, FORMS_1_0, FREE, LIST, MAP, TEXT, Field
from quorate.core.canonical import canonical, digest

WHOLE: Final = "urn:quorate:a2a:whole:1"
"""Names the member of a protected header that holds the digest of the whole card."""

_SECURITY: Final = frozenset({"security", "securityRequirements", "securitySchemes"})
_DEFAULTS_0_3: Final = {"preferredTransport": "JSONRPC", "protocolVersion": "0.3.0"}


def signed_forms(card: dict[str, Any], version: str) -> tuple[bytes, ...]:
    """The bytes that a signature of this card may cover; the first is what we sign.

    Args:
        card: of the form of its version.
        version: that it was read as.
    """
    bare = {name: value for name, value in card.items() if name != "signatures"}
    if version != V0_3:
        return (canonical(_cleaned(_known("AgentCard", bare))),)
    spare = {name: value for name, value in bare.items() if _DEFAULTS_0_3.get(name) != value}
    untyped = _cleaned(_untyped(spare))
    escaped = json.dumps(untyped, separators=(",", ":"), sort_keys=True).encode()
    forms = [canonical(form) for form in (bare, _cleaned(bare), _cleaned(spare), untyped)]
    return tuple(dict.fromkeys((*forms, escaped)))


def _untyped(card: dict[str, Any]) -> dict[str, Any]:
    """A card of 0.3 without the types of its security schemes, the default of their classes."""
    schemes = card.get("securitySchemes")
    if not schemes:
        return card
    bare = {
        name: {member: item for member, item in scheme.items() if member != "type"}
        for name, scheme in schemes.items()
    }
    return {**card, "securitySchemes": bare}


def whole_digest(card: dict[str, Any], version: str) -> str:
    """SHA-256 of all that a card says, 64 hex digits.

    Of a card of 1.0, what JSON of protobuf tells apart: servers that read it and write it again
    leave out empty texts and lists that their forms fix, or write them; nothing else is left out.
    Of one of 0.3, the card as it is published.
    """
    return digest(_whole(card, version))


def uncovered(card: dict[str, Any], version: str) -> str | None:
    """A member of the card of which the official SDK leaves something out of what is signed.

    One about security if there is one.
    """
    whole = _whole(card, version)
    members = sorted(whole, key=lambda name: name not in _SECURITY)
    return next((name for name in members if _cleaned(whole[name]) != whole[name]), None)


def _whole(card: dict[str, Any], version: str) -> dict[str, Any]:
    bare = {name: value for name, value in card.items() if name != "signatures"}
    return bare if version == V0_3 else _said("AgentCard", bare)


def _said(form: str, value: dict[str, Any]) -> dict[str, Any]:
    """The members of 1.0 that are not what their absence is, each with all that it holds."""
    found: dict[str, Any] = {}
    for name, each in FORMS_1_0[form].items():
        item = value.get(name)
        plain = each.kind in {TEXT, FLAG} or each.many
        if item is None or (plain and not item and not each.presence):
            continue
        if each.kind in {TEXT, FLAG, FREE}:
            found[name] = item
        elif each.many == LIST:
            found[name] = [_said(each.kind, one) for one in item]
        elif each.many == MAP:
            found[name] = {key: _said(each.kind, one) for key, one in item.items()}
        else:
            found[name] = _said(each.kind, item)
    return found


def _known(form: str, value: dict[str, Any]) -> dict[str, Any]:
    """The members of 1.0, without those that have a default which means absence."""
    found: dict[str, Any] = {}
    for name, each in FORMS_1_0[form].items():
        item = value.get(name)
        if item is None:
            continue
        if each.many == LIST:
            found[name] = [_inside(each, one) for one in item]
        elif each.many == MAP:
            found[name] = {key: _inside(each, one) for key, one in item.items()}
        elif each.kind != FLAG or item or each.presence:
            found[name] = _inside(each, item)
    return found


def _inside(each: Field, item: Any) -> Any:
    return item if each.kind in {TEXT, FLAG, FREE} or item is None else _known(each.kind, item)


def _cleaned(value: Any) -> Any:
    """Without empty texts, lists and objects, nor null; ``None`` where nothing is left."""
    if isinstance(value, dict):
        pairs = ((key, _cleaned(item)) for key, item in value.items())
        return {key: item for key, item in pairs if item is not None} or None
    if isinstance(value, list):
        return [item for item in map(_cleaned, value) if item is not None] or None
    return None if value == "" else value
