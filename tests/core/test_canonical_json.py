"""Canonical bytes: RFC 8785's own vectors, a twin library, and every refusal with its path."""

import datetime as dt
import json
import math
import struct
from collections import OrderedDict
from decimal import Decimal
from enum import IntEnum, StrEnum

import numpy as np
import pytest
import rfc8785
from hypothesis import example, given, settings
from hypothesis import strategies as st

from quorate.core import limits
from quorate.core.canonical import CanonicalError, canonical, digest, parse

# RFC 8785, appendix B: the bits of a double and the text it takes.
NUMBERS = [
    ("0000000000000000", "0"),
    ("8000000000000000", "0"),
    ("0000000000000001", "5e-324"),
    ("8000000000000001", "-5e-324"),
    ("7fefffffffffffff", "1.7976931348623157e+308"),
    ("ffefffffffffffff", "-1.7976931348623157e+308"),
    ("4340000000000000", "9007199254740992"),
    ("c340000000000000", "-9007199254740992"),
    ("4430000000000000", "295147905179352830000"),
    ("44b52d02c7e14af5", "9.999999999999997e+22"),
    ("44b52d02c7e14af6", "1e+23"),
    ("44b52d02c7e14af7", "1.0000000000000001e+23"),
    ("444b1ae4d6e2ef4e", "999999999999999700000"),
    ("444b1ae4d6e2ef4f", "999999999999999900000"),
    ("444b1ae4d6e2ef50", "1e+21"),
    ("3eb0c6f7a0b5ed8c", "9.999999999999997e-7"),
    ("3eb0c6f7a0b5ed8d", "0.000001"),
    ("41b3de4355555553", "333333333.3333332"),
    ("41b3de4355555554", "333333333.33333325"),
    ("41b3de4355555555", "333333333.3333333"),
    ("41b3de4355555556", "333333333.3333334"),
    ("41b3de4355555557", "333333333.33333343"),
    ("becbf647612f3696", "-0.0000033333333333333333"),
    ("43143ff3c1cb0959", "1424953923781206.2"),
]

EDGES = [
    direction
    for power in (-8, -7, -6, -5, -4, -3, 0, 14, 15, 16, 17, 20, 21, 22, 23, 300, -300)
    for x in (float(f"1e{power}"), float(2**53), 1e-4)
    for direction in (math.nextafter(x, 0), x, math.nextafter(x, math.inf), -x, x * 1.5, x / 3)
]

TEXT = st.text(
    st.one_of(
        st.characters(exclude_categories=["Cs"]),
        st.sampled_from('\x00\x08\t\n\x0b\x0c\r\x1f\x7f\x80\x9f"\\/\u2028\u2029\ufeff\uffff😀𐀀'),
    ),
    max_size=8,
)
FLOATS = st.one_of(st.floats(allow_nan=False, allow_infinity=False), st.sampled_from(EDGES))
SAFE_INTEGERS = st.integers(-limits.MAX_SAFE_INTEGER, limits.MAX_SAFE_INTEGER)
VALUES = st.recursive(
    st.one_of(st.none(), st.booleans(), SAFE_INTEGERS, FLOATS, TEXT),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(TEXT, inner, max_size=5),
    max_leaves=20,
)


def es6(x):
    """Number.prototype.toString of ECMAScript, from its definition (dumb twin)."""
    if x == 0:
        return "0"
    _sign, digits, exponent = Decimal(repr(abs(x))).normalize().as_tuple()
    s = "".join(map(str, digits))
    k, n = len(s), len(s) + exponent
    if k <= n <= 21:
        text = s + "0" * (n - k)
    elif 0 < n <= 21:
        text = s[:n] + "." + s[n:]
    elif -6 < n <= 0:
        text = "0." + "0" * -n + s
    else:
        text = (
            s[0] + ("." + s[1:] if k > 1 else "") + "e" + ("+" if n > 0 else "-") + str(abs(n - 1))
        )
    return ("-" if x < 0 else "") + text


@pytest.mark.parametrize(("bits", "text"), NUMBERS)
def test_the_rfcs_table_of_numbers(bits, text):
    (x,) = struct.unpack(">d", bytes.fromhex(bits))
    assert canonical(x) == text.encode()


@pytest.mark.parametrize("bits", ["7fffffffffffffff", "7ff0000000000000", "fff0000000000000"])
def test_the_rfcs_numbers_that_are_errors(bits):
    (x,) = struct.unpack(">d", bytes.fromhex(bits))
    with pytest.raises(CanonicalError, match="not a JSON number"):
        canonical(x)


