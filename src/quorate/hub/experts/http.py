"""An expert behind an HTTP address: one POST, one JSON answer.

::

    POST {"input": ...}   ->   {"payload": ..., "confidence": 0.9}   or   {"error": "why"}

Theory of operation. Each call has a connection of its own: none belongs to an event loop
that may be gone, and none that the server closed meanwhile makes a call fail of which
nobody can say whether it was served. What is sent again, and when, is decided by whether
the server can have acted on it already.
"""

from __future__ import annotations

import asyncio
import email.utils
import hashlib
from collections.abc import Mapping
from datetime import UTC, datetime
from types import ModuleType
from typing import Any, Final

from quorate.arbitration.forms import shown, text
from quorate.core import limits
from quorate.core.canonical import CanonicalError, canonical, parse
from quorate.core.errors import MisbehaviourError, TransportError, UsageError, UsageTypeError
from quorate.core.text import printable, shortened
from quorate.hub.experts.adapter import seconds_left
from quorate.hub.experts.answer import Answer, BareAnswer, reply_from_json
from quorate.hub.experts.checks import whole
from quorate.hub.experts.remote import checked_url, imported, in_one_line, require
from quorate.hub.experts.secret import Secret

_SOURCE: Final = "its server"
_TOKEN: Final = frozenset("!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyz")
_OURS: Final = frozenset(
    {
        "accept",
        "accept-encoding",
        "authorization",
        "connection",
        "content-length",
        "content-type",
        "cookie",
        "host",
        "idempotency-key",
        "proxy-authorization",
        "transfer-encoding",
    }
)
_TURNED_AWAY: Final = frozenset({429, 503})
_MAYBE_SERVED: Final = frozenset({502, 504})
_OK, _MOVED, _FAILED = 200, 300, 400
_CONNECT_SECONDS: Final = 10.0
_FIRST_WAIT_SECONDS: Final = 0.25
_LONGEST_WAIT_SECONDS: Final = 8.0
_MOST_SAID: Final = 200
_LONGEST_ESCAPE: Final = len(r"\\u0000")


class _AgainError(Exception):
    """This try failed in a way that another may mend."""

    def __init__(self, failure: TransportError, wait: float | None = None) -> None:
        self.failure = failure
        self.wait = wait


