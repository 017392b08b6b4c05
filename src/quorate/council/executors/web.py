"""An address that carries out orders: one POST of JSON, never sent twice.

Needs ``pip install "quorate[http]"``. Each request has a connection of its own, so that it
is known whether one came about: without it nothing was sent, and the order has failed. From
then on only the answer says what came of it; without one nobody knows.
"""

from __future__ import annotations

import asyncio
import importlib
import importlib.util
import ipaddress
import os
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any, Final
from urllib.parse import urlsplit

from quorate.core import limits
from quorate.core.calls import run_blocking
from quorate.core.errors import OperationalError, UsageError, UsageTypeError
from quorate.core.text import printable, shortened
from quorate.council.bounds import MAX_OUTPUT_BYTES
from quorate.council.executors.order import (
    LEAST_SECRET,
    Order,
    Report,
    check_timeout,
    holds,
    read_said,
    said,
)
from quorate.council.rules.values import Execution, check_id

_OK, _MOVED = 200, 300
# By these a server says that it did nothing with the request. Others of 4xx and 5xx also come
# after it was handed on (503, 408), or while it is being worked on (409, 425, 429).
_REFUSED: Final = frozenset({
    400, 401, 403, 404, 405, 406, 410, 411, 413, 414, 415, 417, 421, 422, 426, 428, 431, 451, 501,
})  # fmt: skip
_CONNECT_SECONDS: Final = 10.0


@dataclass(frozen=True, slots=True)
class Answered:
    """What came of one request.

    Attributes:
        status: of the answer; ``None`` if none came.
        body: the first ``bounds.MAX_OUTPUT_BYTES`` of it.
        cut: there was more.
        sent: the server may have seen the request.
        failure: why no answer came, in a line.
        withheld: it holds a secret, and ``body`` says that in its place.
    """

    status: int | None = None
    body: bytes = b""
    cut: bool = False
    sent: bool = True
    failure: str = ""
    withheld: bool = False

    @property
    def accepted(self) -> bool:
        """Whether the server says that it took the request."""
        return self.status is not None and _OK <= self.status < _MOVED