def test_the_rfcs_sample():
    text = r"""{
        "numbers": [333333333.33333329, 1E30, 4.50, 2e-3, 0.000000000000000000000000001],
        "string": "\u20ac$\u000F\u000aA'\u0042\u0022\u005c\\\"\/",
        "literals": [null, true, false]
    }"""
    expected = (
        '{"literals":[null,true,false],"numbers":[333333333.3333333,1e+30,4.5,0.002,1e-27],'
        '"string":"€$\\u000f\\nA\'B\\"\\\\\\\\\\"/"}'
    )
    assert canonical(parse(text)) == expected.encode()


def test_the_rfcs_key_order_by_utf16_units():
    keys = ["\u20ac", "\r", "\ufb33", "1", "😀", "\u0080", "ö"]
    expected = ["\r", "1", "\u0080", "ö", "\u20ac", "😀", "\ufb33"]
    assert list(json.loads(canonical(dict.fromkeys(keys, 0)))) == expected


def test_control_characters_take_their_short_or_hex_form():
    assert canonical('\x08\t\n\x0c\r\x00\x1f\x7f\u2028/"\\😀') == (
        b'"\\b\\t\\n\\f\\r\\u0000\\u001f\x7f\xe2\x80\xa8/\\"\\\\\xf0\x9f\x98\x80"'
    )


@settings(max_examples=50)
@given(VALUES)
@example({"\ufb33": 1, "😀": 2})
@example({"a": [1e15, 1e-4, 123456789012345.6, -0.0]})
def test_the_fast_path_gives_the_librarys_bytes(value):
    assert canonical(value) == rfc8785.dumps(value)


@pytest.mark.parametrize("x", EDGES)
def test_floats_near_every_band_edge(x):
    assert canonical(x) == es6(x).encode() == rfc8785.dumps(x)
    assert canonical([{"k": -x}]) == b'[{"k":' + es6(-x).encode() + b"}]"


@settings(max_examples=60)
@given(FLOATS)
def test_floats_print_as_ecmascript_prints_them(x):
    assert canonical(x) == es6(x).encode()


@given(VALUES)
def test_keys_are_in_utf16_order_at_every_depth(value):
    def check(pairs):
        keys = [key.encode("utf-16-be") for key, _ in pairs]
        assert keys == sorted(keys)
        return dict(pairs)

    json.loads(canonical(value), object_pairs_hook=check)


@settings(max_examples=50)
@given(VALUES)
@example(1e16)
@example({"a": [2.0**53]})
@example(-999999999999999900000.0)
def test_what_is_written_is_read_back_to_the_same_bytes(value):
    written = canonical(value)
    assert canonical(parse(written)) == written
    assert canonical(parse(written.decode())) == written


@given(VALUES)
def test_a_digest_is_sha256_of_the_bytes(value):
    import hashlib

    assert digest(value) == hashlib.sha256(rfc8785.dumps(value)).hexdigest()


def test_tuples_are_lists_and_whole_floats_are_integers():
    assert canonical((1, (2.0,), -0.0)) == b"[1,[2],0]"


@pytest.mark.parametrize("sign", [1, -1])
def test_integers_at_the_bound_and_one_past(sign):
    assert canonical(sign * (2**53 - 1)) == str(sign * (2**53 - 1)).encode()
    for past in (2**53, 2**63, 2**64, 10**400):
        with pytest.raises(CanonicalError, match="integer beyond") as caught:
            canonical({"a": [0, sign * past]})
        assert caught.value.path == "$.a[1]"


class Level(IntEnum):
    ONE = 1


class Word(StrEnum):
    A = "a"


@pytest.mark.parametrize(
    ("bad", "says"),
    [
        (math.nan, "nan"),
        (math.inf, "inf"),
        (-math.inf, "-inf"),
        (2**53, "integer"),
        (b"x", "base64"),
        (bytearray(b"x"), "bytearray"),
        (dt.datetime(2026, 1, 1, tzinfo=dt.UTC), "date"),
        (dt.date(2026, 1, 1), "date"),
        ({1, 2}, "set"),
        (frozenset(), "frozenset"),
        (object(), "object"),
        (Decimal(1), "Decimal"),
        (1j, "complex"),
        ("\ud800", "surrogate at character 0"),
        ("ok\udfff", "surrogate at character 2"),
        (Level.ONE, "kind of int"),
        (Word.A, "kind of str"),
        (OrderedDict(a=1), "kind of dict"),
        (np.float64(1.5), "kind of float"),
        (np.int64(1), "int64"),
        (np.array([1]), "tolist"),
        (range(3), "range"),
        (len, "builtin_function_or_method"),
    ],
)
def test_what_has_no_form_is_refused_with_its_path(bad, says):
    for value, path in [
        (bad, "$"),
        ([bad], "$[0]"),
        ({"proposals": [0, 1, 2, {"cost": bad}]}, "$.proposals[3].cost"),
        ({"ключ": (bad,)}, "$.ключ[0]"),
    ]:
        with pytest.raises(CanonicalError) as caught:
            canonical(value)
        assert caught.value.path == path
        assert says in str(caught.value)
        assert str(caught.value).startswith(path + ": ")


