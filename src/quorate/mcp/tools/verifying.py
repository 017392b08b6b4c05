"""The tool that verifies receipts and bundles. Offline, with public keys only."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any

from pydantic import Field, StrictInt

from quorate.core import limits
from quorate.core.errors import UsageError, VerificationError
from quorate.core.identity import Ed25519Verifier
from quorate.ledger import Bundle, Policy, Receipt
from quorate.ledger.receipts import check_signatures
from quorate.mcp.models import Check, Id, VerifyAnswer
from quorate.mcp.settings import Settings
from quorate.mcp.work import Workers

_PUBLIC = "ed25519:"


class VerifyingTools:
    """``verify_receipt``."""

    def __init__(self, settings: Settings, workers: Workers) -> None:
        """Trust the operator's policy where a client names no keys."""
        self._settings = settings
        self._workers = workers

    async def verify_receipt(
        self,
        receipt: Annotated[
            dict[str, Any],
            Field(description="a receipt (quorate/receipt/v1) or a bundle (quorate/bundle/v1)"),
        ],
        keys: Annotated[
            list[str] | None,
            Field(
                max_length=limits.MAX_KEYS,
                description='public keys to trust, "ed25519:…"; the server\'s policy if left out',
            ),
        ] = None,
        signatures: Annotated[
            StrictInt, Field(ge=1, le=limits.MAX_KEYS, description="how many of keys must sign")
        ] = 1,
        origin: Annotated[
            Id | None, Field(description="with keys: the log it has to be of; any if left out")
        ] = None,
    ) -> VerifyAnswer:
        """Check a receipt or bundle against public keys, and say what was checked and what not.

        One that does not check out is no error of the call: "verified" is false and the
        failed check says which rule is broken.
        """

        def verify() -> VerifyAnswer:
            policy = self._policy(keys, signatures, origin)
            if "bundle" in receipt:
                bundle = Bundle.from_dict(receipt)
                return _verified(bundle.receipt, bundle, policy, named=keys is not None)
            return _verified(Receipt.from_dict(receipt), None, policy, named=keys is not None)

        return await self._workers.run(verify)

    def _policy(self, keys: list[str] | None, signatures: int, origin: str | None) -> Policy:
        if keys is None:
            if origin is not None or signatures != 1:
                raise UsageError("origin and signatures go with keys; without keys the server's "
                                 "policy says them")  # fmt: skip
            if self._settings.policy is None:
                raise UsageError(
                    "name whom you trust: keys, the operator's public keys, got from the operator "
                    "and not from the receipt; this server has no policy of its own"
                )
            return self._settings.policy
        strange = [key for key in keys if not key.startswith(_PUBLIC)]
        if strange:
            raise UsageError(f"a key is {strange[0][:40]!r}; give public keys, {_PUBLIC}…")
        return Policy(tuple(map(Ed25519Verifier.from_text, keys)), signatures, origin)


def _verified(
    receipt: Receipt, bundle: Bundle | None, policy: Policy, *, named: bool
) -> VerifyAnswer:
    """Check one rule after the other, up to the first that is broken."""
    pinned: dict[str, Any] = {}

    def included() -> None:
        if bundle is not None:
            found = bundle.verify(policy)
            pinned.update(log_size=found.size, root=found.root.hex())

    steps: list[tuple[str, str, Callable[[], None]]] = [
        ("commitment", "the body is the one that the entry commits to", receipt.check_commitment),
        ("signature", _signed(policy), lambda: _signatures(receipt, policy)),
        ("receipt", "the entry is canonical, of the log asked", lambda: receipt.verify(policy)),
    ]  # fmt: skip
    if bundle is not None:
        steps.append(("inclusion", "the log that the checkpoint pins holds the entry", included))
    checks = []
    for rule, detail, step in steps:
        try:
            step()
        except VerificationError as error:
            checks.append(Check(rule=error.rule, passed=False, detail=str(error)))
            break
        checks.append(Check(rule=rule, passed=True, detail=detail))
    return VerifyAnswer(
        verified=all(check.passed for check in checks),
        kind="receipt" if bundle is None else "bundle",
        origin=receipt.origin,
        seq=receipt.seq,
        entry_kind=receipt.kind,
        sealed_at=receipt.timestamp,
        signers=[signature.key_id for signature in receipt.signatures],
        trusted_by="keys" if named else "policy",
        checks=checks,
        not_shown=_not_shown(bundle),
        **pinned,
    )


def _signatures(receipt: Receipt, policy: Policy) -> None:
    leaf = bytes.fromhex(receipt.entry_hash)
    check_signatures(receipt.signatures, policy, receipt.origin, leaf, receipt.seq)


def _signed(policy: Policy) -> str:
    return f"{policy.signatures} or more of {len(policy.verifiers)} trusted keys signed the entry"


def _not_shown(bundle: Bundle | None) -> list[str]:
    told = ["that the sealed verdict follows from its inputs: verify the ledger with --replay"]
    if bundle is None:
        told.append("that the log still holds it: that takes a bundle, or the ledger itself")
    return told
