"""Halting, resuming and overriding: what may follow what, and that nothing is dispatched."""

import asyncio
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quorate.arbitration import UnderQuorum
from quorate.core.errors import NoQuorum, StoreError, UsageError, VerificationError
from quorate.core.identity import Ed25519Signer
from quorate.hub import Expert, Hub, Policy
from quorate.hub.oversight import KIND, Guard, HaltedError, OverriddenError, Oversight
from quorate.hub.oversight.rules import Halt, Override, Reference, Resume, State
from quorate.ledger import Ledger


@pytest.fixture
def ledger():
    with Ledger.open("memory:") as opened:
        yield opened


def counting(said, calls):
    def function(task):
        calls.append(task)
        return said

    return function


def panel(calls, said="yes"):
    return [Expert(name, counting(said, calls), confidence=1) for name in "abc"]


def test_nothing_is_dispatched_after_a_halt_until_it_is_lifted(ledger):
    calls = []
    hub, oversight = Hub(panel(calls), ledger=ledger), Oversight(ledger)
    assert hub.dispatch("one").consensus == "yes"
    oversight.halt("J. Doe", "it misjudges")
    before = len(calls)
    for _ in range(5):
        with pytest.raises(HaltedError, match=r"halted by J\. Doe in entry 1, .*'quorate resume'"):
            hub.dispatch("two")
    assert len(calls) == before
    assert [receipt.kind for receipt in ledger] == ["decision", KIND]
    oversight.resume("J. Doe", "mended")
    assert hub.dispatch("two").consensus == "yes"


def test_a_halt_is_a_refusal_to_whoever_knows_none(ledger):
    hub = Hub(panel([]), ledger=ledger)
    Oversight(ledger).halt("J. Doe", "stop")
    with pytest.raises(NoQuorum):
        hub.dispatch("one")


def test_an_earlier_decision_is_not_given_out_while_halted(ledger):
    hub = Hub(panel([]), ledger=ledger)
    hub.dispatch("one", id="t1")
    Oversight(ledger).halt("J. Doe", "stop")
    with pytest.raises(HaltedError):
        hub.dispatch("one", id="t1")


def test_nor_is_the_incumbent_of_shadow_mode_asked(ledger):
    calls = []
    incumbent = Expert("old", counting("yes", calls), confidence=1)
    hub = Hub(panel(calls), ledger=ledger, mode="shadow", incumbent=incumbent)
    Oversight(ledger).halt("J. Doe", "stop")
    with pytest.raises(HaltedError):
        hub.dispatch("one")
    assert calls == []


def test_a_hub_without_a_ledger_cannot_be_halted():
    assert Hub(panel([])).dispatch("one").consensus == "yes"


def test_what_experts_are_at_is_cancelled_when_another_process_halts(tmp_path):
    url, signer = f"sqlite:///{tmp_path / 'ledger.db'}", Ed25519Signer.generate()
    began, ended = [], []

    async def hangs(task):
        began.append(task)
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            ended.append(task)
            raise

    async def both(hub, other):
        working = [asyncio.ensure_future(hub.adispatch(n)) for n in range(3)]
        while len(began) < 9:  # noqa: ASYNC110 - experts of three tasks, none of which tells
            await asyncio.sleep(0.01)
        await asyncio.to_thread(Oversight(other).halt, "J. Doe", "stop")
        return await asyncio.gather(*working, return_exceptions=True)

    # Another handle on the same file reads what it did not write, as another process does.
    with Ledger.open(url, signer=signer) as mine, Ledger.open(url, signer=signer) as other:
        hub = Hub([Expert(n, hangs, confidence=1) for n in "abc"], ledger=mine)
        came = asyncio.run(asyncio.wait_for(both(hub, other), 30))
        assert [type(one) for one in came] == [HaltedError] * 3
        assert sorted(began) == sorted(ended)
        assert [receipt.kind for receipt in mine] == [KIND]


def test_what_was_answered_as_somebody_halted_is_neither_sealed_nor_given_out(ledger):
    def halts(task):
        Oversight(ledger).halt("J. Doe", "stop")
        return "yes"

    hub = Hub([Expert("a", halts, confidence=1)], ledger=ledger)
    with pytest.raises(HaltedError):
        hub.dispatch("one")
    assert [receipt.kind for receipt in ledger] == [KIND]


def test_those_asked_after_a_refusal_are_not_asked_once_halted(ledger):
    """The last moment before experts are asked: between the first round and the second."""
    late = []

    def halts(task):
        Oversight(ledger).halt("J. Doe", "stop")
        return "no"

    reserve = Expert("r", counting("yes", late), confidence=1)
    first = [Expert("a", lambda _: "yes", confidence=1), Expert("b", halts, confidence=1)]
    policy = Policy(on_under_quorum="widen", reserve=(reserve,))
    with pytest.raises(HaltedError):
        Hub(first, ledger=ledger, policy=policy).dispatch("one")
    assert late == []


