"""A dossier: technical documentation with the content of Annex IV, in a folder that checks out.

::

    report.html  report.md            the compliance report
    annex-iv.html  annex-iv.md        the points of Annex IV, each with its evidence
    report.json  evidence.json        the same for programs
    coverage.json                     how far the ledger's end is pinned, and what it does not show
    bundles/000012.json               each ledger entry that evidence names, with its proof
    checkpoint.note                   the signed checkpoint that the proofs lead to
    policy.toml                       the public keys under which it was made
    profile.toml                      the profile, where it is one's own
    documents/                        documents that evidence names by digest, where given
    manifest.json                     the SHA-256 of each of these
    seal.json                         the ledger entry that holds the manifest's digest, where
                                      it was written with the ledger's key

:func:`write_dossier` writes it whole or not at all; :func:`verify_dossier` checks it offline,
by computing the report and the pages again. A dossier shows what its maker put into it; what
was left out, only the ledger can show. Where nothing seals the whole, verifying says so.
"""

from __future__ import annotations

from quorate.compliance.dossier.verdict import DossierReport, Problem
from quorate.compliance.dossier.verifying import verify_dossier
from quorate.compliance.dossier.writing import write_dossier

__all__ = ["DossierReport", "Problem", "verify_dossier", "write_dossier"]
