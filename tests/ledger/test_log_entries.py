"""One spelling of an entry, and bounds on what stands in it."""

import dataclasses
import hashlib
import json

import pytest
import rfc8785
from hypothesis import given
from hypothesis import strategies as st

from quorate.core import limits
from quorate.core.errors import UsageError
from quorate.ledger.entries import (
    Entry,
    check_kind,
    check_origin,
    check_reference,
    commit,
    entry_hash,
    first_prev,
    key_digest,
)

ENTRY = Entry(3, 10**15, "decision", "träce", None, "ab" * 32, "cd" * 32, "ef" * 32)
RAW = ENTRY.encode()
NAMES = ["v", "seq", "time", "kind", "trace_id", "parent", "key", "body_commitment", "prev"]
HEX = st.text("0123456789abcdef", min_size=64, max_size=64)
REFERENCE = st.none() | st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=9)


@given(
    st.builds(
        Entry, st.integers(0, 2**53 - 1), st.integers(0, 2**53 - 1),
        st.sampled_from(["decision", "a.b", "x-1_y/z"]), REFERENCE, REFERENCE,
        st.none() | HEX, HEX, HEX,
    )
)  # fmt: skip
def test_an_entry_is_canonical_and_reads_back(entry):
    raw = entry.encode()
    members = {**dataclasses.asdict(entry), "v": 1}
    assert raw == rfc8785.dumps(members)
    assert entry.to_dict() == members
    assert Entry.decode(raw) == entry
    assert entry_hash(raw) == hashlib.sha256(b"\x00" + raw).digest()


def test_the_hashes_are_those_of_the_design():
    assert first_prev("a/b") == hashlib.sha256(b"a/b").hexdigest()
    assert commit(b"s" * 32, b"{}") == hashlib.sha256(b"s" * 32 + b"{}").hexdigest()
    assert key_digest("k") == hashlib.sha256(b"k").hexdigest()


def changed(**members):
    return rfc8785.dumps({**ENTRY.to_dict(), **members})


BAD = {
    "space": RAW.replace(b":3,", b": 3,"),
    "newline": RAW + b"\n",
    "leading space": b" " + RAW,
    "escaped text": RAW.replace("ä".encode(), b"\\u00e4"),
    "other order": json.dumps(dict(reversed(ENTRY.to_dict().items())), separators=(",", ":"),
                              ensure_ascii=False).encode(),
    "float seq": RAW.replace(b'"seq":3', b'"seq":3.0'),
    "float v": RAW.replace(b'"v":1', b'"v":1.0'),
    "true v": RAW.replace(b'"v":1', b'"v":true'),
    "exponent": RAW.replace(b'"seq":3', b'"seq":3e0'),
    "minus zero": RAW.replace(b'"seq":3', b'"seq":-0'),
    "twice": RAW.replace(b'"seq":3', b'"seq":3,"seq":3'),
    "list": b"[" + RAW + b"]",
    "null": b"null",
    "empty": b"",
    "cut": RAW[:-1],
    "not utf-8": RAW.replace("ä".encode(), b"\xe4"),
    "extra member": changed(extra=1),
    "v 2": changed(v=2),
    "v text": changed(v="1"),
    "seq text": changed(seq="3"),
    "seq negative": changed(seq=-1),
    "seq true": changed(seq=True),
    "seq null": changed(seq=None),
    "time float": changed(time=1.5),
    "time negative": changed(time=-1),
    "kind empty": changed(kind=""),
    "kind null": changed(kind=None),
    "kind capital": changed(kind="Decision"),
    "trace empty": changed(trace_id=""),
    "trace number": changed(trace_id=1),
    "trace long": changed(trace_id="x" * 257),
    "parent list": changed(parent=[]),
    "key short": changed(key="ab"),
    "key capital": changed(key="AB" * 32),
    "key number": changed(key=1),
    "commitment null": changed(body_commitment=None),
    "prev null": changed(prev=None),
    "prev newline": changed(prev="ef" * 32 + "\n"),
    **{f"no {name}": rfc8785.dumps({k: v for k, v in ENTRY.to_dict().items() if k != name})
       for name in NAMES},
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_no_other_spelling_is_read(name):
    assert BAD[name] != RAW
    with pytest.raises(UsageError):
        Entry.decode(BAD[name])


@given(st.integers(0, len(RAW) - 1), st.integers(1, 255))
def test_any_changed_byte_is_refused_or_another_entry(place, mask):
    bad = RAW[:place] + bytes([RAW[place] ^ mask]) + RAW[place + 1 :]
    try:
        entry = Entry.decode(bad)
    except UsageError:
        return
    assert entry != ENTRY
    assert entry.encode() == bad


LONG = limits.MAX_ID_LENGTH


@pytest.mark.parametrize("kind", ["a", "decision", "a1.b2/c-d_e", "x" * LONG])
def test_kinds_that_are_usable(kind):
    assert check_kind(kind) == kind


@pytest.mark.parametrize(
    "kind",
    [
        "",
        "A",
        "1a",
        "a b",
        "a..b",
        ".a",
        "a.",
        "a\n",
        "é",
        "a\x00",
        "x" * (LONG + 1),
        None,
        1,
        b"a",
    ],
)
def test_kinds_that_are_not(kind):
    with pytest.raises(UsageError, match="the kind"):
        check_kind(kind)


def test_references_at_the_bound_and_one_past():
    assert check_reference(None, "trace_id") is None
    for good in ("x", "é" * LONG, "\x00", "😀"):
        assert check_reference(good, "trace_id") == good
    for bad in ("", "x" * (LONG + 1), 1, b"x", True, "\ud800", "é\udfff"):
        with pytest.raises(UsageError, match="trace_id"):
            check_reference(bad, "trace_id")


def test_origins_at_the_bound_and_one_past():
    for good in ("a", "example.org/log", "~" * LONG, "!"):
        assert check_origin(good) == good
    for bad in ("", "a b", "a+b", "a\n", "é", "\x7f", "x" * (LONG + 1), None, 1, b"a"):
        with pytest.raises(UsageError, match="origin"):
            check_origin(bad)