def test_an_override_is_what_comes_back_and_the_decision_stays_as_it_was(ledger):
    hub, oversight = Hub(panel([]), ledger=ledger), Oversight(ledger)
    sealed = hub.dispatch("one", id="t1").receipt
    oversight.override(sealed.seq, "J. Doe", "she knows the patient", "no")
    again = hub.dispatch("one", id="t1")
    assert again.consensus == again.acted == "no"
    assert again.decision.consensus == "yes"
    assert again.overridden.overrides[0].by == "J. Doe"
    assert "Overridden by J. Doe" in again.describe()
    assert ledger.get(sealed.seq).entry_hash == sealed.entry_hash


def test_null_is_an_answer_and_no_answer_is_none(ledger):
    hub, oversight = Hub(panel([]), ledger=ledger), Oversight(ledger)
    one, two = (hub.dispatch(n, id=n).receipt.seq for n in ("t1", "t2"))
    oversight.override(one, "J. Doe", "none of these", None)
    oversight.override(two, "J. Doe", "not to be used")
    assert hub.dispatch("t1", id="t1").consensus is None
    with pytest.raises(OverriddenError, match="it is disregarded"):
        hub.dispatch("t2", id="t2")


def test_people_who_contest_a_decision_leave_nothing_to_act_upon_in_either_order(ledger):
    hub, oversight = Hub(panel([]), ledger=ledger), Oversight(ledger)
    for task, people in (("t1", "AB"), ("t2", "BA")):
        seq = hub.dispatch(task, id=task).receipt.seq
        for who in people:
            oversight.override(seq, who, "because", who)
        with pytest.raises(OverriddenError, match="contested"):
            hub.dispatch(task, id=task)
    seq = hub.dispatch("t3", id="t3").receipt.seq
    for who in "AB":
        oversight.override(seq, who, "because", "both")
    assert hub.dispatch("t3", id="t3").consensus == "both"


def test_one_person_overrides_a_decision_once(ledger):
    seq = Hub(panel([]), ledger=ledger).dispatch("one").receipt.seq
    oversight = Oversight(ledger)
    first = oversight.override(seq, "J. Doe", "because", "no")
    assert oversight.override(seq, "J. Doe", "another reason", "no").seq == first.seq
    for other in ({"answer": "maybe"}, {}):
        with pytest.raises(UsageError, match=r"one person overrides a decision once"):
            oversight.override(seq, "J. Doe", "because", **other)
    assert len(ledger) == 2


def test_only_a_decision_is_overridden(ledger):
    experts = [Expert(n, lambda _, n=n: n, confidence=1) for n in "abc"]
    with pytest.raises(UnderQuorum):
        Hub(experts, ledger=ledger).dispatch("one")
    oversight = Oversight(ledger)
    halt = oversight.halt("J. Doe", "stop")
    for seq, why in ((0, "nothing was decided there"), (halt.seq, "only decisions")):
        with pytest.raises(UsageError, match=why):
            oversight.override(seq, "J. Doe", "because", "x")
    with pytest.raises(UsageError, match="there is no entry 9"):
        oversight.override(9, "J. Doe", "because", "x")


@pytest.mark.parametrize("name", ["", " ", " J. Doe", "J.\nDoe", "\x1b[31m", 7, None])
def test_a_name_is_a_name(ledger, name):
    with pytest.raises(UsageError, match="name"):
        Oversight(ledger).halt(name, "because")
    assert len(ledger) == 0


def test_a_reason_says_something(ledger):
    for reason in ("", "  \n", "x" * 4097):
        with pytest.raises(UsageError, match="reason"):
            Oversight(ledger).halt("J. Doe", reason)
    Oversight(ledger).halt("J. Doe", "x" * 4096)


def test_resuming_needs_a_halt_and_the_last_one(ledger):
    oversight = Oversight(ledger)
    with pytest.raises(UsageError, match="nothing is halted"):
        oversight.resume("J. Doe", "on")
    oversight.halt("A", "one")
    oversight.halt("B", "two")
    assert oversight.halted.by == "B"
    state = State()
    state.take(0, Halt("A", "one"))
    state.take(1, Halt("B", "two"))
    with pytest.raises(UsageError, match="B halted in entry 1"):
        state.take(2, Resume("A", "on", 0))
    oversight.resume("A", "both are mended")
    assert oversight.halted is None
    with pytest.raises(UsageError, match="nothing is halted"):
        oversight.resume("A", "again")


