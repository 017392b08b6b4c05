r"""Secrets of experts: named in a panel, held in the environment, and told to nobody else.

Theory of operation. What an expert answers is put on record for good, and what it says of
its failure too. So a secret is looked for in all that comes back, in every spelling that
JSON has for it: a server that writes ``/`` as ``\/`` or ``+`` as ``\u002B`` gives it
away as well, even in a text within a text, where each is escaped again. And an environment
is inherited: a child process is not given the secrets of other experts.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from typing import Final

from quorate.core.errors import MisbehaviourError, OperationalError, UsageError

HIDDEN: Final = "***"

_EXPERT: Final = "the expert"
_BACKSLASHES: Final = r"(?:\\(?:u005[cC])?)*"
_named: Final[set[str]] = set()


class Secret:
    """A secret in an environment variable: read when it is used, and shown nowhere.

    Attributes:
        variable: its name; ``None`` for no secret.
    """

    __slots__ = ("_spelled", "_value", "variable")

    def __init__(self, variable: str | None) -> None:
        """Name the ``variable``; ``None`` for no secret.

        From now on no child process inherits it, unless that is given it by name.

        Raises:
            UsageError: no name of an environment variable.
        """
        if variable is not None and (
            not isinstance(variable, str) or not variable.isidentifier() or not variable.isascii()
        ):
            # What stands there by mistake may be the secret itself.
            raise UsageError(
                "give the name of the environment variable that holds the secret, "
                "such as EXPERT_TOKEN, and not the secret"
            )
        self.variable = variable
        self._value = ""
        self._spelled: re.Pattern[str] | None = None
        if variable is not None:
            _named.add(variable)

    def read(self) -> str | None:
        """Read it; ``None`` where none is declared.

        Raises:
            OperationalError: the variable is not set, or holds what no header can carry.
        """
        if self.variable is None:
            return None
        value = os.environ.get(self.variable, "")
        if not value:
            raise OperationalError(
                f"the environment variable {self.variable} is not set; it should hold the secret"
            )
        if not value.isascii() or not value.isprintable() or " " in value:
            raise OperationalError(
                f"the environment variable {self.variable} holds characters that no header can "
                "carry; is there a line feed at its end?"
            )
        if value != self._value:
            self._spelled = spellings(value)
            self._value = value
        return value

    def hidden(self, text: str) -> str:
        """The text without the secret, should a server have sent it back."""
        return _without(text, self._value, self._spelled)

    def refuse_in(self, body: str | bytes) -> None:
        """Refuse what a server sends if the secret is in it: answers are put on record.

        Args:
            body: a text, or JSON as it came; in all its strings and keys it is looked for.

        Raises:
            MisbehaviourError: it is.
        """
        if not self._value:
            return
        text = body.decode("utf-8", "replace") if isinstance(body, bytes) else body
        if self._value in text or (
            self._spelled is not None and "\\" in text and self._spelled.search(text)
        ):
            raise MisbehaviourError(_EXPERT, "its answer holds the secret that it was called with")


def spellings(secret: str) -> re.Pattern[str] | None:
    """All spellings of a secret in JSON, and in JSON in a text of JSON, however deep.

    Returns:
        A pattern; ``None`` where the secret is all backslashes.
    """
    plain = [char for char in secret if char != "\\"]
    each = [f"(?:{re.escape(char)}|u00(?i:{ord(char):02x}))" for char in plain]
    return re.compile(_BACKSLASHES.join(each)) if each else None


def inherited(own: Mapping[str, str]) -> dict[str, str]:
    """The environment of a child: this one's without the secrets named so far, and its ``own``."""
    return {**{k: v for k, v in os.environ.items() if k not in _named}, **own}


def hidden(text: str, environments: Iterable[Mapping[str, str]]) -> str:
    """The text without the values that the secrets named so far have in any of these."""
    values = {each[name] for each in environments for name in _named if each.get(name)}
    # One may be a part of another.
    for value in sorted(values, key=len, reverse=True):
        text = _without(text, value, spellings(value))
    return text


def _without(text: str, value: str, spelled: re.Pattern[str] | None) -> str:
    if not value:
        return text
    text = text.replace(value, HIDDEN)
    return text if spelled is None or "\\" not in text else spelled.sub(HIDDEN, text)
