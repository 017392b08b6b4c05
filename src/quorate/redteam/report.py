"""What came of a scan: every probe with what was said, and what it all adds up to.

Theory of operation. A report holds the declarations of the probes and the target's replies,
word for word; outcomes, findings, transcripts and scores are computed from these when it is
made, also when it is read back. So none of them can be written in by hand: see
:func:`RedTeamReport.from_dict` and :mod:`quorate.redteam.sealed`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from typing import Any, Final

from quorate.arbitration.forms import items, members, shown, text
from quorate.core import limits
from quorate.core.canonical import canonical, digest
from quorate.core.errors import UsageError, UsageTypeError
from quorate.core.exact import as_text
from quorate.core.text import counted
from quorate.redteam import bounds
from quorate.redteam.conversation import Conversation, Message, Reply
from quorate.redteam.formats import (
    FORMATS,
    classes_formerly,
    format_of,
    is_former,
    read_formerly,
    strategy_formerly,
)
from quorate.redteam.judges import check_canaries, find
from quorate.redteam.probes import Probe
from quorate.redteam.rules import SUCCEEDED, WEIGHTS, Outcome, Score, outcome_of, score
from quorate.redteam.scripted import PREFIX
from quorate.redteam.strategies import ATTACK_CLASSES, CANONICAL, Facts

CRASHED: Final = "crashed"
TIMEOUT: Final = "timeout"
VOID: Final = "void"
CONTROL: Final = "control"
FAILURES: Final = (CRASHED, TIMEOUT, VOID, CONTROL)
"""Why a probe got no reply: it raised, it was late, it replied what is no reply (or too much),
or its control had got none, so that it was not even asked."""


@dataclass(frozen=True, slots=True)
class Failure:
    """Why the target gave no usable reply: its own fault, and never a defence."""

    reason: str
    detail: str = ""

    def to_dict(self) -> dict[str, Any]:
        """As JSON."""
        return {"reason": self.reason, "detail": self.detail}

    @classmethod
    def from_dict(cls, data: object) -> Failure:
        """Read back what :meth:`to_dict` wrote.

        Raises:
            UsageError: it is none.
        """
        form = members(data, "the failure", ("reason", "detail"))
        if form["reason"] not in FAILURES:
            raise UsageError(f"the failure is {shown(form['reason'])}; one of {FAILURES}")
        detail = text(form["detail"], "the detail", limits.MAX_DETAIL_LENGTH, least=0)
        return cls(form["reason"], detail)


@dataclass(frozen=True)
class Run:
    """One probe, and what the target made of it.

    Attributes:
        probe: as declared.
        replies: of the target, in order; up to the failure where there was one.
        failure: why there are no more; ``None`` where the probe took its whole course.
    """

    probe: Probe
    replies: tuple[Reply, ...]
    failure: Failure | None = None

    def __post_init__(self) -> None:
        """Check that the conversation could have gone this way.

        Raises:
            UsageError: more or fewer replies than the probe takes.
        """
        self.transcript  # noqa: B018 - computed here, so that what cannot be is refused at once

    @cached_property
    def finding(self) -> tuple[str, str] | None:
        """The judge that found something and what; the first of the probe's checks."""
        for check in self.probe.checks:
            found = find(check, self.replies)
            if found is not None:
                return check.judge, found
        return None

    @cached_property
    def transcript(self) -> tuple[Message, ...]:
        """All that was said, the simulated tools' answers included."""
        course = Conversation(self.probe, "")
        for number, reply in enumerate(self.replies):
            if course.over:
                raise UsageError(f"{self.probe.id} has more replies than it takes")
            try:
                course.take(reply)
            except UsageError:
                if self.failure is None or number != len(self.replies) - 1:
                    raise
        if not course.over and self.failure is None:
            raise UsageError(f"{self.probe.id} has fewer replies than it takes, and no failure")
        return course.messages

    def told(self) -> dict[str, Any]:
        """What is kept of it, as JSON: all that the rest follows from."""
        return {
            "probe": self.probe.to_dict(),
            "replies": [reply.to_dict() for reply in self.replies],
            "failure": None if self.failure is None else self.failure.to_dict(),
            "digest": digest([message.to_dict() for message in self.transcript]),
        }

    @classmethod
    def read(cls, form: Mapping[str, Any]) -> Run:
        """Read back what :meth:`told` wrote.

        Raises:
            UsageError: it is none.
        """
        failure = form["failure"]
        return cls(
            Probe.from_dict(form["probe"]),
            items(form["replies"], "replies", Reply.of),
            None if failure is None else Failure.from_dict(failure),
        )


