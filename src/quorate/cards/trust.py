"""Whom a reader of cards trusts: public keys by the name that signatures give, and for what.

A trust store is TOML::

    signatures = 1                       # how many of the keys must have signed, 1 or more

    [[keys]]
    kid = "example-2026"                 # what signatures call the key
    algorithms = ["ES256"]               # what it may sign by; all that fit it where left out
    hosts = ["agents.example.com"]       # whose agents it may speak for; any where left out
    names = ["Route planner"]            # and which of them, by name; any where left out
    public = '''-----BEGIN PUBLIC KEY-----
    …'''                                 # or jwk = {kty = "EC", …}

or a JWK Set (RFC 7517) as JSON, whose keys each have a ``kid``.
"""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from quorate.arbitration.forms import shown, text
from quorate.cards import bounds
from quorate.cards.jws import PublicKey, algorithms_of, decode, encode
from quorate.core.canonical import parse
from quorate.core.errors import UsageError
from quorate.core.identity import check_ed25519
from quorate.ledger.files import read_text

_CURVES: Final[dict[str, ec.EllipticCurve]] = {
    "P-256": ec.SECP256R1(),
    "P-384": ec.SECP384R1(),
    "P-521": ec.SECP521R1(),
}
_PRIVATE: Final = ("d", "p", "q", "dp", "dq", "qi", "oth", "k")
_HOST: Final = re.compile(r"[a-z0-9.:\[\]-]{1,255}")


@dataclass(frozen=True, slots=True)
class TrustedKey:
    """One public key.

    Attributes:
        kid: what signatures call it.
        key: the key.
        algorithms: what it may sign by, each of which fits it.
        hosts: the hosts whose agents it may speak for, in lower case; ``None`` for any.
        names: the names of agents that it may speak for, as cards write them; ``None`` for any.
    """

    kid: str
    key: PublicKey
    algorithms: tuple[str, ...]
    hosts: tuple[str, ...] | None = None
    names: tuple[str, ...] | None = None

    def to_dict(self) -> dict[str, Any]:
        """The key as JSON; :meth:`TrustStore.from_dict` reads it back."""
        told: dict[str, Any] = {
            "kid": self.kid,
            "jwk": jwk_of(self.key),
            "algorithms": list(self.algorithms),
        }
        held = {"hosts": self.hosts, "names": self.names}
        return told | {name: list(each) for name, each in held.items() if each is not None}


@dataclass(frozen=True, slots=True)
class TrustStore:
    """The keys that a reader of cards trusts.

    Attributes:
        keys: each of another ``kid``.
        signatures: how many of them must have signed a card, 1 to their number.
    """

    keys: tuple[TrustedKey, ...]
    signatures: int = 1

    def __post_init__(self) -> None:
        """Check the keys against one another."""
        if not 1 <= len(self.keys) <= bounds.MAX_TRUSTED_KEYS:
            raise UsageError(
                f"a trust store has 1 to {bounds.MAX_TRUSTED_KEYS} keys, this one {len(self.keys)}"
            )
        kids = [each.kid for each in self.keys]
        twice = next((kid for place, kid in enumerate(kids) if kid in kids[:place]), None)
        if twice is not None:
            raise UsageError(f"the kid {twice!r} stands twice; one name has one key")
        same = [jwk_of(each.key) for each in self.keys]
        for place, jwk in enumerate(same):
            if jwk in same[:place]:
                first = self.keys[same.index(jwk)].kid
                raise UsageError(
                    f"{first!r} and {kids[place]!r} are the same key; it would count twice"
                )
        if type(self.signatures) is not int or not 1 <= self.signatures <= len(kids):
            raise UsageError(
                f"signatures is {self.signatures!r}; it is from 1 to the number of keys, "
                f"{len(kids)}"
            )

    def key(self, kid: str) -> TrustedKey | None:
        """The key of that name, or ``None``."""
        return next((each for each in self.keys if each.kid == kid), None)

    def to_dict(self) -> dict[str, Any]:
        """The store as JSON; :meth:`from_dict` reads it back."""
        return {"signatures": self.signatures, "keys": [each.to_dict() for each in self.keys]}

    @classmethod
    def from_dict(cls, data: Any) -> TrustStore:
        """Read a store as its TOML says it, or as :meth:`to_dict` wrote it.

        Raises:
            UsageError: it is none; says which key, and why.
        """
        if not isinstance(data, Mapping):
            raise UsageError("it is no table of keys")
        unknown = sorted(map(str, data.keys() - {"keys", "signatures"}))
        if unknown:
            raise UsageError(f"unknown {unknown[0]!r}; known are keys and signatures")
        listed = data.get("keys")
        if not isinstance(listed, list):
            raise UsageError("it has no [[keys]]; give each key with its kid")
        return cls(tuple(_numbered(listed, _key)), data.get("signatures", 1))

    @classmethod
    def read(cls, path: str | Path) -> TrustStore:
        """Read a trust store, TOML or a JWK Set (see the module).

        Raises:
            OperationalError: the file cannot be read.
            UsageError: it is no trust store; says which key, and why.
        """
        content = read_text(path, "trust store", bounds.MAX_TRUST_BYTES).removeprefix("\ufeff")
        try:
            if content.lstrip().startswith("{"):
                return cls.from_jwks(parse(content))
            return cls.from_dict(tomllib.loads(content))
        except UsageError as error:
            raise UsageError(f"the trust store {path}: {error}") from error
        # The reader gives up on whole numbers of thousands of digits with a bare ValueError.
        except (ValueError, RecursionError) as error:
            raise UsageError(f"the trust store {path} is not TOML: {error}") from error

    @classmethod
    def from_jwks(cls, data: Any) -> TrustStore:
        """Read a JWK Set (RFC 7517).

        Raises:
            UsageError: it is none; says which key, and why.
        """
        if not isinstance(data, dict) or not isinstance(data.get("keys"), list):
            raise UsageError("it is no JWK Set: an object with a list of keys")
        return cls(tuple(_numbered(data["keys"], _of_set)))


