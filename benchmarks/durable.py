"""Entries that are on disk when the call returns, beside what SQLite and the disk allow."""

from __future__ import annotations

import os
import sqlite3
import statistics
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing
from functools import partial
from pathlib import Path
from typing import Any, Final

from benchmarks.cases import bodies
from benchmarks.measure import Aim, Figure, Settings, Step, Subject, rate_of, side_by_side
from quorate.core.identity import Ed25519Signer, HmacSigner, Signer
from quorate.ledger.log import Ledger
from quorate.ledger.sqlite import SQLiteStore, no_fault

SUBJECT: Final = "durable"
GROUPS: Final = (1, 10, 100, 1000)
THREADS: Final = (4, 16, 64)

_COMMITS: Final = {1: 60, 10: 40, 100: 12, 1000: 3}
_SLOW_SECONDS: Final = 0.003
_BARE: Final = "bare SQLite inserts"
_FLUSH: Final = "fdatasync x group"
_COLUMNS: Final = "seq, entry, body, salt, signatures, kind, trace_id, key"
_flush: Callable[[int], None] = getattr(os, "fdatasync", os.fsync)

_Row = tuple[Any, ...]


def steps(settings: Settings) -> list[Step]:
    """Sizes of commits, then many appenders; first on this disk, then on one slow to flush."""
    return [
        Step(
            f"{work.__name__.strip('_')} {size}{_named(pause)}",
            partial(work, settings, size, pause),
        )
        for pause in (0.0, _SLOW_SECONDS)
        for work, sizes in ((_group, GROUPS), (_threads, THREADS))
        for size in sizes
    ]


def _named(pause: float) -> str:
    return f", flush {1000 * pause:.0f} ms slower" if pause else ""


