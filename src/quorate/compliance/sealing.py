"""Which items of evidence are sealed: by a receipt that is given, verifies, and holds the item."""

from __future__ import annotations

from collections.abc import Iterable

from quorate.compliance.evidence import KIND, Evidence
from quorate.compliance.times import microseconds
from quorate.core.canonical import canonical
from quorate.core.errors import VerificationError
from quorate.core.text import counted
from quorate.ledger import Policy, Receipt

_Place = tuple[str, int, str]


class Seals:
    """The receipts of one evaluation, each verified at most once."""

    def __init__(
        self, policy: Policy | None, receipts: Iterable[Receipt | str], until: int
    ) -> None:
        """Take receipts, and the reasons of those that could not be read.

        Args:
            policy: keys that may seal evidence; ``None`` trusts nobody.
            receipts: in any order.
            until: moment of the evaluation, in microseconds since 1970; what was sealed
                later was not sealed then.
        """
        self._policy = policy
        self._until = until
        self._unreadable: list[str] = []
        self._found: dict[_Place, list[Receipt]] = {}
        self._verified: dict[_Place, Receipt | str] = {}
        for each in receipts:
            if isinstance(each, str):
                self._unreadable.append(each)
            else:
                self._found.setdefault((each.origin, each.seq, each.entry_hash), []).append(each)

    def against(self, item: Evidence) -> str | None:
        """Why nothing seals ``item``; ``None`` where its receipt does."""
        reference = item.receipt
        if reference is None:
            return "it is not sealed in any ledger"
        if self._policy is None:
            return "no policy names the keys that may seal evidence; name them"
        name = f"entry {reference.seq} of {reference.origin}"
        place = (reference.origin, reference.seq, reference.hash)
        if place not in self._found:
            return self._absent(name)
        receipt = self._sound(place, self._policy)
        if isinstance(receipt, str):
            return f"the receipt of {name} does not verify: {receipt}"
        return self._other(receipt, item, name)

    def _sound(self, place: _Place, policy: Policy) -> Receipt | str:
        """The first receipt of a place that verifies; a broken twin takes nothing from it."""
        if place not in self._verified:
            reasons: list[str] = []
            for each in self._found[place]:
                reason = _verified(each, policy)
                if reason is None:
                    self._verified[place] = each
                    break
                reasons.append(reason)
            else:
                self._verified[place] = reasons[0]
        return self._verified[place]

    def _other(self, receipt: Receipt, item: Evidence, name: str) -> str | None:
        if receipt.kind != KIND:
            return f"{name} is of the kind {receipt.kind!r}, not {KIND!r}"
        if receipt.body_bytes != canonical(item.body()):
            return f"{name} seals another item than this one"
        sealed = receipt.entry.time
        # Dated ahead, an item would outlast the time for which it may count.
        if sealed < microseconds(item.time):
            return f"{name} was sealed at {receipt.timestamp}, before the item's time {item.time}"
        if sealed > self._until:
            return f"{name} was sealed at {receipt.timestamp}, after the day of the evaluation"
        return None

    def _absent(self, name: str) -> str:
        if not self._unreadable:
            return f"the receipt of {name} is not among those given"
        number = counted(len(self._unreadable), "receipt")
        return (
            f"the receipt of {name} is not among those given that can be read; {number} cannot, "
            f"the first because {self._unreadable[0]}"
        )


def unbound(policy: Policy | None) -> str | None:
    """What to tell of a policy that names no log; ``None`` where it does."""
    if policy is None or policy.origin is not None:
        return None
    return (
        "the policy names no log: what the same keys sealed in any other log counts too; give "
        "the log's name as origin"
    )


def _verified(receipt: Receipt, policy: Policy) -> str | None:
    try:
        receipt.verify(policy)
    except VerificationError as error:
        return str(error)
    return None
