"""``quorate comply dossier`` and ``verify``: a folder to hand over, and whether it checks out."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from quorate.cli.comply.options import (
    REFUSED,
    SYSTEM,
    UNVERIFIED,
    AsOf,
    EvidenceFile,
    ProfileName,
    Seal,
    Signer,
    Silence,
    SystemFile,
    Target,
    day_of,
    note_of,
    opened,
    reading_from,
    trust_of,
)
from quorate.cli.halt import is_panel
from quorate.cli.shown import AsJson, note, print_json, progress, say
from quorate.cli.where import Keys, PolicyFile, trusted
from quorate.core.errors import UsageError, VerificationError
from quorate.core.text import counted, printable

if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import AbstractContextManager

    from quorate.cli.comply.gathering import Gathered
    from quorate.compliance import Evidence, EvidenceSet
    from quorate.ledger import Bundle, Ledger, Receipt


def dossier(
    output: Annotated[
        Path, typer.Option("--output", "-o", help="Folder to write: empty, or not there yet.")
    ],
    target: Target = None,
    *,
    system: SystemFile = SYSTEM,
    policy: PolicyFile = None,
    key: Keys = None,
    evidence: EvidenceFile = None,
    profile: ProfileName = "core",
    as_of: AsOf = None,
    silence: Silence = None,
    document: Annotated[
        list[Path] | None,
        typer.Option(
            "--document",
            help="A document that evidence names by its digest, to lie in it too. May be repeated.",
            show_default=False,
        ),
    ] = None,
    checkpoint: Annotated[
        Path | None,
        typer.Option(
            help="Signed checkpoint to prove the entries against; else one is signed now.",
            show_default=False,
        ),
    ] = None,
    seal: Seal = False,
    signer: Signer = None,
    as_json: AsJson = False,
) -> None:
    """Write the technical documentation with the content of Annex IV, in a folder that verifies.

    It holds what is sealed and what --evidence brings; what the ledger shows now is in it once
    it is sealed (--seal), and what it shows as failed in any case. With the ledger's key, the
    whole is sealed. A ledger that does not verify makes no dossier.
    """
    from quorate.cli.comply.declared import read_system
    from quorate.cli.comply.gathering import covered, gather
    from quorate.compliance import evaluate
    from quorate.compliance.dossier import write_dossier
    from quorate.compliance.dossier.writing import free_folder
    from quorate.compliance.rendering.html import environment

    # Before anything is sealed for it.
    free_folder(output)
    environment()
    trust, day, declared = trust_of(key, policy), day_of(as_of), read_system(system)
    text = note_of(checkpoint)
    if text is not None and seal:
        raise UsageError("--checkpoint pins what was; --seal adds to it: give one of the two")
    with _opened(target, signer, writing=text is None) as log:
        found = gather(
            log,
            policy=trust,
            system=declared,
            day=day,
            file=evidence,
            silence=silence,
            checkpoint=text,
            seal=seal,
        )
        if found.broken is not None:
            raise VerificationError(f"no dossier is written: {found.broken}", rule="ledger")
        given = _kept(found.evidence)
        there = {(item.field, item.source) for item in given.items}
        now = (item for item in found.evidence.items if item.receipt is None)
        left_out = sum((item.field, item.source) not in there for item in now)
        bundles = _bundles(given, found.declared, log, text)
        with progress("writing the dossier") as shown:
            shown(0, None)
            made = evaluate(
                given,
                profile,
                day,
                system=declared,
                policy=trust,
                receipts=[each.receipt for each in bundles],
            )
            whole = None if text is not None and signer is None else log
            write_dossier(
                output,
                made,
                given,
                bundles,
                trust,
                profile=profile,
                documents=document or (),
                ledger=whole,
                coverage=found.coverage if bundles else None,
            )
    failed = [item.field for item in given.items if _unsealed(item)]
    for each in _remarks(found, left_out, failed, sealed=whole is not None):
        note(printable(each))
    if as_json:
        print_json({
            "folder": str(output),
            "items": len(given.items),
            "bundles": len(bundles),
            "left_out": left_out,
            "failed_unsealed": failed,
            "declared": None if found.declared is None else found.declared.seq,
            "sealed": whole is not None,
            "notices": list(found.notices),
            **covered(found.coverage),
            "report": made.to_dict(),
        })  # fmt: skip
        return
    for sentence in made.sentences():
        say(sentence)
    say(
        f"wrote {output}: {counted(len(given.items), 'item')} of evidence, "
        f"{counted(len(bundles), 'bundle')}{', sealed as a whole' if whole is not None else ''}"
    )
    say(f"  to read:   {output / 'annex-iv.html'} and {output / 'report.html'}")
    say(f"  to check:  quorate comply verify {output} --policy POLICY")


def verify(
    folder: Annotated[Path, typer.Argument(help="Folder of the dossier.")],
    policy: PolicyFile = None,
    key: Keys = None,
    strict: Annotated[
        bool, typer.Option("--strict", help="Exit 3 where nothing seals the whole.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Verify a dossier, offline: every file and bundle, and the report and pages made again.

    Name your own policy, got from whom you trust; with the dossier's own it is shown only that
    it hangs together. Exits 4, and says all that is wrong, if it does not check out; with
    --strict 3 if it does and nothing seals the whole, so that evidence may have been left out.
    """
    from quorate.compliance.dossier import verify_dossier
    from quorate.compliance.sealing import unbound

    trust = trusted(key, policy)
    with progress("verifying the dossier") as shown:
        shown(0, None)
        found = verify_dossier(folder, trust)
    if as_json:
        print_json(found.to_dict())
    else:
        say(found.describe())
    if (told := unbound(trust)) is not None:
        note(told)
    if not found.verified:
        raise typer.Exit(UNVERIFIED)
    if strict and found.sealed is None:
        raise typer.Exit(REFUSED)


