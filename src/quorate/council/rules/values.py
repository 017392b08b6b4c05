"""The words of a council: votes, outcomes, lives of a proposal, and names of actions.

An action is named by text that is compared in one normal form: Unicode NFKC, case folded,
without white space around it. ``TERMINATE``, ``terminate`` and its full-width spelling are
one action under one rule.
"""

from __future__ import annotations

import hashlib
import unicodedata
from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import Final

from quorate.core import limits
from quorate.core.errors import UsageError, UsageTypeError
from quorate.council.bounds import MAX_ACTIONS


class VoteValue(StrEnum):
    """What a voter may say. An abstention is no participation."""

    APPROVE = "approve"
    REJECT = "reject"
    ABSTAIN = "abstain"


class Decision(StrEnum):
    """Outcome of a tally."""

    APPROVED = "approved"
    REJECTED = "rejected"
    NO_QUORUM = "no_quorum"
    PENDING = "pending"


class ProposalStatus(StrEnum):
    """Where a proposal stands in its life."""

    OPEN = "open"
    DECIDED = "decided"
    EXECUTED = "executed"
    EXPIRED = "expired"
    CANCELLED = "cancelled"


class Execution(StrEnum):
    """What is known of the execution of an approved proposal.

    ``INTENT`` and ``UNKNOWN`` both mean that it may or may not have happened: the first
    that nothing was heard since it was begun, the second that whoever ran it cannot tell.
    """

    NONE = "none"
    INTENT = "intent"
    EXECUTED = "executed"
    FAILED = "failed"
    UNKNOWN = "unknown"


class ProposalAction(StrEnum):
    """Well-known actions. Others are registered when the council is opened."""

    QUARANTINE = "quarantine"
    TERMINATE = "terminate"
    ESCALATE = "escalate"
    RELEASE = "release"
    RESTRICT = "restrict"
    CHANGE_ELECTORATE = "change_electorate"

    def is_critical(self) -> bool:
        """Whether it needs a quorum of the registered voters and a supermajority."""
        return WELL_KNOWN[normal_name(self)]


def normal_name(action: object) -> str:
    """The one form in which names of actions are compared.

    Raises:
        UsageTypeError: not a text.
        UsageError: nothing is left of it, it is longer than ``limits.MAX_ID_LENGTH``, or it
            holds characters that cannot be seen.
    """
    if not isinstance(action, str):
        raise UsageTypeError(f"the action is {action!r}; give a text or a ProposalAction")
    if len(action) > limits.MAX_ID_LENGTH:
        raise UsageError(f"the action has {len(action)} characters; give 1 to 256")
    # Case folding may undo the normal form, so that is made before and after it.
    folded = unicodedata.normalize("NFKC", str.__str__(action)).casefold()
    name = unicodedata.normalize("NFKC", folded).strip()
    if not 1 <= len(name) <= limits.MAX_ID_LENGTH or not name.isprintable():
        raise UsageError(f"the action {action!r} is no name; give 1 to 256 visible characters")
    return name


WELL_KNOWN: Final[Mapping[str, bool]] = MappingProxyType({
    "quarantine": False,
    "terminate": True,
    "escalate": True,
    "release": True,
    "restrict": False,
    "change_electorate": True,
})  # fmt: skip
"""Well-known action -> whether it is critical."""

NEED_TARGET: Final = frozenset({"quarantine", "terminate", "release", "restrict"})
"""Well-known actions that say nothing without a target."""


def check_aim(action: str, target: str | None) -> None:
    """Check that an action has a target where it takes one.

    Args:
        action: normal name.
        target: of the proposal.

    Raises:
        UsageError: it has none and needs one, or has one and takes none.
    """
    if target is None and action in NEED_TARGET:
        raise UsageError(f"a proposal to {action} takes a target; say what to {action}")
    # A voter of that name would have no vote on the electorate.
    if target is not None and action == ProposalAction.CHANGE_ELECTORATE.value:
        raise UsageError(f"a change of the electorate takes no target, and {target!r} is given")


