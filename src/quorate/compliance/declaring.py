"""Which system a ledger is the record of: declared by its operator, sealed in the ledger itself.

Nothing in a decision says which system and version gave it. An entry of the kind ``system``
does, for the entries from ``since`` on. Body::

    {"rule": "system/1", "system": {"name": "triage", "version": "2.1.0", "role": "provider",
     "category": "annex_iii", "conditions": {}}, "since": 0, "by": "J. Doe",
     "silence_seconds": 3600}

``silence_seconds``, where it is there, is the longest time without an entry that is normal. An
entry is the record of one system at most. A later declaration of another system or version ends
the earlier one at its own entry, and does not reach back over what was another's record until
then; the same system may be declared again, in another role say, and the last one counts.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final, NamedTuple
from weakref import WeakKeyDictionary

from quorate.arbitration.forms import members, shown
from quorate.compliance.committing import read_scope
from quorate.compliance.evidence import Scope
from quorate.compliance.system import UNDECLARED, System
from quorate.core import limits
from quorate.core.errors import HeadMovedError, UsageError, UsageTypeError, VerificationError
from quorate.core.text import counted
from quorate.hub.oversight.rules import who, whole_seq
from quorate.ledger import Ledger, Receipt
from quorate.ledger.replay import ReplayContext

KIND: Final = "system"
RULE: Final = "system/1"

_ATTEMPTS: Final = 8

# The declarations of one log, for as long as its context is alive.
_DECLARED: Final[WeakKeyDictionary[ReplayContext, Declarations]] = WeakKeyDictionary()


@dataclass(frozen=True, slots=True)
class Declaration:
    """That a ledger is the record of a system.

    Attributes:
        system: with what is declared of it.
        since: number of the first entry that is its record.
        by: who declares.
        silence_seconds: longest time without an entry that is normal, 1 or more; ``None``
            where that is not declared.
    """

    system: System
    since: int
    by: str
    silence_seconds: int | None = None

    def __post_init__(self) -> None:
        """Check.

        Raises:
            UsageTypeError: a value is of the wrong type.
            UsageError: a value cannot be used.
        """
        if not isinstance(self.system, System):
            raise UsageTypeError(f"system is a {type(self.system).__name__}; give a System")
        if self.scope == scope_of(UNDECLARED):
            raise UsageError("no system is named; give its name and version")
        whole_seq(self.since, "since")
        who(self.by)
        if self.silence_seconds is not None:
            _check_silence(self.silence_seconds)

    @property
    def scope(self) -> Scope:
        """Name and version of the system."""
        return scope_of(self.system)

    def to_dict(self) -> dict[str, Any]:
        """The body that is sealed."""
        body = {
            "rule": RULE,
            "system": self.system.to_dict(),
            "since": self.since,
            "by": self.by,
        }
        if self.silence_seconds is not None:
            body["silence_seconds"] = self.silence_seconds
        return body

    @classmethod
    def from_dict(cls, body: object) -> Declaration:
        """Read the body of an entry.

        Raises:
            UsageError: another shape.
        """
        names = ("rule", "system", "since", "by")
        form = members(body, "the declaration", names, ("silence_seconds",))
        if form["rule"] != RULE:
            raise UsageError(f"rule is {shown(form['rule'])}; this version reads {RULE}")
        system = System.read(form["system"])
        if system.to_dict() != form["system"]:
            raise UsageError("the system is not written whole: role, category and conditions too")
        silence = form.get("silence_seconds")
        if "silence_seconds" in form:
            _check_silence(silence)
        return cls(system, form["since"], form["by"], silence)

    def describe(self) -> str:
        """In words, such as ``J. Doe declared entries 0 and later the record of …``."""
        told = f"{self.by} declared the entries from {self.since} on the record of "
        told += f"{self.system.name} {self.system.version}"
        if self.silence_seconds is None:
            return f"{told}."
        return f"{told}, with at most {counted(self.silence_seconds, 'second')} without an entry."


class Late(NamedTuple):
    """A declaration that reaches back.

    Attributes:
        seq: its entry.
        declared: what it says; its record begins at ``declared.since``.
        last: number of the last entry that was nobody's record until then.
    """

    seq: int
    declared: Declaration
    last: int


class Declarations:
    """The declarations of one log, in its order, and whose record each entry is."""

    def __init__(self) -> None:
        """Begin with nothing declared: nobody's record."""
        self._sealed: list[tuple[int, Declaration]] = []
        # Where the record of one system begins; it ends where the next one begins.
        self._runs: list[tuple[int, Scope]] = []
        # The entry at which the record before the last one was ended.
        self._floor = 0
        self._times: dict[int, int] = {}
        self._late: list[Late] = []

    @classmethod
    def of(cls, sealed: Iterable[tuple[int, Declaration]]) -> Declarations:
        """Those of a log: the number of each entry, and what it declares.

        Raises:
            UsageError: as :meth:`take`.
        """
        made = cls()
        for seq, one in sealed:
            made.take(seq, one)
        return made

    def check(self, seq: int, declared: Declaration) -> None:
        """Refuse what entry ``seq`` may not declare.

        Raises:
            UsageError: it reaches past itself, or back over another system's record.
        """
        if declared.since > seq:
            raise UsageError(
                f"since is {declared.since}, and the declaration is entry {seq}; a declaration "
                "reaches back or begins with itself"
            )
        least = self._least(seq, declared.scope)
        if declared.since < least:
            other = next(scope for _, scope in reversed(self._runs) if scope != declared.scope)
            raise UsageError(
                f"since is {declared.since}, and the entries before {least} are the record of "
                f"{other.system} {other.version}; give {least} or more, or leave it out"
            )

    def take(self, seq: int, declared: Declaration, time: int = 0) -> None:
        """Take in what entry ``seq`` declares, sealed at ``time`` in microseconds since 1970.

        Raises:
            UsageError: as :meth:`check`; nothing was taken in.
        """
        self.check(seq, declared)
        self._floor = self._least(seq, declared.scope)
        known = seq
        if self._runs and self._runs[-1][1] == declared.scope:
            known = self._runs.pop()[0]
        if declared.since < known:
            self._late.append(Late(seq, declared, known - 1))
        self._runs.append((min(known, declared.since), declared.scope))
        self._sealed.append((seq, declared))
        self._times[seq] = time

    def _least(self, seq: int, scope: Scope) -> int:
        """The first entry that a declaration of this system in entry ``seq`` may reach."""
        if not self._runs or self._runs[-1][1] == scope:
            return self._floor
        return seq

    def last_of(self, scope: Scope, until: int | None = None) -> tuple[int, Declaration] | None:
        """The entry that last declared exactly this system and version, and what it says.

        Args:
            scope: of the system.
            until: what was sealed later is left out, in microseconds since 1970.
        """
        return next(
            (
                one
                for one in reversed(self._sealed)
                if one[1].scope == scope and (until is None or self._times[one[0]] <= until)
            ),
            None,
        )

    def late(self, scope: Scope) -> tuple[Late, ...]:
        """Declarations of a system that came after what they declare to be its record."""
        return tuple(one for one in self._late if one.declared.scope == scope)

    def ranges(self, scope: Scope, size: int) -> tuple[range, ...]:
        """Numbers of the entries that are the record of a system, of a log of ``size``.

        Several where another system or version was declared in between; none where this one
        was not declared.
        """
        ends = [*(first for first, _ in self._runs), size]
        return tuple(
            range(first, ends[place + 1])
            for place, (first, one) in enumerate(self._runs)
            if one == scope
        )


