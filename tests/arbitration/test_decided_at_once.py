"""Folded and written out at once: the same outcome and body as in two steps, from one fold."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rosters import QUORUMS, intake_of, voters

from quorate.arbitration import Arbiter, Merge, WeightedQuorumArbiter
from quorate.arbitration.sealed import body_of, decided, kind_of, replay
from quorate.core.canonical import canonical, digest, parse
from quorate.core.errors import UsageError, UsageTypeError, VerificationError
from quorate.core.exact import as_text

ARBITERS = st.builds(
    Arbiter,
    st.sampled_from(["weighted-quorum", "ranked-runoff", "first-to-quorum", "synthesis"]),
    QUORUMS,
    normalize=st.sampled_from([None, "text", "choice", str.lower, lambda _: 1 / 0]),
)


def plan_for(intake):
    weights = {name: as_text(weight) for name, weight in sorted(intake.roster().items())}
    scores = dict.fromkeys(weights, "0")
    return {"router": "all", "signature": {}, "scores": scores, "weights": weights, "gate": {}}


@settings(deadline=None)
@given(voters(answers="xX", least=1), ARBITERS, st.booleans())
def test_it_is_what_two_steps_give(rows, arbiter, planned):
    intake = intake_of(rows)
    if arbiter.protocol == "synthesis" and intake.proposals:
        ids = sorted(p.expert_id for p in intake.proposals)
        sources = sorted({p.digest for p in intake.proposals})
        intake = replace(intake, merge=Merge("synthesizer", "m", sources, ratified=ids[:1]))
    plan = plan_for(intake) if planned else None
    outcome, body = decided(arbiter, intake, plan=plan)
    assert outcome == arbiter.fold(intake)
    assert canonical(body) == canonical(body_of(outcome, arbiter, intake, plan=plan))
    replay(kind_of(outcome), parse(canonical(body)))


def test_a_parent_is_held_bare_and_computed_again():
    rows = [("a", "x", 1, 1), ("b", "y", 1, 1)]
    weak = intake_of(rows)
    arbiter = WeightedQuorumArbiter()
    parent = body_of(
        arbiter.fold(weak), arbiter, weak, task={"id": "t", "input_digest": digest("?")}
    )
    wider = intake_of([*rows, ("c", "x", 1, 4)], parent=parent)
    outcome, body = decided(arbiter, wider)
    assert "task" not in body["parent"]
    assert canonical(body) == canonical(body_of(outcome, arbiter, wider))
    parent["verdict"]["support"] = 1
    with pytest.raises(VerificationError, match=r"\$\.verdict|\$\.parent"):
        decided(arbiter, wider)


def test_it_folds_once(monkeypatch):
    folds = []
    plain = WeightedQuorumArbiter.folded

    def counting(self, intake):
        folds.append(intake)
        return plain(self, intake)

    monkeypatch.setattr(WeightedQuorumArbiter, "folded", counting)
    intake = intake_of([("a", "x", 1, 1)])
    outcome, body = decided(Arbiter(), intake)
    assert len(folds) == 1
    replay(kind_of(outcome), parse(canonical(body)))
    assert len(folds) == 2


def test_a_function_that_changes_its_mind_is_found_out():
    said = iter(range(100))
    arbiter = WeightedQuorumArbiter(normalize=lambda _: next(said))
    with pytest.raises(UsageError, match="does not follow"):
        decided(arbiter, intake_of([("a", "x", 1, 1), ("b", "x", 1, 1)]))


def test_a_plan_of_another_roster_is_refused():
    intake = intake_of([("a", "x", 1, 1)])
    plan = plan_for(intake)
    plan["weights"]["a"] = "1/2"
    with pytest.raises(UsageError, match="has not the weight 1/2"):
        decided(Arbiter(), intake, plan=plan)


def test_a_rule_of_ones_own_cannot_be_sealed():
    class Own:
        def fold(self, intake):
            return WeightedQuorumArbiter().fold(intake)

    with pytest.raises(UsageTypeError, match="Own"):
        decided(Own(), intake_of([("a", "x", 1, 1)]))
