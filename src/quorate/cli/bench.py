"""``quorate bench``: liars against gates of small MoE models, and against fusion rules."""

from __future__ import annotations

import json
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, TypeVar

import typer
from rich.markup import escape
from rich.table import Table as Shown

from quorate.cli.shown import AsJson, err, out, print_json, progress, say, tell, writing
from quorate.core import limits
from quorate.core.errors import OperationalError, UsageError

if TYPE_CHECKING:
    from quorate.fusion.robustness import Table
    from quorate.moe.lab.report import Report

_NEEDED: Final = {"torch": "PyTorch", "sklearn": "scikit-learn", "matplotlib": "matplotlib"}

_Given = TypeVar("_Given", str, int)

app = typer.Typer(
    help="Measure what liars can do: to gates of MoE models, to fusion rules.",
    no_args_is_help=True,
)

Out = Annotated[
    Path | None,
    typer.Option(
        "--out",
        help="Folder to write JSON, Markdown and pictures to; nothing there is replaced.",
        show_default=False,
    ),
]


@app.command("moe")
def moe(
    model: Annotated[
        list[str] | None,
        typer.Option(help="Only this model: digits or text. May be repeated.", show_default=False),
    ] = None,
    replicas: Annotated[
        list[int] | None,
        typer.Option(
            help="Gate replicas, 4 to 7; else 4 and 7. May be repeated.", show_default=False
        ),
    ] = None,
    rule: Annotated[
        list[str] | None,
        typer.Option(
            help="Only this rule, such as vote or nnm+median. May be repeated.", show_default=False
        ),
    ] = None,
    attack: Annotated[
        list[str] | None,
        typer.Option(help="Only this attack. May be repeated.", show_default=False),
    ] = None,
    seed: Annotated[
        int, typer.Option(min=0, max=limits.MAX_SAFE_INTEGER, help="Seed of the training.")
    ] = 0,
    quick: Annotated[
        bool, typer.Option("--quick", help="Train for a moment only; replicas: 4.")
    ] = False,
    folder: Out = None,
    as_json: AsJson = False,
) -> None:
    """Train small MoE models here, let gates lie, and show where their tokens go."""
    _need("the lab", "moe", "torch", "sklearn", *(() if folder is None else ("matplotlib",)))
    _check_folder(folder, "moe")
    from quorate.moe.lab.running import MODELS, RULE_NAMES, SIZES, run_lab

    sizes = _distinct(replicas) or (list(SIZES)[:1] if quick else list(SIZES))
    if not err().is_terminal:
        # No bar moves there, and silence looks like a hang.
        tell("training small models, then attacking their gates; this takes minutes …")
    with progress("training and attacking") as shown:
        report = run_lab(
            _distinct(model) or list(MODELS),
            sizes=sizes,
            rules=_distinct(rule) or list(RULE_NAMES),
            attacks=_distinct(attack) or None,
            seed=seed,
            quick=quick,
            progress=shown,
        )
    if folder is not None:
        _save(folder, _moe_files(report))
    if as_json:
        print_json(report.to_dict())
        return
    _say_moe(report)
    _say_saved(folder)


@app.command("fusion")
def fusion(folder: Out = None, as_json: AsJson = False) -> None:
    """Measure how far each fusion rule can be led astray, beside what is proven."""
    if folder is not None:
        _need("a picture", "plots", "matplotlib")
    _check_folder(folder, "fusion")
    from quorate.fusion.robustness import table

    with progress("measuring") as shown:
        found = table(progress=shown)
    if folder is not None:
        _save(folder, _fusion_files(found))
    if as_json:
        print_json(found.to_dict())
        return
    _say_fusion(found)
    _say_saved(folder)


def _distinct(given: list[_Given] | None) -> list[_Given]:
    return list(dict.fromkeys(given or ()))


def _need(what: str, extra: str, *packages: str) -> None:
    missing = [_NEEDED[package] for package in packages if find_spec(package) is None]
    if missing:
        verb = "are" if len(missing) > 1 else "is"
        raise OperationalError(
            f"{what} needs {' and '.join(missing)}, which {verb} not installed; "
            f'run: pip install "quorate[{extra}]"'
        )


# -- files