def actions_of(registered: Mapping[str, bool] | None) -> Mapping[str, bool]:
    """All actions of a council: normal name -> whether it is critical.

    Args:
        registered: those beside the well-known, at most ``bounds.MAX_ACTIONS``.

    Raises:
        UsageTypeError: not a mapping of names to booleans.
        UsageError: a name is none, stands twice in other spellings, or is well known.
    """
    if registered is None:
        return WELL_KNOWN
    if not isinstance(registered, Mapping):
        raise UsageTypeError("actions is no mapping; give name -> whether it is critical")
    if len(registered) > MAX_ACTIONS:
        raise UsageError(f"{len(registered)} actions; at most {MAX_ACTIONS} can be registered")
    found = dict(WELL_KNOWN)
    for spelled, critical in registered.items():
        name = normal_name(spelled)
        if name in found:
            raise UsageError(f"the action {spelled!r} stands for {name!r}, which is taken")
        if type(critical) is not bool:
            raise UsageTypeError(
                f"the action {name!r} is registered with {critical!r}; "
                "say True if it is critical, else False"
            )
        found[name] = critical
    return MappingProxyType(found)


def registered(actions: Mapping[str, bool]) -> dict[str, bool]:
    """The actions beside the well-known ones, in order of their names."""
    return {name: actions[name] for name in sorted(actions) if name not in WELL_KNOWN}


def find_action(spelled: object, actions: Mapping[str, bool]) -> str:
    """The normal name of a known action.

    Raises:
        UsageError: it is not known; names those that are.
    """
    name = normal_name(spelled)
    if name not in actions:
        raise UsageError(
            f"the action {name!r} is unknown here; use one of {', '.join(sorted(actions))}, "
            "or register it, and whether it is critical, when the council is opened"
        )
    return name


def check_id(value: object, name: str) -> str:
    """Give back ``value`` if it can be an id: 1 to ``limits.MAX_ID_LENGTH`` visible characters.

    Without white space around them and in Unicode's form NFC: two ids that differ can be told
    apart, but for letters of several alphabets that look alike.

    Raises:
        UsageTypeError: not exactly a ``str``.
        UsageError: empty, too long, no Unicode text (a lone surrogate), or not of that form.
    """
    text = _text(value, name, 1, limits.MAX_ID_LENGTH)
    if text != visible(text):
        raise UsageError(
            f"{name} is {text!r}; give visible characters in Unicode's form NFC, with no white "
            f"space around them, such as {visible(text)!r}"
        )
    return text


def check_target(value: object) -> str:
    """Give back ``value`` if it can be a target: 1 to ``limits.MAX_ID_LENGTH`` characters.

    Any of them: what is acted upon has its name from elsewhere, and one that could not be
    written here could not be stopped.

    Raises:
        UsageTypeError: not exactly a ``str``.
        UsageError: empty, too long, or no Unicode text.
    """
    return _text(value, "the target", 1, limits.MAX_ID_LENGTH)


def visible(text: str) -> str:
    """What one sees of a text: form NFC, visible characters only, no white space around them."""
    kept = "".join(letter for letter in text if letter.isprintable())
    return unicodedata.normalize("NFC", kept).strip()


def token_digest(token: str) -> str:
    """SHA-256 of an execution's token, 64 hex digits: what is sealed before the token is told."""
    return hashlib.sha256(token.encode()).hexdigest()


def check_text(value: object, name: str, most: int) -> str:
    """Give back ``value`` if it is text of at most ``most`` characters; see :func:`check_id`."""
    return _text(value, name, 0, most)


def _text(value: object, name: str, least: int, most: int) -> str:
    if type(value) is not str:
        raise UsageTypeError(f"{name} is a {type(value).__name__}; give a str")
    if not least <= len(value) <= most:
        raise UsageError(f"{name} has {len(value)} characters; give {least} to {most}")
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise UsageError(f"{name} is {value!r}, which holds half a character") from error
    return value