@pytest.mark.parametrize("key", [1, None, True, 1.5, b"k", ("a",), Word.A])
def test_a_key_that_is_no_string_is_refused_where_it_stands(key):
    with pytest.raises(CanonicalError, match="is not a string") as caught:
        canonical({"a": [{key: 1}]})
    assert caught.value.path == "$.a[0]"


def test_a_surrogate_in_a_key_is_refused_and_the_path_can_be_shown():
    with pytest.raises(CanonicalError, match="surrogate") as caught:
        canonical({"a": {"\ud800": 1}})
    assert caught.value.path == "$.a.\\ud800"
    str(caught.value).encode()


def nested(depth, opening, closing):
    return opening * depth + "0" + closing * depth


@pytest.mark.parametrize(("opening", "closing"), [("[", "]"), ('{"a":', "}"), ('[{"a":', "}]")])
def test_depth_at_the_bound_and_one_past(opening, closing):
    step = opening.count("[") + opening.count("{")
    fits = nested(limits.MAX_DEPTH // step, opening, closing)
    assert canonical(parse(fits)) == fits.encode()
    with pytest.raises(CanonicalError, match="nested deeper than 64"):
        parse(f"[{fits}]")
    with pytest.raises(CanonicalError, match="nested deeper than 64"):
        canonical([json.loads(fits)])


@pytest.mark.parametrize("depth", [1000, 100_000])
@pytest.mark.parametrize(("opening", "closing"), [("[", "]"), ('{"a":', "}")])
def test_depth_far_past_the_bound(depth, opening, closing):
    with pytest.raises(CanonicalError, match="nested deeper"):
        parse(nested(depth, opening, closing))


def test_a_value_that_holds_itself_is_refused():
    ring = []
    ring.append(ring)
    with pytest.raises(CanonicalError, match="nested deeper"):
        canonical(ring)


@pytest.mark.parametrize(
    "text",
    [
        '{"a":1,"a":1}',
        '{"a":1,"\\u0061":2}',
        '[{"x":{"k":1,"b":2,"k":3}}]',
        '{"":0,"":0}',
    ],
)
def test_duplicate_keys_are_refused_at_any_depth(text):
    with pytest.raises(CanonicalError, match="stands twice"):
        parse(text)
    with pytest.raises(CanonicalError, match="stands twice"):
        parse(text.encode())


@pytest.mark.parametrize(
    "text",
    [
        "NaN", "[Infinity]", '{"a":-Infinity}', "1e400", "[-1e400]", '"\\ud800"', '["\\udc00x"]',
        '{"\\ud800":1}', "9007199254740993", "-9007199254740993", "1" * 30, "1" * 5000,
        "\ufeff1", "1 2", "{}x", "[1,]", '{"a":1,}', "", " ", "nul", "'a'", '"\n"', '"\t"', "01",
        "+1", ".5", "1.", "0x1", "--1", '{"a"}', "{1:2}", "[", '"', '"\\x41"', "/**/1", "True",
        "1\x00", "\x0c1", "\u00a01",
    ],
)  # fmt: skip
def test_what_is_not_strict_json_is_refused(text):
    with pytest.raises(CanonicalError):
        parse(text)
    with pytest.raises(CanonicalError):
        parse(text.encode())


@pytest.mark.parametrize(
    "raw",
    [b"\xff", b'"\xff"', b'"\xed\xa0\x80"', b'"\xc0\xaf"', b'"\xf4\x90\x80\x80"', b"\xef\xbb\xbf1",
     "1".encode("utf-16"), b'"\xe2\x82"'],
)  # fmt: skip
def test_what_is_not_utf8_is_refused(raw):
    with pytest.raises(CanonicalError):
        parse(raw)


def test_a_lone_surrogate_in_text_is_refused_and_a_pair_is_read():
    with pytest.raises(CanonicalError, match="surrogate"):
        parse('"\ud800"')
    assert parse('"\\ud83d\\ude00"') == "😀"


def test_white_space_of_json_is_read():
    assert parse(" \t\r\n[ 1 , 2 ]\n") == [1, 2]


@settings(max_examples=50)
@given(
    st.binary(max_size=40) | st.text(alphabet='[]{}",:0123456789eE.+-ntf\\u \ud800', max_size=30)
)
def test_any_input_is_read_to_a_value_with_a_form_or_refused(text):
    try:
        value = parse(text)
    except CanonicalError:
        return
    assert parse(canonical(value)) == value