@dataclass(frozen=True, slots=True)
class ProbeResult:
    """What came of one probe.

    Attributes:
        run: the probe and the replies.
        outcome: ``defended``, ``succeeded`` (the attack did) or ``not_probed``.
        reason: why it was not probed; empty where it was.
    """

    run: Run
    outcome: Outcome
    reason: str

    @property
    def id(self) -> str:
        """Of the probe."""
        return self.run.probe.id

    @property
    def judge(self) -> str | None:
        """The judge that found something."""
        return None if self.run.finding is None else self.run.finding[0]

    @property
    def finding(self) -> str | None:
        """What it found, in words."""
        return None if self.run.finding is None else self.run.finding[1]

    def to_dict(self) -> dict[str, Any]:
        """As JSON; with the transcript where the attack succeeded."""
        told = {
            **self.run.told(),
            "outcome": self.outcome,
            "reason": self.reason,
            "judge": self.judge,
            "finding": self.finding,
        }
        if self.outcome == SUCCEEDED:
            told["transcript"] = [message.to_dict() for message in self.run.transcript]
        return told


@dataclass(frozen=True)
class StrategyResult:
    """What came of one strategy.

    Attributes:
        facts: which.
        control: the honest request, and whether it was served.
        runs: of its probes, in order.
    """

    facts: Facts
    control: Run
    runs: tuple[Run, ...]

    def __post_init__(self) -> None:
        """Check how many probes there are.

        Raises:
            UsageError: none, too many, or two of one id.
        """
        ids = [run.probe.id for run in self.runs]
        if not 1 <= len(ids) <= bounds.MAX_PROBES or len(set(ids)) != len(ids):
            raise UsageError(f"{self.facts.id} should have 1 to {bounds.MAX_PROBES} probes, once")
        for run in self.runs:
            unasked = run.failure is not None and run.failure.reason == CONTROL
            if unasked is (self.control.failure is None) or (unasked and run.replies):
                raise UsageError(
                    f"{self.facts.id} {run.probe.id} was left out though its control got replies, "
                    "or asked though it got none"
                )

    @cached_property
    def served(self) -> bool:
        """Whether the target served the control."""
        return self.control.failure is None and self.control.finding is not None

    @cached_property
    def results(self) -> tuple[ProbeResult, ...]:
        """Each probe, judged."""
        return tuple(map(self._judged, self.runs))

    def _judged(self, run: Run) -> ProbeResult:
        found, failed = run.finding is not None, run.failure is not None
        outcome = outcome_of(found=found, failed=failed, served=self.served)
        if outcome != "not_probed":
            return ProbeResult(run, outcome, "")
        reason = CONTROL if run.failure is None else run.failure.reason
        return ProbeResult(run, outcome, reason)

    @property
    def row(self) -> tuple[Any, list[Outcome]]:
        """What scoring takes: severity and outcomes."""
        return self.facts.severity, [result.outcome for result in self.results]

    def to_dict(self) -> dict[str, Any]:
        """As JSON."""
        return {
            "strategy": self.facts.to_dict(),
            "served": self.served,
            "control": self.control.told(),
            "probes": [result.to_dict() for result in self.results],
        }

    @classmethod
    def from_dict(cls, data: object) -> StrategyResult:
        """Read the probes and replies back; the rest is computed again.

        Raises:
            UsageError: it is no result of a strategy.
        """
        form = members(data, "a strategy's result", ("strategy", "served", "control", "probes"))
        runs = items(form["probes"], "probes", _read_probe)
        control = members(form["control"], "the control", _RUN)
        return cls(Facts.from_dict(form["strategy"]), Run.read(control), runs)


_RUN: Final = ("probe", "replies", "failure", "digest")


def _read_probe(data: object) -> Run:
    judged = ("outcome", "reason", "judge", "finding")
    return Run.read(members(data, "a probe's result", (*_RUN, *judged), ("transcript",)))


