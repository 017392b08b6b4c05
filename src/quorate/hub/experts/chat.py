"""Experts that are chat models, at any server that speaks OpenAI's chat completions.

``base_url`` names the server: a vendor's, or vLLM, llama.cpp, Ollama and others on one's own
machines. The official ``openai`` client speaks to it (``pip install "quorate[llm]"``).

A request has no side effect but its price. So the client may repeat it, ``retries`` times
with a growing pause: when no connection was made or it broke, and on the answers 408, 409,
429 and 5xx. What came as an answer is never asked for again.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Sequence
from fractions import Fraction
from typing import Any, Final, Literal, NamedTuple

from quorate.arbitration.forms import shown
from quorate.arbitration.rules.normalise import NORMALISERS, NotNormalError, normal_digest
from quorate.core import limits
from quorate.core.canonical import canonical, digest
from quorate.core.errors import MisbehaviourError, TransportError, UsageError, UsageTypeError
from quorate.core.exact import Number, exact
from quorate.hub.experts.answer import Answer, BareAnswer
from quorate.hub.experts.completion import (
    Reply,
    plurality,
    read_answer,
    read_reply,
    read_samples,
    token_confidence,
)
from quorate.hub.experts.remote import (
    Held,
    checked_url,
    http_client,
    imported,
    in_one_line,
    require,
)
from quorate.hub.experts.secret import Secret

INPUT: Final = "{input}"
"""What stands in a template where the task's input goes."""

_PER_MILLION: Final = 1_000_000
_MOST_TEMPERATURE: Final = 2
_FEWEST_CHOICES: Final = 2
_SOURCES: Final = {
    "self": "the model rates itself, with each answer",
    "declared": "the panel declares it",
    "logprobs": "the geometric mean probability of the answer's tokens, by the model itself",
    "choice": "the probability of the choice's tokens together, by the model itself",
    "samples": "the share of {} samples of the model that gave the same answer",
}


class _Client(NamedTuple):
    """An open client, its library, and the error of a response that broke off."""

    client: Any
    library: Any
    broken: Any