def _numbered(listed: list[Any], read: Any) -> Iterable[TrustedKey]:
    for place, item in enumerate(listed):
        try:
            yield read(_table(item))
        except UsageError as error:
            name = item.get("kid") if isinstance(item, dict) else None
            which = f" ({shown(name)})" if isinstance(name, str) else ""
            raise UsageError(f"key {place + 1}{which}: {error}") from error


def _table(item: Any) -> dict[str, Any]:
    if not isinstance(item, dict):
        raise UsageError("it is no table")
    return item


def _key(item: dict[str, Any]) -> TrustedKey:
    known = {"kid", "algorithms", "hosts", "names", "public", "jwk"}
    unknown = sorted(map(str, item.keys() - known))
    if unknown:
        raise UsageError(
            f"unknown {unknown[0]!r}; known are kid, algorithms, hosts, names, public and jwk"
        )
    if ("public" in item) == ("jwk" in item):
        raise UsageError("give the key as public, in PEM, or as jwk; one of them")
    kid = text(item.get("kid"), "kid")
    key = _pem(item["public"]) if "public" in item else key_of_jwk(item["jwk"])
    algorithms = _algorithms(item.get("algorithms"), key)
    return TrustedKey(kid, key, algorithms, _hosts(item.get("hosts")), _names(item.get("names")))


def _of_set(item: dict[str, Any]) -> TrustedKey:
    if item.get("use", "sig") != "sig":
        raise UsageError(f"use is {shown(item['use'])}; a key that verifies has use = sig")
    operations = item.get("key_ops", ["verify"])
    if not isinstance(operations, list) or "verify" not in operations:
        raise UsageError("its key_ops leave out verify")
    if "kid" not in item:
        raise UsageError("it has no kid, by which signatures name it")
    key = key_of_jwk(item)
    named = item.get("alg")
    return TrustedKey(
        text(item["kid"], "kid"), key, _algorithms(None if named is None else [named], key)
    )


def _algorithms(given: Any, key: PublicKey) -> tuple[str, ...]:
    possible = algorithms_of(key)
    if given is None:
        return possible
    if not isinstance(given, list) or not given:
        raise UsageError(f"algorithms is {shown(given)}; give a list such as [{possible[0]!r}]")
    for each in given:
        if each not in possible:
            raise UsageError(
                f"the algorithm {shown(each)} does not fit the key; it takes {', '.join(possible)}"
            )
    return tuple(dict.fromkeys(given))


def _hosts(given: Any) -> tuple[str, ...] | None:
    if given is None:
        return None
    if not isinstance(given, list) or not 1 <= len(given) <= bounds.MAX_KEY_NAMES:
        raise UsageError(
            f"hosts is {shown(given)}; give a list of host names, 1 to {bounds.MAX_KEY_NAMES}, or "
            "leave it out"
        )
    for each in given:
        if not isinstance(each, str) or not _HOST.fullmatch(each.lower()):
            raise UsageError(f"the host {shown(each)} is no host name")
    return tuple(dict.fromkeys(each.lower() for each in given))


