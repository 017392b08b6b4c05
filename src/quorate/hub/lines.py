"""Lines of task files, outcome files and decision files (JSON Lines).

A task line is ``{"id": text, "input": any JSON, "options": {}}``, an outcome line (the right
answer to a task) ``{"id": text, "answer": any JSON}``, a decision line
``{"id", "status", "consensus", "support", "backing", "dissenting", "absent", "protocol",
"cost", "seq"}``. Four more keys stand only where there is something to say: ``"by_quorum":
false`` of an answer that no quorum decided, but a declared fallback or an unratified merge;
``"pending"``, the ids of experts that were no longer waited for; ``"shadow": true`` where a
panel in shadow mode decided: nothing is to be blocked by it; and ``"overridden"`` where people
put something in place of the decision. Its ``status`` is then ``"overridden"``, and
``consensus`` the person's answer; or ``"withheld"``, and nothing is to be acted upon. Empty
lines are skipped.
"""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, BinaryIO, Final, NamedTuple, TypeVar

import orjson

from quorate.core import limits
from quorate.core.canonical import CanonicalError, digest, parse
from quorate.core.errors import OperationalError, UsageError
from quorate.ledger import Receipt

if TYPE_CHECKING:
    from quorate.hub.oversight.rules import Standing

OVERRIDDEN: Final = "overridden"
WITHHELD: Final = "withheld"

_MEMBERS: Final = frozenset({"id", "input", "options"})
_OUTCOME: Final = frozenset({"id", "answer"})
_BYTE_ORDER_MARK: Final = b"\xef\xbb\xbf"


@dataclass(frozen=True, slots=True)
class Task:
    """One task: its id, its input (any JSON value), the input's digest, its line (from 1)."""

    id: str
    input: Any
    input_digest: str
    line: int


class KnownOutcome(NamedTuple):
    """The right answer to a task: the task's id, the answer (any JSON value), its line."""

    id: str
    answer: Any
    line: int


L = TypeVar("L", Task, KnownOutcome)


class _Ids:
    """Remembers ids in a temporary database, so that memory stays bounded."""

    def __init__(self) -> None:
        with _temporary():
            self._db = sqlite3.connect("", isolation_level=None, check_same_thread=False)
            self._db.execute("PRAGMA synchronous=OFF")
            self._db.execute("CREATE TABLE ids (id BLOB PRIMARY KEY, line INTEGER) WITHOUT ROWID")
            self._db.execute("BEGIN")

    def first_line(self, id_: str, line: int) -> int:
        """The line on which the id was first seen; ``line`` itself if it is new."""
        key = hashlib.sha256(id_.encode()).digest()
        with _temporary():
            self._db.execute("INSERT OR IGNORE INTO ids VALUES (?, ?)", (key, line))
            row = self._db.execute("SELECT line FROM ids WHERE id = ?", (key,)).fetchone()
        found: int = row[0]
        return found

    def close(self) -> None:
        self._db.close()


@contextmanager
def _temporary() -> Iterator[None]:
    try:
        yield
    except sqlite3.Error as error:
        raise OperationalError(
            f"the ids of the tasks cannot be kept in the temporary folder: {error}; it may be "
            "full: make room there, or name another in the environment variable SQLITE_TMPDIR "
            "or TMPDIR"
        ) from error


def read_tasks(file: BinaryIO, name: str) -> Iterator[Task]:
    """Read tasks one by one; the file is never held as a whole.

    Raises:
        UsageError: ``name:line:`` and what is wrong with that line.
        OperationalError: the temporary folder is full.
    """
    return _read(file, name, _task)


def read_outcomes(file: BinaryIO, name: str) -> Iterator[KnownOutcome]:
    """Read the right answers to tasks one by one, as :func:`read_tasks` does.

    Raises:
        UsageError: ``name:line:`` and what is wrong with that line.
        OperationalError: the temporary folder is full.
    """
    return _read(file, name, _outcome)


def _read(file: BinaryIO, name: str, line_of: Callable[[bytes, int], L]) -> Iterator[L]:
    ids = _Ids()
    try:
        for number in _count_from_one():
            line = file.readline(limits.MAX_TASK_BYTES + 1)
            if not line:
                return
            if len(line) > limits.MAX_TASK_BYTES:
                raise UsageError(f"{name}:{number}: longer than {limits.MAX_TASK_BYTES} bytes")
            if number == 1:
                line = line.removeprefix(_BYTE_ORDER_MARK)
            if not line.strip():
                continue
            try:
                read = line_of(line, number)
            except UsageError as error:
                raise UsageError(f"{name}:{number}: {error}") from error
            first = ids.first_line(read.id, number)
            if first != number:
                raise UsageError(f"{name}:{number}: the id {read.id!r} is that of line {first} too")
            yield read
    finally:
        ids.close()


