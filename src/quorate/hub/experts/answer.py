"""What an expert answers with, and how the same stands in JSON.

An expert in another process or on another machine answers with one JSON object::

    {"payload": ..., "confidence": 0.9, "cost": 3, "tokens": 120, "ranking": [...]}

``payload`` must be there. ``confidence`` may be left out where the panel declares it, the
rest where there is none. Confidence and cost are numbers, or rationals written ``"1/3"``
in lowest terms, which no JSON number can hold. An unknown key is refused: a misspelt
``confidence`` must not go unseen.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from quorate.arbitration.forms import members, shown
from quorate.core import limits
from quorate.core.errors import MisbehaviourError, TransportError, UsageError
from quorate.core.exact import Number, exact, from_text
from quorate.core.text import shortened
from quorate.hub.experts.checks import whole

_KEYS: Final = ("confidence", "cost", "ranking", "tokens")


@dataclass(frozen=True, slots=True)
class Answer:
    """What an expert returns.

    Attributes:
        payload: the answer itself, any JSON value.
        confidence: how sure the expert says it is, 0 to 1.
        cost: what the answer cost, 0 or more, in the panel's own unit (seconds, cents).
        ranking: options as JSON values, best first, the payload at their head; ``None``
            for no ranking.
        tokens: tokens it used, 0 to 2^53 - 1.
    """

    payload: Any
    confidence: Number
    cost: Number = 0
    ranking: Any = None
    tokens: int = 0

    def __init__(
        self,
        payload: Any,
        confidence: Number,
        cost: Number = 0,
        *,
        ranking: Any = None,
        tokens: int = 0,
    ) -> None:
        """Keep the values as they are; they are checked when they are read."""
        _set(self, payload=payload, confidence=confidence, cost=cost)
        _set(self, ranking=ranking, tokens=tokens)


@dataclass(frozen=True, slots=True)
class BareAnswer:
    """An :class:`Answer` without a confidence, for an expert whose confidence is declared."""

    payload: Any
    cost: Number = 0
    ranking: Any = None
    tokens: int = 0

    def __init__(
        self, payload: Any, cost: Number = 0, *, ranking: Any = None, tokens: int = 0
    ) -> None:
        """Keep the values as they are; they are checked when they are read."""
        _set(self, payload=payload, cost=cost, ranking=ranking, tokens=tokens)

    def at(self, confidence: Number) -> Answer:
        """The same with that confidence."""
        return Answer(self.payload, confidence, self.cost, ranking=self.ranking, tokens=self.tokens)


def _set(frozen: object, **values: Any) -> None:
    for name, value in values.items():
        object.__setattr__(frozen, name, value)


def read_tokens(tokens: object, name: str = "the count of its tokens") -> int:
    """Check a count of tokens.

    Raises:
        UsageTypeError: no int; a bool is none.
        UsageError: negative, or over ``limits.MAX_SAFE_INTEGER``.
    """
    return whole(tokens, name, 0, limits.MAX_SAFE_INTEGER)


def answer_from_json(data: object, source: str = "the expert") -> Answer | BareAnswer:
    """Read a JSON answer object, as the module describes it.

    Args:
        data: what :func:`quorate.core.canonical.parse` made of it.
        source: whom to blame in the error.

    Returns:
        An answer; a bare one where no confidence came.

    Raises:
        MisbehaviourError: no such object, or a value in it is no answer's.
    """
    try:
        form = members(data, "the answer", ("payload",), _KEYS)
        ranking = form.get("ranking")
        if ranking is not None and not isinstance(ranking, list):
            raise UsageError(f"the ranking is {shown(ranking)}; it should be a list, best first")  # noqa: TRY301
        bare = BareAnswer(
            form["payload"],
            _number(form.get("cost", 0), "cost"),
            ranking=ranking,
            tokens=whole(
                form.get("tokens", 0), "the count of its tokens", 0, limits.MAX_SAFE_INTEGER
            ),
        )
        if "confidence" not in form:
            return bare
        return bare.at(_number(form["confidence"], "confidence"))
    except UsageError as error:
        raise MisbehaviourError(source, str(error)) from error


def reply_from_json(data: object, source: str) -> Answer | BareAnswer:
    """Read an answer object, or ``{"error": "why"}`` where there is no answer.

    Raises:
        MisbehaviourError: neither.
        TransportError: it says that it failed, and why.
    """
    if isinstance(data, dict) and data.keys() == {"error"} and isinstance(data["error"], str):
        raise TransportError(f"{source} says that it failed: {shortened(data['error'])}")
    return answer_from_json(data, source)


def answer_to_json(answer: Answer | BareAnswer) -> dict[str, Any]:
    """The JSON object of an answer, from which :func:`answer_from_json` reads its equal.

    Payload and ranking are passed on as they are.

    Raises:
        UsageError: a number cannot be written exactly, for it is none or out of bounds.
    """
    form = {"payload": answer.payload, "cost": _as_json(answer.cost, "its cost")}
    if isinstance(answer, Answer):
        form["confidence"] = _as_json(answer.confidence, "its confidence")
    if answer.ranking is not None:
        form["ranking"] = answer.ranking
    form["tokens"] = read_tokens(answer.tokens)
    return form


def _number(value: object, name: str) -> Number:
    if isinstance(value, str):
        return from_text(value, f"the {name}")
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise UsageError(f"the {name} is {shown(value)}; it should be a number")
    return value


def _as_json(value: Number, name: str) -> int | float | str:
    fraction = exact(value, name)
    if isinstance(value, float):
        # The base's own value: a subclass, such as numpy.float64, is no JSON.
        return float(value)
    if type(value) is int and abs(value) <= limits.MAX_SAFE_INTEGER:
        return value
    return str(fraction)
