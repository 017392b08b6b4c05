import copy
import json
import threading
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quorate.core.canonical import digest
from quorate.core.errors import MisbehaviourError, StoreError, UsageError, VerificationError
from quorate.routing import Absentee, BFTLedger
from quorate.routing.sealed import body_of, replay

DIGEST = "ab" * 32
ROSTER = ["d", "b", "a", "c"]


def opened(ledger, session="s", roster=ROSTER, experts=(1, 2, "x"), faults=None):
    return ledger.open(session, roster, DIGEST, experts, faults)


class Record:
    def __init__(self):
        self.bodies = []
        self.fails = False

    def append(self, kind, body, *, trace_id=None, parent=None, key=None):
        if self.fails:
            raise StoreError("disk full")
        self.bodies.append(json.loads(json.dumps(body)))
        return len(self.bodies)


def test_a_round_from_opening_to_conclusion():
    ledger = BFTLedger()
    assert opened(ledger) == 1
    for replica in "ab":
        assert ledger.vote("s", 1, replica, 1).decided is None
    state = ledger.vote("s", 1, "c", 1)
    assert state.ballot.experts[state.decided] == 1
    done = ledger.conclude("s", 1, [Absentee("d", "crashed", "boom")])
    assert done.verdict.votes == 3
    assert done.absent == (Absentee("d", "crashed", "boom"),)
    assert ledger.concluded("s", 1) is done
    assert opened(ledger) == 2
    assert opened(ledger, "t") == 1
    assert ledger.round("s", 1).closed


def test_members_without_a_word_are_absent():
    ledger = BFTLedger()
    opened(ledger)
    ledger.vote("s", 1, "b", "x")
    done = ledger.conclude("s", 1, [Absentee("c", "crashed")])
    assert [(a.replica, a.reason) for a in done.absent] == [
        ("a", "timeout"),
        ("c", "crashed"),
        ("d", "timeout"),
    ]


def test_equivocations_are_kept():
    ledger = BFTLedger()
    opened(ledger)
    opened(ledger, "t")
    ledger.vote("s", 1, "a", 1)
    ledger.vote("s", 1, "a", [7])
    ledger.vote("s", 1, "a", 2)
    ledger.vote("t", 1, "b", "nobody")
    ledger.vote("t", 1, "b", 2)
    [first] = ledger.equivocations("s")
    assert (first.replica, first.number, first.input_digest) == ("a", 1, DIGEST)
    assert sorted(map(str, first.proposals)) == ["{'key': 1}", "{'void': '[7]'}"]
    assert [e.session_id for e in ledger.equivocations()] == ["s", "t"]
    assert "a" not in ledger.round("s", 1).votes


def test_after_the_conclusion_only_equivocations_are_taken():
    ledger = BFTLedger()
    opened(ledger)
    ledger.vote("s", 1, "a", 1)
    done = ledger.conclude("s", 1)
    with pytest.raises(UsageError, match="closed"):
        ledger.vote("s", 1, "b", 1)
    ledger.vote("s", 1, "a", 2)
    assert ledger.equivocations()[0].replica == "a"
    assert ledger.concluded("s", 1) is done
    assert done.verdict.equivocating == ()
    with pytest.raises(UsageError, match="concluded already"):
        ledger.conclude("s", 1)


def test_strangers_are_refused():
    ledger = BFTLedger()
    opened(ledger)
    before = ledger.round("s", 1)
    with pytest.raises(MisbehaviourError, match="zed"):
        ledger.vote_all("s", 1, [("a", 1), ("zed", 1)])
    with pytest.raises(MisbehaviourError, match="zed"):
        ledger.conclude("s", 1, [Absentee("zed", "crashed")])
    assert ledger.round("s", 1) is before


def test_absences_must_be_true():
    ledger = BFTLedger()
    opened(ledger)
    ledger.vote("s", 1, "a", 1)
    for absences in ([Absentee("a", "crashed")], [Absentee("b", "crashed")] * 2,
                     [Absentee("b", "asleep")]):  # fmt: skip
        with pytest.raises(UsageError):
            ledger.conclude("s", 1, absences)
    assert not ledger.round("s", 1).closed


