"""Members of 0.3 that stand beside those of 1.0 say the same as these.

A signature of 1.0 covers the members of 1.0 alone, so an agent of 0.3 could otherwise be sent
anywhere by who changes ``url`` in a signed card. So each has the form that it has in 0.3, with
no member more and nothing that is null, and then says the same.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from quorate.cards.form import V1_0, check_member, objects
from quorate.cards.problems import Path, Problem, error, warning, where
from quorate.cards.views import interfaces, schemes

# Of a security scheme all that is said is compared, so it needs no form of its own.
_FORMS: Final = {"skills": "AgentSkill", "capabilities": "AgentCapabilities"}
_UNSIGNED: Final = "a signature does not cover it, so it has to say the same"


def check_beside(card: dict[str, Any], beside: dict[Path, Any]) -> Iterator[Problem]:
    """Find the members of 0.3 that say anything else.

    Args:
        card: a card of both versions.
        beside: its members of 0.3 by path, as its form was found to have.
    """
    for path, value in beside.items():
        member, inside = path[-1], path[:-1]
        if value is None:
            yield error(path, "null", "is null, which no signature covers; leave it out")
            continue
        form = "AgentCard" if inside == () else _FORMS.get(str(path[0]))
        if form is not None:
            yield from check_member(form, str(member), value, path)
        if inside == ():
            yield from _of_card(card, str(member), value, path)
        elif member == "security":
            yield from _needs(card, value, path)
        elif member == "stateTransitionHistory":
            yield warning(path, "beside", "1.0 has no such capability; leave it out")
        else:
            yield from _of_scheme(card, str(member), value, path)


def _of_card(card: dict[str, Any], member: str, value: Any, path: Path) -> Iterator[Problem]:
    if member == "security":
        yield from _needs(card, value, path)
    elif member == "supportsAuthenticatedExtendedCard":
        capabilities = card.get("capabilities")
        said = capabilities.get("extendedAgentCard") if isinstance(capabilities, dict) else None
        if value is not bool(said):
            there = where(("capabilities", "extendedAgentCard"))
            yield error(path, "beside", f"differs from {there}; {_UNSIGNED}")
    else:
        yield from _of_interfaces(card, member, value, path)


def _of_interfaces(card: dict[str, Any], member: str, value: Any, path: Path) -> Iterator[Problem]:
    there = interfaces(card, V1_0)
    pairs = {(repr(each.url), repr(each.binding)) for each in there}
    told = f"is none of supportedInterfaces; {_UNSIGNED} as one of them"
    if member == "additionalInterfaces":
        for at, item in objects(value, path):
            if (repr(item.get("url")), repr(item.get("transport"))) not in pairs:
                yield error(at, "beside", told)
    elif member == "protocolVersion":
        if repr(value) not in {repr(each.version) for each in there}:
            yield error(path, "beside", told)
    else:
        # The main address, or its transport alone where the address is missing.
        transport = card.get("preferredTransport", "JSONRPC")
        if "url" not in card or (repr(card["url"]), repr(transport)) not in pairs:
            yield error(path, "beside", told)


def _needs(card: dict[str, Any], value: Any, path: Path) -> Iterator[Problem]:
    holder: Any = card
    for step in path[:-1]:
        holder = holder[step]
    listed = holder.get("securityRequirements")
    # One by one: an alternative that asks for nothing is one, too.
    said = [_asked(item.get("schemes")) for _, item in objects(listed, ())]
    old = [sorted(item.items(), key=repr) for _, item in objects(value, ())]
    if not isinstance(value, list) or repr(said) != repr(old) or len(old) != len(value):
        there = where((*path[:-1], "securityRequirements"))
        yield error(path, "beside", f"differs from {there}; {_UNSIGNED}")


def _asked(named: Any) -> list[tuple[str, Any]]:
    """The schemes of one alternative of 1.0 and their scopes, as 0.3 writes them."""
    found = []
    for name, scopes in named.items() if isinstance(named, dict) else ():
        listed = scopes.get("list") if isinstance(scopes, dict) else scopes
        found.append((name, [] if listed is None else listed))
    return sorted(found, key=repr)


def _of_scheme(card: dict[str, Any], member: str, value: Any, path: Path) -> Iterator[Problem]:
    scheme = schemes(card, V1_0).get(str(path[1]))
    said = None
    if scheme is not None and member == "type":
        said = scheme.kind
    elif scheme is not None:
        said = scheme.content.get("location" if member == "in" else member)
    if not _within(value, said):
        yield error(path, "beside", f"differs from what the scheme says in 1.0; {_UNSIGNED}")


def _within(old: Any, new: Any) -> bool:
    """Whether what is said in 0.3 is all said in 1.0, which may say more: 0.3 has fewer flows."""
    if isinstance(old, dict) and isinstance(new, dict):
        return all(key in new and _within(item, new[key]) for key, item in old.items())
    return bool(old == new) and isinstance(old, bool) is isinstance(new, bool)
