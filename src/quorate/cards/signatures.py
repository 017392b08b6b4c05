"""Whether the signatures of a card are those of keys that the reader trusts.

What a signature says about itself is not believed: not which key it is of beyond its name
(``jku``, ``jwk``, ``x5u`` and ``x5c`` are passed over and never fetched), nor which algorithm
(it has to be one that the reader allows that key).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlsplit

from quorate.arbitration.forms import items, members, shown
from quorate.cards import bounds
from quorate.cards.form import V0_3
from quorate.cards.jws import decode, encode, verify
from quorate.cards.signed_form import WHOLE, signed_forms, uncovered, whole_digest
from quorate.cards.trust import TrustedKey, TrustStore
from quorate.cards.views import interfaces
from quorate.core.canonical import parse
from quorate.core.errors import UsageError
from quorate.core.text import counted, shortened

VERIFIED: Final = "verified"
UNSIGNED: Final = "unsigned"
UNTRUSTED: Final = "untrusted"
PARTIAL: Final = "partial"
FAILED: Final = "failed"
UNCHECKED: Final = "unchecked"

# States of single signatures besides VERIFIED and PARTIAL.
TAMPERED: Final = "tampered"
UNKNOWN_KEY: Final = "unknown-key"
ALGORITHM: Final = "algorithm"
CRITICAL: Final = "critical"
MALFORMED: Final = "malformed"
DUPLICATE: Final = "duplicate"
HOST: Final = "host"
NAME: Final = "name"

STATES: Final = (
    VERIFIED, PARTIAL, TAMPERED, UNKNOWN_KEY, ALGORITHM, CRITICAL, MALFORMED, DUPLICATE, HOST, NAME,
)  # fmt: skip
"""All states of single signatures."""

_SIGNED: Final = frozenset({VERIFIED, PARTIAL})
_OF_TRUSTED: Final = frozenset({TAMPERED, DUPLICATE, HOST, NAME})
"""What only a signature that names a trusted key is; one of these fails the card."""
_POINTERS: Final = ("jku", "jwk", "x5u", "x5c")
_PROTECTED_ONLY: Final = ("alg", "crit", "b64", "kid")
_MOST_HEADER: Final = 16 << 10


@dataclass(frozen=True, slots=True)
class SignatureResult:
    """One signature.

    Attributes:
        index: its place in the card, from 0.
        kid: the key it names, if it can be read.
        algorithm: the algorithm it names, if it can be read.
        state: ``"verified"``, or why not: ``"partial"``, the key's, but not over the whole
            card; ``"tampered"``, the key's but not over this card; ``"unknown-key"``;
            ``"algorithm"``, one that is not allowed that key, or nobody; ``"critical"``, it asks
            for extensions that are not understood; ``"malformed"``; ``"duplicate"``, its key
            signs more than once; ``"host"`` and ``"name"``, the key does not speak for agents
            there, or of that name.
        reason: one sentence for people.
    """

    index: int
    kid: str | None
    algorithm: str | None
    state: str
    reason: str

    def to_dict(self) -> dict[str, Any]:
        """The result as JSON."""
        return {
            "index": self.index,
            "kid": self.kid,
            "algorithm": self.algorithm,
            "state": self.state,
            "reason": self.reason,
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> SignatureResult:
        """Read back what :meth:`to_dict` wrote.

        Raises:
            UsageError: it is no result.
        """
        form = members(data, "the signature", ("index", "kid", "algorithm", "state", "reason"))
        texts = [form["reason"], form["kid"] or "", form["algorithm"] or ""]
        if type(form["index"]) is not int or not all(isinstance(text, str) for text in texts):
            raise UsageError("a signature has a number, and texts or null for the rest")
        if form["state"] not in STATES:
            raise UsageError(f"the state of a signature is {shown(form['state'])}")
        return cls(**form)


@dataclass(frozen=True, slots=True)
class SignatureReport:
    """All signatures of a card.

    Attributes:
        state: ``"verified"``, as many trusted keys signed as are asked for, and no signature
            that names one of them is wrong; ``"partial"``, as many signed, but not the whole
            card; ``"unsigned"``, there is none; ``"untrusted"``, too few of them are of trusted
            keys; ``"failed"``, one that names a trusted key is wrong; ``"unchecked"``, no trust
            store was named, or the card is not valid.
        needed: how many trusted keys have to sign; 0 where none were named.
        results: one for each signature.
    """

    state: str
    needed: int
    results: tuple[SignatureResult, ...]

    @property
    def verified(self) -> bool:
        """Whether the whole card is what the trusted keys signed."""
        return self.state == VERIFIED

    def describe(self) -> str:
        """One line, and one for each signature."""
        good = sum(result.state in _SIGNED for result in self.results)
        told = {
            VERIFIED: f"verified: signed by {counted(good, 'trusted key')}",
            UNSIGNED: "unsigned: the card carries no signature",
            PARTIAL: "partial: trusted keys signed it, but not the whole of it",
            UNTRUSTED: f"not trusted: {good} of trusted keys, {self.needed} needed",
            FAILED: "failed: a signature that names a trusted key is wrong",
            UNCHECKED: f"{counted(len(self.results), 'signature')}, not checked: {self._unchecked}",
        }[self.state]
        lines = [f"signatures: {told}"]
        for one in self.results:
            # Where no key is looked for, the key is not unknown.
            asked = self.state != UNCHECKED or one.state != UNKNOWN_KEY
            what = f"{one.state}: {one.reason}" if asked else f"{one.reason}: kid {shown(one.kid)}"
            lines.append(f"  [{one.index}] {what}")
        return "\n".join(lines)

    @property
    def _unchecked(self) -> str:
        return "no trust store was named" if self.needed == 0 else "the card is not valid"

    def to_dict(self) -> dict[str, Any]:
        """The report as JSON; :meth:`from_dict` reads it back."""
        return {
            "state": self.state,
            "needed": self.needed,
            "results": [result.to_dict() for result in self.results],
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> SignatureReport:
        """Read back what :meth:`to_dict` wrote; the state is held to the results.

        Raises:
            UsageError: it is no report, or the state does not follow from the results.
        """
        form = members(data, "the signatures", ("state", "needed", "results"))
        known = (VERIFIED, PARTIAL, UNSIGNED, UNTRUSTED, FAILED, UNCHECKED)
        if form["state"] not in known or type(form["needed"]) is not int:
            raise UsageError(f"the state of the signatures is {shown(form['state'])}")
        results = items(form["results"], "the signatures", SignatureResult.from_dict)
        if not _may_be(form["state"], form["needed"], results):
            raise UsageError(
                f"the state of the signatures is {shown(form['state'])}, which does not follow "
                "from them"
            )
        return cls(form["state"], form["needed"], results)


def verify_signatures(
    card: dict[str, Any], version: str, trust: TrustStore | None, *, valid: bool = True
) -> SignatureReport:
    """Check the signatures of a card.

    Args:
        card: its content.
        version: that it was read as.
        trust: whom the reader trusts; ``None`` for nobody, which verifies nothing.
        valid: its form is right; otherwise nothing can be said of what was signed.
    """
    listed = card.get("signatures")
    signatures = listed if isinstance(listed, list) else []
    signatures = signatures[: bounds.MAX_SIGNATURES]
    if not signatures:
        return SignatureReport(UNSIGNED, 0 if trust is None else trust.signatures, ())
    read = [_read(place, item) for place, item in enumerate(signatures)]
    if trust is None or not valid:
        needed = 0 if trust is None else trust.signatures
        return SignatureReport(UNCHECKED, needed, tuple(result for result, _ in read))
    claimed = _Claimed.of(card, version)
    results = [
        _check(result, parts, trust, claimed) if parts is not None else result
        for result, parts in read
    ]
    results = _without_duplicates(results)
    return SignatureReport(_state(results, trust), trust.signatures, tuple(results))


def _may_be(state: str, needed: int, results: tuple[SignatureResult, ...]) -> bool:
    """Whether signatures with these results can come to that state, whoever was trusted."""
    states = [one.state for one in results]
    if state == UNSIGNED:
        return needed >= 0 and not states
    if state == UNCHECKED:
        return needed >= 0 and not (_SIGNED | _OF_TRUSTED) & set(states)
    if needed < 1 or not states:
        return False
    if state == FAILED:
        return not _SIGNED.issuperset(states)
    whole, signed = states.count(VERIFIED), sum(one in _SIGNED for one in states)
    found = VERIFIED if whole >= needed else PARTIAL if signed >= needed else UNTRUSTED
    return state == found and not _OF_TRUSTED & set(states)


def _state(results: list[SignatureResult], trust: TrustStore) -> str:
    named = {each.kid for each in trust.keys}
    if any(one.state not in _SIGNED and one.kid in named for one in results):
        return FAILED
    if sum(one.state == VERIFIED for one in results) >= trust.signatures:
        return VERIFIED
    signed = sum(one.state in _SIGNED for one in results)
    return PARTIAL if signed >= trust.signatures else UNTRUSTED


@dataclass(frozen=True, slots=True)
class _Claimed:
    """What signatures may be over, and for whom.

    ``unclean``: something empty stands in the first of the payloads.
    """

    payloads: tuple[bytes, ...]
    whole: str
    uncovered: str | None
    unclean: bool
    hosts: set[str]
    name: str

    @classmethod
    def of(cls, card: dict[str, Any], version: str) -> _Claimed:
        lost = uncovered(card, version)
        return cls(
            signed_forms(card, version),
            whole_digest(card, version),
            lost,
            version == V0_3 and lost is not None,
            _hosts(card, version),
            str(card.get("name")),
        )


@dataclass(frozen=True, slots=True)
class _Parts:
    """What of a signature is verified: its protected header as written, and its value.

    ``whole`` is the digest of the card that the header holds, ``None`` where it holds none.
    """

    protected: str
    signature: bytes
    whole: str | None


def _read(index: int, item: Any) -> tuple[SignatureResult, _Parts | None]:
    """Read a signature; without parts where it cannot count whatever its key is."""

    def refused(state: str, reason: str) -> tuple[SignatureResult, None]:
        return SignatureResult(index, kid, algorithm, state, reason), None

    kid = algorithm = None
    try:
        header, parts = read_signature(item)
    except UsageError as error:
        return refused(MALFORMED, shortened(str(error)))
    kid = header["kid"] if isinstance(header.get("kid"), str) else None
    algorithm = header["alg"] if isinstance(header.get("alg"), str) else None
    if not kid or not algorithm:
        return refused(MALFORMED, "its protected header names no kid, or no alg; both are required")
    if "crit" in header or "b64" in header:
        asked = shown(str(header.get("crit", "b64")))
        return refused(CRITICAL, f"it asks for extensions ({asked}); none is understood")
    if algorithm.casefold() == "none":
        return refused(ALGORITHM, "its alg is none: it is no signature at all")
    if algorithm.upper().startswith("HS"):
        return refused(
            ALGORITHM,
            f"its alg is {algorithm[:20]}, with a shared secret; taken with a public key, anyone "
            "could have made it",
        )
    passed_over = [name for name in _POINTERS if name in header]
    note = f"; its {' and '.join(passed_over)} is not looked at" if passed_over else ""
    return SignatureResult(index, kid, algorithm, UNKNOWN_KEY, f"not checked{note}"), parts


def read_signature(item: Any) -> tuple[dict[str, Any], _Parts]:
    """Take one signature apart: its protected header, and what is verified.

    Raises:
        UsageError: it is none.
    """
    if not isinstance(item, dict):
        raise UsageError("it is no object")
    protected, value = item.get("protected"), item.get("signature")
    if not isinstance(protected, str) or not isinstance(value, str):
        raise UsageError("it has no protected header, or no signature")
    if len(protected) > _MOST_HEADER or len(value) > _MOST_HEADER:
        raise UsageError(f"its parts are longer than {_MOST_HEADER} characters")
    try:
        header = parse(decode(protected))
    except UsageError as error:
        raise UsageError(f"its protected header cannot be read: {error}") from error
    if not isinstance(header, dict):
        raise UsageError("its protected header is no object")
    outside = item.get("header")
    both = [name for name in _PROTECTED_ONLY if isinstance(outside, dict) and name in outside]
    if both:
        raise UsageError(f"its unprotected header holds {both[0]}, which has to be protected")
    try:
        whole = str(header[WHOLE]) if WHOLE in header else None
        return header, _Parts(protected, decode(value), whole)
    except UsageError as error:
        raise UsageError(f"its signature cannot be read: {error}") from error


def _check(
    result: SignatureResult,
    parts: _Parts,
    trust: TrustStore,
    claimed: _Claimed,
) -> SignatureResult:
    kid, algorithm = str(result.kid), str(result.algorithm)
    note = result.reason.removeprefix("not checked")

    def told(state: str, reason: str) -> SignatureResult:
        return SignatureResult(result.index, kid, algorithm, state, reason + note)

    trusted = trust.key(kid)
    if trusted is None:
        return told(UNKNOWN_KEY, f"the key {shown(kid)} is none of the trust store")
    if algorithm not in trusted.algorithms:
        allowed = ", ".join(trusted.algorithms)
        return told(
            ALGORITHM, f"its alg is {shown(algorithm)}; the trust store allows that key {allowed}"
        )
    payload = _payload(trusted, algorithm, parts, claimed.payloads)
    if payload is None or parts.whole not in {None, claimed.whole}:
        return told(
            TAMPERED,
            f"it is not the signature of the key {shown(kid)} over this card: the card was "
            "changed, or another key signed it",
        )
    stranger = _stranger(trusted, claimed)
    if stranger is not None:
        state, whom = stranger
        return told(state, f"the key {shown(kid)} may not speak for {whom}")
    # A form of a card that leaves out what is empty cannot be one in which something empty is.
    as_published = claimed.unclean and payload == claimed.payloads[0]
    if parts.whole is None and not as_published:
        lost = f"there is such in {claimed.uncovered}" if claimed.uncovered else "some may be gone"
        return told(
            PARTIAL,
            f"by the key {shown(kid)}, {algorithm}, and not over what is empty, such as security "
            f"requirements without scopes: {lost}; sign the whole card with: quorate card sign",
        )
    anyone = "; it may speak for agents of any name" if _among_others(trusted, trust) else ""
    return told(VERIFIED, f"by the key {shown(kid)}, {algorithm}{anyone}")


def _stranger(trusted: TrustedKey, claimed: _Claimed) -> tuple[str, str] | None:
    """Whom of this agent the key does not speak for, and the state that says so."""
    if trusted.hosts is not None:
        for host in sorted(claimed.hosts - set(trusted.hosts)):
            return HOST, host
    if trusted.names is not None and claimed.name not in trusted.names:
        return NAME, f"agents named {shown(claimed.name)}"
    return None


def _among_others(trusted: TrustedKey, trust: TrustStore) -> bool:
    """Whether its holder could give an agent the name of another's, and so its evidence."""
    return trusted.names is None and len(trust.keys) > 1


def _payload(
    trusted: TrustedKey, algorithm: str, parts: _Parts, payloads: tuple[bytes, ...]
) -> bytes | None:
    """The form of the card that the signature is over, if it is over one."""
    for payload in payloads:
        message = f"{parts.protected}.{encode(payload)}".encode("ascii")
        if verify(trusted.key, algorithm, parts.signature, message):
            return payload
    return None


def _without_duplicates(results: list[SignatureResult]) -> list[SignatureResult]:
    """Let no key count twice: of one that signs more than once, nothing counts."""
    kids = [one.kid for one in results if one.kid is not None]
    return [
        SignatureResult(
            one.index, one.kid, one.algorithm, DUPLICATE,
            f"the key {shown(one.kid)} signs this card {kids.count(one.kid)} times; once is enough",
        )
        if one.kid is not None and kids.count(one.kid) > 1 and one.state in _SIGNED
        else one
        for one in results
    ]  # fmt: skip


def _hosts(card: dict[str, Any], version: str) -> set[str]:
    """Hosts of the agent's interfaces, in lower case."""
    found = set()
    for each in interfaces(card, version):
        url = str(each.url)
        host = urlsplit(url if "://" in url else f"//{url}").hostname
        found.add((host or "").lower())
    return found
