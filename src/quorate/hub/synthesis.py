"""One answer made of many: a synthesizer merges, and those it merged ratify.

The synthesizer sees the proposals without names, so that it can favour nobody, and the
proposers see the merged answer, so that it can slip nothing in.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import Any

from quorate.arbitration import Proposal, SynthesisArbiter
from quorate.arbitration.merge import Merge
from quorate.arbitration.proposal import plain_copy
from quorate.core.canonical import digest
from quorate.core.errors import UsageError
from quorate.core.exact import as_text
from quorate.core.text import shortened
from quorate.hub.asking import Means, spendable
from quorate.hub.experts import Expert
from quorate.hub.session import Proposals


async def merged(
    arbiter: SynthesisArbiter,
    proposals: Sequence[Proposal],
    task: Any,
    *,
    synthesizer: Expert | None,
    experts: Sequence[Expert],
    means: Means,
) -> tuple[Merge | None, dict[str, str]]:
    """Have the proposals merged, and the merged answer ratified, as ``arbiter`` declares.

    The synthesizer gets ``{"task", "proposals": [{"payload", "route_weight", "confidence",
    "vote"}, …]}``, exact numbers as ``"p/q"``; each proposer then gets ``{"task",
    "ratify": payload, "digest"}``, and ratifies by answering exactly ``true`` or the digest.
    Any other answer declines, and none is none. Functions that the arbiter was given itself
    are called in their place, as :meth:`SynthesisArbiter.arbitrate` calls them.

    Returns:
        The merge with who ratified, ``None`` where there is nothing to merge, or the
        synthesizer has no answer; and by id why somebody who was asked gave none.

    Raises:
        UsageError: the synthesizer is not among ``experts``, and no other was given.
    """
    who = named_synthesizer(arbiter, synthesizer, experts) or _own_synthesizer(arbiter, proposals)
    if not proposals:
        return None, {}
    question = {"task": task, "proposals": [_anonymous(p) for p in sorted(proposals, key=_unnamed)]}
    with means.recorder.phase("merge"):
        answers = await means.ask([who], question)
    if not answers:
        return None, _why(answers)
    payload, spent = answers[0].payload, answers[0].exact_cost
    ratified: list[str] = []
    declined: list[str] = []
    failed: dict[str, str] = {}
    if arbiter.ratify is not False:
        found = digest(payload)
        names = {proposal.expert_id for proposal in proposals}
        asked = [expert for expert in experts if expert.id in names]
        if callable(arbiter.ratify):
            asked = [_own_ratifier(arbiter, name) for name in sorted(names)]
        with means.recorder.phase("ratify"):
            given = await means.ask(asked, {"task": task, "ratify": payload, "digest": found})
        failed = _why(given)
        for answer in given:
            # Not ==: 1 == True in Python, and 1 is no word for yes.
            agreed = answer.payload is True or answer.payload == found
            (ratified if agreed else declined).append(answer.expert_id)
            spent += answer.exact_cost
    merge = Merge(
        arbiter.synthesizer,
        plain_copy(payload),
        tuple(sorted({proposal.digest for proposal in proposals})),
        cost=spendable(spent),
        ratified=tuple(ratified),
        declined=tuple(declined),
    )
    return merge, failed


def named_synthesizer(
    arbiter: SynthesisArbiter, given: Expert | None, experts: Sequence[Expert]
) -> Expert | None:
    """The expert that ``arbiter`` declares as its synthesizer.

    Returns:
        ``None`` where there is none, but the arbiter has a function to merge by.

    Raises:
        UsageError: it was not given, and is not among ``experts``; or another was given.
    """
    name = arbiter.synthesizer
    found = given or next((expert for expert in experts if expert.id == name), None)
    if found is None and arbiter.merge is not None:
        return None
    if found is None or found.id != name:
        raise UsageError(
            f"the synthesizer is {name!r}, and no expert with that id was given; "
            "name one of the experts, or give it as synthesizer"
        )
    return found


def _why(asked: Proposals) -> dict[str, str]:
    """Why each of those asked has no answer."""
    found = {}
    for one in asked.absent:
        reason = one.reason.replace("_", " ")
        found[one.expert_id] = shortened(f"{reason}: {one.detail}" if one.detail else reason)
    return found


def _own_synthesizer(arbiter: SynthesisArbiter, proposals: Sequence[Proposal]) -> Expert:
    """The arbiter's own function, as an expert that is asked."""
    shown = [
        {
            "expert_id": one.expert_id,
            "payload": plain_copy(one.payload),
            "route_weight": float(one.exact_weight),
            "confidence": float(one.exact_confidence),
            "vote": one.vote,
        }
        for one in proposals
    ]
    merge: Any = arbiter.merge
    return Expert(arbiter.synthesizer, lambda _: merge(shown), confidence=1)


def _own_ratifier(arbiter: SynthesisArbiter, name: str) -> Expert:
    ratify: Any = arbiter.ratify
    return Expert(name, lambda question: ratify(name, question["ratify"]), confidence=1)


def _anonymous(proposal: Proposal) -> Mapping[str, Any]:
    return {
        "payload": plain_copy(proposal.payload),
        "route_weight": as_text(proposal.exact_weight),
        "confidence": as_text(proposal.exact_confidence),
        "vote": as_text(proposal.exact_weight * proposal.exact_confidence),
    }


def _unnamed(proposal: Proposal) -> tuple[str, Fraction, Fraction]:
    """An order that tells nothing about who is who."""
    return (proposal.digest, -proposal.exact_weight, -proposal.exact_confidence)
