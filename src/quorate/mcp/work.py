"""Work in threads, so that no call holds up another; bounded in time and in number."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
import threading
from collections.abc import Callable
from typing import Any, TypeVar
from weakref import WeakValueDictionary

from mcp.server.mcpserver.exceptions import ToolError

from quorate.core.errors import OperationalError, QuorateError
from quorate.core.text import printable, shortened
from quorate.core.threads import threads
from quorate.mcp.access import calling
from quorate.mcp.places import share_of

T = TypeVar("T")

_given_up = threading.local()

_log = logging.getLogger(__name__)


class GivenUpError(Exception):
    """Nobody waits for the answer of this call any more, so it stops."""


def check_wanted() -> None:
    """Stop work that a worker does for nobody: long work asks this between its steps.

    Raises:
        GivenUpError: the call took too long, or its client has gone.
    """
    event: threading.Event | None = getattr(_given_up, "event", None)
    if event is not None and event.is_set():
        raise GivenUpError


class Workers:
    """Runs plain functions in daemon threads, and says of their errors what a client may know."""

    def __init__(self, seconds: float, most: int) -> None:
        """Let a call take ``seconds`` from its coming, and ``most`` compute at once.

        Of one token only its share: the others wait in its own row, and not before the calls of
        others.
        """
        self._seconds = seconds
        self._most = most
        self._free = asyncio.Semaphore(most)
        # Kept by the calls that hold or await a place in it.
        self._rows: WeakValueDictionary[str, asyncio.Semaphore] = WeakValueDictionary()

    async def run(self, function: Callable[[], T]) -> T:
        """Call ``function`` in a thread, when one is free.

        A call that is given up goes on in its thread until it next asks :func:`check_wanted`,
        and counts until it ends: it cannot be repeated without bound.

        Raises:
            ToolError: it was refused, could not be done, or took too long; the words are for
                the client, and name nothing of the operator's.
        """
        try:
            async with asyncio.timeout(self._seconds):
                release = await self._place(calling.get())
                return await self._threaded(function, release)
        except TimeoutError as error:
            raise ToolError(
                f"it took longer than the {self._seconds:g} s that one call may take; whether it "
                "was done is not known: look before you repeat it"
            ) from error
        except OperationalError as error:
            reference = secrets.token_hex(4)
            _log.error("%s: %s", reference, error)
            raise ToolError(
                "the server's store or one of its packages failed; nothing is decided by this. "
                f"Its operator finds the reason in the log under {reference}"
            ) from error
        except QuorateError as error:
            raise ToolError(shortened(printable(str(error)))) from error

    async def _place(self, client: str | None) -> Callable[[], None]:
        """Wait for a thread; gives what leaves it to another."""
        if client is None:
            await self._free.acquire()
            return self._free.release
        row = self._rows.get(client)
        if row is None:
            row = self._rows[client] = asyncio.Semaphore(share_of(self._most))
        await row.acquire()
        try:
            await self._free.acquire()
        except BaseException:
            row.release()
            raise

        def release() -> None:
            self._free.release()
            row.release()

        return release

    async def _threaded(self, function: Callable[[], T], release: Callable[[], None]) -> T:
        loop = asyncio.get_running_loop()
        future: asyncio.Future[tuple[Any, BaseException | None]] = loop.create_future()
        unwanted = threading.Event()

        def settle(value: Any, error: BaseException | None) -> None:
            release()
            if not future.done():
                future.set_result((value, error))

        def work() -> None:
            value, error = None, None
            _given_up.event = unwanted
            try:
                check_wanted()
                value = function()
            # Whatever it was, it belongs to the call, and nothing may escape into the thread.
            except BaseException as raised:  # noqa: BLE001
                error = raised
            finally:
                _given_up.event = None
            # The loop may be gone by then; nobody waits for it any more.
            with contextlib.suppress(RuntimeError):
                loop.call_soon_threadsafe(settle, value, error)

        try:
            threads.submit(work)
        except (RuntimeError, MemoryError) as failed:
            # Nothing else would ever leave its place to another.
            release()
            raise OperationalError(f"no thread can be started: {failed}") from failed
        try:
            value, error = await future
        finally:
            unwanted.set()
        if error is not None:
            raise error
        return value  # type: ignore[no-any-return]
