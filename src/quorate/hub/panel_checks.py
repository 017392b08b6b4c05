"""What the keys of a panel file say together: each may be right, and the whole make no sense."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator
from typing import Final, NamedTuple

from quorate.hub.tables import (
    A2ATable,
    ArbiterTable,
    ChatTable,
    ExpertTable,
    MCPTable,
    PanelTable,
    PythonTable,
)

MEMBER: Final = "member"
RESERVE: Final = "reserve"
CONSULTANT: Final = "consultant"
SYNTHESIZER: Final = "synthesizer"


class Problem(NamedTuple):
    """What is wrong, and the path of the value that says so."""

    where: tuple[str | int, ...]
    message: str


def problems(table: PanelTable) -> Iterator[Problem]:
    """All that does not go together in a panel whose single values are sound."""
    yield from _ids(table)
    yield from _weights(table)
    yield from _options(table.arbiter)
    yield from _synthesis(table)
    yield from _fallback(table)
    yield from _reserve(table)
    yield from _escalation(table)
    for number, expert in enumerate(table.experts):
        yield from _expert(number, expert)


def near(name: str, known: Iterable[str]) -> str:
    """A hint at the known name that one may have meant; empty where none comes close."""
    found = difflib.get_close_matches(name, list(known), n=1)
    return f"; did you mean {found[0]!r}?" if found else ""


def _ids(table: PanelTable) -> Iterator[Problem]:
    seen: set[str] = set()
    for number, expert in enumerate(table.experts):
        if expert.id in seen:
            message = f"{expert.id!r} is the id of another expert too"
            yield Problem(("experts", number, "id"), message)
        elif table.escalation is not None and expert.id == table.escalation.to:
            message = f"{expert.id!r} is what the consultation is called; name the expert otherwise"
            yield Problem(("experts", number, "id"), message)
        seen.add(expert.id)


def _weights(table: PanelTable) -> Iterator[Problem]:
    members = [(n, e) for n, e in enumerate(table.experts) if e.role == MEMBER]
    if not members:
        message = 'nobody is a member; give one expert at least role = "member"'
        yield Problem(("experts", 0, "role"), message)
    elif not sum(expert.weight for _, expert in members):
        message = "all weights are 0; nobody could ever decide"
        yield Problem(("experts", members[0][0], "weight"), message)


def _options(arbiter: ArbiterTable) -> Iterator[Problem]:
    for name, protocol in arbiter.OF_PROTOCOL.items():
        if getattr(arbiter, name) is not None and arbiter.protocol != protocol:
            message = f"is of the protocol {protocol}, and the one declared is {arbiter.protocol}"
            yield Problem(("arbiter", name), message)


def _named(table: PanelTable, id_: str, where: tuple[str | int, ...]) -> ExpertTable | Problem:
    """The expert of that id, or what to say if there is none."""
    for expert in table.experts:
        if expert.id == id_:
            return expert
    hint = near(id_, (expert.id for expert in table.experts))
    return Problem(where, f"{id_!r} is the id of no expert{hint}")


def _synthesis(table: PanelTable) -> Iterator[Problem]:
    arbiter = table.arbiter
    if arbiter.protocol == "synthesis" and arbiter.synthesizer is None:
        message = "is missing; name the expert that merges the proposals"
        yield Problem(("arbiter", "synthesizer"), message)
    elif arbiter.protocol == "synthesis" and arbiter.synthesizer is not None:
        where = ("arbiter", "synthesizer")
        found = _named(table, arbiter.synthesizer, where)
        if isinstance(found, Problem):
            yield found
        elif found.role not in (MEMBER, SYNTHESIZER):
            yield Problem(where, f'{found.id!r} is a {found.role}; give it role = "synthesizer"')
    for number, expert in enumerate(table.experts):
        if expert.role == SYNTHESIZER and arbiter.protocol != "synthesis":
            message = f"is of the protocol synthesis, and the one declared is {arbiter.protocol}"
            yield Problem(("experts", number, "role"), message)
        elif expert.role == SYNTHESIZER and expert.id != arbiter.synthesizer:
            message = f"[arbiter] names {arbiter.synthesizer!r} as the synthesizer"
            yield Problem(("experts", number, "role"), message)


def _fallback(table: PanelTable) -> Iterator[Problem]:
    arbiter, where = table.arbiter, ("arbiter", "fallback")
    if arbiter.on_under_quorum != "fallback":
        if arbiter.fallback is not None:
            yield Problem(where, 'is of no use without on_under_quorum = "fallback"')
    elif arbiter.fallback is None:
        yield Problem(where, "is missing; name the member that decides where no quorum does")
    else:
        found = _named(table, arbiter.fallback, where)
        if isinstance(found, Problem):
            yield found
        elif found.role != MEMBER:
            yield Problem(where, f"{found.id!r} is a {found.role}; name a member")


def _reserve(table: PanelTable) -> Iterator[Problem]:
    reserves = [n for n, expert in enumerate(table.experts) if expert.role == RESERVE]
    if table.arbiter.on_under_quorum == "widen":
        if not reserves:
            message = "is 'widen', and no expert has role = \"reserve\" to be asked then"
            yield Problem(("arbiter", "on_under_quorum"), message)
        return
    for number in reserves:
        message = 'a reserve is never asked without [arbiter] on_under_quorum = "widen"'
        yield Problem(("experts", number, "role"), message)


def _escalation(table: PanelTable) -> Iterator[Problem]:
    escalates = table.arbiter.on_under_quorum == "escalate"
    named: list[str] = []
    if table.escalation is None:
        if escalates:
            message = "is 'escalate', and there is no [escalation] that says whom to consult"
            yield Problem(("arbiter", "on_under_quorum"), message)
            return
    elif not escalates:
        message = 'is of no use without [arbiter] on_under_quorum = "escalate"'
        yield Problem(("escalation",), message)
        return
    else:
        named = table.escalation.experts
    for number, id_ in enumerate(named):
        where = ("escalation", "experts", number)
        found = _named(table, id_, where)
        if isinstance(found, Problem):
            yield found
        elif found.role != CONSULTANT:
            yield Problem(where, f'{id_!r} is a {found.role}; give it role = "consultant"')
        elif id_ in named[:number]:
            yield Problem(where, f"{id_!r} stands there twice")
    for number, expert in enumerate(table.experts):
        if expert.role == CONSULTANT and expert.id not in named:
            message = f"{expert.id!r} is never asked; name it in [escalation] experts"
            yield Problem(("experts", number, "role"), message)


def _expert(number: int, expert: ExpertTable) -> Iterator[Problem]:
    where = ("experts", number)
    if len(set(expert.capabilities)) < len(expert.capabilities):
        twice = next(c for c in expert.capabilities if expert.capabilities.count(c) > 1)
        yield Problem((*where, "capabilities"), f"{twice!r} stands there twice")
    if isinstance(expert, PythonTable) and not expert.process and expert.processes is not None:
        yield Problem((*where, "processes"), "is of no use without process = true")
    bare = isinstance(expert, A2ATable | MCPTable) and expert.reads == "payload"
    if bare and getattr(expert, "confidence", None) is None:
        message = "is 'payload', which comes without a confidence; declare confidence too"
        yield Problem((*where, "reads"), message)
    if isinstance(expert, MCPTable):
        yield from _mcp(where, expert)
    sampled = str(getattr(expert, "confidence", None)).startswith("samples:")
    if isinstance(expert, ChatTable) and "normalize" in expert.model_fields_set and not sampled:
        yield Problem((*where, "normalize"), 'is of no use without confidence = "samples:N"')
    yield from _insecure(where, expert)


def _mcp(where: tuple[str | int, ...], expert: MCPTable) -> Iterator[Problem]:
    if (expert.url is None) == (expert.command is None):
        yield Problem((*where, "url"), "give either url or command, and not both")
    elif expert.url is None and expert.bearer_env is not None:
        yield Problem((*where, "bearer_env"), "is of no use without url")
    for name in ("cwd", "env"):
        if expert.command is None and name in expert.model_fields_set:
            yield Problem((*where, name), "is of no use without command")


def _insecure(where: tuple[str | int, ...], expert: ExpertTable) -> Iterator[Problem]:
    """Leave to send a secret in the clear is asked for where one is sent."""
    secret = "api_key_env" if isinstance(expert, ChatTable) else "bearer_env"
    if getattr(expert, "insecure_http", False) and getattr(expert, secret) is None:
        yield Problem((*where, "insecure_http"), f"is of no use without {secret}")
