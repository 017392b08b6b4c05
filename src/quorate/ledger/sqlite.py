"""The embedded store: one SQLite file, durable on return.

WAL with ``synchronous=FULL``: a commit returns when the log of it is on disk. The three
look-up columns (``kind``, ``trace_id``, ``key``) repeat what the entry says so that they
can be indexed; verification compares them, so nothing stored goes unchecked.

A table ``derived`` may stand beside the entries: what somebody worked out from them and
does not want to work out again. No entry, receipt or verdict depends on it, verification
does not look at it, and losing it loses nothing.
"""

from __future__ import annotations

import re
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final, NamedTuple
from urllib.parse import quote

from quorate.core.errors import StoreError, UsageError, VerificationError

APPLICATION_ID: Final = 0x51524C47  # "QRLG"
USER_VERSION: Final = 1
PAGE_ROWS: Final = 500

_SCHEMA: Final = (
    "CREATE TABLE log (origin TEXT NOT NULL) STRICT",
    (
        "CREATE TABLE entries (seq INTEGER PRIMARY KEY, entry TEXT NOT NULL, body TEXT NOT NULL, "
        "salt BLOB NOT NULL, signatures TEXT NOT NULL, kind TEXT NOT NULL, trace_id TEXT, "
        "key TEXT) STRICT"
    ),
    "CREATE INDEX entries_kind ON entries (kind)",
    "CREATE INDEX entries_trace_id ON entries (trace_id) WHERE trace_id IS NOT NULL",
    "CREATE UNIQUE INDEX entries_key ON entries (key) WHERE key IS NOT NULL",
)
_DERIVED: Final = "CREATE TABLE derived (name TEXT PRIMARY KEY, state BLOB NOT NULL) STRICT"
_COLUMNS: Final = "seq, entry, body, salt, signatures, kind, trace_id, key"
_LOCK_SECONDS: Final = 30.0
_RETRY_SECONDS: Final = 0.01
_SHOWN: Final = 100


class Row(NamedTuple):
    """One row as stored. Text columns come as bytes, so that damaged text can be looked at."""

    seq: int
    entry: bytes
    body: bytes
    salt: bytes
    signatures: bytes
    kind: bytes
    trace_id: bytes | None
    key: bytes | None


def _as_row(values: tuple[Any, ...]) -> Row:
    """Take a row as SQLite gives it, which in a damaged file need not be of the declared types."""
    row = Row._make(values)
    if not all(isinstance(value, bytes) for value in row[1:6]) or not all(
        value is None or isinstance(value, bytes) for value in row[6:]
    ):
        raise VerificationError("a column is of another type", index=row.seq, rule="store")
    return row


def _shortened(statement: str) -> str:
    # Whoever has the file may have written it, and terminals obey some characters.
    return ascii(statement if len(statement) <= _SHOWN else statement[:_SHOWN] + "...")


def no_fault(_point: str) -> None:
    """Do nothing at a fault point; tests pass something that kills the process instead."""


