import asyncio
import enum
import json
import pickle
import threading
import time

import numpy as np
import pytest

from quorate.core.errors import NoQuorum, StoreError, UsageError, UsageTypeError
from quorate.routing import Absentee, BFTLedger, BFTRouter, NoConsensusError, RoutingDecision
from quorate.routing.answers import read_answer
from quorate.routing.sealed import replay

EXPERTS = {1: lambda x: ("one", x), 2: lambda x: ("two", x), "b": lambda x: ("b", x)}


def says(answer):
    return lambda _: answer


def router(*answers, **options):
    return BFTRouter(EXPERTS, [says(a) for a in answers], **options)


class Record:
    """A ledger that keeps bodies as a real one does: as JSON."""

    def __init__(self):
        self.bodies = []

    def append(self, kind, body, *, trace_id=None, parent=None, key=None):
        self.bodies.append(json.loads(json.dumps(body)))
        replay(kind, self.bodies[-1])
        assert trace_id == body["session"]
        return ("receipt", len(self.bodies))


class Broken:
    def append(self, kind, body, *, trace_id=None, parent=None, key=None):
        raise StoreError("disk full")


def test_the_quickstart_of_the_source():
    experts = {1: lambda tok: f"EU AI Act expert handled {tok}"}

    def a(t):
        return 1

    def b(t):
        return 1

    def c(t):
        return 1

    def d(t):
        return 2  # outvoted Byzantine replica

    router = BFTRouter(experts, replicas=[a, b, c, d])  # n=4, f=1, quorum=3
    decision = router.route("token-42", session_id="req-1")
    assert decision.consensus and decision.dispatched  # noqa: PT018 - as the source has it

    assert decision.result == "EU AI Act expert handled token-42"
    assert decision.dissenting == ("replica-3",)
    assert decision.void == ("replica-3",)
    assert (decision.votes, decision.quorum, decision.faults, decision.total_replicas) == (
        *(3, 3),
        *(1, 4),
    )
    assert decision.proposals == {**dict.fromkeys(["replica-0", "replica-1", "replica-2"], 1),
                                  "replica-3": 2}  # fmt: skip


@pytest.mark.parametrize("answers", [(1, 1, 1, 2, 2, 2), (1, 2, "b"), (1, 2), (9, 9, 9, 9)])
def test_without_a_quorum_nothing_is_dispatched(answers):
    called = []
    experts = dict.fromkeys(EXPERTS, called.append)
    decision = BFTRouter(experts, [says(a) for a in answers]).route("x", "s")
    assert not decision.consensus
    assert not decision.dispatched
    assert not called
    assert decision.expert_key is decision.agreed_hash is decision.result is None
    assert decision.dissenting == ()
    assert "Nothing was dispatched" in decision.describe()


def test_strict_raises_with_the_decision():
    with pytest.raises(NoConsensusError, match="no expert got the 3") as caught:
        router(1, 1, 2, 2).route("x", "s", strict=True)
    assert isinstance(caught.value, NoQuorum)
    assert caught.value.decision.votes == 2
    assert pickle.loads(pickle.dumps(caught.value)).decision == caught.value.decision  # noqa: S301
    assert router(1, 1, 1, 2).route("x", "s", strict=True).dispatched


def test_crashes_and_hangs_are_absences():
    def crash(_):
        raise KeyError("weights")

    async def hang(_):
        await asyncio.sleep(60)

    async def fine(_):
        return 1

    def hang_in_a_thread(_):
        time.sleep(0.6)

    mixed = BFTRouter(
        EXPERTS,
        {"a": fine, "b": says(1), "c": crash, "d": hang, "e": says(1), "f": fine,
         "g": hang_in_a_thread},
        timeout=0.15,
    )  # fmt: skip
    decision = mixed.route("x", "s")
    assert not decision.consensus
    assert [(a.replica, a.reason) for a in decision.absent] == [
        ("c", "crashed"),
        ("d", "timeout"),
        ("g", "timeout"),
    ]
    assert decision.absent[0].detail == "KeyError: 'weights'"
    assert decision.votes == 4
    assert decision.quorum == 5


def test_absentees_stay_in_the_denominator():
    def crash(_):
        raise RuntimeError

    gone = BFTRouter(EXPERTS, [says(1), says(1), crash, crash])
    assert not gone.decide("x", "s").consensus
    borne = BFTRouter(EXPERTS, [says(1), says(1), says(1), crash]).route("x", "s")
    assert borne.dispatched
    assert borne.result == ("one", "x")


class Nasty:
    dtype = "int64"

    def __index__(self):
        raise MemoryError

    def __repr__(self):
        raise ValueError

    __hash__ = None


class Exits:
    """Ends whatever looks at it, by every way there is to look."""

    def __index__(self):
        raise SystemExit(3)

    __repr__ = __index__


