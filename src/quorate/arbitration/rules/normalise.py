"""Normalisers: what counts as the same answer, each a pure function from JSON to JSON.

Theory of operation. Proposals are grouped by the digest of their payload's normal form;
what is committed is still a payload that somebody sent. A normaliser must never make one
of two answers that mean different things, so each refuses what it cannot read for certain:
:class:`NotNormalError` makes the proposal void, an absence that counts against the quorum.
Normal forms are normal themselves: normalising twice changes nothing.

The forms are defined by characters and exact numbers alone, not by a library's taste, so
that another language computes the same (all but :func:`~.syntax.python`, which is Python's
own syntax). What a text's characters are is settled by Unicode 14.0.
"""

from __future__ import annotations

import json as stdlib_json
import re
import unicodedata
from collections.abc import Callable, Mapping
from decimal import Decimal, InvalidOperation
from fractions import Fraction
from functools import lru_cache
from itertools import groupby
from types import MappingProxyType
from typing import Final

from quorate.arbitration.rules.code import code
from quorate.arbitration.rules.plain import WHITE_SPACE, NotNormalError, text_of, unfenced
from quorate.arbitration.rules.syntax import python
from quorate.arbitration.rules.unassigned import unassigned_in
from quorate.core import canonical as canonical_json
from quorate.core import limits
from quorate.core.canonical import CanonicalError, JSONValue
from quorate.core.errors import UsageError
from quorate.core.exact import as_text, exact

__all__ = [
    "NORMALISERS",
    "NotNormalError",
    "choice",
    "code",
    "json",
    "normal_digest",
    "number",
    "python",
    "same",
    "text",
]

_SPACES: Final = re.compile(f"[{WHITE_SPACE}]+")
_MOST_FOLDS: Final = 8
_MOST_MARKS: Final = 30
_DOUBTFUL: Final = frozenset({"<super>", "<sub>", "<fraction>", "<font>", "<square>", "<circle>"})
_DIGITS: Final = frozenset(f"{ord(digit):04X}" for digit in "0123456789")


def same(payload: JSONValue) -> JSONValue:
    """The payload itself: only equal answers are the same (``"exact"``)."""
    return payload


def text(payload: JSONValue) -> str:
    """A text without regard to case, width, presentation forms and amount of white space.

    It is for words. Case is folded, so 5 mW is 5 MW: where case carries meaning, compare
    by another normaliser.

    Refused is what a compatibility decomposition would make something else of: characters
    whose decomposition is tagged <super>, <sub>, <fraction>, <font>, <square> or <circle>
    (10 with a superscript 2 is not 102), or tagged <compat> with a digit in it (1 before
    U+32C0, the first month, would be the eleventh). Ligatures, Roman numerals, and wide,
    narrow and Arabic presentation forms are read.

    NFKD, full case folding and NFKC are repeated until nothing changes; then every run of
    white space becomes one space, and none stays at the ends. Characters that Unicode 14.0
    does not assign stand for themselves.

    Raises:
        NotNormalError: not a text, one of those characters, or more than 30 characters of
            a combining class other than 0 in a row (stream-safe text, UAX #15, has no more).
    """
    given = text_of(payload, "text")
    if given.isascii():
        return _SPACES.sub(" ", given.lower()).strip(" ")
    inert = unassigned_in(given)
    _check_characters(given, inert)
    if inert:
        runs = groupby(given, inert.__contains__)
        parts = ((asis, "".join(run)) for asis, run in runs)
        folded = "".join(part if asis else _folded(part) for asis, part in parts)
    else:
        folded = _folded(given)
    return _SPACES.sub(" ", folded).strip(" ")


def _folded(given: str) -> str:
    for _ in range(_MOST_FOLDS):
        folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKD", given).casefold())
        if folded == given:
            return folded
        given = folded
    raise NotNormalError("a text whose folding does not settle")


def _check_characters(given: str, inert: frozenset[str]) -> None:
    """Refuse characters that folding would make others of, and marks without end.

    Marks are put in order in time that grows with the square of how many stand in a row.
    """
    kinds = sorted(set(given) - inert)
    for character in kinds:
        if _doubtful(character):
            raise NotNormalError(
                f"U+{ord(character):04X} would become {unicodedata.normalize('NFKC', character)!r},"
                " which may mean something else; a text can be read without it"
            )
    marks = "".join(c for c in kinds if unicodedata.combining(c))
    if marks and re.search(f"[{re.escape(marks)}]{{{_MOST_MARKS + 1}}}", given):
        raise NotNormalError(f"more than {_MOST_MARKS} combining marks in a row")


