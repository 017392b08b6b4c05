"""``quorate comply threshold`` and ``measure``: fix a bound first, then seal what was measured."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path
from typing import Annotated, Final

import typer

from quorate.cli.comply.options import REFUSED, SYSTEM, Signer, SystemFile, Target, opened
from quorate.cli.halt import By
from quorate.cli.shown import AsJson, note, print_json, progress, say
from quorate.compliance.metrics import LEDGER_ACCURACY, RESILIENCE
from quorate.core.errors import OperationalError, UsageError
from quorate.core.text import counted, printable

_DIGEST: Final = re.compile(r"sha256:[0-9a-f]{64}")
_CHUNK: Final = 1 << 20

_MEASURE: Final = "quorate comply measure {seq} VALUE --samples N --dataset FILE"
_THEN: Final = {
    RESILIENCE: "quorate redteam scan TARGET --system system.toml --seal",
    LEDGER_ACCURACY: "quorate outcome OUTCOMES.jsonl, as right answers become known",
}
"""What comes after a threshold of a metric that nobody measures by hand."""


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
    accuracy: Annotated[
        bool,
        typer.Option(
            "--accuracy",
            help="The metric is one of accuracy, Article 15(1), though its name is none known.",
        ),
    ] = False,
    signer: Signer = None,
    as_json: AsJson = False,
) -> None:
    """Seal a threshold, before anything is measured against it: Article 9(8).

    Metrics such as recall or error_rate count as accuracy, Article 15(1); another counts as
    that with --accuracy.
    """
    from quorate.cli.comply.declared import read_system
    from quorate.compliance.committing import AT_LEAST, AT_MOST, commit_threshold, described
    from quorate.compliance.metrics import of_accuracy

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
            accuracy=accuracy,
        )
    counts = accuracy or of_accuracy(metric)
    if as_json:
        members = {"seq": sealed.seq, "hash": sealed.entry_hash, "threshold": sealed.payload}
        print_json({**members, "of_accuracy": counts})
        return
    say(printable(described(sealed.kind, sealed.payload)))
    say(f"sealed in entry {sealed.seq}, {sealed.timestamp}")
    if not counts and metric != RESILIENCE:
        say(
            "  it counts for Article 9(8), and not as accuracy, Article 15(1), for that name is "
            "none known; where it is accuracy, seal it with --accuracy"
        )
    say(f"  then: {_THEN.get(metric, _MEASURE).format(seq=sealed.seq)}")


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
    """Seal what was measured against a threshold that was sealed before, kept or not.

    Value and samples are your word: of the data only the digest is sealed.
    """
    from quorate.compliance.committing import described, record_measurement

    lines = None
    digest = dataset
    if not _DIGEST.fullmatch(dataset):
        digest, lines = _digest_of(Path(dataset))
    with opened(target, signer, writing=True) as log:
        sealed = record_measurement(log, seq, value, samples=samples, dataset=digest)
    met = sealed.payload["met"]
    if as_json:
        print_json({"seq": sealed.seq, "hash": sealed.entry_hash, "measurement": sealed.payload})
    else:
        say(printable(described(sealed.kind, sealed.payload)))
        say(f"sealed in entry {sealed.seq}, {sealed.timestamp}")
        say(
            "  value and samples are sealed as you gave them: nothing here counted or measured; of "
            "the data only the digest is sealed"
        )
    if lines is not None and lines < samples:
        note(
            f"{printable(dataset)} has {counted(lines, 'line')}, and {counted(samples, 'case')} "
            "were given; whoever checks the digest will see that too"
        )
    if strict and not met:
        raise typer.Exit(REFUSED)


def _digest_of(path: Path) -> tuple[str, int | None]:
    """The digest of a file, however large, and how many lines it has if it is text."""
    hashed, done, lines, last, binary = hashlib.sha256(), 0, 0, b"\n", False
    try:
        if not path.is_file():
            raise UsageError(f"there is no file {path}; name the data, or its digest sha256:…")
        total = path.stat().st_size
        with path.open("rb") as file, progress("hashing the data") as bar:
            shown = bar.slow("hashing the data")
            while chunk := file.read(_CHUNK):
                hashed.update(chunk)
                lines, last = lines + chunk.count(b"\n"), chunk[-1:]
                binary = binary or b"\0" in chunk
                done += len(chunk)
                shown(done, total)
    except OSError as error:
        raise OperationalError(f"{path} cannot be read: {error.strerror}") from error
    whole = lines + (last != b"\n")
    return f"sha256:{hashed.hexdigest()}", None if binary else whole
