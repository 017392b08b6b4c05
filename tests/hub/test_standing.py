"""Standing: counted from sealed entries alone, kept across restarts, lost without loss."""

import sqlite3
import threading
from fractions import Fraction

import orjson
import pytest
from history_tools import KEY, open_ledger, plan_of, seal, verdict_body
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from quorate.arbitration import Arbiter, Proposal
from quorate.arbitration.sealed import body_of
from quorate.core.errors import StoreError, UsageError, VerificationError
from quorate.hub import standing as module
from quorate.hub.outcomes import seal_outcome
from quorate.hub.routers import make_router
from quorate.hub.signature import TaskSignature
from quorate.hub.standing import Counts, Standing
from quorate.ledger import Ledger

EASY, HARD = TaskSignature(tags=("easy",)), TaskSignature(tags=("hard",))


def fill(ledger, start=0, count=12):
    """Seal tasks of two kinds: a is right on easy ones, b on hard ones, c always, d is absent."""
    for n in range(start, start + count):
        signature = (EASY, HARD)[n % 2]
        truth = f"answer {n}"
        answers = {"a": truth, "b": "no", "c": truth}
        if n % 2:
            answers |= {"a": "no", "b": truth}
        seal(
            ledger,
            f"t{n}",
            answers,
            {"d": "timeout"},
            quorum=0.5,
            plan=plan_of("abcd", signature),
        )
        if n % 3:
            seal_outcome(ledger, f"t{n}", truth)
        ledger.append("other", {"n": n})


def test_what_is_counted():
    with open_ledger() as ledger:
        seal(ledger, "t1", {"a": 1, "b": 1, "c": 2}, {"d": "crashed", "e": "recused"}, quorum=0.3)
        seal(ledger, "t2", {"a": 1, "b": 2}, {"d": "void"})
        standing = Standing(ledger)
        assert standing.counts("a") == Counts(engaged=2, agreed=1)
        assert standing.counts("b") == Counts(engaged=2, agreed=1)
        assert standing.counts("c") == Counts(engaged=1, dissented=1)
        assert standing.counts("d") == Counts(absent=2)
        assert standing.counts("e") == Counts() == standing.counts("nobody")
        assert standing.ids == ("a", "b", "c", "d")
        seal_outcome(ledger, "t1", 2)
        seal_outcome(ledger, "t2", 1)
        assert standing.seq == 2
        assert standing.catch_up() == 2
        assert standing.catch_up() == 0
        assert standing.counts("a") == Counts(engaged=2, agreed=1, right=1, wrong=1)
        assert standing.counts("b") == Counts(engaged=2, agreed=1, wrong=2)
        assert standing.counts("c") == Counts(engaged=1, dissented=1, right=1)
        assert standing.counts("d") == Counts(absent=2)
        assert standing.waiting == standing.passed == 0


def test_an_equivocator_is_absent():
    arbiter = Arbiter(quorum=0.5)
    proposals = [Proposal(name, payload, 1, 1) for name, payload in ("a1", "b1", "c1", "c2")]
    body = body_of(arbiter.arbitrate(proposals), arbiter, proposals)
    with open_ledger() as ledger:
        ledger.append("decision", body)
        standing = Standing(ledger)
        assert standing.counts("c") == Counts(absent=1)
        assert standing.counts("a") == Counts(engaged=1, agreed=1)


@pytest.mark.parametrize(
    ("counts", "rate"),
    [
        (Counts(), Fraction(1, 2)),
        (Counts(engaged=8, agreed=6, dissented=2), Fraction(7, 10)),
        (Counts(engaged=8, agreed=6, dissented=2, right=1), Fraction(2, 3)),
        (Counts(engaged=8, agreed=8, wrong=8), Fraction(1, 10)),
        (Counts(absent=9), Fraction(1, 2) * Fraction(1, 10)),
        (Counts(engaged=9, agreed=9, absent=10), Fraction(10, 11) * Fraction(1, 2)),
    ],
)
def test_the_success_rate(counts, rate):
    assert counts.success_rate == rate


