"""A server over a ledger decides nothing that a person halted, and gives out nothing overridden."""

import asyncio
import sqlite3

import pytest
from serve_calls import proposals
from serve_desk import answer, refusal
from serve_needs import need

from quorate.core.identity import Ed25519Signer
from quorate.hub.oversight import Oversight
from quorate.ledger import Ledger
from quorate.mcp import Settings

mcp = need("mcp")

from quorate.mcp import build_server  # noqa: E402 - only where the SDK is there

ARBITRATE = ("arbitrate", {"proposals": proposals(dict.fromkeys("abc", "yes"))})
ROUTE = (
    "route",
    {
        "replicas": list("abcd"),
        "experts": ["x", "y"],
        "votes": [{"replica": name, "expert": "x"} for name in "abcd"],
        "input": 1,
    },
)
CALLS = pytest.mark.parametrize("call", [ARBITRATE, ROUTE], ids=["arbitrate", "route"])


@pytest.fixture
def ledger():
    with Ledger.open("memory:") as opened:
        yield opened


async def turns(ledger, *steps):
    """Call tools of one server in turn; what is callable is called in between."""
    came = []
    async with mcp.Client(build_server(Settings(ledger=ledger))) as client:
        for step in steps:
            if callable(step):
                step()
            else:
                came.append(await client.call_tool(*step))
    return came


@CALLS
def test_nothing_is_decided_behind_a_halt(ledger, call):
    oversight = Oversight(ledger)
    before, behind, after = asyncio.run(
        turns(
            ledger,
            call,
            lambda: oversight.halt("J. Doe", "a patient was hurt"),
            call,
            lambda: oversight.resume("J. Doe", "on"),
            call,
        )
    )
    told = refusal(behind)
    assert "a person halted this in entry 1" in told
    assert "Doe" not in told
    assert "patient" not in told
    assert answer(before)["sealed"]["seq"] == 0
    assert answer(after)["sealed"]["seq"] == 3
    assert ledger.verify(replay=True).kinds["oversight"] == 2


@CALLS
def test_nor_where_somebody_halts_between_the_look_and_the_writing(ledger, call, monkeypatch):
    real, acted = ledger.append_all, []

    def append_all(items, **more):
        if not acted:
            acted.append(Oversight(ledger).halt("J. Doe", "stop"))
        return real(items, **more)

    monkeypatch.setattr(ledger, "append_all", append_all)
    (came,) = asyncio.run(turns(ledger, call))
    assert "a person halted this" in refusal(came)
    assert [receipt.kind for receipt in ledger] == ["oversight"]


@CALLS
def test_nor_in_a_file_in_which_a_halt_may_hide_and_its_name_is_the_operators(
    tmp_path, caplog, call
):
    path = tmp_path / "secret.db"
    with Ledger.open(f"sqlite:///{path}", signer=Ed25519Signer.generate()) as ledger:
        database = sqlite3.connect(path)
        database.execute("CREATE TABLE x (a)")
        database.close()
        (came,) = asyncio.run(turns(ledger, call))
        assert "secret" not in refusal(came)
        assert "the layout of" in caplog.text
        assert len(ledger) == 0


@pytest.mark.parametrize("answers", [("no",), ("no", "maybe")], ids=["answered", "contested"])
def test_the_same_call_again_does_not_give_out_what_people_overrode(ledger, answers):
    oversight = Oversight(ledger)
    call = (ARBITRATE[0], {**ARBITRATE[1], "request_id": "r1"})
    another = (ARBITRATE[0], {**ARBITRATE[1], "request_id": "r2"})

    def override():
        for number, given in enumerate(answers):
            oversight.override(0, f"J. Doe {number}", "a patient was hurt", given)

    first, same, again, other = asyncio.run(turns(ledger, call, call, override, call, another))
    assert answer(first) == answer(same)
    told = refusal(again)
    entries = ", ".join(str(1 + number) for number in range(len(answers)))
    assert "entry 0 of the ledger: do not act on it" in told
    assert f"in entry {entries}" in told
    assert "Doe" not in told
    assert "patient" not in told
    assert answer(other)["sealed"]["seq"] == len(answers) + 1


def test_arithmetic_that_seals_nothing_goes_on(ledger):
    Oversight(ledger).halt("J. Doe", "stop")
    (came,) = asyncio.run(turns(ledger, ("bft_quorum", {"num_nodes": 4})))
    assert answer(came)["quorum_size"] == 3
    assert len(ledger) == 1
