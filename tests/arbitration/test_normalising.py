"""Normalisers: what is one answer, what stays two, and what is refused."""

import ast
import contextlib
import json as stdlib_json
import re
import string
import subprocess
import sys
import textwrap
import unicodedata
from decimal import Decimal
from fractions import Fraction
from pathlib import Path

import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from quorate.arbitration.rules import normalise
from quorate.arbitration.rules.code import code
from quorate.arbitration.rules.normalise import (
    NORMALISERS,
    NotNormalError,
    choice,
    json,
    normal_digest,
    number,
    text,
)
from quorate.arbitration.rules.plain import WHITE_SPACE, unfenced
from quorate.arbitration.rules.syntax import python
from quorate.arbitration.rules.unassigned import UNASSIGNED, unassigned_in
from quorate.core import limits
from quorate.core.canonical import canonical, digest
from quorate.core.errors import UsageError

anything = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)
scraps = st.lists(
    st.sampled_from(
        [
            "```",
            "~~~",
            "````",
            "\n",
            "\r\n",
            " ",
            "\t",
            "B",
            "b",
            "x",
            "(",
            ")",
            "**",
            ".",
            "Answer",
            ":",
            "is",
            "$",
            "5",
            "1,234",
            "%",
            "-",
            '"',
            "'",
            "`",
            "\\",
            "/",
            "#",
            "/*",
            "[",
            "{",
            "\u00a0",
            "\u2003",
            "é",
            "\u0345",
            "ß",
            "\ufb03",
            "\U0001f600",
            "1e5",
            "0",
            "_",
            "def",
        ]
    ),
    max_size=12,
).map("".join)
payloads = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | anything | scraps
    | st.floats(allow_nan=False, allow_infinity=False),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(anything, inner, max_size=3),
    max_leaves=5,
)  # fmt: skip


@pytest.mark.parametrize("name", sorted(set(NORMALISERS) - {"python"}))
@settings(max_examples=40)
@given(payload=payloads)
@example(payload='"5"')
@example(payload='"\\"5\\""')
@example(payload="~~~\n```\nx\n```\n~~~")
@example(payload="\u0345\u0301\u1f80")
def test_a_normal_form_is_normal_and_json(name, payload):
    try:
        normal = NORMALISERS[name](payload)
    except NotNormalError:
        return
    canonical(normal)
    assert digest(NORMALISERS[name](normal)) == digest(normal) == normal_digest(name, payload)


@pytest.mark.parametrize("name", sorted(NORMALISERS))
@settings(max_examples=40)
@given(payload=payloads)
def test_nothing_but_not_normal_is_raised(name, payload):
    with contextlib.suppress(NotNormalError):
        assert len(normal_digest(name, payload)) == 64


def test_an_unknown_name_is_the_callers_mistake():
    with pytest.raises(UsageError, match="one of exact, text, number"):
        normal_digest("texts", "a")
    assert not issubclass(NotNormalError, UsageError)


def test_exact_is_the_digest_of_the_payload():
    assert normal_digest("exact", {"b": 1.0, "a": "X "}) == digest({"a": "X ", "b": 1})


# --- text ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given_text", "normal"),
    [
        ("  Yes\t\n no ", "yes no"),
        ("STRASSE", "strasse"),
        ("Straße", "strasse"),
        ("ﬃ \uff22 Ⅳ", "ffi b iv"),
        ("ΌΣΟΣ", "όσοσ"),
        ("e\u0301", "é"),
        ("\u1fb3\u0300", "\u1f70\u03b9"),
        ("a\u1680b\u2028c\u3000\u0085d", "a b c d"),
        ("\u200ba\ufeff", "\u200ba\ufeff"),
        ("\x1ca\x1f", "\x1ca\x1f"),
        ("\u1e9e\u0130", "ssi\u0307"),
        ("", ""),
    ],
)
def test_texts_that_are_one(given_text, normal):
    assert text(given_text) == normal


@pytest.mark.parametrize("other", [5, True, None, ["a"], {"a": "b"}])
def test_only_a_text_is_a_text(other):
    with pytest.raises(NotNormalError, match="read from a text"):
        text(other)


