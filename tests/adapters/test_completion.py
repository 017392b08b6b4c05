"""What a chat model wrote: read strictly, and rated by its tokens and samples."""

import json
import math
from collections import Counter
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quorate.core import limits
from quorate.core.errors import MisbehaviourError, UsageError
from quorate.hub.experts.completion import (
    Completion,
    plurality,
    read_answer,
    read_reply,
    read_samples,
    token_confidence,
)

JSON = st.recursive(
    st.booleans() | st.integers(-9, 9) | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=5,
)


@settings(max_examples=40)
@given(JSON, st.floats(0, 1), st.sampled_from([None, 1, "\t"]), st.booleans())
def test_an_answer_is_read_as_it_was_written(answer, confidence, indent, ascii_only):
    form = {"answer": answer, "confidence": confidence}
    text = json.dumps(form, indent=indent, ensure_ascii=ascii_only)
    assert read_answer(text, rated=True) == (answer, confidence)


@settings(max_examples=40)
@given(st.text(max_size=30))
def test_what_is_not_just_an_answer_is_misbehaviour(text):
    with pytest.raises(MisbehaviourError):
        read_answer(text, rated=False)


@st.composite
def tokenised(draw):
    """A text with an answer, cut into tokens of bytes anywhere, characters too."""
    answer = draw(JSON)
    before, after = draw(st.sampled_from(["", " ", "\n"])), draw(st.sampled_from(["", " "]))
    value = json.dumps(answer, ensure_ascii=draw(st.booleans()))
    text = f'{before}{{"answer":{before}{value}{after}}}{after}'
    whole = text.encode()
    cuts = sorted(draw(st.sets(st.integers(1, len(whole) - 1), max_size=8)))
    pieces = [whole[a:b] for a, b in zip([0, *cuts], [*cuts, len(whole)], strict=True)]
    logprobs = [draw(st.floats(-5, 0)) for _ in pieces]
    return text, answer, value, list(zip(pieces, logprobs, strict=True))


@settings(max_examples=40)
@given(tokenised())
def test_token_confidence_is_that_of_a_walk_over_bytes(case):
    """The twin colours each byte: of the answer or not; a token with one coloured counts."""
    text, answer, value, tokens = case
    start = len(text[: text.index(":") + 1].encode())
    start += len(text[text.index(":") + 1 :].encode()) - len(
        text[text.index(":") + 1 :].lstrip().encode()
    )
    size = len(value.encode())
    coloured = set(range(start, start + size))
    if isinstance(answer, str):
        coloured -= {start, start + size - 1}
    counted, at = [], 0
    for token, logprob in tokens:
        if coloured & set(range(at, at + len(token))):
            counted.append(logprob)
        at += len(token)
    completion = Completion(text, tuple(tokens))
    if not counted:
        with pytest.raises(MisbehaviourError, match="empty"):
            token_confidence(completion, statistic="product")
        return
    mean = math.exp(math.fsum(counted) / len(counted))
    assert token_confidence(completion, statistic="geometric mean") == round(mean, 6)
    product = math.exp(math.fsum(counted))
    assert token_confidence(completion, statistic="product") == round(product, 6)


def test_tokens_must_spell_the_text_but_may_go_on():
    text = '{"answer":"a"}'
    spelled = ((b'{"answer":"', -1.0), (b"a", -0.5), (b'"}', -1.0))
    expected = round(math.exp(-0.5), 6)
    for tokens in (spelled, (*spelled, (b"<end>", -2.0)), ((b"\n", -2.0), *spelled)):
        assert token_confidence(Completion(text, tokens), statistic="product") == expected
    with pytest.raises(MisbehaviourError, match="do not spell"):
        token_confidence(Completion(text, spelled[:2]), statistic="product")
    hidden = '{"\\u0061nswer":"a"}'
    assert read_answer(hidden, rated=False) == ("a", None)
    with pytest.raises(MisbehaviourError, match="no plain key"):
        token_confidence(Completion(hidden, ((hidden.encode(), 0.0),)), statistic="product")


@settings(max_examples=40)
@given(st.lists(st.sampled_from(["a", "A", "b", " b", "c", None]), min_size=1, max_size=9))
def test_plurality_is_that_of_a_count(answers):
    def group_of(answer):
        return answer.strip().lower()

    counts = Counter(group_of(answer) for answer in answers if answer is not None)
    if not counts:
        with pytest.raises(MisbehaviourError, match="none of its"):
            plurality(answers, group_of)
        return
    most = max(counts.values())
    # The earliest answer whose group is of that size, by a plain walk.
    first = next(a for a in answers if a is not None and counts[group_of(a)] == most)
    assert plurality(answers, group_of) == (first, Fraction(most, len(answers)))


def reply(**entry):
    choice = {"finish_reason": "stop", "message": {"content": "x"}}
    choice["logprobs"] = {"content": [{"token": "x", "logprob": -0.5} | entry]}
    usage = {"prompt_tokens": 1, "completion_tokens": 1}
    return json.dumps({"choices": [choice], "usage": usage}).encode()


def test_tokens_are_read_by_their_bytes_or_else_their_text():
    assert read_reply(reply()).completions[0].tokens == ((b"x", -0.5),)
    assert read_reply(reply(bytes=[195])).completions[0].tokens == ((b"\xc3", -0.5),)
    assert read_reply(reply(logprob=-9999)).completions[0].tokens == ((b"x", -9999.0),)


@pytest.mark.parametrize(
    ("entry", "why"),
    [
        ({"logprob": 0.1}, "logprob"),
        ({"logprob": None}, "logprob"),
        ({"logprob": True}, "logprob"),
        ({"token": 5}, "token"),
        ({"bytes": [256]}, "no bytes"),
        ({"bytes": [-1]}, "no bytes"),
        ({"bytes": [True]}, "no bytes"),
        ({"bytes": "x"}, "no bytes"),
    ],
)
def test_tokens_that_are_none(entry, why):
    with pytest.raises(MisbehaviourError, match=why):
        read_reply(reply(**entry))


@pytest.mark.parametrize("tokens", [-1, 1.5, True, "1", limits.MAX_SAFE_INTEGER + 1])
def test_use_that_cannot_be_counted(tokens):
    body = json.loads(reply())
    body["usage"]["prompt_tokens"] = tokens
    with pytest.raises(MisbehaviourError):
        read_reply(json.dumps(body).encode())


def test_the_number_of_samples_has_bounds():
    assert read_samples("samples:2") == 2
    assert read_samples(f"samples:{limits.MAX_SAMPLES}") == limits.MAX_SAMPLES
    for text in ("samples:1", f"samples:{limits.MAX_SAMPLES + 1}", "samples:", "samples:05"):
        with pytest.raises(UsageError, match="samples:N takes 2 to"):
            read_samples(text)
    with pytest.raises(UsageError):
        read_samples("samples:" + "9" * 5000)
