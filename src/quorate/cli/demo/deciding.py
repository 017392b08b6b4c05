"""Quorate in the demo: a real session, arbiter and ledger, patient by patient.

Seven callables per patient run side by side; what they say, or that they crashed, is
folded and sealed. Their predictions are made already, as they are for every rival, so a
callable looks its patient up; the session neither knows nor cares.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator, Mapping
from fractions import Fraction
from typing import Any, Final

from quorate.arbitration import Arbiter, Decision, UnderQuorum
from quorate.arbitration.sealed import body_of, kind_of
from quorate.cli.demo.cases import (
    DIGITS,
    FAMILIES,
    Cases,
    Probabilities,
    Scenario,
    Step,
    Trained,
    heard,
    labels,
)
from quorate.cli.demo.methods import Answers
from quorate.core.canonical import digest
from quorate.core.exact import as_text
from quorate.hub import panel_record
from quorate.hub.experts import Answer, Expert
from quorate.hub.session import Session
from quorate.ledger import Ledger

QUORUM: Final = Fraction(66, 100)

_TIMEOUT_SECONDS: Final = 30
_TOGETHER: Final = 8
"""Patients decided side by side."""
_GROUP: Final = 57
"""Decisions sealed with one disk flush; a quarter of the held-out patients."""

Item = tuple[str, dict[str, Any], str | None, str | None]


def declaration(arbiter: Arbiter, trained: Trained) -> dict[str, Any]:
    """Body of the ``panel`` entry, sealed first; replay holds every decision to it."""
    return {
        "rule": panel_record.RULE,
        "protocol": arbiter.protocol,
        "parameters": arbiter.parameters,
        "roster": {name: as_text(Fraction(1)) for name in FAMILIES},
        "experts": {
            name: {
                "kind": "scikit-learn",
                "family": family,
                "cross_validated": trained.cross_validated[name],
                "timeout": as_text(Fraction(_TIMEOUT_SECONDS)),
            }
            for name, family in FAMILIES.items()
        },
    }


def open_panel(ledger: Ledger, trained: Trained) -> tuple[Arbiter, str]:
    """Seal who decides and how; give the arbiter, and the digest that decisions name."""
    arbiter = Arbiter(quorum=QUORUM)
    declared = declaration(arbiter, trained)
    ledger.append(panel_record.KIND, declared, key=f"panel:{digest(declared)}")
    return arbiter, digest(declared)


def decide(
    scenario: Scenario,
    cases: Cases,
    trained: Trained,
    ledger: Ledger,
    panel: tuple[Arbiter, str],
    step: Step,
) -> tuple[Answers, float]:
    """Decide and seal all held-out patients of one run.

    Returns:
        The answers, and the seconds it took to call, fold and seal.
    """
    experts = _experts(scenario, cases, trained)
    tasks = [
        (
            f"{scenario.id}/patient-{patient:03}",
            {"patient": patient, "measurements": measurements.tolist()},
        )
        for patient, measurements in zip(cases.patients, cases.held_out, strict=True)
    ]
    answers: list[str | None] = []
    started = time.perf_counter()
    for start in range(0, len(tasks), _GROUP):
        step(start, len(tasks))
        group = tasks[start : start + _GROUP]
        decided = asyncio.run(_decide_group(group, experts, panel))
        ledger.append_all([item for item, _ in decided])
        answers.extend(answer for _, answer in decided)
    seconds = time.perf_counter() - started
    step(len(tasks), len(tasks))
    return answers, seconds


async def _decide_group(
    tasks: list[tuple[str, dict[str, Any]]], experts: list[Expert], panel: tuple[Arbiter, str]
) -> list[tuple[Item, str | None]]:
    running = asyncio.Semaphore(_TOGETHER)

    async def one(name: str, task: dict[str, Any]) -> tuple[Item, str | None]:
        async with running:
            return await _decide_one(name, task, experts, panel)

    return await asyncio.gather(*(one(name, task) for name, task in tasks))


async def _decide_one(
    name: str, task: dict[str, Any], experts: list[Expert], panel: tuple[Arbiter, str]
) -> tuple[Item, str | None]:
    arbiter, declared = panel
    proposals = await Session(experts, task).acollect()
    outcome: Decision | UnderQuorum
    try:
        outcome = arbiter.arbitrate(proposals)
    except UnderQuorum as refusal:
        outcome = refusal
    named = {"id": name, "input_digest": digest(task)}
    body = body_of(outcome, arbiter, proposals, task=named, panel=declared)
    answer = outcome.consensus if isinstance(outcome, Decision) else None
    return (kind_of(outcome), body, name, f"task:{name}"), answer


def _experts(scenario: Scenario, cases: Cases, trained: Trained) -> list[Expert]:
    said = heard(scenario, trained.predictions, cases.truth)
    functions = {
        name: _says(dict(_answers(cases, said[name]))) if name in said else _down(name)
        for name in FAMILIES
    }
    return [
        Expert(name, function, timeout=_TIMEOUT_SECONDS) for name, function in functions.items()
    ]


def _answers(cases: Cases, said: Probabilities) -> Iterator[tuple[int, Answer]]:
    sure = said.tolist()
    for patient, label, ill in zip(cases.patients, labels(said), sure, strict=True):
        yield patient, Answer(label, round(max(ill, 1 - ill), DIGITS))


def _says(answers: Mapping[int, Answer]) -> Callable[[Any], Answer]:
    def say(task: Any) -> Answer:
        return answers[task["patient"]]

    return say


def _down(name: str) -> Callable[[Any], Answer]:
    def fail(_task: Any) -> Answer:
        raise ConnectionError(f"{name} cannot be reached")

    return fail
