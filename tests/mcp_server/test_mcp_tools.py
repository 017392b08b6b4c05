"""What the tools decide and refuse, called in memory."""

import asyncio
import threading
from fractions import Fraction
from itertools import permutations

import pytest
from hypothesis import given
from hypothesis import settings as trying
from hypothesis import strategies as st
from serve_calls import TOOLS, proposals
from serve_desk import answer, refusal
from serve_needs import need

from quorate.arbitration import Arbiter, Proposal, UnderQuorum
from quorate.core.errors import OperationalError, UsageError
from quorate.core.identity import Ed25519Signer
from quorate.council import ConsensusProtocol
from quorate.ledger import Ledger
from quorate.mcp import Settings
from quorate.mcp.scopes import SCOPE_OF

mcp = need("mcp")
need("mcp_types")
MCPError = need("mcp.shared.exceptions").MCPError

from quorate.mcp import build_server  # noqa: E402 - only where the SDK is there
from quorate.mcp.tools.deciding import quorum_answer  # noqa: E402


def called(settings, *calls):
    """Make calls in turn on a fresh server over ``settings``; gives their results."""

    async def go():
        async with mcp.Client(build_server(settings)) as client:
            return [await client.call_tool(name, arguments) for name, arguments in calls]

    return asyncio.run(go())


@pytest.fixture
def ledger():
    with Ledger.open("memory:") as opened:
        yield opened


@given(st.integers(1, 1024))
def test_the_quorum_is_the_least_whose_pairs_share_more_than_the_liars(num_nodes):
    found = quorum_answer(num_nodes)
    faults = max(f for f in range(num_nodes) if 3 * f < num_nodes)
    size = next(q for q in range(1, num_nodes + 1) if 2 * q - num_nodes > faults)
    assert (found.tolerated_faults, found.quorum_size) == (faults, size)
    told = " ".join(found.warnings)
    assert ("tolerate no faulty one" in told) == (num_nodes < 4) == (not found.bears_a_liar)
    assert ("not a safe quorum" in told) == (faults > 0 and size != 2 * faults + 1)
    assert "fail independently" in told


answers = st.dictionaries(st.sampled_from("abcdefg"), st.sampled_from([0, 1, "x"]), max_size=7)


# Each example is many calls of one server: to set one up takes longer than to call it.
many = st.lists(st.tuples(answers, st.sampled_from(["1/2", "2/3", "1"])), min_size=15, max_size=15)


@trying(max_examples=2)
@given(many)
def test_arbitrate_decides_as_the_arbiter_does(asked):
    calls = [("arbitrate", {"proposals": proposals(said), "quorum": q}) for said, q in asked]
    for (said, quorum), result in zip(asked, called(Settings(), *calls), strict=True):
        check_decided(said, quorum, answer(result))


def check_decided(said, quorum, found):
    try:
        decision = Arbiter(quorum=Fraction(quorum)).arbitrate(
            [Proposal(expert, payload, 0.9, 0.25) for expert, payload in said.items()]
        )
    except UnderQuorum as refused:
        decision = refused.tally
    expected = decision.to_dict()
    assert found["status"] == expected["status"]
    for name in ("consensus", "digest", "reason"):
        assert found[name] == expected.get(name)
    assert found["support_exact"] == expected["support_exact"]


def test_an_experts_fault_makes_it_absent_and_stays_in_the_denominator(ledger):
    said = [
        *proposals({"a": "y", "b": "y"}),
        {"expert_id": "c", "payload": "y", "confidence": 2, "route_weight": 0.5},
    ]
    found = answer(called(Settings(ledger=ledger), ("arbitrate", {"proposals": said}))[0])
    assert found["status"] == "refused"
    assert [(one["id"], one["reason"]) for one in found["absent"]] == [("c", "void")]
    assert ledger.verify(replay=True).replayed == 1


def test_the_same_request_is_sealed_once_and_another_under_its_name_is_refused(ledger):
    same = {"proposals": proposals({"a": 1}), "request_id": "r"}
    other = {**same, "proposals": proposals({"a": 2})}
    first, second, third = called(
        Settings(ledger=ledger), ("arbitrate", same), ("arbitrate", same), ("arbitrate", other)
    )
    assert answer(first)["sealed"] == answer(second)["sealed"]
    assert "something else" in refusal(third)
    assert len(ledger) == 1