def _group(settings: Settings, group: int, pause: float) -> list[Figure]:
    """Groups of entries committed one after the other, beside the same bytes written barely.

    Args:
        settings: of the run.
        group: entries per commit.
        pause: seconds that every commit takes longer, for a disk that is slow to flush.
    """
    commits = settings.units(_COMMITS[group])
    work = [bodies(group)] * commits
    folder = settings.scratch / f"group-{group}-{pause}"
    folder.mkdir()
    with ExitStack() as stack:
        rows = _rows(HmacSigner.generate(), group)
        subjects: dict[str, Subject] = {}
        signers: dict[str, Signer] = {
            "Ed25519": Ed25519Signer.generate(),
            "HMAC": HmacSigner.generate(),
        }
        for name, signer in signers.items():
            ledger = stack.enter_context(_ledger(folder / f"{name}.sqlite", signer, pause))
            subjects[name] = _sealing(ledger, work)
        bare = stack.enter_context(closing(_bare(folder / "bare.sqlite")))
        subjects[_BARE] = _inserting(bare, rows, commits, pause)
        descriptor = os.open(folder / "raw", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        stack.callback(os.close, descriptor)
        subjects[_FLUSH] = _flushing(descriptor, rows, commits, pause)
        turns = side_by_side(subjects, settings.turns)
    flush_ms = 1000 * group / statistics.median(turns.rates[_FLUSH])
    figures = []
    for name in signers:
        title = f"{group} per commit, {name}"
        figures += [
            turns.compare(
                name, _BARE, subject=SUBJECT + _named(pause), unit="entries/s", title=title
            ),
            turns.compare(
                name,
                _FLUSH,
                subject=SUBJECT + _named(pause),
                unit="entries/s",
                title=title,
                aim=_aim(group),
                note=f"one write and flush: {flush_ms:.2f} ms",
            ),
        ]
    return figures


def _aim(group: int) -> Aim:
    if group <= 100:
        return Aim("90% of it", ratio=0.9)
    return Aim("80k/s", rate=80_000)


def _sealing(ledger: Ledger, work: Sequence[list[Any]]) -> Subject:
    def seal() -> None:
        for group in work:
            ledger.append_many("decision", group)

    return lambda: rate_of(sum(map(len, work)), seal)


def _inserting(db: sqlite3.Connection, rows: Sequence[_Row], commits: int, pause: float) -> Subject:
    """Insert the same bytes, in transactions of the same size, with nothing made of them."""
    marks = ", ".join("?" * len(rows[0]))
    statement = f"INSERT INTO entries ({_COLUMNS}) VALUES ({marks})"  # noqa: S608 - all our own
    numbers = iter(range(1 << 62))

    def insert(prepared: Sequence[Sequence[_Row]]) -> None:
        for group in prepared:
            db.execute("BEGIN IMMEDIATE")
            db.executemany(statement, group)
            _wait(pause)
            db.execute("COMMIT")

    def turn() -> float:
        prepared = [[(next(numbers), *row[1:]) for row in rows] for _ in range(commits)]
        return rate_of(commits * len(rows), lambda: insert(prepared))

    return turn


def _flushing(descriptor: int, rows: Sequence[_Row], commits: int, pause: float) -> Subject:
    """Append the same bytes to a file, and flush it once per group."""
    raw = b"".join(
        field.encode() if isinstance(field, str) else field
        for row in rows
        for field in row
        if isinstance(field, str | bytes)
    )

    def flush() -> None:
        for _ in range(commits):
            os.write(descriptor, raw)
            _wait(pause)
            _flush(descriptor)

    return lambda: rate_of(commits * len(rows), flush)


def _threads(settings: Settings, count: int, pause: float) -> list[Figure]:
    """One thread that appends singly, beside ``count`` that do: they share the flushes."""
    each = settings.units(12)
    one = "one thread"
    path = settings.scratch / f"threads-{count}-{pause}.sqlite"
    with _ledger(path, Ed25519Signer.generate(), pause) as ledger:
        subjects = {one: _appending(ledger, 1, 4 * each), "many": _appending(ledger, count, each)}
        turns = side_by_side(subjects, settings.turns)
    title = f"{count} threads, append()"
    return [
        turns.compare("many", one, subject=SUBJECT + _named(pause), unit="entries/s", title=title)
    ]


def _appending(ledger: Ledger, count: int, each: int) -> Subject:
    work = bodies(each)

    def append() -> None:
        for body in work:
            ledger.append("decision", body)

    def all_threads() -> None:
        threads = [threading.Thread(target=append) for _ in range(count)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    return lambda: rate_of(count * each, all_threads)


def _ledger(path: Path, signer: Signer, pause: float) -> Ledger:
    store = SQLiteStore(path, fault_point=partial(_pausing, pause) if pause else no_fault)
    store.begin("quorate/bench")
    return Ledger(store, signers=[signer])


def _pausing(pause: float, point: str) -> None:
    if point == "written":
        _wait(pause)


def _wait(seconds: float) -> None:
    if seconds:
        time.sleep(seconds)


def _bare(path: Path) -> sqlite3.Connection:
    """The ledger's columns and settings, without its indexes."""
    db = sqlite3.connect(path, isolation_level=None)
    db.execute("PRAGMA journal_mode=WAL")
    db.execute("PRAGMA synchronous=FULL")
    db.execute(
        "CREATE TABLE entries (seq INTEGER PRIMARY KEY, entry TEXT, body TEXT, salt BLOB, "
        "signatures TEXT, kind TEXT, trace_id TEXT, key TEXT) STRICT"
    )
    return db


def _rows(signer: Signer, count: int) -> list[_Row]:
    """Rows as the ledger stores them, to be written again without it."""
    with Ledger.open("memory:", signer=signer) as ledger:
        ledger.append_many("decision", bodies(count))
        return [tuple(_stored(row)) for row in ledger.store.rows()]


def _stored(row: Sequence[Any]) -> Iterator[Any]:
    for name, field in zip(_COLUMNS.split(", "), row, strict=True):
        yield field.decode() if isinstance(field, bytes) and name != "salt" else field
