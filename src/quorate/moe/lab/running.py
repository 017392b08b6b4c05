"""Run the lab: train, attack, measure."""

from __future__ import annotations

import platform
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from importlib.metadata import version
from typing import Any, Final

import numpy as np
import torch

from quorate.moe.lab import digits, text
from quorate.moe.lab.asked import check_asked, too_few
from quorate.moe.lab.attacks import ATTACKS, Attack
from quorate.moe.lab.layers import steady
from quorate.moe.lab.measure import Bench, Kind, Outcome
from quorate.moe.lab.names import MOST_GATES, RULE_NAMES, SIZES
from quorate.moe.lab.report import LISTS, NO_ATTACK, PLAIN, Report, Series
from quorate.moe.lab.subject import Subject

MODELS: Final = {"digits": digits, "text": text}

Shown = Callable[[int, int | None], None]


def run_lab(
    models: Sequence[str] = tuple(MODELS),
    *,
    sizes: Sequence[int] = SIZES,
    rules: Sequence[str] = RULE_NAMES,
    attacks: Sequence[str] | None = None,
    seed: int = 0,
    quick: bool = False,
    progress: Shown | None = None,
) -> Report:
    """Train the models and measure every rule under every attack, with no liar to all lying.

    The same arguments give the same report on the same machine.

    Args:
        models: ``"digits"``, ``"text"``.
        sizes: numbers of gate replicas, 4 to 7; one gate alone is always measured.
        rules: names of :data:`quorate.fusion.RULES`, with or without a mixing step, or
            ``"vote"``.
        attacks: names of :data:`quorate.moe.lab.attacks.ATTACKS`; all if ``None``.
        seed: of the training.
        quick: train for a moment only; the models are worse, the attacks the same.
        progress: called with steps done and steps in all.

    Raises:
        UsageError: an argument names nothing that there is.
        OperationalError: what a model is trained on is not there.
    """
    known = {attack.name: attack for attack in ATTACKS}
    names = list(known) if attacks is None else list(attacks)
    check_asked(models, sizes, rules, names)
    chosen = [known[name] for name in names]
    steps = _Steps(progress, models, sizes, rules, chosen, quick=quick)
    subjects: dict[str, dict[str, Any]] = {}
    series: list[Series] = []
    for name in models:
        with steady(seed):
            subject = MODELS[name].trained(max(sizes), quick=quick, done=steps)
            subjects[name] = {"metric": subject.metric, **subject.facts}
            for kind, n in _panels(sizes):
                series += _measured(Bench(subject, kind, n), rules, chosen, steps)
    return Report(
        quick=quick,
        seed=seed,
        versions=_versions(),
        subjects=subjects,
        attacks={a.name: {"about": a.about, "harms_plain": a.harms_plain} for a in chosen},
        rules=list(rules),
        skipped=[
            {"rule": rule, "n": n, "reason": reason}
            for n in sizes
            for rule in rules
            if (reason := too_few(rule, n)) is not None
        ],
        series=series,
    )


def _panels(sizes: Sequence[int]) -> Iterator[tuple[Kind, int]]:
    yield "one", 1
    for n in sizes:
        yield "copies", n
        yield "apart", n


def _usable(bench: Bench, rules: Sequence[str]) -> list[str]:
    if bench.kind == "one":
        return [PLAIN]
    return [rule for rule in rules if too_few(rule, bench.n) is None]


def _measured(
    bench: Bench, rules: Sequence[str], attacks: Sequence[Attack], done: Callable[[], None]
) -> list[Series]:
    usable = _usable(bench, rules)
    made = [
        _series(bench, rule, None, {0: bench.measure(rule, bench.trained, 0)}) for rule in usable
    ]
    for attack in attacks:
        found: dict[str, dict[int, Outcome]] = {rule: {} for rule in usable}
        for liars in _liars(bench, attack):
            logits = bench.logits(attack, liars)
            for rule in usable:
                found[rule][liars] = bench.measure(rule, logits, liars)
                done()
        made += [_series(bench, rule, attack, found[rule]) for rule in usable]
    return made


def _liars(bench: Bench, attack: Attack) -> range:
    everyone = attack.at_source and bench.kind == "copies"
    return range(bench.n if everyone else 1, bench.n + 1)


def _series(bench: Bench, rule: str, attack: Attack | None, found: dict[int, Outcome]) -> Series:
    values = [asdict(outcome) for outcome in found.values()]
    return Series(
        subject=bench.subject.name,
        replicas=bench.kind,
        n=bench.n,
        faults=bench.faults,
        rule=rule,
        attack=NO_ATTACK if attack is None else attack.name,
        liars=list(found),
        **{name: [one[name] for one in values] for name in LISTS},
    )


class _Steps:
    """Counts steps of training and measurements together, and shows them."""

    def __init__(
        self,
        shown: Shown | None,
        models: Sequence[str],
        sizes: Sequence[int],
        rules: Sequence[str],
        attacks: Sequence[Attack],
        *,
        quick: bool,
    ) -> None:
        self._shown, self._done = shown, 0
        training = 0
        for name in models:
            steps, gate_steps = MODELS[name].steps_of(quick=quick)
            training += steps + (max(sizes) + 1) * gate_steps
        measured = len(attacks)
        for n in sizes:
            usable = sum(too_few(rule, n) is None for rule in rules)
            liars = sum(n + (1 if attack.at_source else n) for attack in attacks)
            measured += usable * liars
        self._total = training + measured * len(models)

    def __call__(self) -> None:
        self._done += 1
        if self._shown is not None:
            self._shown(self._done, self._total)


def _versions() -> dict[str, str]:
    return {
        "quorate": version("quorate"),
        "python": platform.python_version(),
        "numpy": np.__version__,
        "torch": torch.__version__,
    }


def subject_named(
    name: str, *, gates: int = MOST_GATES, seed: int = 0, quick: bool = True
) -> Subject:
    """One model, trained, with its gates; for tests and for a closer look."""
    with steady(seed):
        subject: Subject = MODELS[name].trained(gates, quick=quick, done=lambda: None)
    return subject