def test_white_space_is_the_unicode_property():
    assert len(WHITE_SPACE) == len(set(WHITE_SPACE)) == 25
    # str.isspace has four separators more, which are not White_Space.
    spaces = {chr(c) for c in range(sys.maxunicode + 1) if chr(c).isspace()}
    assert spaces - set(WHITE_SPACE) == set("\x1c\x1d\x1e\x1f")
    assert set(WHITE_SPACE) <= spaces


def doubtful(character):
    tag, *parts = unicodedata.decomposition(character).split() or [""]
    if tag == "<compat>":
        return any(0x30 <= int(part, 16) <= 0x39 for part in parts)
    return tag in ("<super>", "<sub>", "<fraction>", "<font>", "<square>", "<circle>")


# All of the two planes in which most characters fold or are missing, and of the ideographs that
# fold; elsewhere whole planes are alike, so that some stand for all, with both sides of each edge.
EVERY = [
    chr(c)
    for c in sorted(
        {
            *range(0x20000),
            *range(0x2F800, 0x2FA20),
            *range(0xE0000, 0xE0200),
            *range(0x20000, sys.maxunicode + 1, 97),
            *(edge + side for edges in UNASSIGNED for edge in edges for side in (-1, 0, 1)),
        }
        & set(range(sys.maxunicode + 1))
    )
]


@pytest.fixture(scope="module")
def unassigned():
    return unassigned_in("".join(EVERY))


def test_every_character_folds_to_something_settled(unassigned):
    doubted = set(filter(doubtful, EVERY)) - unassigned
    for start in range(0, len(EVERY), 4096):
        read = [c for c in EVERY[start : start + 4096] if c not in doubted]
        once = text("x".join(read))
        assert text(once) == once
    for character in sorted(doubted):
        with pytest.raises(NotNormalError):
            text(f"x{character}")


@settings(max_examples=40)
@given(st.text(st.sampled_from("aAßéÉ\u0301\u0345ΐͅᾳ\u017fﬅK Å\u0300\u1f71\u0130"), max_size=8))
def test_compatibility_caseless_matching(left):
    """Unicode's D146: two texts match if these forms are equal."""

    def d146(given_text):
        for _ in range(2):
            given_text = unicodedata.normalize("NFD", given_text).casefold()
            given_text = unicodedata.normalize("NFKD", given_text).casefold()
        return unicodedata.normalize("NFKD", given_text)

    for right in (left.upper(), left.lower(), left.title(), unicodedata.normalize("NFKC", left)):
        assume(d146(left) == d146(right))
        assert text(left) == text(right)


def test_what_unicode_14_does_not_assign_stands_for_itself(unassigned):
    at = {ord(c): place for place, c in enumerate(EVERY)}
    runs = {c for first, last in UNASSIGNED for c in EVERY[at[first] : at[last] + 1]}
    known = {c for c in EVERY if unicodedata.category(c) == "Cn"}
    assert known <= runs
    if unicodedata.unidata_version == "14.0.0":
        assert known == runs
    assert unassigned == runs
    # Cyrillic and Latin letters of 15.0 and 16.0: newer Pythons would fold them.
    assert text("A\U0001e030\ua7cb\U0001ccd6B") == "a\U0001e030\ua7cb\U0001ccd6b"


# --- number --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given_number", "normal"),
    [
        (5, "5"),
        (-0.0, "0"),
        (0.1, "1/10"),
        (1e21, "1000000000000000000000"),
        (5e-324, f"1/{10**324 // 5}"),
        (2**53 - 1, "9007199254740991"),
        ("5", "5"),
        (" +5.00\n", "5"),
        ("-0", "0"),
        (".5", "1/2"),
        ("007", "7"),
        ("1e3", "1000"),
        ("1E-2", "1/100"),
        ("2.5e+1", "25"),
        ("1/3", "1/3"),
        ("-2/6", "-1/3"),
        ("\u22125", "-5"),
        ("1,234,567.5", "2469135/2"),
        ("1_000", "1000"),
        ("1'000", "1000"),
        ("1\u2019000", "1000"),
        ("1\u00a0000", "1000"),
        ("1\u202f000", "1000"),
        ("5%", "5 %"),
        ("5 %", "5 %"),
        ("50%", "50 %"),
        ("$5", "5 $"),
        ("$ 5.00", "5 $"),
        ("5 $", "5 $"),
        ("-$5", "-5 $"),
        ("$-5", "-5 $"),
        ("€1,000.50", "2001/2 €"),
    ],
)
def test_numbers_that_are_one(given_number, normal):
    assert number(given_number) == normal


