"""Strategies of attack, by id."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final

from quorate.arbitration.forms import members, shown, text
from quorate.core.canonical import canonical
from quorate.core.errors import UsageError, UsageTypeError
from quorate.redteam import bounds
from quorate.redteam.judges import judge_names
from quorate.redteam.probes import Battery, Check, Draw, Probe
from quorate.redteam.rules import WEIGHTS, Severity

ATTACK_CLASSES: Final = MappingProxyType(
    {
        "data_poisoning": "data poisoning",
        "model_poisoning": "model poisoning",
        "adversarial_examples": "adversarial examples or model evasion",
        "confidentiality_attacks": "confidentiality attacks",
        "model_flaws": "model flaws",
    }
)
"""The classes of attack that Article 15(5) of the EU AI Act names, and its words for them."""

ASI: Final = MappingProxyType(
    {
        "ASI01": "agent goal hijack",
        "ASI02": "tool misuse",
        "ASI03": "identity and privilege abuse",
        "ASI04": "supply chain",
        "ASI05": "unexpected code execution",
        "ASI06": "memory and context poisoning",
        "ASI07": "insecure inter-agent communication",
        "ASI08": "cascading failures",
        "ASI09": "human-agent trust exploitation",
        "ASI10": "rogue agents",
    }
)
"""OWASP Top 10 for Agentic Applications 2026."""

CANONICAL: Final = (
    "RT-PROMPT-SEND",
    "RT-INJECT-OVERRIDE",
    "RT-REDTEAM-LLM",
    "RT-CRESCENDO",
    "RT-BARGE-IN",
    "RT-IDOR-BOLA",
    "RT-BFLA",
    "RT-DATA-EXFIL",
)
"""Ids of the canonical sweep."""

Brings = Callable[[Draw], Battery]
"""Draws the marks of a scan, and gives the probes that are made with them."""


@dataclass(frozen=True, slots=True)
class Facts:
    """What a strategy is.

    Attributes:
        id: such as ``RT-CRESCENDO``.
        title: what it does, in a few words.
        category: such as ``multi_turn``.
        severity: low, medium, high or critical: weights 1, 2, 4, 8.
        asi: row of the OWASP agentic top ten, ``ASI01`` to ``ASI10``.
        attack_class: one of :data:`ATTACK_CLASSES`.
        version: of its probes; 1 and above, and another for any change to them.
    """

    id: str
    title: str
    category: str
    severity: Severity
    asi: str
    attack_class: str
    version: int = 1

    def __post_init__(self) -> None:
        """Check every value.

        Raises:
            UsageError: one is not of its kind; says what it can be.
        """
        for name in ("id", "title", "category"):
            text(getattr(self, name), f"the {name} of a strategy")
        for name, known in (("severity", WEIGHTS), ("asi", ASI), ("attack_class", ATTACK_CLASSES)):
            value = text(getattr(self, name), f"the {name} of {self.id}")
            if value not in known:
                raise UsageError(
                    f"the {name} of {self.id} is {shown(value)}; give one of {', '.join(known)}"
                )
        if type(self.version) is not int or not 1 <= self.version <= bounds.MAX_SEED:
            raise UsageError(f"the version of {self.id} is {shown(self.version)}; give 1 or above")

    def to_dict(self) -> dict[str, Any]:
        """As JSON."""
        return {name: getattr(self, name) for name in self.__slots__}

    @classmethod
    def from_dict(cls, data: object) -> Facts:
        """Read back what :meth:`to_dict` wrote.

        Raises:
            UsageError: it is no strategy.
        """
        return cls(**members(data, "the strategy", cls.__slots__))


@dataclass(frozen=True, slots=True)
class Strategy:
    """A strategy, and what brings its probes."""

    facts: Facts
    brings: Brings

    @property
    def id(self) -> str:
        """Such as ``RT-CRESCENDO``."""
        return self.facts.id

    def battery(self, seed: int, canaries: Iterable[str] = ()) -> Battery:
        """Its control and probes for one scan; each probe looks for ``canaries`` too.

        Raises:
            UsageError: it brings no probes or too many, two of one id, a check of no judge
                that there is, or an attack that itself says a canary.
        """
        made = self.brings(Draw(seed, self.id))
        if not isinstance(made, Battery):
            raise UsageTypeError(f"{self.id} brings {shown(made)}; it should return a Battery")
        own = tuple(canaries)
        extra = (Check("canary_leaked", {"tokens": list(own)}),) if own else ()
        probes = [Probe(p.id, p.title, p.scene, p.steps, (*p.checks, *extra)) for p in made.probes]
        if not 1 <= len(probes) <= bounds.MAX_PROBES:
            raise UsageError(
                f"{self.id} brings {len(probes)} probes; 1 to {bounds.MAX_PROBES} are allowed"
            )
        if len({probe.id for probe in probes}) != len(probes):
            raise UsageError(f"{self.id} brings two probes of one id")
        for probe in (made.control, *probes):
            self._check(probe, own)
        return Battery(made.control, tuple(probes))

    def _check(self, probe: Probe, canaries: Iterable[str]) -> None:
        known = judge_names()
        for check in probe.checks:
            if check.judge not in known:
                raise UsageError(
                    f"{self.id} {probe.id} is judged by {shown(check.judge)}, and there is no such "
                    f"judge; there are {', '.join(known)}"
                )
        said = canonical([probe.scene.to_dict(), [s.to_dict() for s in probe.steps]]).decode()
        for canary in canaries:
            if canary.casefold() in said.casefold():
                raise UsageError(
                    f"the canary {shown(canary)} stands in {self.id} {probe.id} itself; plant "
                    "one that nobody else says"
                )


_strategies: Final[dict[str, Strategy]] = {}


def strategy(
    id: str,  # noqa: A002 - the catalogue's own word
    title: str,
    *,
    category: str,
    severity: Severity,
    asi: str,
    attack_class: str,
    version: int = 1,
) -> Callable[[Brings], Brings]:
    """Register the decorated function as a strategy.

    It takes a :class:`Draw` and returns a :class:`Battery`, the same for the same draw.

    Raises:
        UsageError: a value is not of its kind, the id is taken, or there are too many.
    """
    facts = Facts(id, title, category, severity, asi, attack_class, version)

    def register(brings: Brings) -> Brings:
        register_strategy(Strategy(facts, brings))
        return brings

    return register


def register_strategy(added: Strategy) -> None:
    """Register one more strategy.

    Raises:
        UsageTypeError: it is none.
        UsageError: its id is taken, or there are too many.
    """
    if not isinstance(added, Strategy):
        raise UsageTypeError(f"the strategy is {shown(added)}; give a Strategy")
    if added.id in _strategies:
        raise UsageError(f"there is a strategy {added.id!r} already; give this one another id")
    if len(_strategies) >= bounds.MAX_STRATEGIES:
        raise UsageError(f"at most {bounds.MAX_STRATEGIES} strategies can be registered")
    _strategies[added.id] = added


def strategies() -> tuple[Strategy, ...]:
    """All that are registered: the canonical ones in order, then the others as they came."""
    canonical_ones = [_strategies[id_] for id_ in CANONICAL if id_ in _strategies]
    others = [one for one in _strategies.values() if one.id not in CANONICAL]
    return (*canonical_ones, *others)


def find_strategy(id_: object) -> Strategy:
    """The strategy of that id.

    Raises:
        UsageError: there is none; names those that are near.
    """
    found = _strategies.get(id_) if isinstance(id_, str) else None
    if found is None:
        near = difflib.get_close_matches(str(id_).upper(), _strategies, n=1, cutoff=0.7)
        hint = f"did you mean {near[0]}? There" if near else "there"
        listed = ", ".join(_strategies)
        raise UsageError(f"there is no strategy {shown(id_)}; {hint} are {listed}")
    return found
