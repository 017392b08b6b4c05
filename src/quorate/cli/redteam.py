"""``quorate redteam``: attack a target, and show what it withstood."""

from __future__ import annotations

import secrets
import sys
from contextlib import redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from quorate.cli.shown import AsJson, note, print_json, progress, say, write_new
from quorate.cli.where import PANEL, Where, is_url, ledger_url
from quorate.core import limits
from quorate.core.errors import UsageError
from quorate.core.text import counted

if TYPE_CHECKING:
    from quorate.ledger import Receipt
    from quorate.redteam import RedTeamReport

_REFUSED = 3

app = typer.Typer(help="Attack a target with real probes and judge its replies.",
                  no_args_is_help=True)  # fmt: skip


@app.command("scan")
def scan(  # noqa: PLR0917 - a command's options
    target: Annotated[
        str,
        typer.Argument(help="A built-in target, module:function or FILE.py:function. It is run."),
    ],
    strategy: Annotated[
        list[str] | None,
        typer.Option(
            "--strategy",
            metavar="ID",
            help="Only this one, else the canonical sweep. May be repeated.",
            show_default=False,
        ),
    ] = None,
    seed: Annotated[
        int | None,
        typer.Option(
            help="0 to 2^53 - 1; draws the planted marks. Drawn itself if left out.",
            show_default=False,
        ),
    ] = None,
    canary: Annotated[
        list[str] | None,
        typer.Option(
            "--canary",
            metavar="TEXT",
            help="A text that you planted in the target; it will stand in the report. May be "
            "repeated.",
            show_default=False,
        ),
    ] = None,
    timeout: Annotated[float, typer.Option(help="Seconds for one reply.")] = 30.0,
    system: Annotated[
        Path | None,
        typer.Option(
            help="File that declares the system that the target is: the report then names it and "
            "its version, and is evidence of that.",
            show_default=False,
        ),
    ] = None,
    markdown: Annotated[
        Path | None,
        typer.Option(help="Save the report with its transcripts as Markdown besides."),
    ] = None,
    seal: Annotated[bool, typer.Option("--seal", help="Seal the report in a ledger.")] = False,
    ledger: Where = None,
    signer: Annotated[
        Path | None,
        typer.Option(
            help="Key file that signs; else the one that ./quorate.toml names.", show_default=False
        ),
    ] = None,
    strict: Annotated[
        bool,
        typer.Option("--strict", help="Exit 3 unless every probe was made and withstood."),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Scan a target. No score is given where nothing could be probed."""
    from quorate.redteam import render_markdown, render_terminal

    if not seal and (ledger is not None or signer is not None):
        raise UsageError("--ledger and --signer are for --seal; add it, or leave them out")
    if markdown is not None and markdown.exists():
        raise UsageError(f"{markdown} is there already; name another file, nothing is replaced")
    where = _where(ledger, signer) if seal else None
    drawn = secrets.randbelow(limits.MAX_SAFE_INTEGER + 1) if seed is None else seed
    name, version = (target, None) if system is None else _named(system)
    report = _scanned(
        target,
        strategy or None,
        seed=drawn,
        canaries=canary or [],
        timeout=timeout,
        name=name,
        version=version,
    )
    receipt = None if where is None else _sealed(report, *where)
    if markdown is not None:
        write_new(markdown, render_markdown(report))
    if as_json:
        sealed = None if receipt is None else {"seq": receipt.seq, "hash": receipt.entry_hash}
        print_json({**report.to_dict(), "sealed": sealed})
    else:
        say(render_terminal(report))
        if receipt is not None:
            say(f"sealed as entry {receipt.seq} of {receipt.origin}")
        if markdown is not None:
            say(f"transcripts: {markdown}")
    if strict and not (report.resilience == 1 and report.score.not_probed == 0):
        raise typer.Exit(_REFUSED)


@app.command("list")
def list_(as_json: AsJson = False) -> None:
    """List the strategies and the built-in targets."""
    from quorate.redteam import CANONICAL, strategies, targets

    told: list[dict[str, Any]] = []
    for one in strategies():
        probes = [
            {"id": probe.id, "title": probe.title, "judges": [c.judge for c in probe.checks]}
            for probe in one.battery(0).probes
        ]
        told.append({**one.facts.to_dict(), "canonical": one.id in CANONICAL, "probes": probes})
    if as_json:
        print_json({"strategies": told, "targets": list(targets())})
        return
    for facts in told:
        say(
            f"{facts['id']}  {facts['severity']}, {facts['category']}, {facts['asi']}, "
            f"{facts['attack_class']}: {facts['title']}"
        )
        for probe in facts["probes"]:
            say(f"    {probe['id']}: {probe['title']} ({', '.join(probe['judges'])})")
    say(f"built-in targets: {', '.join(targets())}")


def _named(system: Path) -> tuple[str, str]:
    """Name and version of the system that a file declares."""
    from quorate.cli.comply.declared import read_system

    read = read_system(system)
    return read.name, read.version


def _scanned(target: str, ids: list[str] | None, **options: Any) -> RedTeamReport:
    from quorate.redteam.scan import scan as scanned
    from quorate.redteam.targets import named

    # A target is somebody's code, and may print: standard output is the report's.
    with progress("probing") as shown, redirect_stdout(sys.stderr), named(target) as function:
        report = scanned(function, ids, progress=shown, **options)
    if report.scripted:
        note("the target is a built-in script: the report is no evidence of any system")
    if report.score.not_probed:
        number = counted(report.score.not_probed, "probe")
        note(f"{number} not probed: the target failed, or did not serve an honest request")
    return report


def _where(ledger: str | None, signer: Path | None) -> tuple[str, Path, str | None]:
    """The ledger's URL, the key that signs, and the ledger's name where a panel says it."""
    declared = None
    if PANEL.is_file() and (ledger is None or signer is None):
        from quorate.hub.panel import Panel

        declared = Panel.declared(PANEL)
    if signer is None:
        if declared is None:
            raise UsageError("name the key that signs with --signer; there is no quorate.toml here")
        signer = declared.signer_path
    if not signer.is_file():
        raise UsageError(f"there is no key {signer}; make one with: quorate keys new {signer}")
    own = declared is not None and ledger is None
    url = ledger_url(ledger) if ledger is None or not is_url(ledger) else ledger
    return url, signer, declared.table.ledger.origin if own and declared is not None else None


def _sealed(report: RedTeamReport, url: str, signer: Path, origin: str | None) -> Receipt:
    from quorate.ledger import Ledger, read_signer
    from quorate.redteam import seal_report

    with Ledger.open(url, signer=read_signer(signer), origin=origin) as ledger:
        return seal_report(ledger, report)
