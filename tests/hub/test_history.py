"""Outcomes are sealed once and checked; errors of experts are counted and correlated."""

import random
import statistics

import pytest
from history_tools import expert, open_ledger, seal, verdict_body
from hypothesis import given, settings
from hypothesis import strategies as st

from quorate.core.canonical import digest
from quorate.core.errors import UsageError, UsageTypeError, VerificationError
from quorate.core.independence import report
from quorate.hub import history as module
from quorate.hub.history import (
    Errors,
    Outcome,
    errors_of,
    independence,
    replay,
    seal_outcome,
    sealed_outcome,
)
from quorate.ledger import replay as replaying
from quorate.ledger.replay import ReplayContext


def test_an_outcome_is_sealed_once():
    with open_ledger() as ledger:
        receipt = seal_outcome(ledger, "t", {"b": [1.0, "x"]})
        assert receipt.kind == "outcome"
        assert receipt.payload == {
            "rule": "outcome/1",
            "task": {"id": "t"},
            "answer": {"b": [1, "x"]},
            "digest": digest({"b": [1, "x"]}),
        }
        assert seal_outcome(ledger, "t", {"b": [1, "x"]}).seq == receipt.seq
        with pytest.raises(UsageError, match=r"'t' is sealed in entry 0 as .* never changes"):
            seal_outcome(ledger, "t", "other")
        assert len(ledger) == 1
        found = sealed_outcome(ledger, "t")
        assert found is not None
        assert found[1] == Outcome("t", {"b": [1, "x"]}, digest({"b": [1, "x"]}))
        assert sealed_outcome(ledger, "u") is None


def test_an_outcome_names_the_input_that_was_decided():
    with open_ledger() as ledger:
        seal(ledger, "t", {"a": 1, "b": 1})
        with pytest.raises(UsageError, match="was on the input"):
            seal_outcome(ledger, "t", 1, input_digest="0" * 64)
        receipt = seal_outcome(ledger, "t", 1)
        assert receipt.payload["task"] == {"id": "t", "input_digest": digest("t")}
        assert seal_outcome(ledger, "t", 1, input_digest=digest("t")).seq == receipt.seq


@pytest.mark.parametrize(
    ("task", "answer", "rest"),
    [
        ("", 1, {}),
        (3, 1, {}),
        ("t", float("nan"), {}),
        ("t", {1: 2}, {}),
        ("t", 1, {"input_digest": "abc"}),
    ],
)
def test_what_is_no_outcome_is_not_sealed(task, answer, rest):
    with open_ledger() as ledger:
        with pytest.raises(UsageError):
            seal_outcome(ledger, task, answer, **rest)
        assert len(ledger) == 0


def test_what_has_the_key_of_an_outcome_and_is_none():
    with open_ledger() as ledger:
        ledger.append("note", {"x": 1}, key="outcome:t")
        with pytest.raises(VerificationError, match="has the key of an outcome") as caught:
            seal_outcome(ledger, "t", 1)
        assert (caught.value.index, caught.value.rule) == (0, "outcome")


GOOD = Outcome("t", 1, digest(1), "0" * 64).to_dict()


def test_replay_takes_what_was_sealed():
    replay("outcome", GOOD, ReplayContext())
    without = {**GOOD, "task": {"id": "t"}}
    replay("outcome", without, ReplayContext())


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ("decision", GOOD),
        ("outcome", {**GOOD, "rule": "outcome/2"}),
        ("outcome", {**GOOD, "answer": 2}),
        ("outcome", {**GOOD, "digest": "0" * 64}),
        ("outcome", {**GOOD, "task": {"id": ""}}),
        ("outcome", {**GOOD, "task": {"id": "t", "input_digest": None}}),
        ("outcome", {**GOOD, "task": {"id": "t", "more": 1}}),
        ("outcome", {**GOOD, "more": 1}),
        ("outcome", {k: v for k, v in GOOD.items() if k != "answer"}),
        ("outcome", [GOOD]),
    ],
)
def test_replay_refuses_what_is_not_sound(kind, body):
    with pytest.raises(VerificationError) as caught:
        replay(kind, body, ReplayContext())
    assert caught.value.rule == "replay"