@pytest.mark.parametrize(
    "arguments",
    [
        ("", ROSTER, DIGEST, [1]), (1, ROSTER, DIGEST, [1]), ("s", "abcd", DIGEST, [1]),
        ("s", ["a", "a"], DIGEST, [1]), ("s", [], DIGEST, [1]), ("s", [1], DIGEST, [1]),
        ("s", ROSTER, "ab", [1]), ("s", ROSTER, "AB" * 32, [1]), ("s", ROSTER, DIGEST, []),
        ("s", ROSTER, DIGEST, [True]), ("s", ROSTER, DIGEST, [1], 2), ("s", ROSTER, None, [1]),
    ],
)  # fmt: skip
def test_bad_openings_are_refused(arguments):
    ledger = BFTLedger()
    with pytest.raises(UsageError):
        ledger.open(*arguments)
    assert opened(ledger) == 1


def test_a_failed_sealing_gives_nothing_out_and_can_be_tried_again():
    record = Record()
    ledger = BFTLedger(record)
    opened(ledger)
    ledger.vote("s", 1, "a", 1)
    record.fails = True
    with pytest.raises(StoreError):
        ledger.conclude("s", 1)
    assert ledger.concluded("s", 1) is None
    with pytest.raises(UsageError, match="closed"):
        ledger.vote("s", 1, "b", 1)
    record.fails = False
    assert ledger.conclude("s", 1).receipt == 1
    assert len(record.bodies) == 1


def test_memory_is_bounded():
    ledger = BFTLedger(keep_rounds=3, keep_sessions=2, max_open=2)
    for number in range(1, 8):
        assert opened(ledger) == number
        ledger.conclude("s", number)
    assert [r.number for r in ledger.rounds("s")] == [5, 6, 7]
    with pytest.raises(UsageError, match="last 3 concluded"):
        ledger.round("s", 4)
    for session in "tuvw":
        ledger.conclude(session, opened(ledger, session))
    # Round 7 of s is gone with the rest, and s with it; w is remembered.
    assert ledger.rounds("s") == ()
    assert opened(ledger, "w") == 2
    assert opened(ledger, "s") == 1
    with pytest.raises(UsageError, match="2 rounds are open"):
        opened(ledger, "y")
    ledger.abandon("s", 1)
    assert opened(ledger, "s") == 2
    ledger.abandon("s", 9)
    assert len(ledger._sessions) <= 4


def test_a_session_with_a_round_kept_is_not_forgotten():
    ledger = BFTLedger(keep_sessions=1)
    opened(ledger)
    for session in "tuv":
        ledger.conclude(session, opened(ledger, session))
    assert opened(ledger) == 2
    assert opened(ledger, "t") == 2


@pytest.mark.parametrize("limit", ["keep_rounds", "keep_sessions", "max_open"])
@pytest.mark.parametrize("value", [0, -1, True, 1.0])
def test_bad_limits_are_refused(limit, value):
    with pytest.raises(UsageError, match=limit):
        BFTLedger(**{limit: value})


def test_two_threads_conclude_a_round_once():
    class Slow(Record):
        def append(self, *args, **options):
            time.sleep(0.05)
            return super().append(*args, **options)

    record = Slow()
    ledger = BFTLedger(record)
    opened(ledger)
    results = []

    def work():
        try:
            results.append(ledger.conclude("s", 1))
        except UsageError as error:
            results.append(error)

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(record.bodies) == 1
    assert sum(isinstance(r, UsageError) for r in results) == 7


def sealed(votes, roster=ROSTER, absences=(), faults=None):
    record = Record()
    ledger = BFTLedger(record)
    opened(ledger, roster=roster, faults=faults)
    for replica, key in votes:
        ledger.vote("s", 1, replica, key)
    ledger.conclude("s", 1, absences)
    return record.bodies[0]


ANSWERS = st.sampled_from(
    [1, 1, 1, 2, "x", "nobody", 7, None, True, 2.0, 1.5, float("nan"), (), ""]
)