@lru_cache(maxsize=4096)
def _doubtful(character: str) -> bool:
    tag, *parts = unicodedata.decomposition(character).split() or [""]
    if tag == "<compat>":
        return not _DIGITS.isdisjoint(parts)
    return tag in _DOUBTFUL


_CURRENCY: Final = "$€£¥₹₩₽₺₴₦₱₫₪฿¢"
_GROUPS: Final = "|".join(f"(?:{mark}[0-9]{{3}})+" for mark in ",_'\u2019\xa0\u2009\u202f")
_NUMBER: Final = re.compile(
    rf"""
    (?P<sign>[-+\u2212])? (?P<before>[{_CURRENCY}])? (?P<gap>[{WHITE_SPACE}]*)
    (?P<late>[-+\u2212])?
    (?: (?P<p>[0-9]+)/(?P<q>[0-9]+)
      | (?P<whole>[1-9][0-9]{{0,2}}(?:{_GROUPS})|[0-9]+)?
        (?:\.(?P<part>[0-9]+))? (?:[eE](?P<power>[-+]?[0-9]{{1,4}}))?
    )
    [{WHITE_SPACE}]* (?P<after>[%{_CURRENCY}])?
    """,
    re.VERBOSE,
)


def number(payload: JSONValue) -> str:
    """A number, exactly, as ``"p/q"`` in lowest terms (``"p"`` where q is 1).

    Read are JSON numbers (a float as its shortest decimal) and texts, white space around
    them put aside: digits with at most one point (``.5`` and ``007`` are numbers, ``5.`` is
    not), an exponent of up to four digits, or a fraction ``p/q``. Whole digits may be
    grouped in threes by one and the same of comma, underscore, apostrophe (straight or
    curly), no-break space, thin space or narrow no-break space, the first group of one to
    three digits and no leading zero: ``1,234`` is one thousand two hundred and thirty-four,
    and a comma is never a decimal point. One sign (+, -, U+2212). One currency sign, in
    front or behind, or ``%`` behind, is a unit and stays behind the number: 5 dollars are
    neither 5 euros nor 5, and nobody that asks for a percentage takes 0.5 for 50%.
    ``"$1,000.50"`` is ``"2001/2 $"``.

    Raises:
        NotNormalError: a bool, another type or another text, more than
            ``limits.MAX_NUMERAL_LENGTH`` characters, or numerator or denominator of more
            than ``limits.MAX_NUMBER_DIGITS`` digits.
    """
    unit = ""
    try:
        if type(payload) is int or type(payload) is float:
            value = exact(payload)
        else:
            value, unit = _read_number(text_of(payload, "a number", limits.MAX_NUMERAL_LENGTH))
            exact(value)
    except UsageError as error:
        raise NotNormalError(f"no number that can be read: {error}") from error
    return f"{as_text(value)} {unit}" if unit else as_text(value)


def _read_number(given: str) -> tuple[Fraction, str]:
    stripped = given.strip(WHITE_SPACE)
    found = _NUMBER.fullmatch(stripped)
    if found is None or not (found["p"] or found["whole"] or found["part"]):
        raise NotNormalError(f"{stripped[:40]!r} is not one number")
    before, after = found["before"] or "", found["after"] or ""
    doubled = (found["sign"] and found["late"]) or (before and after)
    # Between sign and digits white space stands only behind a currency sign.
    if doubled or (found["gap"] and not before):
        raise NotNormalError(f"{stripped[:40]!r} has signs that do not make one number")
    if found["q"] is not None:
        if not int(found["q"]):
            raise NotNormalError(f"{stripped[:40]!r} divides by zero")
        value = Fraction(int(found["p"]), int(found["q"]))
    else:
        whole = re.sub("[^0-9]", "", found["whole"] or "")
        part = found["part"] or ""
        power = int(found["power"] or 0) - len(part)
        value = int(whole + part) * Fraction(10) ** power
    if (found["sign"] or found["late"] or "+") != "+":
        value = -value
    return value, before or after


_PAIRS: Final = (
    ("\\boxed{", "}"),
    ("\\text{", "}"),
    ("**", "**"),
    ("__", "__"),
    *zip("([{*_`\"'\u201c\u2018$", ")]}*_`\"'\u201d\u2019$", strict=True),
)
_WORDS: Final = (
    "(?:(?:the|my|our) +)?(?:(?:final|correct|best) +)?(?:answer|option|choice)(?: +is)?"
)
_STRONG: Final = "|".join(
    rf"{mark}{_WORDS} *[:=]? *{mark} *[:=]? *" for mark in (r"\*\*", r"\*", "__", "_")
)
_LEAD: Final = re.compile(
    rf"{_STRONG}|{_WORDS}(?: *[:=] *| +|(?=[(\[{{*_`\"'$\\]))", re.IGNORECASE | re.ASCII
)
_LETTER: Final = re.compile("[A-Za-z]")