@dataclass(frozen=True)
class RedTeamReport:
    """What came of a scan.

    Attributes:
        target: name of what was attacked; with a version, of the system.
        scripted: it is a built-in script, of no use as evidence.
        seed: that the marks were drawn by.
        canaries: of the caller's own, which were looked for besides.
        strategies: what came of each, in the order they ran.
        version: of the system that was attacked; ``None`` where none is named.
        former: it was read from a format with the former names of classes, and goes back so.
    """

    target: str
    seed: int
    canaries: tuple[str, ...]
    strategies: tuple[StrategyResult, ...]
    version: str | None = None
    former: bool = False

    def __post_init__(self) -> None:
        """Check the values.

        Raises:
            UsageError: one is not of its kind.
        """
        text(self.target, "the target")
        if self.version is not None:
            check_version(self.version, self.target)
        check_seed(self.seed)
        check_canaries(self.canaries)
        ids = [one.facts.id for one in self.strategies]
        if not 1 <= len(ids) <= bounds.MAX_STRATEGIES or len(set(ids)) != len(ids):
            raise UsageError(f"a scan has 1 to {bounds.MAX_STRATEGIES} strategies, each once")

    @property
    def format(self) -> str:
        """Of its JSON."""
        return format_of(former=self.former, versioned=self.version is not None)

    @property
    def scripted(self) -> bool:
        """Whether the target is a built-in script, of no use as evidence."""
        return self.target.startswith(PREFIX)

    @property
    def canonical_missing(self) -> tuple[str, ...]:
        """Strategies of the canonical sweep that were not run: empty for a whole sweep."""
        run = {one.facts.id for one in self.strategies}
        return tuple(id_ for id_ in CANONICAL if id_ not in run)

    @property
    def not_canonical(self) -> tuple[str, ...]:
        """Strategies that are not of the canonical sweep: what they asked is their owner's word."""
        return tuple(one.facts.id for one in self.strategies if one.facts.id not in CANONICAL)

    @cached_property
    def score(self) -> Score:
        """What it adds up to."""
        return score(one.row for one in self.strategies)

    @property
    def resilience(self) -> float | None:
        """Weight defended by weight probed, 0 to 1; ``None`` where nothing was probed."""
        return _double(self.score.resilience)

    @property
    def risk_score(self) -> float | None:
        """1 minus the resilience; ``None`` where nothing was probed."""
        return _double(self.score.risk)

    @property
    def coverage(self) -> float:
        """Weight probed by weight planned, 0 to 1."""
        return float(self.score.coverage or 0)

    @property
    def successes(self) -> tuple[tuple[Facts, ProbeResult], ...]:
        """Each probe whose attack succeeded, and its strategy."""
        return tuple(
            (one.facts, result)
            for one in self.strategies
            for result in one.results
            if result.outcome == SUCCEEDED
        )

    @property
    def by_severity(self) -> dict[str, Score]:
        """Scores by severity, the gravest first; those that were planned."""
        found = self._by(lambda facts: facts.severity)
        return {name: found[name] for name in reversed(WEIGHTS) if name in found}

    @property
    def by_category(self) -> dict[str, Score]:
        """Scores by category."""
        return self._by(lambda facts: facts.category)

    @property
    def by_asi(self) -> dict[str, Score]:
        """Scores by row of the OWASP agentic top ten."""
        return dict(sorted(self._by(lambda facts: facts.asi).items()))

    @property
    def by_attack_class(self) -> dict[str, Score]:
        """Scores by class of Article 15(5): all five, with no score where nothing was planned."""
        found = self._by(lambda facts: facts.attack_class)
        return {name: found.get(name, score(())) for name in ATTACK_CLASSES}

    def _by(self, of: Callable[[Facts], str]) -> dict[str, Score]:
        names = dict.fromkeys(of(one.facts) for one in self.strategies)
        return {
            name: score(one.row for one in self.strategies if of(one.facts) == name)
            for name in names
        }

    def summary(self) -> dict[str, Any]:
        """As JSON, without the single probes: scores, and what succeeded in a line each."""
        by_class = _told(self.by_attack_class)
        return {
            "format": self.format,
            "target": self.target,
            **({} if self.version is None else {"version": self.version}),
            "scripted": self.scripted,
            "seed": self.seed,
            "canonical_missing": list(self.canonical_missing),
            "not_canonical": list(self.not_canonical),
            **told_score(self.score),
            "by_severity": _told(self.by_severity),
            "by_category": _told(self.by_category),
            "by_asi": _told(self.by_asi),
            "by_attack_class": classes_formerly(by_class) if self.former else by_class,
            "successes": [
                {
                    "strategy": facts.id,
                    "probe": result.id,
                    "severity": facts.severity,
                    "judge": result.judge,
                    "finding": result.finding,
                }
                for facts, result in self.successes
            ],
        }

    def to_dict(self) -> dict[str, Any]:
        """As JSON, every probe with its replies, and the transcript of every success."""
        strategies = [one.to_dict() for one in self.strategies]
        if self.former:
            strategies = [strategy_formerly(one) for one in strategies]
        return {**self.summary(), "canaries": list(self.canaries), "strategies": strategies}

    @classmethod
    def from_dict(cls, data: object) -> RedTeamReport:
        """Read back what :meth:`to_dict` wrote: probes and replies are judged again.

        Raises:
            UsageError: it is no report, or what it says does not follow from the replies
                that it holds.
        """
        if not isinstance(data, dict) or data.get("format") not in FORMATS:
            raise UsageError(f"it is no red-team report of a format {', '.join(FORMATS)}")
        for name in ("target", "seed", "canaries", "strategies"):
            if name not in data:
                raise UsageError(f"the red-team report lacks {name}")
        former = is_former(data["format"])

        def strategy(one: object) -> StrategyResult:
            return StrategyResult.from_dict(read_formerly(one) if former else one)

        read = items(data["strategies"], "strategies", strategy)
        canaries = check_canaries(data["canaries"])
        report = cls(data["target"], data["seed"], canaries, read, data.get("version"), former)
        again = report.to_dict()
        for name in sorted(data.keys() | again.keys()):
            if canonical(data.get(name)) != canonical(again.get(name)):
                raise UsageError(
                    f"{name} is not what follows from the replies, judged and added up again"
                )
        return report

    def describe(self) -> str:
        """One paragraph: what was shown, and what was not."""
        made = self.score
        what = "" if self.version is None else f" {self.version}"
        what += " (a built-in script: no evidence of any system)" if self.scripted else ""
        if made.resilience is None:
            return (
                f"{self.target}{what}: nothing was probed, so there is no score; "
                f"{counted(made.not_probed, 'probe')} got no usable reply or no working control."
            )
        words = (
            f"{self.target}{what}: resilience {self.resilience:.3f} ({as_text(made.resilience)}), "
            f"risk score {self.risk_score:.3f}. "
            f"{counted(made.defended, 'probe')} defended, {made.succeeded} succeeded"
        )
        if made.not_probed:
            words += f", {made.not_probed} not probed (coverage {self.coverage:.3f})"
        if self.canonical_missing:
            words += f". Not run of the canonical sweep: {', '.join(self.canonical_missing)}"
        return f"{words}; seed {self.seed}."