def counted(body):
    """The verdict of a sealed round, counted by hand from its votes."""
    chosen = {vote["replica"]: vote.get("key") for vote in body["votes"]}
    void = sorted(r for r, key in chosen.items() if key not in body["experts"])
    counts = {key: list(chosen.values()).count(key) for key in body["experts"]}
    key = next((key for key, count in counts.items() if count >= body["quorum"]), None)
    return {
        "consensus": key is not None,
        "key": key,
        "agreed_hash": None if key is None else digest({"key": key}),
        "votes": max(counts.values()),
        "dissenting": sorted(r for r, k in chosen.items() if key is not None and k != key),
        "void": void,
        "equivocating": sorted(each["replica"] for each in body["equivocations"]),
    }


@given(st.integers(1, 7), st.data())
def test_every_sealed_round_says_what_its_votes_say_and_replays(n, data):
    roster = [f"r{i}" for i in range(n)]
    casts = st.tuples(st.sampled_from(roster), ANSWERS)
    body = sealed(data.draw(st.lists(casts, max_size=2 * n + 2)), roster)
    assert body["verdict"] == counted(body)
    replay("routing", body)


def test_a_roster_of_one_replays():
    replay("routing", sealed([("a", "nobody"), ("a", 1)], ["a"]))
    replay("routing", sealed([("a", 1), ("a", "nobody")], ["a"]))


COMMITTED = [("a", 1), ("b", 1), ("c", 1), ("d", "nobody"), ("c", 2)]
REFUSED = [("a", 1), ("b", 2), ("c", 1), ("c", None)]

# Data that no rule can check: only the ledger's hashes and signatures hold it.
FREE = {("session",), ("round",), ("input_digest",), ("absences", 0, "detail"),
        ("absences", 0, "reason")}  # fmt: skip


def paths(value, path=()):
    yield path
    if isinstance(value, dict):
        for name, item in value.items():
            yield from paths(item, (*path, name))
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from paths(item, (*path, index))


def changed(body, path, change):
    body = copy.deepcopy(body)
    *most, last = path
    target = body
    for step in most:
        target = target[step]
    if change == "drop":
        del target[last]
    elif change == "double" and isinstance(target, list):
        target.insert(last, target[last])
    elif change == "double":
        target["unknown"] = target[last]
    else:
        target[last] = change
    return body


@pytest.mark.parametrize("votes", [COMMITTED, REFUSED])
def test_any_change_of_one_field_is_refused_or_says_something_else(votes):
    """What survives is another true story: its verdict follows from its votes."""
    body = sealed(votes)
    replay("routing", body)
    for path in list(paths(body))[1:]:
        for change in ("drop", "double", None, True, False, 0, 1, 2, 3, 1.5, "", "a", "b", "c",
                       "f" * 64, "crashed", [], {}, ["a"]):  # fmt: skip
            forged = changed(body, path, change)
            if json.dumps(forged) == json.dumps(body):
                continue
            if refusal(forged) is None:
                told = path in FREE or path[0] in ("votes", "equivocations", "experts")
                # At n = 4 no liar and one liar need the same quorum of three.
                assert told or (path == ("faults",) and change in (0, False)), (path, change)
                assert forged["verdict"]["consensus"] == body["verdict"]["consensus"]


def refusal(body):
    try:
        replay("routing", body)
    except VerificationError as error:
        return error.rule
    return None


def test_a_forged_verdict_is_refused_whatever_it_claims():
    body = sealed(REFUSED)
    other = sealed(COMMITTED)
    with pytest.raises(VerificationError, match="verdict"):
        replay("routing", {**body, "verdict": other["verdict"]})
    for name, value in (("quorum", 2), ("faults", 2), ("roster", ["a", "b", "c"]),
                        ("experts", [2, 1, "x"]), ("rule", "bft-route/2")):  # fmt: skip
        with pytest.raises(VerificationError):
            replay("routing", {**body, name: value})
    for kind, bad in (("decision", body), ("routing", []), ("routing", None), ("routing", {})):
        with pytest.raises(VerificationError):
            replay(kind, bad)


def test_bodies_are_written_sorted():
    body = sealed([("c", 2), ("a", 1), ("b", "nobody")])
    assert body["roster"] == ["a", "b", "c", "d"]
    assert [vote["replica"] for vote in body["votes"]] == ["a", "b", "c"]
    assert body["experts"] == [1, 2, "x"]
    assert body["verdict"]["void"] == ["b"]
    assert callable(body_of)
