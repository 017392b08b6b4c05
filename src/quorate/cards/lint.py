"""What a card says against its own sense: names that do not meet, media types, what misleads."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, Final

from quorate.cards.form import V0_3, objects
from quorate.cards.hints import near
from quorate.cards.locating import texts
from quorate.cards.problems import Path, Problem, error, warning, where
from quorate.cards.urls import lint_urls
from quorate.cards.views import (
    Interface,
    declared_schemes,
    extensions,
    flows,
    interfaces,
    requirements,
    schemes,
)

BINDINGS: Final = ("GRPC", "HTTP+JSON", "JSONRPC")
EVIDENCE_URI: Final = "urn:quorate:a2a:evidence:1"
"""Names the extension whose params hold evidence."""

_CONTROLS: Final = r"\x00-\x1f\x7f"
_WORD: Final = r"[\w!#$%&'*+.^`|~-]+"
# No part can begin with what the one before it ends with, so there is one way to read a text:
# with two for each of its parameters, refusing a text would take time by a power of two.
_MEDIA_TYPE: Final = re.compile(
    r"(?:[A-Za-z0-9][\w!#$&^.+-]{0,126}|\*)/(?:[A-Za-z0-9][\w!#$&^.+-]{0,126}|\*)"
    rf'(?:[ \t]*;[ \t]*{_WORD}=(?:{_WORD}|"(?:[^"\\{_CONTROLS}]|\\[^{_CONTROLS}])*"))*',
    re.ASCII,
)
_SHORTHANDS: Final = frozenset({"audio", "data", "file", "image", "text", "video"})
_MOST_MEDIA_TYPE: Final = 512
_MOST_HINTS: Final = 20
_VERSION: Final = re.compile(r"\d{1,9}\.\d{1,9}(\.\d{1,9})?")
_OLD_VERSION: Final = re.compile(r"0\.[0-2](\..*)?")
_SECRET_TEXTS: Final = (
    ("a private key", re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY")),
    ("an access key", re.compile(r"\b(AKIA|ASIA)[A-Z0-9]{16}\b")),
    ("a token", re.compile(r"\b(ghp|gho|ghs|github_pat|glpat|xox[abprs])[-_][A-Za-z0-9_-]{16,}")),
    ("an API key", re.compile(r"\bsk-[A-Za-z0-9_-]{20,}")),
)
_BIDI: Final = re.compile("[\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]")
# What no font shows: Default_Ignorable_Code_Point of Unicode, further format characters, the
# blank of Braille, fillers; then what no standard says how to show: private use, no characters.
# By number and not by the tables of this Python, for a sealed verdict is computed by another.
_INVISIBLE: Final = re.compile(
    "[\u00ad\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200d\u2060-\u206f\u2800\u3164"
    "\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufffb\U00013430-\U0001343f\U0001bca0-\U0001bca3"
    "\U0001d173-\U0001d17a\U000e0000-\U000e0fff"
    "\ue000-\uf8ff\U000f0000-\U0010ffff\ufdd0-\ufdef\ufffe\uffff]"
)
# Joiners between letters of scripts that are written with them, or between emoji; and what
# chooses the picture of an emoji.
_JOINED: Final = (
    "\u0600-\u1cff\u2190-\u2bff\ua800-\uabff\ufe0f\U00010a00-\U000120ff\U0001f000-\U0001faff"
)
_IN_PLACE: Final = re.compile(
    f"(?<=[{_JOINED}])[\u200c\u200d](?=[{_JOINED}])"
    "|(?<=[\u00a9\u00ae\u203c-\u2bff\u3030\u303d\u3297\u3299\U0001f000-\U0001faff])[\ufe0e\ufe0f]"
    "|(?<=[#*0-9])\ufe0f(?=\u20e3)"
)
_CONTROL: Final = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u2028\u2029]")


def lint(card: dict[str, Any], version: str) -> Iterator[Problem]:
    """Look at what a card says; of a form that is wrong, at what can be read."""
    yield from lint_urls(card, version)
    yield from _bindings(card, version)
    yield from _skills(card)
    yield from _media_types(card)
    yield from _schemes(card, version)
    yield from _extended(card, version)
    yield from _requirements(card, version)
    yield from _extensions(card)
    yield from _texts(card)


def _bindings(card: dict[str, Any], version: str) -> Iterator[Problem]:
    seen: dict[tuple[Any, ...], Path] = {}
    listed = interfaces(card, version)
    for each in listed:
        if isinstance(each.binding, str) and each.binding.strip():
            yield from _binding(each.binding, each.binding_path)
        if isinstance(each.version, str) and each.version.strip() and version != V0_3:
            yield from _protocol_version(each.version, each.version_path)
        yield from _repeated(each, seen, version)
    main = listed[0] if version == V0_3 and listed else None
    if main is not None and len(listed) > 1:
        main_pair = (str(main.url), str(main.binding or "JSONRPC"))
        if main_pair not in {(str(each.url), str(each.binding)) for each in listed[1:]}:
            yield warning(
                ("additionalInterfaces",), "interfaces", "does not list the main url with its "
                "transport; A2A 0.3 asks for all interfaces here"
            )  # fmt: skip


def _repeated(
    each: Interface, seen: dict[tuple[Any, ...], Path], version: str
) -> Iterator[Problem]:
    # In 0.3 the main address may stand among the others once more.
    if version == V0_3 and not each.path:
        return
    key = (str(each.url), str(each.binding), str(each.version), str(each.tenant))
    if key in seen:
        yield warning(each.path, "interfaces", f"is the same as {where(seen[key])}; leave one out")
    seen.setdefault(key, each.path)


def _binding(binding: str, path: Path) -> Iterator[Problem]:
    if binding in BINDINGS:
        return
    if "://" in binding or binding.startswith("urn:"):
        yield warning(path, "transport", "is a protocol of its own, which few clients speak")
        return
    known = ", ".join(f'"{name}"' for name in BINDINGS)
    hint = near(binding, BINDINGS)
    yield error(
        path, "transport", f"is {binding[:40]!r}; give one of {known}, or the URI of another{hint}"
    )


def _protocol_version(stated: str, path: Path) -> Iterator[Problem]:
    if not _VERSION.fullmatch(stated):
        yield error(path, "version", f'is {stated[:40]!r}; give a version such as "1.0"')
    elif _OLD_VERSION.fullmatch(stated):
        yield error(path, "version", f"is {stated[:40]!r}, older than 0.3, the oldest that is read")
    elif not stated.startswith(("1.", "0.3")):
        yield warning(path, "version", f"is {stated[:40]!r}; known are 1.0 and 0.3")


def _skills(card: dict[str, Any]) -> Iterator[Problem]:
    seen: dict[str, Path] = {}
    for path, skill in objects(card.get("skills"), ("skills",)):
        id_ = skill.get("id")
        if isinstance(id_, str) and id_.strip():
            if id_ in seen:
                yield error(
                    (*path, "id"), "unique", f"is {id_[:40]!r}, the id of {where(seen[id_])} too; "
                    "give each skill an id of its own"
                )  # fmt: skip
            elif id_ != id_.strip() or re.search(r"\s", id_):
                yield warning((*path, "id"), "id", "holds spaces; ids are used in programs")
            seen.setdefault(id_, path)
        tags = skill.get("tags")
        if isinstance(tags, list) and len(set(map(str, tags))) < len(tags):
            yield warning((*path, "tags"), "unique", "holds a tag twice")


def _media_types(card: dict[str, Any]) -> Iterator[Problem]:
    yield from _modes(card, (), ("defaultInputModes", "defaultOutputModes"))
    for path, skill in objects(card.get("skills"), ("skills",)):
        yield from _modes(skill, path, ("inputModes", "outputModes"))


def _modes(holder: dict[str, Any], path: Path, names: tuple[str, ...]) -> Iterator[Problem]:
    for name in names:
        listed = holder.get(name)
        for place, mode in enumerate(listed if isinstance(listed, list) else ()):
            at = (*path, name, place)
            if not isinstance(mode, str) or not mode.strip():
                continue
            if len(mode) <= _MOST_MEDIA_TYPE and _MEDIA_TYPE.fullmatch(mode):
                continue
            if mode in _SHORTHANDS:
                yield warning(
                    at, "media-type", f'is "{mode}"; give a media type such as "text/plain"'
                )
            else:
                yield error(
                    at, "media-type", f'is {mode[:40]!r}; give a media type such as "text/plain"'
                )


def _schemes(card: dict[str, Any], version: str) -> Iterator[Problem]:
    for scheme in schemes(card, version).values():
        content = scheme.content
        if scheme.kind == "apiKey":
            member = "in" if version == V0_3 else "location"
            place, at = content.get(member), (*scheme.path, member)
            if isinstance(place, str) and place and place not in {"header", "query", "cookie"}:
                yield error(
                    at, "security-scheme", f'is {place[:40]!r}; give "header", "query" or "cookie"'
                )
            elif place == "query":
                yield warning(
                    at, "security-scheme", "keys in addresses end up in logs; use a header"
                )
        elif scheme.kind == "http" and str(content.get("scheme")).casefold() == "basic":
            yield warning(
                (*scheme.path, "scheme"), "security-scheme", "sends the password with every call"
            )
        for path, name, _ in flows(scheme):
            if name in {"implicit", "password"}:
                yield warning(path, "security-scheme", f"the {name} flow is withdrawn by OAuth 2.1")


def _extended(card: dict[str, Any], version: str) -> Iterator[Problem]:
    path: Path = ("supportsAuthenticatedExtendedCard",)
    extended = card.get("supportsAuthenticatedExtendedCard")
    capabilities = card.get("capabilities")
    if version != V0_3:
        path = ("capabilities", "extendedAgentCard")
        extended = capabilities.get(path[-1]) if isinstance(capabilities, dict) else None
    if extended is True and not declared_schemes(card):
        told = "promises a card to who is known, and no scheme tells who is"
        yield warning(path, "security", told)


def _offered(card: dict[str, Any], version: str) -> dict[str, set[str]]:
    """The scopes that the flows of each OAuth 2 scheme offer."""
    return {
        name: {
            scope
            for _, _, flow in flows(scheme)
            for scope in (flow["scopes"] if isinstance(flow.get("scopes"), dict) else ())
        }
        for name, scheme in schemes(card, version).items()
        if scheme.kind == "oauth2"
    }


def _requirements(card: dict[str, Any], version: str) -> Iterator[Problem]:
    declared, offered = declared_schemes(card), _offered(card, version)
    used = set()
    unknown = 0
    known = f"there are {', '.join(sorted(declared)[:5])}" if declared else "there is none"
    for each in requirements(card, version):
        used.add(each.name)
        if each.name not in declared:
            unknown += 1
            hint = near(each.name, declared) if unknown <= _MOST_HINTS else ""
            yield error(
                each.path, "security-scheme", f"names no scheme of securitySchemes; {known}{hint}"
            )
            continue
        if each.name not in offered:
            continue
        lacking = sorted({str(scope) for scope in each.scopes} - offered[each.name])
        if lacking:
            yield error(
                each.path, "security-scheme", f"asks for the scope {lacking[0][:40]!r}, which no "
                "flow of that scheme offers"
            )  # fmt: skip
    member = "security" if version == V0_3 else "securityRequirements"
    for path, item in objects(card.get(member), (member,)):
        if not (item if version == V0_3 else item.get("schemes")):
            told = (
                "asks for nothing, and one of the list suffices: whoever finds the agent can use it"
            )
            yield warning(path, "security", told)
    for name in sorted(declared - used):
        yield warning(("securitySchemes", name), "security", "is required nowhere")
    if not declared:
        yield warning(
            (), "security", "declares no security scheme: whoever finds the agent can use it"
        )


def _extensions(card: dict[str, Any]) -> Iterator[Problem]:
    seen: dict[str, Path] = {}
    for path, extension in extensions(card):
        uri = extension.get("uri")
        if not isinstance(uri, str):
            continue
        if uri in seen:
            make = error if uri == EVIDENCE_URI else warning
            yield make((*path, "uri"), "unique", f"names the extension of {where(seen[uri])} too")
        seen.setdefault(uri, path)


def _texts(card: dict[str, Any]) -> Iterator[Problem]:
    for path, text in texts({name: card[name] for name in card if name != "signatures"}):
        for what, pattern in _SECRET_TEXTS:
            if pattern.search(text):
                yield error(
                    path, "secret", f"holds what looks like {what}; take it out and revoke it"
                )
        if _CONTROL.search(text):
            yield error(
                path, "characters", "holds control characters, which no reader should be shown"
            )
        elif _BIDI.search(text) or _INVISIBLE.search(_IN_PLACE.sub("", text)):
            yield error(
                path, "characters", "holds characters that are not seen, or turn the direction of "
                "what is: it can read otherwise than it is written"
            )  # fmt: skip
        elif _IN_PLACE.search(text):
            yield warning(
                path, "characters", "holds joiners or choosers of emoji, which are hardly seen: "
                "another text can look the same"
            )  # fmt: skip
