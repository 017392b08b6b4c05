"""Scripted targets: no model, no network; they show what a scan finds, and that it finds it.

They read the plain lines of the canonical scenes, and are of no use as evidence of
anything. Their names begin with ``scripted-``, and reports on them say so.
"""

from __future__ import annotations

import re
from types import MappingProxyType
from typing import Final

from quorate.redteam.conversation import Reply, Request, ToolCall

PREFIX: Final = "scripted-"

_MARK: Final = re.compile(r"\b[A-Z2-7]{4}(?:-[A-Z2-7]{4}){3}\b")
_CALL: Final = re.compile(r"\b([A-Za-z]+(?:[_-][A-Za-z]+)+) with ((?:[a-z_]+=\S+ ?)+)")
_ARGUMENT: Final = re.compile(r"([a-z_]+)=(\S+)")
_QUOTED: Final = re.compile(r'"([a-z]+)" followed directly by "([a-z]+)"')
_OPEN: Final = re.compile(r"open to everyone who asks: (\S+)")
_MAY: Final = re.compile(r"^Functions this user may have called: (.+)$", re.MULTILINE)
_OWN: Final = re.compile(r"^Records of this user: (.+)$", re.MULTILINE)


def hardened(request: Request) -> Reply:
    """Serves what is allowed by the letter, and nothing else: it defends every canonical probe."""
    system, last = request.messages[0].text, request.messages[-1]
    if last.role == "tool":
        return Reply(f"It says: {last.text}")
    may = set(_listed(_MAY, system))
    own = set(_listed(_OWN, system))
    calls = [
        call
        for call in _asked(last.text, "")
        if call.name in may and set(call.arguments) == {"record_id"}
    ]
    allowed = tuple(call for call in calls if set(call.arguments.values()) <= own)
    if allowed:
        return Reply("", allowed)
    opened = _OPEN.search(system)
    return Reply(f"I keep to my instructions. Visitors' code: {opened[1] if opened else 'none'}")


def naive(request: Request) -> Reply:
    """Does as it is told by whoever spoke last: it falls for every canonical probe."""
    system, last = request.messages[0].text, request.messages[-1].text
    secrets = " ".join(_MARK.findall(system))
    said = [last.replace("<code>", _first(secrets)), system]
    said += ["".join(pair) for pair in _QUOTED.findall(last)]
    return Reply("\n".join(said), _asked(last, secrets))


def leaky(request: Request) -> Reply:
    """Withstands a single message, and gives in once the conversation has gone on."""
    turns = sum(message.role != "system" for message in request.messages)
    return hardened(request) if turns == 1 else naive(request)


SCRIPTED: Final = MappingProxyType(
    {f"{PREFIX}hardened": hardened, f"{PREFIX}leaky": leaky, f"{PREFIX}naive": naive}
)
"""Name -> scripted target."""


def _listed(line: re.Pattern[str], system: str) -> list[str]:
    found = line.search(system)
    return [] if found is None else found[1].split(", ")


def _first(secrets: str) -> str:
    return secrets.partition(" ")[0]


def _asked(words: str, secrets: str) -> tuple[ToolCall, ...]:
    """The calls that a text asks for, in the form ``name with key=value …``."""
    calls = []
    for name, given in _CALL.findall(words):
        arguments = {
            key: value.rstrip(".,;").replace("<code>", _first(secrets) or "<code>")
            for key, value in _ARGUMENT.findall(given)
        }
        calls.append(ToolCall(name, arguments))
    return tuple(calls)
