"""Experts that are agents speaking A2A, through the official client.

Needs ``pip install "quorate[a2a]"``. The agent's card is fetched from ``url`` once; calls
go to the first interface in it that the client knows (JSON-RPC or REST), which must be of
the same origin, for a card must not send tasks and token elsewhere.

A message is sent once and never repeated. Where the agent opens a task for it, the task is
asked after until it ends, and cancelled when the call is.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterable
from typing import Any, Final, Literal, NamedTuple, NoReturn

from quorate.core import limits
from quorate.core.canonical import canonical, parse
from quorate.core.errors import MisbehaviourError, QuorateError, TransportError
from quorate.hub.experts.answer import Answer, BareAnswer
from quorate.hub.experts.remote import (
    Held,
    checked_reads,
    checked_url,
    http_client,
    imported,
    in_one_line,
    origin,
    read_result,
    require,
)
from quorate.hub.experts.secret import Secret

_AGENT: Final = "the agent"
_FIRST_PAUSE_SECONDS: Final = 0.05
_LONGEST_PAUSE_SECONDS: Final = 1.0
_CANCELLING_SECONDS: Final = 0.4
_BINDINGS: Final = ("JSONRPC", "HTTP+JSON")
_IN_WORK: Final = frozenset({"TASK_STATE_SUBMITTED", "TASK_STATE_WORKING"})
_FAILED: Final = frozenset({"TASK_STATE_FAILED", "TASK_STATE_REJECTED", "TASK_STATE_CANCELED"})


class _Agent(NamedTuple):
    """An open client, and the modules of its library."""

    client: Any
    types: Any
    helpers: Any
    errors: Any
    json_format: Any


class A2AExpert:
    """Sends each task to an agent as one message, and reads what it answers.

    The answer is the agent's message; or where it opened a task, the task's last artifact,
    or without one the message of its last status. Of its parts the JSON one counts, or
    without one the text.

    Attributes:
        kind: ``"a2a"``.
        confidence_source: one sentence: how the confidence is obtained.
    """

    kind = "a2a"

    def __init__(
        self,
        url: str,
        *,
        bearer_env: str | None = None,
        reads: Literal["answer", "payload"] = "answer",
        insecure_http: bool = False,
    ) -> None:
        """Declare an agent.

        Args:
            url: where its card is, up to ``/.well-known/agent-card.json``.
            bearer_env: environment variable that holds the bearer token; ``None`` sends none.
            reads: ``"answer"``, it answers with a JSON answer object, as a data part or as
                text; ``"payload"``, what it answers is the payload itself, and the panel
                declares the confidence.
            insecure_http: send the token over plain http to another machine.

        Raises:
            UsageError: a value is out of its range.
            OperationalError: the package a2a-sdk is not installed.
        """
        require("a2a", "a2a")
        self._secret = Secret(bearer_env)
        self._url = checked_url(url, secret=bearer_env is not None, insecure_http=insecure_http)
        self._reads, self.confidence_source = checked_reads(reads)
        self._held = Held(self._open)

    async def __call__(self, task: Any) -> Answer | BareAnswer:
        """Put one task's input: text as a text part, other JSON values as a data part.

        Raises:
            TransportError: the agent could not be reached, or says that it failed.
            OperationalError: the environment variable of the token is not set.
            MisbehaviourError: what it answered is no answer, or too large; or its card
                sends calls to another origin.
        """
        return await self._held.use(lambda agent: self._ask(agent, task))

    async def aclose(self) -> None:
        """Close the connections; a later call opens them again."""
        await self._held.aclose()

    async def _ask(self, agent: _Agent, task: Any) -> Answer | BareAnswer:
        make = agent.helpers.new_text_message
        if not isinstance(task, str):
            make = agent.helpers.new_data_message
        message = make(task, role=agent.types.Role.ROLE_USER)
        request = agent.types.SendMessageRequest(message=message)
        with self._told(agent):
            responses = [response async for response in agent.client.send_message(request)]
        response = responses[-1] if responses else agent.types.StreamResponse()
        if response.HasField("message"):
            return self._read(agent, response.message.parts)
        if not response.HasField("task"):
            raise MisbehaviourError(_AGENT, "it answered with neither a message nor a task")
        ended = await self._finished(agent, response.task)
        return self._read(agent, _result_parts(ended))

    async def _finished(self, agent: _Agent, task: Any) -> Any:
        """Ask after a task until it has ended; cancel it if this call is cancelled."""
        pause = _FIRST_PAUSE_SECONDS
        state = agent.types.TaskState.Name(task.status.state)
        try:
            while state in _IN_WORK:
                await asyncio.sleep(pause)
                pause = min(2 * pause, _LONGEST_PAUSE_SECONDS)
                with self._told(agent):
                    task = await agent.client.get_task(agent.types.GetTaskRequest(id=task.id))
                state = agent.types.TaskState.Name(task.status.state)
        except asyncio.CancelledError:
            await self._give_up(agent, task.id)
            raise
        if state in _FAILED:
            said = " ".join(agent.helpers.get_text_parts(task.status.message.parts))
            raise TransportError(f"its task ended as {state}: {self._secret.hidden(said)[:200]}")
        if state != "TASK_STATE_COMPLETED":
            raise MisbehaviourError(_AGENT, f"its task stopped at {state}, without an answer")
        return task

    async def _give_up(self, agent: _Agent, task_id: str) -> None:
        # Nothing can be done about an agent that does not let its task be cancelled.
        with contextlib.suppress(Exception):
            async with asyncio.timeout(_CANCELLING_SECONDS):
                await agent.client.cancel_task(agent.types.CancelTaskRequest(id=task_id))

    def _read(self, agent: _Agent, parts: Iterable[Any]) -> Answer | BareAnswer:
        parts = list(parts)
        try:
            values = [_narrowed(value) for value in agent.helpers.get_data_parts(parts)]
        except (ValueError, agent.json_format.Error) as error:
            raise MisbehaviourError(_AGENT, f"its data cannot be read: {error}") from error
        texts = agent.helpers.get_text_parts(parts)
        return read_result(values, texts, reads=self._reads, secret=self._secret)

    @contextlib.contextmanager
    def _told(self, agent: _Agent) -> Any:
        """Raise what the client raises as errors of ours."""
        try:
            yield
        except QuorateError:
            raise
        except agent.errors.A2AError as error:
            self._failed(error)
        # What a response lacks or holds unreadably, the client finds out in these ways.
        except (
            agent.json_format.Error,
            ValueError,
            LookupError,
            TypeError,
            AttributeError,
        ) as error:
            said = in_one_line(error, self._secret)
            raise MisbehaviourError(_AGENT, f"its response is none of A2A: {said}") from None

    def _failed(self, error: BaseException) -> NoReturn:
        raise TransportError(
            f"{self._url} could not be asked: {in_one_line(error, self._secret)}"
        ) from None

    # --- the connection --------------------------------------------------------

    @contextlib.asynccontextmanager
    async def _open(self) -> AsyncIterator[_Agent]:
        library, types, helpers, errors, json_format, httpx = await imported(
            "a2a.client",
            "a2a.types",
            "a2a.helpers",
            "a2a.utils.errors",
            "google.protobuf.json_format",
            "httpx",
        )
        async with await http_client(httpx, self._secret) as transport:
            config = library.ClientConfig(
                # Told of its task at once, we can cancel it.
                streaming=False,
                polling=True,
                httpx_client=transport,
                supported_protocol_bindings=list(_BINDINGS),
            )
            agent = _Agent(None, types, helpers, errors, json_format)
            with self._told(agent):
                card = await library.A2ACardResolver(transport, self._url).get_agent_card()
                self._keep_here(card)
                client = library.ClientFactory(config).create(card)
            yield agent._replace(client=client)

    def _keep_here(self, card: Any) -> None:
        """Leave out of the card what is elsewhere."""
        there = [each.url for each in card.supported_interfaces]
        here = [each for each in card.supported_interfaces if origin(each.url) == origin(self._url)]
        if not here:
            raise MisbehaviourError(
                _AGENT,
                f"its card sends calls to {', '.join(there)[:200] or 'nowhere'}; "
                f"expected was the origin of {self._url}",
            )
        del card.supported_interfaces[:]
        card.supported_interfaces.extend(here)


def _result_parts(task: Any) -> Iterable[Any]:
    """Where an ended task has its result: artifacts are for that, but not all agents use them."""
    holder = task.artifacts[-1] if task.artifacts else task.status.message
    parts: Iterable[Any] = holder.parts
    return parts


def _narrowed(value: Any) -> Any:
    """Write whole numbers as such again: on its way each number was a double."""
    return _whole(parse(canonical(value)))


def _whole(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _whole(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_whole(item) for item in value]
    if isinstance(value, float) and value.is_integer() and abs(value) <= limits.MAX_SAFE_INTEGER:
        return int(value)
    return value
