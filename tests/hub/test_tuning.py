"""Tuning: the sealed history folded again at other quorums, against folding it all by hand."""

from dataclasses import replace
from fractions import Fraction

import pytest
from history_tools import open_ledger, proposals_of, seal, verdict_body
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from quorate.arbitration import (
    Absence,
    Arbiter,
    Decision,
    FallbackArbiter,
    FirstToQuorumArbiter,
    Merge,
    Pending,
    Proposal,
    SynthesisArbiter,
    gather,
)
from quorate.arbitration.sealed import replay
from quorate.core import limits
from quorate.core.canonical import digest
from quorate.core.errors import UsageError, UsageTypeError, VerificationError
from quorate.core.exact import as_text
from quorate.hub import tuning as module
from quorate.hub.history import seal_outcome
from quorate.hub.tuning import tune

GRID = [Fraction(34 + 2 * n, 100) for n in range(34)]


def body_by_hand(arbiter, intake, task_id="t", **rest):
    """A sealed body of any shape: what was taken in, and what came of it."""
    outcome = arbiter.fold(intake)
    body = {
        "rule": arbiter.rule,
        "parameters": arbiter.parameters,
        "roster": {name: as_text(weight) for name, weight in intake.roster().items()},
        "proposals": [one.to_dict() for one in intake.proposals],
        "absences": [one.to_dict() for one in intake.absences],
        "verdict": outcome.to_dict(),
        **rest,
    }
    if intake.pending:
        body["pending"] = [one.to_dict() for one in intake.pending]
    if intake.merge is not None:
        body["merge"] = intake.merge.to_dict()
    if task_id is not None:
        body["task"] = {"id": task_id, "input_digest": digest(task_id)}
    kind = "decision" if isinstance(outcome, Decision) else "refusal"
    replay(kind, body)
    return kind, body


def row_at(tuning, quorum):
    return next(row for row in tuning.rows if row.quorum == quorum)


def shape(row):
    return row.right, row.wrong, row.refused, row.open


ANSWERS = st.dictionaries(
    st.sampled_from("abcd"),
    st.tuples(
        st.sampled_from(["yes", "YES ", "no", "maybe"]),
        st.sampled_from([0, 0.3, 0.5, 1]),
        st.sampled_from([0, 1, 1, 2, Fraction(1, 3)]),
    ),
    max_size=4,
)
PANELS = st.sampled_from(
    [
        ("weighted-quorum", {}),
        ("weighted-quorum", {"normalize": "text"}),
        ("ranked-runoff", {}),
        ("first-to-quorum", {"normalize": "text"}),
    ]
)


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.lists(
        st.tuples(ANSWERS, PANELS, st.sampled_from([0.34, 0.5, 0.66, 1]), st.booleans()),
        max_size=5,
    ),
    st.sampled_from([None, "ranked-runoff", "weighted-quorum"]),
)
def test_each_row_is_what_folding_everything_by_hand_gives(tasks, protocol):
    sealed, truths = [], {}
    with open_ledger() as ledger:
        for n, (answers, (name, options), quorum, known) in enumerate(tasks):
            absent = [Absence("x", 1, "crashed")] if n % 2 else []
            intake = gather(proposals_of(answers), absent)
            arbiter = Arbiter(name, quorum, **options)
            kind, body = body_by_hand(arbiter, intake, f"t{n}")
            ledger.append(kind, body)
            sealed.append((intake, name, options, known, f"t{n}"))
            if known:
                truths[f"t{n}"] = "yes"
        tuning = tune(ledger, truths, protocols=None if protocol is None else [protocol])
    assert (tuning.verdicts, tuning.known) == (len(tasks), len(truths))
    assert {row.quorum for row in tuning.rows} >= set(GRID)
    for row in tuning.rows:
        count = {"right": 0, "wrong": 0, "refused": 0, "committed": 0}
        for intake, name, options, known, _ in sealed:
            chosen = name if protocol is None else protocol
            outcome = Arbiter(chosen, row.quorum, **options).fold(intake)
            committed = isinstance(outcome, Decision)
            count["committed"] += committed
            if not known:
                continue
            if not committed:
                count["refused"] += 1
                continue
            said = outcome.consensus
            good = said == "yes" or ("normalize" in options and said == "YES ")
            count["right" if good else "wrong"] += 1
        assert {name: getattr(row, name) for name in count} == count, row.quorum
        assert row.open == 0
        assert row.coverage == (Fraction(row.committed, len(tasks)) if tasks else 0)


