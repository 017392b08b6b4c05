"""Appending on a condition: of all that act on the same state, one succeeds."""

import threading

import pytest
from ledger_tools import MAC, ORIGIN

from quorate.core.errors import HeadMovedError, StoreError, UsageError
from quorate.ledger import Ledger
from quorate.ledger.appending import EntryTimeError


@pytest.fixture
def url(tmp_path):
    return f"sqlite:///{tmp_path / 'ledger.db'}"


def opened(url):
    return Ledger.open(url, signer=MAC, origin=ORIGIN)


def test_it_is_written_where_the_log_is_as_expected():
    with Ledger.open("memory:", signer=MAC) as ledger:
        assert ledger.append("note", 1, expect=0).seq == 0
        assert [
            r.seq for r in ledger.append_all([("note", n, None, None) for n in (2, 3)], expect=1)
        ]
        with pytest.raises(HeadMovedError, match="has 3 entries, and 1 were expected") as caught:
            ledger.append("note", 4, expect=1)
        assert isinstance(caught.value, StoreError)
        with pytest.raises(HeadMovedError, match="and 4 were expected"):
            ledger.append_all([("note", 4, None, None), ("note", 5, None, None)], expect=4)
        assert [r.payload for r in ledger] == [1, 2, 3]
        assert ledger.append("note", 4, expect=3).seq == 3


def test_what_another_process_wrote_counts(url):
    with opened(url) as one, opened(url) as other:
        one.append("note", "a", expect=0)
        with pytest.raises(HeadMovedError):
            other.append("note", "b", expect=0)
        other.append("note", "b", expect=1)
        assert [r.payload for r in one] == ["a", "b"]


def test_a_key_that_is_there_is_found_whatever_is_expected():
    with Ledger.open("memory:", signer=MAC) as ledger:
        first = ledger.append("note", 1, key="k", expect=0)
        assert ledger.append("note", 1, key="k", expect=0) == first
        assert len(ledger) == 1


def test_of_many_that_expect_the_same_one_is_written(url):
    moved, written = [], []
    ready = threading.Barrier(8)

    def act(ledger, name):
        ready.wait(30)
        for turn in range(20):
            try:
                written.append(ledger.append("note", [name, turn], expect=turn).seq)
            except HeadMovedError:
                moved.append(name)
            ready.wait(30)

    with opened(url) as one, opened(url) as other:
        threads = [threading.Thread(target=act, args=((one, other)[n % 2], n)) for n in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        assert sorted(written) == list(range(20))
        assert len(moved) == 7 * 20
        assert len(one) == 20
        assert one.verify(one.checkpoint()).complete


def of(*traces):
    return lambda entry: entry.trace_id in traces


def test_what_has_no_bearing_holds_nobody_up(url):
    with opened(url) as one, opened(url) as other:
        one.append("note", 1, trace_id="a", expect=0)
        other.append("note", 2, trace_id="b")
        other.append("note", 3, trace_id="c")
        with pytest.raises(HeadMovedError, match="and 1 were expected"):
            one.append("note", 4, trace_id="a", expect=1)
        with pytest.raises(HeadMovedError, match="entry 2 was written since entry 1"):
            one.append("note", 4, trace_id="a", expect=1, unless=of("c"))
        assert one.append("note", 4, trace_id="a", expect=1, unless=of("a")).seq == 3
        with pytest.raises(HeadMovedError, match="entry 3 was written since"):
            other.append("note", 5, trace_id="a", expect=1, unless=of("a"))
        with pytest.raises(HeadMovedError, match="has 4 entries, and 9 were expected"):
            one.append("note", 4, expect=9, unless=of())
        with pytest.raises(UsageError, match="unless goes with expect"):
            one.append("note", 4, unless=of())
        two = [("note", 6, "a", None), ("note", 7, "d", None)]
        with pytest.raises(HeadMovedError, match="entry 3 was written since"):
            other.append_all(two, expect=1, unless=of("a"))
        assert [done.seq for done in other.append_all(two, expect=1, unless=of("z"))] == [4, 5]
        with pytest.raises(UsageError, match="unless goes with expect"):
            one.append_all(two, unless=of())


def test_of_many_that_bear_on_each_other_one_is_written_among_others_that_do_not(url):
    """Also where they are written in one and the same commit."""
    written, moved = [], []
    ready = threading.Barrier(6)

    def rival(ledger, name):
        ready.wait(30)
        for turn in range(15):
            try:
                receipt = ledger.append(
                    "note", [name, turn], trace_id="rivals", expect=0, unless=of("rivals")
                )
                written.append(receipt.seq)
            except HeadMovedError:
                moved.append(name)

    def bystander(ledger, name):
        ready.wait(30)
        for turn in range(30):
            ledger.append("note", [name, turn], trace_id=name)

    with opened(url) as one, opened(url) as other:
        threads = [
            threading.Thread(target=act, args=(ledger, f"{act.__name__} {n}"))
            for n, (ledger, act) in enumerate(
                (ledger, act) for act in (rival, rival, bystander) for ledger in (one, other)
            )
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(written) == 1
        assert len(moved) == 59
        assert len(one) == 61


def test_an_entry_is_written_within_its_time_or_not_at_all(url):
    """So is one whose clock is right, where the log's last entry is far ahead of it."""
    times = iter([100, 90, 100, 111, 110, 0])
    with Ledger.open(url, signer=MAC, origin=ORIGIN, clock=lambda: next(times)) as ledger:
        assert ledger.append("note", 1, within=(100, 100)).entry.time == 100
        with pytest.raises(EntryTimeError, match="would be sealed at 100, and only from 80 to 99"):
            ledger.append("note", 2, within=(80, 99))
        assert ledger.append("note", 2, within=(90, 110)).entry.time == 100
        with pytest.raises(EntryTimeError, match="would be sealed at 111"):
            ledger.append("note", 3, within=(90, 110), key="k")
        assert (len(ledger), ledger.by_key("k")) == (2, None)
        assert ledger.append("note", 3, within=(90, 110), key="k").entry.time == 110
        # What is sealed already is found, whenever that was.
        assert ledger.append("note", 3, within=(0, 1), key="k").seq == 2
        assert ledger.clock() == 0
        assert ledger.verify().size == 3
