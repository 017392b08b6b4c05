"""``quorate comply threshold`` and ``measure``: fix a bound first, then seal what was measured."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path
from typing import Annotated, Final

import typer

from quorate.cli.comply.options import REFUSED, SYSTEM, Signer, SystemFile, Target, opened
from quorate.cli.halt import By
from quorate.cli.shown import AsJson, print_json, progress, say
from quorate.core.errors import OperationalError, UsageError
from quorate.core.text import printable

_DIGEST: Final = re.compile(r"sha256:[0-9a-f]{64}")
_CHUNK: Final = 1 << 20


def threshold(
    metric: Annotated[str, typer.Argument(help="Name of the metric, such as recall.")],
    by: By,
    target: Target = None,
    *,
    system: SystemFile = SYSTEM,
    at_least: Annotated[
        str | None,
        typer.Option(help="Least value that is good enough: 0.95 or 19/20.", show_default=False),
    ] = None,
    at_most: Annotated[
        str | None,
        typer.Option(help="Greatest value that is good enough.", show_default=False),
    ] = None,
    confidence: Annotated[
        str | None,
        typer.Option(help="With which it is to hold, such as 0.95.", show_default=False),
    ] = None,
    signer: Signer = None,
    as_json: AsJson = False,
) -> None:
    """Seal a threshold, before anything is measured against it: Article 9(8)."""
    from quorate.cli.comply.declared import read_system
    from quorate.compliance.committing import AT_LEAST, AT_MOST, commit_threshold, described

    if (at_least is None) == (at_most is None):
        raise UsageError("give --at-least or --at-most, one of the two")
    declared = read_system(system)
    with opened(target, signer, writing=True) as log:
        sealed = commit_threshold(
            log,
            metric,
            AT_LEAST if at_most is None else AT_MOST,
            at_least or at_most or "",
            scope={"system": declared.name, "version": declared.version},
            by=by,
            confidence=confidence,
        )
    if as_json:
        print_json({"seq": sealed.seq, "hash": sealed.entry_hash, "threshold": sealed.payload})
        return
    say(printable(described(sealed.kind, sealed.payload)))
    say(f"sealed in entry {sealed.seq}, {sealed.timestamp}")
    say(f"  then measure: quorate comply measure {sealed.seq} VALUE --samples N --dataset FILE")


def measure(
    seq: Annotated[int, typer.Argument(min=0, help="Entry of the threshold.")],
    value: Annotated[
        str, typer.Argument(help="What was measured; with a confidence, the bound at it.")
    ],
    samples: Annotated[int, typer.Option(min=1, help="Cases behind it.")],
    dataset: Annotated[
        str, typer.Option(metavar="FILE|DIGEST", help="The data measured on: a file, or sha256:….")
    ],
    target: Target = None,
    signer: Signer = None,
    strict: Annotated[
        bool, typer.Option("--strict", help="Exit 3 if the threshold is not kept.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Seal what was measured against a threshold that was sealed before, kept or not."""
    from quorate.compliance.committing import described, record_measurement

    digest = dataset if _DIGEST.fullmatch(dataset) else _digest_of(Path(dataset))
    with opened(target, signer, writing=True) as log:
        sealed = record_measurement(log, seq, value, samples=samples, dataset=digest)
    met = sealed.payload["met"]
    if as_json:
        print_json({"seq": sealed.seq, "hash": sealed.entry_hash, "measurement": sealed.payload})
    else:
        say(printable(described(sealed.kind, sealed.payload)))
        say(f"sealed in entry {sealed.seq}, {sealed.timestamp}")
    if strict and not met:
        raise typer.Exit(REFUSED)


def _digest_of(path: Path) -> str:
    """The digest of a file, however large."""
    hashed, done = hashlib.sha256(), 0
    try:
        if not path.is_file():
            raise UsageError(f"there is no file {path}; name the data, or its digest sha256:…")
        total = path.stat().st_size
        with path.open("rb") as file, progress("hashing the data") as bar:
            shown = bar.slow("hashing the data")
            while chunk := file.read(_CHUNK):
                hashed.update(chunk)
                done += len(chunk)
                shown(done, total)
    except OSError as error:
        raise OperationalError(f"{path} cannot be read: {error.strerror}") from error
    return f"sha256:{hashed.hexdigest()}"
