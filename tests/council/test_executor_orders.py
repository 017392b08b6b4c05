"""``check_order``: what an endpoint finds out about an order by itself."""

import json

import pytest
from council_executions import ODD, ran
from council_tools import KEY, KEYS, SIGNERS, council, passed

from quorate.core.errors import UsageError, VerificationError
from quorate.core.identity import Ed25519Signer
from quorate.council import ConsensusProtocol, sign_proposal, sign_vote
from quorate.council.executors import Executors, Order, check_order
from quorate.ledger import Ledger, Policy

POLICY = Policy.of([KEY.verifier])
VOTERS = "abcd"


def put(c, voter, *rest, signers=SIGNERS):
    """Propose what the voter has signed."""
    signature = sign_proposal(signers[voter], c.request(voter, *rest))
    return c.propose(voter, *rest, signature=signature)


def signed(ledger, signers, target="agent-7", action="quarantine"):
    """A council whose voters all have keys, with p1 approved by their signatures."""
    keys = {voter: signers[voter].verifier for voter in VOTERS}
    c = council(VOTERS, ledger=ledger, keys=keys)
    id_ = put(c, "a", action, target, {"rss": [1, 2.5]}, signers=signers)
    for voter in VOTERS[:3]:
        signature = sign_vote(signers[voter], c.get_proposal(id_), "approve")
        c.vote(id_, voter, "approve", signature=signature)
    c.tally(id_)
    return c


def ordered(c):
    """The order that its executor is handed."""
    seen = []
    ran(c, seen.append)
    return seen[0]


@pytest.fixture
def c(ledger):
    return signed(ledger, SIGNERS, target=ODD)


def pins(protocol):
    return {"electorate": protocol.electorate, "genesis": protocol.audit_log[0].entry_hash}


def test_an_order_of_the_trusted_council_checks_out(c):
    order = ordered(c)
    found = check_order(order, POLICY, **pins(c))
    assert found is order
    read = check_order(order.to_json(), POLICY, c.electorate.digest, genesis=pins(c)["genesis"])
    assert isinstance(read, Order)
    assert (read.target, read.evidence, read.token) == (ODD, {"rss": [1, 2.5]}, order.token)
    assert read.to_json() == order.to_json()
    assert check_order(order.to_dict(), POLICY, **pins(c)).to_json() == order.to_json()
    assert order.intent.payload["event"] == "intent"
    assert order.intent.seq > order.certificate.seq


def test_a_council_made_up_by_who_has_the_ledgers_key_is_refused(c):
    """Same name, same voters, keys of its own: its receipt verifies, and proves nothing."""
    mine = {voter: Ed25519Signer(bytes([97 + n]) * 32) for n, voter in enumerate(VOTERS)}
    with Ledger.open("memory:", signer=KEY) as other:
        made_up = ordered(signed(other, mine, target=ODD))
        made_up.certificate.verify(POLICY)
        with pytest.raises(VerificationError) as refused:
            check_order(made_up, POLICY, c.electorate, genesis=made_up_genesis(made_up))
        assert refused.value.rule == "electorate"
        with pytest.raises(VerificationError) as refused:
            check_order(made_up, POLICY, **pins(c))
        assert refused.value.rule == "genesis"


def made_up_genesis(order):
    return order.certificate.payload["subject"]["genesis"]


def test_the_same_voters_in_another_council_are_refused(c):
    """Their true signatures, of another council: each opening has a nonce of its own."""
    with Ledger.open("memory:", signer=KEY) as other:
        order = ordered(signed(other, SIGNERS, target=ODD))
        with pytest.raises(VerificationError, match="the council that began with") as refused:
            check_order(order, POLICY, **pins(c))
    assert refused.value.rule == "genesis"


CHANGES = {
    "another target": ({"target": "agent-8"}, "certificate"),
    "no target": ({"target": None}, "certificate"),
    "another action": ({"action": "restrict"}, "certificate"),
    "critical or not": ({"critical": True}, "certificate"),
    "0 for false": ({"critical": 0}, "certificate"),
    "other evidence": ({"evidence": {"rss": [1, 3]}}, "certificate"),
    "another digest": ({"digest": "0" * 64}, "certificate"),
    "another proposal": ({"proposal": "p2"}, "certificate"),
    "another council": ({"council": "other"}, "certificate"),
    "another token": ({"token": "0" * 32}, "intent"),
    "another form": ({"form": "quorate/council-order/v0"}, "order"),
    "more": ({"by_the_way": 1}, "order"),
    "no token": ({"token": ""}, "order"),
    "no receipt": ({"certificate": {}}, "order"),
    "no deadline": ({"deadline": -1}, "order"),
}


@pytest.mark.parametrize("name", CHANGES)
def test_one_thing_changed_on_the_way_is_found(c, name):
    change, rule = CHANGES[name]
    order = {**ordered(c).to_dict(), **change}
    with pytest.raises(VerificationError) as refused:
        check_order(json.dumps(order), POLICY, **pins(c))
    assert refused.value.rule == rule