def test_who_votes_twice_has_no_vote_and_who_is_silent_counts():
    votes = [{"replica": r, "expert": e} for r, e in (("a", 1), ("b", 1), ("c", 1), ("c", 2))]
    call = {"replicas": list("abcd"), "experts": [1, 2], "votes": votes, "input": None}
    found = answer(called(Settings(), ("route", call))[0])
    assert (found["consensus"], found["expert_key"]) == (False, None)
    assert (found["equivocating"], [one["id"] for one in found["absent"]]) == (["c"], ["d"])
    for stranger in ({"replica": "z", "expert": 1}, {"replica": "a", "expert": 1, "x": 1}):
        refusal(called(Settings(), ("route", {**call, "votes": [*votes, stranger]}))[0])


def test_the_order_in_which_votes_are_listed_changes_nothing():
    votes = [
        {"replica": replica, "expert": expert}
        for replica, expert in (("a", 1), ("b", 1), ("c", 1), ("c", 2), ("d", 9))
    ]
    same = {"replicas": list("abcd"), "experts": [1, 2], "input": None}
    calls = [("route", {**same, "votes": listed}) for listed in permutations(votes)]
    for result in called(Settings(), *calls):
        found = answer(result)
        assert (found["consensus"], found["votes"], found["void"]) == (False, 2, ["d"])
        assert found["equivocating"] == ["c"]


def test_a_roster_of_one_that_votes_twice_is_refused():
    votes = [{"replica": "a", "expert": expert} for expert in (1, 2)]
    call = {"replicas": ["a"], "experts": [1, 2], "votes": votes, "input": None}
    assert "voted twice" in refusal(called(Settings(), ("route", call))[0])


def test_every_round_is_sealed_and_replays(ledger):
    call = {"replicas": list("abcd"), "experts": ["x", 1], "input": {"a": 1}, "votes": []}
    calls = [("route", call)] * 3
    rounds = [answer(result)["round"] for result in called(Settings(ledger=ledger), *calls)]
    assert rounds == [1, 2, 3]
    assert ledger.verify(replay=True).replayed == 3


def test_a_ledger_for_reading_seals_nothing(tmp_path):
    url = f"sqlite:///{tmp_path / 'l.db'}"
    with Ledger.open(url, signer=Ed25519Signer.generate()) as begun:
        begun.append("note", 1)
    with Ledger.open(url) as reading:
        settings = Settings(ledger=reading, sealing=False)
        found = answer(called(settings, ("arbitrate", {"proposals": proposals({"a": 1})}))[0])
    assert (found["status"], found["sealed"]) == ("committed", None)


class Broken(Ledger):
    """One that fails with words that a client should not see."""

    def append_all(self, *_args, **_named):
        raise OperationalError("/srv/secret/ledger.db: disk full")


def test_what_fails_in_the_store_is_told_without_its_words(caplog):
    with Broken.open("memory:") as broken:
        call = ("arbitrate", {"proposals": proposals({"a": 1})})
        words = refusal(called(Settings(ledger=broken), call)[0])
    assert "secret" not in words
    reference = words.rpartition(" ")[2]
    assert f"{reference}: /srv/secret/ledger.db: disk full" in caplog.text


class Slow(Ledger):
    """One that does not come back until it is let."""

    def __init__(self, *arguments, **named):
        super().__init__(*arguments, **named)
        self.let = threading.Event()

    def append_all(self, *_args, **_named):
        self.let.wait(60)
        raise UsageError("too late")


def test_a_call_ends_in_time_and_does_not_stop_others():
    slow = Slow.open("memory:")
    settings = Settings(ledger=slow, call_seconds=0.2)

    async def go():
        async with mcp.Client(build_server(settings)) as client:
            held = client.call_tool("arbitrate", {"proposals": proposals({"a": 1})})
            held = asyncio.ensure_future(held)
            answer(await client.call_tool("bft_quorum", {"num_nodes": 4}))
            return await held

    try:
        assert "longer than the 0.2 s" in refusal(asyncio.run(go()))
    finally:
        slow.let.set()