@pytest.mark.parametrize(
    "given_number",
    [True, False, None, [5], {"n": 5}, "", " ", "five", "5.", ".", "-", "$", "%", "1 234", "1,23",
    "12,34", "1,2345", "0,123", ",123", "1,234,56", "1,234_567", "1.234.567", "1.234,56",
    "1,234.5,6", "--5", "+-5", "-$-5", "$5$", "$5%", "5%%", "%5", "- 5", "5-", "5 5", "1/0",
    "1/2/3", "1/-2", "1.5/2", "1,000/2", "1e", "e5", "1e5.0", "1e99999", "1e400", "1e-400",
    "nan", "inf", "Infinity", "0x10", "٣", "\uff15", "½", "1\u2009000,000", "USD 5", "5 dollars",
    "9" * 401, "1" + "0" * 400, "9" * (limits.MAX_NUMERAL_LENGTH + 1), float("nan"), 10**400],
)  # fmt: skip
def test_what_is_not_one_number_is_refused(given_number):
    with pytest.raises(NotNormalError):
        number(given_number)


def test_currencies_and_bare_numbers_are_different_answers():
    assert len({number(n) for n in ("5", "$5", "€5", "5%", "500%", "1/20")}) == 6


@settings(max_examples=40)
@given(st.fractions() | st.floats(allow_nan=False, allow_infinity=False) | st.integers())
def test_numbers_twin(value):
    exact = Fraction(repr(value)) if isinstance(value, float) else Fraction(value)
    spelled = [str(exact)]
    if isinstance(value, float):
        spelled += [repr(value), f"{Decimal(repr(value)):f}"]
        assert number(value) == str(exact)
    if isinstance(value, int):
        spelled += [f"{value:,}", f"{value:_}", f"{value}.0"]
    for one in spelled:
        assert number(one) == str(exact)
        assert number(f" {one}%") == f"{exact} %"
        assert number(f"{one} €") == f"{exact} €"


@pytest.mark.parametrize(
    ("most", "ok"), [(limits.MAX_NUMERAL_LENGTH, True), (limits.MAX_NUMERAL_LENGTH + 1, False)]
)
def test_numerals_are_bounded(most, ok):
    numeral = "1." + "0" * (most - 2)
    if ok:
        assert number(numeral) == "1"
    else:
        with pytest.raises(NotNormalError, match="1000"):
            number(numeral)


# --- choice --------------------------------------------------------------------


@pytest.mark.parametrize(
    "given_choice",
    ["b", "B", " B\n", "(B)", "(b)", "B.", "B)", "[B]", "{B}", "B:", "**B**", "*B*", "`B`", "__B__",
    '"B"', "'B'", "“B”", "Answer: B", "answer:B", "ANSWER = (B)", "The answer is B.",
    "The correct answer is: **(B)**.", "**Answer:** B", "Final answer: B", "Option B",
    "```\nB\n```", "~~~text\n(B)\n~~~", "$\\boxed{B}$", "\\boxed{\\text{B}}", "(**B**).",
    "My answer: option B", "**Answer**: B", "*The answer is* (B)", "Answer is B"],
)  # fmt: skip
def test_choices_that_are_b(given_choice):
    assert choice(given_choice) == "B"


@pytest.mark.parametrize(
    "given_choice",
    ["", " ", "()", "AB", "A B", "A or B", "A, B", "(A) or (B)", "(A)(B)", "not B",
    "Answer: not B",
    "The answer is not B", "B. Paris", "Paris", "Answer:", "answer", "B?", "B!", "(B", "-B", "1",
    "\u0412", "\uff22", "ß", "é", "B\u0301", "```\nA\n```\n```\nB\n```",
    2, True, None, ["B"], {"answer": "B"}, "**Answer: B", "Answer:** B",
    "answerB", "optionB", "The answer isB", "B" + "." * limits.MAX_CHOICE_LENGTH],
)  # fmt: skip
def test_what_is_not_one_choice_is_refused(given_choice):
    with pytest.raises(NotNormalError):
        choice(given_choice)