class HTTPExpert:
    """Posts ``{"input": …}`` and reads one JSON answer.

    What the keys of the answer are, :mod:`quorate.hub.experts.answer` tells. An answer is
    read up to a bound, and must not be compressed. Redirects are not followed.

    A request is sent again where the server cannot have served it: no connection came
    about, or it answered 429 or 503. If it says how long to wait (``Retry-After``), that is
    done, unless the answer is due earlier. What may have been served is sent again only to
    a server declared ``idempotent``.

    Attributes:
        kind: ``"http"``.
        confidence_source: how the confidence is obtained.
    """

    kind = "http"
    confidence_source = "the server gives it with each answer"

    def __init__(
        self,
        url: str,
        *,
        bearer_env: str | None = None,
        headers: Mapping[str, str] | None = None,
        retries: int = 2,
        idempotent: bool = False,
        max_bytes: int = limits.MAX_ANSWER_BYTES,
        insecure_http: bool = False,
    ) -> None:
        """Prepare; nothing is sent yet.

        Args:
            url: the address, http or https.
            bearer_env: environment variable that holds a bearer token, read at each call.
            headers: further headers; no secrets, for they stand in the panel's record.
            retries: most times a request is sent again, 0 to ``limits.MAX_RETRIES``.
            idempotent: asking twice is as good as asking once: each request then carries
                ``Idempotency-Key``, its digest, and is also sent again when the connection
                broke, or on 502 and 504.
            max_bytes: most bytes of an answer, 1 to ``limits.MAX_ANSWER_BYTES``.
            insecure_http: let the token go over plain http to another machine.

        Raises:
            UsageTypeError: a value is of the wrong type.
            UsageError: a value is out of its range, or is a secret in the wrong place.
            OperationalError: the package httpx2 is not installed.
        """
        self._secret = Secret(bearer_env)
        self._url = checked_url(
            url, secret=self._secret.variable is not None, insecure_http=insecure_http
        )
        self._headers = _checked_headers(headers or {})
        self._retries = whole(retries, "retries", 0, limits.MAX_RETRIES)
        if not isinstance(idempotent, bool):
            raise UsageTypeError(f"idempotent is {shown(idempotent)}; give true or false")
        self._idempotent = idempotent
        self._max_bytes = whole(max_bytes, "max_bytes", 1, limits.MAX_ANSWER_BYTES)
        require("httpx2", "http")
        self._tls: Any = None

    def __repr__(self) -> str:
        # Without the query, in which some addresses carry a key.
        return f"HTTPExpert({self._url.partition('?')[0]!r}, …)"

    async def __call__(self, task: Any) -> Answer | BareAnswer:
        """Put one task's input (a JSON value) to the server.

        Raises:
            MisbehaviourError: what it answered is no answer.
            TransportError: it cannot be reached, refuses, breaks off, or says that it failed.
            OperationalError: the token's environment variable is not set.
        """
        body = b'{"input":%b}' % canonical(task)
        headers = self._request_headers(body)
        (library,) = await imported("httpx2")
        if self._tls is None:
            self._tls = await asyncio.to_thread(library.create_ssl_context)
        answer = await self._answer(library, body, headers)
        self._secret.refuse_in(answer)
        try:
            reply = parse(answer)
        except CanonicalError as error:
            raise MisbehaviourError(_SOURCE, f"what it answered is no JSON: {error}") from error
        return reply_from_json(reply, _SOURCE)

    async def aclose(self) -> None:
        """Nothing is held between calls."""

    def _request_headers(self, body: bytes) -> dict[str, str]:
        headers = {
            **self._headers,
            "accept": "application/json",
            # Read as it comes: a small compressed answer can unfold to any size.
            "accept-encoding": "identity",
            "content-type": "application/json",
        }
        token = self._secret.read()
        if token is not None:
            headers["authorization"] = f"Bearer {token}"
        if self._idempotent:
            headers["idempotency-key"] = hashlib.sha256(body).hexdigest()
        return headers

    async def _answer(self, library: ModuleType, body: bytes, headers: dict[str, str]) -> bytes:
        """Send the request until it is answered, or must not be sent again."""
        attempt = 0
        while True:
            try:
                return await self._once(library, body, headers)
            except _AgainError as again:
                if attempt == self._retries:
                    raise again.failure from None
                await _wait(again, attempt)
                attempt += 1

    async def _once(self, library: ModuleType, body: bytes, headers: dict[str, str]) -> bytes:
        """Send the request once, and read the whole answer.

        Raises:
            _AgainError: it may be sent again.
            TransportError: it must not be.
        """
        # Only connecting has a limit of its own: the rest ends when the answer is due.
        timeout = library.Timeout(None, connect=_CONNECT_SECONDS)
        try:
            async with (
                library.AsyncClient(
                    verify=self._tls, timeout=timeout, follow_redirects=False
                ) as client,
                client.stream("POST", self._url, content=body, headers=headers) as response,
            ):
                if response.status_code < _OK or response.status_code >= _MOVED:
                    await self._refused(response)
                return await self._read(response)
        except (library.ConnectError, library.ConnectTimeout) as error:
            raise _AgainError(self._failure("cannot be reached", error)) from None
        # Not told as the cause: its request carries the token.
        except library.TransportError as error:
            failure = self._failure("broke off", error)
            if self._idempotent:
                raise _AgainError(failure) from None
            raise failure from None
        except (library.HTTPError, library.InvalidURL) as error:
            raise self._failure("cannot be asked", error) from None

    async def _read(self, response: Any) -> bytes:
        encoding = response.headers.get("content-encoding", "identity").strip().lower()
        if encoding not in {"", "identity"}:
            raise MisbehaviourError(
                _SOURCE, f"its answer is compressed ({self._fit(encoding)!r}), unasked"
            )
        found = bytearray()
        async for chunk in response.aiter_raw():
            found += chunk
            if len(found) > self._max_bytes:
                raise MisbehaviourError(
                    _SOURCE, f"its answer has more than {self._max_bytes} bytes"
                )
        return bytes(found)

    async def _refused(self, response: Any) -> None:
        """Raise what an answer without an answer is about."""
        status: int = response.status_code
        if status < _FAILED:
            place = self._fit(response.headers.get("location", "nowhere"))
            raise TransportError(
                f"{_SOURCE} answered {status}, which points to {place}; redirects are not "
                "followed, give the address itself"
            )
        failure = TransportError(f"{_SOURCE} answered {status}{await self._said(response)}")
        if status in _TURNED_AWAY:
            raise _AgainError(failure, _retry_after(response.headers.get("retry-after")))
        if status in _MAYBE_SERVED and self._idempotent:
            raise _AgainError(failure)
        raise failure

    async def _said(self, response: Any) -> str:
        """The beginning of what it said about its failure, without the token."""
        found = bytearray()
        async for chunk in response.aiter_raw():
            found += chunk
            if len(found) > limits.MAX_ERROR_TAIL_BYTES:
                break
        said = self._secret.hidden(found[: limits.MAX_ERROR_TAIL_BYTES].decode("utf-8", "replace"))
        if len(found) > limits.MAX_ERROR_TAIL_BYTES:
            # Where it was cut, the beginning of a token may be left over, escaped perhaps.
            said = said[: -_LONGEST_ESCAPE * len(self._secret.read() or "-")]
        said = self._fit(said)
        return f": {said}" if said else ""

    def _fit(self, said: str) -> str:
        line = printable(" ".join(self._secret.hidden(said).split()))
        return line if len(line) <= _MOST_SAID else f"{line[:_MOST_SAID]}…"

    def _failure(self, what: str, error: Exception) -> TransportError:
        return TransportError(shortened(f"{_SOURCE} {what}: {in_one_line(error, self._secret)}"))