def test_calls_that_were_given_up_still_count_so_that_they_cannot_pile_up():
    slow = Slow.open("memory:")
    settings = Settings(ledger=slow, call_seconds=0.2, workers=1)
    call = ("arbitrate", {"proposals": proposals({"a": 1})})

    async def go():
        async with mcp.Client(build_server(settings)) as client:
            first = await client.call_tool(*call)
            before = threading.active_count()
            later = [await client.call_tool(*call) for _ in range(3)]
            return [first, *later], before, threading.active_count()

    try:
        results, before, after = asyncio.run(go())
    finally:
        slow.let.set()
    assert all("longer than" in refusal(result) for result in results)
    assert after <= before


def test_over_stdio_voters_are_those_the_operator_names():
    council = ConsensusProtocol(["anna", "bo", "cy", "di"])
    settings = Settings(council=council, voters=frozenset({"anna"}))
    put, stolen = called(
        settings,
        ("council_propose", {"action": "restrict", "target": "x"}),
        ("council_propose", {"action": "restrict", "target": "x", "proposer": "bo"}),
    )
    assert answer(put)["proposer"] == "anna"
    assert "may not vote as 'bo'" in refusal(stolen)


def test_a_voter_with_a_key_signs_what_it_proposes():
    key, stranger = Ed25519Signer.generate(), Ed25519Signer.generate()
    council = ConsensusProtocol(["anna", "bo", "cy", "di"], keys={"anna": key.verifier.to_text()})
    settings = Settings(council=council, voters=frozenset({"anna"}))
    put = {"action": "restrict", "target": "x", "evidence": {"seen": "ä"}, "expiry_seconds": 60.0}
    (unsigned,) = called(settings, ("council_propose", put))
    wanted = refusal(unsigned).partition(" over ")[2].encode()
    assert "as the kind council-propose" in refusal(unsigned)
    forged = {**put, "signature": stranger.sign("council-propose", wanted).hex()}
    other = {**put, "target": "y", "signature": key.sign("council-propose", wanted).hex()}
    signed = {**put, "signature": key.sign("council-propose", wanted).hex()}
    calls = [("council_propose", one) for one in (forged, other, signed, signed)]
    wrong, moved, good, again = called(settings, *calls)
    assert "signature" in refusal(wrong)
    assert "signature" in refusal(moved)
    assert answer(good)["proposer"] == "anna"
    # It counts once.
    assert "signature" in refusal(again)
    assert len(council.list_proposals()) == 1


def test_a_decision_that_is_certain_is_sealed_by_the_tally(tmp_path):
    council = ConsensusProtocol(["anna", "bo", "cy", "di"])
    settings = Settings(council=council, voters=frozenset(council.voter_ids))
    id_ = council.propose("anna", "restrict", "x")
    votes = [
        ("council_vote", {"proposal_id": id_, "voter": v, "value": "approve"})
        for v in ("anna", "bo", "cy", "di")
    ]
    *_, found = map(answer, called(settings, *votes, ("council_tally", {"proposal_id": id_})))
    assert (found["decision"], found["status"]) == ("approved", "decided")
    assert found["certificate"]["seq"] == council.certificate(id_).seq
    again = called(
        settings, ("council_vote", {"proposal_id": id_, "voter": "bo", "value": "reject"})
    )
    refusal(again[0])


def test_who_may_not_vote_looks_at_a_certain_decision_and_seals_none(monkeypatch):
    from quorate.mcp.access import Caller
    from quorate.mcp.tools import voting

    council = ConsensusProtocol(["anna", "bo", "cy", "di"])
    id_ = council.propose("anna", "restrict", "x")
    for voter in council.voter_ids:
        council.vote(id_, voter, "approve")
    settings, before = Settings(council=council), len(council.ledger)
    for scopes, sealed in (({"read"}, 0), ({"read", "vote"}, 1)):
        caller = Caller("c", frozenset(scopes), frozenset())
        monkeypatch.setattr(voting, "caller_of", lambda *_, caller=caller: caller)
        (result,) = called(settings, ("council_tally", {"proposal_id": id_}))
        found = answer(result)
        assert found["decision"] == "approved"
        assert (found["certificate"] is not None) is bool(sealed)
        assert len(council.ledger) == before + sealed


