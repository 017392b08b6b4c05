"""What a chat model wrote, read strictly, and how sure it can be said to be.

A model is asked for one JSON object, ``{"answer": ...}``, with ``"confidence"`` where it is
to rate itself. What is not exactly that is misbehaviour: a reading that guesses would let
the words around an answer decide it.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Final, Literal

from quorate.arbitration.forms import shown
from quorate.core import limits
from quorate.core.canonical import CanonicalError, parse
from quorate.core.errors import MisbehaviourError, UsageError
from quorate.hub.experts.answer import read_tokens

DIGITS: Final = 6
"""Decimals of a confidence computed from token probabilities.

Their last bits differ between machines and runs; these do not, nearly always.
"""

_BEFORE_VALUE: Final = re.compile(r'\s*\{\s*"answer"\s*:\s*')
_MODEL: Final = "the model"
_TOP_BYTE: Final = 255
_FEWEST: Final = 2


@dataclass(frozen=True, slots=True)
class Completion:
    """One text that a model wrote to its end.

    Attributes:
        text: all of it.
        tokens: its tokens' bytes and the natural logarithm of each one's probability, 0 or
            less; ``None`` where the server gave none.
    """

    text: str
    tokens: tuple[tuple[bytes, float], ...] | None = None


@dataclass(frozen=True, slots=True)
class Reply:
    """One response of a chat completions server.

    Attributes:
        completions: one or more.
        tokens_in: tokens of the prompt that were paid for.
        tokens_out: tokens written, of all completions together.
    """

    completions: tuple[Completion, ...]
    tokens_in: int
    tokens_out: int


def read_reply(body: bytes) -> Reply:
    """Read the body of a chat completions response.

    Raises:
        MisbehaviourError: not such a body; a completion was cut off, withheld or refused;
            or the tokens used are not told, without which there is no cost.
    """
    try:
        form = parse(body)
    except CanonicalError as error:
        raise _misbehaviour(f"its response cannot be read: {error}") from error
    choices = _member(form, "choices", list, "its response")
    if not choices:
        raise _misbehaviour("its response holds no choices")
    usage = _member(form, "usage", dict, "its response")
    try:
        tokens_in = read_tokens(usage.get("prompt_tokens"), "usage.prompt_tokens")
        tokens_out = read_tokens(usage.get("completion_tokens"), "usage.completion_tokens")
    except UsageError as error:
        raise _misbehaviour(f"what it says it used cannot be read: {error}") from error
    return Reply(tuple(_completion(choice) for choice in choices), tokens_in, tokens_out)


def _completion(choice: Any) -> Completion:
    message = _member(choice, "message", dict, "a choice")
    refusal = message.get("refusal")
    if isinstance(refusal, str) and refusal:
        raise _misbehaviour(f"it refused to answer: {shown(refusal)}")
    finish = choice.get("finish_reason")
    if finish == "length":
        raise _misbehaviour("its answer was cut off; raise max_output_tokens")
    if finish != "stop":
        raise _misbehaviour(f"it ended with finish_reason {shown(finish)}, and not with 'stop'")
    text = _member(message, "content", str, "a message")
    logprobs = choice.get("logprobs")
    if not isinstance(logprobs, dict) or not isinstance(logprobs.get("content"), list):
        return Completion(text)
    return Completion(text, tuple(_token(entry) for entry in logprobs["content"]))


def _token(entry: Any) -> tuple[bytes, float]:
    token = _member(entry, "token", str, "a token")
    logprob = entry.get("logprob")
    if isinstance(logprob, bool) or not isinstance(logprob, int | float) or logprob > 0:
        raise _misbehaviour(f"the logprob {shown(logprob)} of a token is no number of 0 or less")
    spelled = entry.get("bytes")
    if spelled is None:
        return token.encode(), float(logprob)
    if not isinstance(spelled, list) or not all(
        type(byte) is int and 0 <= byte <= _TOP_BYTE for byte in spelled
    ):
        raise _misbehaviour(f"the bytes {shown(spelled)} of a token are no bytes")
    return bytes(spelled), float(logprob)


def _member(form: Any, key: str, kind: type, where: str) -> Any:
    value = form.get(key) if isinstance(form, dict) else None
    if not isinstance(value, kind):
        raise _misbehaviour(f"{where} has no {key!r} that is a {kind.__name__}")
    return value


def read_answer(
    text: str, *, rated: bool, choices: Sequence[str] | None = None
) -> tuple[Any, int | float | None]:
    """Read what a model wrote as its answer.

    Args:
        text: all that it wrote.
        rated: it was asked to rate itself too.
        choices: the only answers allowed, if declared.

    Returns:
        The answer, and the confidence where one was asked for.

    Raises:
        MisbehaviourError: not one JSON object with exactly these keys; an answer that is
            null or no choice; a confidence that is no number from 0 to 1.
    """
    wanted = {"answer", "confidence"} if rated else {"answer"}
    try:
        form = parse(text)
    except CanonicalError as error:
        raise _misbehaviour(f"it did not write one JSON object: {error}") from error
    if not isinstance(form, dict) or form.keys() != wanted:
        raise _misbehaviour(
            f"it wrote {shown(form)}; "
            f"asked was an object with {' and '.join(sorted(wanted))} and nothing else"
        )
    answer = form["answer"]
    if answer is None:
        raise _misbehaviour("its answer is null")
    if choices is not None and (not isinstance(answer, str) or answer not in choices):
        raise _misbehaviour(f"its answer {shown(answer)} is none of the choices declared")
    if not rated:
        return answer, None
    confidence = form["confidence"]
    if (
        isinstance(confidence, bool)
        or not isinstance(confidence, int | float)
        or not 0 <= confidence <= 1
    ):
        raise _misbehaviour(f"its confidence is {shown(confidence)}; asked was one from 0 to 1")
    return answer, confidence


def token_confidence(
    completion: Completion, *, statistic: Literal["geometric mean", "product"]
) -> float:
    """How probable the model held the tokens of its answer, those of the JSON around it left out.

    A token that reaches over the edge of the answer, such as one with its closing quote, is
    counted: the model chose it as a whole.

    Args:
        completion: one that :func:`read_answer` takes unrated, with its tokens.
        statistic: ``"geometric mean"`` of the tokens' probabilities, which a long answer
            does not lower; or their ``"product"``, the probability of the very answer,
            which is a lower bound where the answer can be cut into tokens in several ways.

    Returns:
        A probability, rounded to :data:`DIGITS` decimals.

    Raises:
        MisbehaviourError: no tokens came, they do not spell the text, or none is of the answer.
    """
    if not completion.tokens:
        raise _misbehaviour("it gave no token probabilities; does the server support logprobs?")
    begin, end = _span(completion.text)
    spelled = b"".join(token for token, _ in completion.tokens)
    # A server may strip white space around the text, or list a token that ends it.
    at = -spelled.find(completion.text.encode())
    if at > 0:
        raise _misbehaviour("its tokens do not spell what it wrote")
    logprobs = []
    for token, logprob in completion.tokens:
        if max(at, begin) < min(at + len(token), end):
            logprobs.append(logprob)
        at += len(token)
    if not logprobs:
        raise _misbehaviour("its answer is empty, so no token's probability speaks for it")
    exponent = math.fsum(logprobs)
    if statistic == "geometric mean":
        exponent /= len(logprobs)
    return round(math.exp(exponent), DIGITS)


def _span(text: str) -> tuple[int, int]:
    """Where the answer's bytes begin and end, the quotes of a string left out."""
    found = _BEFORE_VALUE.match(text)
    body = text.rstrip().removesuffix("}").rstrip()
    if found is None:
        raise _misbehaviour(f"it wrote {shown(text)}, in which no plain key 'answer' stands")
    begin, end = found.end(), len(body)
    if body[begin:].startswith('"'):
        begin, end = begin + 1, end - 1
    return len(text[:begin].encode()), len(text[:end].encode())