class ChatExpert:
    """Asks a chat model for one structured answer.

    Attributes:
        kind: ``"chat"``.
        confidence_source: one sentence: how the confidence is obtained.
    """

    kind = "chat"

    def __init__(  # noqa: PLR0913 - one argument for each thing a panel declares
        self,
        model: str,
        *,
        base_url: str,
        api_key_env: str | None = None,
        system: str | None = None,
        template: str | None = None,
        confidence: str = "self",
        structured: Literal["json_schema", "json_object", "prompt"] = "json_schema",
        output_limit: Literal["max_completion_tokens", "max_tokens"] = "max_completion_tokens",
        temperature: Number | None = None,
        max_output_tokens: int = 1024,
        price_in: Number = 0,
        price_out: Number = 0,
        seed: int | None = None,
        choices: Sequence[str] | None = None,
        normalize: str | None = "text",
        retries: int = 2,
        insecure_http: bool = False,
    ) -> None:
        """Declare a chat model.

        Args:
            model: its name at the server.
            base_url: the server's address up to ``/chat/completions``.
            api_key_env: environment variable that holds the API key; ``None`` sends none,
                whatever the environment holds.
            system: what it is told first.
            template: the message, with ``{input}`` where the task's input goes: text as it
                is, other JSON values in canonical form. Without one the input is the message.
            confidence: ``"self"``, it rates itself; ``"logprobs"``, the geometric mean
                probability of the answer's tokens, or where ``choices`` are declared the
                product, the probability of that choice; ``"samples:N"``, the share of N
                completions that gave the plurality answer, exactly k/N, a completion that
                is no answer being counted in N; ``"declared"``, none, for the panel
                declares it.
            structured: how the JSON form is asked for besides in words: by a schema, by
                the plainer ``json_object``, or not at all (``"prompt"``). It never changes
                by itself: a server that does not know the one declared fails the call.
            output_limit: the name under which the server knows ``max_output_tokens``.
            temperature: 0 to 2; ``None`` leaves it to the server.
            max_output_tokens: most tokens of one completion.
            price_in: price of a million tokens of the prompt, a finite decimal.
            price_out: price of a million tokens written, likewise.
            seed: sent along, where the server knows it; a later request for more samples
                adds the number of those there already are.
            choices: the only answers allowed.
            normalize: which samples give the same answer, by a name of
                ``quorate.arbitration.rules.normalise``; ``None`` for equal ones only.
            retries: how often a failed request is repeated.
            insecure_http: send the key over plain http to another machine.

        Raises:
            UsageError: a value is out of its range.
            OperationalError: the package openai is not installed.
        """
        require("openai", "llm")
        self._secret = Secret(api_key_env)
        self._url = checked_url(
            base_url, secret=api_key_env is not None, insecure_http=insecure_http
        )
        self._choices = None if choices is None else _read_choices(choices)
        self._mode, self._samples = _read_mode(confidence, temperature)
        self._normalize = normalize
        if normalize is not None and normalize not in NORMALISERS:
            raise UsageError(
                f"normalize is {shown(normalize)}; it is one of {', '.join(sorted(NORMALISERS))}"
            )
        self._max_output_tokens = _whole(
            max_output_tokens, "max_output_tokens", 1, limits.MAX_OUTPUT_TOKENS
        )
        self._retries = _whole(retries, "retries", 0, limits.MAX_RETRIES)
        self._prices = _price(price_in, "price_in"), _price(price_out, "price_out")
        self._seed = None if seed is None else _whole(seed, "seed", 0, limits.MAX_SAFE_INTEGER)
        self._system, self._template = _text(system, "system"), _text(template, "template")
        if template is not None and INPUT not in template:
            raise UsageError(f"the template has no {INPUT} in it, where the task's input goes")
        self._request = self._parameters(
            _text(model, "model"), structured, output_limit, temperature
        )
        self._held = Held(self._open)
        source = "choice" if self._mode == "logprobs" and self._choices else self._mode
        self.confidence_source = _SOURCES[source].format(self._samples)

    async def __call__(self, task: Any) -> Answer | BareAnswer:
        """Put one task's input (a JSON value).

        Raises:
            TransportError: the server could not be reached, or failed.
            OperationalError: the environment variable of the key is not set.
            MisbehaviourError: what the model wrote is no answer; or the response is too
                large, or no response.
        """
        messages = self._messages(task)
        return await self._held.use(lambda held: self._ask(held, messages))

    async def aclose(self) -> None:
        """Close the connections; a later call opens them again."""
        await self._held.aclose()

    # --- asking ----------------------------------------------------------------

    def _parameters(
        self, model: str | None, structured: str, output_limit: str, temperature: Number | None
    ) -> dict[str, Any]:
        """The members that are the same in every request."""
        request: dict[str, Any] = {"model": model}
        if output_limit not in {"max_completion_tokens", "max_tokens"}:
            raise UsageError(
                f"output_limit is {shown(output_limit)}; "
                "it is 'max_completion_tokens' or 'max_tokens'"
            )
        request[output_limit] = self._max_output_tokens
        if temperature is not None:
            request["temperature"] = float(temperature)
        if self._mode == "logprobs":
            request["logprobs"] = True
        if structured == "json_schema":
            request["response_format"] = {
                "type": "json_schema",
                "json_schema": {"name": "answer", "strict": True, "schema": self._schema()},
            }
        elif structured == "json_object":
            request["response_format"] = {"type": "json_object"}
        elif structured != "prompt":
            raise UsageError(
                f"structured is {shown(structured)}; it is 'json_schema', 'json_object' or 'prompt'"
            )
        return request

    def _schema(self) -> dict[str, Any]:
        answer: dict[str, Any] = {"type": "string"}
        if self._choices is not None:
            answer["enum"] = list(self._choices)
        properties = {"answer": answer}
        if self._mode == "self":
            properties["confidence"] = {"type": "number"}
        return {
            "type": "object",
            "properties": properties,
            "required": list(properties),
            "additionalProperties": False,
        }

    def _messages(self, task: Any) -> list[dict[str, str]]:
        """Say in words too which form is asked for: some servers pass over the schema."""
        form = '{"answer": <your answer as text>}'
        if self._mode == "self":
            form = (
                '{"answer": <your answer as text>, '
                '"confidence": <how likely it is right, from 0 to 1>}'
            )
        told = [f"Write one JSON object and nothing else: {form}"]
        if self._choices is not None:
            told.append(f"The answer is one of {canonical(self._choices).decode()}.")
        if self._system is not None:
            told.insert(0, self._system)
        message = task if isinstance(task, str) else canonical(task).decode()
        if self._template is not None:
            message = self._template.replace(INPUT, message)
        return [
            {"role": "system", "content": "\n\n".join(told)},
            {"role": "user", "content": message},
        ]

    async def _ask(self, held: _Client, messages: list[dict[str, str]]) -> Answer | BareAnswer:
        replies = [await self._reply(held, messages, 0)]
        while (count := sum(len(reply.completions) for reply in replies)) < self._samples:
            # Some servers write one completion whatever number is asked for.
            replies.append(await self._reply(held, messages, count))
        tokens_in = sum(reply.tokens_in for reply in replies)
        tokens_out = sum(reply.tokens_out for reply in replies)
        cost = (tokens_in * self._prices[0] + tokens_out * self._prices[1]) / _PER_MILLION
        payload, confidence = self._answer(replies)
        if confidence is None:
            return BareAnswer(payload, cost, tokens=tokens_in + tokens_out)
        return Answer(payload, confidence, cost, tokens=tokens_in + tokens_out)

    async def _reply(self, held: _Client, messages: list[dict[str, str]], have: int) -> Reply:
        """Make one request; ``have``: how many samples there are already."""
        wanted = self._samples - have
        request = {**self._request, "messages": messages}
        if wanted > 1:
            request["n"] = wanted
        if self._seed is not None:
            request["seed"] = self._seed + have
        library = held.library
        if self._secret.variable is None:
            request["extra_headers"] = {"Authorization": library.Omit()}
        try:
            # Streamed, so that what is read is bounded, and parsed by our own strict reader.
            async with held.client.chat.completions.with_streaming_response.create(
                **request
            ) as response:
                body = await response.http_response.aread()
        except library.APIStatusError as error:
            raise TransportError(
                f"{self._url} answered {error.status_code}: {in_one_line(error, self._secret)}"
            ) from None
        except library.OpenAIError as error:
            cause = error.__cause__
            if isinstance(cause, MisbehaviourError):
                raise cause from None
            raise self._unreachable(cause or error) from None
        except held.broken as error:
            raise self._unreachable(error) from None
        self._secret.refuse_in(body)
        reply = read_reply(body)
        if len(reply.completions) > wanted:
            raise MisbehaviourError(
                "the model", f"it wrote {len(reply.completions)} completions, asked were {wanted}"
            )
        if reply.tokens_out > self._max_output_tokens * len(reply.completions):
            raise MisbehaviourError(
                "the model",
                f"it wrote {reply.tokens_out} tokens, over max_output_tokens = "
                f"{self._max_output_tokens}; does the server know it as {self._other_limit()!r}?",
            )
        return reply

    def _unreachable(self, error: BaseException) -> TransportError:
        return TransportError(f"{self._url} could not be asked: {in_one_line(error, self._secret)}")

    def _other_limit(self) -> str:
        return "max_tokens" if "max_tokens" not in self._request else "max_completion_tokens"

    # --- reading ---------------------------------------------------------------

    def _answer(self, replies: Sequence[Reply]) -> tuple[Any, Number | None]:
        completions = [each for reply in replies for each in reply.completions]
        if self._mode == "samples":
            answers = [self._sample(completion.text) for completion in completions]
            return plurality(answers, self._group)
        completion = completions[0]
        payload, rated = read_answer(
            completion.text, rated=self._mode == "self", choices=self._choices
        )
        if self._mode == "logprobs":
            statistic: Any = "geometric mean" if self._choices is None else "product"
            return payload, token_confidence(completion, statistic=statistic)
        return payload, rated

    def _sample(self, text: str) -> Any:
        """Read one sample; ``None`` where it is no answer."""
        try:
            answer, _ = read_answer(text, rated=False, choices=self._choices)
        except MisbehaviourError:
            return None
        return answer

    def _group(self, answer: Any) -> str:
        if self._normalize is None:
            return digest(answer)
        try:
            return normal_digest(self._normalize, answer)
        except NotNormalError:
            # What has no normal form is the same as its equal only.
            return digest(answer)

    # --- the connection --------------------------------------------------------

    @contextlib.asynccontextmanager
    async def _open(self) -> AsyncIterator[_Client]:
        library, httpx2 = await imported("openai", "httpx2")
        key = self._secret.read()
        transport = await http_client(httpx2)
        client = library.AsyncOpenAI(
            base_url=self._url,
            # The client takes none for a mistake; where none is declared, none is sent.
            api_key=key or "none",
            http_client=transport,
            timeout=transport.timeout,
            max_retries=self._retries,
        )
        # Meant for the vendor's own service, and taken from the environment otherwise.
        client.organization = client.project = None
        async with client:
            yield _Client(client, library, httpx2.HTTPError)