def test_a_refusal_says_who_answered_otherwise():
    said = proposals({"a": "x", "b": "x", "c": "y", "d": "z"})
    found = answer(called(Settings(), ("arbitrate", {"proposals": said, "quorum": "9/10"}))[0])
    assert (found["status"], found["dissenting"]) == ("refused", ["c", "d"])
    assert "Dissent: c for" in found["explanation"]


def test_whoever_gave_no_vote_is_told_so():
    votes = [{"replica": r, "expert": 1} for r in "abc"]
    call = {"replicas": list("abcd"), "experts": [1], "votes": votes, "input": None}
    found = answer(called(Settings(), ("route", call))[0])
    assert [(one["id"], one["detail"]) for one in found["absent"]] == [("d", "no vote was given")]


OBJECT = "give an object with expert_id, route_weight (and, if you like, reason, detail)"


@pytest.mark.parametrize(
    ("tool", "arguments", "told"),
    [
        ("arbitrate", {"proposals": [], "absent": ["d"]}, f"absent[0]: {OBJECT}"),
        ("arbitrate", {"proposals": {}}, "proposals: give a list"),
        ("arbitrate", {}, "proposals is missing"),
        ("arbitrate", {"proposals": [{"x": 1}]}, "proposals[0].x is unknown"),
        ("red_team_scan", {"target": "desk"}, "target: give an object with name"),
        ("bft_quorum", {"num_nodes": 1.5}, "num_nodes: give a whole number"),
        ("bft_quorum", {"num_nodes": 0}, "num_nodes: input should be greater than or equal to 1"),
        ("bft_quorum", {"nodes": 4}, "there is no argument 'nodes'; there is: num_nodes"),
        ("verify_receipt", {"receipt": 3}, "receipt: give an object"),
        ("council_tally", {"proposal_id": "p1"}, "this server has no council"),
        (
            "arbitrate",
            {"proposals": [{**proposals({"a": 1})[0], "route_weight": True}]},
            "proposals[0].route_weight: give a number or a text",
        ),
    ],
)
def test_what_is_wrong_with_a_call_is_told_in_words_of_its_own(tool, arguments, told):
    words = refusal(called(Settings(), (tool, arguments))[0])
    assert words.startswith(f"{tool}: ")
    assert told in words
    assert "Given" not in words
    assert "Error executing" not in words


@pytest.mark.parametrize("name", ["receipt/0", "bundle/3", "checkpoint"])
def test_without_a_ledger_it_says_that_there_is_none(name):
    async def go():
        async with mcp.Client(build_server(Settings())) as client:
            with pytest.raises(MCPError, match="this server has no ledger"):
                await client.read_resource(f"quorate://{name}")
            with pytest.raises(MCPError, match="Unknown resource"):
                await client.read_resource("quorate://elsewhere")

    asyncio.run(go())


def test_every_tool_has_a_scope_a_schema_and_says_what_it_does(ledger):
    async def go(settings):
        async with mcp.Client(build_server(settings)) as client:
            return {tool.name: tool for tool in (await client.list_tools()).tools}

    sealing, bare = (asyncio.run(go(Settings(ledger=one))) for one in (ledger, None))
    assert set(sealing) == set(bare) == TOOLS == set(SCOPE_OF)
    for tool in sealing.values():
        assert tool.description
        assert tool.input_schema["additionalProperties"] is False
        assert tool.output_schema["additionalProperties"] is False
        assert tool.annotations.destructive_hint is False
        described = tool.input_schema["properties"]
        assert all(
            "description" in one or "$ref" in one or "anyOf" in one for one in described.values()
        )
    changing = {name for name, tool in sealing.items() if not tool.annotations.read_only_hint}
    assert changing == {
        "arbitrate", "route", "red_team_scan", "council_propose", "council_vote", "council_tally",
    }  # fmt: skip
    assert bare["arbitrate"].annotations.read_only_hint
