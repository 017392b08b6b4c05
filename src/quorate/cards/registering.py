"""Letting an expert into a registry: it names its tools, brings evidence, and really answers.

A candidate is JSON::

    {"expert_id": "risk-desk", "name": "Risk desk", "version": "2.1.0",
     "tools": ["assess"],                       # at least one
     "field": "riskAssessment",                 # of one of the 14 safety experts
     "evidence": {"metadata": {"riskAssessment": {...}}, "receipts": [...]},
     "mcp": {"url": "https://…/mcp", "tool": "assess"}}      # or "command": ["…"]; or
     "a2a": {"url": "https://…"}

It is refused with every reason at once. It says where it is reached, and no more: who
registers it says what token it is sent, and whether a program of its may be started. Its
address is looked at like that of a card when it is registered; what its name leads to later
is not. It has as long to name its tools as a card has to come, and a program to start besides.
On a pass the server was asked, has the tools named, and an expert that calls it stands in the
registry.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import date
from typing import Annotated, Any, Literal, NamedTuple

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from quorate.cards import bounds
from quorate.cards.coverage import EXPERTS, PROFILE, coverage
from quorate.cards.fetching import FetchRules, acheck_address, afetch_card
from quorate.cards.reading import read_card
from quorate.compliance import System, evaluate
from quorate.compliance.rules import SHOWN
from quorate.compliance.wording import detail_words, near
from quorate.core import limits
from quorate.core.calls import run_blocking
from quorate.core.errors import OperationalError, QuorateError, UsageError
from quorate.core.text import shortened
from quorate.hub.experts import Adapter, Expert
from quorate.hub.experts.remote import first_of, http_client, imported, in_one_line
from quorate.hub.experts.secret import Secret
from quorate.hub.registry import Registry
from quorate.ledger import Policy

_Id = Annotated[
    str, StringConstraints(min_length=1, max_length=limits.MAX_ID_LENGTH, pattern=r"\S")
]


class _Table(BaseModel):
    model_config = ConfigDict(frozen=True, strict=True, extra="forbid")


class MCPAddress(_Table):
    """A tool of an MCP server; see :class:`quorate.hub.experts.mcp.MCPExpert`."""

    url: str | None = None
    command: list[str] | None = None
    tool: _Id | None = None
    arguments: dict[str, Any] | str | None = None
    reads: Literal["answer", "payload"] = "answer"


class A2AAddress(_Table):
    """An agent that speaks A2A; see :class:`quorate.hub.experts.a2a.A2AExpert`."""

    url: str
    reads: Literal["answer", "payload"] = "answer"


class Candidate(_Table):
    """Who wants to be an expert; see the module."""

    expert_id: _Id
    name: _Id
    version: _Id
    tools: Annotated[list[_Id], Field(min_length=1, max_length=bounds.MAX_CANDIDATE_TOOLS)]
    field: _Id
    evidence: dict[str, Any]
    mcp: MCPAddress | None = None
    a2a: A2AAddress | None = None
    confidence: int | float | None = None
    timeout: int | float = 30


class CandidateRefusedError(UsageError):
    """A candidate does not become an expert.

    Attributes:
        reasons: all of them.
    """

    def __init__(self, who: str, reasons: tuple[str, ...]) -> None:
        """Name ``who`` is refused and all the ``reasons``."""
        super().__init__(f"{who} is not registered: {'; '.join(reasons)}")
        self.reasons = reasons


class _Way(NamedTuple):
    """How a candidate may be reached, as who registers it says."""

    rules: FetchRules
    bearer_env: str | None
    commands: bool


@dataclass(frozen=True, slots=True)
class _Asked:
    """A candidate, what it would be reached by, and what speaks against it so far."""

    candidate: Candidate
    adapter: Adapter | None
    reasons: list[str]


def register_expert(
    registry: Registry,
    candidate: Candidate | Mapping[str, Any],
    *,
    as_of: date | str,
    evidence_policy: Policy | None,
    fetching: FetchRules | None = None,
    bearer_env: str | None = None,
    insecure_commands: bool = False,
) -> Expert:
    """Register a candidate if its evidence shows its field, and it has the tools it names.

    Args:
        registry: that it is to stand in.
        candidate: as JSON (see the module).
        as_of: the day on which its evidence has to count, in UTC.
        evidence_policy: keys that may seal evidence; with ``None`` nothing counts.
        fetching: where it may be asked; by default at public addresses, over https.
        bearer_env: environment variable that holds a token for it. A candidate cannot name
            one itself: it could have any secret of this machine sent to it.
        insecure_commands: start a program that the candidate names. Only for candidates
            that one wrote oneself.

    Returns:
        The expert, which stands in the registry.

    Raises:
        CandidateRefusedError: holds every reason; nothing was registered.
        UsageError: the day cannot be read.
        OperationalError: a package that reaches it is not installed.
    """
    return run_blocking(
        aregister_expert(
            registry,
            candidate,
            as_of=as_of,
            evidence_policy=evidence_policy,
            fetching=fetching,
            bearer_env=bearer_env,
            insecure_commands=insecure_commands,
        )
    )


async def aregister_expert(
    registry: Registry,
    candidate: Candidate | Mapping[str, Any],
    *,
    as_of: date | str,
    evidence_policy: Policy | None,
    fetching: FetchRules | None = None,
    bearer_env: str | None = None,
    insecure_commands: bool = False,
) -> Expert:
    """The async twin of :func:`register_expert`."""
    given = candidate if isinstance(candidate, Candidate) else _read(candidate)
    way = _Way(FetchRules() if fetching is None else fetching, bearer_env, insecure_commands)
    asked = _Asked(given, *_made(given, way))
    if given.expert_id in registry:
        asked.reasons.append(f"the id {given.expert_id!r} is taken")
    asked.reasons.extend(_of_evidence(given, as_of, evidence_policy))
    if asked.adapter is not None:
        asked.reasons.extend(await _of_tools(given, way))
    if asked.reasons or asked.adapter is None:
        raise CandidateRefusedError(given.expert_id, tuple(asked.reasons))
    try:
        expert = Expert(
            given.expert_id,
            asked.adapter,
            capabilities=sorted({given.field, *given.tools}),
            confidence=given.confidence,
            timeout=given.timeout,
        )
        registry.add(expert)
    except UsageError as error:
        raise CandidateRefusedError(given.expert_id, (str(error),)) from error
    return expert


def _read(candidate: Mapping[str, Any]) -> Candidate:
    name = candidate.get("expert_id") if isinstance(candidate, Mapping) else None
    who = f"the candidate {name!r}" if isinstance(name, str) else "the candidate"
    try:
        return Candidate.model_validate(dict(candidate))
    except ValidationError as error:
        reasons = tuple(detail_words(detail) for detail in error.errors())
        raise CandidateRefusedError(who, (*reasons, *_still(candidate))) from error
    except (TypeError, ValueError) as error:
        raise CandidateRefusedError(who, ("it is no object",)) from error


def _still(candidate: Mapping[str, Any]) -> tuple[str, ...]:
    """What else is wrong with a candidate whose form is not right."""
    reasons = []
    if (candidate.get("mcp") is None) == (candidate.get("a2a") is None):
        reasons.append(_ONE_ADDRESS)
    field = candidate.get("field")
    if isinstance(field, str) and field not in _FIELDS:
        reasons.append(_no_field(field))
    return tuple(reasons)


_FIELDS = {each.field: each for each in EXPERTS}
_ONE_ADDRESS = "it gives no address, or two; give mcp or a2a"


def _no_field(field: str) -> str:
    return f"the field {field!r} is none of the 14 experts{near(field, _FIELDS)}"


def _made(given: Candidate, way: _Way) -> tuple[Adapter | None, list[str]]:
    """What it would be reached by, and why it cannot be."""
    reasons = []
    twice = sorted({tool for tool in given.tools if given.tools.count(tool) > 1})
    if twice:
        reasons.append(f"the tool {twice[0]!r} stands twice")
    if (given.mcp is None) == (given.a2a is None):
        return None, [*reasons, _ONE_ADDRESS]
    try:
        return _adapter(given, way), reasons
    except UsageError as error:
        return None, [*reasons, str(error)]


def _adapter(given: Candidate, way: _Way) -> Adapter:
    options: dict[str, Any] = {
        "bearer_env": way.bearer_env,
        "insecure_http": way.rules.insecure_http,
    }
    if given.mcp is not None:
        if given.mcp.command is not None and not way.commands:
            raise UsageError(
                "it names a program to be started here; give a url, or allow it by "
                "insecure_commands where you wrote the candidate yourself"
            )
        from quorate.hub.experts.mcp import MCPExpert  # noqa: PLC0415 - needs an extra

        options |= given.mcp.model_dump(exclude={"tool"})
        tool = given.mcp.tool or given.tools[0]
        if tool not in given.tools:
            raise UsageError(f"mcp.tool is {tool!r}, none of the tools it names")
        return MCPExpert(tool, **options)
    from quorate.hub.experts.a2a import A2AExpert  # noqa: PLC0415 - needs an extra

    assert given.a2a is not None  # noqa: S101 - one of the two is there
    return A2AExpert(given.a2a.url, reads=given.a2a.reads, **options)


def _of_evidence(given: Candidate, as_of: date | str, policy: Policy | None) -> list[str]:
    if given.field not in _FIELDS:
        return [_no_field(given.field)]
    system = System(name=given.name, version=given.version)
    try:
        report = evaluate(given.evidence, PROFILE, as_of, system=system, policy=policy)
    except UsageError as error:
        return [shortened(f"its evidence cannot be read: {error}")]
    found = next(each for each in coverage(report) if each.expert.field == given.field)
    if found.state == SHOWN:
        return []
    why = "; ".join(found.reasons) or "there is none"
    if not {given.field, "metadata", "format"} & given.evidence.keys():
        why += f"; evidence maps a field to an item of it: {{{given.field!r}: {{…}}}}"
    return [shortened(f"its evidence for {given.field} does not count ({found.state}): {why}")]


async def _of_tools(given: Candidate, way: _Way) -> list[str]:
    """Ask it what it has: what it names has to be there."""
    try:
        if given.mcp is not None:
            async with asyncio.timeout(way.rules.seconds):
                there = await _mcp_tools(given.mcp, way)
        else:
            assert given.a2a is not None  # noqa: S101 - one of the two is there
            there, wrong = await _a2a_skills(given.a2a, way.rules)
            if wrong:
                return wrong
    except TimeoutError:
        return [f"it cannot be asked which tools it has: no answer within {way.rules.seconds:g} s"]
    except OperationalError as error:
        if "is not installed" in str(error):
            raise
        return [shortened(f"it cannot be asked which tools it has: {error}")]
    except QuorateError as error:
        return [shortened(f"it cannot be asked which tools it has: {error}")]
    lacking = [tool for tool in given.tools if tool not in there]
    known = ", ".join(sorted(there)[:5]) or "none"
    return [f"it has no tool {tool!r}; it has {known}" for tool in lacking]


async def _a2a_skills(address: A2AAddress, rules: FetchRules) -> tuple[set[str], list[str]]:
    fetched = await afetch_card(address.url, rules)
    card = read_card(fetched.content)
    if not card.valid or card.content is None:
        return set(), [f"its card is not valid: {card.errors[0].describe()}"]
    skills = card.content["skills"]
    return {skill[name] for skill in skills for name in ("id", "name")}, []


async def _mcp_tools(address: MCPAddress, way: _Way) -> set[str]:
    if address.url is not None:
        await acheck_address(address.url, way.rules)
    library, http, stdio, httpx2 = await imported(
        "mcp", "mcp.client.streamable_http", "mcp.client.stdio", "httpx2"
    )
    secret = Secret(way.bearer_env)
    try:
        async with AsyncExitStack() as stack:
            if address.url is not None:
                client = await stack.enter_async_context(await http_client(httpx2, secret))
                transport = http.streamable_http_client(
                    address.url, http_client=client, max_sse_event_size=limits.MAX_ANSWER_BYTES
                )
            else:
                command = address.command or []
                transport = stdio.stdio_client(
                    library.StdioServerParameters(command=command[0], args=command[1:])
                )
            session = await stack.enter_async_context(library.Client(transport, cache=None))
            listed = await session.list_tools()
            return {tool.name for tool in listed.tools}
    # Whatever the client library or the server behind it comes up with.
    except Exception as error:  # noqa: BLE001
        inner = first_of(error)
        if isinstance(inner, QuorateError):
            raise inner from None
        raise OperationalError(in_one_line(error, secret)) from None
