"""The story of the demo: decide four runs, verify the record, tamper with copies of it.

Theory of operation. Everything is made in a temporary folder. If it is to be kept, that
folder is made inside the one named, and what is in it moves up at the very end: a demo
that is interrupted leaves nothing behind.
"""

from __future__ import annotations

import os
import shlex
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from quorate.cli.demo import methods
from quorate.cli.demo.cases import (
    FAMILIES,
    FOLDS,
    SEED,
    Cases,
    Scenario,
    Trained,
    heard,
    labels,
    load,
    scenarios,
    train,
)
from quorate.cli.demo.deciding import QUORUM, decide, open_panel
from quorate.cli.demo.draws import draws, worst
from quorate.cli.demo.methods import Answers, Figures, compare
from quorate.cli.demo.tampering import cut, flip
from quorate.cli.demo.workplace import workplace
from quorate.cli.shown import progress
from quorate.core.errors import OperationalError, UsageError
from quorate.core.exact import as_text
from quorate.core.identity import Ed25519Signer
from quorate.ledger import Ledger, read_verifier, verify, write_key

LEDGER: Final = "ledger.db"
KEYS: Final = "keys"
PUBLIC: Final = "keys/ledger.pub"
CHECKPOINT: Final = "checkpoint.txt"

_CUT_ROWS: Final = 3


def tell(folder: Path | None = None) -> dict[str, Any]:
    """Run the whole demo.

    Returns:
        The report, all JSON: ``data``, ``experts``, ``scenarios`` (each with the figures of
        four methods), ``ledger`` (what was verified), ``tampering`` (what was done to copies
        and which index and rule the verifier named), ``sound`` (whether it named the right
        ones), ``seconds`` of each stage, and ``kept`` (folder and commands, or ``None``).

    Raises:
        UsageError, OperationalError, StoreError, VerificationError: see
            :func:`quorate.cli.demo.run_demo`.
    """
    _refuse_used(folder)
    stages = _Stages()
    with stages.time("training"), progress("training seven models") as step:
        cases = load()
        trained = train(cases, step)
    with workplace(folder) as place:
        signer = Ed25519Signer.generate()
        write_key(place / KEYS / "ledger.key", signer)
        with Ledger.open(f"sqlite:///{place / LEDGER}", signer=signer) as ledger:
            runs = _decide_all(cases, trained, ledger, stages)
            note = ledger.checkpoint()
        (place / CHECKPOINT).write_text(note, "utf-8")
        with stages.time("verifying"):
            record = _verify(place, note)
        with stages.time("tampering"):
            tampering = _tamper(place, note, record["size"])
    return {
        "data": _data(cases),
        "quorum": as_text(QUORUM),
        "experts": _experts(cases, trained),
        "best_single": trained.best,
        "scenarios": runs,
        "ledger": record,
        "tampering": tampering,
        "sound": record["complete"] and all(one["found"] == one["expected"] for one in tampering),
        "seconds": stages.seconds,
        "kept": None if folder is None else _kept(folder, runs),
    }


