"""Prove that one token's gating stands in a sealed batch, and check such a proof offline.

The batch's tree is that of RFC 6962 section 2.1 over the tokens in order. A leaf is 32
bytes of salt and the canonical JSON of what was decided; the salt is HMAC-SHA256 of the
batch's salt over the token's index (8 bytes, big endian), so that a proof of one token
lets nobody guess at the others.
"""

from __future__ import annotations

import hmac
from collections.abc import Mapping, Sequence
from copy import deepcopy
from typing import Any, Final, NoReturn

from quorate.core.canonical import canonical
from quorate.core.errors import UsageError, UsageTypeError, VerificationError
from quorate.core.identity import Verifier
from quorate.ledger import Policy, Receipt
from quorate.ledger.merkle import MerkleTree, leaf_hash, node_hash
from quorate.moe.figures import check_figures, check_leaf, check_share

PROOF: Final = "quorate-gating-token/1"
"""Name and version of a proof's form."""

_FIELDS: Final = frozenset({"proof", "index", "size", "salt", "leaf", "path"})
_HASH_DIGITS: Final = 64
_KIND: Final = "gating"


def token_salt(salt: bytes, index: int) -> bytes:
    """Salt of one token's leaf, 32 bytes."""
    return hmac.digest(salt, index.to_bytes(8, "big"), "sha256")


def token_leaf(salt: bytes, leaf: Mapping[str, Any]) -> bytes:
    """Hash of one token's leaf under its own salt."""
    return leaf_hash(salt + canonical(dict(leaf)))


def leaf_hashes(salt: bytes, leaves: Sequence[Mapping[str, Any]]) -> list[bytes]:
    """Hashes of all leaves of a batch under the batch's salt, in order of the tokens."""
    return [token_leaf(token_salt(salt, i), leaf) for i, leaf in enumerate(leaves)]


def root_of(hashes: Sequence[bytes]) -> bytes:
    """Merkle root over leaf hashes, 32 bytes."""
    tree = MerkleTree()
    for each in hashes:
        tree.append(each)
    return tree.root()


def audit_path(hashes: Sequence[bytes], index: int) -> list[bytes]:
    """The roots of the subtrees beside the way from leaf ``index`` up, lowest first.

    RFC 6962 section 2.1.1: the tree splits at the greatest power of two below its size.

    Raises:
        UsageError: there is no such leaf.
    """
    if not 0 <= index < len(hashes):
        raise UsageError(f"there is no token {index}; the batch has {len(hashes)}")
    path: list[bytes] = []
    low, high = 0, len(hashes)
    while high - low > 1:
        middle = low + _split(high - low)
        if index < middle:
            path.append(root_of(hashes[middle:high]))
            high = middle
        else:
            path.append(root_of(hashes[low:middle]))
            low = middle
    return path[::-1]


def root_from_path(leaf: bytes, index: int, size: int, path: Sequence[bytes]) -> bytes | None:
    """The root that a leaf and its path lead to; ``None`` if the path has not their length."""
    sides: list[bool] = []  # from the top down: whether the leaf lies in the right part
    low, high = 0, size
    while high - low > 1:
        middle = low + _split(high - low)
        sides.append(index >= middle)
        low, high = (middle, high) if index >= middle else (low, middle)
    if len(sides) != len(path):
        return None
    for beside, right in zip(path, reversed(sides), strict=True):
        leaf = node_hash(beside, leaf) if right else node_hash(leaf, beside)
    return leaf


def _split(size: int) -> int:
    return 1 << (size - 1).bit_length() - 1


def prove_token(salt: bytes, leaves: Sequence[Mapping[str, Any]], index: int) -> dict[str, Any]:
    """Prove one token of a batch: a JSON value that :func:`verify_token` checks.

    Raises:
        UsageError: there is no such token.
    """
    hashes = leaf_hashes(salt, leaves)
    path = audit_path(hashes, index)
    return {
        "proof": PROOF,
        "index": index,
        "size": len(hashes),
        "salt": token_salt(salt, index).hex(),
        "leaf": deepcopy(dict(leaves[index])),
        "path": [each.hex() for each in path],
    }