def test_choices_are_bounded():
    assert choice("B" + "." * (limits.MAX_CHOICE_LENGTH - 1)) == "B"


@settings(max_examples=40)
@given(scraps)
def test_a_choice_has_one_letter_beside_the_words_in_front(given_choice):
    try:
        found = choice(given_choice)
    except NotNormalError:
        return
    words = re.sub("(?i)answer|is|the|option|text", "", given_choice)
    letters = {c.upper() for c in words if c in string.ascii_letters}
    assert found in letters | {c.upper() for c in given_choice}
    assert len(letters - {found}) == 0


# --- json ----------------------------------------------------------------------


@settings(max_examples=40)
@given(payloads.filter(lambda p: not isinstance(p, str)))
def test_json_text_is_what_it_holds(payload):
    plain = stdlib_json.dumps(payload, ensure_ascii=False)
    fenced = f"\n```json\n{stdlib_json.dumps(payload, indent=2)}\n```  "
    assert normal_digest("json", plain) == normal_digest("json", fenced) == digest(payload)
    assert normal_digest("json", payload) == digest(payload)


@pytest.mark.parametrize(
    "given_json",
    ["", "yes", "{", '{"a": 1, "a": 1}', "NaN", "[1,]", "9007199254740993", "// 1\n1", '"yes"',
    "10000000000000000.9", "[1e-400]", "9007199254740993.0", '{"a": 0.30000000000000001}',
    "0e99999999999999999999",
    "'a'", "```\n1\n```\n```\n2\n```", '"\\ud800"', "[" * 65 + "]" * 65, "\ufeff1"],
)  # fmt: skip
def test_what_is_not_json_is_refused(given_json):
    with pytest.raises(NotNormalError):
        json(given_json)


# --- fences --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fenced", "inner"),
    [
        ("```\nx\n```", "x"),
        ("```python\nx\n y\n```\n\n", "x\n y"),
        ("```\r\nx\r\n```", "x"),
        ("~~~~ c++\nx\n```\n~~~~~", "x\n```"),
        ("````\n```\nx\n```\n````", "x"),
        ("```\n```", ""),
        ("  x ", "  x "),
        ("```x```", "```x```"),
        ("```", "```"),
        ("```two words\nx\n```", "```two words\nx\n```"),
        ("```\nx\n~~~", "```\nx\n~~~"),
        ("````\nx\n```", "````\nx\n```"),
        ("```\na\n```\nb\n```\nc\n```", "```\na\n```\nb\n```\nc\n```"),
        ("text\n```\nx\n```", "text\n```\nx\n```"),
    ],
)
def test_fences(fenced, inner):
    assert unfenced(fenced) == inner


def test_fences_are_bounded():
    def wrapped(times):
        found = "x"
        for depth in range(times):
            found = f"{'`' * (3 + depth)}\n{found}\n{'`' * (3 + depth)}"
        return found

    assert unfenced(wrapped(limits.MAX_FENCES)) == "x"
    with pytest.raises(NotNormalError, match="fences"):
        unfenced(wrapped(limits.MAX_FENCES + 1))


@pytest.mark.parametrize("name", ["text", "code"])
def test_texts_are_bounded(name):
    most = limits.MAX_PAYLOAD_BYTES
    assert NORMALISERS[name]("a" * most) == "a" * most
    with pytest.raises(NotNormalError, match="characters"):
        NORMALISERS[name]("a" * (most + 1))


# --- code ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("a\r\nb", "a\nb"),
        ("\n \na\n\n", "a"),
        ("a  \n\tb\t ", "a\n\tb"),
        ("a\n\n\n  \nb", "a\n\nb"),
        ("  a\n    b\n\n  c", "a\n  b\n\nc"),
        ("```go\n  f()\n```", "f()"),
        ("    print(\"hi\", 'x') \n", "print(\"hi\", 'x')"),
        ('x = "a\\nb"  \n\n\ny', 'x = "a\\nb"\n\ny'),
        ("", " \n\t"),
    ],
)
def test_code_that_is_one(one, other):
    assert code(one) == code(other) == other.strip(" \n\t") or not other.strip()