@given(st.lists(st.integers(0, 10**6), min_size=6, max_size=6), st.integers(0, 5))
def test_more_success_is_a_better_rate(numbers, place):
    counts = Counts(*numbers)
    more = Counts(*(n + (i == place) for i, n in enumerate(numbers)))
    assert 0 < counts.success_rate < 1
    known = counts.right + counts.wrong
    if place == (4 if known else 1):
        assert more.success_rate > counts.success_rate
    if place == 3:
        assert more.success_rate < counts.success_rate


def test_a_refusal_says_nothing_about_agreement():
    with open_ledger() as ledger:
        seal(ledger, "t", {"a": 1, "b": 2})
        standing = Standing(ledger)
        assert standing.counts("a") == Counts(engaged=1)
        assert standing.success_rate("a") == Fraction(1, 2)


def test_what_no_quorum_decided_says_nothing_about_agreement():
    with open_ledger() as ledger:
        kind, body = verdict_body("t", {"a": 1, "b": 1, "c": 2})
        body["verdict"]["by_quorum"] = False
        ledger.append(kind, body)
        assert Standing(ledger).counts("c") == Counts(engaged=1)


def test_answers_are_compared_as_the_verdict_compares_them():
    with open_ledger() as ledger:
        kind, body = verdict_body("t", {"a": "Paris", "b": " paris ", "c": "Rome"})
        body["parameters"]["normalize"] = "text"
        ledger.append(kind, body, key="task:t")
        seal_outcome(ledger, "t", "PARIS")
        standing = Standing(ledger)
        assert [standing.counts(name).right for name in "abc"] == [1, 1, 0]
        assert standing.counts("c").wrong == 1


def test_an_answer_that_cannot_be_compared_counts_for_nothing():
    with open_ledger() as ledger:
        kind, body = verdict_body("t", {"a": 1, "b": 1})
        body["parameters"]["normalize"] = "number"
        ledger.append(kind, body, key="task:t")
        seal_outcome(ledger, "t", {"not": "a number"})
        standing = Standing(ledger)
        assert standing.counts("a") == Counts(engaged=1, agreed=1)
        assert standing.passed == 1


def test_an_outcome_before_its_verdict_waits_for_it():
    with open_ledger() as ledger:
        seal_outcome(ledger, "t", 1)
        standing = Standing(ledger)
        assert standing.waiting == 1
        seal(ledger, "t", {"a": 1, "b": 2})
        standing.catch_up()
        assert standing.waiting == 0
        assert standing.counts("a").right == 1
        assert standing.counts("b").wrong == 1
        assert Standing(ledger).to_dict() == standing.to_dict()


def test_a_verdict_without_its_key_is_counted_but_not_judged():
    with open_ledger() as ledger:
        seal(ledger, "t", {"a": 1, "b": 1}, keyed=False)
        seal_outcome(ledger, "t", 1)
        seal(ledger, "t", {"a": 1, "b": 1}, keyed=False)
        standing = Standing(ledger)
        assert standing.counts("a") == Counts(engaged=2, agreed=2)
        assert standing.waiting == 1


def test_an_outcome_on_another_input_is_of_another_task():
    with open_ledger() as ledger:
        seal_outcome(ledger, "t", 1, input_digest="0" * 64)
        seal(ledger, "t", {"a": 1, "b": 1})
        standing = Standing(ledger)
        assert standing.counts("a").right == 0
        assert standing.passed == 1


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ("decision", {"not": "a verdict"}),
        ("refusal", [1, 2]),
        ("decision", None),
        ("outcome", {"rule": "outcome/1"}),
        ("outcome", 5),
    ],
)
def test_what_is_no_verdict_is_passed_over(kind, body):
    with open_ledger() as ledger:
        ledger.append(kind, body)
        seal(ledger, "t", {"a": 1, "b": 1})
        standing = Standing(ledger)
        assert standing.passed == 1
        assert standing.counts("a").engaged == 1


