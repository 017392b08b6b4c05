"""Experts that are tools of an MCP server, through the official client.

Needs ``pip install "quorate[mcp]"``. The server is at a ``url`` (streamable HTTP), or a
``command`` that is started and spoken to over its standard input and output. What comes
over HTTP is bounded; what a started program writes is read by the client without a bound
of its own, so start programs that are trusted that far.

A tool may have side effects. So a call is sent once: whatever comes of it, it is never
repeated. After one that failed the next call opens a new connection, or process.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator, Iterable, Mapping
from pathlib import Path
from typing import Any, Final, Literal, NamedTuple

from quorate.arbitration.forms import shown
from quorate.core import limits
from quorate.core.canonical import canonical, parse
from quorate.core.errors import (
    MisbehaviourError,
    QuorateError,
    TransportError,
    UsageError,
    UsageTypeError,
)
from quorate.core.text import printable
from quorate.hub.experts.answer import Answer, BareAnswer
from quorate.hub.experts.remote import (
    Held,
    checked_reads,
    checked_url,
    first_of,
    http_client,
    imported,
    in_one_line,
    read_result,
    require,
)
from quorate.hub.experts.secret import Secret, hidden

INPUT: Final = "{input}"
"""What stands in the arguments where the task's input goes."""

_SERVER: Final = "the server"
_MOST_SAID: Final = 200
_LAST_WORDS_SECONDS: Final = 0.5


class _Server(NamedTuple):
    """An open client, the modules of its library, and what a started server last complained of."""

    client: Any
    types: Any
    errors: Any
    tail: _Tail | None


class MCPExpert:
    """Calls one tool for each task, and reads what it returns.

    Structured content counts, or without it the one text. A result that is marked as an
    error is a crash.

    Attributes:
        kind: ``"mcp"``.
        confidence_source: one sentence: how the confidence is obtained.
    """

    kind = "mcp"

    def __init__(  # noqa: PLR0913 - one argument for each thing a panel declares
        self,
        tool: str,
        *,
        url: str | None = None,
        command: Iterable[str] | None = None,
        arguments: Mapping[str, Any] | str | None = None,
        bearer_env: str | None = None,
        cwd: str | Path | None = None,
        env: Mapping[str, str] | None = None,
        reads: Literal["answer", "payload"] = "answer",
        insecure_http: bool = False,
    ) -> None:
        """Declare a tool.

        Args:
            tool: its name.
            url: the server's endpoint; or
            command: the program to start, with its arguments; no shell reads them.
            arguments: the tool's arguments, a JSON object in which ``"{input}"``, wherever
                a value is just that, stands for the task's input; ``"{input}"`` itself
                where the input is the object. Without them ``{"input": "{input}"}``.
            bearer_env: environment variable that holds the bearer token for the url;
                ``None`` sends none.
            cwd: folder the command runs in; ``None``: that of this process.
            env: variables set for the command, besides PATH, HOME and the like; of this
                process's others it gets none.
            reads: ``"answer"``, the tool returns a JSON answer object; ``"payload"``, what
                it returns is the payload itself (of structured content that is
                ``{"result": ...}`` alone, as servers wrap a bare value, what is in it), and
                the panel declares the confidence.
            insecure_http: send the token over plain http to another machine.

        Raises:
            UsageTypeError: a value is of the wrong type.
            UsageError: a value is out of its range; both a url and a command, or neither.
            OperationalError: the package mcp is not installed.
        """
        require("mcp", "mcp")
        if not isinstance(tool, str) or not tool or len(tool) > limits.MAX_ID_LENGTH:
            raise UsageTypeError(f"the tool is {shown(tool)}; give its name")
        if (url is None) == (command is None):
            raise UsageError(f"the tool {tool} has a url or a command, one of the two")
        if url is None and bearer_env is not None:
            raise UsageError("bearer_env is for a url; give a command its secrets through env")
        if url is not None and (cwd is not None or env is not None):
            raise UsageError("cwd and env are for a command, and there is a url")
        self._tool = tool
        self._secret = Secret(bearer_env)
        self._url = url
        if url is not None:
            checked_url(url, secret=bearer_env is not None, insecure_http=insecure_http)
        self._command = [] if command is None else _words(command)
        self._cwd = cwd
        self._env = None if env is None else dict(env)
        self._arguments = _read_arguments(arguments)
        self._reads, self.confidence_source = checked_reads(reads)
        self._held = Held(self._open, fragile=True)

    async def __call__(self, task: Any) -> Answer | BareAnswer:
        """Call the tool with one task's input (a JSON value).

        Raises:
            TransportError: the server could not be reached or started, or the tool failed.
            OperationalError: the environment variable of the token is not set.
            MisbehaviourError: what the tool returned is no answer, or too large.
            UsageError: the input is to be the arguments, and is no JSON object.
        """
        arguments = _filled(self._arguments, task)
        if not isinstance(arguments, dict):
            raise UsageError(f"the input is {shown(arguments)}; the tool's arguments are an object")
        return await self._held.use(lambda server: self._ask(server, arguments))

    async def aclose(self) -> None:
        """Close the connections, end the processes; a later call opens them again."""
        await self._held.aclose()

    async def _ask(self, server: _Server, arguments: dict[str, Any]) -> Answer | BareAnswer:
        types = server.types
        request = types.CallToolRequest(
            params=types.CallToolRequestParams(name=self._tool, arguments=arguments)
        )
        try:
            # Not the client's call_tool: that one would send a call again which the server
            # refused, and match results against patterns that the server chose.
            result = await server.client.session.send_request(request, types.CallToolResult)
        except QuorateError:
            raise
        except server.errors.MCPError as error:
            raise self._failed(error, await _last_words(server.tail)) from None
        except ValueError as error:
            said = in_one_line(error, self._secret)
            raise MisbehaviourError(_SERVER, f"its result is none of MCP: {said}") from None
        texts = [part.text for part in result.content if part.type == "text"]
        if result.is_error:
            said = self._secret.hidden(" ".join(" ".join(texts).split()))[:_MOST_SAID]
            raise TransportError(f"the tool {self._tool} failed: {said or 'it does not say why'}")
        return self._read(result.structured_content, texts)

    def _read(self, structured: Any, texts: list[str]) -> Answer | BareAnswer:
        if structured is None:
            return read_result((), texts, reads=self._reads, secret=self._secret)
        try:
            # The client's own reader lets pass what is no JSON in the strict sense.
            structured = parse(canonical(structured))
        except UsageError as error:
            raise MisbehaviourError(_SERVER, f"its result cannot be read: {error}") from error
        if self._reads == "payload" and structured.keys() == {"result"}:
            structured = structured["result"]
        return read_result((structured,), (), reads=self._reads, secret=self._secret)

    def _failed(self, error: BaseException, last: str) -> QuorateError:
        error = first_of(error)
        if isinstance(error, QuorateError):
            return error
        said = in_one_line(error, self._secret)
        if last:
            said = f"{said}; its last words: {last}"
        return TransportError(f"{self._url or self._command[0]} could not be asked: {said}")

    # --- the connection --------------------------------------------------------

    @contextlib.asynccontextmanager
    async def _open(self) -> AsyncIterator[_Server]:
        library, types, errors, http, stdio, httpx2 = await imported(
            "mcp",
            "mcp.types",
            "mcp.shared.exceptions",
            "mcp.client.streamable_http",
            "mcp.client.stdio",
            "httpx2",
        )
        async with contextlib.AsyncExitStack() as stack:
            tail = errlog = None
            if self._url is not None:
                client = await stack.enter_async_context(await http_client(httpx2, self._secret))
                transport = http.streamable_http_client(
                    self._url, http_client=client, max_sse_event_size=limits.MAX_ANSWER_BYTES
                )
            else:
                tail, errlog = await stack.enter_async_context(_tail())
                transport = stdio.stdio_client(
                    library.StdioServerParameters(
                        command=self._command[0],
                        args=self._command[1:],
                        env=self._env,
                        cwd=self._cwd,
                    ),
                    errlog=errlog,
                )
            try:
                client = await stack.enter_async_context(library.Client(transport, cache=None))
            # A transport's tasks fail as a group.
            except (errors.MCPError, OSError, ExceptionGroup) as error:
                if errlog is not None:
                    errlog.close()
                raise self._failed(error, await _last_words(tail)) from None
            if errlog is not None:
                # The child has its own end; once it is gone, the tail is at its end.
                errlog.close()
            yield _Server(client, types, errors, tail)


