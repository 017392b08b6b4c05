"""``quorate comply report`` and ``evaluate``: what is shown, what blocks, what is missing."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from quorate.cli.comply.evidence import refuse_there, say_lacking
from quorate.cli.comply.options import (
    REFUSED,
    SYSTEM,
    UNVERIFIED,
    AsOf,
    Checkpoint,
    EvidenceFile,
    Html,
    Markdown,
    ProfileName,
    Seal,
    Signer,
    Silence,
    Strict,
    SystemFile,
    Target,
    day_of,
    note_of,
    opened,
    trust_of,
)
from quorate.cli.shown import AsJson, note, print_json, put, say, write_new
from quorate.cli.where import Keys, PolicyFile
from quorate.core.errors import UsageError
from quorate.core.text import counted

if TYPE_CHECKING:
    from quorate.cli.comply.gathering import Gathered
    from quorate.compliance import ComplianceReport

_DEFAULT_WIDTH = 80


def report(
    target: Target = None,
    *,
    system: SystemFile = SYSTEM,
    policy: PolicyFile = None,
    key: Keys = None,
    evidence: EvidenceFile = None,
    profile: ProfileName = "core",
    as_of: AsOf = None,
    silence: Silence = None,
    checkpoint: Checkpoint = None,
    seal: Seal = False,
    signer: Signer = None,
    html: Html = None,
    markdown: Markdown = None,
    strict: Strict = False,
    as_json: AsJson = False,
) -> None:
    """Verify a ledger, collect what it shows, and evaluate it with all evidence sealed in it.

    What is collected counts once it is sealed: add --seal, or see it as not sealed. Exits 4 if
    the ledger does not verify; its lines then say that they failed, and why.
    """
    from quorate.cli.comply.declared import read_system
    from quorate.cli.comply.gathering import gather
    from quorate.compliance import evaluate as evaluated
    from quorate.compliance import load_profile

    trust, day, declared = trust_of(key, policy), day_of(as_of), read_system(system)
    asked, pinned = load_profile(profile), note_of(checkpoint)
    _refuse_early(html, markdown)
    with opened(target, signer, writing=seal) as log:
        found = gather(
            log,
            policy=trust,
            system=declared,
            day=day,
            file=evidence,
            silence=silence,
            checkpoint=pinned,
            seal=seal,
        )
        made = evaluated(found.evidence, asked, day, system=declared, policy=trust)
        origin = log.origin
    _save(made, html, markdown, found.notices)
    if as_json:
        print_json({"report": made.to_dict(), "ledger": origin, **_gathered(found)})
    else:
        _show(made, found.notices)
        _say_gathered(found)
        _say_saved(html, markdown)
    _end(made, strict=strict, broken=found.broken)


def evaluate(
    evidence: Annotated[Path, typer.Argument(help="Evidence: a set, or a mapping of fields.")],
    *,
    system: Annotated[
        Path | None,
        typer.Option(
            "--system",
            help="File that declares the system; else the one that the evidence names, else "
            "./system.toml.",
            show_default=False,
        ),
    ] = None,
    policy: PolicyFile = None,
    key: Keys = None,
    profile: ProfileName = "core",
    as_of: AsOf = None,
    html: Html = None,
    markdown: Markdown = None,
    strict: Strict = False,
    as_json: AsJson = False,
) -> None:
    """Evaluate evidence from a file, with the receipts in it and no ledger.

    Without a policy nothing counts as sealed, and so nothing is shown.
    """
    from quorate.cli.comply.declared import system_of
    from quorate.cli.where import trusted
    from quorate.compliance import EvidenceSet
    from quorate.compliance import evaluate as evaluated

    trust, day = trusted(key, policy), day_of(as_of)
    _refuse_early(html, markdown)
    given = EvidenceSet.read(evidence)
    declared = system_of(given, system, SYSTEM)
    made = evaluated(given, profile, day, system=declared, policy=trust)
    notices = () if trust is not None else (
        "No policy was named, so nothing counts as sealed: name the keys with --policy or --key.",
    )  # fmt: skip
    _save(made, html, markdown, notices)
    if as_json:
        print_json({"report": made.to_dict()})
    else:
        _show(made, notices)
        _say_saved(html, markdown)
    _end(made, strict=strict)


def _show(made: ComplianceReport, notices: tuple[str, ...]) -> None:
    from quorate.compliance.rendering.terminal import LEAST_WIDTH, render_terminal

    terminal = sys.stdout.isatty()
    columns = shutil.get_terminal_size((_DEFAULT_WIDTH, 24)).columns if terminal else _DEFAULT_WIDTH
    colour = terminal and "NO_COLOR" not in os.environ and os.environ.get("TERM") != "dumb"
    plain = (sys.stdout.encoding or "").lower() not in {"utf-8", "utf8"}
    put(
        render_terminal(
            made, width=max(LEAST_WIDTH, columns), colour=colour, plain=plain, notices=notices
        )
    )


def _gathered(found: Gathered) -> dict[str, Any]:
    survey = found.survey
    return {
        "broken": found.broken,
        "notices": list(found.notices),
        "collected": 0 if survey is None else len(survey.items),
        "sealed": found.sealed,
        "not_sealed": 0 if found.broken is not None else found.fresh,
        "lacking": lacking_of(found),
    }


def lacking_of(found: Gathered) -> list[dict[str, Any]]:
    """What the collectors could not show, as JSON."""
    if found.survey is None:
        return []
    return [
        {"collector": each.collector, "fields": list(each.fields), "reason": each.reason}
        for each in found.survey.lacking
    ]


def _say_gathered(found: Gathered) -> None:
    if found.survey is None:
        return
    if found.survey.lacking:
        say("")
        say("What the ledger does not show yet:")
        say_lacking(found.survey)
    if found.sealed:
        say(f"sealed {counted(found.sealed, 'item')} of evidence in the ledger")
    elif found.fresh and found.broken is None:
        number = counted(found.fresh, "item")
        note(f"{number} collected and not sealed; add --seal and they count")
    elif found.survey.items and found.broken is None:
        note("what was collected is sealed already, with the same content")


def _refuse_early(html: Path | None, markdown: Path | None) -> None:
    """Refuse what could not be saved, before anything is sealed."""
    from quorate.compliance.rendering.html import environment

    refuse_there(html)
    refuse_there(markdown)
    if html is not None:
        environment()
        if markdown is not None and html.absolute() == markdown.absolute():
            raise UsageError(f"--html and --markdown both name {html}; give two files")


def _save(
    made: ComplianceReport, html: Path | None, markdown: Path | None, notices: tuple[str, ...]
) -> None:
    from quorate.compliance.rendering import render_html, render_markdown

    if html is not None:
        write_new(html, render_html(made, notices=notices))
    if markdown is not None:
        write_new(markdown, render_markdown(made, notices=notices))


def _say_saved(*paths: Path | None) -> None:
    for path in paths:
        if path is not None:
            say(f"saved {path}")


def _end(made: ComplianceReport, *, strict: bool, broken: str | None = None) -> None:
    if broken is not None:
        raise typer.Exit(UNVERIFIED)
    if strict and made.blocking:
        raise typer.Exit(REFUSED)
