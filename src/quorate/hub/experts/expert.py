"""What an expert is: a callable with a place in the roster."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from fractions import Fraction
from types import MappingProxyType
from typing import Any, Final

from quorate.arbitration.forms import shown, text
from quorate.core import limits
from quorate.core.calls import Callee
from quorate.core.errors import MisbehaviourError, UsageError, UsageTypeError
from quorate.core.exact import Number, exact
from quorate.hub.experts.adapter import Adapter, due_in
from quorate.hub.experts.answer import Answer, BareAnswer, read_tokens

_PYTHON: Final = "python"


class _Misbehaved:
    """What a call to an adapter returns in place of an answer that is none."""

    __slots__ = ("error",)

    def __init__(self, error: MisbehaviourError) -> None:
        self.error = error


class Expert:
    """A callable with a place in the roster.

    Attributes:
        id: name in the roster.
        function: the callable; an :class:`~quorate.hub.experts.adapter.Adapter` where the
            expert is reached by other means than a call in this process.
        weight: route weight, an exact rational, 0 or more.
        timeout: seconds it gets for one task.
        max_cost: an answer that cost more is not counted; ``None`` for no ceiling.
        max_tokens: an answer that used more is not counted; ``None`` for no ceiling.
        confidence: where given, the callable returns the bare payload (or a
            :class:`BareAnswer`), and this is the confidence it counts with; otherwise it
            returns an :class:`Answer`.
        capabilities: names of what it can do, in alphabetical order.
        vector: a direction in the space where tasks are embedded, or ``None``.
        cost, tokens: what one call is expected to cost and to use.
        failure_domain: attribute (host, weights, family, vendor, …) to its value;
            experts that share a value fail together. ``None`` where nothing is declared.
        kind: what panel files call how it is reached, ``"python"`` for a plain callable.
        confidence_source: one sentence for people: how its confidence is obtained.
    """

    def __init__(  # noqa: PLR0913 - one argument for each thing a panel declares
        self,
        id: str,  # noqa: A002 - what panel files call it
        function: Callable[[Any], Any],
        *,
        weight: Number = 1,
        timeout: float = 30.0,
        max_cost: Number | None = None,
        confidence: Number | None = None,
        capabilities: Iterable[str] = (),
        vector: Iterable[float] | None = None,
        cost: Number = 0,
        tokens: int = 0,
        failure_domain: Mapping[str, str] | None = None,
        max_tokens: int | None = None,
    ) -> None:
        """Declare an expert; ``function`` takes the task's input, sync or async.

        Raises:
            UsageTypeError: a value is of the wrong type.
            UsageError: a value is out of its range.
        """
        self.id = id = text(id, "the expert id")  # noqa: A001 - as above
        self.function = function
        self.weight = _from_zero(weight, f"the weight of {id}")
        self.timeout = float(exact(timeout, f"timeout of {id}"))
        self.max_cost = None if max_cost is None else exact(max_cost, f"max_cost of {id}")
        self.confidence = None if confidence is None else exact(confidence, f"confidence of {id}")
        self.capabilities = _capabilities(capabilities, id)
        self.vector = None if vector is None else _vector(vector, id)
        self.cost = _from_zero(cost, f"the cost of {id}")
        self.tokens = read_tokens(tokens, f"the tokens of {id}")
        self.failure_domain = None if failure_domain is None else _domain(failure_domain, id)
        self.max_tokens = (
            None if max_tokens is None else read_tokens(max_tokens, f"the max_tokens of {id}")
        )
        if not 0 < self.timeout <= limits.MAX_TIMEOUT_SECONDS:
            raise UsageError(
                f"the timeout of {id} is {timeout}; "
                f"it is more than 0 and at most {limits.MAX_TIMEOUT_SECONDS} seconds"
            )
        if self.max_cost is not None and self.max_cost < 0:
            raise UsageError(f"the max_cost of {id} is {max_cost}; it cannot be negative")
        if self.confidence is not None and not 0 <= self.confidence <= 1:
            raise UsageError(f"the confidence of {id} is {confidence}; it is from 0 to 1")
        self._adapter = function if isinstance(function, Adapter) else None
        self.callee = Callee(
            f"expert {id}", function if self._adapter is None else self._through_adapter
        )

    @property
    def kind(self) -> str:
        """What panel files call how it is reached."""
        return _PYTHON if self._adapter is None else self._adapter.kind

    @property
    def confidence_source(self) -> str:
        """One sentence for people: how its confidence is obtained."""
        if self.confidence is not None:
            return f"the panel declares it: {float(self.confidence):g}"
        if self._adapter is None:
            return "the function gives it with each answer"
        return self._adapter.confidence_source

    async def aclose(self) -> None:
        """Let go of what the adapter holds, such as processes and connections."""
        if self._adapter is not None:
            await self._adapter.aclose()

    def read(self, returned: Any) -> Answer:
        """Read what the callable returned as an answer.

        Only the type is asked what it is, for a foreign object may answer with an exception.

        Raises:
            UsageError: no confidence is declared, and it is no :class:`Answer`, or of a
                subclass, whose attributes may be code; or its tokens are no number.
            MisbehaviourError: what came back through an adapter is no answer.
        """
        kind = type(returned)
        if kind is _Misbehaved:
            raise returned.error
        if kind is not Answer and issubclass(kind, Answer | BareAnswer) and kind is not BareAnswer:
            raise UsageError(
                f"it returned {kind.__name__}, a subclass; return quorate.hub.Answer itself"
            )
        if self.confidence is None:
            answer = _with_confidence(returned, kind)
        elif kind is Answer:
            raise UsageError(
                "it returned an Answer, but the panel declares its confidence; "
                "leave one of the two out"
            )
        else:
            bare = returned if kind is BareAnswer else BareAnswer(returned)
            answer = bare.at(self.confidence)
        read_tokens(answer.tokens)
        return answer

    def within_budget(self, cost: Fraction, tokens: int = 0) -> bool:
        """Say whether an answer of that cost and so many tokens may be counted."""
        if self.max_tokens is not None and tokens > self.max_tokens:
            return False
        return self.max_cost is None or cost <= self.max_cost

    async def _through_adapter(self, task: Any) -> Any:
        try:
            with due_in(self.timeout):
                return await self.function(task)
        # A crash is told by what is raised; a void answer by what is read.
        except MisbehaviourError as error:
            return _Misbehaved(error)


def _with_confidence(returned: Any, kind: type) -> Answer:
    if kind is Answer:
        answer: Answer = returned
        return answer
    if kind is BareAnswer:
        raise UsageError(
            "it gave no confidence; let it give one with each answer, or declare its "
            "confidence in the panel"
        )
    raise UsageError(
        f"it returned {kind.__name__}; return quorate.hub.Answer(payload, "
        "confidence), or declare its confidence in the panel"
    )


def _from_zero(value: Number, name: str) -> Fraction:
    number = exact(value, name.removeprefix("the "))
    if not 0 <= number <= limits.MAX_SAFE_INTEGER:
        raise UsageError(f"{name} is {value}; it is from 0 to {limits.MAX_SAFE_INTEGER}")
    return number


def _listed(values: Iterable[Any], name: str, most: int) -> list[Any]:
    if isinstance(values, str | bytes | Mapping) or not isinstance(values, Iterable):
        raise UsageTypeError(f"{name} are {shown(values)}; give a list")
    found: list[Any] = []
    for value in values:
        if len(found) == most:
            raise UsageError(f"{name} are more than {most}, the most allowed")
        found.append(value)
    return found


def _capabilities(values: Iterable[str], id_: str) -> tuple[str, ...]:
    listed = _listed(values, f"the capabilities of {id_}", limits.MAX_CAPABILITIES)
    names = [text(value, f"a capability of {id_}") for value in listed]
    for position, name in enumerate(names):
        if name in names[:position]:
            raise UsageError(f"the capability {name!r} of {id_} stands twice")
    return tuple(sorted(names))


def _vector(values: Iterable[float], id_: str) -> tuple[float, ...]:
    name = f"the vector of {id_}"
    numbers = [float(exact(value, f"a number in {name}")) for value in _array(values, name)]
    if not numbers:
        raise UsageError(f"{name} is empty; leave it out, or give its numbers")
    # Squares are summed when directions are compared.
    if not 0 < math.fsum(number * number for number in numbers) < math.inf:
        raise UsageError(f"{name} has no length that can be measured; give other numbers")
    return tuple(numbers)


def _array(values: Iterable[float], name: str) -> list[Any]:
    """The items of a list or an array; NumPy's integers and floats as Python's own."""
    tolist = getattr(values, "tolist", None)
    return _listed(tolist() if callable(tolist) else values, name, limits.MAX_VECTOR_LENGTH)


def _domain(values: Mapping[str, str], id_: str) -> Mapping[str, str]:
    name = f"the failure_domain of {id_}"
    if not isinstance(values, Mapping):
        raise UsageTypeError(f'{name} is {shown(values)}; give a table, such as {{host = "a"}}')
    if not 1 <= len(values) <= limits.MAX_DOMAIN_ATTRIBUTES:
        raise UsageError(
            f"{name} has {len(values)} attributes; 1 to {limits.MAX_DOMAIN_ATTRIBUTES} are "
            "allowed, and none at all where nothing is declared"
        )
    found = {
        text(key, f"an attribute in {name}"): text(value, f"{shown(key)} in {name}")
        for key, value in values.items()
    }
    return MappingProxyType(dict(sorted(found.items())))
