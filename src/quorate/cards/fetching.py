"""Fetching a card by URL, without being sent where its address should not lead.

Who names a URL may want this machine to ask something that only this machine reaches. So
the host is resolved here, every address it has must be of the public internet, and the
connection goes to one of the very addresses that were looked at: a name that leads elsewhere
when it is asked again changes nothing. TLS is checked against the name. Each redirect is
looked at like the first URL. What comes is bounded in size and time; neither proxies,
cookies nor credentials are used.

Needs ``pip install "quorate[cards]"``.
"""

from __future__ import annotations

import asyncio
import importlib
import ipaddress
import re
import socket
import ssl
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import SplitResult, urljoin, urlsplit, urlunsplit

from quorate.arbitration.forms import shown
from quorate.cards import bounds
from quorate.cards.addresses import Address, disguised, literal, not_public
from quorate.core.calls import run_blocking
from quorate.core.errors import TransportError, UsageError, UsageTypeError
from quorate.core.text import printable, shortened
from quorate.hub.experts.remote import require

WELL_KNOWN: Final = "/.well-known/agent-card.json"
_OK: Final = 200
_REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})
_JSON: Final = re.compile(r"application/(?:[\w.+-]+\+)?json")
_CONNECT_SECONDS: Final = 10.0
_URL_CHARACTERS: Final = re.compile(r"[\x21\x23-\x3b\x3d\x3f-\x5b\x5d\x5f\x61-\x7a\x7e]+")

Resolve = Callable[[str, int], Awaitable[Sequence[str]]]
"""Gives the addresses of a host, as text."""

Judge = Callable[[Address], "str | None"]
"""Says why an address is not to be asked; ``None`` where it may be."""


class FetchRefusedError(TransportError):
    """The URL, or a redirect, leads where no card may be fetched from; nothing was sent there."""


async def resolve_by_system(host: str, port: int) -> Sequence[str]:
    """The addresses that this machine knows for a host."""
    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return [str(address[0]) for *_, address in found]


@dataclass(frozen=True, slots=True)
class FetchRules:
    """What may be fetched, and how.

    Attributes:
        insecure_http: plain http too, for all on the way to read and to change.
        insecure_private: addresses that are not of the public internet too.
        seconds: until the whole card has come, redirects included.
        resolve: gives the addresses of a host.
        judge: says which addresses are not to be asked.
        tls: checks certificates; the system's where left out.
    """

    insecure_http: bool = False
    insecure_private: bool = False
    seconds: float = bounds.MAX_FETCH_SECONDS
    resolve: Resolve = resolve_by_system
    judge: Judge = not_public
    tls: ssl.SSLContext | None = None


@dataclass(frozen=True, slots=True)
class Fetched:
    """What came.

    Attributes:
        url: it came from in the end.
        content: as it came.
        asked: the addresses that were asked, in order.
    """

    url: str
    content: bytes
    asked: tuple[str, ...] = field(default=())


@dataclass(frozen=True, slots=True)
class _Target:
    """A URL whose host was looked up: where to connect, and as whom to ask."""

    url: str
    parts: SplitResult
    host: str
    port: int
    addresses: tuple[Address, ...]


def is_url(text: str) -> bool:
    """Whether it is an address of the web, rather than a file's name."""
    return text.lower().startswith(("http://", "https://"))


def fetch_card(url: str, rules: FetchRules | None = None) -> Fetched:
    """Fetch a card; of an address without a path, the card at its well-known place.

    Raises:
        UsageTypeError: the url is no text.
        UsageError: no such address, or plain http.
        FetchRefusedError: it leads where none is fetched from.
        TransportError: it could not be fetched, is too large, or is no JSON.
        OperationalError: the package httpx2 is not installed.
    """
    return run_blocking(afetch_card(url, rules))


async def afetch_card(url: str, rules: FetchRules | None = None) -> Fetched:
    """The async twin of :func:`fetch_card`."""
    rules = FetchRules() if rules is None else rules
    require("httpx2", "cards")
    # Before anything is looked up: what is wrong with the url itself is the caller's fault.
    parts = checked_parts(url, insecure_http=rules.insecure_http)
    if parts.path in {"", "/"} and not parts.query:
        url = urlunsplit((parts.scheme, parts.netloc, WELL_KNOWN, "", ""))
    library = await asyncio.to_thread(importlib.import_module, "httpx2")
    tls = rules.tls
    if tls is None:
        tls = await asyncio.to_thread(library.create_ssl_context)
    assert tls is not None  # noqa: S101 - narrowed for the reader
    asked: list[str] = []
    try:
        async with asyncio.timeout(rules.seconds):
            for _ in range(bounds.MAX_REDIRECTS + 1):
                target = await _looked_up(url, rules)
                found = await _ask(library, tls, target, asked)
                if isinstance(found, bytes):
                    return Fetched(url, found, tuple(asked))
                url = _redirected(url, found, rules)
    except TimeoutError:
        raise TransportError(
            f"no whole card from {shown(url)} within {rules.seconds:g} s"
        ) from None
    raise TransportError(f"redirected more than {bounds.MAX_REDIRECTS} times, last to {shown(url)}")


async def acheck_address(url: str, rules: FetchRules) -> None:
    """See that a URL leads where may be asked, as it is resolved now; nothing is sent.

    Raises:
        UsageError: no such address, or plain http.
        FetchRefusedError: it leads where nothing is asked.
        TransportError: its host has no address, or none in time.
    """
    try:
        async with asyncio.timeout(rules.seconds):
            await _looked_up(url, rules)
    except TimeoutError:
        raise TransportError(f"no address of {shown(url)} within {rules.seconds:g} s") from None