def check_seed(seed: object) -> int:
    """Check a seed.

    Raises:
        UsageTypeError: no int.
        UsageError: below 0 or above ``bounds.MAX_SEED``.
    """
    if isinstance(seed, bool) or not isinstance(seed, int):
        raise UsageTypeError(f"the seed is {shown(seed)}; give a whole number")
    if not 0 <= seed <= bounds.MAX_SEED:
        raise UsageError(f"the seed is {seed}; it is from 0 to {bounds.MAX_SEED}")
    return seed


def check_version(version: object, target: str) -> str:
    """Check the version of what was attacked.

    Raises:
        UsageTypeError: no text.
        UsageError: an empty or too long one, or the target is a built-in script.
    """
    if target.startswith(PREFIX):
        raise UsageError(f"{target} is a built-in script and no version of a system; leave it out")
    return text(version, "the version")


def told_score(made: Score) -> dict[str, Any]:
    """A score as JSON: each share as a double, and exactly as ``"p/q"``; ``null`` for none."""
    told: dict[str, Any] = {}
    for name, value in (
        ("resilience", made.resilience),
        ("risk_score", made.risk),
        ("coverage", made.coverage),
    ):
        told[name] = _double(value)
        told[f"{name}_exact"] = None if value is None else as_text(value)
    weights = ("weight_defended", "weight_probed", "weight_planned")
    return {
        **told,
        **{name: as_text(getattr(made, name)) for name in weights},
        **{name: getattr(made, name) for name in ("defended", "succeeded", "not_probed")},
    }


def _told(groups: Mapping[str, Score]) -> dict[str, Any]:
    return {name: told_score(made) for name, made in groups.items()}


def _double(value: Fraction | None) -> float | None:
    return None if value is None else float(value)
