"""What verifying a dossier found."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from quorate.compliance.report import ComplianceReport
from quorate.core.text import counted, printable

OWN_POLICY = (
    "It was checked with the policy that lies in the dossier itself, so this shows that it hangs "
    "together, not who made it. Name your own policy, got from whom you trust: --policy FILE."
)

_TIED = "verified dossier: it is whole, and agrees with itself and with the ledger entries in it"
_LOOSE = "dossier of no ledger: it agrees with itself, and NOTHING TIES IT TO A LEDGER"

LIMIT = (
    "A dossier shows what its maker put into it. What was left out, only the ledger can show; only "
    "there, too, is what was collected computed again: quorate comply report LEDGER."
)

UNTIED = (
    "No entry seals any evidence in it, declares its system or seals the whole: anybody could "
    "have written it, with no key at all, on any day."
)

UNSEALED = (
    "Nothing seals the whole: whoever had this folder, with no key at all, could leave evidence "
    "out of it, add some that is not sealed, take another day, or say otherwise what the ledger "
    "does not show. Ask for one that is sealed."
)

UNDECLARED = (
    "No entry in it declares the system: role, category and conditions, which decide what is asked "
    "for, are the word of whoever made it."
)


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong.

    Attributes:
        path: of the file, relative to the dossier; ``None`` where it is about the whole.
        rule: that it breaks: ``manifest``, ``digest``, ``missing``, ``extra``, ``path``,
            ``policy``, ``bundle``, ``receipt``, ``entry``, ``evidence``, ``system``,
            ``report``, ``page``, ``document``, ``profile``, ``coverage`` or ``seal``.
        message: in words.
    """

    path: str | None
    rule: str
    message: str

    def describe(self) -> str:
        """In one line."""
        where = "" if self.path is None else f"{self.path}: "
        return printable(f"{where}{self.message} [{self.rule}]")


@dataclass(frozen=True, slots=True)
class DossierReport:
    """Whether a dossier checks out, and all that is wrong with it.

    Attributes:
        problems: all that was found, in the order in which it is checked; empty if it checks out.
        own_policy: whether it was checked with its own policy, for want of another.
        version: of the tool that says it wrote it; ``None`` where the manifest does not tell.
        files: how many files it has.
        bundles: how many of its bundles verify.
        items: items of evidence in it; ``bound`` of them are sealed in an entry that is bundled.
        sealed: number of the entry that seals all of it, and ``sealed_at`` when that was;
            ``None`` where nothing seals the whole.
        declared: number of the entry that declares its system; ``None`` where none does.
        origin: of the log, and ``size`` of it that the checkpoint pins; ``None`` without one.
        report: that it holds, computed again and the same; ``None`` unless all checks out.
    """

    problems: tuple[Problem, ...]
    own_policy: bool
    version: str | None
    files: int
    bundles: int
    items: int
    bound: int
    sealed: int | None
    sealed_at: str | None
    declared: int | None
    origin: str | None
    size: int | None
    report: ComplianceReport | None

    @property
    def verified(self) -> bool:
        """Whether nothing at all is wrong."""
        return not self.problems

    @property
    def tied(self) -> bool:
        """Whether any ledger entry stands behind anything that it says."""
        return bool(self.bound) or self.sealed is not None or self.declared is not None

    def describe(self) -> str:
        """For people, in a few lines: what nothing vouches for stands first."""
        if not self.verified:
            lines = [f"the dossier does NOT verify: {counted(len(self.problems), 'problem')}"]
            lines += [f"  {each.describe()}" for each in self.problems]
            return "\n".join(lines)
        lines = [_TIED if self.tied else _LOOSE, *self._limits()]
        log = "" if self.origin is None else (
            f", each proven against a checkpoint of {counted(self.size or 0, 'entry', 'entries')} "
            f"of {printable(self.origin)}"
        )  # fmt: skip
        lines.append(
            f"{counted(self.files, 'file')}, {counted(self.items, 'item')} of evidence, "
            f"{counted(self.bundles, 'bundle')}{log}; the report and the pages were computed "
            "again and come out the same."
        )
        if self.sealed is not None:
            lines.append(f"Entry {self.sealed} of {self.sealed_at} seals all of it.")
        if self.report is not None:
            lines += self.report.sentences()
        return "\n  ".join(lines)

    def _limits(self) -> Iterator[str]:
        """What it does not show, the worst first."""
        if not self.tied:
            yield UNTIED
        elif self.sealed is None:
            yield UNSEALED
        if self.tied and self.bound < self.items:
            loose = self.items - self.bound
            yield (
                f"{loose} of the {counted(self.items, 'item')} of evidence "
                f"{'is' if loose == 1 else 'are'} sealed in no entry: the word of whoever made it."
            )
        if self.tied and self.declared is None:
            yield UNDECLARED
        yield OWN_POLICY if self.own_policy else LIMIT

    def to_dict(self) -> dict[str, Any]:
        """As JSON."""
        return {
            "verified": self.verified,
            "problems": [
                {"path": each.path, "rule": each.rule, "message": each.message}
                for each in self.problems
            ],
            "own_policy": self.own_policy,
            "version": self.version,
            "files": self.files,
            "bundles": self.bundles,
            "items": self.items,
            "bound": self.bound,
            "tied": self.tied,
            "sealed": self.sealed,
            "sealed_at": self.sealed_at,
            "declared": self.declared,
            "origin": self.origin,
            "size": self.size,
            "report": None if self.report is None else self.report.to_dict(),
        }