def _remarks(found: Gathered, left_out: int, failed: list[str], *, sealed: bool) -> Iterator[str]:
    """What a careful reader of a dossier should know."""
    yield from found.notices
    if found.coverage is not None and not found.coverage.complete:
        yield found.coverage.describe()
    if left_out:
        number = counted(left_out, "item")
        yield f"{number} collected now and not sealed, so not in it; add --seal"
    if failed:
        yield f"failed now and not sealed, yet in it: {', '.join(failed)}; add --seal"
    if found.declared is None:
        yield "no entry declares the system, so anybody can have it asked for less; declare it"
    if not sealed:
        yield (
            "nothing seals the whole: without the ledger's key, whoever has the folder could "
            "leave evidence out of it; write it with --signer, or from the panel file"
        )


def _opened(
    target: str | None, signer: Path | None, *, writing: bool
) -> AbstractContextManager[Ledger]:
    if not writing and signer is None:
        return reading_from(target)
    if signer is None and target is not None and not is_panel(target):
        raise UsageError(
            f"name the private key of {target} with --signer, or the panel file, which names "
            "both, or a signed checkpoint with --checkpoint, which takes no key"
        )
    return opened(target, signer, writing=True)


def _kept(given: EvidenceSet) -> EvidenceSet:
    """Without what just now passed and is not sealed, and what is of another version.

    What just now failed stays: a dossier may be behind the ledger, and not better than it.
    """
    from dataclasses import replace

    from quorate.compliance.sealed import COLLECTED

    items = tuple(
        item
        for item in given.items
        if item.receipt is not None or not item.source.startswith(COLLECTED) or _unsealed(item)
        if item.scope.version == given.system.version or item.status == "failed"
    )
    return replace(given, items=items)


def _unsealed(item: Evidence) -> bool:
    """Whether it was collected just now, failed, and is not sealed."""
    from quorate.compliance.sealed import COLLECTED

    return item.receipt is None and item.status == "failed" and item.source.startswith(COLLECTED)


def _bundles(
    given: EvidenceSet, declared: Receipt | None, log: Ledger, checkpoint: str | None
) -> list[Bundle]:
    """The bundles of all entries that the evidence names in this ledger, and the declaration."""
    seqs = set(_named(given, log.origin))
    if declared is not None:
        seqs.add(declared.seq)
    return log.bundles(sorted(seqs), checkpoint) if seqs else []


def _named(given: EvidenceSet, origin: str) -> Iterator[int]:
    for item in given.items:
        if item.receipt is not None and item.receipt.origin != origin:
            raise UsageError(
                f"the evidence for {item.field} is sealed in {item.receipt.origin}, not in "
                f"{origin}; write a dossier for each ledger"
            )
        if item.receipt is not None:
            yield item.receipt.seq
        yield from (each.seq for each in item.entries)
