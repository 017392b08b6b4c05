"""A tool of an MCP server that carries out orders, through the official client.

Needs ``pip install "quorate[mcp]"``. Each order has a connection, or a server process, of
its own, and the tool is called once. What comes over HTTP is bounded; what a started program
writes is read by the client without a bound of its own, so start programs that are trusted
that far.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import importlib.util
import os
import sys
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, TextIO

from quorate.core import limits
from quorate.core.canonical import canonical
from quorate.core.errors import OperationalError, TransportError, UsageError
from quorate.core.text import printable, shortened
from quorate.council.executors.order import (
    NotExecutedError,
    Order,
    Report,
    check_timeout,
    holds,
    read_answer,
    said,
)
from quorate.council.executors.process import Program
from quorate.council.executors.python import PythonExecutor
from quorate.council.executors.web import Webhook
from quorate.council.rules.values import Execution, check_id

_MODULES = (
    "mcp",
    "mcp.types",
    "mcp.client.streamable_http",
    "mcp.client.stdio",
    "httpx2",
)


class MCPExecutor:
    """Calls one tool for each order, with ``{"order": …}`` as its arguments.

    The tool returns ``{"outcome": "executed" | "failed" | "unknown", "detail": …}``, as
    structured content or as its one text. Whatever else it returns is unknown, an error
    included, for it may have come half way. What cannot be reached has failed.

    Attributes:
        name: ``mcp:`` and the tool.
        timeout: seconds until its result is due.
    """

    def __init__(  # noqa: PLR0913 - one argument for each thing that is declared of a tool
        self,
        tool: str,
        *,
        url: str | None = None,
        command: Iterable[str] | None = None,
        timeout: float = 60.0,
        bearer_env: str | None = None,
        cwd: str | Path | None = None,
        env: Mapping[str, str] | None = None,
        pass_env: Iterable[str] = (),
        insecure_http: bool = False,
    ) -> None:
        """Prepare; nothing is started or sent yet.

        Args:
            tool: its name.
            url: the server's endpoint (streamable HTTP): https, or http on this machine; or
            command: the program to start and to speak to over its input and output.
            timeout: seconds, above 0 and up to ``limits.MAX_TIMEOUT_SECONDS``.
            bearer_env: environment variable that holds a bearer token for the url.
            cwd: folder the command runs in; ``None``: that of this process.
            env: variables set for the command besides PATH, HOME and the like.
            pass_env: names of variables of this process that the command gets too, for its
                secrets. A result that holds what one of them holds is not sealed.
            insecure_http: send orders over plain http to another machine.

        Raises:
            UsageTypeError: a value is of the wrong type.
            UsageError: a value is out of its range; both a url and a command, or neither.
        """
        if (url is None) == (command is None):
            raise UsageError(f"the tool {tool!r} has a url or a command, one of the two")
        if url is None and bearer_env is not None:
            raise UsageError("bearer_env is for a url; give a command its secrets by pass_env")
        self._tool = check_id(tool, "the tool")
        self.name = check_id(f"mcp:{tool}", "the executor")
        self.timeout = check_timeout(timeout, limits.MAX_TIMEOUT_SECONDS)
        self._url = url
        self._webhook = (
            None
            if url is None
            else Webhook(url, bearer_env=bearer_env, insecure_http=insecure_http)
        )
        self._program = None if command is None else Program.of(command, cwd, env, pass_env)
        self._executor = PythonExecutor(self._call, timeout=timeout, name=self.name)

    def check(self) -> None:
        """See that the tool could be called.

        Raises:
            OperationalError: mcp is not installed, a variable is not set, or there is no such
                program.
        """
        if importlib.util.find_spec("mcp") is None:
            raise OperationalError(
                'mcp is not installed; install it with: pip install "quorate[mcp]"'
            )
        if self._webhook is not None:
            self._webhook.check()
        if self._program is not None:
            self._program.check()

    def carry_out(self, order: Order) -> Report:
        """Call the tool; see the class for what counts.

        Raises:
            UsageError: called from a coroutine on the loop of the blocking calls.
        """
        return self._executor.carry_out(order)

    async def _call(self, order: Order) -> Report:
        sent, result = False, None
        try:
            async with self._open() as (client, types):
                request = types.CallToolRequest(
                    params=types.CallToolRequestParams(
                        name=self._tool, arguments={"order": order.to_dict()}
                    )
                )
                sent = True
                # Not the client's call_tool: that one would send a call again which the
                # server refused.
                result = await client.session.send_request(request, types.CallToolResult)
        # The client's tasks fail with anything, and as groups. What fails after the result
        # has come changes nothing of it.
        except Exception as error:
            if not sent:
                raise NotExecutedError(f"it cannot be reached: {_line(error)}") from error
            if result is None:
                raise TransportError(f"no result came: {_line(error)}") from error
        return self._read(result)

    @contextlib.asynccontextmanager
    async def _open(self) -> AsyncIterator[tuple[Any, Any]]:
        library, types, http, stdio, httpx2 = await asyncio.to_thread(
            lambda: [importlib.import_module(name) for name in _MODULES]
        )
        async with contextlib.AsyncExitStack() as stack:
            if self._webhook is not None:
                client = await stack.enter_async_context(await _client(httpx2, self._webhook))
                transport = http.streamable_http_client(
                    self._url, http_client=client, max_sse_event_size=limits.MAX_ANSWER_BYTES
                )
            else:
                assert self._program is not None  # noqa: S101 - one of the two is there
                program, *arguments = self._program.command
                transport = stdio.stdio_client(
                    library.StdioServerParameters(
                        command=program,
                        args=arguments,
                        env=self._program.environment(),
                        cwd=self._program.cwd,
                    ),
                    # The client's own default is what stderr was when it was imported.
                    errlog=stack.enter_context(_errors()),
                )
            yield await stack.enter_async_context(library.Client(transport, cache=None)), types

    def _read(self, result: Any) -> Report:
        texts = [part.text for part in result.content if part.type == "text"]
        structured = result.structured_content
        try:
            found = " ".join(texts).encode() if structured is None else canonical(structured)
        except UsageError as error:
            return Report(Execution.UNKNOWN, {"why": shortened(f"its result is no JSON: {error}")})
        if self._betrays(found):
            return Report(Execution.UNKNOWN, {"why": "its result holds the token; it is not kept"})
        told = {"answer": said(found)}
        if result.is_error:
            return Report(Execution.UNKNOWN, {**told, "why": "the tool says that it went wrong"})
        try:
            stated = read_answer(found)
        except UsageError as error:
            return Report(Execution.UNKNOWN, {**told, "why": shortened(str(error))})
        why = "its result names no outcome"
        if stated is not None:
            if structured is None or not _contradicts(texts, stated):
                return stated
            why = "its text says otherwise than its structured content"
        return Report(Execution.UNKNOWN, {**told, "why": why})

    def _betrays(self, result: bytes) -> bool:
        """Whether a result holds the secret that the tool, or its server, was given."""
        if self._program is not None:
            return self._program.betrays(result)
        token = None if self._webhook is None else self._webhook.token()
        return token is not None and holds(result.decode("utf-8", "replace"), token)


def _contradicts(texts: Iterable[str], stated: Report) -> bool:
    """Whether a text of a result names another outcome than its structured content."""
    for text in texts:
        try:
            found = read_answer(text.encode())
        except UsageError:
            return True
        if found is not None and found.outcome is not stated.outcome:
            return True
    return False


async def _client(library: Any, webhook: Webhook) -> Any:
    """An HTTP client whose responses are bounded."""

    class Bounded(library.AsyncByteStream):  # type: ignore[misc]  # the library is no dependency
        def __init__(self, stream: Any) -> None:
            self._stream = stream

        async def __aiter__(self) -> Any:
            size = 0
            async for chunk in self._stream:
                size += len(chunk)
                if size > limits.MAX_ANSWER_BYTES:
                    raise TransportError(f"its answer is over {limits.MAX_ANSWER_BYTES} bytes")
                yield chunk

        async def aclose(self) -> None:
            await self._stream.aclose()

    async def bound(response: Any) -> None:
        # A small compressed answer can unfold to any size.
        if response.headers.get("content-encoding", "identity").strip().lower() != "identity":
            raise TransportError("its answer is compressed, unasked")
        response.stream = Bounded(response.stream)

    token = webhook.token()
    headers = {"accept-encoding": "identity"}
    if token is not None:
        headers["authorization"] = f"Bearer {token}"
    return library.AsyncClient(
        verify=await asyncio.to_thread(library.create_ssl_context),
        event_hooks={"response": [bound]},
        timeout=library.Timeout(limits.MAX_TIMEOUT_SECONDS, connect=10.0),
        headers=headers,
        follow_redirects=False,
        # As in an order that is posted: no proxy reads it, or answers for the server.
        trust_env=False,
    )


@contextlib.contextmanager
def _errors() -> Iterator[TextIO]:
    """Where what a started program writes to standard error is shown, if anywhere."""
    try:
        sys.stderr.fileno()
    # None, closed, or no file of the operating system.
    except (AttributeError, OSError, ValueError):
        with Path(os.devnull).open("w", encoding="utf-8") as nowhere:
            yield nowhere
    else:
        yield sys.stderr


def _line(error: BaseException) -> str:
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return shortened(printable(" ".join(str(error).split()) or type(error).__name__))