def test_rows_stand_where_anything_changes():
    with open_ledger() as ledger:
        seal(ledger, "t1", {"a": "yes", "b": "yes", "c": "no"})
        seal(ledger, "t2", {"a": "no", "b": "no", "c": "no", "d": "yes", "e": "no", "f": "no"})
        for task in ("t1", "t2"):
            seal_outcome(ledger, task, "yes")
        tuning = tune(ledger)
        quorums = [row.quorum for row in tuning.rows]
        assert quorums == sorted({*GRID, Fraction(2, 3), Fraction(5, 6)})
        assert shape(row_at(tuning, Fraction(2, 3))) == (1, 1, 0, 0)
        assert shape(row_at(tuning, Fraction(68, 100))) == (0, 1, 1, 0)
        assert shape(row_at(tuning, Fraction(5, 6))) == (0, 1, 1, 0)
        assert shape(row_at(tuning, Fraction(84, 100))) == (0, 0, 2, 0)
        just_above = Fraction(2, 3) + Fraction(1, 10**9)
        rows = tune(ledger, quorums=[just_above, Fraction(2, 3), 0.1]).rows
        assert [shape(row) for row in rows] == [(1, 1, 0, 0), (1, 1, 0, 0), (0, 1, 1, 0)]


def test_the_recommendation_is_the_least_quorum_with_few_enough_wrong():
    with open_ledger() as ledger:
        for task, wrong in (("t1", 3), ("t2", 4), ("t3", 0)):
            panel = {f"e{n}": "no" if n < wrong else "yes" for n in range(5)}
            seal(ledger, task, panel, quorum=0.9)
            seal_outcome(ledger, task, "yes")
        tuning = tune(ledger)
        assert [tuning.recommend(n).quorum for n in (0, 1, 2)] == [
            Fraction(82, 100),
            Fraction(62, 100),
            Fraction(34, 100),
        ]
        assert tuning.recommend().wrong == 0
        asked = tune(ledger, quorums=[0.5, 0.7, 0.75])
        assert asked.recommend(1).quorum == Fraction(7, 10)
        assert asked.recommend() is None


def test_without_a_known_outcome_nothing_is_recommended():
    with open_ledger() as ledger:
        seal(ledger, "t1", {"a": "yes"})
        tuning = tune(ledger)
        assert shape(tuning.rows[0]) == (0, 0, 0, 0)
        assert (tuning.rows[0].committed, tuning.rows[0].coverage) == (1, 1)
        with pytest.raises(UsageError, match="no outcome of these verdicts is known"):
            tuning.recommend()
        known = tune(ledger, {"t1": "yes"})
        for value in (-1, True, 1.0):
            with pytest.raises(UsageError, match="max_wrong"):
                known.recommend(value)


def test_an_empty_history():
    tuning = tune([])
    assert tuning.verdicts == 0
    assert [row.quorum for row in tuning.rows] == GRID
    assert tuning.rows[0].coverage == 0


def test_answers_are_compared_by_the_normaliser_they_were_folded_with():
    with open_ledger() as ledger:
        for task, options, truth in (
            ("t1", {"normalize": "number"}, 1000),
            ("t2", {}, 1000),
            ("t3", {"normalize": "number"}, "many"),
        ):
            arbiter = Arbiter(quorum=0.5, **options)
            intake = gather(proposals_of({"a": "1,000", "b": "1000.0"}))
            ledger.append(*body_by_hand(arbiter, intake, task))
            seal_outcome(ledger, task, truth)
        tuning = tune(ledger, quorums=[0.5])
        assert shape(tuning.rows[0]) == (1, 1, 0, 0)
        assert (tuning.verdicts, tuning.known, tuning.not_comparable) == (3, 2, 1)


