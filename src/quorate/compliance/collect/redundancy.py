"""Article 15(4), second sentence: redundancy, its fault bound, and what that assumes.

Counted are the panels that decided in the period, as they were sealed before they did. How
many experts may lie or fail is the greatest number f, at most (n - 1) // 3, whose heaviest f
leave a quorum to the others, and are fewer than what any two quorums share: with W the weight
of all, w_f that of the f heaviest and q the share that commits, ``w_f <= (1 - q) W`` and
``w_f < (2 q - 1) W``; from both follows ``3 w_f < W``. That is a bound for experts which fail
one by one. What is declared of failing together is counted beside it, by
:mod:`quorate.core.independence`; and what is not declared is said.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from quorate.compliance.collect.deciding import nobodys
from quorate.compliance.collect.reading import Passed, Record
from quorate.compliance.collect.registry import Found, Lack, collector
from quorate.core.canonical import digest
from quorate.core.exact import as_text, from_text
from quorate.core.independence import Independence, bound, report
from quorate.core.text import counted


@dataclass(frozen=True, slots=True)
class _Counted:
    """A panel, and what it bears."""

    at: Passed
    digest: str
    roster: Mapping[str, Fraction]
    quorum: Fraction
    faults: int
    independence: Mapping[str, Any]
    refusal: str

    @property
    def effective(self) -> int:
        """Faults borne with what is declared of failing together."""
        together: int = self.independence["faults"]
        return min(self.faults, together)


@collector("art_15.par_4.s2", title="Redundancy: how many experts may fail, and what that assumes")
def redundancy(record: Record) -> Found | Lack:
    """The weakest of the panels that decided."""
    named = {one.panel for one in record.verdicts if one.panel is not None}
    panels = [_counted(at, body) for at, body in record.kept.get("panel", ())]
    used = [panel for panel in panels if panel.digest in named]
    if not used:
        return Lack("no verdict of the period names a panel that was sealed before it")
    sealed = {panel.digest for panel in used}
    unbound = [one.entry.seq for one in record.verdicts if one.panel not in sealed]
    if unbound:
        return Lack(
            f"{counted(len(unbound), 'verdict')} of {len(record.verdicts)} name no panel that was "
            f"sealed before, the first in entry {unbound[0]}: how many gave them is not known, "
            "and it may have been one; have all decided under a sealed panel"
        )
    weakest = min(used, key=lambda panel: (panel.effective, panel.faults, panel.at.seq))
    n = len(weakest.roster)
    if weakest.faults == 0:
        return Lack(
            f"the panel of entry {weakest.at.seq} ({counted(n, 'expert')}, quorum "
            f"{as_text(weakest.quorum)} of the weight) bears no faulty expert at all, so there is "
            "no redundancy to show; four experts of equal weight bear one"
        )
    data = {
        "n": n,
        "faults": weakest.faults,
        "quorum": None,
        "share": as_text(weakest.quorum),
        "domains": _domains(weakest.independence),
        "effective_faults": weakest.effective,
        "limit": _limit(weakest, len(used), nobodys(record)),
        "no_quorum": weakest.refusal,
    }
    last = record.verdicts[-1].entry
    entries = {*(panel.at.reference for panel in used), last.reference}
    return Found(data, sorted(entries, key=lambda one: one.seq), moment=last.time)


def _counted(at: Passed, body: Mapping[str, Any]) -> _Counted:
    roster = {name: from_text(weight, name) for name, weight in body["roster"].items()}
    quorum = from_text(body["parameters"]["quorum"], "quorum")
    domains = {
        name: told["failure_domain"]
        for name, told in body["experts"].items()
        if name in roster and isinstance(told, Mapping) and told.get("failure_domain")
    }
    found = report(roster, Independence(domains) if domains else None)
    return _Counted(
        at, digest(dict(body)), roster, quorum, faults_borne(list(roster.values()), quorum), found,
        _refusal(body),
    )  # fmt: skip


def faults_borne(weights: Sequence[Fraction], quorum: Fraction) -> int:
    """How many of the heaviest may lie or fail; see the module.

    Args:
        weights: of the roster, 0 or more.
        quorum: share of the weight that commits, above 0 and at most 1.
    """
    whole = sum(weights, Fraction(0))
    if whole == 0:
        return 0
    most, _ = bound(len(weights), ())
    lost = Fraction(0)
    for faults, weight in enumerate(sorted(weights, reverse=True)[:most]):
        share = (lost + weight) / whole
        if not (share <= 1 - quorum and share < 2 * quorum - 1):
            return faults
        lost += weight
    return most


def _domains(found: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [
        {
            "attribute": name,
            "groups": len(told["groups"]),
            "largest": max(told["groups"].values()) + told["undeclared"],
            "faults": told["faults"],
        }
        for name, told in found["attributes"].items()
    ]


def _limit(panel: _Counted, panels: int, left_out: str) -> str:
    """What the bound does not cover, in words."""
    n, told = len(panel.roster), panel.independence
    faulty = counted(panel.faults, "faulty expert")
    said = [f"The panel of entry {panel.at.seq} bears {faulty} of {n} if they fail one by one"]
    if not told["declared"]:
        said.append(
            "which of them share a host, weights, a model family or a vendor is not declared: "
            f"{counted(n, 'expert')} on one host, say, are lost together with it, and those of one "
            "family may be wrong together"
        )
    else:
        worst = told["attributes"][told["worst"]]
        groups = ", ".join(f"{value}: {size}" for value, size in worst["groups"].items())
        bears = counted(panel.effective, "fault") if panel.effective else "none"
        said.append(f"counted by {told['worst']} ({groups}) it bears {bears}")
    said.append("a quorum shows that experts agree, not that they are right")
    if panels > 1:
        said.append(f"of {panels} panels that decided this is the weakest")
    if left_out:
        said.append(left_out)
    return "; ".join(said) + "."


def _refusal(body: Mapping[str, Any]) -> str:
    way = body.get("on_under_quorum", "raise")
    told = {
        "raise": "nothing is committed, and the refusal is sealed",
        "widen": "the reserve is asked as well, and without a quorum then nothing is committed",
        "escalate": "others are consulted, and without a quorum then nothing is committed",
        "fallback": "one named expert decides, and the decision is marked as not by a quorum",
    }[way]
    if body.get("mode") == "shadow":
        return f"{told}; the panel only shows what it would decide (shadow)"
    return told