def test_who_halts_while_another_resumes_is_not_overheard(ledger, monkeypatch):
    oversight = Oversight(ledger)
    oversight.halt("A", "one")
    append = ledger.append

    def first_another_halt(kind, body, **more):
        if body["event"] == "resume" and len(ledger) == 1:
            append(KIND, Halt("B", "two").to_dict())
        return append(kind, body, **more)

    monkeypatch.setattr(ledger, "append", first_another_halt)
    with pytest.raises(UsageError, match="B halted in entry 1"):
        oversight.resume("A", "mended")
    assert oversight.halted.by == "B"


def test_an_entry_that_is_no_sound_oversight_halts(ledger):
    ledger.append(KIND, {"rule": "oversight/1", "event": "resume", "by": "x", "reason": "y"})
    hub = Hub(panel([]), ledger=ledger)
    with pytest.raises(HaltedError, match="entry 0 is no sound oversight"):
        hub.dispatch("one")
    Oversight(ledger).resume("J. Doe", "somebody wrote to it")
    assert hub.dispatch("one").consensus == "yes"


def test_an_override_by_another_hash_is_none_and_halts(ledger):
    hub = Hub(panel([]), ledger=ledger)
    seq = hub.dispatch("one").receipt.seq
    body = {
        "rule": "oversight/1",
        "event": "override",
        "by": "x",
        "reason": "y",
        "decision": {"seq": seq, "hash": "0" * 64},
        "answer": "no",
    }
    ledger.append(KIND, body)
    assert Oversight(ledger).standing(seq) is None
    assert Oversight(ledger).halted is not None


def test_halts_and_dispatches_side_by_side(ledger):
    """From many threads: whatever began after the halt was sealed was refused."""
    calls, hub = [], None
    hub = Hub(panel(calls), ledger=ledger)
    halted, late = threading.Event(), []

    def work():
        for n in range(20):
            after = halted.is_set()
            try:
                hub.dispatch(n)
            except HaltedError:
                continue
            if after:
                late.append(n)

    workers = [threading.Thread(target=work) for _ in range(4)]
    for worker in workers:
        worker.start()
    Oversight(ledger).halt("J. Doe", "stop")
    halted.set()
    for worker in workers:
        worker.join()
    assert late == []


def test_who_cancels_work_from_outside_is_told_no_halt(ledger):
    ended = []

    async def hangs():
        try:
            await asyncio.sleep(60)
        finally:
            ended.append(True)

    async def main():
        working = asyncio.ensure_future(Guard(ledger).run(hangs()))
        await asyncio.sleep(0.01)
        working.cancel()
        await asyncio.wait([working])
        return working.cancelled()

    assert asyncio.run(main()) is True
    assert ended == [True]


def test_a_record_that_can_no_longer_be_read_stops_what_is_under_way(ledger, monkeypatch):
    guard = Guard(ledger)

    def broken(self):
        raise StoreError("the disk is gone")

    async def main():
        working = asyncio.ensure_future(guard.run(asyncio.sleep(60)))
        await asyncio.sleep(0.01)
        monkeypatch.setattr(Oversight, "check", broken)
        await working

    with pytest.raises(StoreError, match="the disk is gone"):
        asyncio.run(asyncio.wait_for(main(), 30))
    with pytest.raises(StoreError):
        asyncio.run(guard.run(asyncio.sleep(0)))


# -- nothing hides, and nothing comes between


def tamper(ledger, statement, *values):
    """Change the store as somebody does who has the file and no key."""
    with ledger.store.transaction():
        ledger.store._db.execute(statement, values)


HIDDEN = "UPDATE entries SET kind = 'note' WHERE kind = 'oversight'"


@pytest.mark.parametrize("known", [True, False])
def test_a_halt_that_is_hidden_in_the_look_up_column_stops_all_the_same(ledger, known):
    calls = []
    hub = Hub(panel(calls), ledger=ledger)
    if known:
        hub.dispatch("one")
    before = len(calls)
    Oversight(ledger).halt("J. Doe", "stop")
    ledger.append("note", {"anything": "on top"})
    tamper(ledger, HIDDEN)
    assert list(ledger.find(kind=KIND)) == []
    for _ in range(2):
        with pytest.raises(VerificationError, match="the look-up column kind"):
            hub.dispatch("two")
    assert len(calls) == before