def test_an_outcome_beside_the_one_under_its_key_counts_for_nothing():
    with open_ledger() as ledger:
        seal(ledger, "t", {"a": 1, "b": 1})
        receipt = seal_outcome(ledger, "t", 1)
        ledger.append("outcome", receipt.payload)
        ledger.append("outcome", {"x": 1}, key="outcome:u")
        standing = Standing(ledger)
        assert standing.counts("a").right == 1
        assert standing.passed == 2


ROUTED = ["affinity", "learned-softmax", "round-robin"]


@pytest.mark.parametrize("name", ROUTED)
def test_a_restart_goes_on_where_it_was(tmp_path, name, monkeypatch):
    path = tmp_path / "ledger.db"
    with open_ledger(path) as ledger:
        fill(ledger)
        first = Standing(ledger, router=make_router(name))
        first.keep()
        fill(ledger, 12)
    read = []
    monkeypatch.setattr(
        module,
        "verdict_entries",
        lambda ledger, *kinds, start: read.append(start) or real(ledger, *kinds, start=start),
    )
    with open_ledger(path) as ledger:
        again = Standing(ledger, router=make_router(name))
        assert read == [first.seq]
        assert again.seq == len(ledger)
        whole = Standing(open_copy(ledger, tmp_path), router=make_router(name))
    assert read[-1] == 0
    assert again.to_dict() == whole.to_dict()
    assert again.router.to_dict() == whole.router.to_dict()
    assert again.counts("d").absent == 24


real = module.verdict_entries


def open_copy(ledger, tmp_path):
    """The same entries in a database that has no table beside them."""
    target = sqlite3.connect(tmp_path / "copy.db")
    source = sqlite3.connect(ledger.store.path)
    source.backup(target)
    target.execute("DROP TABLE IF EXISTS derived")
    target.commit()
    target.close()
    source.close()
    return Ledger.open(f"sqlite:///{tmp_path}/copy.db")


def changed(old, new):
    return lambda state: state.replace(old, new)


DAMAGE = {
    "deleted": None,
    "no JSON": lambda state: b"\xff\x00",
    "null": lambda state: b"null",
    "cut": lambda state: state[:-10],
    "other version": changed(b'"version":1', b'"version":2'),
    "other log": changed(b'"head":"', b'"head":"0'),
    "ahead": changed(b'"seq":', b'"seq":9'),
    "too many counts": changed(b'"a":[', b'"a":[1,'),
    "negative": changed(b'"a":[', b'"a":[-'),
    "other router": changed(b"learned-softmax", b"affinity"),
    "no router": changed(b'"router":{', b'"router":null,"more":{'),
}


@pytest.mark.parametrize("damage", [*DAMAGE.values(), "drop"], ids=[*DAMAGE, "dropped"])
def test_losing_what_is_kept_loses_nothing(tmp_path, damage):
    path = tmp_path / "ledger.db"
    with open_ledger(path) as ledger:
        fill(ledger)
        before = Standing(ledger, router=make_router("learned-softmax"))
        before.keep()
        kept = ledger.store.derived("standing/learned-softmax")
    database = sqlite3.connect(path)
    if damage == "drop":
        database.execute("DROP TABLE derived")
    elif damage is None:
        database.execute("DELETE FROM derived")
    else:
        assert damage(kept) != kept
        database.execute("UPDATE derived SET state = ?", (damage(kept),))
    database.commit()
    database.close()
    with open_ledger(path) as ledger:
        again = Standing(ledger, router=make_router("learned-softmax"))
        assert again.to_dict() == before.to_dict()
        assert again.router.to_dict() == before.router.to_dict()
        assert ledger.verify().size == len(ledger)


def test_what_is_kept_of_another_log_is_not_taken(tmp_path):
    with open_ledger(tmp_path / "one.db") as one, open_ledger(tmp_path / "two.db") as two:
        for ledger, answer in ((one, 1), (two, 2)):
            for n in range(5):
                seal(ledger, f"t{n}", {"a": 1, "b": 1})
                seal_outcome(ledger, f"t{n}", answer)
        Standing(one).keep()
        two.store.keep_derived("standing", one.store.derived("standing"))
        assert Standing(two).counts("a").wrong == 5


