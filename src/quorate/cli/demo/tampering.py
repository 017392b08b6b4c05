"""Tamper with a copy of a ledger, and see what the verifier makes of it.

Done with plain SQLite, as anybody with access to the file could.
"""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

from quorate.core.errors import OperationalError, VerificationError
from quorate.core.identity import Verifier
from quorate.ledger import verify


def flip(ledger: Path, copy: Path, seq: int, key: Verifier, note: str) -> dict[str, Any]:
    """Flip one bit of one byte in the body of entry ``seq``, in a copy; then verify the copy.

    Returns:
        What was done, and the index and rule that were to be named and that were named.
    """
    with closing(_copied(ledger, copy)) as db, db:
        (body,) = db.execute(
            "SELECT CAST(body AS BLOB) FROM entries WHERE seq = ?", (seq,)
        ).fetchone()
        place = _inside_a_confidence(body)
        changed = bytearray(body)
        # The lowest bit: one digit becomes another.
        changed[place] ^= 1
        db.execute("UPDATE entries SET body = CAST(? AS TEXT) WHERE seq = ?", (bytes(changed), seq))
    return {
        "what": "flip",
        "seq": seq,
        "byte": place,
        "of": len(body),
        "before": body[place : place + 1].decode(),
        "after": changed[place : place + 1].decode(),
        "expected": {"index": seq, "rule": "commitment"},
        **_verdict(copy, key, note),
    }


def cut(ledger: Path, copy: Path, rows: int, key: Verifier, note: str) -> dict[str, Any]:
    """Cut the last ``rows`` entries off a copy; then verify the copy.

    Returns:
        As :func:`flip`.
    """
    with closing(_copied(ledger, copy)) as db, db:
        (size,) = db.execute("SELECT count(*) FROM entries").fetchone()
        db.execute("DELETE FROM entries WHERE seq >= ?", (size - rows,))
    return {
        "what": "cut",
        "rows": rows,
        "expected": {"index": size - rows, "rule": "truncation"},
        **_verdict(copy, key, note),
    }


def _copied(ledger: Path, copy: Path) -> sqlite3.Connection:
    db = sqlite3.connect(copy)
    try:
        with closing(sqlite3.connect(ledger)) as original:
            original.backup(db)
    except sqlite3.Error as error:
        db.close()
        raise OperationalError(f"the ledger cannot be copied to {copy}: {error}") from error
    return db


def _inside_a_confidence(body: bytes) -> int:
    """Where the first digit of the first confidence in a decision's body stands."""
    sign = b'"confidence":"'
    return body.index(sign) + len(sign)


def _verdict(copy: Path, key: Verifier, note: str) -> dict[str, Any]:
    """What the verifier says of the copy; ``found`` is ``None`` if it noticed nothing."""
    try:
        verify(f"sqlite:///{copy}", keys=[key], checkpoint=note)
    except VerificationError as error:
        return {"found": {"index": error.index, "rule": error.rule}, "message": str(error)}
    return {"found": None, "message": "nothing was noticed"}