def test_an_override_that_is_hidden_so_is_not_undone(ledger):
    hub, oversight = Hub(panel([]), ledger=ledger), Oversight(ledger)
    oversight.override(hub.dispatch("one", id="t1").receipt.seq, "J. Doe", "no good")
    ledger.append("note", {})
    tamper(ledger, HIDDEN)
    with pytest.raises(VerificationError):
        Hub(panel([]), ledger=ledger).dispatch("one", id="t1")


@pytest.mark.parametrize(
    ("statement", "rule"),
    [
        ("DELETE FROM entries WHERE seq >= 1", "truncation"),
        ("DELETE FROM entries WHERE seq = 1", "sequence"),
        ("UPDATE entries SET entry = replace(entry, '\"oversight\"', '\"note\"')", "chain"),
    ],
)
def test_a_halt_that_is_cut_out_of_the_log_is_missed(ledger, statement, rule):
    hub, oversight = Hub(panel([]), ledger=ledger), Oversight(ledger)
    hub.dispatch("one")
    Oversight(ledger).halt("J. Doe", "stop")
    if rule == "truncation":
        assert oversight.halted.by == "J. Doe"
    else:
        ledger.append("note", {})
    tamper(ledger, statement)
    for _ in range(2):
        with pytest.raises(VerificationError) as caught:
            oversight.check()
        assert caught.value.rule == rule


def test_a_log_is_followed_once_and_read_on_only_where_it_grew(ledger, monkeypatch):
    oversight, reads = Oversight(ledger), []
    real = oversight._follower.read
    monkeypatch.setattr(oversight._follower, "read", lambda: reads.append(1) or real())
    ledger.append("note", {})
    for _ in range(5):
        oversight.check()
    assert len(reads) == 1
    ledger.append("note", {})
    oversight.check()
    assert len(reads) == 2
    assert oversight._follower.size == 2


def test_what_could_not_be_taken_in_is_not_passed_over(ledger, monkeypatch):
    """An override whose decision cannot be read just then: nothing is known until it can."""
    hub, oversight = Hub(panel([]), ledger=ledger), Oversight(ledger)
    seq = hub.dispatch("one").receipt.seq
    Oversight(ledger).override(seq, "J. Doe", "because", "no")
    Oversight(ledger).halt("J. Doe", "stop")

    def broken(number):
        raise StoreError("the disk is gone")

    monkeypatch.setattr(ledger, "get", broken)
    for _ in range(2):
        with pytest.raises(StoreError):
            oversight.check()
    monkeypatch.undo()
    with pytest.raises(HaltedError):
        oversight.check()
    assert oversight.standing(seq).answer == "no"


def between(monkeypatch, ledger, act):
    """Have somebody act once, after all looks and right before the next entries are written."""
    real, acted = ledger.append_all, []

    def append_all(items, **more):
        if not acted:
            acted.append(True)
            act()
        return real(items, **more)

    monkeypatch.setattr(ledger, "append_all", append_all)


@pytest.mark.parametrize("mode", ["enforce", "shadow"])
def test_no_decision_stands_behind_a_halt_or_is_given_out_after_it(ledger, monkeypatch, mode):
    incumbent = Expert("old", lambda _: "old", confidence=1) if mode == "shadow" else None
    hub = Hub(panel([]), ledger=ledger, mode=mode, incumbent=incumbent)
    between(monkeypatch, ledger, lambda: Oversight(ledger).halt("J. Doe", "stop"))
    with pytest.raises(HaltedError):
        hub.dispatch("one")
    assert [receipt.kind for receipt in ledger] == [KIND]


def test_what_bears_on_nothing_holds_no_decision_up(ledger, monkeypatch):
    hub = Hub(panel([]), ledger=ledger)
    between(monkeypatch, ledger, lambda: ledger.append("note", {}))
    assert hub.dispatch("one").consensus == "yes"
    first = hub.dispatch("two", id="t2").receipt.seq
    between(monkeypatch, ledger, lambda: Oversight(ledger).override(first, "A", "because"))
    assert hub.dispatch("three").consensus == "yes"
    assert [receipt.kind for receipt in ledger] == [
        "note", "decision", "decision", KIND, "decision",
    ]  # fmt: skip


def test_two_handles_of_one_file_never_decide_behind_a_halt(tmp_path):
    url, signer = f"sqlite:///{tmp_path / 'ledger.db'}", Ed25519Signer.generate()
    for _ in range(3):
        with Ledger.open(url, signer=signer) as mine, Ledger.open(url, signer=signer) as other:
            hub, came = Hub(panel([]), ledger=mine), []

            def work(hub=hub, came=came):
                try:
                    while True:
                        came.append(hub.dispatch("again").receipt.seq)
                except HaltedError as halted:
                    came.append(halted)

            worker = threading.Thread(target=work)
            worker.start()
            while not came:
                threading.Event().wait(0.001)
            halt = Oversight(other).halt("J. Doe", "stop")
            worker.join(60)
            assert isinstance(came[-1], HaltedError)
            assert max(came[:-1]) < halt.seq
            assert [r for r in other if r.kind == "decision" and r.seq > halt.seq] == []
            Oversight(other).resume("J. Doe", "on")


