"""``quorate bench``: liars against gates of small MoE models, and against fusion rules."""

from __future__ import annotations

import json
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, NoReturn, Self, TypeVar

import typer
from rich.markup import escape
from rich.table import Table as Shown

from quorate.cli.shown import AsJson, err, out, print_json, progress, say, tell, writing
from quorate.core import limits
from quorate.core.errors import OperationalError, UsageError
from quorate.moe.lab.names import ATTACK_NAMES, MODEL_NAMES, RULE_NAMES, SIZES

if TYPE_CHECKING:
    from quorate.fusion.robustness import Table
    from quorate.moe.lab.report import Report

_NEEDED: Final = {"torch": "PyTorch", "sklearn": "scikit-learn", "matplotlib": "matplotlib"}
_INTERRUPTED: Final = 130
_EVERY_SECONDS: Final = 10.0
"""How often those who see no bar are told how far it is."""

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


def _completed(names: Sequence[str]) -> Callable[[str], list[str]]:
    def complete(incomplete: str) -> list[str]:
        return [name for name in names if name.startswith(incomplete)]

    return complete


@app.command("moe")
def moe(
    model: Annotated[
        list[str] | None,
        typer.Option(
            help=f"Only this model: {' or '.join(MODEL_NAMES)}. May be repeated.",
            show_default=False,
            autocompletion=_completed(MODEL_NAMES),
        ),
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
            help=f"Only this rule: {', '.join(RULE_NAMES)}; others too with nnm+ or bucketing+ "
            "in front. May be repeated.",
            show_default=False,
            autocompletion=_completed(RULE_NAMES),
        ),
    ] = None,
    attack: Annotated[
        list[str] | None,
        typer.Option(
            help=f"Only this attack: {', '.join(ATTACK_NAMES)}. May be repeated.",
            show_default=False,
            autocompletion=_completed(ATTACK_NAMES),
        ),
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
    """Train small MoE models here, let gates lie, and show where their tokens go.

    This takes minutes; with --quick, about one.
    """
    from quorate.moe.lab.asked import check_asked

    models = _distinct(model) or list(MODEL_NAMES)
    sizes = _distinct(replicas) or (list(SIZES)[:1] if quick else list(SIZES))
    rules = _distinct(rule) or list(RULE_NAMES)
    attacks = _distinct(attack) or None
    check_asked(models, sizes, rules, attacks or ATTACK_NAMES)
    _need("the lab", "moe", "torch", "sklearn", *(() if folder is None else ("matplotlib",)))
    with _Stoppable(as_json=as_json) as stop, _room(folder, "moe"):
        took = "about a minute" if quick else "minutes"
        begun = f"training small models, then attacking their gates; this takes {took} …"
        with _watched("training and attacking", begun, stop.check) as shown:
            from quorate.moe.lab.running import run_lab

            report = run_lab(
                models,
                sizes=sizes,
                rules=rules,
                attacks=attacks,
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
def fusion(
    seed: Annotated[
        int, typer.Option(min=0, max=limits.MAX_SAFE_INTEGER, help="Seed of the inputs.")
    ] = 0,
    quick: Annotated[
        bool, typer.Option("--quick", help="The two smallest numbers of replicas only.")
    ] = False,
    folder: Out = None,
    as_json: AsJson = False,
) -> None:
    """Measure how far each fusion rule can be led astray, beside what is proven.

    This takes about half a minute; with --quick, a third of that.
    """
    if folder is not None:
        _need(
            "a picture", "plots", "matplotlib",
            instead="; the numbers alone can be had without it: --json",
        )  # fmt: skip
    with _Stoppable(as_json=as_json) as stop, _room(folder, "fusion"):
        took = "some seconds" if quick else "about half a minute"
        begun = f"measuring each rule against its worst liars; this takes {took} …"
        with _watched("measuring", begun, stop.check) as shown:
            from quorate.fusion.robustness import table

            found = table(progress=shown, seed=seed, quick=quick)
        if folder is not None:
            _save(folder, _fusion_files(found))
    if as_json:
        print_json(found.to_dict())
        return
    _say_fusion(found)
    _say_saved(folder)


def _distinct(given: list[_Given] | None) -> list[_Given]:
    return list(dict.fromkeys(given or ()))


def _need(what: str, extra: str, *packages: str, instead: str = "") -> None:
    missing = [_NEEDED[package] for package in packages if find_spec(package) is None]
    if missing:
        verb = "are" if len(missing) > 1 else "is"
        raise OperationalError(
            f"{what} needs {' and '.join(missing)}, which {verb} not installed; "
            f'run: pip install "quorate[{extra}]"{instead}'
        )


# -- stopping, and showing how far it is


class _Stopped(KeyboardInterrupt):
    """Ctrl-C.

    A class of its own: where KeyboardInterrupt itself passes through a string that is
    executed, as imports of PyTorch do, ``python -m`` ends by the signal whatever the exit code.
    """


class _Stoppable:
    """A block that ends with exit code 130 on Ctrl-C, whoever swallows the exception.

    Callbacks out of compiled code cannot raise: Python prints a warning there and goes on.
    So it is kept in mind that the exception was raised; :meth:`check` raises it again.
    """

    def __init__(self, *, as_json: bool) -> None:
        """Print an error object if ``as_json``, as for other errors."""
        self._as_json, self._asked = as_json, False
        self._before, self._unraisable = signal.getsignal(signal.SIGINT), sys.unraisablehook
        # Others may have made the signal theirs, or have it ignored; then it stays so.
        self._ours = (
            threading.current_thread() is threading.main_thread()
            and self._before is signal.default_int_handler
        )

    def check(self) -> None:
        """Raise if Ctrl-C was pressed; to be called often."""
        if self._asked:
            raise _Stopped

    def _stop(self, *_: object) -> NoReturn:
        self._asked = True
        raise _Stopped

    def _lost(self, lost: Any) -> None:
        if not issubclass(lost.exc_type, _Stopped):
            self._unraisable(lost)

    def __enter__(self) -> Self:
        if self._ours:
            sys.unraisablehook = self._lost
            signal.signal(signal.SIGINT, self._stop)
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        try:
            # Half an import may fail with an error of its own once it was interrupted.
            if kind is not None and (self._asked or issubclass(kind, KeyboardInterrupt)):
                self._end()
        finally:
            if self._ours:
                sys.unraisablehook = self._unraisable
                signal.signal(signal.SIGINT, self._before)

    def _end(self) -> NoReturn:
        if self._ours:
            signal.signal(signal.SIGINT, signal.SIG_IGN)
        if self._as_json:
            told = {"type": "Interrupted", "message": "interrupted; there is no result"}
            print_json({"error": told, "exit_code": _INTERRUPTED})
        raise typer.Exit(_INTERRUPTED) from None


@contextmanager
def _watched(
    what: str, begun: str, check: Callable[[], None]
) -> Iterator[Callable[[int, int | None], None]]:
    """Show how far it is: with a bar on a terminal, elsewhere with a line now and then."""
    bar = err().is_terminal
    if not bar:
        tell(begun)
    last = time.monotonic()
    with progress(what) as shown:

        def told(done: int, total: int | None) -> None:
            nonlocal last
            check()
            shown(done, total)
            if not bar and total and time.monotonic() - last >= _EVERY_SECONDS:
                last = time.monotonic()
                tell(f"{what}: {done / total:.0%}")

        yield told
        check()


# -- files


@contextmanager
def _room(folder: Path | None, name: str) -> Iterator[None]:
    """Find out before the work whether there is room for its results.

    Folders that were made for them are removed again where there are none.
    """
    if folder is None:
        yield
        return
    made = [path for path in (folder, *folder.parents) if not path.exists()]
    try:
        _check_folder(folder, name)
        yield
    except BaseException:
        for path in made:
            with suppress(OSError):
                path.rmdir()
        raise


def _check_folder(folder: Path, name: str) -> None:
    if folder.is_file():
        raise UsageError(f"{folder} is a file; give --out a folder, which may be a new one")
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
    """Write all of the files, or none."""
    written: list[Path] = []
    try:
        for name, content in files.items():
            path = folder / name
            try:
                with path.open("xb") as file:
                    written.append(path)
                    file.write(content)
            except FileExistsError as error:
                raise UsageError(f"{path} is there already; nothing is replaced") from error
            except OSError as error:
                raise OperationalError(f"{path} cannot be written: {error.strerror}") from error
    except BaseException:
        for path in written:
            with suppress(OSError):
                path.unlink()
        raise


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
                heads, rows = liars_table(report, subject, replicas, n, "score")
                _print([head.removesuffix(f" of {n}") for head in heads], rows)
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
    widths = [max(map(len, column)) for column in zip(heads, *rows, strict=True)]
    # One space between columns where two would make them break.
    tight = sum(widths) + 2 * (len(widths) - 1) > out().width
    table = Shown(box=None, pad_edge=False, collapse_padding=tight, header_style="bold")
    for place, name in enumerate(heads):
        table.add_column(name, justify="right" if place else "left", no_wrap=not place)
    for row in rows:
        table.add_row(*map(escape, row))
    with writing():
        out().print(table, soft_wrap=False)


def _say_fusion(found: Table) -> None:
    from quorate.moe.lab.kappa import cells

    say("worst kappa measured under any attack / kappa proven for the rule; kappa is the squared")
    say("distance from the honest mean, by the honest variance; n/a: too few replicas")
    _print(*cells(found.to_dict(), brief=True))
