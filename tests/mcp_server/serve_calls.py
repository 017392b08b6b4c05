"""Every tool called once, on whichever transport: what a client must get."""

import json

from serve_needs import need

from quorate.core.canonical import canonical
from quorate.council.ballots import VOTE_KIND
from quorate.ledger import Bundle, Policy, Receipt, read_signer, read_verifier

TOOLS = {
    "bft_quorum",
    "arbitrate",
    "route",
    "verify_receipt",
    "council_propose",
    "council_vote",
    "council_tally",
    "evaluate_eu_ai_act",
    "validate_agent_card",
    "red_team_scan",
}


def proposals(answers):
    return [
        {"expert_id": expert, "payload": payload, "confidence": 0.9, "route_weight": 0.25}
        for expert, payload in answers.items()
    ]


class Caller:
    """Calls tools, and holds each answer to the schema that the server declares."""

    def __init__(self, client):
        self.client = client
        self.tools = {}

    async def look(self):
        self.tools = {tool.name: tool for tool in (await self.client.list_tools()).tools}

    async def __call__(self, tool, **arguments):
        result = await self.client.call_tool(tool, arguments)
        assert not result.is_error, result.content
        need("jsonschema").validate(result.structured_content, self.tools[tool].output_schema)
        assert json.loads(result.content[0].text) == result.structured_content
        return result.structured_content


async def call_everything(client, folder):
    """Call all ten tools and read all resources of a server that has everything."""
    call = Caller(client)
    await call.look()
    assert set(call.tools) == TOOLS
    found = await call("bft_quorum", num_nodes=6)
    assert (found["tolerated_faults"], found["quorum_size"]) == (1, 4)
    sealed = await decides(call)
    await verifies(call, sealed, folder)
    await votes(call, folder)
    await assures(call)


async def decides(call):
    found = await call("arbitrate", proposals=proposals({"a": "y", "b": "y", "c": "y", "d": "n"}))
    assert (found["status"], found["consensus"], found["dissenting"]) == ("committed", "y", ["d"])
    missing = [{"expert_id": "e", "route_weight": 1, "reason": "crashed"}]
    refused = await call("arbitrate", proposals=proposals({"a": "y", "b": "n"}), absent=missing)
    assert (refused["status"], refused["consensus"]) == ("refused", None)
    assert refused["absent"] == [{"id": "e", "reason": "crashed", "detail": ""}]
    ballots = [{"replica": r, "expert": 1} for r in "abc"] + [{"replica": "d", "expert": 2}]
    routed = await call("route", replicas=list("abcd"), experts=[1, 2], votes=ballots, input="t")
    assert (routed["consensus"], routed["expert_key"], routed["quorum"]) == (True, 1, 3)
    assert routed["dispatched"] is False
    return found["sealed"]


async def verifies(call, sealed, folder):
    policy = Policy.of([read_verifier(folder / "ledger.pub")])
    read = await call.client.read_resource(sealed["resource"])
    receipt = json.loads(read.contents[0].text)
    Receipt.from_dict(receipt).verify(policy)
    checked = await call("verify_receipt", receipt=receipt)
    assert (checked["verified"], checked["trusted_by"]) == (True, "policy")
    bundle = json.loads(
        (await call.client.read_resource(f"quorate://bundle/{sealed['seq']}")).contents[0].text
    )
    assert Bundle.from_dict(bundle).verify(policy).size > sealed["seq"]
    key = (folder / "ledger.pub").read_text().strip()
    checked = await call("verify_receipt", receipt=bundle, keys=[key], origin=sealed["origin"])
    assert checked["verified"]
    assert [check["rule"] for check in checked["checks"]][-1] == "inclusion"
    receipt["body"]["verdict"]["consensus"] = "n"
    forged = await call("verify_receipt", receipt=receipt)
    assert (forged["verified"], forged["checks"][-1]["rule"]) == (False, "commitment")
    other = (folder / "council.pub").read_text().strip()
    stranger = await call("verify_receipt", receipt=bundle, keys=[other])
    assert (stranger["verified"], stranger["checks"][-1]["rule"]) == (False, "signature")
    note = (await call.client.read_resource("quorate://checkpoint")).contents[0].text
    assert note.startswith(sealed["origin"])
    catalogue = json.loads(
        (await call.client.read_resource("quorate://catalogue")).contents[0].text
    )
    assert any(each["id"].startswith("art_12") for each in catalogue["obligations"])


async def votes(call, folder):
    put = await call(
        "council_propose",
        action="quarantine",
        target="agent-7",
        evidence={"why": 1},
        proposer="anna",
    )
    id_ = put["proposal_id"]
    assert (put["proposer"], put["status"], put["decision"]) == ("anna", "open", "pending")
    voted = await call("council_vote", proposal_id=id_, value="approve", voter="anna")
    assert voted["approvals"] == 1
    ballot = next(one for one in voted["ballots"] if one["voter"] == "bo")
    assert ballot["signs"]
    said = {
        "council": voted["council"],
        "proposal": voted["digest"],
        "voter": "bo",
        "value": "approve",
        "reason": None,
        "revision": ballot["revision"],
    }
    signature = read_signer(folder / "bo.key").sign(VOTE_KIND, canonical(said)).hex()
    voted = await call(
        "council_vote", proposal_id=id_, value="approve", voter="bo", signature=signature
    )
    assert voted["approvals"] == 2
    assert (await call("council_tally", proposal_id=id_))["approvals"] == 2


async def assures(call):
    report = await call("evaluate_eu_ai_act", evidence={"riskAssessment": True}, as_of="2026-11-21")
    assert (report["score"], len(report["blocking"])) == ("0", 10)
    assert "no conformity assessment" in report["disclaimer"]
    card = await call("validate_agent_card", card={"name": "x"})
    assert not card["passed"]
    assert "$.description" in {error["path"] for error in card["errors"]}
    told = []

    async def progressed(done, total, _message):
        told.append((done, total))

    result = await call.client.call_tool(
        "red_team_scan", {"target": {"name": "parrot"}}, progress_callback=progressed
    )
    scan = result.structured_content
    assert (scan["target"], scan["scripted"]) == ("parrot", False)
    assert scan["resilience"] is None or 0 <= scan["resilience"] <= 1
    assert scan["sealed"]["resource"].startswith("quorate://receipt/")
    probes = int(told[-1][1])
    assert told == [(done, probes) for done in range(1, probes + 1)]
