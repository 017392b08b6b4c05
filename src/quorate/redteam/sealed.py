"""The sealed form of a scan, and its replay.

Theory of operation. The sealed body is the whole report under a rule's name. To replay it
is to read probes and replies out of it, have every judge judge again, add up again, and
compare canonical bytes. Canonical strategies are drawn again by the sealed seed besides:
their severity, what was said to the target and what was looked for must be what the
catalogue has, so a scan cannot be made to look good by asking or looking for less.

Replay cannot know whether the replies are the target's, nor what a strategy that is not in
the canonical sweep should have asked: those are bound by the entry's hash alone.
"""

from __future__ import annotations

from typing import Any, Final

from quorate.arbitration.forms import shown
from quorate.core.canonical import canonical
from quorate.core.errors import QuorateError, UsageError, VerificationError
from quorate.ledger import Ledger, Receipt
from quorate.redteam import bounds
from quorate.redteam.report import RedTeamReport, StrategyResult
from quorate.redteam.strategies import CANONICAL, find_strategy

KIND: Final = "redteam"
RULE: Final = "redteam/1"


def body_of(report: RedTeamReport) -> dict[str, Any]:
    """The body that is sealed of a report.

    Raises:
        UsageError: it is larger than ``bounds.MAX_REPORT_BYTES``.
    """
    body = {"rule": RULE, **report.to_dict()}
    size = len(canonical(body))
    if size > bounds.MAX_REPORT_BYTES:
        raise UsageError(
            f"the report has {size} bytes, and {bounds.MAX_REPORT_BYTES} can be sealed; scan "
            "with fewer strategies at a time"
        )
    return body


def seal_report(ledger: Ledger, report: RedTeamReport) -> Receipt:
    """Seal a report as an entry of the kind ``redteam``.

    Raises:
        UsageError: it is too large, it does not replay, or the ledger is open for reading
            only.
        StoreError: it could not be written; nothing was.
    """
    body = body_of(report)
    try:
        replay(KIND, body)
    except VerificationError as error:
        raise UsageError(f"the report would not verify once sealed: {error}") from error
    return ledger.append(KIND, body)


def read_report(receipt: Receipt) -> RedTeamReport:
    """The report that a receipt seals, judged again; see :func:`replay`.

    Raises:
        VerificationError: rule ``replay``: it is none, or does not follow from its replies.
    """
    replay(receipt.kind, receipt.payload)
    return RedTeamReport.from_dict({k: v for k, v in receipt.payload.items() if k != "rule"})


def replay(kind: str, body: Any, context: object = None) -> None:  # noqa: ARG001 - the form of all replay functions
    """Judge a sealed scan again; return if, and only if, it comes to what was sealed.

    Raises:
        VerificationError: rule ``replay``; says what differs.
    """
    try:
        if kind != KIND:
            raise UsageError(f"the kind {shown(kind)} is none of a scan")
        if not isinstance(body, dict) or body.get("rule") != RULE:
            raise UsageError(f"its rule is not {RULE}")
        report = RedTeamReport.from_dict({k: v for k, v in body.items() if k != "rule"})
        for one in report.strategies:
            if one.facts.id in CANONICAL:
                _check_drawn(report, one)
    # A sealed body may be anything: a bad shape shows as one of these while it is read.
    except (QuorateError, KeyError, TypeError, ValueError, AttributeError) as error:
        raise VerificationError(f"the scan is not sound: {error}", rule="replay") from error


def _check_drawn(report: RedTeamReport, one: StrategyResult) -> None:
    """Hold a canonical strategy to what the catalogue draws by that seed."""
    known = find_strategy(one.facts.id)
    if one.facts != known.facts:
        raise UsageError(f"{one.facts.id} is not what the catalogue has under that id")
    battery = known.battery(report.seed, report.canaries)
    drawn = (battery.control, *battery.probes)
    asked = (one.control.probe, *(run.probe for run in one.runs))
    if canonical([p.to_dict() for p in drawn]) != canonical([p.to_dict() for p in asked]):
        raise UsageError(f"the probes of {one.facts.id} are not those that the seed draws")