def test_rebuilding_gives_the_same(tmp_path):
    with open_ledger(tmp_path / "ledger.db") as ledger:
        fill(ledger)
        standing = Standing(ledger, router=make_router("learned-softmax"))
        before = standing.to_dict(), standing.router.to_dict()
        assert before[1]["lessons"] == 8
        standing.rebuild()
        assert (standing.to_dict(), standing.router.to_dict()) == before


def test_it_is_kept_now_and_then(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "KEEP_EVERY", 10)
    path = tmp_path / "ledger.db"
    with open_ledger(path) as ledger:
        standing = Standing(ledger)
        for n in range(9):
            seal(ledger, f"t{n}", {"a": n, "b": n})
        standing.catch_up()
        assert ledger.store.derived("standing") is None
        seal(ledger, "t9", {"a": 9, "b": 9})
        standing.catch_up()
        assert orjson.loads(ledger.store.derived("standing"))["seq"] == 10


def test_each_router_has_its_own_place(tmp_path):
    with open_ledger(tmp_path / "ledger.db") as ledger:
        fill(ledger)
        for name in ROUTED:
            Standing(ledger, router=make_router(name)).keep()
        Standing(ledger).keep()
        for name in (*(f"standing/{name}" for name in ROUTED), "standing"):
            assert orjson.loads(ledger.store.derived(name))["seq"] == len(ledger)


def test_a_ledger_for_reading_is_read_and_not_written(tmp_path):
    path = tmp_path / "ledger.db"
    with open_ledger(path) as ledger:
        fill(ledger)
        before = Standing(ledger).to_dict()
    with Ledger.open(f"sqlite:///{path}", verify_with=KEY.verifier) as ledger:
        standing = Standing(ledger)
        standing.keep()
        assert standing.to_dict() == before
        assert ledger.store.derived("standing") is None
        with pytest.raises(StoreError, match="readonly"):
            ledger.store.keep_derived("standing", b"{}")


def test_the_table_changes_nothing_for_the_ledger(tmp_path):
    path = tmp_path / "ledger.db"
    with open_ledger(path) as ledger:
        fill(ledger)
        note = ledger.checkpoint()
        Standing(ledger).keep()
        assert ledger.verify(note).complete
    for signer in (KEY, None):
        with Ledger.open(f"sqlite:///{path}", signer=signer, verify_with=KEY.verifier) as ledger:
            assert ledger.verify(note).complete
    database = sqlite3.connect(path)
    database.execute("DROP TABLE derived")
    database.execute("CREATE TABLE derived (name TEXT PRIMARY KEY, state TEXT NOT NULL) STRICT")
    database.commit()
    database.close()
    with pytest.raises(VerificationError, match="layout"):
        open_ledger(path)


def test_a_damaged_entry_stops_it_without_counting_twice(tmp_path):
    path = tmp_path / "ledger.db"
    with open_ledger(path) as ledger:
        for n in range(4):
            seal(ledger, f"t{n}", {"a": 1, "b": 1})
        standing = Standing(ledger)
        for n in range(4, 8):
            seal(ledger, f"t{n}", {"a": 1, "b": 1})
        other = sqlite3.connect(path)
        (body,) = other.execute("SELECT body FROM entries WHERE seq = 6").fetchone()
        other.execute("UPDATE entries SET body = '{}' WHERE seq = 6")
        other.commit()
        for _ in range(2):
            with pytest.raises(VerificationError) as caught:
                standing.catch_up()
            assert caught.value.index == 6
            assert standing.seq == 6
            assert standing.counts("a").engaged == 6
        other.execute("UPDATE entries SET body = ? WHERE seq = 6", (body,))
        other.commit()
        other.close()
        standing.catch_up()
        assert standing.counts("a").engaged == 8