class _Tail(asyncio.Protocol):
    """Keeps the end of what a process writes to its standard error."""

    def __init__(self) -> None:
        self.kept = b""
        self.ended = asyncio.Event()

    def connection_lost(self, _: Exception | None) -> None:
        """Note that nobody writes any more."""
        self.ended.set()

    def data_received(self, data: bytes) -> None:
        """Take in what was written."""
        self.kept = (self.kept + data)[-limits.MAX_ERROR_TAIL_BYTES :]


async def _last_words(tail: _Tail | None) -> str:
    """The last line that a process wrote, given a moment to come through."""
    if tail is None:
        return ""
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(tail.ended.wait(), _LAST_WORDS_SECONDS)
    lines = tail.kept.decode("utf-8", "replace").strip().splitlines()
    return printable(hidden(lines[-1], [os.environ])[:_MOST_SAID]) if lines else ""


@contextlib.asynccontextmanager
async def _tail() -> AsyncIterator[tuple[_Tail, Any]]:
    reading, writing = os.pipe()
    with open(writing, "w", encoding="utf-8") as errlog:  # noqa: ASYNC230, PTH123 - a pipe's end
        loop = asyncio.get_running_loop()
        pipe = open(reading, "rb", buffering=0)  # noqa: ASYNC230, PTH123, SIM115 - closed by its transport
        transport, tail = await loop.connect_read_pipe(_Tail, pipe)
        try:
            yield tail, errlog
        finally:
            transport.close()


def _words(command: Iterable[str]) -> list[str]:
    words = [] if isinstance(command, str) else list(command)
    if not words or not all(isinstance(word, str) and "\0" not in word for word in words):
        raise UsageTypeError(
            f"the command is {shown(command)}; give a list of the program and its arguments"
        )
    if not words[0] or len(words) > limits.MAX_COMMAND_ARGUMENTS:
        raise UsageError(
            f"the command has {len(words)} words, the first of them {words[0]!r}; it is a "
            f"program and its arguments, at most {limits.MAX_COMMAND_ARGUMENTS} words"
        )
    return words


def _read_arguments(arguments: Mapping[str, Any] | str | None) -> Any:
    if arguments is None:
        return {"input": INPUT}
    if arguments == INPUT:
        return INPUT
    if not isinstance(arguments, Mapping):
        raise UsageTypeError(f"the arguments are {shown(arguments)}; give an object, or {INPUT!r}")
    form = parse(canonical(dict(arguments)))
    if _filled(form, 0) == _filled(form, 1):
        raise UsageError(f"no argument is {INPUT!r}, where the task's input goes")
    return form


def _filled(form: Any, task: Any) -> Any:
    """The arguments with the task's input in its places."""
    if form == INPUT:
        return task
    if isinstance(form, dict):
        return {key: _filled(value, task) for key, value in form.items()}
    if isinstance(form, list):
        return [_filled(value, task) for value in form]
    return form