LITERALS = [
    'x = """a{0}b"""',
    "x = '''\n{0}'''",
    "const x = `a{0}b`",
    "x = 'it{0}s'",
    'x = "a\\\n{0}b"',
    'let x = "a{0}b";',
    "cat <<EOF\na{0}b\nEOF",
    "x = [[a{0}b]]",
    "x = %q(a{0}b)",
    "SELECT $tag$a{0}b$tag$",
    'x = R"(a"b"{0})"',
    'x = r#"a"b"{0}"#',
    'x = @"a{0}b"',
    "key: |\n  a{0}b",
    '/* " */ x = "a{0}b"',
    "x = /'/ + 'a{0}b'",
    "x = ~s(a{0}b)",
    "q{{a{0}b}}",
    "x = ''\n a{0}b''",
    "let 'a = \"x 'b{0}\"",
    "<pre>a{0}b</pre>",
    "x = '\\'; y = '{0}'",
    "[r|a{0}b|]",
    "#define A \\\n{0}b",
]


@pytest.mark.parametrize("literal", LITERALS)
def test_white_space_inside_a_literal_of_many_lines_is_kept(literal):
    tight, blanks, run = (literal.format(gap) for gap in ("\n", "  \n", "\n\n\n"))
    assert len({code(tight), code(blanks), code(run)}) == 3
    assert code(f"  {blanks}") != code(blanks)


def test_inner_white_space_is_never_touched():
    for one, other in [
        ("a  b", "a b"),
        ("\ta", "a"),
        ("\ta\n\tb", "a\nb"),
        ("if a:\n b\nc", "if a:\n b\n c"),
    ]:
        assert code(one) != code(other)


@settings(max_examples=40)
@given(st.text(st.sampled_from("ab'\"`\\/ \n\t#"), max_size=14))
def test_code_twin_keeps_every_literal(source):
    """However a language reads its quotes, what stands in quotes stays."""
    assume(unfenced(source) == source)
    tidy = code(source)
    lines = source.split("\n")
    while lines and not lines[-1].strip(" \t"):
        lines.pop()
    while lines and not lines[0].strip(" \t"):
        del lines[0]
    for kinds in ("'", '"', "`", "'\"", "'\"`"):
        for escapes in (False, True):
            before, after = (literals(s, kinds, escapes) for s in ("\n".join(lines), tidy))
            if any("\n" in literal for literal in before):
                assert before == after


def literals(source, kinds, escapes):
    found, opened, index = [], None, 0
    while index < len(source):
        character = source[index]
        if escapes and character == "\\" and opened is not None:
            index += 1
        elif opened is None and character in kinds:
            opened = index
        elif opened is not None and character == source[opened]:
            found.append(source[opened : index + 1])
            opened = None
        index += 1
    if opened is not None:
        found.append(source[opened:] + "\n")
    return found


def test_long_lines_are_read_in_one_pass():
    for line in ("'" * 99_999, "\"a'" * 33_333, "\\" * 100_000 + "'", "'a" * 50_000 + "\\"):
        assert code(line) == line


def test_every_pattern_reads_in_one_pass():
    """What took seconds at 40 KB, a hundred times as long, in a process that has a minute."""
    script = """if True:
        from quorate.arbitration.rules.code import _MARKS
        from quorate.arbitration.rules.lexical import _FILLED, _LITERAL
        from quorate.arbitration.rules.plain import _FENCE
        many = 500_000
        for line in ("#" * many, "@" * many, "`" * many + "x y", "%" * 9):
            _MARKS.search(line)
        for line in ("`" * many + "x y", "~" * many + "x y", "```" + " " * many + "x y",
                     "```" + "x" * many + " y"):
            assert _FENCE.fullmatch(line) is None
        for line in ("'" * many, "f'" * many, chr(92) * many + "'", '"' * many, "#" * many):
            _LITERAL.sub("", line)
        for line in ("{" * many, "{x" * many, "{x:" * many, "{'" * many,
                     "{" + "x:" * many, "{" + "(" * many, "{x:{y" * many):
            _FILLED.fullmatch(line)
    """
    subprocess.run([sys.executable, "-c", script], check=True, timeout=60)


def test_marks_in_a_row_are_bounded():
    pair = "\u0301\u0316"
    assert text("a" + pair * 15) == "\u00e1" + "\u0316" * 15 + "\u0301" * 14
    for many in (pair * 15 + "\u0301", pair * 400_000):
        with pytest.raises(NotNormalError, match="marks in a row"):
            text("a" + many)