class SQLiteStore:
    """Rows of one ledger in one SQLite database.

    Args:
        path: file of the database, or ``None`` for one in memory.
        read_only: never write, and never create.
        lock_seconds: how long to wait for another process's write to end.
        fault_point: called between the steps of a write with the name of the step.
    """

    def __init__(
        self,
        path: Path | None,
        *,
        read_only: bool = False,
        lock_seconds: float = _LOCK_SECONDS,
        fault_point: Callable[[str], None] = no_fault,
    ) -> None:
        """Open the database; :meth:`begin` makes an empty one into a ledger.

        Raises:
            StoreError: it cannot be opened, or is no ledger.
        """
        self.path = path
        self.read_only = read_only
        self._fault_point = fault_point
        self._lock_seconds = lock_seconds
        self._lock = threading.RLock()
        if path is not None and read_only and not path.is_file():
            raise StoreError(f"there is no ledger at {path}")
        with self._errors("open"):
            self._db = self._connect(path, lock_seconds, read_only=read_only)
        try:
            with self._errors("open"):
                self._prepare()
        except BaseException:
            self._db.close()
            raise

    @staticmethod
    def _connect(path: Path | None, lock_seconds: float, *, read_only: bool) -> sqlite3.Connection:
        def connect(target: str, *, uri: bool) -> sqlite3.Connection:
            return sqlite3.connect(
                target,
                uri=uri,
                timeout=lock_seconds,
                isolation_level=None,
                check_same_thread=False,
            )

        if path is None:
            return connect(":memory:", uri=False)
        if not read_only:
            return connect(str(path), uri=False)
        location = "file:" + quote(str(path.resolve()))
        db = connect(location + "?mode=ro", uri=True)
        try:
            db.execute("SELECT count(*) FROM sqlite_master").fetchone()
        except sqlite3.OperationalError:
            db.close()
            if path.with_name(path.name + "-wal").exists():
                raise
            # A copy in a read-only folder: nobody writes it, and SQLite may make no -shm there.
            db = connect(location + "?immutable=1", uri=True)
        except BaseException:
            db.close()
            raise
        return db

    def _prepare(self) -> None:
        db = self._db
        db.text_factory = bytes
        db.execute("PRAGMA trusted_schema=OFF")
        if self.read_only:
            db.execute("PRAGMA query_only=ON")
            return
        db.execute("PRAGMA synchronous=FULL")
        # On macOS only this makes fsync reach the disk; elsewhere it does nothing.
        db.execute("PRAGMA fullfsync=ON")

    @property
    def name(self) -> str:
        """What to call the store in a message."""
        return "memory" if self.path is None else str(self.path)

    def begin(self, origin: str | None) -> None:
        """Make an empty database into the ledger of ``origin``; leave a ledger as it is.

        Raises:
            StoreError: there is no ledger yet and ``origin`` is ``None``, or the database
                is something else.
        """
        with self._lock, self._errors("open"):
            if self._is_empty():
                if origin is None or self.read_only:
                    raise StoreError(f"there is no ledger at {self.name}")
                self._use_write_ahead_log()
                self._create(origin)
            # Before anything is changed in what may be somebody else's database.
            self._check_schema()
            if not self.read_only:
                self._use_write_ahead_log()

    def _use_write_ahead_log(self) -> None:
        if self.path is None:
            return
        mode = self._switch_journal(time.monotonic() + self._lock_seconds)
        if mode != b"wal":
            raise StoreError(f"{self.path}: SQLite cannot use a write-ahead log here")

    def _switch_journal(self, deadline: float) -> object:
        while True:
            try:
                return self._scalar("PRAGMA journal_mode=WAL")
            except sqlite3.OperationalError as error:
                # SQLite does not wait here for another process that switches at the same time.
                if "locked" not in str(error) or time.monotonic() >= deadline:
                    raise
            time.sleep(_RETRY_SECONDS)

    def _is_empty(self) -> bool:
        return self._scalar("SELECT count(*) FROM sqlite_master") == 0

    def _scalar(self, query: str) -> object:
        return self._db.execute(query).fetchone()[0]

    def _create(self, origin: str) -> None:
        with self.transaction():
            if not self._is_empty():  # another process was first
                return
            for statement in _SCHEMA:
                self._db.execute(statement)
                self._fault_point("schema")
            self._db.execute("INSERT INTO log VALUES (?)", (origin,))
            self._db.execute(f"PRAGMA application_id={APPLICATION_ID}")
            self._db.execute(f"PRAGMA user_version={USER_VERSION}")

    def _check_schema(self) -> None:
        application = self._scalar("PRAGMA application_id")
        version = self._scalar("PRAGMA user_version")
        found = self._layout()
        if application != APPLICATION_ID and found.isdisjoint(_SCHEMA):
            raise StoreError(f"{self.name} is a database, but not a ledger")
        if application != APPLICATION_ID or version != USER_VERSION:
            raise self._other_layout(
                f"it says that it is of application {application} and version {version}"
            )
        self._check_layout(found)

    def _layout(self) -> set[str]:
        rows = self._db.execute("SELECT sql FROM sqlite_master WHERE sql IS NOT NULL")
        return {row[0].decode("utf-8", "replace") for row in rows}

    def _check_layout(self, found: set[str]) -> None:
        more, missing = found - {_DERIVED, *_SCHEMA}, set(_SCHEMA) - found
        if more:
            raise self._other_layout(f"{_shortened(min(more))} is not part of it")
        if missing:
            raise self._other_layout(f"{_shortened(min(missing))} is missing")

    def _other_layout(self, what: str) -> VerificationError:
        return VerificationError(
            f"the layout of {self.name} is not that of a ledger of version {USER_VERSION}: {what}",
            rule="layout",
        )

    def check_same(self, origin: str) -> None:
        """See that this still has the layout of a ledger, and is that of ``origin``.

        SQLite's own count of changes to the layout is not asked: who has the file can set it.

        Raises:
            VerificationError: rule ``layout`` or ``origin``: it has not, or is another's.
            StoreError: it cannot be read.
        """
        with self._lock, self._errors("read"):
            self._check_layout(self._layout())
        found = self.origin()
        if found != origin:
            raise VerificationError(
                f"it was opened as the ledger of {origin!r}, and says now that it is {found!r}",
                index=0,
                rule="origin",
            )

    def origin(self) -> str:
        """Name of the log.

        Raises:
            VerificationError: rule ``layout``: it is not there exactly once, or no text.
        """
        with self._lock, self._errors("read"):
            rows = self._db.execute("SELECT origin FROM log").fetchall()
        if len(rows) != 1:
            raise VerificationError(f"{self.name} names {len(rows)} origins", rule="layout")
        try:
            return str(rows[0][0], "ascii")
        except (UnicodeDecodeError, TypeError) as error:
            raise VerificationError("the origin is no text", index=0, rule="origin") from error

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Hold the write lock of the database; commit at the end, or undo all on an error.

        Raises:
            StoreError: locked for too long, full, read-only or broken; nothing was written.
        """
        with self._lock, self._errors("write"):
            self._db.execute("BEGIN IMMEDIATE")
            try:
                self._fault_point("begun")
                yield
                self._fault_point("written")
                self._db.execute("COMMIT")
            except BaseException:
                # SQLite may have undone it already, as it does when the disk is full.
                with suppress(sqlite3.Error):
                    self._db.execute("ROLLBACK")
                raise
            self._fault_point("committed")

    def insert(
        self, rows: Sequence[tuple[int, str, str, bytes, str, str, str | None, str | None]]
    ) -> None:
        """Write rows, inside a :meth:`transaction`.

        A trigger that somebody put into the file could keep a row out, change it, or change
        others as it is written. SQLite counts what it changes, and apart from that what a
        statement changes itself, without its triggers: both have to come to the rows. What a
        rule of another layout deletes to make room for a row is in neither count; that, and
        what changes the file between two writes, is found where the layout is looked at
        (:meth:`check_same`, :meth:`begin`) and by verification.

        Raises:
            VerificationError: rule ``layout``: not just these rows were written.
        """
        statement = f"INSERT INTO entries ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?)"  # noqa: S608
        before, landed = self._db.total_changes, 0
        if self._fault_point is no_fault:
            landed = self._db.executemany(statement, rows).rowcount if rows else 0
        else:
            for row in rows:
                landed += self._db.execute(statement, row).rowcount
                self._fault_point(f"inserted {row[0]}")
        changed = self._db.total_changes - before
        if rows and not (
            landed == len(rows)
            and changed == len(rows)
            and self.tip() == (rows[-1][0], rows[-1][1].encode())
        ):
            raise VerificationError(
                f"{self.name} does not keep what is written to it, or changes more: its layout "
                "is not that of a ledger",
                index=rows[-1][0],
                rule="layout",
            )

    def last(self) -> Row | None:
        """The last row, or ``None``."""
        return self._one("ORDER BY seq DESC LIMIT 1", ())

    def tip(self) -> tuple[int, bytes] | None:
        """Seq and entry of the last row, or ``None``."""
        with self._lock, self._errors("read"):
            found: tuple[int, bytes] | None = self._db.execute(
                "SELECT seq, entry FROM entries ORDER BY seq DESC LIMIT 1"
            ).fetchone()
        return found

    def at(self, seq: int) -> Row | None:
        """The row of that seq, or ``None``."""
        return self._one("WHERE seq = ?", (seq,))

    def by_key(self, key: str) -> Row | None:
        """The row whose idempotency key has that digest, or ``None``."""
        return self._one("WHERE key = ?", (key,))

    def _one(self, clause: str, values: tuple[object, ...]) -> Row | None:
        with self._lock, self._errors("read"):
            row = self._db.execute(
                f"SELECT {_COLUMNS} FROM entries {clause}",  # noqa: S608 - clauses are ours
                values,
            ).fetchone()
        return None if row is None else _as_row(row)

    def rows(
        self, start: int = 0, *, kind: str | None = None, trace_id: str | None = None
    ) -> Iterator[Row]:
        """Rows in order of seq from ``start`` on, read a page at a time."""
        clauses, fixed = ["seq >= ?"], []
        for column, value in (("kind", kind), ("trace_id", trace_id)):
            if value is not None:
                clauses.append(f"{column} = ?")
                fixed.append(value)
        query = (
            f"SELECT {_COLUMNS} FROM entries WHERE {' AND '.join(clauses)} "  # noqa: S608
            f"ORDER BY seq LIMIT {PAGE_ROWS}"
        )
        position = max(start, 0)
        while True:
            with self._lock, self._errors("read"):
                page = self._db.execute(query, (position, *fixed)).fetchall()
            for row in page:
                yield _as_row(row)
            if len(page) < PAGE_ROWS or page[-1][0] == 2**63 - 1:
                return
            position = page[-1][0] + 1

    def derived(self, name: str) -> bytes | None:
        """What was last kept under ``name`` by :meth:`keep_derived`, or ``None``."""
        with self._lock, self._errors("read"):
            if not self._has_derived():
                return None
            row = self._db.execute("SELECT state FROM derived WHERE name = ?", (name,)).fetchone()
        return None if row is None else bytes(row[0])

    def keep_derived(self, name: str, state: bytes) -> None:
        """Keep what was worked out from the entries, in place of what ``name`` had.

        Raises:
            StoreError: it could not be written.
        """
        with self.transaction():
            if not self._has_derived():
                self._db.execute(_DERIVED)
            self._db.execute("INSERT OR REPLACE INTO derived VALUES (?, ?)", (name, state))

    def _has_derived(self) -> bool:
        return bool(self._scalar("SELECT count(*) FROM sqlite_master WHERE name = 'derived'"))

    def problems(self) -> list[str]:
        """What SQLite itself finds wrong with the file; empty when sound."""
        with self._lock, self._errors("read"):
            found = self._db.execute("PRAGMA integrity_check(5)").fetchall()
        texts = [str(row[0], "utf-8", "replace") for row in found]
        return [] if texts == ["ok"] else texts

    def has_negative(self) -> bool:
        """Whether rows are numbered below 0, where :meth:`rows` does not look."""
        with self._lock, self._errors("read"):
            return bool(self._scalar("SELECT EXISTS (SELECT 1 FROM entries WHERE seq < 0)"))

    def count(self) -> int:
        """Number of rows, going by the number of the last."""
        # Counting would walk an index, which in a forged file need not have an end.
        tip = self.tip()
        return 0 if tip is None else max(tip[0] + 1, 0)

    def synchronous(self) -> int:
        """SQLite's durability setting of this connection; 2 is FULL."""
        return int(self._db.execute("PRAGMA synchronous").fetchone()[0])

    def close(self) -> None:
        """Close the database."""
        with self._lock:
            self._db.close()

    @contextmanager
    def _errors(self, doing: str) -> Iterator[None]:
        """Turn SQLite's errors into ours, with the next step in them."""
        try:
            yield
        # SQLite quotes a damaged layout in its words, which then may not even be text.
        except (sqlite3.DatabaseError, UnicodeDecodeError) as error:
            raise self._translated(error, doing) from error

    def _translated(
        self, error: sqlite3.DatabaseError | UnicodeDecodeError, doing: str
    ) -> StoreError | VerificationError | UsageError:
        text = str(error)
        if isinstance(error, sqlite3.ProgrammingError) and "closed" in text:
            return UsageError("the ledger is closed; open it again")
        if "malformed" in text or "decode" in text:
            return VerificationError(f"the file {self.name} is damaged: {text}", rule="store")
        hints = (
            ("not a database", "it is some other file"),
            ("locked", "another process is writing it; try again when it has finished"),
            ("readonly", "it may be read but not written; check its permissions and its folder's"),
            ("is full", "the disk is full; free some space and run again, nothing was written"),
            ("unable to open", "check that its folder exists and that you may use it"),
            ("I/O error", "the disk failed or is full; nothing was acknowledged"),
        )
        hint = next((hint for sign, hint in hints if re.search(sign, text)), "")
        return StoreError(
            f"cannot {doing} the ledger {self.name}: {text}" + (f" ({hint})" if hint else "")
        )