def test_replay_holds_a_task_to_one_outcome(monkeypatch):
    functions = {**replaying._functions(), "outcome": replay}
    monkeypatch.setattr(replaying, "_functions", lambda: functions)
    with open_ledger() as ledger:
        seal(ledger, "t", {"a": 1, "b": 1})
        seal_outcome(ledger, "t", 1)
        seal_outcome(ledger, "u", 1)
        assert ledger.verify(replay=True).size == 3
        ledger.append("outcome", Outcome("t", 2, digest(2)).to_dict())
        with pytest.raises(VerificationError, match="sealed already, in entry 1") as caught:
            ledger.verify(replay=True)
        assert (caught.value.index, caught.value.rule) == (3, "replay")


# -- errors


def seal_tasks(ledger, rows, *, start=0):
    """Rows of ``{id: was it right}``; wrong answers differ from one another."""
    for n, row in enumerate(rows, start):
        seal(ledger, f"t{n}", {name: "yes" if was else f"no {name}" for name, was in row.items()})
        seal_outcome(ledger, f"t{n}", "yes")


def naive_rho(rows, least):
    """Pearson's correlation by the standard library, pair by pair."""
    names = sorted({name for row in rows for name in row})
    found = []
    for place, one in enumerate(names):
        for other in names[:place]:
            shared = [(row[one], row[other]) for row in rows if one in row and other in row]
            columns = [[int(not was) for was in column] for column in zip(*shared, strict=True)]
            if len(shared) >= least and all(len(set(column)) == 2 for column in columns):
                found.append(statistics.correlation(*columns))
    return statistics.mean(found) if found else None


@settings(max_examples=40)
@given(
    st.lists(
        st.dictionaries(st.sampled_from("abcd"), st.booleans(), min_size=1), min_size=1, max_size=30
    ),
    st.integers(2, 6),
)
def test_rho_is_what_the_naive_twin_says(rows, least):
    table = module._Table()
    for row in rows:
        table.add(row)
    together, wrong, both = table.finish()
    errors = Errors(tuple(table.ids), len(rows), len(rows), together, wrong, both)
    rho, naive = errors.mean_correlation(least=least), naive_rho(rows, least)
    assert (rho is None) == (naive is None) == (errors.why(least=least) is not None)
    if rho is not None:
        assert abs(float(rho) - min(1, max(0, naive))) < 1e-6
        assert 10**6 % rho.denominator == 0


@settings(max_examples=40)
@given(
    st.lists(st.dictionaries(st.sampled_from("abcd"), st.booleans(), min_size=1), max_size=12),
    st.randoms(use_true_random=False),
)
def test_blocks_and_order_change_nothing(rows, draw):
    def counted(rows, block):
        table = module._Table()
        for index, row in enumerate(rows, 1):
            table.add(row)
            if index % block == 0:
                table._sum_up()
        return [part.tolist() for part in table.finish()], table.ids

    shuffled = draw.sample(rows, len(rows))
    assert counted(rows, 100) == counted(shuffled, 1) == counted(shuffled, 3)


def test_copies_err_together_and_strangers_do_not(monkeypatch):
    monkeypatch.setattr(module, "_BLOCK", 16)
    draw = random.Random(5)
    with open_ledger() as ledger:
        rows = []
        for _ in range(150):
            same, own = draw.random() < 0.7, draw.random() < 0.7
            rows.append({"copy-1": same, "copy-2": same, "own": own})
        seal_tasks(ledger, rows)
        errors = errors_of(ledger)
        assert errors.verdicts == errors.outcomes == 150
        assert errors.correlation("copy-1", "copy-2") == pytest.approx(1)
        assert abs(errors.correlation("copy-1", "own")) < 0.25
        assert independence(ledger, [expert("copy-1"), expert("copy-2")]).correlation == 1
        rho = independence(ledger).correlation
        assert abs(float(rho) - naive_rho(rows, 30)) < 1e-6
        told = report(
            ["copy-1", "copy-2"], independence(ledger, [expert("copy-1"), expert("copy-2")])
        )
        assert told["effective_voters"] == "1"


def test_errors_that_avoid_each_other_are_clamped_to_zero():
    rows = [{"a": bool(n % 2), "b": not n % 2} for n in range(30)]
    with open_ledger() as ledger:
        seal_tasks(ledger, rows)
        errors = errors_of(ledger)
        assert errors.correlation("a", "b") == pytest.approx(-1)
        assert errors.mean_correlation() == 0


