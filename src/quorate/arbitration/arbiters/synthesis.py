"""``synthesis``: one merged answer, committed by those whose answers it was made of."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Literal

from quorate.arbitration import rules, wording
from quorate.arbitration.arbiters.base import (
    DEFAULT_QUORUM,
    QuorumArbiter,
    committed,
    shares,
    totals,
    weighted_groups,
)
from quorate.arbitration.counted import Counted, count
from quorate.arbitration.decision import Decision, Tally, UnderQuorum
from quorate.arbitration.forms import text
from quorate.arbitration.intake import Intake, gather
from quorate.arbitration.merge import Merge
from quorate.arbitration.normal import Normalize
from quorate.arbitration.proposal import Absence, Proposal, plain_copy
from quorate.arbitration.rules import ratification as pure
from quorate.arbitration.tracing import read_failed
from quorate.core.canonical import JSONValue, canonical
from quorate.core.errors import UsageError, UsageTypeError
from quorate.core.exact import Number
from quorate.core.text import shortened

MergeFunction = Callable[[list[dict[str, Any]]], JSONValue]
RatifyFunction = Callable[[str, JSONValue], bool]


@dataclass(frozen=True, slots=True, init=False)
class SynthesisArbiter(QuorumArbiter):
    """Commits a synthesizer's merged answer if a quorum of the proposers ratifies it.

    The rule is :mod:`quorate.arbitration.rules.ratification`. :meth:`fold` is pure and takes
    the merge from the intake; :meth:`arbitrate` calls ``merge`` and ``ratify`` for it.

    Attributes:
        synthesizer: id of whoever merges.
        merge: function from a list of ``{"expert_id", "payload", "route_weight",
            "confidence", "vote"}`` to the merged payload, or ``None``.
        ratify: function (expert id, merged payload) -> ``True`` where that expert ratifies;
            ``False`` where nobody is asked, and what is committed says so.
    """

    synthesizer: str
    merge: MergeFunction | None
    ratify: RatifyFunction | Literal[False] | None

    protocol: ClassVar[str] = "synthesis"
    rule: ClassVar[str] = pure.RULE

    def __init__(
        self,
        quorum: Number = DEFAULT_QUORUM,
        *,
        normalize: Normalize = None,
        synthesizer: str = "synthesizer",
        merge: MergeFunction | None = None,
        ratify: RatifyFunction | bool | None = None,
    ) -> None:
        """Take the threshold, who merges, and how.

        Args:
            quorum: share of the roster's route weight that has to ratify.
            normalize: how the proposals are compared in the trace.
            synthesizer: id of whoever merges.
            merge: see the class; needed by :meth:`arbitrate` only.
            ratify: likewise; ``True`` is the same as ``None``: a quorum has to ratify.

        Raises:
            UsageTypeError: an argument is of the wrong type.
            UsageError: ``quorum`` is not in (0, 1], or an id or name is malformed.
        """
        QuorumArbiter.__init__(self, quorum, normalize=normalize)
        if merge is not None and not callable(merge):
            raise UsageTypeError(f"merge is a {type(merge).__name__}; give a function")
        if not isinstance(ratify, bool) and ratify is not None and not callable(ratify):
            raise UsageTypeError(f"ratify is a {type(ratify).__name__}; give a function or False")
        object.__setattr__(self, "synthesizer", text(synthesizer, "synthesizer"))
        object.__setattr__(self, "merge", merge)
        object.__setattr__(self, "ratify", None if ratify is True else ratify)

    @property
    def parameters(self) -> dict[str, Any]:
        """All that the rule was given, as JSON, numbers exact."""
        return {
            **self._quorum_parameters(),
            "synthesizer": self.synthesizer,
            "ratify": self.ratify is not False,
        }

    def arbitrate(self, proposals: Iterable[Proposal], absent: Iterable[Absence] = ()) -> Decision:
        """Have the proposals merged and the merge ratified, and fold.

        A ratifier that raises, or answers anything but ``True`` or ``False``, has not
        answered, and counts against.

        Raises:
            UnderQuorum: too little weight ratified, or ``merge`` raised or gave no JSON.
            UsageError: as :meth:`QuorumArbiter.arbitrate`; or there is no function to
                merge or to ratify by.
            VerificationError: a payload was changed after its proposal was made.
        """
        if self.merge is None or self.ratify is None:
            lacks = "merge" if self.merge is None else "ratify"
            raise UsageError(
                f"there is no {lacks} function; give one ({lacks}=…), or fold an intake that "
                "has a merge"
            )
        intake = gather(proposals, absent)
        counted = count(intake, self.normaliser)
        if not counted.proposals:
            return committed(self.fold(intake))
        try:
            merge, failed = self._merged(self.merge, counted)
        # It is the caller's, and says with what it failed.
        except Exception as error:
            failed = {self.synthesizer: _crash(error)}
            outcome = self.fold(replace(intake, failed=failed))
            if isinstance(outcome, Tally):
                raise UnderQuorum(outcome) from error
            raise
        return committed(self.fold(replace(intake, merge=merge, failed=failed)))

    def folded(self, intake: Intake) -> Decision | Tally:
        """Fold what was taken in; a refusal is returned, not raised.

        Raises:
            UsageError: the merge is another synthesizer's, of answers that nobody gave, or
                ratified by somebody that proposed nothing or was not to be asked; or one is
                said to have failed that was not asked.
        """
        counted = count(intake, self.normaliser)
        ballots = counted.ballots()
        fold = rules.weighted_quorum(ballots, counted.away, self.exact_quorum)
        merge = intake.merge
        found = pure.ratified(
            ballots,
            frozenset() if merge is None else frozenset(merge.ratified),
            list(counted.away.values()),
            self.exact_quorum,
        )
        groups = weighted_groups(fold.groups, intake, counted)
        trace = self._trace(counted, groups, totals(fold))
        trace["synthesizer"] = self.synthesizer
        trace["ratify"] = self.ratify is not False
        trace["merge"] = None
        reason = found.reason
        if merge is not None:
            self._check(merge, intake)
            trace["merge"] = {
                **merge.to_dict(),
                "answer": wording.preview(canonical(merge.payload)),
            }
        if intake.failed:
            trace["failed"] = self._failed(intake)
        if self.ratify is False and reason == rules.NOT_RATIFIED:
            reason = None
        if merge is None and reason in (None, rules.NOT_RATIFIED):
            reason = rules.NO_MERGE
        shared = {
            **self._common(intake, counted),
            **shares(found.support, found.backing),
            "trace": trace,
        }
        if reason is not None or merge is None:
            leader = groups[0]["digest"] if groups else None
            return Tally(**shared, reason=reason or rules.NO_MERGE, leader=leader)
        here = {proposal.expert_id for proposal in counted.proposals}
        return Decision(
            **shared,
            consensus=plain_copy(merge.payload),
            digest=merge.digest,
            dissenting=tuple(name for name in merge.declined if name in here),
            by_quorum=self.ratify is not False,
        )

    def _check(self, merge: Merge, intake: Intake) -> None:
        if merge.synthesizer != self.synthesizer:
            raise UsageError(
                f"the merge is by {merge.synthesizer!r}, and the synthesizer is "
                f"{self.synthesizer!r}"
            )
        strange = sorted(set(merge.sources) - intake.answers.keys())
        if strange:
            raise UsageError(f"the merge names the source {strange[0]}, which nobody proposed")
        asked = {*merge.ratified, *merge.declined}
        if self.ratify is False and asked:
            raise UsageError("ratify is False, and the merge says who ratified or declined")
        others = sorted(asked - {proposal.expert_id for proposal in intake.proposals})
        if others:
            raise UsageError(f"{others[0]!r} proposed nothing; only proposers ratify or decline")

    def _failed(self, intake: Intake) -> dict[str, str]:
        """Who gave no word, and why; only those that were to be asked."""
        told = read_failed(intake.failed)
        asked = {proposal.expert_id for proposal in intake.proposals}
        if intake.merge is None:
            asked = {self.synthesizer} if asked else set()
        elif self.ratify is False:
            asked = set()
        else:
            asked -= {*intake.merge.ratified, *intake.merge.declined}
        strange = sorted(told.keys() - asked)
        if strange:
            raise UsageError(
                f"{strange[0]!r} is said to have failed, and was not asked, or gave its word"
            )
        return told

    def _merged(self, merge: MergeFunction, counted: Counted) -> tuple[Merge, dict[str, str]]:
        shown = [
            {
                "expert_id": one.expert_id,
                "payload": plain_copy(one.payload),
                "route_weight": float(one.exact_weight),
                "confidence": float(one.exact_confidence),
                "vote": one.vote,
            }
            for one in counted.proposals
        ]
        sources = [one.digest for one in counted.proposals]
        made = Merge(self.synthesizer, merge(shown), sources)
        words: dict[bool, list[str]] = {True: [], False: []}
        failed: dict[str, str] = {}
        if callable(self.ratify):
            for one in counted.proposals:
                said = _asked(self.ratify, one.expert_id, made.payload)
                if isinstance(said, bool):
                    words[said].append(one.expert_id)
                else:
                    failed[one.expert_id] = said
        made = Merge(
            self.synthesizer,
            made.payload,
            sources,
            ratified=words[True],
            declined=words[False],
        )
        return made, failed


def _asked(ratify: RatifyFunction, expert_id: str, payload: JSONValue) -> bool | str:
    """One proposer's word, or why it gave none."""
    try:
        said: object = ratify(expert_id, plain_copy(payload))
    except Exception as error:  # noqa: BLE001 - a ratifier that fails has not ratified, and stops nobody
        return _crash(error)
    return said if isinstance(said, bool) else f"void: it gave a {type(said).__name__}, no bool"


def _crash(error: Exception) -> str:
    """What is told of an exception, which may itself fail at being shown."""
    try:
        return shortened(f"crashed: {type(error).__name__}: {' '.join(str(error).split())}")
    except Exception:  # noqa: BLE001 - foreign code again
        return "crashed: an exception that cannot be shown"