@pytest.mark.parametrize(
    ("one", "other"),
    [("10²", "102"), ("H₂O", "H2O"), ("1½", "11\u20442"), ("\u211d", "R"), ("10①", "101"),
     ("5 ㎡", "5 m2"), ("1㋀", "11月"), ("1⒈", "11.")],
)  # fmt: skip
def test_texts_that_only_a_decomposition_joins(one, other):
    assert unicodedata.normalize("NFKC", one) == other
    assert text(other)
    with pytest.raises(NotNormalError, match="may mean something else"):
        text(one)


# --- python --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("x=1 # one", "x = 1"),
        ("'a'", '"a"'),
        ("f( a , b )", "f(a,b)"),
        ("(x)", "x"),
        ("'a' 'b'", "'ab'"),
        ("u'a'", "'a'"),
        ("0x10", "16"),
        ("1_000", "1000"),
        ("if x:\n\tpass", "if x: pass"),
        ("```python\nx = 1\n```", "x=1"),
        ("  x = 1\n  y = 2", "x = 1\ny = 2"),
        ("\n\n    x = 1", "x = 1"),
        ("f'{x}' ''", "f'{x}'"),
        ("x = 1;", "x = 1"),
        ("", "# nothing"),
        ("'\\d'", "'\\\\d'"),
    ],
)
def test_python_that_is_one(one, other):
    assert python(one) == python(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("1", "1.0"),
        ("1", "True"),
        ("'a'", "b'a'"),
        ("None", "'None'"),
        ("x = '''a \nb'''", "x = '''a\nb'''"),
        ("  x = '''a\n  b'''", "x = '''a\nb'''"),
        ("if x:\n a\nb", "if x:\n a\n b"),
        ("a - b - c", "a - (b - c)"),
        ("x: int", "x"),
        ("def f(): pass", "async def f(): pass"),
        ("f'{x}'", "f'{x!r}'"),
        ("1j", "1.0"),
        ("0.1", "0.10000000000000002"),
        ("...", "'...'"),
        ("del x", "x"),
        ("f(*a)", "f(a)"),
        ("return", "return None"),
        ("{**a}", "{a: a}"),
    ],
)
def test_python_that_is_two(one, other):
    assert python(one) != python(other)


@pytest.mark.parametrize(
    "source",
    ["x =", "1 +", "print 1", "a\n  b", " a\nb", "  x\nelse:\n  y", "a\0b", 5, None, "'", "(" * 300,
    "-" * 100_000 + "1", "\ud800", "  a\n b"],
)  # fmt: skip
def test_what_is_not_python_is_refused(source):
    with pytest.raises(NotNormalError):
        python(source)


def test_python_is_bounded():
    most = limits.MAX_PYTHON_LENGTH
    assert python("x" + " " * (most - 1)) == python("x")
    with pytest.raises(NotNormalError, match="characters"):
        python("x" + " " * most)
    # Statement and expression are one step each before the first minus.
    deepest = limits.MAX_PYTHON_DEPTH - 2
    assert python("-" * deepest + "x")
    with pytest.raises(NotNormalError, match="deeper"):
        python("-" * (deepest + 1) + "x")


@pytest.mark.parametrize(
    "source",
    [
        "# coding: utf-7\nx = 1",
        "# -*- coding: latin-1 -*-\nx = 1",
        "#!/usr/bin/python\n# vim: set fileencoding=rot13 :\nx = 1",
        "```python\n# coding: utf-7\nx = 1\n```",
        "```python\n#!x\n#coding=utf-7\nx = 1\n```",
        "\n\n\n  # coding: utf-7\nx = 1",
        "~~~\n```\n# coding: utf-7\nx = 1\n```\n~~~",
        "x = 1 # a\rimport os",
        "\f# coding: utf-7\nx = 1",
        "x = 1\f",
        "x = '\0'",
    ],
)
def test_python_that_a_file_would_read_differently_is_refused(source):
    with pytest.raises(NotNormalError, match=r"encoding|without"):
        python(source)