def _names(given: Any) -> tuple[str, ...] | None:
    if given is None:
        return None
    if not isinstance(given, list) or not 1 <= len(given) <= bounds.MAX_KEY_NAMES:
        raise UsageError(
            f"names is {shown(given)}; give a list of 1 to {bounds.MAX_KEY_NAMES} names of agents, "
            "or leave it out"
        )
    return tuple(dict.fromkeys(text(each, "a name") for each in given))


def _pem(given: Any) -> PublicKey:
    if not isinstance(given, str):
        raise UsageError(f"public is {shown(given)}; give the public key as PEM text")
    if "PRIVATE KEY" in given:
        raise UsageError("public holds a private key; give the public one, and keep that private")
    try:
        key = serialization.load_pem_public_key(given.strip().encode())
    except (ValueError, UnsupportedAlgorithm) as error:
        raise UsageError("public is no public key in PEM") from error
    return _usable(key)


def _usable(key: object) -> PublicKey:
    if not isinstance(key, ec.EllipticCurvePublicKey | Ed25519PublicKey | rsa.RSAPublicKey):
        raise UsageError("it is a key of another kind; EC, Ed25519 and RSA keys sign cards")
    algorithms_of(key)
    if isinstance(key, Ed25519PublicKey):
        check_ed25519(key.public_bytes_raw(), "key")
    return key


def key_of_jwk(jwk: Any) -> PublicKey:
    """Read a public key as a JWK (RFC 7517, RFC 8037).

    Raises:
        UsageError: it is none, or holds what is to be kept private.
    """
    if not isinstance(jwk, dict):
        raise UsageError(f"jwk is {shown(jwk)}; give an object")
    kind = jwk.get("kty")
    if kind == "oct":
        raise UsageError("it is a shared secret; who verifies with it could sign with it")
    private = next((name for name in _PRIVATE if name in jwk), None)
    if private is not None:
        raise UsageError(f"it holds {private!r}, a part of the private key; give the public one")
    try:
        return _usable(_public(jwk, kind))
    except ValueError as error:
        told = str(error) or "its numbers are no such key"
        raise UsageError(told) from error


def _public(jwk: dict[str, Any], kind: object) -> object:
    curve = jwk.get("crv")
    if kind == "EC" and curve in _CURVES:
        x, y = (int.from_bytes(_part(jwk, name)) for name in ("x", "y"))
        return ec.EllipticCurvePublicNumbers(x, y, _CURVES[curve]).public_key()
    if kind == "OKP" and curve == "Ed25519":
        return Ed25519PublicKey.from_public_bytes(_part(jwk, "x"))
    if kind == "RSA":
        n, e = (int.from_bytes(_part(jwk, name)) for name in ("n", "e"))
        return rsa.RSAPublicNumbers(e, n).public_key()
    raise UsageError(
        f"kty {shown(kind)} with crv {shown(curve)} is not known; EC with P-256, P-384 or P-521, "
        "OKP with Ed25519, and RSA are"
    )


def _part(jwk: dict[str, Any], name: str) -> bytes:
    if not isinstance(jwk.get(name), str):
        raise UsageError(f"its {name} is missing")
    return decode(jwk[name])


def jwk_of(key: PublicKey) -> dict[str, str]:
    """A public key as a JWK."""
    if isinstance(key, Ed25519PublicKey):
        return {"kty": "OKP", "crv": "Ed25519", "x": encode(key.public_bytes_raw())}
    if isinstance(key, rsa.RSAPublicKey):
        numbers = key.public_numbers()
        return {"kty": "RSA", "n": _number(numbers.n), "e": _number(numbers.e)}
    point = key.public_numbers()
    size = (key.curve.key_size + 7) // 8
    name = next(name for name, curve in _CURVES.items() if curve.name == key.curve.name)
    return {
        "kty": "EC",
        "crv": name,
        "x": encode(point.x.to_bytes(size)),
        "y": encode(point.y.to_bytes(size)),
    }


def _number(value: int) -> str:
    return encode(value.to_bytes((value.bit_length() + 7) // 8))


def jwks_text(keys: Iterable[tuple[str, str, PublicKey]]) -> str:
    """A JWK Set of keys, each with its kid and algorithm, as JSON text for a file."""
    listed = [
        {**jwk_of(key), "kid": kid, "alg": algorithm, "use": "sig"} for kid, algorithm, key in keys
    ]
    return json.dumps({"keys": listed}, indent=2) + "\n"
