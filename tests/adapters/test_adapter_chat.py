"""Chat models: the official client against a scripted server that speaks its protocol."""

import asyncio
import gzip
import json
import math
from fractions import Fraction

import pytest
from needed import cancelled_once, need
from scripted_chat import Script, answer, application, completion

from quorate.arbitration import Arbiter, UnderQuorum
from quorate.core import limits
from quorate.core.errors import MisbehaviourError, OperationalError, TransportError, UsageError
from quorate.hub.experts import Answer, BareAnswer, Expert
from quorate.hub.session import Session

need("openai")
need("starlette")
from starlette.responses import JSONResponse  # noqa: E402

from quorate.hub.experts.chat import ChatExpert  # noqa: E402

SCRIPT = Script()


@pytest.fixture(scope="module")
def server(serve):
    return serve(application(SCRIPT)) + "/v1"


@pytest.fixture
def chat(server):
    def make(**options):
        return ChatExpert("scripted", base_url=server, **options)

    return make


def ask(expert, task="Is it so?"):
    async def go():
        try:
            return await expert(task)
        finally:
            await expert.aclose()

    return asyncio.run(go())


def in_panel(expert, *, timeout=20.0):
    """The expert between two that say yes: its proposal or absence, and the verdict."""
    roster = [
        Expert("model", expert, timeout=timeout),
        Expert("one", lambda task: Answer("yes", 0.9)),
        Expert("two", lambda task: Answer("yes", 0.9)),
    ]

    async def go():
        try:
            return await Session(roster, "Is it so?").acollect()
        finally:
            await expert.aclose()

    proposals = asyncio.run(go())
    try:
        verdict = Arbiter(quorum=0.6).arbitrate(proposals).consensus
    except UnderQuorum:
        verdict = None
    mine = [each for each in (*proposals, *proposals.absent) if each.expert_id == "model"]
    return mine[0], verdict


def test_a_panel_of_three_commits_with_a_model_in_it(chat):
    SCRIPT.play(completion(answer("yes", 0.85)))
    model = chat(price_in=2, price_out=Fraction(1, 2), max_output_tokens=64)
    proposal, verdict = in_panel(model)
    assert verdict == "yes"
    assert getattr(proposal, "payload", proposal) == "yes"
    assert proposal.exact_confidence == Fraction(85, 100)
    assert proposal.exact_cost == Fraction(100 * 2 * 2 + 10, 2_000_000)
    assert "rates itself" in model.confidence_source
    asked = SCRIPT.requests[0]
    assert asked["model"] == "scripted"
    assert asked["max_completion_tokens"] == 64
    schema = asked["response_format"]["json_schema"]
    assert schema["strict"] is True
    assert schema["schema"]["required"] == ["answer", "confidence"]
    assert asked["messages"][-1] == {"role": "user", "content": "Is it so?"}
    assert not {"temperature", "seed", "n", "logprobs", "max_tokens"} & asked.keys()


def test_the_blocking_session_asks_on_a_loop_of_its_own(chat):
    SCRIPT.play(completion(answer("yes", 0.9)), completion(answer("yes", 0.9)))
    model = chat()
    roster = [Expert("model", model), Expert("one", lambda task: Answer("yes", 0.9))]
    assert len(Session(roster, "?").collect()) == 2
    assert ask(model).payload == "yes"  # closes the other loop's connection too
    assert not model._held._holders


