"""The verdict on a card: is it valid, who signed it, what does its evidence show."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from quorate.arbitration.forms import items, members, shown
from quorate.cards.coverage import EXPERTS, ExpertCoverage
from quorate.cards.problems import ERROR, WARNING, Problem
from quorate.cards.signatures import SignatureReport
from quorate.compliance import ComplianceReport
from quorate.compliance.rendering.words import STATES
from quorate.compliance.rules import MISSING
from quorate.core.errors import UsageError
from quorate.core.text import counted, printable

FORMAT: Final = "quorate/card-verdict/1"

_MEMBERS: Final = (
    "format", "digest", "name", "version", "protocol", "because", "as_of", "valid", "problems",
    "left_out", "signatures", "coverage", "ai_act", "passed",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class CardInputs:
    """All that a verdict was computed from, as JSON; see :mod:`quorate.cards.sealed`."""

    content: dict[str, Any] | None
    trust: dict[str, Any] | None
    policy: dict[str, Any] | None
    evidence: Any
    system: dict[str, Any] | None
    profile: str


@dataclass(frozen=True, slots=True)
class CardVerdict:
    """What is to be said of a card on one day.

    Attributes:
        digest: SHA-256 of its canonical bytes, 64 hex digits; ``None`` where it has none.
        name: the agent's, if the card says it.
        version: the agent's, likewise.
        protocol: the version of A2A that the card has the form of, if that is known.
        because: what that was told by.
        as_of: the day, ``YYYY-MM-DD`` in UTC.
        problems: of the card, in its order.
        left_out: how many more there are.
        signatures: who signed it.
        coverage: of each of the 14 safety experts, in order.
        ai_act: what its evidence shows of the obligations.
        inputs: what all this was computed from; ``None`` of a verdict read from JSON.
    """

    digest: str | None
    name: str | None
    version: str | None
    protocol: str | None
    because: str
    as_of: str
    problems: tuple[Problem, ...]
    left_out: int
    signatures: SignatureReport
    coverage: tuple[ExpertCoverage, ...]
    ai_act: ComplianceReport
    inputs: CardInputs | None = field(default=None, compare=False, repr=False)

    @property
    def errors(self) -> tuple[Problem, ...]:
        """Problems for which the card is not valid."""
        return tuple(problem for problem in self.problems if problem.level == ERROR)

    @property
    def warnings(self) -> tuple[Problem, ...]:
        """Problems that leave it valid."""
        return tuple(problem for problem in self.problems if problem.level == WARNING)

    @property
    def valid(self) -> bool:
        """Whether the card has the form of its version, and makes sense."""
        return not self.errors and not self.left_out

    @property
    def covered(self) -> int:
        """How many of the 14 experts its evidence covers."""
        return sum(each.covered for each in self.coverage)

    @property
    def shown(self) -> bool:
        """Whether evidence shows every check of the AI Act that applies, and one does."""
        weight = self.ai_act.weight_total
        return bool(weight) and self.ai_act.weight_shown == weight

    @property
    def passed(self) -> bool:
        """Whether it is valid, signed by whom is trusted, and all is shown by evidence."""
        whole = self.covered == len(EXPERTS)
        return self.valid and self.signatures.verified and whole and self.shown

    def describe(self) -> str:
        """The verdict in a few lines for people."""
        named = f"{self.name or 'a card without a name'} {self.version or ''}".strip()
        protocol = f"A2A {self.protocol}" if self.protocol else "unknown version of A2A"
        form = "valid" if self.valid else f"not valid: {counted(len(self.errors), 'error')}"
        lines = [
            f"{printable(named)}: {'passed' if self.passed else 'not passed'} on {self.as_of}",
            f"form: {form} ({protocol}: {printable(self.because)})",
            *(f"  error {problem.describe()}" for problem in self.errors),
            *(f"  warning {problem.describe()}" for problem in self.warnings),
        ]
        if self.left_out:
            lines.append(f"  and {counted(self.left_out, 'more problem')}")
        if self.protocol is None and not self.valid:
            # Nothing of it could be read as a card, so there is nothing to tell of the rest.
            return "\n".join(lines)
        lines.append(self.signatures.describe())
        lines += self._experts()
        first, *others = self.ai_act.sentences()
        lines += [f"AI Act: {first}", *(f"  {each}" for each in others)]
        return "\n".join(lines)

    def _experts(self) -> list[str]:
        """A line for each expert that there is evidence of, and one for all others."""
        lines = [f"experts: {self.covered} of {len(EXPERTS)} covered"]
        for each in self.coverage:
            if each.state == MISSING:
                continue
            why = f": {'; '.join(each.reasons)}" if each.reasons else ""
            mark = "covered" if each.covered else f"{STATES[each.state].word}{why}"
            lines.append(
                f"  {each.expert.number}. {each.expert.name} ({each.expert.field}): {mark}"
            )
        fields = [each.expert.field for each in self.coverage if each.state == MISSING]
        if fields:
            lines.append(f"  no evidence for: {', '.join(fields)}")
        return lines

    def to_dict(self) -> dict[str, Any]:
        """The verdict as JSON; :meth:`from_dict` reads it back."""
        return {
            "format": FORMAT,
            "digest": self.digest,
            "name": self.name,
            "version": self.version,
            "protocol": self.protocol,
            "because": self.because,
            "as_of": self.as_of,
            "valid": self.valid,
            "problems": [problem.to_dict() for problem in self.problems],
            "left_out": self.left_out,
            "signatures": self.signatures.to_dict(),
            "coverage": [each.to_dict() for each in self.coverage],
            "ai_act": self.ai_act.to_dict(),
            "passed": self.passed,
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> CardVerdict:
        """Read back what :meth:`to_dict` wrote; what follows from the rest is not believed.

        Raises:
            UsageError: it is no verdict, or ``valid`` or ``passed`` does not follow.
        """
        form = members(data, "the verdict", _MEMBERS)
        if form["format"] != FORMAT:
            raise UsageError(f"format is {shown(form['format'])}; {FORMAT!r} is known")
        for name in ("because", "as_of"):
            if not isinstance(form[name], str):
                raise UsageError(f"{name} is {shown(form[name])}; it is a text")
        for name in ("digest", "name", "version", "protocol"):
            if form[name] is not None and not isinstance(form[name], str):
                raise UsageError(f"{name} is {shown(form[name])}; it is a text or null")
        if type(form["left_out"]) is not int or form["left_out"] < 0:
            raise UsageError(f"left_out is {shown(form['left_out'])}; it is a number from 0")
        given = {name: form[name] for name in (*_MEMBERS[1:7], "left_out")}
        verdict = cls(
            **given,
            problems=items(form["problems"], "the problems", Problem.from_dict),
            signatures=SignatureReport.from_dict(form["signatures"]),
            coverage=items(form["coverage"], "the coverage", ExpertCoverage.from_dict),
            ai_act=ComplianceReport.from_dict(form["ai_act"]),
        )
        if [each.expert for each in verdict.coverage] != list(EXPERTS):
            raise UsageError("the coverage is not of the 14 experts, each once and in order")
        for name in ("valid", "passed"):
            if form[name] is not getattr(verdict, name):
                raise UsageError(f"{name} is {shown(form[name])}, which does not follow from it")
        return verdict