def test_a_normaliser_of_the_callers_own_is_taken_from_the_record():
    arbiter = Arbiter(quorum=0.5, normalize=lambda payload: payload["n"])
    payloads = {"a": {"n": 1, "x": 1}, "b": {"n": 1}, "c": {"n": 2}, "d": "odd"}
    intake = gather(proposals_of(payloads))
    normal = {digest(p): digest(p["n"]) if p != "odd" else None for p in payloads.values()}
    with open_ledger() as ledger:
        ledger.append(*body_by_hand(arbiter, intake, "t", normal=normal))
        tuning = tune(ledger, {"t": {"n": 1}})
        assert shape(row_at(tuning, Fraction(1, 2))) == (1, 0, 0, 0)
        assert shape(row_at(tuning, Fraction(52, 100))) == (0, 0, 1, 0)
        assert tune(ledger, {"t": {"n": 1, "y": 3}}).not_comparable == 1


def early_body(quorum, answers, pending, **options):
    intake = gather(proposals_of(answers), pending=[Pending(name, 1) for name in pending])
    return body_by_hand(FirstToQuorumArbiter(quorum, **options), intake)


def test_what_was_cut_off_is_open_above_the_threshold():
    with open_ledger() as ledger:
        kind, body = early_body(0.5, {"a": "yes", "b": "yes", "c": "yes"}, "d")
        assert kind == "decision"
        ledger.append(kind, body)
        tuning = tune(ledger, {"t": "yes"})
        assert shape(row_at(tuning, Fraction(3, 4))) == (1, 0, 0, 0)
        assert shape(row_at(tuning, Fraction(76, 100))) == (0, 0, 0, 1)
        assert shape(row_at(tuning, Fraction(1))) == (0, 0, 0, 1)
        wrong = tune(ledger, {"t": "no"})
        # Nobody knows what more answers would have come to: it is not called safe.
        assert wrong.recommend() is None
        under = tune(ledger, {"t": "yes"}, protocols=["weighted-quorum"])
        assert all(shape(row) == (0, 0, 0, 1) for row in under.rows)


def test_a_refusal_that_was_certain_stays_one_at_every_higher_quorum():
    with open_ledger() as ledger:
        kind, body = early_body(0.8, {"a": "yes", "b": "yes", "c": "no"}, "d")
        assert kind == "refusal"
        ledger.append(kind, body)
        tuning = tune(ledger, {"t": "yes"})
        assert shape(row_at(tuning, Fraction(34, 100))) == (0, 0, 0, 1)
        assert shape(row_at(tuning, Fraction(78, 100))) == (0, 0, 0, 1)
        assert shape(row_at(tuning, Fraction(8, 10))) == (0, 0, 1, 0)
        # Nothing commits there, which is nothing to recommend.
        assert tuning.recommend() is None


def test_a_fallback_decides_where_the_quorum_does_not():
    proposals = proposals_of({"a": "yes", "b": "yes", "c": "no"})
    weak = Arbiter(quorum=0.9)
    _, parent = body_by_hand(weak, gather(proposals), None)
    intake = replace(gather(proposals), parent=parent)
    with open_ledger() as ledger:
        kind, body = body_by_hand(FallbackArbiter("c", 0.9), intake, parent=parent)
        assert kind == "decision"
        ledger.append(kind, body)
        tuning = tune(ledger, {"t": "yes"})
        assert shape(row_at(tuning, Fraction(2, 3))) == (1, 0, 0, 0)
        assert shape(row_at(tuning, Fraction(68, 100))) == (0, 1, 0, 0)
        assert tuning.recommend().quorum == Fraction(34, 100)