def verify_token(
    proof: Mapping[str, Any],
    body: Mapping[str, Any] | Receipt,
    trust: Verifier | Policy | None = None,
) -> dict[str, Any]:
    """Check that a token's gating stands in a sealed batch, with nothing but this package.

    Args:
        proof: as :func:`prove_token` gives it.
        body: a receipt of the ``gating`` entry, which is checked here with ``trust``; or the
            body (``.payload``) of a receipt or an entry that you have verified before: it is
            taken at its word.
        trust: whose signature the receipt has to bear: a public key, or a policy.

    Returns:
        What was decided for the token: its number and, per layer, the ``experts`` chosen,
        whether they had a ``quorum``, and the ``others``: replica -> what it chose instead
        (``None`` if its logits were not finite).

    Raises:
        UsageError: a receipt without ``trust``, or ``trust`` for what is no receipt.
        VerificationError: rule ``inclusion``: it does not stand there, has another form, or
            cannot be what a batch of these figures decided; or the receipt does not hold,
            under a rule of its own.
    """
    payload = _payload(body, trust)
    # Both may be anything: a bad shape shows as one of these while it is read.
    try:
        _check_place(proof, payload)
        _check_decision(proof, payload)
    except (KeyError, TypeError, ValueError, AttributeError, IndexError, RecursionError) as error:
        _refuse(f"it is no proof of a token: {type(error).__name__}: {error}")
    return deepcopy(dict(proof["leaf"]))


def _check_place(proof: Mapping[str, Any], body: Any) -> None:
    """The proof's form, and that its leaf stands in the batch's tree."""
    if not isinstance(proof, dict) or set(proof) != _FIELDS or proof["proof"] != PROOF:
        _refuse(f"it is no proof of a token; one has the fields {sorted(_FIELDS)}")
    index, size = proof["index"], proof["size"]
    if type(index) is not int or type(size) is not int or not 0 <= index < size:
        _refuse(f"token {index!r} of {size!r} is none")
    if not isinstance(body, Mapping) or size != body.get("tokens"):
        _refuse(f"the proof is of a batch of {size} tokens, the entry is not")
    if not isinstance(proof["leaf"], dict) or proof["leaf"].get("token") != index:
        _refuse(f"the leaf is not of token {index}")
    if not isinstance(proof["path"], list):
        _refuse("the path is no list")
    salt, *path = [_bytes_of(each) for each in [proof["salt"], *proof["path"]]]
    root = root_from_path(token_leaf(salt, proof["leaf"]), index, size, path)
    if root is None or root.hex() != body.get("root"):
        _refuse(f"token {index} does not stand in this batch as the proof tells it")


def _check_decision(proof: Mapping[str, Any], body: Mapping[str, Any]) -> None:
    """That the leaf can be: whoever sealed the batch may have put anything into the tree."""
    try:
        check_figures(dict(body))
        check_leaf(proof["leaf"], proof["index"], dict(body))
        check_share(proof["leaf"], dict(body))
    except VerificationError as error:
        message = str(error).removesuffix(f" [{error.rule}]")
        raise VerificationError(message, rule="inclusion") from error


def _payload(body: object, trust: Verifier | Policy | None) -> Any:
    """The body that a proof is held to; of a receipt, once it was verified."""
    if not isinstance(body, Receipt):
        if trust is not None:
            raise UsageTypeError(
                f"trust was given, but the entry is a {type(body).__name__}, which has no "
                "signature; give the receipt (Receipt.from_dict of its JSON)"
            )
        return body
    if trust is None:
        raise UsageTypeError(
            "the entry is a Receipt, which may be anyone's: give the key as well, "
            "verify_token(proof, receipt, verifier), or its .payload if you have verified it"
        )
    if not hasattr(trust, "verify") and not isinstance(trust, Policy):
        raise UsageTypeError(
            f"trust is {trust!r} ({type(trust).__name__}); give a public key, as "
            "quorate.ledger.read_verifier reads it, or a Policy"
        )
    body.verify(trust if isinstance(trust, Policy) else Policy.of([trust]))
    if body.kind != _KIND:
        _refuse(f"the receipt is of the kind {body.kind!r}, not {_KIND!r}")
    return body.payload


def _bytes_of(text: object) -> bytes:
    if not isinstance(text, str) or len(text) != _HASH_DIGITS or set(text) - set(_HEX):
        _refuse(f"{text!r} is no hash of {_HASH_DIGITS} lower-case hex digits")
    return bytes.fromhex(text)


_HEX: Final = "0123456789abcdef"


def _refuse(message: str) -> NoReturn:
    raise VerificationError(message, rule="inclusion")