def test_a_plan_that_teaches_nothing_is_passed_over():
    with open_ledger() as ledger:
        for n, plan in enumerate(
            [
                plan_of("ab"),
                {**plan_of("ab"), "signature": {"x": 1}},
                {**plan_of("ab"), "scores": []},
                {**plan_of("ab"), "weights": []},
                {"weights": {}},
            ]
        ):
            seal(ledger, f"t{n}", {"a": 1, "b": 1}, plan=plan)
            seal_outcome(ledger, f"t{n}", 1)
        standing = Standing(ledger, router=make_router("learned-softmax"))
        assert standing.counts("a").right == 5
        assert standing.router.to_dict()["lessons"] == 2
        assert standing.passed == 3


def test_the_plan_of_the_first_try_teaches_where_the_last_has_none():
    with open_ledger() as ledger:
        kind, body = verdict_body("t", {"a": 1, "b": 1})
        body["parent"] = {"plan": plan_of("ab", HARD)}
        ledger.append(kind, body, key="task:t")
        seal_outcome(ledger, "t", 1)
        standing = Standing(ledger, router=make_router("learned-softmax"))
        assert standing.router.to_dict()["lessons"] == 1


def test_progress_is_told():
    with open_ledger() as ledger:
        fill(ledger, count=4)
        told = []
        Standing(ledger, progress=lambda done, total: told.append((done, total)))
        assert told[-1] == (len(ledger), len(ledger))
        assert [done for done, _ in told] == sorted(done for done, _ in told)


def test_many_threads_ask_while_it_catches_up():
    with open_ledger() as ledger:
        standing = Standing(ledger, router=make_router("learned-softmax"))
        failed = []

        def work():
            try:
                for _ in range(30):
                    standing.catch_up()
                    assert 0 < standing.success_rate("a") < 1
            except BaseException as error:  # noqa: BLE001
                failed.append(error)

        threads = [threading.Thread(target=work) for _ in range(4)]
        for thread in threads:
            thread.start()
        fill(ledger, count=10)
        for thread in threads:
            thread.join()
        standing.catch_up()
        assert not failed
        assert standing.to_dict() == Standing(ledger).to_dict()


@settings(max_examples=25, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.lists(
        st.tuples(
            st.sampled_from(["verdict", "outcome"]),
            st.integers(0, 3),
            st.dictionaries(st.sampled_from("abc"), st.integers(0, 1), min_size=1),
        ),
        max_size=8,
    ),
    st.data(),
)
def test_it_is_the_same_wherever_it_was_interrupted(steps, data):
    """Against a twin that looks at the whole log at once."""
    stops = data.draw(st.sets(st.integers(0, max(len(steps) - 1, 0))))
    with open_ledger() as ledger:
        standing = Standing(ledger)
        verdicts, truths = {}, {}
        for place, (what, task, answers) in enumerate(steps):
            if what == "verdict" and task not in verdicts:
                seal(ledger, f"t{task}", answers, quorum=0.5)
                verdicts[task] = answers
            elif what == "outcome" and task not in truths:
                seal_outcome(ledger, f"t{task}", answers.get("a", 0))
                truths[task] = answers.get("a", 0)
            if place in stops:
                standing.catch_up()
                standing.keep()
                standing = Standing(ledger)
        standing.catch_up()
        for name in "abc":
            asked = {task: said[name] for task, said in verdicts.items() if name in said}
            judged = {task: said == truths[task] for task, said in asked.items() if task in truths}
            counts = standing.counts(name)
            assert counts.engaged == len(asked)
            assert counts.right == sum(judged.values())
            assert counts.wrong == len(judged) - sum(judged.values())
        assert standing.waiting == len(truths.keys() - verdicts.keys())
        assert Standing(ledger).to_dict() == standing.to_dict()


def test_an_outcome_is_final():
    with open_ledger() as ledger:
        seal(ledger, "t", {"a": 1, "b": 1})
        receipt = seal_outcome(ledger, "t", 1)
        assert seal_outcome(ledger, "t", 1).seq == receipt.seq
        with pytest.raises(UsageError, match="an outcome never changes"):
            seal_outcome(ledger, "t", 2)
        assert len(ledger) == 2
