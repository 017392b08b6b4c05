"""``quorate comply collect`` and ``seal``: evidence out of a ledger, and into it."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from quorate.cli.comply import saving
from quorate.cli.comply.options import (
    SYSTEM,
    UNVERIFIED,
    Checkpoint,
    ProfileName,
    Seal,
    Signer,
    Silence,
    SystemFile,
    Target,
    note_of,
    opened,
    trust_of,
)
from quorate.cli.comply.saving import Force, refuse_there
from quorate.cli.shown import AsJson, note, print_json, say
from quorate.cli.where import Keys, PolicyFile
from quorate.core.errors import UsageError
from quorate.core.text import counted, printable

if TYPE_CHECKING:
    from quorate.compliance import Evidence, EvidenceSet, Profile
    from quorate.compliance.coverage import Coverage
    from quorate.ledger import Ledger

Out = Annotated[
    Path | None,
    typer.Option("--output", "-o", help="File for the evidence.", show_default=False),
]


def collect(
    target: Target = None,
    *,
    system: SystemFile = SYSTEM,
    policy: PolicyFile = None,
    key: Keys = None,
    silence: Silence = None,
    checkpoint: Checkpoint = None,
    seal: Seal = False,
    signer: Signer = None,
    output: Out = None,
    force: Force = False,
    as_json: AsJson = False,
) -> None:
    """Verify a ledger and collect what it shows, with the entries that each item was made from.

    Exits 4 if the ledger does not verify: every item then says that it failed, and why.
    """
    from quorate.cli.comply.declared import read_system
    from quorate.cli.comply.gathering import covered, standing_for, surveyed, unsealed
    from quorate.cli.comply.standing import sealed_before
    from quorate.compliance import EvidenceSet
    from quorate.compliance.collect import seal_evidence
    from quorate.compliance.coverage import Coverage

    trust, declared, pinned = trust_of(key, policy), read_system(system), note_of(checkpoint)
    refuse_there(output, saving.EVIDENCE, force=force)
    with opened(target, signer, writing=seal) as log:
        found = surveyed(log, policy=trust, system=declared, silence=silence, checkpoint=pinned)
        items = list(found.items)
        if found.broken is None:
            before = sealed_before(log, declared, survey=found)
            new = unsealed(items, before, time.time_ns() // 1000)
            if seal and new:
                seal_evidence(log, new, collected=found)
                before = sealed_before(log, declared, survey=found)
                new = []
            items = standing_for(items, new, before)
        made = _with_receipts(EvidenceSet(declared, tuple(items)), log)
        known = None if found.broken is not None else Coverage(
            log.origin, found.size, found.pinned, found.wanted
        )  # fmt: skip
    if output is not None:
        saving.save(output, text_of(made), saving.EVIDENCE, force=force)
    if as_json:
        print_json({"evidence": made.to_dict(), "broken": found.broken, **covered(known)})
    else:
        _say_items(items)
        _say_covered(known)
        if found.broken is not None:
            note(found.broken)
        elif lacking_seal := [item for item in items if item.receipt is None]:
            note(f"{counted(len(lacking_seal), 'item')} not sealed; add --seal")
        if output is not None:
            say(f"saved {output}")
    if found.broken is not None:
        raise typer.Exit(UNVERIFIED)


def seal(
    evidence: Annotated[Path, typer.Argument(help="Evidence: a set, or a mapping of fields.")],
    target: Target = None,
    system: Annotated[
        Path | None,
        typer.Option(
            "--system",
            help="File that declares the system; else the one that the evidence names, else "
            "./system.toml.",
            show_default=False,
        ),
    ] = None,
    profile: ProfileName = "core",
    signer: Signer = None,
    output: Out = None,
    force: Force = False,
    as_json: AsJson = False,
) -> None:
    """Seal evidence in a ledger, all of it or none, and write it again with its receipts.

    Items that name a receipt already are left as they are, and so is what lies sealed already,
    the same, as the last of its field and source: that is told. What could show nothing is told,
    and nothing is sealed: a field that nothing asks for, data of another form, another system, a
    time to come. Nor is what has a collector's source, for only 'collect --seal' seals that.
    """
    from quorate.cli.comply.declared import system_of
    from quorate.cli.comply.standing import standing_already
    from quorate.compliance import EvidenceSet, load_profile
    from quorate.compliance.collect import seal_evidence

    option = "--output (-o)" if output is None else ""
    output = evidence.with_name(f"{evidence.stem}.sealed.json") if output is None else output
    if output.absolute() == evidence.absolute():
        raise UsageError(f"{output} is the evidence itself; name another file with --output")
    refuse_there(output, saving.EVIDENCE, force=force, option=option)
    asked, given = load_profile(profile), EvidenceSet.read(evidence)
    given = _filled_in(replace(given, system=system_of(given, system, SYSTEM)), asked)
    new = [item for item in given.items if item.receipt is None]
    if not new:
        raise UsageError(
            f"there is nothing to seal in {evidence}: no item is filled in that does not name its "
            "receipt already"
        )
    with opened(target, signer, writing=True) as log:
        given = replace(given, items=tuple(standing_already(log, given.items)))
        before = [item for item in new if item not in given.items]
        left = [item for item in given.items if item.receipt is None]
        sealed = iter(seal_evidence(log, left) if left else ())
        items = tuple(next(sealed) if item.receipt is None else item for item in given.items)
        made = _with_receipts(replace(given, items=items), log)
        origin = log.origin
    saving.save(output, text_of(made), saving.EVIDENCE, force=force)
    if as_json:
        told = [
            {"field": item.field, "seq": item.receipt.seq, "hash": item.receipt.hash}
            for item in items
            if item.receipt is not None
        ]
        counts = {"sealed": len(left), "sealed_before": len(before)}
        print_json({"ledger": origin, **counts, "items": told, "file": str(output)})
        return
    _say_items(list(items))
    say(f"sealed {counted(len(left), 'item')} in {origin}")
    if before:
        fields = ", ".join(dict.fromkeys(item.field for item in before))
        say(printable(f"sealed already, the same, and not sealed again: {fields}"))
    say(f"saved {output}")


def text_of(made: EvidenceSet) -> str:
    """A set of evidence as a file's text."""
    return json.dumps(made.to_dict(), ensure_ascii=False, indent=1) + "\n"


