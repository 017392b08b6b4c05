"""Tools that check evidence, agent cards and targets. Nothing is fetched from anywhere."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Annotated, Any, Final, Literal

from mcp.server.mcpserver import Context
from pydantic import Field, StrictInt

from quorate.core import limits
from quorate.core.errors import UsageError
from quorate.mcp.models import CardAnswer, ComplianceAnswer, ScanAnswer, TargetGiven
from quorate.mcp.settings import Settings
from quorate.mcp.tools.sealing import plain_json, sealed_as
from quorate.mcp.work import GivenUpError, Workers, check_wanted

Profile = Annotated[
    Literal["core", "full", "experts"],
    Field(description="core: the 19 checks; full: every obligation; experts: the 14 fields"),
]
Day = Annotated[
    str | None,
    Field(max_length=10, description="the day whose law counts, YYYY-MM-DD; today if left out"),
]
System = Annotated[
    dict[str, Any] | None,
    Field(description="name, version, role, category and conditions of the system evaluated"),
]
_MOST_STRATEGIES: Final = 256
_PROGRESS_SECONDS: Final = 5.0


def catalogue() -> str:
    """The obligations as the law stands today, as JSON."""
    from quorate.compliance import load_catalogue  # noqa: PLC0415 - loads the catalogue

    found = load_catalogue().at(_today())
    obligations = [found[name].to_dict() for name in found]
    told = {"version": found.version, "as_of": _today(), "obligations": obligations}
    return json.dumps(told, ensure_ascii=False, default=str)


class AssuringTools:
    """``evaluate_eu_ai_act``, ``validate_agent_card`` and ``red_team_scan``."""

    def __init__(self, settings: Settings, workers: Workers) -> None:
        """Trust the operator's policy, and scan the operator's targets."""
        self._settings = settings
        self._workers = workers

    async def evaluate_eu_ai_act(
        self,
        evidence: Annotated[
            dict[str, Any],
            Field(
                description="field -> item or items, or a set (quorate/evidence/1); an item has "
                "field, status, source, time, scope and data, and counts once it is sealed"
            ),
        ],
        profile: Profile = "core",
        as_of: Day = None,
        system: System = None,
        receipts: Annotated[
            list[dict[str, Any]],
            Field(max_length=limits.MAX_BATCH, description="receipts that seal the items"),
        ] = [],  # noqa: B006 - copied by the schema, and never changed
    ) -> ComplianceAnswer:
        """Say which obligations of the EU AI Act the evidence shows, and what is missing.

        Ticked boxes show nothing: an item counts if it is typed, of this system, in date, and
        sealed by a key that the server's policy trusts. This is no conformity assessment.
        """

        def evaluate() -> ComplianceAnswer:
            from quorate.compliance import evaluate as evaluated  # noqa: PLC0415 - when asked

            report = evaluated(
                plain_json(evidence, "evidence"),
                profile,
                as_of or _today(),
                system=None if system is None else plain_json(system, "system"),
                policy=self._settings.policy,
                receipts=plain_json(receipts, "receipts"),
            )
            return ComplianceAnswer(
                score=report.score,
                score_value=report.score_value,
                profile=report.profile,
                as_of=report.as_of.isoformat(),
                blocking=list(report.blocking),
                missing=list(report.missing),
                summary=report.describe(),
                disclaimer=report.disclaimer,
                report=report.to_dict(),
            )

        return await self._workers.run(evaluate)

    async def validate_agent_card(
        self,
        card: Annotated[dict[str, Any], Field(description="an A2A agent card, 1.0 or 0.3")],
        as_of: Day = None,
        evidence: Annotated[
            dict[str, Any] | None, Field(description="evidence beside that of the card")
        ] = None,
        system: System = None,
    ) -> CardAnswer:
        """Check an agent card: its form, its signatures, the 14 safety experts, the AI Act.

        All four are part of the verdict. Signatures count by the keys that the server trusts;
        nothing that the card points to is fetched.
        """

        def validate() -> CardAnswer:
            from quorate.cards.checking import check_card  # noqa: PLC0415 - when asked

            verdict = check_card(
                plain_json(card, "card"),
                as_of=as_of or _today(),
                trust=self._settings.trust,
                evidence_policy=self._settings.policy,
                evidence=None if evidence is None else plain_json(evidence, "evidence"),
                system=None if system is None else plain_json(system, "system"),
            )
            return CardAnswer(
                passed=verdict.passed,
                valid=verdict.valid,
                signed=verdict.signatures.verified,
                experts_covered=verdict.covered,
                errors=[problem.to_dict() for problem in verdict.errors],
                summary=verdict.describe(),
                verdict=verdict.to_dict(),
            )

        return await self._workers.run(validate)

    async def red_team_scan(
        self,
        context: Context,
        target: TargetGiven,
        strategies: Annotated[
            list[str] | None,
            Field(max_length=_MOST_STRATEGIES, description="ids; the canonical sweep if left out"),
        ] = None,
        seed: Annotated[
            StrictInt, Field(ge=0, le=limits.MAX_SAFE_INTEGER, description="draws planted marks")
        ] = 0,
    ) -> ScanAnswer:
        """Attack a target with real probes and say how it held out, with every transcript.

        Targets are those that the server's operator offers: built-in scripts, and callables
        that were registered. An address is no target.
        """
        loop = asyncio.get_running_loop()

        def progressed(done: int, total: int) -> None:
            check_wanted()
            report = context.report_progress(done, total)
            try:
                told = asyncio.run_coroutine_threadsafe(report, loop)
            except RuntimeError as error:
                report.close()
                raise GivenUpError from error
            # A client that does not listen does not hold up the scan.
            with contextlib.suppress(Exception):
                told.result(_PROGRESS_SECONDS)

        return await self._workers.run(
            lambda: self._scan(target.name, strategies, seed, progressed)
        )

    def _scan(
        self,
        name: str,
        strategies: list[str] | None,
        seed: int,
        progressed: Callable[[int, int], None],
    ) -> ScanAnswer:
        from quorate.mcp.tools.withheld import withheld  # noqa: PLC0415 - loads the red team
        from quorate.redteam import builtin, render_terminal, scan, seal_report  # noqa: PLC0415

        offered = {**builtin(), **self._settings.targets}
        if name not in offered:
            raise UsageError(f"there is no target {name[:80]!r}; there is: {', '.join(offered)}")
        report = scan(
            offered[name],
            strategies,
            seed=seed,
            timeout=min(30.0, self._settings.call_seconds),
            name=name,
            progress=progressed,
        )
        check_wanted()
        report = withheld(report)
        ledger = self._settings.record
        receipt = None if ledger is None else seal_report(ledger, report)
        return ScanAnswer(
            target=name,
            scripted=report.scripted,
            resilience=report.resilience,
            risk_score=report.risk_score,
            summary=render_terminal(report),
            report=report.to_dict(),
            sealed=sealed_as(receipt),
        )


def _today() -> str:
    return datetime.now(UTC).date().isoformat()
