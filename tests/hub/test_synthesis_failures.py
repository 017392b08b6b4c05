"""A synthesis that comes to nothing says why: who crashed or was late, at what."""

import asyncio
import copy

import pytest

from quorate.arbitration import (
    Decision,
    Proposal,
    SynthesisArbiter,
    Tally,
    UnderQuorum,
    WeightedQuorumArbiter,
)
from quorate.arbitration.sealed import body_of, replay
from quorate.cli.explained import more
from quorate.core.errors import UsageError, VerificationError
from quorate.hub import Answer, Expert, Policy
from quorate.hub.deciding import decide


def broken(_):
    raise KeyError("merge")


def merging(question):
    assert question.keys() == {"task", "proposals"}
    return Answer("x", 1)


def proposing(task):
    """Proposes, and ratifies."""
    return Answer(True if isinstance(task, dict) else "x", 1)


def unratifying(task):
    """Proposes, and crashes when it is asked to ratify."""
    return broken(task) if isinstance(task, dict) else Answer("y", 1)


async def late(task):
    """Proposes, and is late when it is asked to ratify."""
    if isinstance(task, dict):
        await asyncio.sleep(30)
    return Answer("z", 1)


def decided(*experts, synthesizer=merging, quorum=0.5, **options):
    roster = [Expert(f"e{n}", each, timeout=0.2) for n, each in enumerate(experts)]
    verdict = asyncio.run(
        decide(
            roster,
            "task",
            SynthesisArbiter(quorum, synthesizer="s"),
            synthesizer=Expert("s", synthesizer, timeout=0.2),
            **options,
        )
    )
    replay(verdict.kind, verdict.body)
    return verdict


def test_a_synthesizer_that_crashed_is_told():
    verdict = decided(proposing, synthesizer=broken)
    assert verdict.outcome.reason == "no_merge"
    assert verdict.body["failed"] == {"s": "crashed: KeyError: 'merge'"}
    told = "the synthesizer s gave no merged answer: crashed: KeyError: 'merge'"
    assert told in verdict.outcome.message
    said = verdict.outcome.describe()
    assert told in said
    assert said.count('"x"') == 1
    assert "In front" not in said
    assert Tally.from_dict(verdict.body["verdict"]).describe() == said


def test_proposers_that_did_not_ratify_are_told():
    verdict = decided(proposing, unratifying, late, quorum=0.6)
    assert verdict.outcome.reason == "not_ratified"
    said = verdict.outcome.describe()
    assert "Gave no word: e1 asked to ratify: crashed: KeyError: 'merge'; " in said
    assert "e2 asked to ratify: timeout: no answer within 0.2 s" in said
    committed = decided(proposing, proposing, unratifying)
    assert isinstance(committed.outcome, Decision)
    assert "Gave no word: e2 asked to ratify: crashed" in committed.outcome.describe()
    assert Decision.from_dict(committed.body["verdict"]) == committed.outcome


def test_nothing_is_told_where_nobody_failed():
    verdict = decided(proposing)
    assert "failed" not in verdict.body
    assert "failed" not in verdict.outcome.trace
    assert "Gave no word" not in verdict.outcome.describe()


@pytest.mark.parametrize("change", [
    {"s": "another reason"}, {}, None, [], {"e0": "crashed"}, {"s": "x" * 501}, {"s": 1},
])  # fmt: skip
def test_a_reason_that_was_altered_does_not_replay(change):
    verdict = decided(proposing, synthesizer=broken)
    body = copy.deepcopy(verdict.body)
    body["failed"] = change
    with pytest.raises(VerificationError):
        replay(verdict.kind, body)
    del body["failed"]
    with pytest.raises(VerificationError):
        replay(verdict.kind, body)


def test_a_consultation_keeps_the_reasons_and_explain_says_independence_once():
    policy = Policy("escalate", consult=(Expert("c", lambda _: Answer("x", 1)),))
    verdict = decided(proposing, synthesizer=broken, policy=policy)
    assert verdict.body["failed"] == verdict.body["parent"]["failed"]
    shown = [verdict.outcome.describe(), *more(verdict.body)]
    assert sum(line.count("independence is undeclared") for line in shown) == 1
    assert not any("Failing together" in line for line in shown)
    body = copy.deepcopy(verdict.body)
    body["failed"] = body["verdict"]["trace"]["failed"] = {"s": "void: made up"}
    with pytest.raises(VerificationError, match="why, is not what the parent has"):
        replay(verdict.kind, body)


@pytest.mark.parametrize("failed", [{"e9": "crashed"}, {"e0": "crashed"}])
def test_only_who_was_asked_can_have_failed(failed):
    from dataclasses import replace

    from quorate.arbitration.intake import gather

    proposals = [Proposal("e0", "x", 1, 1)]
    intake = replace(gather(proposals), failed=failed)
    with pytest.raises(UsageError, match="was not asked"):
        SynthesisArbiter(synthesizer="s").fold(intake)
    outcome = WeightedQuorumArbiter().fold(intake)
    with pytest.raises(UsageError, match="asks for no merge"):
        body_of(outcome, WeightedQuorumArbiter(), intake)


def test_functions_of_the_arbiter_are_told_likewise():
    proposals = [Proposal("e0", "x", 1, 1), Proposal("e1", "y", 1, 1)]
    failing = SynthesisArbiter(merge=broken, ratify=False)
    with pytest.raises(UnderQuorum, match="no merged answer: crashed: KeyError: 'merge'") as caught:
        failing.arbitrate(proposals)
    body = body_of(caught.value.tally, failing, proposals)
    assert body["failed"] == {"synthesizer": "crashed: KeyError: 'merge'"}
    replay("refusal", body)

    class Odd(Exception):  # noqa: N818 - a foreign one
        def __str__(self):
            raise ValueError

    def ratify(name, _):
        if name == "e0":
            raise Odd
        return 1

    with pytest.raises(UnderQuorum) as caught:
        SynthesisArbiter(merge=lambda _: "z", ratify=ratify).arbitrate(proposals)
    said = caught.value.describe()
    assert "e0 asked to ratify: crashed: an exception that cannot be shown" in said
    assert "e1 asked to ratify: void: it gave a int, no bool" in said
