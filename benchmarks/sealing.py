"""Sealing and verifying without a disk, beside the cryptography that bounds them."""

from __future__ import annotations

import hashlib
import hmac
import time
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any, Final

import orjson
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from benchmarks.cases import bodies
from benchmarks.measure import Aim, Figure, Settings, Spread, Step, Subject, rate_of, side_by_side
from quorate.core.canonical import canonical
from quorate.core.identity import Ed25519Signer, HmacSigner, Signer, signed_bytes
from quorate.ledger.entries import commit, entry_hash
from quorate.ledger.log import Ledger
from quorate.ledger.merkle import MerkleTree, leaf_hash
from quorate.ledger.receipts import SIGNED_KIND, sign_entry, signing_message

SUBJECT: Final = "sealing"
SHARES: Final = "share of time"
VERIFYING: Final = "verifying"

_GROUP: Final = 1000
_HASH: Final = bytes(32)


def steps(settings: Settings) -> list[Step]:
    """Receipts, the Merkle tree, where the time goes, verification."""
    return [
        Step("receipts, Ed25519", lambda: _ed25519(settings)),
        Step("receipts, HMAC", lambda: _hmac(settings)),
        Step("Merkle tree", lambda: _merkle(settings)),
        Step("share of time, Ed25519", lambda: _shares(settings, Ed25519Signer.generate())),
        Step("share of time, HMAC", lambda: _shares(settings, HmacSigner.generate())),
        Step("verifying", lambda: _verifying(settings)),
    ]


def _message(signer: Signer) -> bytes:
    """Bytes just like those that a receipt's signature covers."""
    return signed_bytes(SIGNED_KIND, signing_message("quorate/bench", [signer.key_id], _HASH))


def _many(count: int, once: Callable[[], object]) -> Subject:
    def work() -> None:
        for _ in range(count):
            once()

    return lambda: rate_of(count, work)


def _sealing(signer: Signer, work: list[Any]) -> Subject:
    def turn() -> float:
        with Ledger.open("memory:", signer=signer) as ledger:
            return rate_of(len(work), lambda: ledger.append_many("decision", work))

    return turn


def _ed25519(settings: Settings) -> list[Figure]:
    signer, count = Ed25519Signer.generate(), settings.units(_GROUP)
    key, message = Ed25519PrivateKey.generate(), _message(signer)
    turns = side_by_side(
        {
            "receipts": _sealing(signer, bodies(count)),
            "bare signing": _many(count, lambda: key.sign(message)),
        },
        settings.turns,
    )
    figure = turns.compare(
        "receipts",
        "bare signing",
        subject=SUBJECT,
        unit="entries/s",
        title="receipts, Ed25519",
        aim=Aim("85% of it", ratio=0.85),
        note="append_many, 500-byte bodies, store in memory",
    )
    return [figure]


def _hmac(settings: Settings) -> list[Figure]:
    signer, count = HmacSigner.generate(), settings.units(_GROUP)
    message, work = _message(signer), bodies(count)

    def floor() -> None:
        """What the format asks for in C, with nothing checked, kept or stored."""
        for body in work:
            raw = orjson.dumps(body, option=orjson.OPT_SORT_KEYS)
            hashlib.sha256(_HASH + raw).hexdigest()
            hashlib.sha256(b"\x00" + raw[:320]).digest()
            hashlib.sha256(b"\x01" + _HASH + _HASH).digest()
            signer.sign(SIGNED_KIND, message)

    bare = "bare HMAC"
    hashing = "its JSON, hashes and HMAC alone"
    turns = side_by_side(
        {
            "receipts": _sealing(signer, work),
            bare: _many(count, lambda: hmac.digest(signer.secret, message, "sha256")),
            hashing: lambda: rate_of(count, floor),
        },
        settings.turns,
    )
    title = "receipts, HMAC"
    return [
        turns.compare(
            "receipts",
            bare,
            subject=SUBJECT,
            unit="entries/s",
            title=title,
            aim=Aim("100k/s", rate=100_000),
            note="append_many, 500-byte bodies, store in memory",
        ),
        turns.compare("receipts", hashing, subject=SUBJECT, unit="entries/s", title=title),
    ]