class ExitsWhenNamed(type):
    def __getattribute__(cls, name):
        raise KeyboardInterrupt


class SlyText(str):
    __slots__ = ()

    def encode(self, *_):
        raise SystemExit(3)

    __getitem__ = __len__ = encode


class Speaks:
    def __repr__(self):
        return SlyText("spoken")


class Switch:
    """As a framework's scalar tensor of truth values behaves."""

    dtype = "torch.bool"

    def __index__(self):
        return 1

    def __repr__(self):
        return "tensor(True)"


class Sly:
    def __repr__(self):
        return "b"


class Colour(enum.IntEnum):
    RED = 1


class Text(str):
    __slots__ = ()


@pytest.mark.parametrize(
    ("answer", "shown"),
    [
        (True, True), (np.bool_(True), "np.True_"), (None, None), (1.0, 1.0), (np.float64(1), 1.0),
        (float("nan"), "nan"), ([1], "[1]"), ({}, "{}"), ({1}, "{1}"), (b"b", "b'b'"), (Sly(), "b"),
        (Nasty(), "(a Nasty that cannot be shown)"), (7, 7), (Switch(), "tensor(True)"),
        ("zz", "zz"), (2**60, str(2**60)),
        pytest.param(10**5000, "(an integer of 16610 bits)", id="huge"),
        pytest.param(-(10**5000), "(an integer of 16610 bits)", id="hugely negative"),
        ([10**5000], "(a list that cannot be shown)"), (Exits(), "(a Exits that cannot be shown)"),
        (Speaks(), "spoken"),
        ("", "''"), ("\ud800", "'\\ud800'"), (np.array([1]), "array([1])"),
        (np.array(True), "array(True)"),
    ],
)  # fmt: skip
def test_an_answer_that_is_no_known_key_is_a_void_vote(answer, shown):
    record = Record()
    decision = router(1, answer, 1, 1, ledger=record).route("x", "s")
    assert decision.dispatched
    assert decision.void == decision.dissenting == ("replica-1",)
    assert decision.proposals["replica-1"] == shown
    assert type(decision.proposals["replica-1"]) is type(shown)
    assert not router(1, answer, answer, 1, ledger=record).route("x", "s").consensus
    assert len(router(*[answer] * 4, ledger=record).decide("x", "s").void) == 4


def test_an_answer_whose_type_cannot_even_be_named_is_a_void_vote():
    # Made inside: pytest would ask for its name.
    class Nameless(Exits, metaclass=ExitsWhenNamed):
        def __index__(self):
            raise KeyboardInterrupt

    assert read_answer(Nameless()) == {"void": "(a Nameless that cannot be shown)"}
    assert router(1, Nameless(), 1, 1).route("x", "s").dispatched


def test_a_key_too_large_is_refused_by_its_size():
    with pytest.raises(UsageError, match="an integer of 16610 bits"):
        BFTRouter([10**5000], [says(1)])


def test_what_counts_as_a_key():
    assert router(*[np.int64(1)] * 3).decide("x", "s").expert_key == 1
    assert router(np.uint8(1), Colour.RED, 1, np.array(1)).decide("x", "s").votes == 4
    decision = router(*[Text("b")] * 3).decide("x", "s")
    assert decision.expert_key == "b"
    assert type(decision.expert_key) is str
    assert router("1", "1", "1").decide("x", "s").void


def test_a_replica_cannot_touch_what_others_see():
    seen = []

    def poison(x):
        x["tokens"].append("evil")
        x.clear()
        return 1

    def look(x):
        time.sleep(0.02)
        seen.append(x)
        return 1

    x = {"tokens": [1, (2, [3])]}
    decision = BFTRouter({1: lambda x: x}, [poison, look, look, look]).route(x, "s")
    assert seen == [{"tokens": [1, (2, [3])]}] * 3
    assert decision.result == x == {"tokens": [1, (2, [3])]}
    assert decision.result is not x


@pytest.mark.parametrize("array", [np.arange(6.0).reshape(2, 3), np.array(["ab"]), np.zeros((0, 3)),
                                   np.arange(4, dtype=">i4")[::2], np.array(5)])  # fmt: skip
def test_a_replica_cannot_touch_a_shared_array(array):
    before = array.copy()

    def poison(x):
        # One that an empty array lets through does no harm.
        for target in (x, x.base, getattr(x.base, "base", None)):
            if isinstance(target, np.ndarray) and target.size:
                with pytest.raises(ValueError, match="WRITEABLE"):
                    target.flags.writeable = True
        return 1

    def look(x):
        assert x.dtype == before.dtype
        assert x.shape == before.shape
        assert (x == before).all()
        return 1

    def expert(x):
        x[...] = x[::-1].copy() if x.ndim else x
        return "written"

    decision = BFTRouter({1: expert}, [poison, look, look, look]).route(array, "s")
    assert decision.absent == ()
    assert decision.result == "written"
    assert (array == before).all()