class Webhook:
    """One address that is posted to."""

    def __init__(
        self,
        url: str | None,
        *,
        bearer_env: str | None,
        insecure_http: bool,
        url_env: str | None = None,
    ) -> None:
        """Check the address; nothing is sent yet.

        Args:
            url: the address; or
            url_env: the environment variable that holds it, for an address that is a secret.
            bearer_env: the one that holds a bearer token.
            insecure_http: plain http to another machine will do.

        Raises:
            UsageTypeError: the url is no text.
            UsageError: no such address, one that holds a password, plain http to another
                machine, no name of an environment variable, or both url and url_env.
        """
        if (url is None) == (url_env is None):
            raise UsageError(
                "it has a url, or a url_env that names where it stands: one of the two"
            )
        if url_env is None:
            self.host = _checked_host(url, insecure_http=insecure_http)
        else:
            self.host = f"${_variable(url_env, 'url_env', 'address', 'PAGER_URL')}"
        if bearer_env is not None:
            _variable(bearer_env, "bearer_env", "token", "COUNCIL_TOKEN")
        self._url, self._url_variable = url, url_env
        self._variable = bearer_env
        self._insecure = insecure_http

    def check(self) -> None:
        """See that a request could be sent.

        Raises:
            OperationalError: httpx2 is not installed, or a variable does not hold what it is
                named for.
        """
        if importlib.util.find_spec("httpx2") is None:
            raise OperationalError(
                'httpx2 is not installed; install it with: pip install "quorate[http]"'
            )
        self._address()
        self.token()

    def post(self, body: bytes, key: str, timeout: float) -> Answered:
        """Send ``body`` once, and read the answer.

        Args:
            body: JSON.
            key: goes as ``Idempotency-Key``.
            timeout: seconds for all of it; at most half of it to connect.
        """
        headers = {
            "accept": "application/json",
            # Read as it comes: a small compressed answer can unfold to any size.
            "accept-encoding": "identity",
            "content-type": "application/json",
            "idempotency-key": key,
        }
        token = self.token()
        if token is not None:
            headers["authorization"] = f"Bearer {token}"
        address = self._address()
        answered = run_blocking(self._exchange(address, body, headers, timeout))
        secrets = () if self._url_variable is None else _parts(address)
        return _without(answered, (*secrets, *(() if token is None else (token,))))

    async def _exchange(
        self, url: str, body: bytes, headers: dict[str, str], seconds: float
    ) -> Answered:
        library = await asyncio.to_thread(importlib.import_module, "httpx2")
        tls = await asyncio.to_thread(library.create_ssl_context)
        connecting = min(_CONNECT_SECONDS, seconds / 2)
        try:
            async with (
                asyncio.timeout(seconds),
                library.AsyncClient(
                    verify=tls,
                    timeout=library.Timeout(None, connect=connecting),
                    follow_redirects=False,
                    # A proxy named there would read the order and the token, and answer
                    # in the place of the address.
                    trust_env=False,
                ) as client,
                client.stream("POST", url, content=body, headers=headers) as response,
            ):
                found = bytearray()
                async for chunk in response.aiter_raw():
                    found += chunk
                    if len(found) > MAX_OUTPUT_BYTES:
                        break
                kept, cut = bytes(found[:MAX_OUTPUT_BYTES]), len(found) > MAX_OUTPUT_BYTES
                return Answered(response.status_code, kept, cut)
        except TimeoutError:
            return Answered(failure=f"no whole answer within {seconds:g} s")
        except (library.ConnectError, library.ConnectTimeout) as error:
            return Answered(sent=False, failure=f"no connection to {self.host}: {_line(error)}")
        except (library.HTTPError, library.InvalidURL) as error:
            return Answered(failure=f"the connection broke off: {_line(error)}")

    def _address(self) -> str:
        """Where to post.

        Raises:
            OperationalError: its variable holds no address.
        """
        if self._url_variable is None:
            assert self._url is not None  # noqa: S101 - one of the two is there
            return self._url
        found = os.environ.get(self._url_variable, "")
        try:
            _checked_host(found, insecure_http=self._insecure)
        except UsageError:
            # Its message repeats the address, which is a secret.
            raise OperationalError(
                f"the environment variable {self._url_variable} holds no address to post to; set "
                "it to one such as https://host/path, without a name or password"
            ) from None
        return found

    def token(self) -> str | None:
        """The bearer token; ``None`` where none is declared.

        Raises:
            OperationalError: its variable is not set, or holds what no header can carry.
        """
        if self._variable is None:
            return None
        value = os.environ.get(self._variable, "")
        if not value or not value.isascii() or not value.isprintable() or " " in value:
            raise OperationalError(
                f"the environment variable {self._variable} holds no token that a header can "
                "carry; set it, without a line feed at its end"
            )
        return value


class WebhookExecutor:
    """Posts each order as JSON, and reads what came of it.

    The answer is ``{"outcome": "executed" | "failed" | "unknown", "detail": …}`` with a
    status of 2xx: any other body is unknown, for a page of some proxy says nothing. By 400,
    401, 403 to 406, 410, 411, 413 to 415, 417, 421, 422, 426, 428, 431, 451 and 501 it refuses
    the order, which has failed, unless the body says anything else. Every other status is
    unknown: 503, 408, 409, 425 and 429 too come of orders that were begun. Redirects are not
    followed, and no proxy of the environment is used.

    Attributes:
        name: ``webhook:`` and the host, or ``$`` and the variable that holds the address.
        timeout: seconds until the whole answer is due.
    """

    def __init__(
        self,
        url: str | None = None,
        *,
        timeout: float = 30.0,
        url_env: str | None = None,
        bearer_env: str | None = None,
        insecure_http: bool = False,
    ) -> None:
        """Prepare; nothing is sent yet.

        Args:
            url: the address: https, or http on this machine; or
            timeout: seconds, above 0 and up to ``limits.MAX_TIMEOUT_SECONDS``.
            url_env: environment variable that holds the address, where that is a secret.
            bearer_env: environment variable that holds a bearer token, read for each order.
            insecure_http: send orders over plain http to another machine, for all on the way
                to read and to change.

        Raises:
            UsageTypeError: a value is of the wrong type.
            UsageError: a value is out of its range.
        """
        self._webhook = Webhook(
            url, url_env=url_env, bearer_env=bearer_env, insecure_http=insecure_http
        )
        self.timeout = check_timeout(timeout, limits.MAX_TIMEOUT_SECONDS)
        self.name = check_id(f"webhook:{self._webhook.host}"[: limits.MAX_ID_LENGTH], "its name")

    def check(self) -> None:
        """See that an order could be sent.

        Raises:
            OperationalError: httpx2 is not installed, or the token's variable is not set.
        """
        self._webhook.check()

    def carry_out(self, order: Order) -> Report:
        """Send the order; see the class for what counts."""
        answered = self._webhook.post(order.to_json(), order.token, self.timeout)
        told: dict[str, Any] = {"status": answered.status, "answer": said(answered.body)}
        if answered.status is None:
            outcome = Execution.UNKNOWN if answered.sent else Execution.FAILED
            return Report(outcome, {"why": shortened(answered.failure)})
        return _report(answered, told)


