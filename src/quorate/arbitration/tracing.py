"""The trace of a verdict, read back: which keys it has, by protocol, and of which form.

Checked is what the words about a verdict rely on. Whether the trace follows from the
proposals is for replay.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from quorate.arbitration.forms import hex_digest, items, members, ratio, text
from quorate.arbitration.merge import Merge
from quorate.arbitration.pending import Pending
from quorate.arbitration.proposal import plain_copy
from quorate.arbitration.rules.early import WAYS
from quorate.core import limits
from quorate.core.canonical import canonical
from quorate.core.errors import MisbehaviourError, UsageError, UsageTypeError

_TRACE: Final = ("rule", "groups", "void", "total_votes", "absent_weight", "roster_weight")
_GROUP: Final = ("digest", "answer", "votes", "weight", "top_vote", "top", "members")
_ROUND: Final = ("tally", "eliminated", "exhausted")


def read_trace(value: object, protocol: str) -> dict[str, Any]:
    """Check as much of a trace as ``describe`` relies on, and copy it.

    Raises:
        UsageError: a key is missing, unknown, or not as its protocol writes it.
    """
    added = _ADDED.get(protocol, {})
    told = ("normalize", "failed") if protocol == "synthesis" else ("normalize",)
    trace = members(value, "trace", (*_TRACE, *added), told)
    for name in ("total_votes", "absent_weight", "roster_weight"):
        ratio(trace[name], name)
    for group in items(trace["groups"], "trace.groups", dict):
        one = members(group, "a group of the trace", _GROUP)
        ratio(one["votes"], "votes")
        hex_digest(one["digest"], "digest")
        _answer(one)
        if not items(one["members"], "members", _id):
            raise UsageError("a group of the trace has no members")
    for name, read in added.items():
        read(trace[name])
    if "normalize" in trace:
        text(trace["normalize"], "normalize")
    if "failed" in trace:
        read_failed(trace["failed"])
    if protocol == "ranked-runoff":
        _check_options(trace)
    canonical(value)
    copied: dict[str, Any] = plain_copy(trace)
    return copied


def read_failed(value: object) -> dict[str, str]:
    """Check and order why no word came of a synthesis, by id.

    Raises:
        UsageTypeError: no object of texts.
        UsageError: an id or a text is malformed.
    """
    if not isinstance(value, Mapping):
        raise UsageTypeError(f"failed is a {type(value).__name__}; give details by id")
    return {
        _id(name): text(value[name], "why it failed", limits.MAX_DETAIL_LENGTH)
        for name in sorted(value)
    }


def _id(value: object) -> str:
    return text(value, "an expert's id")


def _answer(form: Mapping[str, Any]) -> None:
    text(form["answer"], "answer", limits.MAX_ID_LENGTH)


def _rounds(value: object) -> None:
    for one in items(value, "trace.rounds", dict):
        form = members(one, "a round of the trace", _ROUND)
        tally = {} if form["tally"] is None else form["tally"]
        if not isinstance(tally, dict):
            raise UsageTypeError("the tally of a round should be an object, or null")
        for option, votes in tally.items():
            hex_digest(option, "an option of the tally")
            ratio(votes, "votes of the tally")
        ratio(form["exhausted"], "exhausted")
        _digest_or_null(form["eliminated"])


def _options(value: object) -> None:
    for one in items(value, "trace.options", dict):
        form = members(one, "an option of the trace", ("digest", "answer"))
        hex_digest(form["digest"], "digest")
        _answer(form)


def _check_options(trace: Mapping[str, Any]) -> None:
    """See to it that whatever is named is among the options."""
    known = {option["digest"] for option in trace["options"]}
    named = {trace["condorcet"], *(one["eliminated"] for one in trace["rounds"])} - {None}
    named.update(*(one["tally"] or () for one in trace["rounds"]))
    strange = sorted(named - known)
    if strange:
        raise UsageError(f"the trace names {strange[0]}, which is none of its options")


def _digest_or_null(value: object) -> None:
    if value is not None:
        hex_digest(value, "an option's digest")


def _ids(value: object) -> None:
    items(value, "a list of ids", _id)


def _pending(value: object) -> None:
    items(value, "trace.pending", Pending.from_dict)


def _early(value: object) -> None:
    if value not in WAYS:
        raise UsageError(f"early should be {' or '.join(WAYS)}")


def _merge(value: object) -> None:
    if value is None:
        return
    if not isinstance(value, dict) or "answer" not in value:
        raise UsageTypeError("trace.merge should be null, or a merge with its answer")
    _answer(value)
    try:
        Merge.from_dict({key: item for key, item in value.items() if key != "answer"})
    except MisbehaviourError as error:
        raise UsageError(str(error)) from error


def _bool(value: object) -> None:
    if not isinstance(value, bool):
        raise UsageTypeError("ratify should be true or false")


def _weight(value: object) -> None:
    ratio(value, "pending_weight")


_ADDED: Final[Mapping[str, Mapping[str, Callable[[object], object]]]] = {
    "ranked-runoff": {
        "options": _options,
        "rounds": _rounds,
        "exhausted": _ids,
        "condorcet": _digest_or_null,
    },
    "first-to-quorum": {"early": _early, "pending": _pending, "pending_weight": _weight},
    "synthesis": {"synthesizer": _id, "ratify": _bool, "merge": _merge},
    "fallback": {"fallback": _id, "pending": _pending, "pending_weight": _weight},
}
"""What each protocol adds to the trace, and how it is read."""
