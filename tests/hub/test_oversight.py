"""Halting, resuming and overriding: what may follow what, and that nothing is dispatched."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from oversight_tools import between, counting, panel, tamper

from quorate.arbitration import UnderQuorum
from quorate.core.errors import NoQuorum, UsageError, VerificationError
from quorate.hub import Expert, Hub, Policy
from quorate.hub.oversight import (
    KIND,
    RESUME_RULE,
    RULE,
    HaltedError,
    OverriddenError,
    Oversight,
)
from quorate.hub.oversight.rules import Halt, Override, Reference, Resume, State
from quorate.ledger import Ledger


@pytest.fixture
def ledger():
    with Ledger.open("memory:") as opened:
        yield opened


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


def test_a_resume_lifts_the_halt_that_it_names_and_no_other(ledger):
    oversight = Oversight(ledger)
    with pytest.raises(UsageError, match="nothing is halted"):
        oversight.resume("J. Doe", "on")
    for by, reason in (("A", "one"), ("B", "two"), ("C", "three")):
        oversight.halt(by, reason)
    with pytest.raises(UsageError, match=r"3 halts are in force: entry 0 by A \(one\), entry 1 by"):
        oversight.resume("A", "on")
    oversight.resume("A", "on", halt=1)
    assert (oversight.halted.by, [one.by for one in oversight.in_force]) == ("C", ["A", "C"])
    for none in (1, 3, 9):
        with pytest.raises(UsageError, match=f"entry {none} is no halt in force; in force are"):
            oversight.resume("A", "on", halt=none)
    oversight.resume("A", "on", halt=2)
    assert oversight.halted.by == "A"
    oversight.resume("A", "that was the last")
    assert oversight.halted is None
    with pytest.raises(UsageError, match="nothing is halted"):
        oversight.resume("A", "again")
    assert ledger.verify(replay=True).replayed == 6


def test_one_of_the_first_rule_names_the_last_halt_and_lifts_all():
    """None is written any more; what is sealed means what it meant."""
    state = State()
    state.take(0, Halt("A", "one"))
    state.take(1, Halt("B", "two"))
    with pytest.raises(UsageError, match="B halted in entry 1"):
        state.take(2, Resume("A", "on", 0, RULE))
    state.take(2, Resume("A", "on", 1, RULE))
    assert state.in_force == ()


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


@pytest.mark.parametrize("mode", ["enforce", "shadow"])
def test_no_decision_stands_behind_a_halt_or_is_given_out_after_it(ledger, monkeypatch, mode):
    incumbent = Expert("old", lambda _: "old", confidence=1) if mode == "shadow" else None
    hub = Hub(panel([]), ledger=ledger, mode=mode, incumbent=incumbent)
    between(monkeypatch, ledger, lambda: Oversight(ledger).halt("J. Doe", "stop"))
    with pytest.raises(HaltedError):
        hub.dispatch("one")
    assert [receipt.kind for receipt in ledger] == [KIND]


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
    st.tuples(st.just("resume"), st.integers(0, 12), st.sampled_from([RULE, RESUME_RULE])),
    st.tuples(
        st.just("override"), st.integers(0, 1), st.sampled_from("AB"), st.sampled_from([1, 2, None])
    ),
)


def naive(events):
    """What a list of events comes to: whether halted, what stands, and which were refused."""
    refused, kept, open_ = [], [], []
    for seq, event in enumerate(events):
        earlier = [
            one[3] for _, one in kept if one[0] == "override" and event[:3] == one[:3] != ("halt",)
        ]
        may = open_[-1:] if event[-1] == RULE else open_
        wrong_resume = event[0] == "resume" and event[1] not in may
        if wrong_resume or (event[0] == "override" and any(a != event[3] for a in earlier)):
            refused.append(seq)
        else:
            kept.append((seq, event))
            if event[0] == "halt":
                open_.append(seq)
            elif event[0] == "resume":
                open_ = [] if event[2] == RULE else [n for n in open_ if n != event[1]]
    stands = {}
    for decision in (0, 1):
        said = {one[3] for _, one in kept if one[0] == "override" and one[1] == decision}
        if said:
            stands[decision] = said.pop() if len(said) == 1 else "contested"
    return open_, stands, refused


@given(st.lists(EVENTS, max_size=12))
def test_what_people_did_comes_to_what_a_naive_reading_gives(events):
    state, refused = State(), []
    for seq, event in enumerate(events):
        if event[0] == "halt":
            made = Halt("A", "because")
        elif event[0] == "resume":
            made = Resume("A", "because", *event[1:])
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
    open_ = [one.seq for one in state.in_force]
    assert (open_, stands, refused) == naive(events)
    assert (state.halted and [state.halted.seq]) == (open_[-1:] or None)
