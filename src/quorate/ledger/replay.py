"""Compute sealed verdicts again: a signed wrong verdict does not verify.

Which rule replays which kind of entry is declared by the packages that seal them, as
entry points of the group ``quorate.replay`` (kind = "module:function"); other packages
may add kinds of their own. A replay function takes ``(kind, body, context)`` and raises
:class:`~quorate.core.errors.VerificationError` if the body's verdict is not what the
rules give. A body that names a ``rule`` but whose kind has no function fails: what cannot
be computed again is not called verified.
"""

from __future__ import annotations

import hashlib
from array import array
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from typing import Any, Final, NamedTuple

from quorate.core.errors import OperationalError, VerificationError
from quorate.core.text import counted
from quorate.ledger.entries import Entry

GROUP = "quorate.replay"

_DIGEST_BYTES: Final = 32
_NO_PANEL: Final = -1


@dataclass(frozen=True, slots=True)
class SealedPanel:
    """A panel as an entry declared it.

    Attributes:
        seq: the entry that declared it.
        digest: of its whole declaration, 64 hex digits.
        declaration: ``roster`` (id -> "p/q"), ``protocol`` and ``parameters``.
    """

    seq: int
    digest: str
    declaration: dict[str, Any]

    def describe(self) -> str:
        """One line: where it stands, how many decide, and by which rule."""
        roster, declared = self.declaration["roster"], self.declaration
        parameters = ", ".join(f"{k} {v}" for k, v in sorted(declared["parameters"].items()))
        return (
            f"entry {self.seq} declares panel {self.digest}: {counted(len(roster), 'expert')}, "
            f"{declared['protocol']}, {parameters}"
        )


class NotedVerdict(NamedTuple):
    """The verdict on a task, as far as entries beside it are held to it.

    Attributes:
        seq: its entry.
        input_digest: of the task's input, 64 hex digits.
        verdict: digest of the verdict, likewise.
        answer: digest of the answer committed; ``None`` where none was.
    """

    seq: int
    input_digest: str
    verdict: str
    answer: str | None


class NotedEntry(NamedTuple):
    """An entry that was passed: its kind, and its hash in 64 hex digits."""

    kind: str
    hash: str


class ReplayContext:
    """What earlier entries of the same log declared, for later ones to be held to.

    Attributes:
        seq: the entry being replayed.
        current: that entry, where the log is at hand; its body is replayed.
        unbound: verdicts so far that name no panel sealed before them.
        own_normalisers: verdicts so far whose answers were compared by a function of the
            caller's own, which is not at hand: what it gave is taken as sealed.
        correlations: verdicts so far that say how errors were seen to go together: on which
            outcomes that was measured they do not name, so it is taken as sealed.
        panels: the panels declared so far, by digest.
    """

    def __init__(self, pinned: frozenset[str] | None = None) -> None:
        """Begin with nothing declared.

        Args:
            pinned: digests of the only panels that may decide; ``None`` for any.
        """
        self.seq = 0
        self.current: Entry | None = None
        self.unbound = 0
        self.own_normalisers = 0
        self.correlations = 0
        self.panels: dict[str, SealedPanel] = {}
        self._pinned = pinned
        self._tasks: dict[bytes, _Noted] = {}
        self._verdicts: dict[bytes, bytes] = {}
        self._beside: dict[bytes, int] = {}
        self._outcomes: dict[bytes, _Noted] = {}
        self._kinds: list[str] = []
        self._known_kinds: dict[str, str] = {}
        self._hashes = bytearray()
        self._named: array[int] = array("q")

    def declare_panel(self, digest: str, declaration: dict[str, Any]) -> None:
        """Remember that the panel with that digest was sealed."""
        self.panels.setdefault(digest, SealedPanel(self.seq, digest, declaration))

    def panel(self, digest: str) -> dict[str, Any] | None:
        """The panel sealed earlier under that digest, or ``None``.

        Raises:
            VerificationError: rule ``panel``: the verifier's policy names other panels.
        """
        if self._pinned is not None and digest not in self._pinned:
            raise VerificationError(f"panel {digest} is not one the policy names", rule="panel")
        sealed = self.panels.get(digest)
        if sealed is None:
            return None
        self._named.extend([_NO_PANEL] * (self.seq + 1 - len(self._named)))
        self._named[self.seq] = sealed.seq
        return sealed.declaration

    def panel_of(self, seq: int) -> SealedPanel | None:
        """The panel under which an earlier entry decided; ``None`` where it names none."""
        named = self._named[seq] if 0 <= seq < len(self._named) else _NO_PANEL
        return next((one for one in self.panels.values() if one.seq == named), None)

    def note_unbound(self) -> None:
        """Count a verdict that names no panel: only its own word stands for its roster.

        Raises:
            VerificationError: rule ``panel``: the verifier's policy names panels.
        """
        if self._pinned is not None:
            raise VerificationError(
                "it names no panel, and the policy asks for certain ones", rule="panel"
            )
        self.unbound += 1

    def note_own_normaliser(self) -> None:
        """Count a verdict that rests on a sealed table of the caller's own normal forms."""
        self.own_normalisers += 1

    def note_correlation(self) -> None:
        """Count a verdict that rests on a sealed correlation of errors."""
        self.correlations += 1

    def note_task(
        self, id_: str, input_digest: str, verdict: str = "", answer: str | None = None
    ) -> None:
        """Remember that a task was decided, and on which input: it is so once.

        Args:
            id_: of the task.
            input_digest: of its input, 64 hex digits.
            verdict: digest of the verdict, likewise; without it no entry can stand beside.
            answer: digest of the answer committed; ``None`` where none was.

        Raises:
            VerificationError: rule ``replay``: it was decided before, or its outcome is
                sealed as that of another input.
        """
        noted = (self.seq, bytes.fromhex(input_digest))
        first, _ = self._tasks.setdefault(_short(id_), noted)
        if first != self.seq:
            raise VerificationError(
                f"the task {id_!r} was decided already, in entry {first}; it is decided once",
                rule="replay",
            )
        self._check_input(id_)
        if verdict:
            self._verdicts[_short(id_)] = bytes.fromhex(verdict + (answer or ""))

    def note_beside(self, id_: str) -> NotedVerdict:
        """Remember that an entry stands beside the verdict on a task: one does.

        Returns:
            That verdict.

        Raises:
            VerificationError: rule ``replay``: no earlier entry holds a verdict on the task,
                or another stands beside it already.
        """
        key = _short(id_)
        if key not in self._verdicts:
            raise VerificationError(
                f"no earlier entry holds a verdict on the task {id_!r} for it to stand beside",
                rule="replay",
            )
        first = self._beside.setdefault(key, self.seq)
        if first != self.seq:
            raise VerificationError(
                f"entry {first} stands beside the verdict on the task {id_!r} already; one does",
                rule="replay",
            )
        seq, on = self._tasks[key]
        digests = self._verdicts[key]
        verdict, answer = digests[:_DIGEST_BYTES], digests[_DIGEST_BYTES:]
        return NotedVerdict(seq, (on or b"").hex(), verdict.hex(), answer.hex() or None)

    def note_outcome(self, id_: str, input_digest: str | None = None) -> None:
        """Remember that the outcome of a task was sealed: it is so once.

        Args:
            id_: of the task.
            input_digest: of its input, 64 hex digits, where the outcome says it.

        Raises:
            VerificationError: rule ``replay``: it was sealed before, or the verdict on
                the task was on another input.
        """
        noted = (self.seq, None if input_digest is None else bytes.fromhex(input_digest))
        first, _ = self._outcomes.setdefault(_short(id_), noted)
        if first != self.seq:
            raise VerificationError(
                f"the outcome of the task {id_!r} was sealed already, in entry {first}",
                rule="replay",
            )
        self._check_input(id_)

    def note_entry(self, kind: str, hash_: bytes) -> None:
        """Remember the next entry of the log, whatever it is: its kind, and its 32-byte hash."""
        self._kinds.append(self._known_kinds.setdefault(kind, kind))
        self._hashes += hash_

    @property
    def whole(self) -> bool:
        """Whether every entry before the one being replayed was passed."""
        return len(self._kinds) == self.seq

    def entry(self, seq: int) -> NotedEntry | None:
        """An entry passed earlier; ``None`` where there is none of that number."""
        if not 0 <= seq < len(self._kinds):
            return None
        place = seq * _DIGEST_BYTES
        return NotedEntry(self._kinds[seq], self._hashes[place : place + _DIGEST_BYTES].hex())

    def _check_input(self, id_: str) -> None:
        """A verdict and an outcome of one task are about one input."""
        key = _short(id_)
        if key not in self._tasks or key not in self._outcomes:
            return
        (decided, on), (told, of) = self._tasks[key], self._outcomes[key]
        if of is not None and of != on:
            raise VerificationError(
                f"the task {id_!r} was decided in entry {decided} on another input than entry "
                f"{told} says the outcome of",
                rule="replay",
            )