def plurality(answers: Sequence[Any], group_of: Callable[[Any], str]) -> tuple[Any, Fraction]:
    """The answer given most often, and the share of all samples that gave it.

    Args:
        answers: one for each sample, in the order they came; ``None`` for one that is no
            answer, which counts among all and speaks for none.
        group_of: answers with the same text count as the same answer.

    Returns:
        The first answer of the largest group (of several largest, that of the earliest
        answer), and k/N.

    Raises:
        MisbehaviourError: none is an answer.
    """
    groups: dict[str, list[Any]] = {}
    for answer in answers:
        if answer is not None:
            groups.setdefault(group_of(answer), []).append(answer)
    if not groups:
        raise _misbehaviour(f"none of its {len(answers)} samples is an answer")
    # The first of equals is taken, and groups stand in the order of their earliest answer.
    winner = max(groups.values(), key=len)
    return winner[0], Fraction(len(winner), len(answers))


def read_samples(confidence: str) -> int:
    """How many samples ``"samples:N"`` asks for.

    Raises:
        UsageError: N is no number from 2 to ``limits.MAX_SAMPLES``.
    """
    digits = confidence.removeprefix("samples:")
    if (
        not re.fullmatch(r"[1-9][0-9]{0,8}", digits)
        or not _FEWEST <= int(digits) <= limits.MAX_SAMPLES
    ):
        raise UsageError(
            f"the confidence is {shown(confidence)}; "
            f"samples:N takes {_FEWEST} to {limits.MAX_SAMPLES}"
        )
    return int(digits)


def _misbehaviour(message: str) -> MisbehaviourError:
    return MisbehaviourError(_MODEL, message)
