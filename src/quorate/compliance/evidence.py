"""Evidence: typed items, each of which says what was found, by whom, when, and of what.

An item that is to count is sealed: its :meth:`~Evidence.body` is the body of a ledger entry
of the kind ``evidence``, and its ``receipt`` names that entry. A set of evidence is a file
with the items and those receipts::

    {
      "format": "quorate/evidence/1",
      "system": {"name": "triage", "version": "2.1.0", "role": "provider",
                 "category": "annex_iii", "conditions": {"trains_models": false}},
      "items": [
        {"field": "eventLogging", "status": "passed", "source": "platform team",
         "time": "2026-11-21T09:30:00Z", "expires": null,
         "scope": {"system": "triage", "version": "2.1.0"}, "digest": null,
         "data": {...}, "entries": [{"seq": 7, "hash": "…"}],
         "receipt": {"origin": "example.org/log", "seq": 12, "hash": "…"}}
      ],
      "receipts": [...]
    }
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, ClassVar, Final, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationError,
    field_validator,
    model_validator,
)

from quorate.compliance import bounds
from quorate.compliance.system import UNDECLARED, Name, System
from quorate.compliance.times import Instant, microseconds
from quorate.compliance.wording import says_something, shown, told, written
from quorate.core import limits
from quorate.core.canonical import CanonicalError, canonical, parse
from quorate.core.errors import UsageError
from quorate.core.text import printable
from quorate.ledger import Receipt
from quorate.ledger.files import read_text

FORMAT: Final = "quorate/evidence/1"
KIND: Final = "evidence"
"""Kind of the ledger entries that seal items."""
COLLECTED: Final = "quorate.collect."
"""What the source of evidence begins with that was collected from the log it is sealed in."""
UNVERIFIED: Final = "the ledger does not verify"
"""What the reason begins with of all that is collected from a ledger that does not."""

VALID_ITEM: Final = (
    'a valid item is {"status": "passed" or "failed", "source": who established it, '
    '"time": "2026-11-21T09:30:00Z", "scope": {"system": name, "version": version}, '
    '"data": {...}}'
)
"""What a message about one item that is something else ends with."""

_RESERVED: Final = frozenset({"format", "system", "receipts", "metadata"})

Hex64 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
Sha256 = Annotated[str, StringConstraints(pattern=r"^sha256:[0-9a-f]{64}$")]
Text = Annotated[
    str,
    StringConstraints(min_length=1, max_length=bounds.MAX_TEXT, pattern=r"[^\s]"),
    AfterValidator(says_something),
]
Seq = Annotated[int, Field(ge=0, le=limits.MAX_SAFE_INTEGER)]


class _Frozen(BaseModel):
    model_config = ConfigDict(
        frozen=True, strict=True, extra="forbid", revalidate_instances="always"
    )


class Scope(_Frozen):
    """Which system, and which version of it, an item speaks of."""

    system: Name
    version: Name


class EntryRef(_Frozen):
    """A ledger entry: its number and its hash."""

    seq: Seq
    hash: Hex64


class ReceiptRef(_Frozen):
    """The ledger entry that seals an item: the log's name, the entry's number and hash."""

    origin: Name
    seq: Seq
    hash: Hex64


class Evidence(_Frozen):
    """One item of evidence.

    Attributes:
        field: a field of a profile (``eventLogging``) or an obligation (``art_12.par_1``).
        status: what was found; only ``passed`` can show anything, ``failed`` fails.
        source: who or what established it.
        time: when, RFC 3339 in UTC.
        expires: from then on it is stale; it never lengthens the time for which the profile
            lets evidence count, nor retires a failure.
        scope: the system and the version it speaks of.
        digest: of the document it speaks of, ``sha256:…``; ``None`` where there is none.
        data: typed by the schema of its field or obligation (:mod:`~.schemas`).
        entries: ledger entries that it was made from.
        receipt: the entry of the kind ``evidence`` that seals it; ``None`` while unsealed.
    """

    field: Name
    status: Literal["passed", "failed"]
    source: Text
    time: Instant
    expires: Instant | None = None
    scope: Scope
    digest: Sha256 | None = None
    data: dict[str, Any] = Field(default_factory=dict)
    entries: tuple[EntryRef, ...] = Field(default=(), strict=False, max_length=bounds.MAX_ENTRIES)
    receipt: ReceiptRef | None = None

    @model_validator(mode="after")
    def _bounded(self) -> Self:
        if self.expires is not None and microseconds(self.expires) <= microseconds(self.time):
            raise ValueError(f"it expires at {self.expires}, not after its time {self.time}")
        size = len(canonical(self.body()))
        if size > bounds.MAX_ITEM_BYTES:
            raise ValueError(f"it has {size} bytes, at most {bounds.MAX_ITEM_BYTES} are read")
        return self

    @field_validator("data")
    @classmethod
    def _json(cls, data: dict[str, Any]) -> dict[str, Any]:
        canonical(data)
        return data

    def body(self) -> dict[str, Any]:
        """What is sealed: the item as JSON, without its receipt."""
        members = self.model_dump(mode="json", exclude={"receipt"})
        members["data"] = self.data
        return members

    def sealed_by(self, receipt: Receipt) -> Evidence:
        """This item, naming the entry that seals it."""
        reference = ReceiptRef(origin=receipt.origin, seq=receipt.seq, hash=receipt.entry_hash)
        return self.model_copy(update={"receipt": reference})

    def to_dict(self) -> dict[str, Any]:
        """The item as JSON, its receipt's reference included."""
        receipt = None if self.receipt is None else self.receipt.model_dump(mode="json")
        return {**self.body(), "receipt": receipt}

    @classmethod
    def read(cls, value: Any, name: str | None = None) -> Evidence:
        """Read one item; ``name`` is the field it stands under, where it names none itself.

        Raises:
            UsageError: it is no item; the message says why, and what a valid one looks like.
        """
        if isinstance(value, Evidence):
            # What a subclass says of itself is not what its members are.
            members: Any = {each: getattr(value, each) for each in Evidence.model_fields}
        elif isinstance(value, Mapping):
            members = dict(value)
            if name is not None:
                members.setdefault("field", name)
        else:
            raise UsageError(f"{written(value)} is no evidence: {VALID_ITEM}")
        try:
            item = Evidence.model_validate(members)
        except ValidationError as error:
            raise UsageError(f"no valid evidence: {told(error)}. {VALID_ITEM}") from error
        except (CanonicalError, RecursionError) as error:
            raise UsageError(f"no valid evidence: {error}. {VALID_ITEM}") from error
        if name is not None and item.field != name:
            raise UsageError(
                f"no valid evidence: it stands under {shown(name)} but its field is "
                f"{shown(item.field)}"
            )
        return item