def checked_parts(url: object, *, insecure_http: bool) -> SplitResult:
    """Check the form of a URL that is to be fetched, and take it apart.

    Raises:
        UsageTypeError: no text.
        UsageError: no such address, plain http, credentials in it, or a number for a host.
    """
    if not isinstance(url, str):
        raise UsageTypeError(f"the url is {shown(url)}; give text such as https://host/path")
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError as error:
        # Not the url itself: it may hold a password.
        raise UsageError(f"the url cannot be read: {error}") from error
    if parts.username is not None or parts.password is not None:
        raise UsageError("the url holds a name or password; cards are fetched without either")
    if not _URL_CHARACTERS.fullmatch(url) or parts.scheme not in {"http", "https"} or not host:
        raise UsageError(f"the url is {shown(url)}; give one such as https://host/path")
    if len(host.removesuffix(".")) > bounds.MAX_HOST_LENGTH:
        most = bounds.MAX_HOST_LENGTH
        raise UsageError(f"the host has {len(host)} characters; no name has more than {most}")
    if port == 0:
        raise UsageError("the url has port 0, which nobody answers at")
    if parts.scheme == "http" and not insecure_http:
        raise UsageError(
            f"{host} would be asked over plain http, where anyone on the way can change the card; "
            "use https, or --insecure-http"
        )
    if disguised(host) or "%" in host:
        raise UsageError(f"the host is {shown(host)}, a number in place of an address or a name")
    return parts


async def _looked_up(url: str, rules: FetchRules) -> _Target:
    parts = checked_parts(url, insecure_http=rules.insecure_http)
    host = parts.hostname or ""
    port = parts.port or (443 if parts.scheme == "https" else 80)
    written = literal(host)
    if written is not None:
        addresses = [written]
    else:
        try:
            texts = await rules.resolve(host, port)
            addresses = [ipaddress.ip_address(text) for text in dict.fromkeys(texts)]
        except (OSError, ValueError, UnicodeError) as error:
            raise TransportError(f"the host {host} has no address: {_line(error)}") from None
    if not addresses:
        raise TransportError(f"the host {host} has no address")
    addresses = addresses[: bounds.MAX_ADDRESSES]
    if not rules.insecure_private:
        for address in addresses:
            why = rules.judge(address)
            if why is not None:
                raise FetchRefusedError(
                    f"{host} leads to {address}, which is {why}; cards are fetched from the "
                    "public internet alone (for one of your own network: --insecure-private)"
                )
    return _Target(url, parts, host, port, tuple(addresses))


async def _ask(library: Any, tls: ssl.SSLContext, target: _Target, asked: list[str]) -> bytes | str:
    """The card, or where it is to be found instead."""
    failed = ""
    async with library.AsyncClient(
        verify=tls,
        trust_env=False,
        follow_redirects=False,
        timeout=library.Timeout(None, connect=_CONNECT_SECONDS),
    ) as client:
        for address in target.addresses:
            asked.append(str(address))
            try:
                return await _ask_at(library, client, target, address)
            except (library.ConnectError, library.ConnectTimeout) as error:
                failed = _line(error)
            except (library.HTTPError, library.InvalidURL) as error:
                raise TransportError(f"{target.host} broke off: {_line(error)}") from None
    raise TransportError(f"no connection to {target.host}: {failed}")


async def _ask_at(library: Any, client: Any, target: _Target, address: Address) -> bytes | str:
    at = f"[{address}]" if address.version == 6 else str(address)  # noqa: PLR2004 - IPv6
    parts = target.parts
    url = urlunsplit((parts.scheme, f"{at}:{target.port}", parts.path or "/", parts.query, ""))
    host = parts.netloc.rpartition("@")[2]
    headers = {
        "host": host,
        "accept": "application/json",
        # A small compressed answer can unfold to any size.
        "accept-encoding": "identity",
        "user-agent": "quorate",
    }
    request = library.Request("GET", url, headers=headers, extensions={"sni_hostname": target.host})
    response = await client.send(request, stream=True)
    try:
        if response.status_code in _REDIRECTS:
            location = response.headers.get("location")
            if not location:
                raise TransportError(f"{target.host} redirects without saying where to")
            return str(location)
        return await _content(response, target)
    finally:
        await response.aclose()


async def _content(response: Any, target: _Target) -> bytes:
    if response.status_code != _OK:
        raise TransportError(f"{target.host} answers {response.status_code}, not with a card")
    kind = response.headers.get("content-type", "").partition(";")[0].strip().lower()
    if not _JSON.fullmatch(kind):
        raise TransportError(
            f"{target.host} answers with {shown(kind) if kind else 'no content type'}; a card is "
            "application/json"
        )
    encoding = response.headers.get("content-encoding", "identity").strip().lower()
    if encoding not in {"", "identity"}:
        raise TransportError(f"{target.host} answers compressed ({shown(encoding)}), unasked")
    found = bytearray()
    async for chunk in response.aiter_raw():
        found += chunk
        if len(found) > bounds.MAX_CARD_BYTES:
            raise TransportError(
                f"{target.host} sends more than {bounds.MAX_CARD_BYTES} bytes, the most of a card"
            )
    return bytes(found)


def _redirected(url: str, location: str, rules: FetchRules) -> str:
    there = urljoin(url, location)
    try:
        checked_parts(there, insecure_http=rules.insecure_http)
    except UsageError as error:
        raise FetchRefusedError(f"redirected where no card is fetched from: {error}") from error
    return urlunsplit(urlsplit(there)._replace(fragment=""))


def _line(error: BaseException) -> str:
    said = " ".join(str(error).split()) or type(error).__name__
    return printable(shortened(said))
