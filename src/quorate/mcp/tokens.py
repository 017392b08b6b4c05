"""Bearer tokens: what a client may do, and in whose name.

A token is 32 random bytes, shown once when it is made. The file holds its SHA-256 alone:
of so many random bits nothing can be guessed from a fast hash. It is TOML::

    [[tokens]]
    name = "anna's laptop"
    sha256 = "3f2a…"                       # of the token's text, 64 hex digits
    scopes = ["read", "vote"]
    voters = ["anna"]                      # whom it may vote as; none without this
    expires = 2027-01-31T00:00:00Z

The file is read again when it changes, so that a token taken out of it stops working at
once. While it cannot be read, no token works.
"""

from __future__ import annotations

import hashlib
import hmac
import logging
import os
import re
import secrets
import stat
import threading
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

from quorate.core import limits
from quorate.core.errors import OperationalError, QuorateError, UsageError
from quorate.ledger.files import read_text
from quorate.mcp import bounds
from quorate.mcp.scopes import SCOPES

_log = logging.getLogger(__name__)
_PREFIX: Final = "quorate_"
_DIGEST: Final = re.compile(r"[0-9a-f]{64}")
_FIELDS: Final = frozenset({"name", "sha256", "scopes", "voters", "expires"})


@dataclass(frozen=True, slots=True)
class Token:
    """One token as the file holds it: never the token itself.

    Attributes:
        name: which client has it; unique in its file.
        sha256: of its text, 64 hex digits.
        scopes: what it allows, of :data:`quorate.mcp.scopes.SCOPES`.
        voters: whom it may propose and vote as.
        expires: from then on it is refused.
    """

    name: str
    sha256: str
    scopes: frozenset[str]
    voters: frozenset[str]
    expires: datetime

    def to_dict(self) -> dict[str, Any]:
        """What may be shown of it, as JSON."""
        return {
            "name": self.name,
            "scopes": sorted(self.scopes),
            "voters": sorted(self.voters),
            "expires": self.expires.isoformat().replace("+00:00", "Z"),
        }


def new_token(
    name: str, scopes: Iterable[str], voters: Iterable[str], days: int, *, now: datetime
) -> tuple[str, Token]:
    """Make a token: its text, to be shown once, and what the file is to hold.

    Raises:
        UsageError: an unknown scope, none at all, voters without the scope ``vote`` or the
            other way round, or days out of range.
    """
    if isinstance(days, bool) or not 1 <= days <= bounds.MAX_TOKEN_DAYS:
        raise UsageError(f"days is {days!r}; a token lives for 1 to {bounds.MAX_TOKEN_DAYS} days")
    text = _PREFIX + secrets.token_urlsafe(32)
    expires = (now.astimezone(UTC) + timedelta(days=days)).replace(microsecond=0)
    members = {
        "name": name,
        "sha256": _digest(text),
        "scopes": sorted(set(scopes)),
        "voters": sorted(set(voters)),
        "expires": expires,
    }
    return text, _token(members)


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()


class TokenFile:
    """The tokens of a file, read again whenever it has changed. Any thread may ask it."""

    def __init__(self, path: str | Path) -> None:
        """Read the file.

        Raises:
            OperationalError: it cannot be read.
            UsageError: it is no file of tokens, or others than its owner may write to it.
        """
        self.path = Path(path)
        self._lock = threading.Lock()
        self._seen = _seen(self.path)
        self._tokens = read_tokens(self.path)

    @property
    def tokens(self) -> tuple[Token, ...]:
        """The tokens as the file now holds them; none while it cannot be read."""
        with self._lock:
            seen = _seen(self.path)
            if seen != self._seen or seen is None:
                try:
                    self._tokens = read_tokens(self.path)
                except QuorateError as error:
                    _log.error("no token works until this is mended: %s", error)
                    self._tokens = ()
                self._seen = seen
            return self._tokens

    def find(self, text: str, now: datetime) -> Token | None:
        """The token of that text, if it is one of the file and has not expired."""
        digest = _digest(text)
        found = None
        # Compared with every one, in the same time whichever it is.
        for token in self.tokens:
            if hmac.compare_digest(token.sha256, digest):
                found = token
        return found if found is not None and now < found.expires else None


