"""Evidence collected from the ledger itself: what its verified entries show, and no more.

>>> from datetime import UTC, datetime
>>> from quorate.compliance.collect import survey
>>> from quorate.core.identity import Ed25519Signer
>>> from quorate.ledger import Ledger, Policy
>>> key = Ed25519Signer.generate()
>>> ledger = Ledger.open("memory:", signer=key)
>>> found = survey(ledger, policy=Policy.of([key.verifier]),
...                system={"name": "triage", "version": "2.1.0"}, now=datetime.now(UTC))
>>> found.items, found.lacking[0].reason
((), 'the ledger is empty')

The ledger is verified first, every verdict, drill and measurement in it computed again. One
that does not verify shows nothing: every item then says that it failed, at which entry and by
which rule. What is verified is read once, by :mod:`.reading`, and handed to the collectors,
each of which says either what it found or what is lacking. ``collector`` registers more.

Collected is what a ledger declares to be the record of the very system and version, see
:mod:`quorate.compliance.declaring`; of any other it shows nothing. Evidence is dated by its
newest entry and counts for a year after what it shows: asking again makes nothing younger.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from quorate.compliance.collect.reading import Record
    from quorate.compliance.collect.registry import Collector, Found, Lack, collector, collectors
    from quorate.compliance.collect.sealing import seal_evidence
    from quorate.compliance.collect.surveying import Survey, collect, survey
    from quorate.compliance.coverage import Lacking

_HOMES = {
    "Collector": "registry",
    "Found": "registry",
    "Lack": "registry",
    "Lacking": "surveying",
    "Record": "reading",
    "Survey": "surveying",
    "collect": "surveying",
    "collector": "registry",
    "collectors": "registry",
    "seal_evidence": "sealing",
    "survey": "surveying",
}

__all__ = [
    "Collector",
    "Found",
    "Lack",
    "Lacking",
    "Record",
    "Survey",
    "collect",
    "collector",
    "collectors",
    "seal_evidence",
    "survey",
]


def __getattr__(name: str) -> Any:
    """Import a public name from its own module when it is first used."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
