"""Shadow mode: what is acted upon, beside what the panel would have done.

A ledger holds it as an entry of its own, of the kind ``shadow``, that names the task and the
verdict it stands beside. Replay holds it to that verdict: what it says that the panel would
have refused, or done otherwise, is computed again. What the incumbent answered is nobody
else's to know, and taken as sealed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from quorate.arbitration import Proposal, Tally
from quorate.arbitration.forms import hex_digest, members, shown, text
from quorate.core import limits
from quorate.core.canonical import JSONValue, digest
from quorate.core.errors import UsageError, VerificationError
from quorate.hub.deciding import Verdict
from quorate.hub.experts import Expert
from quorate.ledger.replay import ReplayContext

KIND: Final = "shadow"


@dataclass(frozen=True, slots=True)
class Shadow:
    """What is acted upon in shadow mode, beside what the panel would have done.

    Attributes:
        incumbent: id of the expert whose answer is acted upon.
        answered: whether it answered.
        acted: its answer; ``None`` where it did not answer.
        refused: the panel would have let nothing be acted upon.
        differs: the panel committed another answer than ``acted``.
        detail: why the incumbent did not answer, or why the panel came to no verdict or
            the verdict was not sealed; empty where all went well.
    """

    incumbent: str
    answered: bool
    acted: JSONValue
    refused: bool
    differs: bool
    detail: str = ""

    def to_dict(self) -> dict[str, Any]:
        """As JSON."""
        return {name: getattr(self, name) for name in self.__slots__}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Shadow:
        """Read back what :meth:`to_dict` wrote.

        Raises:
            UsageError: it has other keys.
        """
        if not isinstance(data, Mapping) or data.keys() != set(cls.__slots__):
            raise UsageError(f"a shadow has the keys {', '.join(cls.__slots__)}")
        return cls(**data)


def replay(kind: str, body: Any, context: ReplayContext) -> None:
    """Hold a sealed shadow to the verdict that it stands beside.

    Raises:
        VerificationError: rule ``replay``: it is no sound shadow, no earlier entry decided
            its task, that verdict is another than it names, or what it says of the panel
            does not follow from it.
    """
    try:
        task, verdict, shadow = _read(kind, body)
    except UsageError as error:
        raise VerificationError(f"the shadow is not sound: {error}", rule="replay") from error
    noted = context.note_beside(task["id"])
    if (task["input_digest"], verdict) != (noted.input_digest, noted.verdict):
        raise VerificationError(
            f"it stands beside another verdict, or another input, than entry {noted.seq} holds",
            rule="replay",
        )
    refused = noted.answer is None
    differs = shadow.answered and not refused and digest(shadow.acted) != noted.answer
    for name, told, found in (
        ("refused", shadow.refused, refused),
        ("differs", shadow.differs, differs),
    ):
        if told is not found:
            raise VerificationError(
                f"it says {name} is {told}, but beside entry {noted.seq} it is {found}",
                rule="replay",
            )


def _read(kind: str, body: Any) -> tuple[Mapping[str, Any], str, Shadow]:
    """The task, the digest of the verdict, and the shadow, of a sealed body."""
    if kind != KIND:
        raise UsageError(f"it is sealed as {shown(kind)}")
    form = members(body, "the shadow's entry", ("task", "verdict", "shadow"))
    task = members(form["task"], "task", ("id", "input_digest"))
    text(task["id"], "task.id")
    hex_digest(task["input_digest"], "task.input_digest")
    shadow = Shadow.from_dict(form["shadow"])
    text(shadow.incumbent, "incumbent")
    text(shadow.detail, "detail", limits.MAX_PAYLOAD_BYTES, least=0)
    for name in ("answered", "refused", "differs"):
        if type(getattr(shadow, name)) is not bool:
            raise UsageError(f"{name} is {shown(getattr(shadow, name))}; it is true or false")
    if not shadow.answered and shadow.acted is not None:
        raise UsageError("the incumbent did not answer, and yet something was acted upon")
    return task, hex_digest(form["verdict"], "verdict"), shadow


def word_of(incumbent: Expert, verdict: Verdict) -> Proposal | str | None:
    """What the incumbent said to the panel; ``None`` where the panel did not hear it out."""
    for proposal in verdict.proposals:
        if proposal.expert_id == incumbent.id:
            return proposal
    for absence in verdict.proposals.absent:
        if absence.expert_id == incumbent.id:
            return f"{absence.reason}: {absence.detail}"
    return None


def beside(
    incumbent: Expert, answer: Proposal | str, verdict: Verdict | None, detail: str = ""
) -> Shadow:
    """What is acted upon, and how the panel would have had it."""
    answered = isinstance(answer, Proposal)
    refused = verdict is None or isinstance(verdict.outcome, Tally)
    differs = False
    if isinstance(answer, Proposal) and verdict is not None and not refused:
        differs = answer.digest != verdict.body["verdict"]["digest"]
    told = detail if isinstance(answer, Proposal) else "; ".join(t for t in (answer, detail) if t)
    acted = answer.payload if isinstance(answer, Proposal) else None
    return Shadow(incumbent.id, answered, acted, refused, differs, told)
