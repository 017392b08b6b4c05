"""The words of a verdict: one paragraph that says what happened and what it rests on.

Each protocol tells its own story; what follows is told alike: who dissented, who was
absent or pending, what the verdict grew out of, and how independent the experts are.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import TYPE_CHECKING, Any, Final

from quorate.arbitration import rules, wording
from quorate.arbitration.forms import ratio, text
from quorate.arbitration.proposal import Absence
from quorate.arbitration.rules.early import FAST
from quorate.core import limits
from quorate.core.errors import UsageError, UsageTypeError
from quorate.core.text import counted, printable

if TYPE_CHECKING:
    from quorate.arbitration.decision import Decision, Tally

_UNDECLARED: Final = (
    "The experts' independence is undeclared: those that share a model, host or vendor "
    "err together, and are counted here as if they did not."
)
_MOST_TOLD: Final = 12
_MOST_ROUNDS: Final = 6
_DIGEST: Final = 12


def committed(decision: Decision, *, alone: bool = True) -> str:
    """Say what was decided, by whom, and over whose dissent.

    Args:
        decision: what is told.
        alone: no other verdict is told beside it, so independence is said here.
    """
    tell = _STORIES.get(decision.protocol, _agreed)
    return _paragraph([tell(decision), *_rest(decision, alone=alone)])


def refused(tally: Tally, *, alone: bool = True) -> str:
    """Say why nothing was committed; ``alone`` as for :func:`committed`."""
    groups = tally.trace["groups"]
    led = ""
    # What a merge is made of is told whole, and leads nothing.
    if groups and tally.protocol != "synthesis":
        led = f"In front: {_group(tally, groups[0])} of the votes."
    first = f"Refused, nothing is committed ({tally.protocol}): {tally.message}."
    rounds = _rounds(tally) if tally.protocol == "ranked-runoff" else ""
    return _paragraph([first, led, rounds, *_rest(tally, alone=alone)])


def message(tally: Tally) -> str:
    """Say in one line what fell short, and of which threshold."""
    threshold = Fraction(tally.quorum_exact)
    asked = wording.quorum_percent(threshold)
    trace = tally.trace
    if tally.reason in _LACKS:
        return _LACKS[tally.reason](tally)
    support = wording.percent(Fraction(tally.support_exact), threshold)
    backing = wording.percent(Fraction(tally.backing_exact), threshold)
    if tally.reason == rules.NOT_RATIFIED:
        return f"those that ratified hold {backing} of the roster's route weight < {asked}"
    who = "the runoff's winner" if tally.protocol == "ranked-runoff" else "the top answer"
    late = f"{_late(trace)} and can lift no answer over it" if trace.get("pending") else ""
    if tally.reason == rules.SUPPORT:
        said = f"{who} held {support} of the votes < {asked}"
    elif tally.reason == rules.BACKING:
        said = (
            f"{who} held {support} of the votes, "
            f"but {backing} of the roster's route weight < {asked}"
        )
    else:
        said = (
            f"{who} held {support} of the votes "
            f"and {backing} of the roster's route weight, both < {asked}"
        )
    return f"{said}; {late}" if late else said


def independence(report: Mapping[str, Any] | None) -> str:
    """Say what is known of how the experts fail together.

    Raises:
        UsageError: it is no report.
    """
    if report is None:
        return _UNDECLARED
    effective = _effective(report)
    if report["declared"] is not True:
        return _UNDECLARED if report["effective_voters"] is None else f"{_UNDECLARED} {effective}"
    attributes, worst = report["attributes"], report["worst"]
    if not isinstance(attributes, dict) or not isinstance(attributes.get(worst), dict):
        raise UsageError("independence.worst is none of its attributes")
    groups, silent = attributes[worst].get("groups"), _count(attributes[worst].get("undeclared"))
    if not isinstance(groups, dict):
        raise UsageTypeError("the groups of an attribute should be an object of sizes")
    largest = sorted(groups.items(), key=lambda one: (-_count(one[1]), one[0]))
    told = ", ".join(f"{printable(name)} ({size})" for name, size in largest[:_MOST_TOLD])
    left = len(largest) - _MOST_TOLD
    more = f" and {left} more" if left > 0 else ""
    quiet = f"; {silent} did not say, and count to the largest" if silent else ""
    faults = _count(report["faults"])
    bears = f"{faults} of these may" if faults else "none of these may"
    return (
        f"What experts share fails together. They declared it, and counted by "
        f"{printable(worst)}, the worst of it, they are {told}{more}{quiet}: {bears} fail, and "
        f"that takes {counted(_count(report['quorum']), 'expert')} to agree. {effective}"
    )


def _count(value: object) -> int:
    if type(value) is not int or value < 0:
        raise UsageTypeError("faults and quorum of a report should be whole numbers")
    return value


def _effective(report: Mapping[str, Any]) -> str:
    voters = report["effective_voters"]
    if voters is None:
        why = printable(text(report["why"], "why", limits.MAX_DETAIL_LENGTH))
        return f"How many effective voters they are is unknown: {why}."
    many = float(ratio(voters, "effective_voters"))
    rho = float(ratio(report["correlation"], "correlation"))
    return (
        f"They are worth {many:.1f} effective voters, by how their errors went together "
        f"(correlation {rho:.2f}, {counted(_count(report['outcomes']), 'known outcome')})."
    )


def _paragraph(parts: Sequence[str]) -> str:
    return " ".join(part for part in parts if part)


def _shares(verdict: Decision | Tally) -> tuple[str, str, str]:
    """Support, backing and threshold in words."""
    threshold = Fraction(verdict.quorum_exact)
    return (
        wording.percent(Fraction(verdict.support_exact), threshold),
        wording.percent(Fraction(verdict.backing_exact), threshold),
        wording.quorum_percent(threshold),
    )


def _agreed(decision: Decision) -> str:
    """A weighted quorum: who agreed, and with how much."""
    support, backing, asked = _shares(decision)
    leader = decision.trace["groups"][0]
    how = "" if decision.by_quorum else " It was not decided by a quorum, but by a declared policy."
    return (
        f"Committed {wording.answer(leader['answer'], decision.digest)}: "
        f"{wording.names(leader['members'])} agreed, with {support} of the votes "
        f"(route weight times claimed confidence) and {backing} of the roster's route "
        f"weight; {decision.protocol} asks for {asked} of both.{how}"
    )


def _runoff(decision: Decision) -> str:
    support, backing, asked = _shares(decision)
    leader = decision.trace["groups"][0]
    count = len(decision.trace["rounds"])
    said = (
        f"Committed {wording.answer(leader['answer'], decision.digest)}, which won the runoff in "
        f"{counted(count, 'round')}: the ballots of "
        f"{wording.names(leader['members'])} ended with it, with {support} of the votes (route "
        f"weight times claimed confidence) and {backing} of the roster's route weight; "
        f"ranked-runoff asks for {asked} of both."
    )
    return f"{said} {_rounds(decision)}".rstrip()


def _rounds(verdict: Decision | Tally) -> str:
    """The rounds of a runoff, whose ballots ran out, and who would have won one to one."""
    trace = verdict.trace
    named = {option["digest"]: option["answer"] for option in trace["options"]}
    total = ratio(trace["total_votes"], "total_votes")
    said = []
    rounds = trace["rounds"]
    for number, one in enumerate(rounds[:_MOST_ROUNDS], 1):
        order = sorted(
            ((ratio(votes, "votes"), option) for option, votes in (one["tally"] or {}).items()),
            key=lambda pair: (-pair[0], pair[1]),
        )
        told = ", ".join(
            f"{printable(named[option])} {wording.percent(votes / total)}"
            for votes, option in order[:_MOST_TOLD]
        )
        nothing = "too many votes to tell" if one["tally"] is None else "no votes"
        out = one["eliminated"]
        left = "" if out is None else f"; out is {printable(named[out])}"
        said.append(f"Round {number}: {told or nothing}{left}.")
    if len(rounds) > _MOST_ROUNDS:
        said.append(f"{counted(len(rounds) - _MOST_ROUNDS, 'more round')} followed.")
    if trace["exhausted"]:
        said.append(f"Ballots that ran out of options: {wording.names(trace['exhausted'])}.")
    if trace["condorcet"] is not None:
        beaten = wording.answer(named[trace["condorcet"]], trace["condorcet"])
        said.append(f"One to one, {beaten} would have beaten every other option, and it lost.")
    return " ".join(said)


def _first(decision: Decision) -> str:
    trace = decision.trace
    said = _agreed(decision)
    if not trace["pending"]:
        return f"{said} Nobody was pending."
    late = _late(trace)
    if trace["early"] == FAST:
        return (
            f"{said} It was committed fast, on what had arrived: {late}, and had all been waited "
            "for, it might have been refused."
        )
    return (
        f"{said} It was committed early: {late} and could change nothing; the votes told are a "
        "lower bound."
    )


def _late(trace: Mapping[str, Any]) -> str:
    """Who is pending, and with how much weight."""
    roster = ratio(trace["roster_weight"], "roster_weight")
    weight = ratio(trace["pending_weight"], "pending_weight")
    ids = [one["expert_id"] for one in trace["pending"]]
    share = wording.percent(weight / roster if roster else Fraction(0))
    return (
        f"{wording.names(ids)} {'was' if len(ids) == 1 else 'were'} still pending "
        f"({share} of the weight)"
    )


def _open(tally: Tally) -> str:
    support, backing, asked = _shares(tally)
    late = _late(tally.trace)
    if not tally.trace["groups"]:
        return f"nobody has proposed anything yet, and {late}"
    return (
        f"the top answer holds {support} of the votes and {backing} of the roster's route "
        f"weight so far, of {asked} asked for, and {late}: it is open"
    )


def _nothing(tally: Tally) -> str:
    asked = wording.quorum_percent(Fraction(tally.quorum_exact))
    if tally.reason == rules.NO_PROPOSALS:
        many = len(tally.absent)
        gone = f"the whole roster of {many} absent" if many else "empty roster"
        return f"no proposal to fold ({gone}); the quorum is {asked}"
    proposals = counted(len(tally.engaged), "proposal")
    return f"the votes of {proposals} sum to zero; the quorum is {asked}"


def _no_merge(tally: Tally) -> str:
    who = tally.trace["synthesizer"]
    why = tally.trace.get("failed", {}).get(who)
    said = f"the synthesizer {printable(who)} gave no merged answer"
    return said if why is None else f"{said}: {printable(why)}"


def _no_fallback(tally: Tally) -> str:
    who = printable(tally.trace["fallback"])
    return f"the fallback expert {who} has no proposal that counts"


_LACKS: Final = {
    rules.NO_PROPOSALS: _nothing,
    rules.ZERO_TOTAL: _nothing,
    rules.PENDING: _open,
    rules.NO_MERGE: _no_merge,
    rules.NO_FALLBACK: _no_fallback,
}


def _merged(decision: Decision) -> str:
    support, backing, asked = _shares(decision)
    merge = decision.trace["merge"]
    count = len(merge["sources"])
    said = (
        f"Committed {wording.answer(merge['answer'], decision.digest)}, which "
        f"{printable(merge['synthesizer'])} merged from {count} "
        f"{'answer' if count == 1 else 'different answers'}."
    )
    if not decision.by_quorum:
        return (
            f"{said} Nobody was asked to ratify it: it was not decided by a quorum, but by a "
            "declared policy."
        )
    silent = sorted({*decision.engaged} - {*merge["ratified"], *merge["declined"]})
    declined = merge["declined"]
    against = f" Declined: {wording.names(declined)}." if declined else ""
    against += f" Silent, and counted against: {wording.names(silent)}." if silent else ""
    return (
        f"{said} {wording.names(merge['ratified'])} ratified it, with {backing} of the roster's "
        f"route weight; synthesis asks for {asked}. They hold {support} of the votes (route "
        f"weight times claimed confidence).{against}"
    )


def _fallen_back(decision: Decision) -> str:
    support, backing, asked = _shares(decision)
    leader = decision.trace["groups"][0]
    return (
        f"Committed {wording.answer(leader['answer'], decision.digest)} on the word of "
        f"{printable(decision.trace['fallback'])}, the fallback expert: it was not decided by a "
        f"quorum, but by a declared policy, after a refusal. It had {support} of the votes (route "
        f"weight times claimed confidence) and {backing} of the roster's route weight, of "
        f"{asked} asked for; proposed by {wording.names(leader['members'])}."
        f"{f' {_late(decision.trace)}.' if decision.trace['pending'] else ''}"
    )


_STORIES: Final = {
    "ranked-runoff": _runoff,
    "first-to-quorum": _first,
    "synthesis": _merged,
    "fallback": _fallen_back,
}


def _group(verdict: Decision | Tally, group: Mapping[str, Any]) -> str:
    total = ratio(verdict.trace["total_votes"], "total_votes")
    total += ratio(verdict.trace["absent_weight"], "absent_weight")
    share = ratio(group["votes"], "votes") / total if total else Fraction(0)
    told = wording.answer(group["answer"], group["digest"])
    return f"{wording.names(group['members'])} for {told} with {wording.percent(share)}"


def _rest(verdict: Decision | Tally, *, alone: bool) -> list[str]:
    """What is told of every verdict, in sentences."""
    trace = verdict.trace
    said = [_silent(verdict), _others(verdict)]
    if verdict.absent:
        roster = ratio(trace["roster_weight"], "roster_weight")
        told = "; ".join(_absence(one, roster) for one in verdict.absent[:_MOST_TOLD])
        left = len(verdict.absent) - _MOST_TOLD
        more = f"; and {left} more" if left > 0 else ""
        said.append(f"Absent, and counted against the quorum: {told}{more}.")
    else:
        said.append("Nobody was absent.")
    if trace.get("normalize") is not None:
        said.append(f"Answers were compared by their normal form, {printable(trace['normalize'])}.")
    if verdict.parent is not None:
        said.append(f"It grew out of a weaker verdict, digest {verdict.parent[:_DIGEST]}….")
    return [*said, independence(verdict.independence)] if alone else said


def _silent(verdict: Decision | Tally) -> str:
    """Who was asked to ratify a merge and gave no word, and why."""
    failed = verdict.trace.get("failed")
    if not failed or verdict.trace["merge"] is None:
        return ""
    told = [
        f"{printable(name)} asked to ratify: {printable(why)}"
        for name, why in sorted(failed.items())
    ]
    left = len(told) - _MOST_TOLD
    more = f"; and {left} more" if left > 0 else ""
    return f"Gave no word: {'; '.join(told[:_MOST_TOLD])}{more}."


def _others(verdict: Decision | Tally) -> str:
    groups = verdict.trace["groups"]
    if verdict.protocol == "synthesis":
        against, word = groups, "Proposed"
    else:
        against, word = groups[1:], "Dissent"
    if not against:
        return "Nobody dissented." if groups else ""
    told = "; ".join(_group(verdict, group) for group in against[:_MOST_TOLD])
    left = len(against) - _MOST_TOLD
    more = f"; and {counted(left, 'more answer')}" if left > 0 else ""
    return f"{word}: {told}{more}."


def _absence(absence: Absence, roster: Fraction) -> str:
    share = absence.exact_weight / roster if roster else Fraction(0)
    why = absence.reason.replace("_", " ")
    if absence.detail:
        why += f": {printable(absence.detail)}"
    who = printable(absence.expert_id)
    return f"{who} ({why}; {wording.percent(share)} of the weight)"