def read_tokens(path: Path) -> tuple[Token, ...]:
    """Read a file of tokens.

    Raises:
        OperationalError: it cannot be read.
        UsageError: it is none, two tokens have one name, or others may write to it.
    """
    text = read_text(path, "token file", bounds.MAX_TOKEN_FILE_BYTES)
    if os.name == "posix" and stat.S_IMODE(path.stat().st_mode) & 0o022:
        raise UsageError(f"{path} can be written to by others; run: chmod 600 {path}")
    try:
        members = tomllib.loads(text)
        if members.keys() - {"tokens"} or not isinstance(members.get("tokens", []), list):
            raise UsageError("it holds [[tokens]] and nothing else")
        tokens = tuple(_token(each) for each in members.get("tokens", []))
    # The reader gives up on whole numbers of thousands of digits with a bare ValueError.
    except (ValueError, RecursionError) as error:
        raise UsageError(f"the token file {path}: {error}") from error
    if len(tokens) > bounds.MAX_TOKENS:
        raise UsageError(f"the token file {path} has more than {bounds.MAX_TOKENS} tokens")
    names = [token.name for token in tokens]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice or len({token.sha256 for token in tokens}) != len(tokens):
        raise UsageError(f"the token file {path} has a token twice: {', '.join(twice) or 'sha256'}")
    return tokens


def write_tokens(path: Path, tokens: Iterable[Token]) -> None:
    """Write the file anew, at one stroke, readable by its owner alone.

    Raises:
        OperationalError: it cannot be written; the old one is as it was.
    """
    blocks = [_toml(token) for token in tokens]
    head = "# Tokens of quorate serve: hashes only. Made by: quorate serve token new\n"
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(head + "".join(blocks))
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)
    except OSError as error:
        beside.unlink(missing_ok=True)
        raise OperationalError(f"{path} cannot be written: {error.strerror}") from error


def write_token(path: Path, text: str) -> None:
    """Write a token in a new file that its owner alone can read, whatever the umask.

    Raises:
        UsageError: it is there already; nothing is replaced.
        OperationalError: it cannot be written; nothing is left of it.
    """
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError as error:
        raise UsageError(
            f"{path} is there already; name another file, nothing is replaced"
        ) from error
    except OSError as error:
        raise OperationalError(f"{path} cannot be written: {error.strerror}") from error
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text + "\n")
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        path.unlink(missing_ok=True)
        raise OperationalError(f"{path} cannot be written: {error.strerror}") from error


def _seen(path: Path) -> tuple[int, int, int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino, found.st_mode


def _token(members: object) -> Token:
    if not isinstance(members, dict) or not members.keys() >= _FIELDS - {"voters"}:
        raise UsageError(f"a token has {', '.join(sorted(_FIELDS))}")
    unknown = sorted(members.keys() - _FIELDS)
    if unknown:
        raise UsageError(f"a token has no {unknown[0]!r}; it has {', '.join(sorted(_FIELDS))}")
    name, digest, expires = members["name"], members["sha256"], members["expires"]
    if not isinstance(name, str) or not 0 < len(name) <= limits.MAX_ID_LENGTH:
        raise UsageError(f"a token's name is 1 to {limits.MAX_ID_LENGTH} characters")
    if not name.isprintable():
        raise UsageError(f"a token's name is {name!r}; give printable characters")
    if not isinstance(digest, str) or not _DIGEST.fullmatch(digest):
        raise UsageError(f"the sha256 of token {name!r} is not 64 lower-case hex digits")
    if not isinstance(expires, datetime) or expires.tzinfo is None:
        raise UsageError(
            f"token {name!r} expires at no moment in UTC; write expires = 2027-01-31T00:00:00Z"
        )
    scopes, voters = _names(members, "scopes", name), _names(members, "voters", name)
    strange = sorted(scopes - SCOPES.keys())
    if strange or not scopes:
        told = f"has the scope {strange[0]!r}" if strange else "has no scope"
        raise UsageError(f"token {name!r} {told}; there is: {', '.join(SCOPES)}")
    if bool(voters) != ("vote" in scopes):
        raise UsageError(
            f"token {name!r} should have the scope vote and the voters it may vote as, or neither"
        )
    return Token(name, digest, scopes, voters, expires.astimezone(UTC))


def _names(members: Mapping[str, Any], field: str, token: str) -> frozenset[str]:
    listed = members.get(field, [])
    if not isinstance(listed, list) or not all(isinstance(one, str) and one for one in listed):
        raise UsageError(f"{field} of token {token!r} is a list of texts")
    if len(listed) > limits.MAX_REPLICAS:
        raise UsageError(f"{field} of token {token!r} has more than {limits.MAX_REPLICAS} items")
    return frozenset(listed)


def _toml(token: Token) -> str:
    listed = {name: ", ".join(map(_quoted, sorted(getattr(token, name)))) for name in _LISTS}
    voters = f"voters = [{listed['voters']}]\n" if token.voters else ""
    return (
        f"\n[[tokens]]\nname = {_quoted(token.name)}\nsha256 = {_quoted(token.sha256)}\n"
        f"scopes = [{listed['scopes']}]\n{voters}"
        f"expires = {token.expires.isoformat().replace('+00:00', 'Z')}\n"
    )


_LISTS: Final = ("scopes", "voters")


def _quoted(text: str) -> str:
    """As a basic string of TOML."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return '"' + "".join(c if c.isprintable() else f"\\U{ord(c):08x}" for c in escaped) + '"'
