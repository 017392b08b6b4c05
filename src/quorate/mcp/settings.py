"""What the operator gives the server. Clients choose none of it.

Without tokens a server over HTTP answers anybody on the machine, so it is given nothing of
the operator's: no ledger, no council, no targets. That is checked here.
"""

from __future__ import annotations

import ipaddress
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from quorate.core import limits
from quorate.core.errors import UsageError
from quorate.council import ConsensusProtocol
from quorate.ledger import Ledger, Policy
from quorate.mcp import bounds
from quorate.mcp.tokens import TokenFile

if TYPE_CHECKING:
    from quorate.cards.trust import TrustStore

_LOOPBACK_NAMES: Final = frozenset({"localhost"})
_MOST_PORT: Final = 65535


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What the tools work with.

    Attributes:
        ledger: where decisions are sealed, and whose receipts can be read; ``None`` for none.
        sealing: whether it is open with its key; without, its receipts can only be read.
        council: where is proposed and voted; ``None``: there is none to vote in.
        policy: whom ``verify_receipt`` and ``evaluate_eu_ai_act`` trust where the client
            names no keys.
        voters: whom a client without a token (over stdio) may propose and vote as.
        targets: name -> callable that a scan may probe.
        trust: whose signatures of agent cards count; without it none does.
        call_seconds: how long one call may take.
        workers: calls that compute at the same time.
    """

    ledger: Ledger | None = None
    sealing: bool = True
    council: ConsensusProtocol | None = None
    policy: Policy | None = None
    voters: frozenset[str] = frozenset()
    targets: Mapping[str, Callable[..., Any]] = field(default_factory=dict)
    trust: TrustStore | None = None
    call_seconds: float = bounds.CALL_SECONDS
    workers: int = bounds.WORKERS

    def __post_init__(self) -> None:
        """Check the numbers, and that voters have a council."""
        _between("call_seconds", self.call_seconds, 0.001, limits.MAX_TIMEOUT_SECONDS)
        _between("workers", self.workers, 1, limits.MAX_CONCURRENCY)
        if self.voters and self.council is None:
            raise UsageError("voters are named, but no council that they could vote in")
        if len(self.targets) > bounds.MAX_TARGETS:
            raise UsageError(f"at most {bounds.MAX_TARGETS} targets can be registered")

    @property
    def record(self) -> Ledger | None:
        """Where decisions are sealed, if anywhere."""
        return self.ledger if self.sealing else None

    @property
    def holds(self) -> list[str]:
        """What of the operator's own the tools can reach, in words."""
        own = {"a ledger": self.ledger, "a council": self.council, "targets": self.targets}
        return [name for name, what in own.items() if what is not None and what != {}]


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpSettings:
    """Where the server listens over HTTP, and to whom.

    Attributes:
        host: address to listen on; loopback unless there are tokens.
        port: 0 takes a free one.
        path: of the endpoint.
        tokens: who may call; ``None`` lets anybody on this machine.
        allowed_hosts: further values of the header Host, such as ``example.org:443``.
        allowed_origins: values of the header Origin, such as ``https://example.org``: web
            pages that may call. None may unless it is named.
        tls_cert: certificate file in PEM; with ``tls_key``.
        tls_key: its private key file.
        insecure_http: let tokens travel unencrypted to another machine.
        insecure_no_tokens: let anybody on this machine reach what the operator gave.
        body_bytes: largest body.
        body_seconds: how long a client may take to send it.
        calls: most requests answered side by side.
        calls_per_minute: of one client; ``None`` for no such limit.
    """

    host: str = "127.0.0.1"
    port: int = 8000
    path: str = "/mcp"
    tokens: TokenFile | None = None
    allowed_hosts: tuple[str, ...] = ()
    allowed_origins: tuple[str, ...] = ()
    tls_cert: Path | None = None
    tls_key: Path | None = None
    insecure_http: bool = False
    insecure_no_tokens: bool = False
    body_bytes: int = bounds.BODY_BYTES
    body_seconds: float = bounds.BODY_SECONDS
    calls: int = bounds.CALLS
    calls_per_minute: int | None = None

    def __post_init__(self) -> None:
        """Refuse what is not safe, unless it is asked for by its name."""
        _between("port", self.port, 0, _MOST_PORT)
        _between("body_bytes", self.body_bytes, 1024, bounds.MOST_BODY_BYTES)
        _between("body_seconds", self.body_seconds, 0.001, limits.MAX_TIMEOUT_SECONDS)
        _between("calls", self.calls, 1, bounds.MOST_CALLS)
        if self.calls_per_minute is not None:
            _between("calls_per_minute", self.calls_per_minute, 1, 1_000_000)
        if not self.path.startswith("/") or not self.path.isascii() or "{" in self.path:
            raise UsageError(f"path is {self.path!r}; it begins with a slash, such as /mcp")
        if (self.tls_cert is None) != (self.tls_key is None):
            raise UsageError("TLS takes a certificate and its key; only one of them is named")
        if not self.is_loopback:
            self._check_open()
        for name in ("allowed_hosts", "allowed_origins"):
            if any("*" in value or not value for value in getattr(self, name)):
                raise UsageError(f"{name} are whole values, without * for any")

    def _check_open(self) -> None:
        if self.tokens is None:
            raise UsageError(
                f"host {self.host} can be reached from other machines, so only clients with a "
                "token may call: give a token file, or listen on 127.0.0.1"
            )
        if self.tls_cert is None and not self.insecure_http:
            raise UsageError(
                f"tokens would travel to {self.host} unencrypted: give a TLS certificate and key, "
                "listen on 127.0.0.1 behind a proxy that does TLS, or accept it: --insecure-http "
                "(insecure_http in a file or in Python)"
            )

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine can reach it."""
        if self.host in _LOOPBACK_NAMES:
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False

    @property
    def scheme(self) -> str:
        """``http`` or ``https``."""
        return "http" if self.tls_cert is None else "https"

    def check_with(self, settings: Settings) -> None:
        """See that nothing of the operator's is open to whoever is on the machine.

        Raises:
            UsageError: there are no tokens, but a ledger, a council or targets.
        """
        if self.tokens is None and settings.holds and not self.insecure_no_tokens:
            raise UsageError(
                f"without tokens anybody on this machine may call, and the server has "
                f"{' and '.join(settings.holds)}; make a token with: quorate serve token new, "
                "serve without these, or accept it: --insecure-no-tokens (insecure_no_tokens in a "
                "file or in Python)"
            )


def _between(name: str, value: float, least: float, most: float) -> None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise UsageError(f"{name} is {value!r}; give a number")
    if not least <= value <= most:
        raise UsageError(f"{name} is {value}; it is from {least:g} to {most:g}")