def _merkle(settings: Settings) -> list[Figure]:
    count = settings.units(30_000)
    leaves = [number.to_bytes(32, "big") for number in range(count)]

    def tree() -> None:
        grown = MerkleTree()
        for leaf in leaves:
            grown.append(leaf_hash(leaf))

    def floor() -> None:
        """A tree of n leaves takes n leaf hashes and n - 1 node hashes."""
        for leaf in leaves:
            hashlib.sha256(b"\x00" + leaf).digest()
            hashlib.sha256(b"\x01" + _HASH + leaf).digest()

    turns = side_by_side(
        {
            "Merkle appends": lambda: rate_of(count, tree),
            "two hashes": lambda: rate_of(count, floor),
        },
        settings.turns,
    )
    aim = Aim("half of it", ratio=0.5)
    return [
        turns.compare("Merkle appends", "two hashes", subject=SUBJECT, unit="leaves/s", aim=aim)
    ]


def _shares(settings: Settings, signer: Ed25519Signer | HmacSigner) -> list[Figure]:
    """Seal groups on disk, then time each stage by itself on the very same bodies."""
    work = bodies(settings.units(_GROUP))
    found: dict[str, list[float]] = {}
    path = settings.scratch / f"shares-{signer.algorithm}.sqlite"
    replica = settings.scratch / f"shares-{signer.algorithm}-copy.sqlite"
    with ExitStack() as stack:
        ledger = stack.enter_context(Ledger.open(f"sqlite:///{path}", signer=signer))
        copy = stack.enter_context(Ledger.open(f"sqlite:///{replica}", signer=signer))
        for turn in range(settings.turns + 1):
            whole, stages = _stages(ledger, copy, signer, work)
            if turn:
                stages["the rest, in Python"] = max(0.0, whole - sum(stages.values()))
                for name, seconds in stages.items():
                    found.setdefault(name, []).append(seconds / whole)
    return [
        Figure(
            subject=SHARES,
            name=f"{name}, {'Ed25519' if isinstance(signer, Ed25519Signer) else 'HMAC'}",
            unit="of the whole",
            rate=Spread.of(shares),
            note=f"append_many of {len(work)}, on disk",
        )
        for name, shares in found.items()
    ]


def _stages(
    ledger: Ledger, copy: Ledger, signer: Signer, work: list[Any]
) -> tuple[float, dict[str, float]]:
    """Seconds of one sealing, and of its stages alone; the rows go into ``copy`` once more."""
    start = len(ledger)
    whole = _seconds(lambda: ledger.append_many("decision", work))
    rows = list(ledger.store.rows(start))
    texts = [
        (r.seq, r.entry.decode(), r.body.decode(), r.salt, r.signatures.decode(), r.kind.decode())
        for r in rows
    ]

    def hashing() -> None:
        tree = MerkleTree()
        for row in rows:
            commit(row.salt, row.body)
            tree.append(entry_hash(row.entry))

    def storing() -> None:
        with copy.store.transaction():
            copy.store.insert([(*text, None, None) for text in texts])

    return whole, {
        "canonical bytes": _seconds(lambda: [canonical(body) for body in work]),
        "hashing": _seconds(hashing),
        "signing": _seconds(lambda: [sign_entry((signer,), "quorate/bench", _HASH) for _ in work]),
        "storage": _seconds(storing),
    }


def _seconds(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def _verifying(settings: Settings) -> list[Figure]:
    return [
        _verifying_by(settings, "Ed25519", Ed25519Signer.generate()),
        _verifying_by(settings, "HMAC", HmacSigner.generate()),
    ]


def _verifying_by(settings: Settings, name: str, signer: Ed25519Signer | HmacSigner) -> Figure:
    count = settings.units(600)
    check = signer.verifier.verify
    signature = signer.sign(SIGNED_KIND, _HASH)
    bare = f"bare {name} checks"
    with Ledger.open("memory:", signer=signer) as ledger:
        ledger.append_many("decision", bodies(count))
        turns = side_by_side(
            {
                "entries": lambda: rate_of(count, ledger.verify),
                bare: _many(count, lambda: check(SIGNED_KIND, _HASH, signature)),
            },
            settings.turns,
        )
    return turns.compare(
        "entries", bare, subject=VERIFYING, unit="entries/s", title=f"whole ledger, {name}"
    )