_Noted = tuple[int, bytes | None]
"""The entry, and the digest of the input where it says it."""


def _short(id_: str) -> bytes:
    return hashlib.sha256(id_.encode()).digest()[:16]


ReplayFunction = Callable[[str, Any, ReplayContext], None]


@dataclass(frozen=True, slots=True)
class _Declared:
    """A replay function that some installed package declares, imported when it is needed."""

    point: EntryPoint

    def load(self) -> ReplayFunction:
        """Import it.

        Raises:
            OperationalError: it cannot be imported: that is no fault of any record.
        """
        # Importing runs another package's code, which may raise anything.
        try:
            function: ReplayFunction = self.point.load()
        except Exception as error:
            package = self.point.dist
            by = "an installed package" if package is None else f"{package.name} {package.version}"
            raise OperationalError(
                f"entries of the kind {self.point.name!r} are replayed by {self.point.value}, as "
                f"{by} declares, and that cannot be imported: {type(error).__name__}: {error}; "
                "install that package anew, or verify without replay"
            ) from error
        return function


@cache
def _functions() -> dict[str, ReplayFunction | _Declared]:
    return {point.name: _Declared(point) for point in entry_points(group=GROUP)}


def replay(kind: str, body: Any, context: ReplayContext, seq: int) -> bool:
    """Compute the verdict of one entry again.

    Returns:
        Whether the entry was a verdict or declaration that could be replayed; ``False``
        for entries that claim none.

    Raises:
        VerificationError: rule ``replay`` (or ``panel``): the rules give something else.
        OperationalError: the function that replays this kind cannot be imported.
    """
    function = _functions().get(kind)
    if function is None:
        if isinstance(body, dict) and "rule" in body:
            raise VerificationError(
                f"no installed rule replays the kind {kind!r}; install what sealed it",
                index=seq,
                rule="replay",
            )
        return False
    if isinstance(function, _Declared):
        function = function.load()
    context.seq = seq
    try:
        function(kind, body, context)
    except VerificationError as error:
        raise VerificationError(_bare(error), index=seq, rule=error.rule) from error
    # A sealed body may be anything, and replay functions may be other packages': whatever
    # they stumble over, the entry is not what it claims to be.
    except Exception as error:
        message = f"it cannot be computed again: {type(error).__name__}: {error}"
        raise VerificationError(message, index=seq, rule="replay") from error
    return True


def _bare(error: VerificationError) -> str:
    return str(error).removesuffix(f" [{error.rule}]")