def test_what_is_asked_for_stands_in_the_request(chat):
    SCRIPT.play(completion(answer("no"), tokens=9))
    model = chat(
        system="Be brief.",
        template="Case: {input}. Decide.",
        confidence="declared",
        choices=["yes", "no"],
        structured="json_object",
        output_limit="max_tokens",
        max_output_tokens=9,
        temperature=0.5,
        seed=7,
    )
    assert ask(model, {"b": 1, "a": [True]}) == BareAnswer("no", tokens=109)
    asked = SCRIPT.requests[0]
    assert asked["messages"][1]["content"] == 'Case: {"a":[true],"b":1}. Decide.'
    told = asked["messages"][0]["content"]
    assert told.startswith("Be brief.\n\n")
    assert told.endswith('The answer is one of ["yes","no"].')
    assert "confidence" not in told
    assert asked["response_format"] == {"type": "json_object"}
    assert (asked["max_tokens"], asked["temperature"], asked["seed"]) == (9, 0.5, 7)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("yes", "not write one JSON object"),
        ('```json\n{"answer": "yes", "confidence": 1}\n```', "not write one JSON object"),
        ('{"answer": "yes"}', "asked was an object with answer and confidence"),
        ('{"answer": "yes", "confidence": 1, "note": ""}', "asked was an object"),
        ('{"answer": "yes", "answer": "no", "confidence": 1}', "stands twice"),
        ('{"answer": "yes", "confidence": 1.01}', "confidence is 1.01"),
        ('{"answer": "yes", "confidence": true}', "confidence is True"),
        ('{"answer": "yes", "confidence": "high"}', "confidence is 'high'"),
        ('{"answer": "yes", "confidence": NaN}', "NaN is not JSON"),
        ('{"answer": null, "confidence": 1}', "answer is null"),
        ('{"answer": "maybe", "confidence": 1}', "none of the choices"),
        ('{"answer": ["yes"], "confidence": 1}', "none of the choices"),
    ],
)
def test_what_is_no_answer_is_void_and_says_why(chat, text, why):
    SCRIPT.play(completion(text))
    absence, verdict = in_panel(chat(choices=["yes", "no"]))
    assert absence.reason == "void"
    assert why in absence.detail
    assert verdict == "yes"
    assert len(SCRIPT.requests) == 1


@pytest.mark.parametrize(
    ("body", "why"),
    [
        (b"<html>", "cannot be read"),
        (b"[]", "no 'choices'"),
        (completion(), "holds no choices"),
        (completion("x", body={"usage": None}), "no 'usage'"),
        (completion("x", body={"usage": {"prompt_tokens": 1}}), "completion_tokens"),
        (completion("x", choice={"finish_reason": "length"}), "raise max_output_tokens"),
        (completion("x", choice={"finish_reason": "content_filter"}), "content_filter"),
        (completion("x", choice={"message": {"content": None, "refusal": "no!"}}), "refused"),
        (completion("x", choice={"message": {"content": None}}), "no 'content'"),
        (completion("x", "x"), "2 completions, asked were 1"),
        (completion("x", tokens=1025), "does the server know it as 'max_tokens'"),
    ],
)
def test_a_response_that_is_none_is_void(chat, body, why):
    SCRIPT.play(body)
    with pytest.raises(MisbehaviourError, match=why):
        ask(chat())


def entries(*tokens):
    return {
        "content": [
            {"token": token, "logprob": math.log(p), "bytes": list(token.encode())}
            for token, p in tokens
        ]
    }


def test_logprobs_give_the_mean_probability_of_the_answers_tokens_alone(chat):
    tokens = [('{"', 0.1), ("answer", 0.1), ('":"', 0.1), ("Pa", 0.9), ("ris", 0.4), ('"}', 0.1)]
    text = "".join(token for token, _ in tokens)
    SCRIPT.play(completion(text, logprobs=entries(*tokens)))
    model = chat(confidence="logprobs")
    got = ask(model)
    assert (got.payload, got.confidence) == ("Paris", 0.6)
    assert SCRIPT.requests[0]["logprobs"] is True
    assert "geometric mean" in model.confidence_source


def test_logprobs_of_a_choice_give_its_probability(chat):
    tokens = [('{"answer":"', 0.1), ("y", 0.9), ("es", 0.4), ('"', 0.1), ("}", 0.1)]
    text = "".join(token for token, _ in tokens)
    SCRIPT.play(completion(text, logprobs=entries(*tokens)))
    model = chat(confidence="logprobs", choices=["yes", "no"])
    assert ask(model).confidence == 0.36
    assert "choice" in model.confidence_source


def test_without_logprobs_there_is_no_confidence(chat):
    SCRIPT.play(completion(answer("yes")))
    with pytest.raises(MisbehaviourError, match="does the server support logprobs"):
        ask(chat(confidence="logprobs"))


def test_samples_give_the_plurality_and_its_exact_share(chat):
    texts = [answer("Paris"), answer("Rome"), answer(" paris "), "no json", answer("Rome!")]
    texts += [answer("PARIS"), answer("x")]
    SCRIPT.play(completion(*texts, tokens=70))
    got = ask(chat(confidence="samples:7", temperature=1))
    assert got == Answer("Paris", Fraction(3, 7), tokens=170)
    assert SCRIPT.requests[0]["n"] == 7