def test_a_disk_that_may_hide_a_halt_holds_the_incumbent_back_too(ledger, monkeypatch):
    incumbent = Expert("old", lambda _: "old", confidence=1)
    hub = Hub(panel([]), ledger=ledger, mode="shadow", incumbent=incumbent)

    def broken(items, **more):
        Oversight(ledger).halt("J. Doe", "stop")
        raise StoreError("the disk is full")

    monkeypatch.setattr(ledger, "append_all", broken)
    with pytest.raises(HaltedError):
        hub.dispatch("one")


def test_who_writes_meanwhile_does_not_keep_anybody_from_resuming(ledger, monkeypatch):
    oversight = Oversight(ledger)
    oversight.halt("A", "one")
    append = ledger.append

    def busy(kind, body, **more):
        append("note", {})
        return append(kind, body, **more)

    monkeypatch.setattr(ledger, "append", busy)
    oversight.resume("A", "mended")
    assert oversight.halted is None


@pytest.mark.parametrize(
    "again", ["j. doe", "J.  DOE", "J.\u00a0Doe", "\uff2a. Doe", "J. Doe\u00ad"]
)
def test_one_person_in_another_spelling_is_no_second_person(ledger, again):
    seq = Hub(panel([]), ledger=ledger).dispatch("one").receipt.seq
    oversight = Oversight(ledger)
    first = oversight.override(seq, "J. Doe", "because", "no")
    if not again.isprintable():
        with pytest.raises(UsageError, match="give a person's name"):
            oversight.override(seq, again, "because", "yes")
        return
    with pytest.raises(UsageError, match="one person overrides a decision once"):
        oversight.override(seq, again, "because", "yes")
    assert oversight.override(seq, again, "because", "no").seq == first.seq
    assert oversight.standing(seq).contested is False


def test_nobody_is_a_person(ledger):
    for name in ("-", ".", "nobody", "Nobody", "\u2800"):
        with pytest.raises(UsageError, match="the name is"):
            Oversight(ledger).halt(name, "because")
    Oversight(ledger).halt("7", "a badge number is one")


EVENTS = st.one_of(
    st.tuples(st.just("halt")),
    st.tuples(st.just("resume"), st.integers(0, 12)),
    st.tuples(
        st.just("override"), st.integers(0, 1), st.sampled_from("AB"), st.sampled_from([1, 2, None])
    ),
)


def naive(events):
    """What a list of events comes to: whether halted, what stands, and which were refused."""
    refused, kept = [], []
    for seq, event in enumerate(events):
        halts = [n for n, one in kept if one[0] == "halt"]
        resumes = [n for n, one in kept if one[0] == "resume"]
        open_ = [n for n in halts if not resumes or n > resumes[-1]]
        earlier = [
            one[3] for _, one in kept if one[0] == "override" and event[:3] == one[:3] != ("halt",)
        ]
        wrong_resume = event[0] == "resume" and (not open_ or event[1] != open_[-1])
        if wrong_resume or (event[0] == "override" and any(a != event[3] for a in earlier)):
            refused.append(seq)
        else:
            kept.append((seq, event))
    last = [one[0] for _, one in kept if one[0] in ("halt", "resume")]
    stands = {}
    for decision in (0, 1):
        said = {one[3] for _, one in kept if one[0] == "override" and one[1] == decision}
        if said:
            stands[decision] = said.pop() if len(said) == 1 else "contested"
    return last[-1:] == ["halt"], stands, refused


@given(st.lists(EVENTS, max_size=12))
def test_what_people_did_comes_to_what_a_naive_reading_gives(events):
    state, refused = State(), []
    for seq, event in enumerate(events):
        if event[0] == "halt":
            made = Halt("A", "because")
        elif event[0] == "resume":
            made = Resume("A", "because", event[1])
        else:
            _, decision, who, answer = event
            answered = answer is not None
            made = Override(who, "because", Reference(decision, "0" * 64), answered, answer)
        try:
            state.take(seq, made)
        except UsageError:
            refused.append(seq)
    stands = {}
    for decision in (0, 1):
        standing = state.standing(decision)
        if standing is not None:
            stands[decision] = "contested" if standing.contested else standing.answer
    assert (state.halted is not None, stands, refused) == naive(events)
