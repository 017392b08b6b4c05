"""Sealed verdicts for tests: real proposals, a real arbiter, a real ledger."""

from quorate.arbitration import Absence, Arbiter, Proposal, UnderQuorum
from quorate.arbitration.sealed import body_of, kind_of
from quorate.core.canonical import digest
from quorate.core.identity import Ed25519Signer
from quorate.hub.experts import Expert
from quorate.hub.outcomes import verdict_key
from quorate.hub.signature import TaskSignature
from quorate.ledger import Ledger

KEY = Ed25519Signer.generate()


def open_ledger(path=None, **rest):
    url = "memory:" if path is None else f"sqlite:///{path}"
    return Ledger.open(url, **{"signer": KEY, **rest})


def expert(id_, **rest):
    return Expert(id_, lambda task: task, confidence=1, **rest)


def proposals_of(answers):
    """``{id: payload}`` or ``{id: (payload, confidence, weight)}`` to proposals."""
    made = []
    for name, answer in answers.items():
        payload, confidence, weight = answer if isinstance(answer, tuple) else (answer, 1, 1)
        made.append(Proposal(name, payload, confidence, weight))
    return made


def verdict_body(task_id, answers, absent=None, *, arbiter=None, quorum=0.66, plan=None):
    """Kind and body of the verdict on one task, as the hub would seal it."""
    arbiter = arbiter or Arbiter(quorum=quorum)
    proposals = proposals_of(answers)
    absences = [Absence(name, 1, reason) for name, reason in (absent or {}).items()]
    try:
        outcome = arbiter.arbitrate(proposals, absences)
    except UnderQuorum as error:
        outcome = error
    task = None if task_id is None else {"id": task_id, "input_digest": digest(task_id)}
    body = body_of(outcome, arbiter, proposals, absences, task=task)
    if plan is not None:
        body["plan"] = plan
    return kind_of(outcome), body


def seal(ledger, task_id, answers, absent=None, *, keyed=True, **rest):
    kind, body = verdict_body(task_id, answers, absent, **rest)
    key = verdict_key(task_id) if keyed and task_id is not None else None
    return ledger.append(kind, body, key=key)


def plan_of(ids, signature=None, weights=None):
    asked = list(ids) if weights is None else list(weights)
    return {
        "router": "learned-softmax",
        "signature": (signature or TaskSignature()).to_dict(),
        "scores": dict.fromkeys(sorted(ids), "0"),
        "weights": dict.fromkeys(sorted(asked), "1"),
        "gate": {},
    }
