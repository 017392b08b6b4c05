"""What a target is asked, what it answers, and how one goes on to the other.

Theory of operation. A target is a callable that takes a :class:`Request`, the whole
conversation so far, and returns a :class:`Reply`: text, tool calls, or both. Tools are
simulated: the probe says what they answer, so that an attack can come by way of a tool's
result and nothing real is ever touched. :class:`Conversation` holds no clock and calls
nobody: it says what to ask next and takes the reply. Given the same replies it takes the
same course, and that is how a sealed scan is judged again.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sized
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final, Literal, cast

from quorate.arbitration.forms import items, members, shown, text
from quorate.arbitration.proposal import plain_copy
from quorate.core import limits
from quorate.core.canonical import JSONValue, canonical
from quorate.core.errors import UsageError, UsageTypeError
from quorate.redteam import bounds

if TYPE_CHECKING:
    from quorate.redteam.probes import Probe, Tool

Role = Literal["system", "user", "assistant", "tool"]

_DONE: Final = "done"
_UNKNOWN: Final = "there is no such function"


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A function that the target wants called.

    Attributes:
        name: of the function; it may be one that was never offered.
        arguments: by name, any JSON.
    """

    name: str
    arguments: Mapping[str, JSONValue] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """As JSON."""
        return {"name": self.name, "arguments": plain_copy(dict(self.arguments))}

    @classmethod
    def from_dict(cls, data: object) -> ToolCall:
        """Read back what :meth:`to_dict` wrote; arguments may be left out.

        Raises:
            UsageError: it is no tool call, or is beyond the bounds.
        """
        form = members(data, "a tool call", ("name",), ("arguments",))
        arguments = form.get("arguments", {})
        if not isinstance(arguments, dict):
            raise UsageTypeError("the arguments of a tool call should be an object")
        _check_depth(arguments)
        return cls(text(form["name"], "the name of a tool"), plain_copy(arguments))


