"""Probes: one attack, laid out as data: where it takes place, what is said, what counts.

A probe is declared in full before the target is asked anything. What it is judged by is
part of it, by name and data, so that whoever reads a sealed scan can judge it again.
"""

from __future__ import annotations

import hashlib
import re
from base64 import b32encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from quorate.arbitration.forms import items, members, text
from quorate.arbitration.proposal import plain_copy
from quorate.core.canonical import JSONValue, canonical
from quorate.core.errors import UsageError, UsageTypeError
from quorate.redteam import bounds
from quorate.redteam.conversation import ToolCall, result_of

_GROUP: Final = 4
_LETTERS: Final = 16
_BEFORE_NAME: Final = re.compile(r"[./:]|__")


def plain_name(name: str) -> str:
    """A function's name as it is compared: letters and digits, in lower case."""
    return "".join(c for c in name.casefold() if c.isalnum())


def called_as(name: str) -> frozenset[str]:
    """The names that a call goes by: its own, and that without what models put before it.

    Such as ``functions.`` or the name of the server that offers it.
    """
    own = _BEFORE_NAME.split(name)[-1]
    return frozenset(filter(None, (plain_name(name), plain_name(own))))


def _long(value: object, name: str) -> str:
    return text(value, name, bounds.MAX_TEXT_LENGTH, least=0)


@dataclass(frozen=True, slots=True)
class Tool:
    """A function that is offered to the target.

    Attributes:
        name: what it is called by.
        description: what it does, for the target to read.
        parameters: names of its arguments; all are text.
    """

    name: str
    description: str
    parameters: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """As JSON."""
        return {
            "name": self.name,
            "description": self.description,
            "parameters": list(self.parameters),
        }

    @classmethod
    def from_dict(cls, data: object) -> Tool:
        """Read back what :meth:`to_dict` wrote.

        Raises:
            UsageError: it is no tool.
        """
        form = members(data, "a tool", ("name", "description", "parameters"))
        named = items(form["parameters"], "parameters", lambda one: text(one, "a parameter"))
        return cls(text(form["name"], "the tool"), _long(form["description"], "it"), named)


@dataclass(frozen=True, slots=True)
class Answer:
    """What a simulated tool answers.

    Attributes:
        tool: its name.
        needle: text that stands in the call's arguments; empty for any call.
        result: what comes back.
    """

    tool: str
    needle: str
    result: str

    def to_dict(self) -> dict[str, Any]:
        """As JSON."""
        return {"tool": self.tool, "needle": self.needle, "result": self.result}

    @classmethod
    def from_dict(cls, data: object) -> Answer:
        """Read back what :meth:`to_dict` wrote.

        Raises:
            UsageError: it is no answer of a tool.
        """
        form = members(data, "a tool's answer", ("tool", "needle", "result"))
        tool = text(form["tool"], "the tool")
        return cls(tool, _long(form["needle"], "needle"), _long(form["result"], "result"))

    def fits(self, call: ToolCall) -> bool:
        """Whether this is the answer to that call."""
        told = canonical(dict(call.arguments)).decode()
        return plain_name(self.tool) in called_as(call.name) and self.needle in told


@dataclass(frozen=True, slots=True)
class Scene:
    """Where a probe takes place.

    Attributes:
        system: what the operator tells the target: its task, what is confidential, and
            what the user may do.
        principal: the user who is logged in.
        role: that user's role.
        tools: what the target may call.
        answers: what the tools answer; the first that fits.
    """

    system: str
    principal: str
    role: str
    tools: tuple[Tool, ...] = ()
    answers: tuple[Answer, ...] = ()

    def result(self, call: ToolCall) -> str:
        """What comes back from a simulated call."""
        known = bool(called_as(call.name) & {plain_name(tool.name) for tool in self.tools})
        found = next((answer.result for answer in self.answers if answer.fits(call)), None)
        return result_of(known, found)

    def to_dict(self) -> dict[str, Any]:
        """As JSON."""
        return {
            "system": self.system,
            "principal": self.principal,
            "role": self.role,
            "tools": [tool.to_dict() for tool in self.tools],
            "answers": [answer.to_dict() for answer in self.answers],
        }

    @classmethod
    def from_dict(cls, data: object) -> Scene:
        """Read back what :meth:`to_dict` wrote.

        Raises:
            UsageError: it is no scene.
        """
        form = members(data, "the scene", ("system", "principal", "role", "tools", "answers"))
        return cls(
            _long(form["system"], "system"),
            text(form["principal"], "principal"),
            text(form["role"], "role"),
            items(form["tools"], "tools", Tool.from_dict),
            items(form["answers"], "answers", Answer.from_dict),
        )


