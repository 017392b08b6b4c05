"""What a key of a panel file can hold: exact numbers, names, addresses, commands, JSON."""

from __future__ import annotations

import re
from decimal import Decimal
from fractions import Fraction
from typing import Annotated, Any, Final, Literal
from urllib.parse import unquote

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StringConstraints,
    WithJsonSchema,
)

from quorate.core import limits
from quorate.core.canonical import CanonicalError, canonical
from quorate.core.exact import exact

WITHOUT_QUOTES: Final = "a number; write it without quotes"

_SECRET_HEADERS: Final = frozenset(
    {"authorization", "proxy-authorization", "cookie", "x-api-key", "api-key"}
)
_SECRET_NAME: Final = re.compile(r"KEY|TOKEN|SECRET|PASSWORD|PASSWD|CREDENTIAL")
_SECRET_LINE: Final = re.compile(
    r"\s*(?:(?:proxy-)?authorization|cookie|x-api-key|api-key)\s*:|\s*bearer\s", re.IGNORECASE
)
_SECRET_WORDS: Final = frozenset(
    {"token", "secret", "password", "passwd", "pwd", "credential", "credentials", "apikey",
     "bearer", "authorization", "sig", "signature", "key"}
)  # fmt: skip
# A key to sort by is none to a door.
_KEYS: Final = frozenset({"", "api", "access", "secret", "private", "auth", "account", "service"})
_CONFIDENCE: Final = re.compile(r"self|logprobs|samples:[1-9][0-9]{0,2}")


def _number(value: object) -> Fraction:
    if isinstance(value, str):
        raise ValueError(WITHOUT_QUOTES)  # noqa: TRY004 - pydantic reads only this one
    return exact(value)  # type: ignore[arg-type] # it refuses what is no number


def _json(value: object) -> Any:
    """A TOML value as JSON: numbers with a point become the nearest double."""
    if isinstance(value, Decimal):
        return float(value)
    if isinstance(value, list):
        return [_json(item) for item in value]
    if isinstance(value, dict):
        return {key: _json(item) for key, item in value.items()}
    return value


def _checked_json(value: object) -> Any:
    plain = _json(value)
    try:
        canonical(plain)
    except CanonicalError as error:
        raise ValueError(f"not JSON: {error}") from error
    return plain


def _arguments(value: object) -> Any:
    """The arguments of a tool: a table, or what stands for the task's input."""
    if value != "{input}" and not isinstance(value, dict):
        raise ValueError("a table of arguments, or '{input}', is to be given")
    return _checked_json(value)


def _confidence(value: object) -> str | Fraction:
    """How a chat model's confidence is found, or the one that is declared for it."""
    if isinstance(value, str):
        if not _CONFIDENCE.fullmatch(value):
            raise ValueError("of a chat it is 'self', 'logprobs', 'samples:N' or a number")
        return value
    number = exact(value)  # type: ignore[arg-type] # it refuses what is no number
    if not 0 <= number <= 1:
        raise ValueError("a confidence is from 0 to 1")
    return number


def whole(name: str) -> str:
    """A text that may be the name of a file."""
    if "\0" in name:
        raise ValueError("no file name has a NUL character in it; take it out")
    return name


def share(value: Fraction) -> Fraction:
    """A quorum."""
    if not 0 < value <= 1:
        raise ValueError("a quorum is more than 0 and at most 1")
    return value


def _command(command: list[str]) -> list[str]:
    if not command[0]:
        raise ValueError("no program; give a list such as ['./judge', '--quick']")
    for word, following in zip(command, [*command[1:], ""], strict=True):
        name, given, value = word.partition("=")
        flag = name.startswith("-")
        followed = flag and not given and following and not following.startswith("-")
        line = _SECRET_LINE.match(word) is not None
        if line or ((value or followed) and _is_secret_name(name)):
            raise ValueError(
                f"giving away {'a header' if line else name}, a secret, which no panel file "
                "holds; put it into an environment variable that the program reads itself"
            )
        if "://" in word:
            _address(word)
    return [whole(word) for word in command]


def _address(url: str) -> str:
    """Refuse a key in the query of an address: it would stand in every record of the panel."""
    for pair in re.split("[?&;#]", url)[1:]:
        name, _, value = pair.partition("=")
        if value and _is_secret_name(name):
            raise ValueError(
                f"giving away {name}, a secret, in its query, which no panel file holds; put it "
                "into an environment variable, and give its name as bearer_env or api_key_env"
            )
    return url


def _is_secret_name(name: str) -> bool:
    """Whether a flag, a variable or a key of a query is one that secrets are given by."""
    parts = re.sub(r"([a-z])([A-Z])", r"\1-\2", unquote(name)).lower()
    *before, last = re.split(r"[^a-z]+", parts)
    if last == "key":
        return (before[-1] if before else "") in _KEYS
    return last in _SECRET_WORDS


def _no_secret_headers(headers: dict[str, str]) -> dict[str, str]:
    secret = sorted(name for name in headers if name.lower() in _SECRET_HEADERS)
    if secret:
        raise ValueError(
            f"giving away {secret[0]}, a secret, which no panel file holds; put it into an "
            "environment variable, and give its name as bearer_env"
        )
    return headers


def _no_secrets(env: dict[str, str]) -> dict[str, str]:
    secret = [name for name in env if _SECRET_NAME.search(name)]
    if secret:
        raise ValueError(
            f"giving away {secret[0]}, a secret, which no panel file holds; set it where the "
            "run is started: the program is given the variables set there, but for those that are "
            "named as bearer_env or api_key_env"
        )
    return env


Exact = Annotated[Fraction, BeforeValidator(_number), WithJsonSchema({"type": "number"})]
ChatConfidence = Annotated[
    Any,
    BeforeValidator(_confidence),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "string", "pattern": f"^({_CONFIDENCE.pattern})$"},
                {"type": "number", "minimum": 0, "maximum": 1},
            ]
        }
    ),
]
Arguments = Annotated[
    Any,
    BeforeValidator(_arguments),
    WithJsonSchema({"anyOf": [{"type": "object"}, {"const": "{input}"}]}),
]
Json = Annotated[Any, BeforeValidator(_checked_json)]
Id = Annotated[str, StringConstraints(min_length=1, max_length=limits.MAX_ID_LENGTH)]
Name = Annotated[str, StringConstraints(min_length=1, max_length=limits.MAX_ID_LENGTH)]
EnvName = Annotated[str, StringConstraints(pattern=r"^[A-Z_][A-Z0-9_]*$")]
Url = Annotated[
    str, StringConstraints(pattern=r"^https?://[^\s/@]+(/[^\s]*)?$"), AfterValidator(_address)
]
Folder = Annotated[str, StringConstraints(min_length=1), AfterValidator(whole)]
Command = Annotated[list[str], Field(min_length=1), AfterValidator(_command)]
Env = Annotated[dict[EnvName, str], AfterValidator(_no_secrets)]
Headers = Annotated[dict[str, str], AfterValidator(_no_secret_headers)]
Normaliser = Literal["exact", "text", "number", "choice", "json", "code", "python"]


class Table(BaseModel):
    """What all tables have in common: nothing unknown, nothing converted, nothing changed."""

    model_config = ConfigDict(
        extra="forbid", strict=True, frozen=True, arbitrary_types_allowed=True
    )