def test_a_server_that_knows_no_n_is_asked_again_with_other_seeds(chat):
    SCRIPT.play(*[completion(answer(text)) for text in ("a", "b", "b")])
    got = ask(chat(confidence="samples:3", seed=5))
    assert got == Answer("b", Fraction(2, 3), tokens=330)
    assert [asked["seed"] for asked in SCRIPT.requests] == [5, 6, 7]
    assert [asked.get("n") for asked in SCRIPT.requests] == [3, 2, None]


def test_a_tie_of_samples_goes_to_the_earliest(chat):
    SCRIPT.play(completion(answer("x"), answer("y"), answer("y"), answer("x")))
    assert ask(chat(confidence="samples:4")) == Answer("x", Fraction(1, 2), tokens=110)


def test_samples_of_which_none_is_an_answer_are_void(chat):
    SCRIPT.play(completion("a", "b"))
    with pytest.raises(MisbehaviourError, match="none of its 2 samples"):
        ask(chat(confidence="samples:2"))


def test_busy_then_well_is_asked_again(chat):
    busy = JSONResponse({"error": {"message": "slow down"}}, 429, {"retry-after-ms": "1"})
    SCRIPT.play(busy, JSONResponse({}, 503, {"retry-after-ms": "1"}), completion(answer("a", 1)))
    assert ask(chat()).payload == "a"
    assert len(SCRIPT.requests) == 3


def test_retries_end_and_what_was_refused_is_not_repeated(chat):
    busy = {"retry-after-ms": "1"}
    SCRIPT.play(JSONResponse({}, 429, busy), JSONResponse({}, 429, busy))
    with pytest.raises(TransportError, match="answered 429"):
        ask(chat(retries=1))
    SCRIPT.play(JSONResponse({"error": {"message": "no such model"}}, 404))
    with pytest.raises(TransportError, match=r"404.*no such model"):
        ask(chat())
    SCRIPT.play(JSONResponse({}, 307, {"location": "/elsewhere"}))
    with pytest.raises(TransportError, match="307"):
        ask(chat())
    assert len(SCRIPT.requests) == 1


def test_a_server_that_is_not_there_is_a_crash():
    model = ChatExpert("m", base_url="http://127.0.0.1:9/v1", retries=0)
    absence, verdict = in_panel(model)
    assert absence.reason == "crashed"
    assert "could not be asked" in absence.detail
    assert verdict == "yes"


def test_a_hanging_server_is_left_at_the_deadline(chat):
    SCRIPT.play("hang")
    absence, verdict = in_panel(chat(), timeout=0.5)
    assert absence.reason == "timeout"
    assert verdict == "yes"


def test_a_cancelled_call_closes_its_request(chat):
    SCRIPT.play("hang")
    assert cancelled_once(chat(), lambda: SCRIPT.requests)
    assert SCRIPT.hung_up.wait(60)
    assert len(SCRIPT.requests) == 1


def test_an_endless_answer_is_broken_off(chat):
    SCRIPT.play(100 << 20)
    absence, verdict = in_panel(chat())
    assert absence.reason == "void"
    assert f"over {limits.MAX_ANSWER_BYTES} bytes" in absence.detail
    assert verdict == "yes"
    assert len(SCRIPT.requests) == 1
    assert SCRIPT.hung_up.wait(60)


def test_an_endless_error_is_broken_off(chat):
    from starlette.responses import StreamingResponse

    async def flood():
        for _ in range(1600):
            yield b" " * 65_536

    SCRIPT.play(StreamingResponse(flood(), status_code=400))
    with pytest.raises(MisbehaviourError, match="over"):
        ask(chat())


def test_the_bound_of_an_answer_is_exact(chat):
    body = completion(answer("a", 1))
    SCRIPT.play(body + b" " * (limits.MAX_ANSWER_BYTES - len(body)))
    assert ask(chat()).payload == "a"
    SCRIPT.play(body + b" " * (limits.MAX_ANSWER_BYTES - len(body) + 1))
    with pytest.raises(MisbehaviourError, match="over"):
        ask(chat())


def test_a_compressed_answer_is_refused(chat):
    from starlette.responses import Response

    bomb = gzip.compress(b" " * 1_000_000)
    SCRIPT.play(*[Response(bomb, headers={"content-encoding": "gzip"}) for _ in range(2)])
    with pytest.raises(MisbehaviourError, match="compressed"):
        ask(chat(retries=1))
    assert SCRIPT.headers[0]["accept-encoding"] == "identity"


