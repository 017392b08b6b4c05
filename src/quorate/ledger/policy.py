"""Whom a verifier trusts. There is no verification without one.

A policy file is TOML::

    origin = "example.org/decisions"     # the log it is about; optional
    keys = ["ed25519:…"]                 # public keys that may sign its entries
    signatures = 1                       # how many of them must have signed each entry
    panels = ["3f2a…"]                   # digests of the panels that may decide; optional
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from quorate.core import limits
from quorate.core.errors import UsageError
from quorate.core.identity import Ed25519Verifier, Verifier
from quorate.ledger.files import read_text

_DIGEST = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class Policy:
    """The keys that a verifier trusts for one log.

    Attributes:
        verifiers: one or more keys, each once.
        signatures: how many of them must have signed each entry, 1 to their number.
        origin: the log's name, or ``None`` to accept any.
        panels: with replay, the only panels whose verdicts are accepted, by digest; ``None``
            to accept any that was sealed before its verdicts.
    """

    verifiers: tuple[Verifier, ...]
    signatures: int = 1
    origin: str | None = None
    panels: frozenset[str] | None = None

    def __post_init__(self) -> None:
        """Check the keys and the number of signatures asked for."""
        ids = {v.key_id for v in self.verifiers}
        if not self.verifiers:
            raise UsageError("a policy needs at least one key; without one nothing is verified")
        if len(ids) != len(self.verifiers):
            raise UsageError("a key stands twice in the policy")
        if len(ids) > limits.MAX_KEYS:
            raise UsageError(f"a policy has at most {limits.MAX_KEYS} keys")
        if isinstance(self.signatures, bool) or not isinstance(self.signatures, int):
            raise UsageError(f"signatures is {self.signatures!r}; give a whole number")
        if not 1 <= self.signatures <= len(ids):
            raise UsageError(
                f"signatures is {self.signatures}; it is from 1 to the number of keys, {len(ids)}"
            )

    def verifier(self, key_id: str) -> Verifier | None:
        """The trusted key of that id, or ``None``."""
        return next((v for v in self.verifiers if v.key_id == key_id), None)

    @classmethod
    def of(cls, verifiers: Iterable[Verifier], origin: str | None = None) -> Policy:
        """Trust each of ``verifiers``; any one of them suffices."""
        return cls(tuple(verifiers), 1, origin)

    @classmethod
    def read(cls, path: str | Path) -> Policy:
        """Read a policy file (see the module).

        Raises:
            OperationalError: the file cannot be read.
            UsageError: it is not a policy; the message says what is wrong.
        """
        text = read_text(path, "policy", limits.MAX_POLICY_BYTES)
        try:
            return cls.parse(text)
        except UsageError as error:
            raise UsageError(f"the policy {path}: {error}") from error

    @classmethod
    def parse(cls, text: str) -> Policy:
        """Read the text of a policy file (see the module).

        Raises:
            UsageError: it is not a policy; the message says what is wrong.
        """
        try:
            members = tomllib.loads(text)
        # The reader gives up on whole numbers of thousands of digits with a bare ValueError.
        except (ValueError, RecursionError) as error:
            raise UsageError(f"it is not TOML: {error}") from error
        return cls._from_members(members)

    @classmethod
    def _from_members(cls, members: dict[str, Any]) -> Policy:
        unknown = sorted(members.keys() - {"origin", "keys", "signatures", "panels"})
        if unknown:
            raise UsageError(f"unknown {unknown[0]!r}; known are origin, keys, signatures, panels")
        keys = members.get("keys")
        if not isinstance(keys, list) or not all(isinstance(key, str) for key in keys):
            raise UsageError('keys is a list of public keys, such as keys = ["ed25519:…"]')
        origin = members.get("origin")
        if origin is not None and not isinstance(origin, str):
            raise UsageError(f"origin is {origin!r}; give a text")
        verifiers = tuple(Ed25519Verifier.from_text(key) for key in keys)
        panels = members.get("panels")
        return cls(
            verifiers,
            members.get("signatures", 1),
            origin,
            None if panels is None else _digests(panels),
        )


def _digests(panels: object) -> frozenset[str]:
    if not isinstance(panels, list) or not all(
        isinstance(panel, str) and _DIGEST.fullmatch(panel) for panel in panels
    ):
        raise UsageError(
            "panels is a list of digests, 64 hex digits each; verify --replay shows them"
        )
    return frozenset(panels)
