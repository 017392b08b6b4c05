"""From what a call of an expert gave to its proposal or absence.

What is read is foreign: looking at it may run foreign code, which may raise anything, and
it may be larger than memory has room for a second time. Whatever it is, one proposal or
one absence comes of it.
"""

from __future__ import annotations

from fractions import Fraction
from typing import Any, Final, NamedTuple

from quorate.arbitration import Absence, Proposal
from quorate.core import limits
from quorate.core.errors import MisbehaviourError, UsageError
from quorate.core.exact import exact
from quorate.core.text import shortened
from quorate.hub.experts import Answer, Expert

_NOTHING: Final = Fraction(0)
_SMALL: Final = frozenset({int, float, bool})
# Two digests, their quotes, a colon and a comma.
_BYTES_PER_PLACE: Final = 2 * 64 + 6


class Reading(NamedTuple):
    """What an expert is in the roster, and what it used.

    Attributes:
        result: its proposal or its absence.
        cost, tokens: what it says its answer cost and used, whether it counts or not; 0
            where that cannot be read.
    """

    result: Proposal | Absence
    cost: Fraction = _NOTHING
    tokens: int = 0


def payload_share(experts: int) -> int:
    """Bytes that one of so many experts may answer with, payload and ranking together.

    Beyond it their verdict might be larger than one entry of a ledger. What the verdict
    says of each place of a ranking, whose normal form may stand in it, counts too; the
    numbers need no share, for they are bounded alike for any roster.
    """
    return min(2 * limits.MAX_PAYLOAD_BYTES, limits.MAX_BODY_BYTES // (2 * experts))


def read_answer(expert: Expert, weight: Fraction, returned: Any, most: int) -> Reading:
    """Read what ``expert`` returned, at route weight ``weight``; at most ``most`` bytes."""
    answer = None
    # Looking at a foreign object may run foreign code, which may raise SystemExit too.
    try:
        answer = expert.read(returned)
        _check_size(answer, most)
        proposal = Proposal(
            expert.id,
            answer.payload,
            answer.confidence,
            weight,
            answer.cost,
            ranking=answer.ranking,
        )
        _check_share(proposal, most)
    except BaseException as error:  # noqa: BLE001
        absence = Absence(expert.id, weight, "void", _why_void(error))
        return Reading(absence, *_used(answer))
    cost, tokens = proposal.exact_cost, answer.tokens
    over = _over_budget(expert, cost, tokens)
    if over:
        return Reading(Absence(expert.id, weight, "over_budget", over), cost, tokens)
    return Reading(proposal, cost, tokens)


def _check_size(answer: Answer, most: int) -> None:
    """Refuse what is certain to be too large, before it is copied or encoded."""
    used = 0
    for name, value in (("payload", answer.payload), ("ranking", answer.ranking)):
        # One that is no container is looked at, and not copied, by whoever reads it next.
        if value is not None and type(value) not in _SMALL:
            size = _least_bytes(value, limits.MAX_PAYLOAD_BYTES)
            used += size
            if size > limits.MAX_PAYLOAD_BYTES:
                raise UsageError(
                    f"its {name} is larger than {limits.MAX_PAYLOAD_BYTES} bytes of canonical "
                    "JSON, the most allowed"
                )
    if used > most:
        raise UsageError(_beyond(most))


def _check_share(proposal: Proposal, most: int) -> None:
    if proposal.size + _BYTES_PER_PLACE * len(proposal.ranking or ()) > most:
        raise UsageError(_beyond(most))


def _beyond(most: int) -> str:
    return f"the answer is larger than {most} bytes, the share of one in this roster"


def _least_bytes(value: Any, most: int) -> int:
    """A lower bound of the bytes of ``value`` as canonical JSON; counts no further past ``most``.

    It runs no foreign code, and looks at no more than about ``most`` values, though one
    list may stand a thousand times in another, and that one in a third.
    """
    total, level = 0, [value]
    for _ in range(limits.MAX_DEPTH):
        below: list[Any] = []
        for item in level:
            kind = type(item)
            if issubclass(kind, str):
                total += str.__len__(item) + len('""')
            elif kind is list or kind is tuple:
                total += max(len(item) + 1, len("[]"))
                if total <= most:
                    below += item
            elif kind is dict:
                total += 2 * len(item) + 1
                if total <= most:
                    # It may be changed at this moment.
                    members = item.copy()
                    below += members
                    below += members.values()
            else:
                total += 1
            if total > most:
                return total
        if not below:
            break
        level = below
    return total


def _over_budget(expert: Expert, cost: Fraction, tokens: int) -> str:
    """Which of its own ceilings an answer is over; empty if none."""
    if expert.within_budget(cost, tokens):
        return ""
    if expert.max_cost is not None and cost > expert.max_cost:
        return f"it cost {float(cost):g}, at most {float(expert.max_cost):g}"
    return f"it used {tokens} tokens, at most {expert.max_tokens}"


def _used(answer: Answer | None) -> tuple[Fraction, int]:
    """What a void answer says it cost and used: it is spent all the same."""
    if answer is None:
        return _NOTHING, 0
    given = answer.cost
    # Odd fractions make long sums.
    if type(given) is Fraction and given.denominator > limits.MAX_ODD_DENOMINATOR:
        return _NOTHING, answer.tokens
    try:
        cost = exact(given)
    except UsageError:
        return _NOTHING, answer.tokens
    return (cost if 0 <= cost <= limits.MAX_SAFE_INTEGER else _NOTHING), answer.tokens


def _why_void(error: BaseException) -> str:
    """Say why an answer is void; the error itself may be foreign, and fail at being shown."""
    try:
        if isinstance(error, MisbehaviourError | UsageError):
            return shortened(str(error))
        return shortened(f"what it answered cannot be read: {type(error).__name__}")
    except BaseException:  # noqa: BLE001
        return "what it answered cannot be read"
