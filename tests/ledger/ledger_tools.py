"""Small ledgers, and hands to tamper with them."""

from quorate.core.identity import Ed25519Signer, HmacSigner
from quorate.ledger import Ledger, Policy

KEY = Ed25519Signer(b"\x01" * 32)
COSIGNER = Ed25519Signer(b"\x02" * 32)
STRANGER = Ed25519Signer(b"\x03" * 32)
MAC = HmacSigner(b"\x04" * 32)
ORIGIN = "example.org/log"
POLICY = Policy((KEY.verifier,), 1, ORIGIN)
COLUMNS = "seq, entry, body, salt, signatures, kind, trace_id, key"


def ledger_of(count, *, signer=KEY, origin=ORIGIN, url="memory:", clock=None):
    extra = {} if clock is None else {"clock": clock}
    ledger = Ledger.open(url, signer=signer, origin=origin, **extra)
    for number in range(count):
        ledger.append("note", {"n": number}, trace_id=f"t{number % 2}", key=f"k{number}")
    return ledger


def sql(ledger, statement, *values):
    return ledger.store._db.execute(statement, values).fetchall()


def rows(ledger):
    return sql(ledger, f"SELECT {COLUMNS} FROM entries ORDER BY seq")  # noqa: S608 - our own names


def put_rows(ledger, new):
    """Replace all rows, texts given as bytes."""
    sql(ledger, "DELETE FROM entries")
    for row in new:
        sql(
            ledger,
            "INSERT INTO entries VALUES (?, CAST(? AS TEXT), CAST(? AS TEXT), ?, CAST(? AS TEXT), "
            "CAST(? AS TEXT), CAST(? AS TEXT), CAST(? AS TEXT))",
            *row,
        )
