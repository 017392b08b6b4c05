"""What cards of either version say in common, each thing with the path it stands at.

A card may be of the wrong form: what cannot be read is passed over here, for the form says so.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final, NamedTuple

from quorate.cards.form import V0_3, objects
from quorate.cards.problems import Path

_KINDS_1_0: Final = {
    "apiKeySecurityScheme": "apiKey",
    "httpAuthSecurityScheme": "http",
    "oauth2SecurityScheme": "oauth2",
    "openIdConnectSecurityScheme": "openIdConnect",
    "mtlsSecurityScheme": "mutualTLS",
}


class Interface(NamedTuple):
    """One address at which the agent is reached.

    Attributes:
        path: where it stands; of the main one of 0.3, the card itself.
        url: the address.
        url_path: where the address stands.
        binding: the protocol spoken there; ``None`` where it is left to the default.
        binding_path: where that stands.
        version: the version of A2A spoken there, if it is said.
        version_path: where that stands.
        tenant: which of several agents there, if it is said.
    """

    path: Path
    url: Any
    url_path: Path
    binding: Any
    binding_path: Path
    version: Any
    version_path: Path
    tenant: Any = None


def interfaces(card: dict[str, Any], version: str) -> list[Interface]:
    """All interfaces, the preferred one first."""
    if version != V0_3:
        return [
            Interface(
                path,
                item.get("url"),
                (*path, "url"),
                item.get("protocolBinding"),
                (*path, "protocolBinding"),
                item.get("protocolVersion"),
                (*path, "protocolVersion"),
                item.get("tenant"),
            )
            for path, item in objects(card.get("supportedInterfaces"), ("supportedInterfaces",))
        ]
    stated, at = card.get("protocolVersion"), ("protocolVersion",)
    transport = card.get("preferredTransport")
    main = Interface((), card.get("url"), ("url",), transport, ("preferredTransport",), stated, at)
    others = [
        Interface(
            path,
            item.get("url"),
            (*path, "url"),
            item.get("transport"),
            (*path, "transport"),
            stated,
            at,
        )
        for path, item in objects(card.get("additionalInterfaces"), ("additionalInterfaces",))
    ]
    return [main, *others]


class Scheme(NamedTuple):
    """One security scheme.

    Attributes:
        path: where its members stand.
        kind: as OpenAPI calls it: apiKey, http, mutualTLS, oauth2 or openIdConnect.
        content: its members.
    """

    path: Path
    kind: str
    content: dict[str, Any]


def schemes(card: dict[str, Any], version: str) -> dict[str, Scheme]:
    """Security schemes by name; those that cannot be read are left out."""
    found: dict[str, Scheme] = {}
    declared = card.get("securitySchemes")
    for name, item in declared.items() if isinstance(declared, dict) else ():
        if not isinstance(item, dict):
            continue
        path: Path = ("securitySchemes", name)
        if version == V0_3:
            found[name] = Scheme(path, str(item.get("type")), item)
            continue
        for member, kind in _KINDS_1_0.items():
            if isinstance(item.get(member), dict):
                found[name] = Scheme((*path, member), kind, item[member])
    return found


def declared_schemes(card: dict[str, Any]) -> set[str]:
    """Names of all security schemes, readable or not."""
    declared = card.get("securitySchemes")
    return set(declared) if isinstance(declared, dict) else set()


class Requirement(NamedTuple):
    """One scheme that is asked for, by the card or by a skill.

    Attributes:
        path: where it stands.
        name: of the scheme.
        scopes: that are asked for.
    """

    path: Path
    name: str
    scopes: list[Any]


def requirements(card: dict[str, Any], version: str) -> Iterator[Requirement]:
    """Every scheme asked for, by the card first, then by its skills."""
    yield from _required_by(card, (), version)
    for path, skill in objects(card.get("skills"), ("skills",)):
        yield from _required_by(skill, path, version)


def _required_by(holder: dict[str, Any], path: Path, version: str) -> Iterator[Requirement]:
    member = "security" if version == V0_3 else "securityRequirements"
    for at, item in objects(holder.get(member), (*path, member)):
        named = item
        if version != V0_3:
            at = (*at, "schemes")  # noqa: PLW2901 - where the names stand
            named = item.get("schemes", {})
        for name, scopes in named.items() if isinstance(named, dict) else ():
            listed = scopes.get("list") if isinstance(scopes, dict) else scopes
            yield Requirement((*at, name), name, listed if isinstance(listed, list) else [])


def flows(scheme: Scheme) -> Iterator[tuple[Path, str, dict[str, Any]]]:
    """The flows of an OAuth 2 scheme: path, name, content."""
    declared = scheme.content.get("flows")
    for name, flow in declared.items() if isinstance(declared, dict) else ():
        if isinstance(flow, dict):
            yield (*scheme.path, "flows", name), name, flow


def extensions(card: dict[str, Any]) -> Iterator[tuple[Path, dict[str, Any]]]:
    """The protocol extensions that the card declares."""
    capabilities = card.get("capabilities")
    if isinstance(capabilities, dict):
        yield from objects(capabilities.get("extensions"), ("capabilities", "extensions"))