def _check_folder(folder: Path | None, name: str) -> None:
    """Find out before the work whether there is room for its results."""
    if folder is None:
        return
    try:
        folder.mkdir(parents=True, exist_ok=True)
        there = sorted(path for path in folder.iterdir() if path.stem.split("-")[0] == name)
    except OSError as error:
        raise OperationalError(
            f"{folder} cannot be used: {error.strerror}; give --out another folder"
        ) from error
    if there:
        raise UsageError(
            f"{there[0]} is there already; give --out another folder, nothing is replaced"
        )


def _save(folder: Path, files: Mapping[str, bytes]) -> None:
    for name, content in files.items():
        path = folder / name
        try:
            with path.open("xb") as file:
                file.write(content)
        except FileExistsError as error:
            raise UsageError(f"{path} is there already; nothing is replaced") from error
        except OSError as error:
            raise OperationalError(f"{path} cannot be written: {error.strerror}") from error


def _moe_files(report: Report) -> dict[str, bytes]:
    from quorate.moe.lab.plots import pictures
    from quorate.moe.lab.tables import markdown

    return {
        "moe.json": _lines(report.to_dict(), "series").encode(),
        "moe.md": markdown(report).encode(),
        **pictures(report),
    }


def _fusion_files(found: Table) -> dict[str, bytes]:
    from quorate.moe.lab.kappa import kappa_picture, page

    told = found.to_dict()
    return {
        "fusion.json": _lines(told, "rows").encode(),
        "fusion.md": page(told).encode(),
        **kappa_picture(told),
    }


def _lines(value: dict[str, Any], long: str) -> str:
    """JSON with one line for each entry of the list named ``long``, for diffs to be read."""
    rest = json.dumps({**value, long: []}, ensure_ascii=False, indent=1)
    rows = ",\n".join("  " + json.dumps(row, ensure_ascii=False) for row in value[long])
    return rest.replace(f'"{long}": []', f'"{long}": [\n{rows}\n ]') + "\n"


# -- the terminal


def _say_saved(folder: Path | None) -> None:
    if folder is not None:
        say(f"written to {folder}")


def _say_moe(report: Report) -> None:
    from quorate.moe.lab.findings import findings
    from quorate.moe.lab.tables import attack_table, liars_table

    for subject, facts in report.subjects.items():
        say(f"{subject}: {facts['about']}; {facts['tokens']} test tokens")
        for n in report.sizes():
            f = (n - 1) // 3
            say(f"\n{n} copies of one gate, % of tokens misrouted by attack, {f} of {n} lying")
            _print(*_turned(*attack_table(report, subject, "copies", n, "misrouted")))
            for replicas, what in (("copies", "copies"), ("apart", "gates trained apart")):
                say(
                    f"\n{n} {what}, worst {report.metric(subject)} of all attacks, by liars; "
                    f"f is {f}"
                )
                _print(*liars_table(report, subject, replicas, n, "score"))
        say("")
    for text in findings(report):
        say(text.replace("**", ""))
    for one in report.skipped:
        say(f"not applicable: {one['rule']}, n = {one['n']}: {one['reason']}")


def _turned(heads: list[str], rows: list[list[str]]) -> tuple[list[str], list[list[str]]]:
    """Rows to columns, which have numbers: rules have long names, and a terminal is narrow."""
    for number, row in enumerate(rows, 1):
        say(f"  {number:>2} {row[0]}")
    lines = [
        [rule, *(_brief(row[place]) for row in rows)]
        for place, rule in enumerate(heads[1:], start=1)
    ]
    return ["rule", *map(str, range(1, len(rows) + 1))], lines


def _brief(share: str) -> str:
    """A share as a whole number of percent; what is there at all is never shown as none."""
    try:
        value = float(share.rstrip("%"))
    except ValueError:
        return "<1" if share.startswith("<") else share
    return "<1" if 0 < value < 1 else f"{value:.0f}"


def _print(heads: list[str], rows: list[list[str]]) -> None:
    table = Shown(box=None, pad_edge=False, header_style="bold")
    for place, name in enumerate(heads):
        table.add_column(name, justify="right" if place else "left", no_wrap=not place)
    for row in rows:
        table.add_row(*map(escape, row))
    with writing():
        out().print(table, soft_wrap=False)


def _say_fusion(found: Table) -> None:
    from quorate.moe.lab.kappa import cells

    say("worst kappa measured under any attack, of the kappa proven for the rule; kappa is the")
    say("squared distance from the honest mean, by the honest variance")
    _print(*cells(found.to_dict()))