def test_with_too_little_known_there_is_no_rho_and_a_reason():
    rows = [{"a": bool(n % 2), "b": bool(n % 3), "c": True} for n in range(29)]
    with open_ledger() as ledger:
        seal_tasks(ledger, rows)
        errors = errors_of(ledger)
        assert errors.mean_correlation() is None
        assert errors.why() == "the outcomes of 29 tasks are known, at least 30 are needed"
        assert independence(ledger).correlation is None
        assert independence(ledger).outcomes == 29
        seal_tasks(ledger, [{"a": False, "b": True, "c": True}], start=29)
        assert errors_of(ledger).mean_correlation() is not None
        assert errors_of(ledger).why() is None
        only = errors_of(ledger, ids=["a"])
        assert only.why() == "1 experts answered tasks with a known outcome; it takes two"
        flat = errors_of(ledger, ids=["a", "c"])
        assert flat.why() == "of every two experts, one was always right or always wrong"
    with open_ledger() as ledger:
        seal_tasks(ledger, [{"ab"[n % 2]: bool(n % 3)} for n in range(40)])
        told = "no two experts answered 30 of the same tasks with a known outcome"
        assert errors_of(ledger).why() == told
        with pytest.raises(UsageError, match="no outcome is known of a task that 'z' answered"):
            errors_of(ledger).correlation("a", "z")


def test_outcomes_may_be_given_and_receipts_too():
    with open_ledger() as ledger:
        for n in range(40):
            truth = n % 3
            seal(ledger, f"t{n}", {"a": n % 3, "b": n % 2, "c": n % 5}, keyed=False)
            assert truth < 3
        given_ = {f"t{n}": n % 3 for n in range(40)}
        by_ledger = errors_of(ledger, given_)
        by_receipts = errors_of(list(ledger), given_)
        assert by_ledger.outcomes == 40
        assert by_ledger.ids == by_receipts.ids == ("a", "b", "c")
        assert by_ledger.wrong.tolist() == by_receipts.wrong.tolist()
        assert errors_of(iter(list(ledger))).outcomes == 0
        seal_outcome(ledger, "t1", 1)
        assert errors_of(ledger, given_).outcomes == 40
        assert errors_of(list(ledger)).outcomes == 1
        with pytest.raises(UsageError, match=r"'t1' is given as .* but sealed as"):
            errors_of(ledger, {"t1": 2})


def test_an_outcome_that_cannot_be_compared_is_none():
    with open_ledger() as ledger:
        for task, answer in (("t", {"no": "number"}), ("u", 1)):
            kind, body = verdict_body(task, {"a": 1, "b": 1})
            body["parameters"]["normalize"] = "number"
            ledger.append(kind, body, key=f"task:{task}")
            seal_outcome(ledger, task, answer)
        assert errors_of(ledger).outcomes == 1


def test_a_normaliser_of_the_callers_own_is_taken_from_the_record():
    with open_ledger() as ledger:
        for task, answer in (("t", 1), ("u", 3)):
            kind, body = verdict_body(task, {"a": 1, "b": 2, "c": "x"})
            body["parameters"]["normalize"] = "custom"
            body["normal"] = {digest(1): "0" * 64, digest(2): "0" * 64, digest("x"): None}
            ledger.append(kind, body, key=f"task:{task}")
            seal_outcome(ledger, task, answer)
        errors = errors_of(ledger)
        assert errors.outcomes == 1
        assert [int(errors.wrong[i, i]) for i in range(3)] == [0, 0, 1]


def test_what_experts_declare_is_taken_along():
    experts = [
        expert("a", failure_domain={"host": "h1", "vendor": "v"}),
        expert("b", failure_domain={"host": "h1"}),
        expert("c"),
    ]
    with open_ledger() as ledger:
        found = independence(ledger, experts)
    assert found.domains == {"a": {"host": "h1", "vendor": "v"}, "b": {"host": "h1"}}
    assert (found.correlation, found.outcomes) == (None, 0)


@pytest.mark.parametrize(
    ("call", "error"),
    [
        (lambda: independence([], least=1), UsageError),
        (lambda: independence([], least=2.0), UsageTypeError),
        (lambda: errors_of(5), UsageTypeError),
        (lambda: errors_of(["x"]), UsageTypeError),
        (lambda: errors_of([], [("t", 1)]), UsageTypeError),
    ],
)
def test_what_cannot_be_read(call, error):
    with pytest.raises(error):
        call()


def test_progress_is_told():
    with open_ledger() as ledger:
        seal_tasks(ledger, [{"a": True}] * 3)
        told = []
        errors_of(ledger, progress=lambda done, total: told.append((done, total)))
        assert told[-1] == (6, 6)
