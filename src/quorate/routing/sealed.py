"""A routing round as it is sealed, and its verdict computed again from what is sealed.

Body of kind ``routing``::

    {"rule": "bft-route/1", "session", "round", "input_digest",
     "roster": [ids], "faults", "quorum", "experts": [keys],
     "votes": [{"replica", "key"} | {"replica", "void"}],
     "equivocations": [{"replica", "votes": [{"key"} | {"void"}, ...two]}],
     "absences": [{"replica", "reason", "detail"}],
     "verdict": {"consensus", "key", "agreed_hash", "votes",
                 "dissenting", "void", "equivocating"}}

Lists of members are sorted by id; experts have integers first. ``void`` holds what a
replica said that could be no key. Every member stands in the votes, in the absences or,
its vote withdrawn, in the equivocations alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, NoReturn

from quorate.core.canonical import canonical, digest
from quorate.core.errors import MisbehaviourError, VerificationError
from quorate.routing.answers import Proposal, check_id, check_key, proposals_of
from quorate.routing.decision import Absentee
from quorate.routing.rules import Ballot, Round, Verdict, cast_all, close, verdict

KIND: Final = "routing"
"""Kind of the ledger entry."""

RULE: Final = "bft-route/1"
"""Name and version of the rules that computed the verdict."""

_DIGEST_LENGTH: Final = 64
_FIELDS: Final = frozenset({
    "rule", "session", "round", "input_digest", "roster", "faults", "quorum", "experts",
    "votes", "equivocations", "absences", "verdict",
})  # fmt: skip


def body_of(
    state: Round, found: Verdict, said: Mapping[str, Proposal], absences: Sequence[Absentee]
) -> dict[str, Any]:
    """Write a round down: all that its verdict was computed from, and the verdict.

    Args:
        state: the closed round.
        found: its verdict.
        said: proposal digest -> proposal, for every one voted for that cannot win.
        absences: of the members without a vote, sorted by id.
    """
    experts = state.ballot.experts

    def spoken(proposal: str) -> Proposal:
        return {"key": experts[proposal]} if proposal in experts else said[proposal]

    return {
        "rule": RULE,
        "session": state.session_id,
        "round": state.number,
        "input_digest": state.input_digest,
        "roster": list(state.roster),
        "faults": state.quorum.faults,
        "quorum": state.quorum.size,
        "experts": list(experts.values()),
        "votes": [{"replica": r, **spoken(p)} for r, p in sorted(state.votes.items())],
        "equivocations": [
            {"replica": r, "votes": [spoken(p) for p in pair]}
            for r, pair in sorted(state.equivocations.items())
        ],
        "absences": [absentee.to_dict() for absentee in absences],
        "verdict": _verdict_json(state, found),
    }


def _verdict_json(state: Round, found: Verdict) -> dict[str, Any]:
    agreed = state.decided
    return {
        "consensus": found.consensus,
        "key": None if agreed is None else state.ballot.experts[agreed],
        "agreed_hash": agreed,
        "votes": found.votes,
        "dissenting": list(found.dissenting),
        "void": list(found.void),
        "equivocating": list(found.equivocating),
    }


def replay(kind: str, body: object, context: object = None) -> None:
    """Compute the verdict of a sealed round again; return only if nothing differs.

    The votes are cast anew under today's rules, on a ballot rebuilt from roster, experts
    and faults, and the round is written down again: the body must be that, byte for byte.

    Args:
        kind: must be ``"routing"``.
        body: the sealed body.
        context: not needed here.

    Raises:
        VerificationError: rule ``"replay"``; says what differs.
    """
    del context
    if kind != KIND:
        _refuse(f"kind {kind!r} is none of a routing round")
    if not isinstance(body, dict) or set(body) != _FIELDS:
        _refuse(f"the body must have exactly the fields {sorted(_FIELDS)}")
    if body["rule"] != RULE:
        _refuse(f"the rule is {body['rule']!r}; this version knows {RULE!r}")
    # What is sealed may be anything: a bad shape shows as one of these while it is read.
    try:
        again = _written_again(body)
        same = {name: canonical(again[name]) == canonical(body[name]) for name in again}
    except (MisbehaviourError, KeyError, TypeError, ValueError, AttributeError) as error:
        _refuse(f"the body is no routing round: {type(error).__name__}: {error}")
    for name, equal in same.items():
        if not equal:
            _refuse(f"{name} is {body[name]!r}; replayed it is {again[name]!r}")


def describe(body: Mapping[str, Any]) -> str:
    """Tell a sealed round in one paragraph; :func:`replay` it first."""
    found, n = body["verdict"], len(body["roster"])
    spoken = {vote["replica"]: vote.get("key", vote.get("void")) for vote in body["votes"]}
    if found["consensus"]:
        outcome = (
            f"{found['votes']} of {n} replicas chose expert {found['key']!r}; "
            f"{body['quorum']} were needed."
        )
    else:
        outcome = (
            f"no expert got the {body['quorum']} matching votes needed of {n} replicas; the most "
            f"was {found['votes']}, so nothing was dispatched."
        )
    others = (
        ("Dissenting", [f"{r} ({spoken[r]!r})" for r in found["dissenting"]]),
        ("Void", found["void"]),
        ("Absent", [f"{a['replica']} ({a['reason']})" for a in body["absences"]]),
        ("Voted twice, differently", found["equivocating"]),
    )
    told = [f"{name}: {', '.join(ids)}." for name, ids in others if ids]
    return " ".join([
        f"Round {body['round']} of session {body['session']!r}:",
        outcome,
        *told,
        f"Up to {body['faults']} may lie, if replicas fail independently, which is undeclared.",
    ])  # fmt: skip


def _written_again(body: dict[str, Any]) -> dict[str, Any]:
    state = _opened(body)
    said: dict[str, Proposal] = {}

    def proposed(proposal: Proposal) -> str:
        name = digest(proposal)
        if name not in state.ballot.experts:
            said[name] = proposal
        return name

    standing = {vote["replica"]: proposed(_proposal(vote, {"replica"})) for vote in body["votes"]}
    pairs = {
        each["replica"]: [proposed(_proposal(vote, set())) for vote in each["votes"]]
        for each in body["equivocations"]
    }
    # The withdrawn first, before anything is decided (and of their pair the void vote
    # first, which alone cannot decide a roster of one); those found out only after the
    # decision, whose vote therefore stands, last.
    wins = state.ballot.experts.__contains__
    early = [
        (r, p) for r, pair in pairs.items() if r not in standing for p in sorted(pair, key=wins)
    ]
    late = [(r, p) for r, pair in pairs.items() if r in standing for p in pair]
    state = close(cast_all(state, [*early, *standing.items(), *late]))
    absences = [Absentee.from_dict(each) for each in body["absences"]]
    _check_accounts(state, absences)
    return body_of(state, verdict(state), said, absences)


def _opened(body: dict[str, Any]) -> Round:
    number, input_digest = body["round"], body["input_digest"]
    if type(number) is not int or number < 1:
        _refuse(f"the round is {number!r}; rounds are numbered from 1")
    if not isinstance(input_digest, str) or len(input_digest) != _DIGEST_LENGTH:
        _refuse(f"the input digest is {input_digest!r}; it has {_DIGEST_LENGTH} hex digits")
    if set(input_digest) - set("0123456789abcdef"):
        _refuse(f"the input digest is {input_digest!r}, not lower-case hex digits")
    for replica in body["roster"]:
        check_id(replica, "a replica's id")
    ballot = Ballot(body["roster"], proposals_of(body["experts"]), body["faults"])
    return Round(check_id(body["session"], "the session id"), number, input_digest, ballot)


def _proposal(sealed: dict[str, Any], others: set[str]) -> Proposal:
    """Read one sealed proposal: a key, or a JSON scalar that was none."""
    proposal = {name: value for name, value in sealed.items() if name not in others}
    if set(proposal) == {"key"}:
        check_key(proposal["key"])
    elif set(proposal) != {"void"} or not isinstance(proposal["void"], str | int | float | None):
        _refuse(f"{sealed!r} is no vote")
    return proposal


def _check_accounts(state: Round, absences: Sequence[Absentee]) -> None:
    away = [absentee.replica for absentee in absences]
    heard = set(state.votes) | set(state.equivocations)
    if away != sorted(set(state.roster) - heard):
        _refuse(
            f"the absences are of {away}, but the members without a vote are "
            f"{sorted(set(state.roster) - heard)}"
        )


def _refuse(message: str) -> NoReturn:
    raise VerificationError(message, rule="replay")
