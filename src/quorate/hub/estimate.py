"""What a run would take, before anybody is asked: calls, cost, tokens, time.

Theory of operation. How often each expert is asked about one task follows from the panel:
members once, and once more to ratify a synthesis; reserves and consultants only after a
refusal. What one call takes is what the panel declares, else the mean of what the ledger
holds of earlier calls, else not known. An expected figure counts refusals as often as the
ledger shows them (never, where it shows nothing), a greatest one for every task.

A chat model that is sampled is asked for several completions in one call: what a call is
declared to take is what all of them take together. Attempts that an adapter repeats are in
no figure.

``max_cost`` and ``max_tokens`` are what an answer may take to be counted. What an expert
spends beyond them is spent, and is in no figure here.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any, Final

from quorate.core.errors import UsageError
from quorate.core.exact import from_text
from quorate.hub.panel_checks import CONSULTANT, MEMBER, RESERVE
from quorate.hub.tables import ExpertTable, PanelTable
from quorate.ledger import Receipt

DECLARED: Final = "declared"
HISTORY: Final = "history"
UNKNOWN: Final = "unknown"
_SAMPLES: Final = "samples:"
_VERDICTS: Final = frozenset({"decision", "refusal"})


@dataclass(frozen=True, slots=True)
class Figure:
    """One quantity.

    Attributes:
        expected: what is to be expected of it; ``None`` if not known.
        greatest: what it cannot exceed, as far as it counts; ``None`` if nothing bounds it.
        source: where ``expected`` comes from: ``"declared"``, ``"history"``, ``"unknown"``.
    """

    expected: Fraction | None
    greatest: Fraction | None
    source: str

    def to_dict(self) -> dict[str, Any]:
        """As JSON, numbers as the nearest doubles."""
        return {
            "expected": None if self.expected is None else float(self.expected),
            "greatest": None if self.greatest is None else float(self.greatest),
            "source": self.source,
        }


@dataclass(frozen=True, slots=True)
class ExpertEstimate:
    """What one expert would be asked, and what it would take.

    Attributes:
        id, role: as the panel declares them.
        calls: how often it would be asked; always known. What its adapter sends again after
            a failed attempt is not counted.
        cost: in the panel's own unit.
        tokens: likewise.
        samples: completions that one call asks for; more than 1 of a chat model alone.
        retries: most attempts after the first that its adapter may make in one call.
    """

    id: str
    role: str
    calls: Figure
    cost: Figure
    tokens: Figure
    samples: int = 1
    retries: int = 0

    @property
    def completions(self) -> Figure:
        """How many answers are asked for: as many in each call as there are samples."""
        expected, greatest = self.calls.expected, self.calls.greatest
        return Figure(
            None if expected is None else expected * self.samples,
            None if greatest is None else greatest * self.samples,
            self.calls.source,
        )

    def to_dict(self) -> dict[str, Any]:
        """As JSON."""
        names = ("calls", "completions", "cost", "tokens")
        shown = {name: getattr(self, name).to_dict() for name in names}
        more = {"samples": self.samples, "retries": self.retries}
        return {"id": self.id, "role": self.role, **shown, **more}


@dataclass(frozen=True, slots=True)
class Estimate:
    """What a run would take.

    Attributes:
        tasks: tasks in the file.
        decided: of them, decided already: nobody is asked about those again.
        experts: each expert of the panel, in file order.
        seconds: longest time for all tasks, if every expert takes all of its timeout.
        refused: share of tasks that the ledger shows refused at first; ``None`` without any.
        past: verdicts in the ledger that figures were taken from.
    """

    tasks: int
    decided: int
    experts: tuple[ExpertEstimate, ...]
    seconds: Fraction
    refused: Fraction | None
    past: int

    def total(self, name: str) -> Figure:
        """The sum of ``calls``, ``completions``, ``cost`` or ``tokens`` over all experts.

        What is not known of one is not known of the sum.
        """
        figures = [getattr(expert, name) for expert in self.experts]
        expected = [figure.expected for figure in figures]
        greatest = [figure.greatest for figure in figures]
        sources = {figure.source for figure in figures}
        source = next(s for s in (UNKNOWN, HISTORY, DECLARED) if s in sources)
        return Figure(_sum(expected), _sum(greatest), source)

    def to_dict(self) -> dict[str, Any]:
        """As JSON."""
        return {
            "tasks": self.tasks,
            "decided": self.decided,
            "experts": [expert.to_dict() for expert in self.experts],
            **{
                name: self.total(name).to_dict()
                for name in ("calls", "completions", "cost", "tokens")
            },
            "longest_seconds": float(self.seconds),
            "refused_share": None if self.refused is None else float(self.refused),
            "past_verdicts": self.past,
        }


def _sum(values: Iterable[Fraction | None]) -> Fraction | None:
    total = Fraction(0)
    for value in values:
        if value is None:
            return None
        total += value
    return total


@dataclass(slots=True)
class History:
    """What a ledger shows of earlier calls.

    Attributes:
        verdicts: decisions and refusals seen.
        refused: of them, refused, or refused before something else followed.
        costs: per expert, how many answers there were, and what they cost together.
    """

    verdicts: int = 0
    refused: int = 0
    costs: dict[str, tuple[int, Fraction]] = field(default_factory=dict)

    @classmethod
    def of(cls, receipts: Iterable[Receipt]) -> History:
        """Read it out of a ledger's entries; entries that are no verdicts are passed over."""
        history = cls()
        for receipt in receipts:
            if receipt.kind in _VERDICTS and isinstance(receipt.payload, dict):
                history._take(receipt.payload)
        return history

    def mean_cost(self, id_: str) -> Fraction | None:
        """Mean cost of one answer of that expert; ``None`` if it gave none."""
        count, total = self.costs.get(id_, (0, Fraction(0)))
        return total / count if count else None

    @property
    def refused_share(self) -> Fraction | None:
        """Share of verdicts that were refused at first; ``None`` without verdicts."""
        return Fraction(self.refused, self.verdicts) if self.verdicts else None

    def _take(self, body: Mapping[str, Any]) -> None:
        verdict = body.get("verdict")
        status = verdict.get("status") if isinstance(verdict, dict) else None
        if status not in ("committed", "refused"):
            return
        self.verdicts += 1
        self.refused += status == "refused" or "parent" in body
        for id_, cost in _costs(body):
            count, total = self.costs.get(id_, (0, Fraction(0)))
            self.costs[id_] = (count + 1, total + cost)


