"""Evidence that people write, and ways to spoil the ledger of the folder at hand."""

import json
import sqlite3
from datetime import UTC, datetime, timedelta
from pathlib import Path

from evidence_tools import data_for, form_of

from quorate.ledger import Ledger

POLICY = ("--policy", "policy.toml")


def today():
    return datetime.now(UTC).date().isoformat()


def ago(**time):
    """A moment so long ago, as evidence writes it."""
    return (datetime.now(UTC) - timedelta(**time)).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def written(field, **changes):
    """An item that a person wrote today."""
    return {
        "field": field,
        "status": "passed",
        "source": "risk team",
        "time": ago(minutes=5),
        "scope": {"system": "triage", "version": "2.1.0"},
        "digest": "sha256:" + "ab" * 32,
        "data": data_for(*form_of(field)),
    } | changes


def save(path, *items, system=None):
    members = {"format": "quorate/evidence/1", "items": list(items)}
    Path(path).write_text(json.dumps(members | ({} if system is None else {"system": system})))
    return path


def tamper(statement, *values, path="ledger.db"):
    with sqlite3.connect(path) as database:
        database.execute(statement, values)


def forge():
    tamper("UPDATE entries SET body = replace(body, 'a', 'b') WHERE seq = 3")


def entries():
    with Ledger.open("sqlite:///ledger.db") as log:
        return len(log)