def choice(payload: JSONValue) -> str:
    r"""One option letter, A to Z: the only thing left when its wrapping is taken off.

    Taken off again and again, the first that applies, white space around first: code
    fences; one of ``. : , ;`` at the end; a closing bracket at the end where nothing opens
    one (``B)``); a pair around the whole (brackets, quotes, ``*``, ``**``, ``_``, ``__``,
    backticks, ``$``, ``\boxed{}``, ``\text{}``); and words in front, in any case: perhaps
    "the", "my" or "our", perhaps "final", "correct" or "best", then "answer", "option" or
    "choice", perhaps "is", perhaps ``:`` or ``=``, all perhaps emphasised.
    Anything else left than one letter, such as two letters or a sentence, is refused.

    Raises:
        NotNormalError: not a text, more than ``limits.MAX_CHOICE_LENGTH`` characters, or
            not exactly one letter.
    """
    left = text_of(payload, "one option letter", limits.MAX_CHOICE_LENGTH)
    before = None
    while left != before:
        before = left
        left = _unwrapped(unfenced(left).strip(WHITE_SPACE))
    if not _LETTER.fullmatch(left):
        raise NotNormalError(f"{left[:40]!r} is not exactly one option letter, A to Z")
    return left.upper()


def _unwrapped(given: str) -> str:
    """Take one layer of wrapping off."""
    if given.endswith((".", ":", ",", ";")):
        return given[:-1]
    if given.endswith(")") and "(" not in given:
        return given[:-1]
    for opening, closing in _PAIRS:
        wide = len(given) > len(opening) + len(closing)
        if wide and given.startswith(opening) and given.endswith(closing):
            return given[len(opening) : -len(closing)]
    spaced = _SPACES.sub(" ", given)
    lead = _LEAD.match(spaced)
    return spaced[lead.end() :] if lead else given


def json(payload: JSONValue) -> JSONValue:
    """JSON by value: a text is read as JSON, strictly, and anything else stands for itself.

    Code fences and white space around the text are put aside. Equal values are one answer:
    order of keys, spacing and spelling of numbers do not count.

    Raises:
        NotNormalError: a text that is not JSON, has a key twice, holds a number that a
            double or a safe integer cannot, or that its double does not write back
            (10000000000000000.9), or holds nothing but another text.
    """
    if type(payload) is not str:
        return payload
    given = unfenced(payload).strip(WHITE_SPACE)
    try:
        value = canonical_json.parse(given)
        # Read again for its numbers: parsing has said that the rest is JSON.
        stdlib_json.loads(given, parse_float=_check_float, parse_int=_check_float)
    except CanonicalError as error:
        raise NotNormalError(f"no JSON that can be read: {error}") from error
    if type(value) is str:
        # Reading that text again could give a third value.
        raise NotNormalError("JSON that is one text; use the normaliser 'text' for texts")
    return value


def _check_float(spelled: str) -> None:
    """Refuse a number of which its double is only near."""
    try:
        kept = Decimal(spelled) == Decimal(repr(float(spelled)))
    except InvalidOperation:
        kept = False
    if not kept:
        raise NotNormalError(f"the number {spelled[:40]} is more exact than a double can be")


NORMALISERS: Final[Mapping[str, Callable[[JSONValue], JSONValue]]] = MappingProxyType(
    {
        "exact": same,
        "text": text,
        "number": number,
        "choice": choice,
        "json": json,
        "code": code,
        "python": python,
    }
)
"""Name to function; each raises :class:`NotNormalError` for what it cannot read."""


def normal_digest(name: str, payload: JSONValue) -> str:
    """The digest by which proposals are grouped: SHA-256 of the canonical normal form.

    Args:
        name: one of :data:`NORMALISERS`.
        payload: a JSON value.

    Raises:
        UsageError: no such normaliser, or the payload is no JSON.
        NotNormalError: the normaliser cannot read the payload.
    """
    normaliser = NORMALISERS.get(name)
    if normaliser is None:
        raise UsageError(f"normalize is {name!r}; it should be one of {', '.join(NORMALISERS)}")
    return canonical_json.digest(normaliser(payload))