def test_a_wider_try_is_reached_only_where_the_first_is_refused():
    first = proposals_of({"a": "no", "b": "no", "c": "yes"})
    more = proposals_of({"d": "yes", "e": "yes", "f": "yes", "g": "yes", "h": "yes", "i": "yes"})
    weak = Arbiter(quorum=0.7)
    _, parent = body_by_hand(weak, gather(first), None)
    intake = replace(gather([*first, *more]), parent=parent)
    with open_ledger() as ledger:
        ledger.append(*body_by_hand(weak, intake, parent=parent))
        tuning = tune(ledger, {"t": "yes"})
        assert shape(row_at(tuning, Fraction(2, 3))) == (0, 1, 0, 0)
        assert shape(row_at(tuning, Fraction(7, 9))) == (1, 0, 0, 0)
        assert shape(row_at(tuning, Fraction(78, 100))) == (0, 0, 1, 0)


@pytest.mark.parametrize("ratify", [None, False])
def test_a_synthesis_is_folded_with_its_merge(ratify):
    proposals = proposals_of({"a": "x", "b": "y", "c": "z"})
    merge = Merge("m", "xyz", [p.digest for p in proposals], 0, ["a", "b"], ["c"])
    if ratify is False:
        merge = Merge("m", "xyz", [p.digest for p in proposals])
    arbiter = SynthesisArbiter(0.5, synthesizer="m", ratify=ratify)
    with open_ledger() as ledger:
        ledger.append(*body_by_hand(arbiter, replace(gather(proposals), merge=merge)))
        tuning = tune(ledger, {"t": "xyz"})
        assert shape(row_at(tuning, Fraction(34, 100))) == (1, 0, 0, 0)
        above = (1, 0, 0, 0) if ratify is False else (0, 0, 1, 0)
        assert shape(row_at(tuning, Fraction(68, 100))) == above


def test_a_sealed_verdict_that_its_own_proposals_do_not_give():
    with open_ledger() as ledger:
        seal(ledger, "t0", {"a": "yes"})
        kind, body = verdict_body("t", {"a": "yes", "b": "no", "c": "no"}, quorum=0.6)
        assert kind == "decision"
        body["parameters"]["quorum"] = "9/10"
        ledger.append(kind, body)
        with pytest.raises(VerificationError, match="not what its own proposals give") as caught:
            tune(ledger)
        assert (caught.value.index, caught.value.rule) == (1, "replay")


@pytest.mark.parametrize(
    "change",
    [
        {"rule": "other/1"},
        {"rule": None},
        {"parameters": {"quorum": "2"}},
        {"parameters": {"quorum": "1/2", "more": 1}},
        {"parameters": {}},
        {"proposals": [{"expert_id": "a", "payload": 1}]},
        {"absences": None},
        {"parent": 5},
        {"parent": []},
        {"verdict": {"status": "committed"}},
    ],
)
def test_what_cannot_be_folded_is_passed_over_and_counted(change):
    with open_ledger() as ledger:
        kind, body = verdict_body("t", {"a": "yes"})
        ledger.append(kind, {**body, **change})
        ledger.append("decision", 5)
        seal(ledger, "u", {"a": "yes"})
        tuning = tune(ledger)
        assert (tuning.verdicts, tuning.passed) == (1, 2)


def test_other_protocols_side_by_side():
    ranked = [
        Proposal("a", "x", 1, 2, ranking=["x", "y"]),
        Proposal("b", "y", 1, 2, ranking=["y", "x"]),
        Proposal("c", "z", 1, 1, ranking=["z", "y"]),
    ]
    with open_ledger() as ledger:
        ledger.append(*body_by_hand(Arbiter(quorum=0.5), gather(ranked)))
        names = ["weighted-quorum", "ranked-runoff", "first-to-quorum"]
        tuning = tune(ledger, {"t": "y"}, [0.4, 0.6], names)
        assert [(row.protocol, shape(row)) for row in tuning.rows] == [
            ("weighted-quorum", (0, 1, 0, 0)),
            ("weighted-quorum", (0, 0, 1, 0)),
            ("ranked-runoff", (1, 0, 0, 0)),
            ("ranked-runoff", (1, 0, 0, 0)),
            ("first-to-quorum", (0, 1, 0, 0)),
            ("first-to-quorum", (0, 0, 1, 0)),
        ]
        assert tuning.recommend(protocol="ranked-runoff").quorum == Fraction(4, 10)
        with pytest.raises(UsageError, match="name the protocol, one of: weighted-quorum, ranked"):
            tuning.recommend()
        with pytest.raises(UsageError, match="'synthesis' was not folded"):
            tuning.recommend(protocol="synthesis")