def _costs(body: Mapping[str, Any]) -> Iterator[tuple[str, Fraction]]:
    """Expert and cost of each sealed proposal; whoever has the key can seal anything."""
    proposals = body.get("proposals")
    for proposal in proposals if isinstance(proposals, list) else ():
        if not isinstance(proposal, dict):
            continue
        id_, cost = proposal.get("expert_id"), proposal.get("cost")
        if isinstance(id_, str) and isinstance(cost, str):
            try:
                yield id_, from_text(cost, "cost")
            except UsageError:
                continue
    consultation = body.get("consultation")
    if isinstance(consultation, dict) and isinstance(consultation.get("body"), dict):
        yield from _costs(consultation["body"])


def estimate(table: PanelTable, tasks: int, decided: int, history: History) -> Estimate:
    """Say what it would take to decide ``tasks`` tasks, of which ``decided`` are decided."""
    left = tasks - decided
    refused = history.refused_share
    counted = []
    for expert in table.experts:
        always, after = _asked(table, expert)
        calls = Figure(left * (always + after * (refused or 0)), left * (always + after), DECLARED)
        cost = _figure(expert, "cost", calls, history.mean_cost(expert.id))
        tokens = _figure(expert, "tokens", calls, None)
        retries = getattr(expert, "retries", 0)
        counted.append(
            ExpertEstimate(expert.id, expert.role, calls, cost, tokens, _samples(expert), retries)
        )
    turns = -(-left // table.run.concurrency)
    return Estimate(
        tasks, decided, tuple(counted), turns * _longest(table), refused, history.verdicts
    )


def _asked(table: PanelTable, expert: ExpertTable) -> tuple[Fraction, Fraction]:
    """How often one expert is asked about a task: always, and besides after a refusal."""
    arbiter = table.arbiter
    synthesis = arbiter.protocol == "synthesis"
    widens = arbiter.on_under_quorum == "widen"
    always = after = 0
    if expert.role == MEMBER:
        always = 1
    if expert.role == RESERVE or (expert.role == CONSULTANT and table.escalation is not None):
        after = 1
    if synthesis and arbiter.synthesizer == expert.id:
        always += 1
        after += widens
    if synthesis and arbiter.ratify is not False and expert.role in (MEMBER, RESERVE):
        always += expert.role == MEMBER
        after += widens
    return Fraction(always), Fraction(after)


def _samples(expert: ExpertTable) -> int:
    confidence = getattr(expert, "confidence", None)
    if isinstance(confidence, str) and confidence.startswith(_SAMPLES):
        return int(confidence.removeprefix(_SAMPLES))
    return 1


def _figure(expert: ExpertTable, name: str, calls: Figure, past: Fraction | None) -> Figure:
    greatest = getattr(expert, f"max_{name}")
    each, source = past, HISTORY if past is not None else UNKNOWN
    if name in expert.model_fields_set:
        each, source = Fraction(getattr(expert, name)), DECLARED
    return Figure(
        None if each is None or calls.expected is None else calls.expected * each,
        None if greatest is None or calls.greatest is None else calls.greatest * greatest,
        source,
    )


def _longest(table: PanelTable) -> Fraction:
    """Seconds that one task can take: one phase after another, each as long as its slowest."""
    arbiter = table.arbiter

    def slowest(*roles: str) -> Fraction:
        times = [expert.timeout for expert in table.experts if expert.role in roles]
        return max(times, default=Fraction(0))

    def merging(*roles: str) -> Fraction:
        if arbiter.protocol != "synthesis":
            return Fraction(0)
        merger = max(e.timeout for e in table.experts if e.id == arbiter.synthesizer)
        return merger + (slowest(*roles) if arbiter.ratify is not False else 0)

    seconds = slowest(MEMBER) + merging(MEMBER)
    if arbiter.on_under_quorum == "widen":
        seconds += slowest(RESERVE) + merging(MEMBER, RESERVE)
    if arbiter.on_under_quorum == "escalate":
        seconds += slowest(CONSULTANT)
    return seconds
