"""What adapters over a client library share: its import, its connections, its secret.

Theory of operation. A client of asyncio belongs to one event loop, and some must be closed
by the very task that opened them. So an adapter keeps one client for each loop it is called
from (:class:`Held`), and a task of that loop opens it, waits, and closes it: at
:meth:`Held.aclose`, when a call finds it broken, or when the loop ends and cancels what is
left in it. A call runs beside that task and ends with it.
"""

from __future__ import annotations

import asyncio
import atexit
import concurrent.futures
import contextlib
import importlib
import importlib.util
import ipaddress
import json
import os
import threading
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any, Final, Generic, TypeVar
from urllib.parse import urlsplit

from quorate.arbitration.forms import shown
from quorate.core import limits
from quorate.core.canonical import CanonicalError, parse
from quorate.core.errors import (
    MisbehaviourError,
    OperationalError,
    QuorateError,
    TransportError,
    UsageError,
    UsageTypeError,
)
from quorate.core.text import shortened
from quorate.hub.experts.answer import Answer, BareAnswer, answer_from_json
from quorate.hub.experts.secret import Secret

T = TypeVar("T")
R = TypeVar("R")

_EXPERT: Final = "the expert"
_CONNECT_SECONDS: Final = 10.0
_CLOSING_SECONDS: Final = 10.0
_EXIT_SECONDS: Final = 5.0


def require(package: str, extra: str) -> None:
    """See that an extra's package is there, without importing it.

    Raises:
        OperationalError: it is not installed; says what to install.
    """
    if importlib.util.find_spec(package) is None:
        raise OperationalError(
            f'{package} is not installed; install it with: pip install "quorate[{extra}]"'
        )


async def imported(*modules: str) -> list[Any]:
    """Import modules in a thread: these take a second, for which the loop must not stop."""
    return await asyncio.to_thread(lambda: [importlib.import_module(name) for name in modules])


def checked_url(url: object, *, secret: bool, insecure_http: bool = False) -> str:
    """Check the address of an expert.

    Args:
        url: the address, http or https.
        secret: a secret will be sent there.
        insecure_http: let the secret go over plain http.

    Raises:
        UsageError: no such address; it holds a name and password, which records would
            show; or the secret would go over plain http to another machine.
    """
    if not isinstance(url, str):
        raise UsageTypeError(f"the url is {url!r}; give text such as https://host/path")
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError as error:
        # Not the url itself: it may hold a password.
        raise UsageError(f"the url cannot be read: {error}") from error
    if parts.username is not None or parts.password is not None:
        raise UsageError(
            "the url holds a name or password; name an environment variable that holds it instead"
        )
    if parts.scheme not in {"http", "https"} or not host or not url.isprintable():
        raise UsageError(f"the url is {url!r}; give one such as https://host/path")
    if secret and parts.scheme == "http" and not insecure_http and not _is_loopback(host):
        raise UsageError(
            f"the secret would go to {host} over plain http, for all on the way to read; "
            "use https, or declare insecure_http"
        )
    return url


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def origin(url: str) -> tuple[str, str, int]:
    """Scheme, host and port of an address."""
    parts = urlsplit(url)
    default = 443 if parts.scheme == "https" else 80
    return parts.scheme, parts.hostname or "", parts.port or default


def bounding_hooks(library: Any) -> dict[str, list[Callable[[Any], Awaitable[None]]]]:
    """Event hooks of an ``httpx`` or ``httpx2`` client under which no response grows too large.

    A response of over ``limits.MAX_ANSWER_BYTES`` bytes is broken off with a
    ``MisbehaviourError``, and so is one that is compressed: none was asked for, and a small
    one can unfold to any size.
    """

    class Bounded(library.AsyncByteStream):  # type: ignore[misc]  # the library is no dependency
        def __init__(self, stream: Any) -> None:
            self._stream = stream

        async def __aiter__(self) -> Any:
            size = 0
            async for chunk in self._stream:
                size += len(chunk)
                if size > limits.MAX_ANSWER_BYTES:
                    raise MisbehaviourError(
                        _EXPERT, f"its answer is over {limits.MAX_ANSWER_BYTES} bytes"
                    )
                yield chunk

        async def aclose(self) -> None:
            await self._stream.aclose()

    async def ask(request: Any) -> None:
        request.headers["accept-encoding"] = "identity"

    async def bound(response: Any) -> None:
        encoding = response.headers.get("content-encoding", "identity")
        if encoding.strip().lower() not in {"", "identity"}:
            raise MisbehaviourError(
                _EXPERT, f"its answer is compressed ({shortened(encoding)!r}), unasked"
            )
        response.stream = Bounded(response.stream)

    return {"request": [ask], "response": [bound]}


