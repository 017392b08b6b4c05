"""The bytes that the signatures of a card cover.

A2A 1.0: the card without ``signatures``, and without what says nothing: members that are
empty (texts, lists, objects, null), and flags and texts that have their default and whose
absence means the same; as RFC 8785 JSON. It is what the official SDK signs, and a test
compares the two. Members of 0.3 that stand beside are not covered.

A2A 0.3 leaves open how a card is written for signing. Two ways are accepted: the card as it
is published without ``signatures``, as RFC 8785 JSON; and what the SDK of that version
signed, which has the empty members and the defaults left out besides.
"""

from __future__ import annotations

from typing import Any, Final

from quorate.cards.form import V0_3
from quorate.cards.shapes import FLAG, FORMS_1_0, FREE, LIST, MAP, TEXT, Field
from quorate.core.canonical import canonical

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
    forms = (canonical(bare), canonical(_cleaned(spare)))
    return tuple(dict.fromkeys(forms))


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
