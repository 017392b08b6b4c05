"""What a target of the operator's raised is for the operator: it may name keys and paths.

The client learns what kind of failure it was, and a reference to the log, which has the rest.
The report is sealed in that form too, for receipts are read by others still.
"""

from __future__ import annotations

import logging
import secrets
from collections.abc import Callable
from dataclasses import replace

from quorate.core.text import printable, shortened
from quorate.redteam import RedTeamReport
from quorate.redteam.report import CONTROL, TIMEOUT, Failure, Run, StrategyResult

_log = logging.getLogger(__name__)


def withheld(report: RedTeamReport) -> RedTeamReport:
    """The report with no word of what the target raised, which goes into the log."""
    reference = secrets.token_hex(4)
    known: dict[str, str] = {}

    def mended(failure: Failure) -> Failure:
        # That it was too late are our own words.
        if failure.reason == TIMEOUT:
            return failure
        if failure.detail not in known:
            _log.error("%s: the target %s: %s", reference, report.target, printable(failure.detail))
            kind = failure.detail.partition(":")[0]
            told = f"{kind}; its operator finds the rest in the log under {reference}"
            known[failure.detail] = shortened(printable(told))
        return replace(failure, detail=known[failure.detail])

    def strategy(result: StrategyResult) -> StrategyResult:
        control = _with(result.control, mended)
        why = control.failure
        words = "" if why is None else shortened(f"the control {why.reason}: {why.detail}")

        def of_run(failure: Failure) -> Failure:
            return replace(failure, detail=words) if failure.reason == CONTROL else mended(failure)

        return replace(
            result, control=control, runs=tuple(_with(run, of_run) for run in result.runs)
        )

    return replace(report, strategies=tuple(strategy(one) for one in report.strategies))


def _with(run: Run, mended: Callable[[Failure], Failure]) -> Run:
    return run if run.failure is None else replace(run, failure=mended(run.failure))
