"""What verifying a dossier found."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from quorate.compliance.report import ComplianceReport
from quorate.core.text import counted, printable

OWN_POLICY = (
    "It was checked with the policy that lies in the dossier itself, so this shows that it hangs "
    "together, not who made it. Name your own policy, got from whom you trust: --policy FILE."
)

LIMIT = "A dossier shows what its maker put into it. What was left out, only the ledger can show."

UNSEALED = (
    "Nothing seals the whole: whoever had this folder, with no key at all, could leave evidence "
    "out of it, add some that is not sealed, or take another day. Ask for one that is sealed."
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
            ``report``, ``page``, ``document``, ``profile`` or ``seal``.
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
        items: items of evidence in it.
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

    def describe(self) -> str:
        """For people, in a few lines."""
        if not self.verified:
            lines = [f"the dossier does NOT verify: {counted(len(self.problems), 'problem')}"]
            lines += [f"  {each.describe()}" for each in self.problems]
            return "\n".join(lines)
        log = "" if self.origin is None else (
            f", each proven against a checkpoint of {counted(self.size or 0, 'entry', 'entries')} "
            f"of {printable(self.origin)}"
        )  # fmt: skip
        first = (
            f"verified dossier: {counted(self.files, 'file')}, "
            f"{counted(self.items, 'item')} of evidence, {counted(self.bundles, 'bundle')}{log}; "
            "the report and the pages were computed again and come out the same"
        )
        lines = [first]
        if self.report is not None:
            lines.append(self.report.describe())
        if self.sealed is None:
            lines.append(UNSEALED)
        else:
            lines.append(f"Entry {self.sealed} of {self.sealed_at} seals all of it.")
        if self.declared is None:
            lines.append(UNDECLARED)
        lines.append(OWN_POLICY if self.own_policy else LIMIT)
        return "\n".join(lines)

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
            "sealed": self.sealed,
            "sealed_at": self.sealed_at,
            "declared": self.declared,
            "origin": self.origin,
            "size": self.size,
            "report": None if self.report is None else self.report.to_dict(),
        }