async def http_client(library: Any, secret: Secret | None = None) -> Any:
    """A client of ``httpx`` or ``httpx2`` as adapters use it.

    Responses are bounded, redirects are not followed, and only connecting has a limit of
    time of its own: the rest ends when the answer is due.

    Raises:
        OperationalError: the secret's environment variable is not set.
    """
    token = None if secret is None else secret.read()
    return library.AsyncClient(
        # It reads all certificates of the system: not in the loop.
        verify=await asyncio.to_thread(library.create_ssl_context),
        event_hooks=bounding_hooks(library),
        timeout=library.Timeout(limits.MAX_TIMEOUT_SECONDS, connect=_CONNECT_SECONDS),
        headers={"Authorization": f"Bearer {token}"} if token else None,
        follow_redirects=False,
    )


def read_result(
    structured: Sequence[Any], texts: Sequence[str], *, reads: str, secret: Secret
) -> Answer | BareAnswer:
    """Read the parts of a result, structured ones before text.

    Args:
        structured: the JSON values it holds.
        texts: the texts it holds.
        reads: ``"answer"``, a JSON answer object (as text too); or ``"payload"``, the
            payload itself, whose confidence the panel declares: a JSON value, or the text.
        secret: what must not be in it.

    Raises:
        MisbehaviourError: it holds nothing, or several of what is read; or no answer.
    """
    parts = structured or texts
    if len(parts) != 1:
        what = "JSON values" if structured else "texts"
        raise MisbehaviourError(_EXPERT, f"its result holds {len(parts)} {what}; expected was one")
    found = parts[0]
    secret.refuse_in(found if isinstance(found, str) else json.dumps(found, ensure_ascii=False))
    if reads == "payload":
        return BareAnswer(found)
    if not structured:
        try:
            found = parse(found)
        except CanonicalError as error:
            raise MisbehaviourError(
                _EXPERT,
                f"its text is no JSON answer object ({error}); if the text itself is the "
                "answer, declare reads = 'payload' and a confidence",
            ) from error
    return answer_from_json(found, _EXPERT)


def checked_reads(reads: object) -> tuple[str, str]:
    """Check the option of :func:`read_result`, and say where the confidence comes from.

    Raises:
        UsageError: neither.
    """
    sources = {"answer": "the expert gives it with each answer", "payload": "the panel declares it"}
    if not isinstance(reads, str) or reads not in sources:
        raise UsageError(f"reads is {shown(reads)}; it is 'answer' or 'payload'")
    return reads, sources[reads]