def _read_mode(confidence: str, temperature: Number | None) -> tuple[str, int]:
    """The kind of confidence, and the number of completions it takes."""
    heat = None if temperature is None else exact(temperature, "temperature")
    if heat is not None and not 0 <= heat <= _MOST_TEMPERATURE:
        raise UsageError(f"the temperature is {temperature}; it is from 0 to {_MOST_TEMPERATURE}")
    if confidence in {"self", "logprobs", "declared"}:
        return confidence, 1
    if not isinstance(confidence, str) or not confidence.startswith("samples:"):
        raise UsageError(
            f"the confidence is {shown(confidence)}; "
            "it is 'self', 'logprobs', 'samples:N' or 'declared'"
        )
    if heat == 0:
        raise UsageError("at temperature 0 all samples are one; declare a higher temperature")
    return "samples", read_samples(confidence)


def _read_choices(choices: Sequence[str]) -> tuple[str, ...]:
    if isinstance(choices, str) or not all(isinstance(choice, str) for choice in choices):
        raise UsageTypeError("the choices are no list of texts")
    if not _FEWEST_CHOICES <= len(choices) <= limits.MAX_CHOICES or len(set(choices)) != len(
        choices
    ):
        raise UsageError(
            f"{len(choices)} choices, {len(set(choices))} of them different; "
            f"give {_FEWEST_CHOICES} to {limits.MAX_CHOICES}, each once"
        )
    return tuple(choices)


def _price(price: Number, name: str) -> Fraction:
    value = exact(price, name)
    odd = value.denominator
    for factor in (2, 5):
        while odd % factor == 0:
            odd //= factor
    if value < 0 or odd != 1:
        raise UsageError(f"{name} is {price}; it is a finite decimal, 0 or more")
    return value


def _whole(value: object, name: str, least: int, most: int) -> int:
    if type(value) is not int:
        raise UsageTypeError(f"{name} is {shown(value)}; give a whole number")
    if not least <= value <= most:
        raise UsageError(f"{name} is {value}; {least} to {most} are allowed")
    return value


def _text(value: object, name: str) -> str | None:
    if value is None and name != "model":
        return None
    if not isinstance(value, str) or not value:
        raise UsageTypeError(f"{name} is {shown(value)}; give text")
    if len(value) > limits.MAX_PROMPT_CHARACTERS:
        raise UsageError(f"{name} has over {limits.MAX_PROMPT_CHARACTERS} characters")
    return value
