"""What is appended is found again: one order, no gaps, one entry per key."""

import contextlib
import time

import pytest
from ledger_tools import COSIGNER, KEY, MAC, ORIGIN, STRANGER, ledger_of, rows, sql

from quorate.core import limits
from quorate.core.errors import StoreError, UsageError, UsageTypeError, VerificationError
from quorate.core.identity import HmacSigner
from quorate.ledger import Ledger
from quorate.ledger.log import parse_url
from quorate.ledger.sqlite import PAGE_ROWS

MANY = 2 * PAGE_ROWS + 7


@pytest.fixture(scope="module")
def long_ledger():
    with Ledger.open("memory:", signer=MAC, origin=ORIGIN) as ledger:
        traces = [f"t{n % 3}" for n in range(MANY)]
        keys = [f"k{n}" for n in range(MANY)]
        ledger.append_many("note", list(range(MANY)), keys=keys, trace_ids=traces)
        ledger.append_many("other", ["x", "y"])
        yield ledger


def test_reading_goes_past_the_page(long_ledger):
    assert len(long_ledger) == MANY + 2
    assert [r.seq for r in long_ledger] == list(range(MANY + 2))
    assert [r.payload for r in long_ledger.find(kind="note")] == list(range(MANY))
    assert [r.payload for r in long_ledger.find(kind="other")] == ["x", "y"]
    assert [r.payload for r in long_ledger.find(trace_id="t1")] == list(range(1, MANY, 3))
    assert [r.seq for r in long_ledger.find(trace_id="t1", kind="other")] == []
    assert [r.seq for r in long_ledger.find(start=MANY)] == [MANY, MANY + 1]
    assert [r.seq for r in long_ledger.find(start=MANY - 4, trace_id="t0")] == [
        n for n in range(MANY - 4, MANY) if n % 3 == 0
    ]
    assert list(long_ledger.find(start=MANY + 2)) == []
    assert long_ledger.verify().size == MANY + 2


@pytest.mark.parametrize("size", [PAGE_ROWS - 1, PAGE_ROWS, PAGE_ROWS + 1, 2 * PAGE_ROWS])
def test_sizes_about_a_page(size):
    with Ledger.open("memory:", signer=MAC) as ledger:
        ledger.append_many("note", list(range(size)))
        assert [r.payload for r in ledger] == list(range(size))


def test_get_and_by_key(long_ledger):
    for seq in (0, 1, PAGE_ROWS, MANY - 1):
        assert long_ledger.get(seq).payload == long_ledger.by_key(f"k{seq}").payload == seq
    assert long_ledger.by_key("none") is None
    for bad in (-1, MANY + 2, 2**53, 2**70, -(2**70)):
        with pytest.raises(UsageError, match=f"there is no entry {bad}; there are {MANY + 2}"):
            long_ledger.get(bad)
    for bad in (True, "0", None, 1.0):
        with pytest.raises(UsageTypeError, match="seq is"):
            long_ledger.get(bad)


def test_an_empty_ledger():
    with Ledger.open("memory:") as ledger:
        assert (len(ledger), list(ledger)) == (0, [])
        with pytest.raises(UsageError, match="empty"):
            ledger.get(0)
        report = ledger.verify(ledger.checkpoint())
        assert (report.size, report.complete) == (0, True)
        assert ledger.append_many("note", []) == []


def test_a_receipt_comes_back_as_it_was_given():
    with ledger_of(0) as ledger:
        given = ledger.append("note", {"é": [1.5, None]}, trace_id="t", parent="p", key="k")
        assert ledger.get(0) == given == ledger.by_key("k")
        assert given.payload == {"é": [1.5, None]}


@pytest.mark.parametrize("body", [1e16, {"x": [2.0**60, -1e20]}, 9007199254740992.0, 1e21, -0.0])
def test_whatever_can_be_sealed_can_be_verified(body):
    with ledger_of(1) as ledger:
        receipt = ledger.append("note", body)
        assert receipt.payload == body
        assert ledger.verify().size == 2


def test_one_key_one_entry():
    with ledger_of(0) as ledger:
        first = ledger.append("note", {"a": 1, "b": 2}, key="k", trace_id="t")
        again = ledger.append("note", {"b": 2, "a": 1}, key="k", trace_id="other")
        assert again == first
        for kind, body in (("note", {"a": 1}), ("other", {"a": 1, "b": 2})):
            with pytest.raises(UsageError, match="that key was used for entry 0"):
                ledger.append(kind, body, key="k")
        assert len(ledger) == 1
        ledger.append("note", {"a": 1})
        ledger.append("note", {"a": 1})
        assert len(ledger) == 3


