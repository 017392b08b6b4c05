"""What an executor is handed, and what it says came of it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Protocol, runtime_checkable

from quorate.core.canonical import CanonicalError, canonical, parse
from quorate.core.errors import OperationalError, UsageError, UsageTypeError
from quorate.core.text import shortened
from quorate.council.bounds import MAX_DETAIL_BYTES, MAX_SAID_CHARACTERS
from quorate.council.rules.values import Execution
from quorate.ledger.receipts import Receipt

ORDER: Final = "quorate/council-order/v1"
"""What an order says it is, in ``form``."""

OUTCOMES: Final = (Execution.EXECUTED, Execution.FAILED, Execution.UNKNOWN)
"""What may come of an execution."""

LEAST_SECRET: Final = 4
"""Fewest characters of a secret; what is shorter stands in every other output."""

# Beside the detail itself, a little is kept of how it came.
_ROOM: Final = 1024
_ANSWER: Final = frozenset({"outcome", "detail"})


class NotExecutedError(OperationalError):
    """Raised by a Python executor to say that it did nothing: the execution has failed.

    Whatever else it raises leaves unknown how far it got.
    """


@dataclass(frozen=True, slots=True)
class Order:
    """Exactly what was voted, for the one execution of it.

    Attributes:
        council_id: whose decision it is.
        proposal_id: unique in its council.
        digest: of all that the votes are bound to, 64 hex digits.
        action: normal name.
        critical: whether it took a quorum and a supermajority.
        target: what it is to be done to, or ``None``; data, never a part of a command line.
        evidence_json: canonical JSON of the evidence.
        token: names this execution, the same however often the order is seen.
        certificate: receipt of the sealed decision, with all the votes behind it.
        intent: receipt of the sealed intent, which this token is of.
        deadline: when the result is due, in microseconds since 1970; later it is unknown.
    """

    council_id: str
    proposal_id: str
    digest: str
    action: str
    critical: bool
    target: str | None
    evidence_json: bytes
    token: str
    certificate: Receipt
    intent: Receipt
    deadline: int

    @property
    def evidence(self) -> Any:
        """The evidence, read anew from its canonical bytes."""
        return parse(self.evidence_json)

    def to_dict(self) -> dict[str, Any]:
        """As JSON; ``check_order`` reads it, and checks it against what its reader trusts."""
        return {
            "form": ORDER,
            "council": self.council_id,
            "proposal": self.proposal_id,
            "digest": self.digest,
            "action": self.action,
            "critical": self.critical,
            "target": self.target,
            "evidence": self.evidence,
            "token": self.token,
            "certificate": self.certificate.to_dict(),
            "intent": self.intent.to_dict(),
            "deadline": self.deadline,
        }

    def to_json(self) -> bytes:
        """As canonical JSON."""
        return canonical(self.to_dict())


@dataclass(frozen=True, slots=True)
class Report:
    """What an executor says came of an order.

    Attributes:
        outcome: ``executed``; ``failed``, nothing was done; or ``unknown``, it may have been.
        detail: any JSON value of at most ``bounds.MAX_DETAIL_BYTES``.

    Raises:
        UsageError: another outcome.
    """

    outcome: Execution
    detail: Any = None

    def __post_init__(self) -> None:
        """Check the outcome."""
        object.__setattr__(self, "outcome", read_outcome(self.outcome))


@runtime_checkable
class Executor(Protocol):
    """Carries out orders.

    Attributes:
        name: what is sealed of it before it begins, 1 to 256 characters; no secrets.
        timeout: seconds until its result is due.
    """

    @property
    def name(self) -> str: ...  # noqa: D102 - told above

    @property
    def timeout(self) -> float: ...  # noqa: D102 - told above

    def check(self) -> None:
        """See that it could begin now; nothing is begun if this raises.

        Raises:
            OperationalError: it could not.
        """

    def carry_out(self, order: Order) -> Report:
        """Do what the order says, once.

        What it raises is taken as ``unknown``, but for :class:`NotExecutedError`.
        """


def read_outcome(value: object) -> Execution:
    """Read an outcome: an :class:`Execution` or its text.

    Raises:
        UsageError: none of ``OUTCOMES``.
    """
    for outcome in OUTCOMES:
        if isinstance(value, str) and value == outcome.value:
            return outcome
    raise UsageError(f"the outcome is {value!r}; it is one of {', '.join(OUTCOMES)}")


def read_answer(answer: bytes) -> Report | None:
    """Read ``{"outcome": …, "detail": …}``, detail optional; ``None`` if it is no such answer.

    Raises:
        UsageError: an object with an ``outcome``, but none that is known.
    """
    try:
        found = parse(answer)
    except CanonicalError:
        return None
    if not isinstance(found, Mapping) or "outcome" not in found:
        return None
    if not found.keys() <= _ANSWER:
        raise UsageError(f"the answer has unknown members: {sorted(found.keys() - _ANSWER)}")
    return Report(read_outcome(found["outcome"]), found.get("detail"))


def read_said(output: bytes, *, cut: bool) -> Report | None:
    """Read what was written where an answer may stand; ``None`` if it says nothing of itself.

    Args:
        output: all that was written, or the beginning of it.
        cut: there was more.

    Raises:
        UsageError: it may name an outcome, and is not exactly an answer: a line stands beside
            it, a member stands there twice, or its end is missing.
    """
    if cut:
        raise UsageError(
            "it wrote more than is read, so whether it names an outcome is not known; it should "
            "write its answer and nothing else"
        )
    stated = read_answer(output)
    # Without the zeros of wider encodings; in whatever case or quotes.
    if stated is None and b"outcome" in output.replace(b"\0", b"").lower():
        raise UsageError(
            'it names an outcome beside something else, or not as {"outcome": …, "detail": …} '
            "alone; what it means is not known"
        )
    return stated


def said(output: bytes, *, last: bool = False) -> str:
    """The beginning of what was written, or the end of it, fit to be sealed."""
    text = output.decode("utf-8", "replace")
    if len(text) <= MAX_SAID_CHARACTERS:
        return text
    kept = MAX_SAID_CHARACTERS - 1
    return f"…{text[-kept:]}" if last else f"{text[:kept]}…"


def holds(text: str, secret: str) -> bool:
    """Whether a secret is in a text, or in a JSON text however it is spelled there."""
    try:
        plain = json.dumps(json.loads(text), ensure_ascii=False)
    except (ValueError, RecursionError):
        plain = text
    return secret in text or json.dumps(secret)[1:-1] in plain


def sealable(detail: Any) -> Any:
    """The detail if it can be sealed; else one that says why it is left out."""
    try:
        # As deep as it will be sealed.
        size = len(canonical({"detail": detail}))
    except UsageError as error:
        return {"left_out": shortened(f"the detail is no JSON that can be sealed: {error}")}
    if size <= MAX_DETAIL_BYTES - _ROOM:
        return detail
    return {"left_out": f"the detail has {size} bytes; at most {MAX_DETAIL_BYTES - _ROOM} are kept"}


def check_timeout(timeout: object, most: float) -> float:
    """Give back a timeout above 0 and at most ``most``, in seconds.

    Raises:
        UsageTypeError: no number.
        UsageError: out of range.
    """
    if isinstance(timeout, bool) or not isinstance(timeout, int | float):
        raise UsageTypeError(f"the timeout is {timeout!r}; give seconds")
    if not 0 < timeout <= most:
        raise UsageError(f"the timeout is {timeout!r}; give seconds above 0 and up to {most}")
    return float(timeout)
