"""Addresses in a card: absolute, encrypted, without credentials in them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, Final
from urllib.parse import SplitResult, parse_qsl, urlsplit

from quorate.cards.addresses import disguised, literal, not_public
from quorate.cards.form import V0_3
from quorate.cards.problems import Path, Problem, error, warning
from quorate.cards.views import extensions, flows, interfaces, schemes

_SECRETS: Final = re.compile(
    r"(^|[_-])(api-?key|apikey|access-?token|auth|credential|key|passwd|password|pwd|secret|sig"
    r"|signature|token)s?$",
    re.IGNORECASE,
)
_HOST_PORT: Final = re.compile(r"[A-Za-z0-9.-]+:\d{1,5}|\[[0-9a-fA-F:.]+\]:\d{1,5}")
_URI: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:\S+")
_LOCAL: Final = (".localhost", ".local", ".internal", ".lan", ".home.arpa")
_OAUTH_URLS: Final = (
    "authorizationUrl", "tokenUrl", "refreshUrl", "deviceAuthorizationUrl",
)  # fmt: skip


def lint_urls(card: dict[str, Any], version: str) -> Iterator[Problem]:
    """Look at every address in a card."""
    for each in interfaces(card, version):
        grpc = str(each.binding).upper() == "GRPC"
        yield from _address(each.url, each.url_path, grpc=grpc, called=True)
    provider = card.get("provider")
    if isinstance(provider, dict):
        yield from _address(provider.get("url"), ("provider", "url"))
    for name in ("documentationUrl", "iconUrl"):
        yield from _address(card.get(name), (name,))
    for scheme in schemes(card, version).values():
        for name in ("openIdConnectUrl", "oauth2MetadataUrl"):
            yield from _address(scheme.content.get(name), (*scheme.path, name), called=True)
        for path, _, flow in flows(scheme):
            for name in _OAUTH_URLS:
                yield from _address(flow.get(name), (*path, name), called=True)
    for path, extension in extensions(card):
        yield from _uri(extension.get("uri"), (*path, "uri"), version)


def _address(
    url: Any, path: Path, *, called: bool = False, grpc: bool = False
) -> Iterator[Problem]:
    """One address; ``called``: agents send requests there, so nothing may be open."""
    if not isinstance(url, str) or not url.strip():
        return
    if grpc and _HOST_PORT.fullmatch(url):
        yield warning(path, "url", "is a host and port; A2A asks for an absolute https address")
        return
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError as unfit:
        yield error(path, "url", f"cannot be read as an address: {unfit}")
        return
    if re.search(r"[\s\\<>\"{}|^`]|[^\x20-\x7e]", url):
        yield error(
            path, "url", "holds characters that no address has; percent-encode them, and write "
            "the host in punycode"
        )  # fmt: skip
        return
    if parts.scheme not in {"http", "https"} or not host:
        yield error(path, "url", "is no absolute address; give one such as https://host/path")
        return
    yield from _open_parts(parts, path)
    local = _local(host)
    if disguised(host):
        yield error(path, "url", f"has the host {host}, a number in place of an address")
    elif local:
        yield warning(
            path, "url-local", f"leads to {host}, which is {local}: others cannot reach it"
        )
    if parts.scheme == "http":
        make = warning if local or not called else error
        yield make(
            path, "https", "is plain http, for all on the way to read and to change; use https"
        )
    if port == 0:
        yield error(path, "url", "has port 0, which nobody answers at")


def _open_parts(parts: SplitResult, path: Path) -> Iterator[Problem]:
    if parts.username is not None or parts.password is not None:
        yield error(
            path, "url-credentials", "holds a name or password, for every reader of the card; "
            "take it out and declare a security scheme"
        )  # fmt: skip
    for name, value in parse_qsl(parts.query, max_num_fields=None):
        if value and _SECRETS.search(name):
            yield error(
                path, "url-credentials", f"holds the parameter {name[:40]!r}, a credential for "
                "every reader of the card; take it out and declare a security scheme"
            )  # fmt: skip
            break
    if parts.fragment:
        yield warning(path, "url", "has a fragment, which is never sent; leave it out")


def _local(host: str) -> str | None:
    address = literal(host.split("%", 1)[0])
    if address is not None:
        return not_public(address)
    if host == "localhost" or host.endswith(_LOCAL):
        return "a name of a local network"
    return None


def _uri(uri: Any, path: Path, version: str) -> Iterator[Problem]:
    if uri is None and version != V0_3:
        yield error(path, "required", "is missing; give the URI that names the extension")
    elif isinstance(uri, str) and not uri.strip():
        yield error(path, "required", "is empty; give the URI that names the extension")
    elif isinstance(uri, str) and not _URI.fullmatch(uri):
        yield error(
            path, "uri", 'is no absolute URI; give one such as "https://example.com/ext/v1"'
        )