def test_keys_within_one_batch():
    with ledger_of(0) as ledger:
        a, b, c = ledger.append_many("note", [1, 2, 1], keys=["x", "y", "x"])
        assert (a, b.seq) == (c, 1)
        assert [r.seq for r in ledger.append_many("note", [3, 2, 4], keys=["z", "y", "w"])] == [
            2,
            1,
            3,
        ]
        with pytest.raises(UsageError, match="that key"):
            ledger.append_many("note", [5, 6], keys=["v", "v"])
        with pytest.raises(UsageError, match="that key"):
            ledger.append_many("note", [5, 6], keys=["v", "x"])
        assert (len(ledger), ledger.by_key("v")) == (4, None)
        # What was withdrawn leaves no trace: its key is free.
        assert ledger.append("note", "new", key="v").seq == 4
        assert ledger.verify().size == 5


BAD_BODIES = [float("nan"), {1: 2}, b"x", 2**53, "\ud800", object()]


@pytest.mark.parametrize("bad", BAD_BODIES, ids=lambda bad: type(bad).__name__)
def test_a_batch_with_one_bad_body_writes_nothing(bad):
    with ledger_of(1) as ledger:
        with pytest.raises(UsageError, match=r"\$"):
            ledger.append_many("note", [1, 2, bad, 3])
        with pytest.raises(UsageError, match=r"\$"):
            ledger.append("note", bad)
        assert len(ledger) == 1
        assert ledger.append("note", "fine").seq == 1
        assert ledger.verify().size == 2


@pytest.mark.parametrize(
    "options",
    [
        {"trace_id": ""}, {"trace_id": 5}, {"trace_id": "x" * 257}, {"trace_id": "\ud800"},
        {"parent": ""}, {"parent": b"x"}, {"key": ""}, {"key": 5}, {"key": "\ud800"},
    ],
)  # fmt: skip
def test_bad_arguments_are_named_and_write_nothing(options):
    (name,) = options
    with ledger_of(1) as ledger:
        with pytest.raises(UsageError, match=name):
            ledger.append("note", 1, **options)
        with pytest.raises(UsageError, match="the kind"):
            ledger.append("No Kind", 1)
        assert len(ledger) == 1


@pytest.mark.parametrize("lists", [{"keys": ["a"]}, {"trace_ids": ["a", "b", "c"]}, {"keys": []}])
def test_lists_of_different_lengths(lists):
    with ledger_of(1) as ledger:
        with pytest.raises(UsageError):
            ledger.append_many("note", [1, 2], **lists)
        assert len(ledger) == 1


@pytest.mark.parametrize(
    "query", [{"trace_id": "\ud800"}, {"kind": "\ud800"}, {"start": 2**63}, {"start": "0"}]
)
def test_a_look_up_that_makes_no_sense_is_the_callers_mistake_or_finds_nothing(query):
    with ledger_of(1) as ledger:
        with contextlib.suppress(UsageError):
            assert list(ledger.find(**query)) == []
        with pytest.raises(UsageError):
            ledger.by_key("\ud800")


def test_a_batch_at_the_bound_and_one_past():
    with Ledger.open("memory:", signer=MAC) as ledger:
        with pytest.raises(UsageError, match=f"{limits.MAX_BATCH + 1} entries at once"):
            ledger.append_many("note", [0] * (limits.MAX_BATCH + 1))
        assert len(ledger) == 0
        assert len(ledger.append_many("note", [0] * limits.MAX_BATCH)) == limits.MAX_BATCH


def test_a_body_at_the_bound_and_one_past():
    with Ledger.open("memory:", signer=MAC) as ledger:
        ledger.append("note", "x" * (limits.MAX_BODY_BYTES - 2))
        with pytest.raises(UsageError, match="the body has"):
            ledger.append("note", "x" * (limits.MAX_BODY_BYTES - 1))
        assert ledger.verify().size == 1


def test_signers_at_the_bound_and_one_past():
    signers = [HmacSigner(bytes([n]) * 32) for n in range(limits.MAX_KEYS + 1)]
    with Ledger.open("memory:", signer=signers[:-1]) as ledger:
        assert len(ledger.append("note", 1).signatures) == limits.MAX_KEYS
        assert ledger.verify().size == 1
    for bad in (signers, [KEY, KEY]):
        with pytest.raises(UsageError, match="each once"):
            Ledger.open("memory:", signer=bad)


def test_time_never_goes_back():
    times = iter([500, 400, 5, 501, 501, 0])
    with ledger_of(0, clock=lambda: next(times)) as ledger:
        found = [ledger.append("note", n).entry.time for n in range(6)]
        assert found == [500, 500, 500, 501, 501, 501]
        assert ledger.verify().size == 6


def test_memory_ledgers_are_apart_and_have_a_name_of_their_own():
    with Ledger.open("memory:") as a, Ledger.open("memory:") as b:
        a.append("note", 1)
        assert (len(a), len(b)) == (1, 0)
        assert a.origin != b.origin
        assert a.get(0).signer != b.append("note", 1).signer


