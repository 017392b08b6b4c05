"""The lab's report as Markdown: facts, tables, and a reading computed from the numbers."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from quorate.moe.lab.findings import findings, scored, share
from quorate.moe.lab.report import NO_ATTACK, PLAIN, POISONED, Report

NOTHING: Final = "-"

Rows = list[list[str]]


def markdown(report: Report) -> str:
    """The whole report; the same for the same report."""
    parts = ["# Lying gates: what the lab measured", _made(report), "## Reading"]
    parts += [_bullets(findings(report)), "## Models", table(*model_table(report))]
    parts += ["## Attacks", _counted(report), table(*attack_list(report))]
    for subject in report.subjects:
        parts += _of_subject(report, subject)
    if report.skipped:
        parts += ["## Not applicable"]
        parts += [
            _bullets(f"{one['rule']}, n = {one['n']}: {one['reason']}" for one in report.skipped)
        ]
    return "\n\n".join(parts) + "\n"


def _made(report: Report) -> str:
    quick = " --quick" if report.quick else ""
    versions = ", ".join(f"{name} {version}" for name, version in report.versions.items())
    return (
        f"Made by `quorate bench moe{quick}`, seed {report.seed}, with {versions}. "
        "Shares are of all test tokens."
    )


def _counted(report: Report) -> str:
    told = f"{len(report.lying())} attacks on replicas"
    if POISONED in report.attacks:
        told += f"; and {POISONED}, which befalls a gate before it is copied and is shown by itself"
    return f"{told}."


def _of_subject(report: Report, subject: str) -> list[str]:
    parts = [f"## {subject}: one gate", table(*plain_table(report, subject))]
    for replicas, what in (("copies", "copies of one gate"), ("apart", "gates trained apart")):
        for n in report.sizes(replicas):
            f, metric = (n - 1) // 3, report.metric(subject)
            parts += [
                f"## {subject}: {n} {what}",
                f"Worst {metric} over all attacks, by number of liars (f = {f}), served:",
                table(*liars_table(report, subject, replicas, n, "score")),
                "Most tokens misrouted by any attack, served:",
                table(*liars_table(report, subject, replicas, n, "misrouted")),
                "Most tokens refused, strict:",
                table(*liars_table(report, subject, replicas, n, "refused")),
                "Most tokens sent, strict, where no majority of the honest gates sends them:",
                table(*liars_table(report, subject, replicas, n, "unbacked")),
                f"Tokens misrouted by each attack with {f} liar{'s' if f > 1 else ''}, served:",
                table(*attack_table(report, subject, replicas, n, "misrouted")),
            ]
    return parts


def model_table(report: Report) -> tuple[list[str], Rows]:
    """The models: what they are, how good, how much routing matters."""
    heads = [
        "model", "task", "data", "test tokens", "gate trained with the experts",
        "gates trained apart", "random routing", "same set chosen by two gates",
    ]  # fmt: skip
    rows = []
    for name, facts in report.subjects.items():
        scores = [float(score) for score in facts["gate_scores"]]
        metric = report.metric(name)
        rows.append(
            [
                name,
                f"{facts['about']} ({metric})",
                str(facts["data"]),
                str(facts["tokens"]),
                scored(metric, facts["joint_gate_score"]),
                f"{scored(metric, min(scores))} to {scored(metric, max(scores))}",
                scored(metric, facts["random_routing_score"]),
                share(facts["agreement"]),
            ]
        )
    return heads, rows


def attack_list(report: Report) -> tuple[list[str], Rows]:
    """The attacks, and what the liars do in each."""
    rows = [[name, str(facts["about"])] for name, facts in report.attacks.items()]
    return ["attack", "what liars do"], rows


def plain_table(report: Report, subject: str) -> tuple[list[str], Rows]:
    """One gate alone under each attack."""
    metric = report.metric(subject)
    heads = ["attack", metric, f"{metric} of targeted tokens", "misrouted"]
    rows = []
    for one in report.where(subject=subject, rule=PLAIN):
        liars = one.liars[-1]
        rows.append(
            [
                one.attack,
                scored(metric, one.at("score", liars)),
                scored(metric, one.at("targeted", liars)),
                share(one.at("misrouted", liars)),
            ]
        )
    return heads, rows


def liars_table(
    report: Report, subject: str, replicas: str, n: int, name: str
) -> tuple[list[str], Rows]:
    """The worst value over the attacks on replicas, each rule by number of liars.

    An attack on the gate before it is copied is left out: there all copies have it.
    """
    heads = ["rule", *(f"{liars} of {n}" for liars in range(n + 1))]
    rows = []
    for rule in report.rules:
        values = [worst(report, subject, replicas, n, rule, name, liars) for liars in range(n + 1)]
        if any(value != NOTHING for value in values):
            rows.append([rule, *values])
    return heads, rows


def worst(
    report: Report, subject: str, replicas: str, n: int, rule: str, name: str, liars: int
) -> str:
    """One cell of :func:`liars_table`."""
    wanted = {"subject": subject, "replicas": replicas, "n": n, "rule": rule}
    if report.one(**wanted) is None:
        return NOTHING
    but = POISONED if replicas == "copies" else ""
    if not any(liars in one.liars for one in report.where(**wanted) if one.attack != but):
        return NOTHING
    value, _ = report.worst(name, liars, but=but, **wanted)
    return scored(report.metric(subject), value) if name == "score" else share(value)


def attack_table(
    report: Report, subject: str, replicas: str, n: int, name: str
) -> tuple[list[str], Rows]:
    """Each attack by rule, with as many liars as are promised; one gate alone beside them."""
    rules = [
        rule
        for rule in report.rules
        if report.one(subject=subject, replicas=replicas, n=n, rule=rule) is not None
    ]
    rows = []
    for attack in report.attacks:
        cells = [_cell(report, name, subject=subject, rule=PLAIN, attack=attack)]
        cells += [
            _cell(report, name, subject=subject, replicas=replicas, n=n, rule=rule, attack=attack)
            for rule in rules
        ]
        rows.append([_named(attack, replicas, n), *cells])
    return ["attack", PLAIN, *rules], rows


def _named(attack: str, replicas: str, n: int) -> str:
    return f"{attack} (all {n})" if attack == POISONED and replicas == "copies" else attack


def _cell(report: Report, name: str, **wanted: object) -> str:
    one = report.one(**wanted)
    if one is None or one.attack == NO_ATTACK:
        return NOTHING
    value = one.at(name, max(one.faults, one.liars[0]))
    return share(value)


def table(heads: Sequence[str], rows: Rows) -> str:
    """A table in Markdown."""
    lines = [f"| {' | '.join(heads)} |", "|" + " --- |" * len(heads)]
    return "\n".join([*lines, *(f"| {' | '.join(row)} |" for row in rows)])


def _bullets(texts: Iterable[str]) -> str:
    return "\n".join(f"- {text}" for text in texts)