def _report(answered: Answered, told: dict[str, Any]) -> Report:
    """What came of an order, by the status and the body of an answer."""
    refused = answered.status in _REFUSED
    if not refused and not answered.accepted:
        return Report(Execution.UNKNOWN, {**told, "why": "its status says nothing certain"})
    if answered.withheld:
        return Report(Execution.UNKNOWN, told)
    try:
        stated = read_said(answered.body, cut=answered.cut)
    except UsageError as error:
        return Report(Execution.UNKNOWN, {**told, "why": shortened(str(error))})
    if refused:
        agrees = stated is None or stated.outcome is Execution.FAILED
        outcome = Execution.FAILED if agrees else Execution.UNKNOWN
        why = "" if agrees else f" by its status {answered.status}, and says otherwise"
        return Report(outcome, {**told, "why": f"it refused the order{why}"})
    if stated is None:
        return Report(Execution.UNKNOWN, {**told, "why": "its answer names no outcome"})
    return Report(stated.outcome, {"status": answered.status, "detail": stated.detail})


def _checked_host(url: object, *, insecure_http: bool) -> str:
    if not isinstance(url, str):
        raise UsageTypeError(f"the url is {url!r}; give text such as https://host/path")
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise UsageError(f"the url cannot be read: {error}") from error
    if parts.username is not None or parts.password is not None:
        raise UsageError(
            "the url holds a name or password; name an environment variable that holds a bearer "
            "token instead"
        )
    if parts.scheme not in {"http", "https"} or not host or not url.isprintable():
        raise UsageError(f"the url is {url!r}; give one such as https://host/path")
    if parts.scheme == "http" and not insecure_http and not _is_loopback(host):
        raise UsageError(
            f"it would go to {host} over plain http, for all on the way to read and to change; "
            "use https, or declare insecure_http"
        )
    return host if port is None else f"{host}:{port}"


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _variable(name: object, key: str, what: str, example: str) -> str:
    if not isinstance(name, str) or not name.isidentifier():
        # What stands there by mistake may be the secret itself.
        raise UsageError(
            f"{key} is the name of the environment variable that holds the {what}, such as "
            f"{example}, and not the {what}"
        )
    return name


def _parts(url: str) -> tuple[str, ...]:
    """What of a secret address an answer may repeat."""
    parts = urlsplit(url)
    return tuple(part for part in (url, parts.path, parts.query) if len(part) >= LEAST_SECRET)


def _without(answered: Answered, secrets: Iterable[str]) -> Answered:
    """The answer without secrets, should the server have sent one back: it will be sealed."""
    text = answered.body.decode("utf-8", "replace")
    for secret in secrets:
        if holds(text, secret):
            body = b"its answer holds the token; it is not kept"
            return Answered(answered.status, body, withheld=True)
        if secret in answered.failure:
            return replace(answered, failure="the reason holds the address; it is not kept")
    return answered


def _line(error: Exception) -> str:
    return printable(" ".join(str(error).split()) or type(error).__name__)