@dataclass(frozen=True, slots=True)
class InvalidItem:
    """Something that stands where evidence should, and is none.

    Attributes:
        field: under which it stands.
        reason: what is wrong.
    """

    field: str
    reason: str


@dataclass(frozen=True, slots=True)
class EvidenceSet:
    """Items of evidence on one system, with the receipts that seal them.

    Attributes:
        system: of which they speak.
        items: in the order given.
        receipts: of the entries that the items name; what cannot be read as one is kept as
            the text of the reason, and seals nothing.
        invalid: what stood where an item should.
    """

    system: System = UNDECLARED
    items: tuple[Evidence, ...] = ()
    receipts: tuple[Receipt | str, ...] = ()
    invalid: tuple[InvalidItem, ...] = field(default=())

    FORMAT: ClassVar[str] = FORMAT

    def __post_init__(self) -> None:
        """Hold to the bounds; a subclass of an item is read as an item."""
        if any(type(each) is not Evidence for each in self.items):
            items = tuple(Evidence.read(each) for each in self.items)
            object.__setattr__(self, "items", items)
        number = len(self.items) + len(self.invalid)
        if number > bounds.MAX_ITEMS:
            raise UsageError(f"{number} items of evidence; at most {bounds.MAX_ITEMS} are read")
        if len(self.receipts) > bounds.MAX_RECEIPTS:
            raise UsageError(
                f"{len(self.receipts)} receipts; at most {bounds.MAX_RECEIPTS} are read"
            )

    @classmethod
    def read(
        cls, source: str | Path | Mapping[str, Any] | Sequence[Any] | EvidenceSet
    ) -> EvidenceSet:
        """Read evidence from a file, from the members of one, from a plain mapping, or a list.

        A plain mapping has a field and its item, or a list of its items; it may lie under
        ``metadata``, as in an agent card, and have ``system`` and ``receipts`` beside it.
        What is no item does not stop the reading: it is kept in ``invalid``.

        Raises:
            OperationalError: the file cannot be read.
            UsageError: it is no set of evidence at all.
        """
        if isinstance(source, cls):
            return source
        if isinstance(source, str | Path):
            name = source
            text = read_text(source, "evidence file", bounds.MAX_EVIDENCE_BYTES)
            try:
                source = parse(text)
            except CanonicalError as error:
                raise UsageError(f"the evidence file {printable(str(name))}: {error}") from error
        if isinstance(source, Mapping):
            return cls._from_mapping(source)
        if isinstance(source, Sequence) and not isinstance(source, bytes | bytearray):
            items, invalid = _sorted_out(_listed(source))
            return cls(UNDECLARED, items, (), invalid)
        raise UsageError(
            f"{shown(source)} is no evidence; give a file, a mapping of fields to items, or a list"
        )

    @classmethod
    def _from_mapping(cls, members: Mapping[str, Any]) -> EvidenceSet:
        system = UNDECLARED if members.get("system") is None else System.read(members["system"])
        receipts = _receipts(members.get("receipts", ()))
        if "format" in members:
            found = _of_format(members)
        else:
            fields = members.get("metadata", members)
            if not isinstance(fields, Mapping):
                raise UsageError(f"metadata is {written(fields)}; it maps fields to evidence")
            found = _of_fields(fields)
        items, invalid = _sorted_out(found)
        return cls(system, items, receipts, invalid)

    def to_dict(self) -> dict[str, Any]:
        """The set as JSON; :meth:`read` reads it back.

        Raises:
            UsageError: it holds something that is no evidence or no receipt.
        """
        wrong = [f"{each.field}: {each.reason}" for each in self.invalid]
        wrong += [each for each in self.receipts if isinstance(each, str)]
        if wrong:
            raise UsageError(f"not all of it can be written as evidence: {wrong[0]}")
        return {
            "format": FORMAT,
            "system": self.system.to_dict(),
            "items": [item.to_dict() for item in self.items],
            "receipts": [each.to_dict() for each in self.receipts if isinstance(each, Receipt)],
        }


