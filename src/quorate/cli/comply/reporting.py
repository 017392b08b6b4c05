"""``quorate comply report`` and ``evaluate``: what is shown, what blocks, what is missing."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from quorate.cli.comply import saving
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
from quorate.cli.comply.saving import Force, refuse_there
from quorate.cli.shown import AsJson, note, print_json, put, say
from quorate.cli.where import Keys, PolicyFile
from quorate.core.errors import UsageError
from quorate.core.text import counted

if TYPE_CHECKING:
    from quorate.cli.comply.gathering import Gathered
    from quorate.compliance import ComplianceReport
    from quorate.compliance.coverage import Coverage

_DEFAULT_WIDTH = 80
_NO_POLICY = (
    "no policy was named, so nothing counts as sealed: name the keys with --policy or --key"
)


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
    force: Force = False,
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
    _refuse_early(html, markdown, force=force)
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
    _save(made, html, markdown, force=force, notices=found.notices, coverage=found.coverage)
    if as_json:
        print_json({"report": made.to_dict(), "ledger": origin, **_gathered(found)})
    else:
        _show(made, found.notices, found.coverage)
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
    force: Force = False,
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
    from quorate.compliance.sealing import unbound

    trust, day = trusted(key, policy), day_of(as_of)
    _refuse_early(html, markdown, force=force)
    given = EvidenceSet.read(evidence)
    declared = system_of(given, system, SYSTEM)
    made = evaluated(given, profile, day, system=declared, policy=trust)
    told = _NO_POLICY if trust is None else unbound(trust)
    notices = () if told is None else (f"{told[:1].upper()}{told[1:]}.",)
    _save(made, html, markdown, force=force, notices=notices)
    if as_json:
        print_json({"report": made.to_dict()})
    else:
        _show(made, notices)
        _say_saved(html, markdown)
    _end(made, strict=strict)


def _show(
    made: ComplianceReport, notices: tuple[str, ...], coverage: Coverage | None = None
) -> None:
    from quorate.compliance.rendering.terminal import LEAST_WIDTH, render_terminal

    terminal = sys.stdout.isatty()
    columns = shutil.get_terminal_size((_DEFAULT_WIDTH, 24)).columns if terminal else _DEFAULT_WIDTH
    colour = terminal and "NO_COLOR" not in os.environ and os.environ.get("TERM") != "dumb"
    plain = (sys.stdout.encoding or "").lower() not in {"utf-8", "utf8"}
    put(
        render_terminal(
            made,
            width=max(LEAST_WIDTH, columns),
            colour=colour,
            plain=plain,
            notices=notices,
            coverage=coverage,
        )
    )


def _gathered(found: Gathered) -> dict[str, Any]:
    from quorate.cli.comply.gathering import covered

    survey = found.survey
    return {
        "broken": found.broken,
        "notices": list(found.notices),
        "collected": 0 if survey is None else len(survey.items),
        "sealed": found.sealed,
        "not_sealed": 0 if found.broken is not None else found.fresh,
        **covered(found.coverage),
    }


def _say_gathered(found: Gathered) -> None:
    if found.survey is None:
        return
    if found.sealed:
        say(f"sealed {counted(found.sealed, 'item')} of evidence in the ledger")
    elif found.fresh and found.broken is None:
        number = counted(found.fresh, "item")
        note(f"{number} collected and not sealed; add --seal and they count")
    elif found.survey.items and found.broken is None:
        note("what was collected is sealed already, with the same content")


def _refuse_early(html: Path | None, markdown: Path | None, *, force: bool) -> None:
    """Refuse what could not be saved, before anything is sealed."""
    from quorate.compliance.rendering.html import environment

    refuse_there(html, saving.PAGE, force=force)
    refuse_there(markdown, saving.MARKDOWN, force=force)
    if html is not None:
        environment()
        if markdown is not None and html.absolute() == markdown.absolute():
            raise UsageError(f"--html and --markdown both name {html}; give two files")


def _save(
    made: ComplianceReport,
    html: Path | None,
    markdown: Path | None,
    *,
    force: bool,
    notices: tuple[str, ...],
    coverage: Coverage | None = None,
) -> None:
    from quorate.compliance.rendering import render_html, render_markdown

    if html is not None:
        page = render_html(made, notices=notices, coverage=coverage)
        saving.save(html, page, saving.PAGE, force=force)
    if markdown is not None:
        text = render_markdown(made, notices=notices, coverage=coverage)
        saving.save(markdown, text, saving.MARKDOWN, force=force)


def _say_saved(*paths: Path | None) -> None:
    for path in paths:
        if path is not None:
            say(f"saved {path}")


def _end(made: ComplianceReport, *, strict: bool, broken: str | None = None) -> None:
    if broken is not None:
        raise typer.Exit(UNVERIFIED)
    if strict and made.blocking:
        raise typer.Exit(REFUSED)