async def _wait(again: _AgainError, attempt: int) -> None:
    """Wait before another try; fail now if the answer is due earlier."""
    wait = again.wait
    if wait is None:
        wait = min(_FIRST_WAIT_SECONDS * 2**attempt, _LONGEST_WAIT_SECONDS)
    left = seconds_left()
    if left is not None and wait >= left:
        raise TransportError(
            f"{again.failure}; it would be asked again in {wait:g} s, but its answer is due sooner"
        ) from None
    await asyncio.sleep(wait)


def _retry_after(value: str | None) -> float | None:
    """Seconds that a ``Retry-After`` asks for, or ``None`` for none that can be read."""
    if value is None or len(value) > limits.MAX_ID_LENGTH:
        return None
    if value.isascii() and value.isdigit():
        return min(float(value), float(limits.MAX_TIMEOUT_SECONDS))
    try:
        moment = email.utils.parsedate_to_datetime(value)
        seconds = (moment - datetime.now(UTC)).total_seconds()
    # A date without a zone cannot be compared.
    except (ValueError, TypeError, OverflowError):
        return None
    return min(max(seconds, 0.0), float(limits.MAX_TIMEOUT_SECONDS))


def _checked_headers(headers: Mapping[str, str]) -> dict[str, str]:
    if not isinstance(headers, Mapping):
        raise UsageTypeError(f"headers is {shown(headers)}; give a table of texts")
    if len(headers) > limits.MAX_HEADERS:
        raise UsageError(f"{len(headers)} headers; at most {limits.MAX_HEADERS} are allowed")
    found = {}
    for key, value in headers.items():
        name = text(key, "the name of a header").lower()
        if not set(name) <= _TOKEN:
            raise UsageError(f"the header {shown(name)} has characters that no name may have")
        if name in _OURS:
            raise UsageError(
                f"the header {name!r} cannot be set; a token is given as bearer_env, the name of "
                "the environment variable that holds it"
            )
        if name in found:
            raise UsageError(f"the header {name!r} stands twice")
        found[name] = text(value, f"the header {name}", limits.MAX_HEADER_LENGTH, least=0)
        if not found[name].isascii() or not found[name].isprintable():
            raise UsageError(f"the header {name} has characters that no header can carry")
    return found