_Found = Iterator[tuple[str | None, Any]]


def _of_format(members: Mapping[str, Any]) -> _Found:
    if members["format"] != FORMAT:
        raise UsageError(f"format is {written(members['format'])}; {FORMAT!r} is known")
    unknown = sorted(members.keys() - {"format", "system", "items", "receipts"})
    if unknown:
        raise UsageError(
            f"unknown {shown(unknown[0])}; a set of evidence has format, system, items, receipts"
        )
    items = members.get("items")
    if not isinstance(items, Sequence) or isinstance(items, str | bytes):
        raise UsageError(f"items is {written(items)}; it is a list of items")
    return _listed(items)


def _of_fields(fields: Mapping[str, Any]) -> _Found:
    for name, value in fields.items():
        if not isinstance(name, str):
            raise UsageError(f"the field {shown(name)} is no text")
        if name in _RESERVED:
            continue
        many = isinstance(value, list | tuple)
        for each in value if many else (value,):
            yield name, each
        if many and not value:
            yield name, value


def _listed(items: Sequence[Any]) -> _Found:
    for item in items:
        yield None, item


def _sorted_out(found: _Found) -> tuple[tuple[Evidence, ...], tuple[InvalidItem, ...]]:
    items, invalid = [], []
    for number, (name, value) in enumerate(found):
        if number >= bounds.MAX_ITEMS:
            raise UsageError(f"more than {bounds.MAX_ITEMS} items of evidence")
        try:
            items.append(Evidence.read(value, name))
        except UsageError as error:
            own = value.get("field") if isinstance(value, Mapping) else None
            known = name if name is not None else own if isinstance(own, str) else f"#{number}"
            # Of many, each says what is wrong with it; what an item looks like is the same of all.
            invalid.append(InvalidItem(known, _briefly(str(error))))
    return tuple(items), tuple(invalid)


def _briefly(message: str) -> str:
    return message.removesuffix(VALID_ITEM).rstrip(": .")


def _receipts(given: Any) -> tuple[Receipt | str, ...]:
    if not isinstance(given, Sequence) or isinstance(given, str | bytes):
        raise UsageError(f"receipts is {written(given)}; it is a list of receipts")
    return tuple(read_receipt(each) for each in given)


def read_receipt(value: Any) -> Receipt | str:
    """A receipt from its JSON, or the reason why it is none."""
    if isinstance(value, Receipt):
        return value
    try:
        return Receipt.from_dict(value)
    except UsageError as error:
        return str(error)