@dataclass(frozen=True, slots=True)
class Reply:
    """What a target says and wants done.

    Attributes:
        text: what it says; may be empty.
        tool_calls: what it wants called, in order.
    """

    text: str = ""
    tool_calls: tuple[ToolCall, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """As JSON."""
        return {"text": self.text, "tool_calls": [call.to_dict() for call in self.tool_calls]}

    @classmethod
    def of(cls, value: object) -> Reply:
        """Read what a target returned: a reply, a text, or the form of :meth:`to_dict`.

        Raises:
            UsageError: it is none of these, or larger than ``bounds.MAX_REPLY_BYTES``.
        """
        if type(value) is Reply:
            value = {"text": value.text, "tool_calls": _listed(value.tool_calls)}
        _check_size(value)
        # Subclasses may say one thing now and another later: only plain values are read.
        canonical(value)
        value = plain_copy(value)
        if isinstance(value, str):
            value = {"text": value}
        form = members(value, "the reply", (), ("text", "tool_calls"))
        calls = items(form.get("tool_calls", ()), "tool_calls", ToolCall.from_dict)
        if len(calls) > bounds.MAX_TOOL_CALLS:
            raise UsageError(f"{len(calls)} tool calls; at most {bounds.MAX_TOOL_CALLS} are read")
        most = bounds.MAX_REPLY_BYTES
        reply = cls(text(form.get("text", ""), "the text", most, least=0), calls)
        size = len(canonical(reply.to_dict()))
        if size > most:
            raise UsageError(f"the reply has {size} bytes; at most {most} are read")
        return reply


@dataclass(frozen=True, slots=True)
class Message:
    """One message of a conversation.

    Attributes:
        role: who speaks; ``tool`` is the result of a tool call.
        text: what is said.
        tool_calls: of an assistant's message.
        name: of a tool's message: the tool.
        cut: the assistant was interrupted here.
    """

    role: Role
    text: str
    tool_calls: tuple[ToolCall, ...] = ()
    name: str | None = None
    cut: bool = False

    def to_dict(self) -> dict[str, Any]:
        """As JSON; what is empty is left out, the text excepted."""
        told: dict[str, Any] = {"role": self.role, "text": self.text}
        if self.tool_calls:
            told["tool_calls"] = [call.to_dict() for call in self.tool_calls]
        if self.name is not None:
            told["name"] = self.name
        if self.cut:
            told["cut"] = True
        return told


@dataclass(frozen=True, slots=True)
class Request:
    """What a target is given: everything said so far, and what it may call.

    Attributes:
        session: the same for all turns of one probe, and for no other probe of the scan.
        turn: 0-based number of this request in its session.
        principal: the user who is logged in; what this user may do, the first message says.
        role: that user's role.
        messages: the whole conversation; the first is the operator's (``system``).
        tools: what may be called.
    """

    session: str
    turn: int
    principal: str
    role: str
    messages: tuple[Message, ...]
    tools: tuple[Tool, ...]

    def to_dict(self) -> dict[str, Any]:
        """As JSON, for targets behind a wire."""
        return {
            "session": self.session,
            "turn": self.turn,
            "principal": self.principal,
            "role": self.role,
            "messages": [message.to_dict() for message in self.messages],
            "tools": [tool.to_dict() for tool in self.tools],
        }


Answered = Reply | str | Mapping[str, Any]
Target = Callable[[Request], Answered] | Callable[[Request], Awaitable[Answered]]
"""Takes a request; gives a reply, a text, or ``{"text": …, "tool_calls": […]}``."""


class Conversation:
    """The course of one probe.

    Attributes:
        replies: what the target replied so far.
    """

    def __init__(self, probe: Probe, session: str) -> None:
        """Begin ``probe`` in a session of its own."""
        self._probe = probe
        self._session = session
        self._messages = [Message("system", probe.scene.system)]
        self._steps = list(probe.steps)
        self._rounds = 0
        self._over = False
        self._bytes = 0
        self.replies: list[Reply] = []
        self._next_step()

    @property
    def over(self) -> bool:
        """Whether nothing more is to be asked."""
        return self._over

    @property
    def messages(self) -> tuple[Message, ...]:
        """All that was said so far."""
        return tuple(self._messages)

    def request(self) -> Request:
        """What to ask the target now; a copy of its own."""
        scene = self._probe.scene
        calls = [tuple(_copy(call) for call in message.tool_calls) for message in self._messages]
        copies = [replace(m, tool_calls=c) for m, c in zip(self._messages, calls, strict=True)]
        return Request(
            session=self._session,
            turn=len(self.replies),
            principal=scene.principal,
            role=scene.role,
            messages=tuple(copies),
            tools=scene.tools,
        )

    def take(self, reply: Reply) -> None:
        """Go on from what the target replied.

        Raises:
            UsageError: the conversation is over, or its replies together are larger than
                ``bounds.MAX_REPLIES_BYTES``; the reply is taken all the same, to be judged.
        """
        if self.over:
            raise UsageError("the conversation is over; there is nothing to reply to")
        self.replies.append(reply)
        self._messages.append(Message("assistant", reply.text, reply.tool_calls))
        for call in reply.tool_calls:
            result = self._probe.scene.result(call)
            self._messages.append(Message("tool", result, name=call.name))
        self._rounds += 1
        self._bytes += len(canonical(reply.to_dict()))
        if self._bytes > bounds.MAX_REPLIES_BYTES:
            raise UsageError(f"its replies exceed {bounds.MAX_REPLIES_BYTES} bytes together")
        if not reply.tool_calls or self._rounds > bounds.MAX_TOOL_ROUNDS:
            self._next_step()

    def _next_step(self) -> None:
        if not self._steps:
            self._over = True
            return
        step = self._steps.pop(0)
        last = self._messages[-1]
        if step.cut and last.role == "assistant":
            half = last.text[: len(last.text) // 2]
            self._messages[-1] = replace(last, text=half, cut=True)
        self._messages.append(Message("user", step.text))
        self._rounds = 0


def result_of(known: bool, answer: str | None) -> str:  # noqa: FBT001 - a pair of facts
    """What a simulated tool answers: what was declared, or that it is done, or unknown."""
    if answer is not None:
        return answer
    return _DONE if known else _UNKNOWN


def _copy(call: ToolCall) -> ToolCall:
    return ToolCall(call.name, plain_copy(dict(call.arguments)))


def _listed(calls: object) -> list[Any]:
    if type(calls) is not tuple and type(calls) is not list:
        raise UsageTypeError(f"tool_calls is {shown(calls)}; it should be a tuple")
    return [
        {"name": call.name, "arguments": call.arguments} if type(call) is ToolCall else call
        for call in calls
    ]


def _check_size(value: object) -> None:
    """Refuse what would be large once written, before it is.

    Where one list stands many times in another, and that one in a third, little is held and
    much is written.
    """
    level, size = [value], 0
    while level:
        inner: list[object] = []
        for one in level:
            size += 1
            if type(one) in {dict, list, tuple, str}:
                size += len(cast("Sized", one))
            # Before its items are looked at, for they may stand elsewhere too.
            if size > bounds.MAX_REPLY_BYTES:
                raise UsageError(f"the reply has more than {bounds.MAX_REPLY_BYTES} bytes")
            if type(one) is dict:
                inner.extend((*one.keys(), *one.values()))
            elif type(one) is list or type(one) is tuple:
                inner.extend(one)
        level = inner


def _check_depth(value: JSONValue) -> None:
    level, depth = [value], 0
    while level:
        depth += 1
        if depth > bounds.MAX_ARGUMENT_DEPTH:
            raise UsageError(f"arguments are nested deeper than {bounds.MAX_ARGUMENT_DEPTH}")
        inner: list[JSONValue] = []
        for one in level:
            inner.extend(one.values() if isinstance(one, dict) else one)
        level = [one for one in inner if isinstance(one, dict | list)]


assert bounds.MAX_ARGUMENT_DEPTH < limits.MAX_PAYLOAD_DEPTH  # noqa: S101 - a report can be sealed