class _Stages:
    """How long each stage took, in seconds."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    @contextmanager
    def time(self, name: str) -> Iterator[None]:
        started = time.perf_counter()
        yield
        self.seconds[name] = self.seconds.get(name, 0.0) + time.perf_counter() - started


def _refuse_used(folder: Path | None) -> None:
    for name in (LEDGER, KEYS, CHECKPOINT):
        if folder is not None and os.path.lexists(folder / name):
            raise UsageError(
                f"{folder / name} is there already, and a record is never written over; "
                "name another folder"
            )


def _decide_all(
    cases: Cases, trained: Trained, ledger: Ledger, stages: _Stages
) -> list[dict[str, Any]]:
    """All four runs, each decided by all four methods."""
    panel = open_panel(ledger, trained)
    runs = []
    for number, scenario in enumerate(scenarios(), start=1):
        with stages.time("deciding"), progress(f"deciding, run {number} of 4") as step:
            first = len(ledger)
            answers, seconds = decide(scenario, cases, trained, ledger, panel, step)
        figures = _rivals(scenario, cases, trained)
        figures[methods.QUORATE] = compare(answers, labels(cases.truth), seconds)
        with stages.time("other draws"):
            most = worst(scenario, cases, trained, QUORUM)
        runs.append(
            {
                "id": scenario.id,
                "title": scenario.title,
                "told": scenario.told,
                "liars": list(scenario.liars),
                "down": list(scenario.down),
                "draws": sum(1 for _ in draws(scenario)),
                "entries": [first, len(ledger) - 1],
                "example": _example(answers, first),
                "methods": {
                    name: {**one.to_dict(), "most_wrong": most[name]}
                    for name, one in figures.items()
                },
            }
        )
    return runs


def _example(answers: Answers, first: int) -> int:
    """Seq of the first refusal of a run, or of its first decision if there is none."""
    return first + next((row for row, answer in enumerate(answers) if answer is None), 0)


def _rivals(scenario: Scenario, cases: Cases, trained: Trained) -> dict[str, Figures]:
    said = heard(scenario, trained.predictions, cases.truth)
    truth = labels(cases.truth)
    ways: dict[str, Callable[[], Answers]] = {
        methods.BEST_SINGLE: lambda: methods.best_single(said, trained.best, len(truth)),
        methods.MAJORITY: lambda: methods.majority(said),
        methods.SOFT_VOTE: lambda: methods.soft_vote(said),
    }
    figures = {}
    for name, way in ways.items():
        started = time.perf_counter()
        answers = way()
        figures[name] = compare(answers, truth, time.perf_counter() - started)
    return figures


def _verify(place: Path, note: str) -> dict[str, Any]:
    """Verify the ledger as anyone could who has the public key and the checkpoint."""
    with progress("verifying") as step:
        report = verify(
            f"sqlite:///{place / LEDGER}",
            keys=[read_verifier(place / PUBLIC)],
            checkpoint=note,
            replay=True,
            progress=step,
        )
    if report is None:
        raise OperationalError("verifying a ledger gave no report")
    return report.to_dict()


def _tamper(place: Path, note: str, size: int) -> list[dict[str, Any]]:
    """Tamper with two copies; each report says what the verifier found."""
    key = read_verifier(place / PUBLIC)
    attacks: tuple[Callable[[Path], dict[str, Any]], ...] = (
        lambda copy: flip(place / LEDGER, copy, size // 2, key, note),
        lambda copy: cut(place / LEDGER, copy, _CUT_ROWS, key, note),
    )
    with progress("tampering with copies") as step, tempfile.TemporaryDirectory() as copies:
        found = []
        for done, attack in enumerate(attacks):
            step(done, len(attacks))
            found.append(attack(Path(copies) / f"copy-{done}.db"))
    return found


def _data(cases: Cases) -> dict[str, Any]:
    return {
        "name": "Wisconsin diagnostic breast cancer",
        "patients": len(cases.diagnoses) + len(cases.truth),
        "trained_on": len(cases.diagnoses),
        "held_out": len(cases.truth),
        "malignant": int(cases.truth.sum()),
        "seed": SEED,
        "folds": FOLDS,
    }


def _experts(cases: Cases, trained: Trained) -> list[dict[str, Any]]:
    truth = labels(cases.truth)
    return [
        {
            "id": name,
            "family": family,
            "weight": "1",
            "cross_validated": trained.cross_validated[name],
            "right": compare(labels(trained.predictions[name]), truth, 0.0).right,
        }
        for name, family in FAMILIES.items()
    ]


def _kept(folder: Path, runs: list[dict[str, Any]]) -> dict[str, Any]:
    url, key, note = f"sqlite:///{folder / LEDGER}", str(folder / PUBLIC), str(folder / CHECKPOINT)
    verifying = ["quorate", "verify", url, "--key", key, "--checkpoint", note, "--replay"]
    explaining = ["quorate", "explain", str(runs[1]["example"]), "--ledger", url]
    return {
        "folder": str(folder),
        "ledger": url,
        "key": key,
        "checkpoint": note,
        "commands": [shlex.join(explaining), shlex.join(verifying)],
    }
