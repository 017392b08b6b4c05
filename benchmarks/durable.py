"""Entries that are on disk when the call returns, beside what the disk and SQLite allow."""

from __future__ import annotations

import os
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from itertools import batched, cycle, islice
from typing import Any

from benchmarks.cases import bodies
from benchmarks.measure import Aim, Figure, Settings, Step, Subject, rate_of, side_by_side
from quorate.core.identity import Ed25519Signer, HmacSigner, Signer
from quorate.ledger.log import Ledger

SUBJECT = "durable"
GROUPS = (1, 10, 100, 1000)
THREADS = (4, 16, 64)
_COMMITS = {1: 60, 10: 40, 100: 15, 1000: 4}
_BARE, _FLUSH = "bare SQLite inserts", "fdatasync x group"
_COLUMNS = "seq, entry, body, salt, signatures, kind, trace_id, key"
_flush: Callable[[int], None] = getattr(os, "fdatasync", os.fsync)
Rows = Sequence[tuple[Any, ...]]