def test_many_thresholds_are_thinned_in_the_table_and_not_in_the_recommendation(monkeypatch):
    with open_ledger() as ledger:
        truths = {}
        for n in range(40):
            answer = "no" if n in (7, 23) else "yes"
            seal(ledger, f"t{n}", {"a": (answer, 1, 150 + n), "b": ("b", 1, 100)})
            truths[f"t{n}"] = "yes"
        whole = tune(ledger, truths)
        assert len(whole.rows) > 50
        monkeypatch.setattr(limits, "MAX_TUNING_ROWS", 36)
        few = tune(ledger, truths)
        assert len(few.rows) == len(GRID) + 2
        monkeypatch.setattr(limits, "MAX_TUNING_ROWS", 35)
        fewer = tune(ledger, truths)
        assert [row.quorum for row in fewer.rows] == GRID
        for wrong in range(4):
            assert fewer.recommend(wrong) == whole.recommend(wrong)
        by_quorum = {row.quorum: row for row in whole.rows}
        assert all(by_quorum[row.quorum] == row for row in (*few.rows, *fewer.rows))


def test_a_threshold_of_too_many_digits_is_rounded_down():
    digits = 10**limits.MAX_NUMBER_DIGITS
    assert module._short(Fraction(2, 3)) == Fraction(2, 3)
    long = Fraction(2 * digits // 3 + 1, digits * 10 + 1)
    assert 0 < long - module._short(long) < Fraction(1, digits // 100)


def test_the_table_as_json_and_progress():
    with open_ledger() as ledger:
        seal(ledger, "t", {"a": "yes", "b": "no"}, quorum=0.5)
        ledger.append("other", 1)
        seal_outcome(ledger, "t", "no")
        told = []
        tuning = tune(ledger, quorums=[0.5], progress=lambda d, t: told.append((d, t)))
        assert told[-1] == (3, 3)
        assert tuning.to_dict() == {
            "verdicts": 1,
            "known": 1,
            "not_comparable": 0,
            "passed": 0,
            "rows": [
                {
                    "quorum": "1/2",
                    "protocol": "as sealed",
                    "right": 0,
                    "wrong": 1,
                    "refused": 0,
                    "open": 0,
                    "committed": 1,
                    "coverage": "1",
                }
            ],
        }
        assert tune(list(ledger), quorums=[0.5]).to_dict() == tuning.to_dict()


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ({"quorums": []}, UsageError),
        ({"quorums": [0]}, UsageError),
        ({"quorums": [1.01]}, UsageError),
        ({"quorums": "0.5"}, UsageTypeError),
        ({"quorums": 0.5}, UsageTypeError),
        ({"quorums": [f"{n}" for n in range(2)]}, UsageTypeError),
        (
            {"quorums": [Fraction(1, n + 1) for n in range(limits.MAX_TUNING_ROWS + 1)]},
            UsageError,
        ),
        ({"protocols": []}, UsageError),
        ({"protocols": "ranked-runoff"}, UsageTypeError),
        ({"protocols": ["synthesis"]}, UsageError),
        ({"protocols": ["fallback"]}, UsageError),
        ({"outcomes": [1]}, UsageTypeError),
    ],
)
def test_what_cannot_be_asked(arguments, error):
    with pytest.raises(error):
        tune([], **arguments)
    bound = [Fraction(1, n + 1) for n in range(limits.MAX_TUNING_ROWS)]
    assert len(tune([], quorums=bound).rows) == limits.MAX_TUNING_ROWS