def first_of(error: BaseException) -> BaseException:
    """The first error in a group of errors, or in one that is in it."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


def in_one_line(error: BaseException, secret: Secret) -> str:
    """Say what an error of a library is about, of a group its first, without the secret."""
    error = first_of(error)
    said = " ".join(str(error).split()) or type(error).__name__
    return shortened(secret.hidden(said))


class _Holder(Generic[T]):
    """One thing held open in one loop.

    Attributes:
        ready: the thing, once it is open.
        closing: set when it is to be closed.
        task: opens it, waits, and closes it.
        users: calls that are using it.
        retired: no new call may use it.
        broken: why it ended by itself.
    """

    __slots__ = ("broken", "closing", "loop", "pid", "ready", "retired", "task", "users")

    task: asyncio.Task[None]

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self.pid = os.getpid()
        self.ready: asyncio.Future[T] = loop.create_future()
        self.closing = asyncio.Event()
        self.users = 0
        self.retired = False
        self.broken: BaseException | None = None

    def runs_elsewhere(self) -> bool:
        """Whether another thread of this process runs its loop; a forked child has none."""
        return self.pid == os.getpid() and self.loop.is_running()


# A loop refers to its tasks weakly: one that only waits could be collected as garbage.
_open: set[_Holder[Any]] = set()


class Held(Generic[T]):
    """Something that is opened once in each event loop, and used by the calls there."""

    def __init__(
        self,
        opening: Callable[[], AbstractAsyncContextManager[T]],
        *,
        fragile: bool = False,
    ) -> None:
        """Hold what ``opening`` gives; ``fragile``: after a failed call it is opened afresh."""
        self._opening = opening
        self._fragile = fragile
        self._lock = threading.Lock()
        self._holders: dict[asyncio.AbstractEventLoop, _Holder[T]] = {}

    async def use(self, call: Callable[[T], Awaitable[R]]) -> R:
        """Give the thing of this loop to ``call``, opened if need be; return what it returns.

        Raises:
            TransportError: the thing ended under the call.
            MisbehaviourError: it ended by one.
            Exception: whatever opening it or the call raised.
        """
        holder = self._holder()
        holder.users += 1
        try:
            thing = await asyncio.shield(holder.ready)
            return await _beside(holder, call(thing))
        except MisbehaviourError:
            raise
        except Exception:
            if self._fragile:
                self._retire(holder)
            raise
        finally:
            holder.users -= 1
            if not holder.users:
                if not holder.ready.done():
                    # Nobody waits for it any more, and it may never open.
                    self._retire(holder)
                    holder.task.cancel()
                elif holder.retired:
                    holder.closing.set()

    async def aclose(self) -> None:
        """Close it in every loop where it is open and that still runs; it may be used again."""
        with self._lock:
            holders = list(self._holders.values())
            self._holders.clear()
        for holder in holders:
            if holder.loop is asyncio.get_running_loop():
                await _close(holder)
            elif holder.runs_elsewhere():
                closed = asyncio.run_coroutine_threadsafe(_close(holder), holder.loop)
                # That loop may end before it comes to it; its end closes what is open there.
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(asyncio.wrap_future(closed), _CLOSING_SECONDS)

    def _holder(self) -> _Holder[T]:
        loop = asyncio.get_running_loop()
        with self._lock:
            for each in [other for other in self._holders if other.is_closed()]:
                del self._holders[each]
            holder = self._holders.get(loop)
            if holder is None or holder.task.done():
                holder = self._holders[loop] = _Holder(loop)
                holder.task = loop.create_task(self._hold(holder))
                _open.add(holder)
            return holder

    def _retire(self, holder: _Holder[T]) -> None:
        holder.retired = True
        with self._lock:
            if self._holders.get(holder.loop) is holder:
                del self._holders[holder.loop]

    async def _hold(self, holder: _Holder[T]) -> None:
        try:
            async with self._opening() as thing:
                holder.ready.set_result(thing)
                await holder.closing.wait()
        except asyncio.CancelledError:
            holder.ready.cancel()
            raise
        # What it is about is told to the calls that wait, each of which raises it.
        except Exception as error:  # noqa: BLE001
            holder.broken = error
            if not holder.ready.done():
                holder.ready.set_exception(error)
        finally:
            self._retire(holder)
            _open.discard(holder)


async def _close(holder: _Holder[Any]) -> None:
    holder.closing.set()
    await asyncio.wait({holder.task})


def _close_at_exit() -> None:
    """Close what is open in loops that still run, such as that of the blocking calls."""
    closing = [
        asyncio.run_coroutine_threadsafe(_close(holder), holder.loop)
        for holder in list(_open)
        if holder.runs_elsewhere()
    ]
    concurrent.futures.wait(closing, _EXIT_SECONDS)


atexit.register(_close_at_exit)


async def _beside(holder: _Holder[Any], coroutine: Awaitable[R]) -> R:
    """Run a call to its end, or to the end of what it uses."""
    call = asyncio.ensure_future(coroutine)
    try:
        await asyncio.wait({call, holder.task}, return_when=asyncio.FIRST_COMPLETED)
        if call.done():
            return call.result()
        raise _ended(holder.broken)
    finally:
        if not call.done():
            call.cancel()
            await asyncio.wait({call})
            if not call.cancelled():
                call.exception()


def _ended(error: BaseException | None) -> QuorateError:
    if error is None:
        return TransportError("the connection was closed under the call")
    error = first_of(error)
    if isinstance(error, QuorateError):
        return error
    why = f"{type(error).__name__}: {error}"
    return TransportError(shortened(f"the connection ended under the call: {why}"))