def _with_receipts(made: EvidenceSet, log: Ledger) -> EvidenceSet:
    """Add the receipts of the items that this ledger seals."""
    own = {i.receipt.seq for i in made.items if i.receipt and i.receipt.origin == log.origin}
    kept = [
        each
        for each in made.receipts
        if isinstance(each, str) or each.origin != log.origin or each.seq not in own
    ]
    return replace(made, receipts=(*kept, *(log.get(seq) for seq in sorted(own))))


def _filled_in(given: EvidenceSet, profile: Profile) -> EvidenceSet:
    """Without the items that nobody filled in yet.

    Raises:
        UsageError: another that is no valid item, or that could show nothing.
    """
    from quorate.cli.comply.skeleton import UNFILLED

    wrong = [(each.field, each.reason) for each in given.invalid if UNFILLED not in each.reason]
    wrong += _objections(given, profile)
    if wrong:
        told = "\n".join(printable(f"  {field}: {reason}") for field, reason in wrong)
        raise UsageError(
            f"{counted(len(wrong), 'item')} cannot be sealed; nothing was:\n{told}\n"
            "what an item looks like: quorate comply catalogue FIELD"
        )
    if given.invalid:
        fields = ", ".join(each.field for each in given.invalid)
        note(f"not filled in yet, and left out: {fields}")
    return replace(given, invalid=())


def _objections(given: EvidenceSet, profile: Profile) -> Iterable[tuple[str, str]]:
    """What would show nothing, of the items to be sealed."""
    from quorate.compliance.offered import objection
    from quorate.compliance.sealed import COLLECTED

    now = time.time_ns() // 1000
    for item in given.items:
        # What looks collected is refused for that, or comes from the collector.
        if item.receipt is None and not item.source.startswith(COLLECTED):
            why = objection(item, system=given.system, now=now, profile=profile)
            if why is not None:
                yield item.field, why


def _say_covered(known: Coverage | None) -> None:
    """Say how much of the ledger that rests on, and what it does not show."""
    from quorate.compliance.coverage import HEADING

    if known is None:
        return
    say(printable(known.describe()))
    gaps = known.gaps()
    if gaps:
        say(f"{HEADING}:")
    for name, why in gaps:
        say(printable(f"  {name}: {why}"))


def _say_items(items: list[Evidence]) -> None:
    width = max((len(item.field) for item in items), default=0)
    for item in items:
        sign = "✓" if item.status == "passed" else "✗"
        made = f", made from {counted(len(item.entries), 'entry', 'entries')}"
        where = "" if item.receipt is None else f", sealed in entry {item.receipt.seq}"
        reason = item.data.get("reason") if item.status == "failed" else None
        why = f": {reason}" if isinstance(reason, str) else ""
        say(
            printable(
                f"{sign} {item.status}  {item.field:{width}}  {item.source}"
                f"{made if item.entries else ''}{where}{why}"
            )
        )
    say(counted(len(items), "item") + " of evidence")