def test_reopening(tmp_path):
    url = f"sqlite:///{tmp_path / 'l.db'}"
    with ledger_of(3, url=url) as ledger:
        note = ledger.checkpoint()
    with Ledger.open(url, signer=KEY) as again:
        assert again.origin == ORIGIN
        assert again.append("note", 3).seq == 3
        assert again.verify(note).proven == 3
        assert again.checkpoint() != note
    for signer in (STRANGER, MAC, (KEY, COSIGNER)):
        with pytest.raises(UsageError, match="last signed by"):
            Ledger.open(url, signer=signer)
    with pytest.raises(UsageError, match=r"origin is 'example\.org/log', not 'b'"):
        Ledger.open(url, signer=KEY, origin="b")
    with pytest.raises(UsageError, match="not usable"):
        Ledger.open(url, signer=KEY, origin="a b")
    with Ledger.open(url) as reader:
        assert len(reader) == 4
        with pytest.raises(UsageError, match="opened for reading"):
            reader.append("note", 1)
        with pytest.raises(UsageError, match="opened for reading"):
            reader.checkpoint()
        assert [r.payload for r in reader][-1] == 3
    with Ledger.open(url, verify_with=KEY.verifier) as reader:
        assert reader.verify(note).size == 4
    with (
        Ledger.open(url, verify_with=[STRANGER.verifier]) as reader,
        pytest.raises(VerificationError, match="signature"),
    ):
        reader.get(0)


def test_a_reader_sees_what_a_writer_adds_and_changes_nothing(tmp_path):
    url = f"sqlite:///{tmp_path / 'l.db'}"
    with ledger_of(1, url=url) as writer, Ledger.open(url) as reader:
        writer.append("note", "more")
        assert len(reader) == 2
        with pytest.raises(Exception, match=r"readonly|read-only|query_only"):
            sql(reader, "DELETE FROM entries")
    assert [p.name for p in tmp_path.iterdir()] == ["l.db"]


def test_a_damaged_row_is_not_handed_out():
    with ledger_of(3) as ledger:
        sql(ledger, "UPDATE entries SET body = '{\"n\":7}' WHERE seq = 1")
        for look in (lambda: ledger.get(1), lambda: ledger.by_key("k1"), lambda: list(ledger)):
            with pytest.raises(VerificationError) as caught:
                look()
            assert (caught.value.index, caught.value.rule) == (1, "commitment")
        assert ledger.get(0).payload == {"n": 0}


def test_a_ledger_with_a_damaged_end_is_not_built_upon(tmp_path):
    url = f"sqlite:///{tmp_path / 'l.db'}"
    with ledger_of(3, url=url) as ledger:
        sql(ledger, "UPDATE entries SET salt = zeroblob(32) WHERE seq = 2")
    with pytest.raises(VerificationError, match="entry 2"):
        Ledger.open(url, signer=KEY)


@pytest.mark.parametrize(
    "url",
    ["", "ledger.db", "sqlite:", "sqlite://x", "sqlite:///", "postgresql://x", "memory", "file:x"],
)
def test_urls_of_another_form(url):
    with pytest.raises(UsageError, match="not usable"):
        Ledger.open(url)


def test_urls():
    assert parse_url("memory:") is None
    assert str(parse_url("sqlite:///a/b.db")) == "a/b.db"
    assert str(parse_url("sqlite:////a/b.db")) == "/a/b.db"
    with pytest.raises(UsageTypeError):
        parse_url(None)


@pytest.mark.parametrize("name", ["a b.db", "q?mode=memory", "h#1.db", "p%20.db", "é.db", "';--"])
def test_odd_file_names(tmp_path, name):
    url = f"sqlite:///{tmp_path / name}"
    with ledger_of(2, url=url):
        pass
    assert (tmp_path / name).is_file()
    with Ledger.open(url) as reader:
        assert len(reader) == 2


def test_a_closed_ledger_says_so():
    ledger = ledger_of(1)
    ledger.close()
    for call in (
        lambda: ledger.append("note", 1),
        lambda: list(ledger),
        lambda: len(ledger),
        ledger.verify,
    ):
        with pytest.raises(UsageError, match="closed"):
            call()
    ledger.close()


def test_missing(tmp_path):
    with pytest.raises(StoreError, match=r"there is no ledger at .*none\.db"):
        Ledger.open(f"sqlite:///{tmp_path / 'none.db'}")
    assert list(tmp_path.iterdir()) == []
    with ledger_of(0) as ledger:
        assert rows(ledger) == []


def test_the_border_of_salt_and_body_cannot_be_moved():
    with Ledger.open("memory:", signer=KEY) as ledger:
        ledger.append("note", 12345, key="k")
        sql(ledger, "UPDATE entries SET salt = CAST(salt || x'31' AS BLOB), body = '2345'")
        for look in (
            lambda: ledger.get(0),
            lambda: ledger.by_key("k"),
            lambda: list(ledger),
            ledger.verify,
        ):
            with pytest.raises(VerificationError) as caught:
                look()
            assert caught.value.rule == "commitment"


@pytest.mark.parametrize(
    "clock", [time.time_ns, time.time, lambda: True, lambda: -1, lambda: "now"]
)
def test_a_clock_that_gives_no_microseconds_is_refused(clock):
    with Ledger.open("memory:", clock=clock) as ledger:
        with pytest.raises(UsageError, match="the clock gives"):
            ledger.append("note", 1)
        assert len(ledger) == 0