def test_what_was_voted_on_is_what_is_dispatched():
    """The caller changes its own object while the replicas think."""
    x = ["good"]

    def slow(_):
        x[0] = "evil"
        return 1

    decision = BFTRouter({1: lambda x: x}, [slow] * 3).route(x, "s")
    assert decision.result == ["good"]
    assert decision.input_digest == router(1).decide(["good"], "s").input_digest


def test_an_expert_that_raises_is_reported_and_the_routing_stands():
    def broken(_):
        raise ValueError("no such patient")

    decision = BFTRouter({1: broken}, [says(1)] * 4).route("x", "s", strict=True)
    assert decision.consensus
    assert not decision.dispatched
    assert decision.error == "ValueError: no such patient"
    assert "the routing stands" in decision.describe()


def test_nothing_is_dispatched_if_the_sealing_fails():
    called = []
    broken = BFTRouter({1: called.append}, [says(1)] * 4, ledger=Broken())
    for door in (broken.route, broken.decide):
        with pytest.raises(StoreError, match="disk full"):
            door("x", "s")
    assert not called
    assert broken.ledger.rounds("s") == ()


def test_a_round_is_sealed_before_the_expert_runs():
    record = Record()
    lengths = []
    sealed = BFTRouter({1: lambda _: lengths.append(len(record.bodies))}, [says(1)], ledger=record)
    decision = sealed.route("x", "s")
    assert lengths == [1]
    assert decision.receipt == ("receipt", 1)
    assert record.bodies[0]["input_digest"] == decision.input_digest