def _count_from_one() -> Iterator[int]:
    number = 0
    while True:
        number += 1
        yield number


def _task(line: bytes, number: int) -> Task:
    members = _parsed(line)
    if not isinstance(members, dict):
        raise UsageError('a task is an object, such as {"id": "1", "input": …}')
    unknown = sorted(members.keys() - _MEMBERS)
    if unknown:
        raise UsageError(f"unknown {unknown[0]!r}; a task has id, input and options")
    id_ = _id(members, "input")
    if "options" in members and members["options"] is None:
        raise UsageError("options is null; give {}, or leave it out")
    if members.get("options", {}) != {}:
        raise UsageError("options is not empty, and no options are known")
    return Task(id_, members["input"], digest(members["input"]), number)


def _outcome(line: bytes, number: int) -> KnownOutcome:
    members = _parsed(line)
    if not isinstance(members, dict):
        raise UsageError('an outcome is an object, such as {"id": "1", "answer": …}')
    unknown = sorted(members.keys() - _OUTCOME)
    if unknown:
        raise UsageError(f"unknown {unknown[0]!r}; an outcome has id and answer")
    id_ = _id(members, "answer")
    # What is no canonical JSON could not be compared with any answer.
    digest(members["answer"])
    return KnownOutcome(id_, members["answer"], number)


def _id(members: dict[str, Any], other: str) -> str:
    """The id of a line that has an ``other`` member besides."""
    for name in ("id", other):
        if name not in members:
            raise UsageError(f"{name} is missing")
    id_ = members["id"]
    if not isinstance(id_, str) or not 1 <= len(id_) <= limits.MAX_ID_LENGTH:
        raise UsageError(f"id is {id_!r}; give a text of 1 to {limits.MAX_ID_LENGTH} characters")
    return id_


def _parsed(line: bytes) -> Any:
    try:
        return parse(line)
    except CanonicalError as error:
        # What CPython says of integers it will not read is for programmers.
        if "set_int_max_str_digits" not in str(error):
            raise
        raise UsageError(
            "not JSON that can be read: a whole number of thousands of digits; write it as text"
        ) from error


def decision_line(
    receipt: Receipt, *, shadow: bool = False, standing: Standing | None = None
) -> bytes:
    """The decision line of a sealed decision or refusal, line feed included.

    ``cost`` is the nearest double to what all proposals cost together. Of a refusal,
    ``dissenting`` are those that are not with the leading answer.

    Args:
        receipt: of the decision or refusal.
        shadow: whether a panel in shadow mode decided.
        standing: what people put in place of the decision, if they did.
    """
    body = receipt.payload
    verdict = body["verdict"]
    groups = verdict["trace"]["groups"]
    # Exhausted ballots of a runoff are in no group.
    against = set(verdict["engaged"]).difference(groups[0]["members"] if groups else ())
    line = {
        "id": body["task"]["id"],
        "status": verdict["status"],
        "consensus": verdict.get("consensus"),
        "support": verdict["support"],
        "backing": verdict["backing"],
        "dissenting": sorted(verdict.get("dissenting", against)),
        "absent": [{"expert_id": a["expert_id"], "reason": a["reason"]} for a in verdict["absent"]],
        "protocol": verdict["protocol"],
        "cost": verdict["cost"],
        "seq": receipt.seq,
    }
    if verdict.get("by_quorum", True) is False:
        line["by_quorum"] = False
    if body.get("pending"):
        line["pending"] = sorted(one["expert_id"] for one in body["pending"])
    if shadow:
        line["shadow"] = True
    if standing is not None:
        # Who knows nothing of overrides acts on neither status, and finds no other answer.
        line["status"] = OVERRIDDEN if standing.answered else WITHHELD
        line["consensus"] = standing.answer
        line["overridden"] = {
            "by": [one.by for one in standing.overrides],
            "seqs": [one.seq for one in standing.overrides],
            "contested": standing.contested,
        }
    return orjson.dumps(line) + b"\n"