@dataclass(frozen=True, slots=True)
class Step:
    """One turn of the attacker.

    Attributes:
        text: what is said.
        cut: the target's reply before it is cut in half, as by one who speaks over it.
    """

    text: str
    cut: bool = False

    def to_dict(self) -> dict[str, Any]:
        """As JSON."""
        return {"text": self.text, "cut": self.cut}

    @classmethod
    def from_dict(cls, data: object) -> Step:
        """Read back what :meth:`to_dict` wrote.

        Raises:
            UsageError: it is no step.
        """
        form = members(data, "a step", ("text", "cut"))
        if not isinstance(form["cut"], bool):
            raise UsageTypeError("cut should be true or false")
        return cls(_long(form["text"], "text"), form["cut"])


@dataclass(frozen=True, slots=True)
class Check:
    """What counts as success of the attack: a judge by name, and what it looks for."""

    judge: str
    data: Mapping[str, JSONValue] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """As JSON."""
        return {"judge": self.judge, "data": plain_copy(dict(self.data))}

    @classmethod
    def from_dict(cls, data: object) -> Check:
        """Read back what :meth:`to_dict` wrote.

        Raises:
            UsageError: it is no check.
        """
        form = members(data, "a check", ("judge", "data"))
        if not isinstance(form["data"], dict):
            raise UsageTypeError("the data of a check should be an object")
        return cls(text(form["judge"], "the judge"), plain_copy(form["data"]))


@dataclass(frozen=True, slots=True)
class Probe:
    """One attack, or one control: an honest request that a working target serves.

    Attributes:
        id: within its strategy.
        title: what is tried, in a few words.
        scene: where it takes place.
        steps: what is said, turn by turn; one at least.
        checks: what counts; one at least, for what nothing judges is not probed.
    """

    id: str
    title: str
    scene: Scene
    steps: tuple[Step, ...]
    checks: tuple[Check, ...]

    def __post_init__(self) -> None:
        """Check the bounds."""
        for many, what, most in (
            (self.steps, "steps", bounds.MAX_STEPS),
            (self.checks, "checks", bounds.MAX_CHECKS),
        ):
            if not 1 <= len(many) <= most:
                raise UsageError(f"the probe {self.id!r} has {len(many)} {what}; give 1 to {most}")
        size = len(canonical(self.to_dict()))
        if size > bounds.MAX_PROBE_BYTES:
            raise UsageError(
                f"the probe {self.id!r} has {size} bytes; at most {bounds.MAX_PROBE_BYTES}"
            )

    def to_dict(self) -> dict[str, Any]:
        """As JSON."""
        return {
            "id": self.id,
            "title": self.title,
            "scene": self.scene.to_dict(),
            "steps": [step.to_dict() for step in self.steps],
            "checks": [check.to_dict() for check in self.checks],
        }

    @classmethod
    def from_dict(cls, data: object) -> Probe:
        """Read back what :meth:`to_dict` wrote.

        Raises:
            UsageError: it is no probe.
        """
        form = members(data, "a probe", ("id", "title", "scene", "steps", "checks"))
        return cls(
            text(form["id"], "the probe's id"),
            text(form["title"], "the probe's title"),
            Scene.from_dict(form["scene"]),
            items(form["steps"], "steps", Step.from_dict),
            items(form["checks"], "checks", Check.from_dict),
        )


@dataclass(frozen=True, slots=True)
class Battery:
    """What one strategy does: a control, and its probes.

    The control is an honest request in the same setting. A target that does not serve it
    does not work there, and an attack that it withstands shows nothing.
    """

    control: Probe
    probes: Sequence[Probe]


class Draw:
    """Marks for one strategy in one scan: the same for the same seed, and for no other.

    They are made for the purpose, so that one in a reply can have come from one place only.
    """

    def __init__(self, seed: int, strategy: str) -> None:
        """Draw by a seed, 0 to ``bounds.MAX_SEED``, for the strategy of that id."""
        self._from: tuple[int, str] = (seed, strategy)

    def _bytes(self, name: str) -> bytes:
        return hashlib.sha256(canonical(["quorate/redteam/mark/1", *self._from, name])).digest()

    def token(self, name: str) -> str:
        """Sixteen letters and digits in groups of four, such as ``K7QX-93MD-…``; 80 bits."""
        letters = b32encode(self._bytes(name)).decode()[:_LETTERS]
        return "-".join(letters[i : i + _GROUP] for i in range(0, _LETTERS, _GROUP))

    def word(self, name: str) -> str:
        """Eight letters in lower case, 40 bits."""
        digits = self._bytes(name)[:8]
        return "".join(chr(ord("a") + byte % 26) for byte in digits)

    def number(self, name: str) -> str:
        """Eight digits, the first not 0."""
        return str(10_000_000 + int.from_bytes(self._bytes(name)[:8], "big") % 90_000_000)
