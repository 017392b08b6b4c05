"""A weak verdict put to others: a consultation, and its verdict folded in as one more voice.

Theory of operation. Those consulted see the task, every candidate answer with its share,
the dissent, and why the verdict was weak, but no names. They decide among themselves by a
weighted quorum. What they agree on becomes one proposal, under an id and of a weight that
were declared before they were asked; where they do not agree, that id is absent. Then all
is folded again, into a verdict whose parent is the weak one. Its body holds the parent
and the consultation whole, so replay computes all three.

The consultation's proposal has confidence 1: how sure those consulted were has been
weighed among them already, and what their word is worth is the declared weight.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Mapping
from fractions import Fraction
from typing import Any

from quorate.arbitration import (
    Absence,
    Arbiter,
    Decision,
    Proposal,
    Tally,
    UnderQuorum,
    WeightedQuorumArbiter,
    wording,
)
from quorate.arbitration.arbiter import Rule
from quorate.arbitration.forms import shown, text
from quorate.arbitration.intake import Intake, gather
from quorate.arbitration.proposal import plain_copy
from quorate.arbitration.sealed import body_of
from quorate.core import limits
from quorate.core.canonical import JSONValue, canonical
from quorate.core.errors import MisbehaviourError, UsageError, UsageTypeError
from quorate.core.exact import Number, as_text, exact
from quorate.core.text import shortened
from quorate.hub.asking import Means
from quorate.hub.experts import Expert
from quorate.hub.policy import PEER_CONSULT
from quorate.hub.session import Proposals
from quorate.hub.trace import Recorder

DEFAULT_QUORUM = Fraction(66, 100)
_UNANSWERED = "no answer when the consultation was resolved"


def escalate(  # noqa: PLR0913 - one argument for each thing that is declared beforehand
    weak: Decision | Tally | UnderQuorum,
    to: str = PEER_CONSULT,
    *,
    arbiter: Rule | Arbiter,
    proposals: Iterable[Proposal] | Intake,
    absent: Iterable[Absence] = (),
    task: Any = None,
    experts: Iterable[Expert] = (),
    people: Iterable[str] | Mapping[str, Number] = (),
    weight: Number = 1,
    quorum: Number = DEFAULT_QUORUM,
    body: Mapping[str, Any] | None = None,
) -> Consultation:
    """Open a consultation about a weak verdict, a refusal or a decision.

    Args:
        weak: what ``arbiter`` made of ``proposals``.
        to: the id that the consultation answers under; nobody in the roster has it.
        arbiter: folds again, with the consultation's proposal among the rest.
        proposals: as they were folded; absences that they carry are read too.
        absent: as they were folded.
        task: what the experts were asked; those consulted see it.
        experts: who is consulted by :meth:`Consultation.run`; none is of the roster.
        people: ids (of route weight 1), or a mapping of id to route weight, of those who
            answer by :meth:`Consultation.answer`; likewise.
        weight: of the consultation's proposal, 0 to 2^53 - 1.
        quorum: among those consulted, in (0, 1].
        body: the weak verdict's body as it was sealed, if it was, with its plan.

    Raises:
        UsageTypeError: an argument is of the wrong type.
        UsageError: an argument is out of range, ``weak`` does not follow from the
            proposals, nobody is consulted, or somebody twice.
    """
    outcome = weak.tally if isinstance(weak, UnderQuorum) else weak
    if not isinstance(outcome, Decision | Tally):
        raise UsageTypeError(f"weak is a {type(weak).__name__}; give a Decision or UnderQuorum")
    intake = proposals if isinstance(proposals, Intake) else gather(proposals, absent)
    rule: Rule = getattr(arbiter, "inner", arbiter)
    if body is None:
        body = body_of(outcome, rule, intake)
    elif canonical(body.get("verdict")) != canonical(outcome.to_dict()):
        raise UsageError("the body given is not the weak verdict's; give the one that was sealed")
    parent = {key: value for key, value in body.items() if key not in ("task", "panel")}
    asked = tuple(experts)
    persons = _people(people)
    worth = exact(weight, "weight")
    if not 0 <= worth <= limits.MAX_SAFE_INTEGER:
        raise UsageError(f"weight is {weight}; it is from 0 to {limits.MAX_SAFE_INTEGER}")
    name = text(to, "to")
    _check_who(name, asked, persons, set(intake.roster()))
    among = WeightedQuorumArbiter(quorum, normalize=getattr(rule, "normalize", None))
    question = {"task": task, **candidates(outcome, intake, rule)}
    return Consultation(name, worth, asked, persons, among, rule, intake, parent, question)


def candidates(weak: Decision | Tally, intake: Intake, arbiter: Rule) -> dict[str, Any]:
    """What those consulted see of a weak verdict; JSON, without the names of experts.

    Returns:
        ``{"candidates": [{"digest", "answer", "payload", "support"}, …], "dissent":
        [{"digest", "experts", "support"}, …], "absent": n, "reason"}``: at most
        ``limits.MAX_CANDIDATES`` answers, a merged one first, then the leader; the dissent
        is every answer but the leader's and how many gave it; shares as ``"p/q"``.
    """
    total = Fraction(weak.trace["total_votes"]) + Fraction(weak.trace["absent_weight"])
    shares = [
        (group, as_text(Fraction(group["votes"]) / total if total else Fraction(0)))
        for group in weak.trace["groups"]
    ]
    payload_of = _payloads(intake, arbiter)
    shown = [
        {
            "digest": group["digest"],
            "answer": group["answer"],
            "payload": plain_copy(payload_of(group)),
            "support": share,
        }
        for group, share in shares[: limits.MAX_CANDIDATES]
    ]
    if intake.merge is not None:
        merged = {
            "digest": intake.merge.digest,
            "answer": wording.preview(canonical(intake.merge.payload)),
            "payload": plain_copy(intake.merge.payload),
            "support": weak.support_exact,
        }
        shown = [merged, *shown[: limits.MAX_CANDIDATES - 1]]
    return {
        "candidates": shown,
        "dissent": [
            {"digest": group["digest"], "experts": len(group["members"]), "support": share}
            for group, share in shares[1:]
        ],
        "absent": len(weak.absent),
        "reason": weak.message if isinstance(weak, Tally) else _weakness(weak),
    }


def _weakness(weak: Decision) -> str:
    return (
        f"the decision has {wording.percent(Fraction(weak.support_exact))} of the votes and "
        f"{wording.percent(Fraction(weak.backing_exact))} of the roster's route weight, and a "
        "stronger one is asked for"
    )


def _payloads(intake: Intake, arbiter: Any) -> Callable[[Mapping[str, Any]], JSONValue]:
    """What gives the answer that a group stands for.

    It is its top member's payload, but for a runoff, where votes end with an option that
    their owner may have ranked second.
    """
    own = {proposal.expert_id: proposal for proposal in intake.proposals}

    def normal(payload: JSONValue, found: str) -> str | None:
        form: str | None = arbiter.normaliser.digest_of(payload, found)
        return form

    def payload_of(group: Mapping[str, Any]) -> JSONValue:
        top = own[group["top"]]
        if normal(top.payload, top.digest) == group["digest"]:
            return top.payload
        return next(
            value
            for value, found in arbiter.payloads(intake)
            if normal(value, found) == group["digest"]
        )

    return payload_of


class Consultation:
    """Others asked about a weak verdict. Made by :func:`escalate`.

    Experts are asked by :meth:`run`, people answer by :meth:`answer`, and :meth:`resolve`
    or :meth:`fold` ends it, once.

    Attributes:
        to: the id it answers under.
        weight: route weight of its answer.
        question: what those consulted see.
        intake: what is folded in the end: all proposals of the weak verdict, and this
            consultation's proposal or absence.
        outcome: the verdict with the consultation in it.
        verdict: what those consulted came to among themselves.
        body: ready to be sealed.

    The last four raise ``UsageError`` until it is resolved.
    """

    def __init__(  # noqa: PLR0913, PLR0917 - made in one place, by escalate
        self,
        to: str,
        weight: Fraction,
        experts: tuple[Expert, ...],
        people: Mapping[str, Fraction],
        among: WeightedQuorumArbiter,
        arbiter: Rule,
        weak: Intake,
        parent: Mapping[str, Any],
        question: dict[str, Any],
    ) -> None:
        """Hold what :func:`escalate` checked."""
        self.to = to
        self.weight = weight
        self.question = question
        self._experts = experts
        self._people = people
        self._among = among
        self._arbiter = arbiter
        self._weak = weak
        self._parent = parent
        self._asked: Proposals | None = None
        self._answers: dict[str, list[Proposal]] = {}
        self._ended: _Ended | None = None

    @property
    def waiting_for(self) -> tuple[str, ...]:
        """Ids of the people that have not answered, sorted."""
        return tuple(sorted(self._people.keys() - self._answers.keys()))

    async def run(
        self,
        *,
        deadline: float | None = None,
        means: Means | None = None,
        weights: Mapping[str, Fraction] | None = None,
    ) -> Proposals:
        """Ask the experts that are consulted, side by side.

        Args:
            deadline: seconds for all of them; ``None`` for each expert's own deadline.
            means: of the task this belongs to, in place of a deadline.
            weights: route weight by id, in place of the experts' own.

        Raises:
            UsageError: they were asked already, there are none, or it is resolved.
        """
        self._check_open()
        if self._asked is not None:
            raise UsageError("the experts were consulted already; each is asked once")
        if not self._experts:
            raise UsageError("no experts are consulted; people answer by answer()")
        # Said before the first await: a second run beside this one must not ask again.
        self._asked = Proposals(())
        drawn = means or Means(Recorder(self.to), deadline=deadline)
        try:
            self._asked = await drawn.ask(self._experts, self.question, weights=weights)
        except BaseException:
            self._asked = None
            raise
        return self._asked

    def answer(
        self,
        expert_id: str,
        payload: Any,
        confidence: Number = 1,
        *,
        cost: Number = 0,
    ) -> None:
        """Take one person's answer.

        Raises:
            UsageError: not somebody who is asked, the same answer again, or it is resolved.
            MisbehaviourError: the answer cannot be counted, and may be given again; or it
                is another than the one given before: that is equivocation, both are kept,
                and neither counts.
        """
        self._check_open()
        name = text(expert_id, "expert_id")
        if name not in self._people:
            known = ", ".join(sorted(self._people)) or "nobody"
            raise UsageError(f"{shown(name)} is not asked here; asked are: {known}")
        given = Proposal(name, payload, confidence, self._people[name], cost)
        said = self._answers.setdefault(name, [])
        if said == [given]:
            raise UsageError(f"{name!r} gave that answer already; it counts once")
        if not said:
            said.append(given)
            return
        # Two are enough to show it; more would only let one person fill the record.
        if len(said) == 1:
            said.append(given)
        raise MisbehaviourError(
            name,
            f"it answered {said[0].digest} before and {given.digest} now; neither counts",
            evidence=[one.to_dict() for one in (said[0], given)],
        )

    def resolve(self) -> Decision:
        """End the consultation, and fold its verdict in.

        Who has not answered is absent from the consultation.

        Raises:
            UnderQuorum: even so no answer reached the quorum.
            UsageError: the experts have not been asked.
        """
        outcome = self.fold()
        if isinstance(outcome, Tally):
            raise UnderQuorum(outcome)
        return outcome

    def fold(self) -> Decision | Tally:
        """As :meth:`resolve`; a refusal is returned, not raised."""
        if self._ended is None:
            self._ended = self._end()
        return self._ended.outcome

    def _end(self) -> _Ended:
        if self._experts and self._asked is None:
            raise UsageError("the experts have not been consulted; await run() first")
        asked = self._asked or Proposals(())
        given = [proposal for said in self._answers.values() for proposal in said]
        away = [
            Absence(name, self._people[name], "timeout", _UNANSWERED) for name in self.waiting_for
        ]
        consulted = Proposals((*asked, *given), (*asked.absent, *away))
        came = gather(consulted)
        verdict = self._among.fold(came)
        inner = body_of(verdict, self._among, came)
        voice = _voice(self.to, self.weight, verdict)
        ratifies = getattr(self._arbiter, "ratify", None) is not False
        intake = _with_voice(self._weak, voice, self._parent, inner, ratifies=ratifies)
        outcome = self._arbiter.fold(intake)
        body = body_of(outcome, self._arbiter, intake)
        return _Ended(consulted, verdict, intake, outcome, body)

    @property
    def consulted(self) -> Proposals:
        """What those consulted said, and who of them did not."""
        return self._end_of().consulted

    @property
    def verdict(self) -> Decision | Tally:
        """What those consulted came to among themselves."""
        return self._end_of().verdict

    @property
    def intake(self) -> Intake:
        """All that the outcome was folded from."""
        return self._end_of().intake

    @property
    def proposals(self) -> Proposals:
        """The proposals and absences that the outcome was folded from."""
        intake = self.intake
        return Proposals(intake.proposals, intake.absences, intake.pending, intake.independence)

    @property
    def outcome(self) -> Decision | Tally:
        """The verdict with the consultation in it."""
        return self._end_of().outcome

    @property
    def body(self) -> dict[str, Any]:
        """Ready to be sealed, without task and panel."""
        return dict(self._end_of().body)

    def _end_of(self) -> _Ended:
        if self._ended is None:
            raise UsageError("the consultation is not resolved yet; call resolve()")
        return self._ended

    def _check_open(self) -> None:
        if self._ended is not None:
            raise UsageError("the consultation is resolved; open another")


@dataclasses.dataclass(frozen=True, slots=True)
class _Ended:
    consulted: Proposals
    verdict: Decision | Tally
    intake: Intake
    outcome: Decision | Tally
    body: dict[str, Any]


def _voice(to: str, weight: Fraction, verdict: Decision | Tally) -> Proposal | Absence:
    """What the consultation says in the fold that follows."""
    if isinstance(verdict, Tally):
        told = shortened(f"no quorum among those consulted: {verdict.message}")
        return Absence(to, weight, "void", told)
    # The nearest double: the sum itself may have a denominator that no proposal may have.
    cost = min(verdict.cost, limits.MAX_SAFE_INTEGER)
    return Proposal(to, verdict.consensus, 1, weight, cost)


def _with_voice(
    weak: Intake,
    voice: Proposal | Absence,
    parent: Mapping[str, Any],
    inner: Mapping[str, Any],
    *,
    ratifies: bool,
) -> Intake:
    """The weak verdict's intake, with the consultation's word in it."""
    absences = (*weak.absences, *((voice,) if isinstance(voice, Absence) else ()))
    proposals = (*weak.proposals, *((voice,) if isinstance(voice, Proposal) else ()))
    again = gather(Proposals(proposals, absences, weak.pending, weak.independence))
    merge = weak.merge
    if merge is not None and isinstance(voice, Proposal) and ratifies:
        # It was shown the merged answer among the candidates; to say the same ratifies it.
        if canonical(merge.payload) == canonical(voice.payload):
            merge = dataclasses.replace(merge, ratified=(*merge.ratified, voice.expert_id))
        else:
            merge = dataclasses.replace(merge, declined=(*merge.declined, voice.expert_id))
    return dataclasses.replace(
        again,
        merge=merge,
        failed=weak.failed,
        parent=dict(parent),
        consultation={
            "expert_id": voice.expert_id,
            "route_weight": as_text(voice.exact_weight),
            "body": dict(inner),
        },
    )


def _people(people: object) -> dict[str, Fraction]:
    if isinstance(people, str):
        raise UsageTypeError("people is a text; give a list of ids, or a mapping to weights")
    if isinstance(people, Mapping):
        pairs = list(people.items())
    elif isinstance(people, Iterable):
        pairs = [(name, 1) for name in people]
    else:
        raise UsageTypeError(f"people is a {type(people).__name__}; give a list of ids")
    found: dict[str, Fraction] = {}
    for name, weight in pairs:
        id_ = text(name, "an id in people")
        if id_ in found:
            raise UsageError(f"{id_!r} stands twice in people")
        found[id_] = exact(weight, f"weight of {id_}")
        if not 0 <= found[id_] <= limits.MAX_SAFE_INTEGER:
            raise UsageError(
                f"the weight of {id_} is {weight}; it is from 0 to {limits.MAX_SAFE_INTEGER}"
            )
    return found


def _check_who(
    to: str, experts: tuple[Expert, ...], people: Mapping[str, Fraction], roster: set[str]
) -> None:
    names = [*(expert.id for expert in experts), *people]
    if not 1 <= len(names) <= limits.MAX_REPLICAS:
        raise UsageError(f"{len(names)} are consulted; 1 to {limits.MAX_REPLICAS} are allowed")
    for position, name in enumerate(names):
        if name in names[:position]:
            raise UsageError(f"{name!r} is consulted twice; each is asked once")
    heard = sorted(roster.intersection(names))
    if heard:
        raise UsageError(f"{heard[0]!r} is of the roster and was heard; consult others")
    if to in roster or to in names:
        raise UsageError(f"{to!r} is an expert's id; give the consultation one of its own")