@pytest.mark.parametrize(
    "source",
    [
        "# coding: utf-8\nx = 1",
        "#!x\n# -*- coding: UTF-8 -*-\r\nx = 1",
        "x = 1\n\n# coding: utf-7",
    ],
)
def test_comments_that_declare_nothing_are_read(source):
    assert python(source) == python("x = 1")


@pytest.mark.parametrize(
    "source",
    [
        "x = " + "9" * 641,
        "x = " + "9_" * 321 + "9",
        "def f[T](x: T): pass",
        "type X = int",
        'f"{x["a"]}"',
        "f'{f'{x}'}'",
        "f'{x!r }'",
        "f'{i for i in x}'",
        'f"""{x # a} {b\n}"""',
        'f"""{d[1: # a} {b\n]}"""',
        "f'{x:\\n}'",
        "'\\N{EM DASH}'",
        "x\U0001e030 = 1",
        "f'{x\U0001e030}'",
    ],
)
def test_python_that_not_every_version_reads_is_refused(source):
    with pytest.raises(NotNormalError):
        python(source)


@pytest.mark.parametrize(
    "source",
    ["f\"{x['a']:>10}\"", "f'{x:#x}'", "f'{int(x):#06x}'", "f'{x:{w}.{p}}'", "f'{{}}{x}}}'",
     "f\"{', '.join(f'{i}' for i in x)}\"", "f'{x != y}'", "f\"{'#'}\"", "f'{x!r:^20}'",
     'f"""{\n x["a"]\n}"""', '"""a""b"""', "x = 'it''s'", "# it's\nx", 'if "f"in x: pass',
     "x = '" + ":(" * 99 + "' # " + "(" * 99],
)  # fmt: skip
def test_python_that_every_version_reads(source):
    assert python(source) == python(ast.unparse(ast.parse(source)))


def test_nesting_is_bounded_before_parsing(monkeypatch):
    def brackets(depth):
        return "(" * depth + "x" + ")" * depth

    def indents(depth):
        return "".join(" " * i + "if x:\n" for i in range(depth)) + " " * depth + "x"

    digits = "x = " + "9" * limits.MAX_PYTHON_DIGITS
    assert python(brackets(limits.MAX_PYTHON_BRACKETS)) == python("x")
    assert python(indents(limits.MAX_PYTHON_INDENTS))
    assert python(digits)
    monkeypatch.setattr("quorate.arbitration.rules.syntax._parsed", None)
    for source in (
        brackets(limits.MAX_PYTHON_BRACKETS + 1),
        indents(limits.MAX_PYTHON_INDENTS + 1),
        digits + "9",
    ):
        with pytest.raises(NotNormalError, match=r"too deep|digits"):
            python(source)


def test_settings_of_the_interpreter_change_nothing():
    script = (
        "from quorate.arbitration.rules.normalise import normal_digest as d, NotNormalError\n"
        "print(d('python', 'x = ' + '9' * 640))\n"
        "try: d('python', 'x = ' + '9' * 1000)\n"
        "except NotNormalError: print('refused')\n"
    )
    told = {
        subprocess.run(
            [sys.executable, *flags, "-c", script], check=True, capture_output=True, timeout=60
        ).stdout
        for flags in (["-X", "int_max_str_digits=640"], ["-X", "int_max_str_digits=0"])
    }
    assert len(told) == 1
    assert b"refused" in told.pop()


def test_python_survives_printing_its_tree():
    for module in (textwrap, normalise, stdlib_json):
        source = Path(module.__file__).read_text(encoding="utf-8")
        assert python(ast.unparse(ast.parse(source))) == python(source)


def test_the_same_tree_on_every_version():
    assert python("x = f'{y!r:>{w}}' 'z'\nawait f(-1, None, b'a')") == (
        "[Assign(targets=[Name(id='x',),],value=JoinedStr(values=[FormattedValue(value=Name(id='y',),"
        "conversion=0x72,format_spec=JoinedStr(values=[Constant(value='>',),FormattedValue(value="
        "Name(id='w',),conversion=-0x1,),],),),Constant(value='z',),],),),Expr(value=Await(value="
        "Call(func=Name(id='f',),args=[UnaryOp(op=USub(),operand=Constant(value=0x1,),),"
        "Constant(value=None,),Constant(value=b'a',),],),),),]"
    )