def test_the_key_goes_in_the_header_and_nowhere_else(chat, token):
    model = chat(api_key_env="EXPERT_TOKEN")
    SCRIPT.play(completion(answer("a", 1)))
    assert ask(model).payload == "a"
    assert SCRIPT.headers[0]["authorization"] == f"Bearer {token}"
    SCRIPT.play(
        lambda request: JSONResponse({"error": {"message": request.headers["authorization"]}}, 401)
    )
    with pytest.raises(TransportError) as caught:
        ask(model)
    assert "401" in str(caught.value)
    assert "Bearer ***" in str(caught.value)
    assert token not in str(caught.value)
    assert token not in repr(model)
    SCRIPT.play(completion(answer(f"the key is {token}", 1)))
    with pytest.raises(MisbehaviourError, match="holds the secret"):
        ask(model)


def test_no_key_is_taken_that_was_not_declared(chat, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-of-another")
    monkeypatch.setenv("OPENAI_ORG_ID", "org")
    monkeypatch.setenv("OPENAI_PROJECT_ID", "project")
    SCRIPT.play(completion(answer("a", 1)))
    ask(chat())
    sent = json.dumps(SCRIPT.headers[0])
    assert "authorization" not in SCRIPT.headers[0]
    assert "sk-of-another" not in sent
    assert "openai-organization" not in sent
    assert "openai-project" not in sent


def test_a_key_that_is_not_set_is_said_by_its_variable(chat, monkeypatch):
    monkeypatch.delenv("EXPERT_TOKEN", raising=False)
    with pytest.raises(OperationalError, match="EXPERT_TOKEN is not set"):
        ask(chat(api_key_env="EXPERT_TOKEN"))
    monkeypatch.setenv("EXPERT_TOKEN", "k\n")
    with pytest.raises(OperationalError, match="line feed"):
        ask(chat(api_key_env="EXPERT_TOKEN"))


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"confidence": "sure"}, "'self', 'logprobs'"),
        ({"confidence": "samples:1"}, "2 to 128"),
        ({"confidence": "samples:129"}, "2 to 128"),
        ({"confidence": "samples:5", "temperature": 0}, "temperature 0"),
        ({"temperature": 2.1}, "from 0 to 2"),
        ({"template": "no place"}, "has no {input}"),
        ({"choices": ["a"]}, "2 to 256"),
        ({"choices": ["a", "a"]}, "each once"),
        ({"choices": [str(n) for n in range(257)]}, "2 to 256"),
        ({"choices": "ab"}, "no list"),
        ({"price_in": -1}, "finite decimal"),
        ({"price_out": Fraction(1, 3)}, "finite decimal"),
        ({"max_output_tokens": 0}, "max_output_tokens is 0"),
        ({"max_output_tokens": limits.MAX_OUTPUT_TOKENS + 1}, "are allowed"),
        ({"max_output_tokens": 1.5}, "whole number"),
        ({"retries": limits.MAX_RETRIES + 1}, "retries"),
        ({"seed": -1}, "seed"),
        ({"structured": "yaml"}, "json_schema"),
        ({"output_limit": "max"}, "max_completion_tokens"),
        ({"normalize": "soundex"}, "normalize"),
        ({"system": ""}, "system"),
        ({"system": "x" * (limits.MAX_PROMPT_CHARACTERS + 1)}, "characters"),
        ({"api_key_env": "sk-1 2"}, "name of the environment variable"),
        ({"base_url": "ftp://x"}, "https://host/path"),
        ({"base_url": "http://me:pw@x/v1"}, "environment variable"),
        ({"base_url": "http://10.0.0.1/v1", "api_key_env": "KEY"}, "plain http"),
    ],
)
def test_options_that_cannot_be_used(options, why):
    with pytest.raises(UsageError, match=why.replace("{", r"\{")) as caught:
        ChatExpert("m", **{"base_url": "http://127.0.0.1/v1"} | options)
    assert "sk-1 2" not in str(caught.value)


def test_options_at_their_bounds():
    expert = ChatExpert(
        "m",
        base_url="http://10.0.0.1/v1",
        api_key_env="KEY",
        insecure_http=True,
        choices=[str(n) for n in range(limits.MAX_CHOICES)],
        confidence=f"samples:{limits.MAX_SAMPLES}",
        max_output_tokens=limits.MAX_OUTPUT_TOKENS,
        retries=limits.MAX_RETRIES,
        system="x" * limits.MAX_PROMPT_CHARACTERS,
        temperature=2,
    )
    assert len(expert._choices) == limits.MAX_CHOICES