def test_rounds_are_numbered_within_their_session_whatever_the_threads_do():
    routed = router(1, 1, 1, 1)
    numbers = {"s": [], "t": []}

    def work(session):
        numbers[session].extend(routed.route("x", session).round for _ in range(20))

    threads = [threading.Thread(target=work, args=(s,)) for s in ("s", "s", "t")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(numbers["s"]) == list(range(1, 41))
    assert numbers["t"] == list(range(1, 21))
    assert [r.number for r in routed.ledger.rounds("t")] == numbers["t"]


def test_a_cancelled_route_leaves_no_round_open():
    async def hang(_):
        await asyncio.sleep(60)

    async def main():
        hanging = BFTRouter(EXPERTS, [hang])
        task = asyncio.create_task(hanging.aroute("x", "s"))
        await asyncio.sleep(0.01)
        assert len(hanging.ledger.rounds("s")) == 1
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert hanging.ledger.rounds("s") == ()

    asyncio.run(main())


def test_the_async_doors():
    async def expert(x):
        return x * 2

    async def main():
        routed = BFTRouter({1: expert}, [says(1)] * 4)
        assert (await routed.aroute(21, "s")).result == 42
        decided = await routed.adecide(21, "s")
        assert (decided.round, decided.dispatched, decided.result) == (2, False, None)

    asyncio.run(main())


def test_a_router_that_knows_keys_only_decides_and_does_not_route():
    keys = BFTRouter([1, 2], [says(2)] * 4)
    assert keys.decide("x", "s").expert_key == 2
    with pytest.raises(UsageError, match=r"use decide\(\)"):
        keys.route("x", "s")


def test_ledgers_given():
    shared = BFTLedger()
    assert router(1, ledger=shared).ledger is shared
    record = Record()
    assert router(1, ledger=record).ledger.record is record
    with pytest.raises(UsageTypeError, match="cannot seal"):
        router(1, ledger=[])


@pytest.mark.parametrize(
    ("experts", "match"),
    [
        ({}, "experts is empty"), ({True: says(1)}, "True is a bool"), ({1.0: says(1)}, "1.0 is a"),
        ({1: "no"}, "the expert 1 is 'no', which cannot be called"), ([1, 1], "1 stands twice"),
        ("abc", "mapping or a list"), ([2**53], "beyond"), ([""], "0 characters"),
        (["k" * 257], "257 characters"), (["\ud800"], "half a character"), (range(1025), "1025"),
    ],
)  # fmt: skip
def test_bad_experts_are_refused(experts, match):
    with pytest.raises(UsageError, match=match):
        BFTRouter(experts, [says(1)])


@pytest.mark.parametrize(
    ("replicas", "match"),
    [
        ([], "at least one replica"), ([1], "the replica 'replica-0' is 1"), ("ab", "a list of"),
        ({1: says(1)}, "a replica's id is 1"), ({"": says(1)}, "0 characters"),
        ([says(1)] * 1025, "1025 replicas"), ({"r" * 257: says(1)}, "257"),
    ],
)  # fmt: skip
def test_bad_replicas_are_refused(replicas, match):
    with pytest.raises(UsageError, match=match):
        BFTRouter(EXPERTS, replicas)


@pytest.mark.parametrize("timeout", [0, -1, float("nan"), float("inf"), True, "1"])
def test_bad_timeouts_are_refused(timeout):
    with pytest.raises(UsageError, match="timeout is"):
        router(1, timeout=timeout)


@pytest.mark.parametrize(
    ("x", "match"),
    [
        (object(), "a object, which has no digest; give JSON values"), ({1, 2}, "a set"),
        ([object()], r"\$\[0\]: object is not JSON"), (float("nan"), "nan"), (2**60, "beyond"),
        ({"a": {1: 2}}, "not a string"), (np.array([object()]), "array of object"),
        (np.ma.array([1]), "a kind of array"), (np.float32(1), "float32"), ("\ud800", "surrogate"),
        (np.zeros(1, [("a", "i4")]), "has no digest"), (bytearray(b"x"), "bytearray"),
    ],
)  # fmt: skip
def test_inputs_without_a_digest_are_refused(x, match):
    with pytest.raises(UsageError, match=match):
        router(1).decide(x, "s")


def test_an_input_that_holds_itself_is_refused():
    x = []
    x.append(x)
    with pytest.raises(UsageError, match="nested deeper"):
        router(1).decide(x, "s")


def test_digests_tell_inputs_apart():
    arrays = [np.zeros((2, 3)), np.zeros((3, 2)), np.zeros(6, "f4"), np.zeros(0), np.ones((2, 3))]
    inputs = ["", b"", None, 0, False, [], {}, "0", b"0", *arrays]
    digests = [router(1).decide(x, "s").input_digest for x in inputs]
    assert len(set(digests)) == len(inputs)
    big, little = np.arange(3, dtype=">i4"), np.arange(3, dtype="<i4")
    strided = np.arange(6, dtype="<i4").reshape(3, 2)[:, 0] // 2
    found = {router(1).decide(x, "s").input_digest for x in (big, little, strided)}
    assert len(found) == 1


@pytest.mark.parametrize("session", [None, 1, "", "s" * 257, b"s", "\ud800"])
def test_bad_sessions_are_refused(session):
    with pytest.raises(UsageError, match="session_id"):
        router(1).route("x", session)


def test_ids_at_the_bound_are_taken():
    assert BFTRouter(["k" * 256], {"r" * 256: says("k" * 256)}).decide("x", "s" * 256).consensus


@pytest.mark.parametrize("answers", [(1, 1, 1, 2), (1, 2, "b"), (True, 1.5, None, [])])
def test_a_decision_round_trips(answers):
    decision = router(*answers).route("x", "s")
    text = json.dumps(decision.to_dict())
    back = RoutingDecision.from_dict(json.loads(text))
    assert back.to_dict() == json.loads(text)
    if decision.result is None:
        assert back == decision
    for name in decision.to_dict():
        value = json.loads(text)
        del value[name]
        with pytest.raises(UsageError, match=f"{name}"):
            RoutingDecision.from_dict(value)
    with pytest.raises(UsageError, match="unknown fields"):
        RoutingDecision.from_dict({**json.loads(text), "more": 1})
    with pytest.raises(UsageError, match="consensus"):
        RoutingDecision.from_dict({**json.loads(text), "consensus": 1})


def test_a_result_that_is_not_json_is_shown():
    decision = BFTRouter({1: lambda _: {3}}, [says(1)]).route("x", "s")
    value = decision.to_dict()
    assert value["result_shown"] == "{3}"
    assert "result" not in value
    assert RoutingDecision.from_dict(value).result is None


def test_the_description_tells_the_whole_story():
    def crash(_):
        raise RuntimeError

    replicas = {"a": says(1), "b": says(1), "c": says(1), "d": says(1), "e": says(1),
                "f": says(2), "g": crash}  # fmt: skip
    text = BFTRouter(EXPERTS, replicas).route("x", "req").describe()
    for part in ("Round 1 of session 'req'", "5 of 7 replicas chose expert 1", "5 were needed",
                 "f (2)", "g (crashed)", "independence of these is undeclared"):  # fmt: skip
        assert part in text


def test_absences_read_back():
    one = Absentee("a", "crashed", "x")
    assert Absentee.from_dict(one.to_dict()) == one
    for bad in ({}, None, {**one.to_dict(), "reason": "asleep"}, {**one.to_dict(), "detail": 1},
                {**one.to_dict(), "detail": "x" * 501}):  # fmt: skip
        with pytest.raises(UsageError):
            Absentee.from_dict(bad)