@pytest.mark.parametrize("junk", [b"", b"[]", "7", b"{", {}, {"form": 1}, [["form", 1]], b"\xff"])
def test_what_is_no_order_is_told_so(c, junk):
    with pytest.raises(VerificationError) as refused:
        check_order(junk, POLICY, **pins(c))
    assert refused.value.rule == "order"


def test_receipts_in_each_others_place_or_by_another_key_are_refused(c):
    order = ordered(c).to_dict()
    for change in (
        {"certificate": order["intent"]},
        {"intent": order["certificate"]},
        {"certificate": order["intent"], "intent": order["certificate"]},
    ):
        with pytest.raises(VerificationError):
            check_order({**order, **change}, POLICY, **pins(c))
    stranger = Policy.of([Ed25519Signer(b"s" * 32).verifier])
    with pytest.raises(VerificationError) as refused:
        check_order(order, stranger, **pins(c))
    assert refused.value.rule == "signature"


def test_an_intent_of_another_proposal_or_log_is_refused(c, ledger):
    first = ordered(c).to_dict()
    id_ = put(c, "b", "quarantine", "agent-9")
    for voter in VOTERS[:3]:
        signature = sign_vote(SIGNERS[voter], c.get_proposal(id_), "approve")
        c.vote(id_, voter, "approve", signature=signature)
    c.tally(id_)
    intent = c.begin_execution(id_, "another")
    later = [r for r in ledger if r.payload["event"] == "intent"][-1]
    with pytest.raises(VerificationError, match="not of what it orders"):
        check_order({**first, "intent": later.to_dict(), "token": intent.token}, POLICY, **pins(c))


def test_an_event_under_another_trace_id_or_kind_is_none_of_the_council(c, ledger):
    """Who has the ledger's key can seal any text under any name."""
    order, good = ordered(c), pins(c)
    for kind, trace_id in (("council", "elsewhere"), ("council", None), ("note", "council")):
        receipt = ledger.append(kind, order.intent.payload, trace_id=trace_id)
        with pytest.raises(VerificationError) as refused:
            check_order({**order.to_dict(), "intent": receipt.to_dict()}, POLICY, **good)
        assert refused.value.rule == "intent"


def test_an_intent_of_an_approval_that_was_over_is_refused(c, ledger):
    order, good = ordered(c), pins(c)
    decided_at, week = order.certificate.payload["at"], 7 * 86_400_000_000
    for late, refusals in ((week - 1, 0), (week, 1)):
        body = {**order.intent.payload, "at": decided_at + late}
        receipt = ledger.append("council", body, trace_id="council").to_dict()
        found = {**order.to_dict(), "intent": receipt}
        if refusals:
            with pytest.raises(VerificationError, match="when the approval was over"):
                check_order(found, POLICY, **good)
        else:
            assert check_order(found, POLICY, **good).token == order.token


def test_a_decision_that_its_votes_do_not_make_is_refused(c, ledger):
    order, good = ordered(c).to_dict(), pins(c)
    body = json.loads(json.dumps(order["certificate"]["body"]))
    body["votes"] = body["votes"][:1]
    receipt = ledger.append("council", body, trace_id="council").to_dict()
    with pytest.raises(VerificationError) as refused:
        check_order({**order, "certificate": receipt}, POLICY, **good)
    assert refused.value.rule == "replay"


def test_an_order_of_what_was_rejected_is_refused(ledger):
    c = council("abcd", ledger=ledger, keys={v: KEYS[v] for v in "abcd"})
    id_ = put(c, "a", "quarantine", "agent-7")
    for voter in "abc":
        c.vote(
            id_, voter, "reject",
            signature=sign_vote(SIGNERS[voter], c.get_proposal(id_), "reject"),
        )  # fmt: skip
    c.tally(id_)
    certificate, told = c.certificate(id_), c.get_proposal(id_)
    order = Order(
        council_id="council", proposal_id=id_, digest=told.digest, action="quarantine",
        critical=False, target="agent-7", evidence_json=b"null", token="t",
        certificate=certificate, intent=certificate, deadline=0,
    )  # fmt: skip
    with pytest.raises(VerificationError, match="what it orders was rejected"):
        check_order(order, POLICY, **pins(c))


def test_what_is_pinned_has_to_be_a_digest(c):
    order = ordered(c)
    good = pins(c)
    for electorate, genesis in (("a" * 63, good["genesis"]), (good["electorate"], "G" * 64)):
        with pytest.raises(UsageError, match="64 hex digits"):
            check_order(order, POLICY, electorate, genesis=genesis)
    with pytest.raises(UsageError, match="the policy is a NoneType"):
        check_order(order, None, **good)


def test_after_a_change_of_the_electorate_the_new_one_is_pinned(ledger):
    c = council("abcd", ledger=ledger)
    before = pins(c)
    passed(c, c.propose_electorate("a", list("abce")), "abcd")
    assert c.execute("p1")
    passed(c, c.propose("a", "quarantine", "x"), "abce")
    seen = []
    executors = Executors(c)
    executors.register("quarantine", seen.append)
    executors.run("p2")
    with pytest.raises(VerificationError, match="pin the new one"):
        check_order(seen[0], POLICY, **before)
    assert check_order(seen[0], POLICY, **pins(ConsensusProtocol.reopen(ledger)))