def declare_system(
    ledger: Ledger,
    system: Any,
    *,
    by: str,
    since: int | None = None,
    silence_seconds: int | None = None,
) -> Receipt:
    """Declare that a ledger is the record of a system, and seal that in it.

    Args:
        ledger: open for writing.
        system: a :class:`System`, or what it is read from.
        by: who declares.
        since: number of the first entry that is its record; ``None`` for the declaration
            itself.
        silence_seconds: longest time without an entry that is normal, in whole seconds.

    Raises:
        UsageError: an argument cannot be used, ``since`` reaches past the end of the ledger or
            back over the record of another system, or others keep writing meanwhile. Nothing
            was sealed.
        VerificationError: an entry of the ledger is damaged.
        StoreError: it could not be written.
    """
    read = System.read(system)
    for _ in range(_ATTEMPTS):
        size = len(ledger)
        made = Declaration(read, size if since is None else since, by, silence_seconds)
        declarations(ledger).check(size, made)
        try:
            return ledger.append(KIND, made.to_dict(), expect=size)
        except HeadMovedError:
            continue
    raise UsageError(
        f"others wrote to the ledger {_ATTEMPTS} times in a row meanwhile, so nothing was "
        "declared; try again"
    )


def declarations(ledger: Ledger) -> Declarations:
    """What a ledger declares. Every entry is read, so that none can hide.

    Raises:
        VerificationError: an entry is damaged, or a declaration is not sound.
        StoreError: it cannot be read.
    """
    found = Declarations()
    for receipt in ledger.follow(lambda entry: entry.kind == KIND).read():
        try:
            declared = Declaration.from_dict(receipt.payload)
            found.take(receipt.seq, declared, receipt.entry.time)
        except UsageError as error:
            raise _unsound(error, receipt.seq) from error
    return found


def find_declaration(ledger: Ledger, scope: Scope | System) -> tuple[Receipt, Declaration] | None:
    """The entry that last declared exactly this system and version, with its receipt.

    Raises:
        VerificationError: as :func:`declarations`.
        StoreError: it cannot be read.
    """
    found = declarations(ledger).last_of(scope_of(scope) if isinstance(scope, System) else scope)
    return None if found is None else (ledger.get(found[0]), found[1])


def declared_in(context: ReplayContext) -> Declarations:
    """What the declarations that the context has passed came to."""
    return _DECLARED.setdefault(context, Declarations())


def scope_of(system: System) -> Scope:
    """Name and version of a system, as evidence names them."""
    return read_scope({"system": system.name, "version": system.version})


def described(body: object) -> str:
    """The story of a sealed declaration.

    Raises:
        UsageError: it is none.
    """
    return Declaration.from_dict(body).describe()


def replay(kind: str, body: Any, context: ReplayContext | None = None) -> None:
    """Check one sealed declaration again; return only if it is sound.

    Args:
        kind: must be ``"system"``.
        body: the sealed body.
        context: of the log; one that has not passed all entries before this one, or none,
            checks the body on its own.

    Raises:
        VerificationError: rule ``"replay"``; says what is wrong.
    """
    try:
        declared = Declaration.from_dict(body if kind == KIND else None)
        if context is not None and context.whole:
            at = 0 if context.current is None else context.current.time
            declared_in(context).take(context.seq, declared, at)
    except UsageError as error:
        raise _unsound(error) from error


def _unsound(error: UsageError, seq: int | None = None) -> VerificationError:
    return VerificationError(f"the system declared is not sound: {error}", index=seq, rule="replay")


def _check_silence(value: object) -> None:
    if isinstance(value, bool) or not isinstance(value, int):
        raise UsageTypeError(f"silence_seconds is {shown(value)}; give whole seconds")
    if not 1 <= value <= limits.MAX_SAFE_INTEGER:
        raise UsageError(f"silence_seconds is {value}; it is 1 or more")
