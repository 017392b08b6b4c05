"""Cards, and verdicts on cards, that somebody made to be taken for what they are not."""

import asyncio
import json
import tracemalloc

import pytest
from card_tools import FULL_0_3, changed, small
from hypothesis import example, given, settings
from hypothesis import strategies as st
from test_beside import BOTH
from test_covered import PLAIN, STRONG, as_the_old_sdk
from test_signatures import EC_KEY, ED_KEY, TRUST, by_hand, signed, states, trusting, verdict

from quorate.cards import bounds, check_card
from quorate.cards.fetching import FetchRules, checked_parts, fetch_card
from quorate.cards.locating import deeper
from quorate.cards.reading import read_card
from quorate.cards.signatures import STATES, SignatureReport, SignatureResult, _may_be, _state
from quorate.cards.signed_form import signed_forms
from quorate.cards.verdict import CardVerdict
from quorate.core.canonical import canonical
from quorate.core.errors import UsageError

# --- nested deep ---------------------------------------------------------------------------


def peak_of(text):
    tracemalloc.start()
    try:
        read = read_card(text)
        return read, tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_what_is_nested_too_deep_takes_no_memory_by_its_depth():
    text = "[" * 900 + "0," * 5000 + "0" + "]" * 900
    read, peak = peak_of(text)
    assert [problem.rule for problem in read.errors] == ["size"]
    assert "nested deeper than 32" in read.errors[0].message
    # Where each of these values stands is told by 900 steps, some 36 MB.
    assert peak < 1 << 20


def depth_of(value):
    if not isinstance(value, dict | list):
        return 0
    inside = value.values() if isinstance(value, dict) else value
    return 1 + max(map(depth_of, inside), default=0)


NESTED = st.recursive(
    st.sampled_from([0, "", "[[", '"', "\\", '\\"[', "]]}", None]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(['"', "[", "}", "a\\"]), inner, max_size=2)
    ),
    max_leaves=12,
)


@settings(max_examples=200)
@given(NESTED, st.integers(0, 6))
@example([["]]"], {'"[': [1]}], 2)
def test_how_deep_a_text_is_nested_is_what_it_is_once_read(value, most):
    for spaces in (None, 2):
        assert deeper(json.dumps(value, indent=spaces), most) is (depth_of(value) > most)


@pytest.mark.parametrize("text", ['"' + '\\"' * 400_000, '["' + "[" * 900_000, "]" * 900_000 + "["])
def test_what_is_no_json_is_looked_through_once(text):
    assert not deeper(text, 1)
    assert [problem.rule for problem in read_card(text).errors] == ["json"]


# --- beside --------------------------------------------------------------------------------

ADDED = [
    ("additionalInterfaces.1", "https://evil.example", "$.additionalInterfaces[1]"),
    ("additionalInterfaces.0.evil", "https://evil.example", "$.additionalInterfaces[0].evil"),
    ("additionalInterfaces", None, "$.additionalInterfaces"),
    ("security.0.bearer", {"list": [], "evil": 1}, "$.security[0].bearer"),
    ("security.0.bearer", "x", "$.security[0].bearer"),
    ("security.0.bearer", None, "$.security"),
    ("skills.0.security.0.bearer", {"list": []}, "$.skills[0].security[0].bearer"),
    ("securitySchemes.bearer.name", None, "$.securitySchemes.bearer.name"),
    ("securitySchemes.bearer.flows", None, "$.securitySchemes.bearer.flows"),
    ("capabilities.stateTransitionHistory", "https://evil.example",
     "$.capabilities.stateTransitionHistory"),
    ("capabilities.stateTransitionHistory", None, "$.capabilities.stateTransitionHistory"),
]  # fmt: skip


@pytest.mark.parametrize(("path", "value", "at"), ADDED)
def test_nothing_unsigned_is_added_to_a_signed_card(path, value, at):
    card = signed(BOTH)
    assert verdict(card).verified
    read = read_card(changed(card, path, value))
    assert at in {problem.path for problem in read.errors}


# --- signatures of 0.3 ---------------------------------------------------------------------

SECURED = {
    name: value for name, value in FULL_0_3.items() if name != "capabilities"
} | {"capabilities": {"streaming": True}, "security": [{"mtls": []}]}  # fmt: skip
CLEAN = {name: value for name, value in SECURED.items() if name != "security"}


def test_of_0_3_nobody_takes_security_out_though_defaults_stand_in_it():
    assert SECURED["preferredTransport"] == "JSONRPC"
    # Signed by who leaves out what is empty, and writes the defaults all the same.
    owner = by_hand(SECURED, PLAIN, payload=canonical(CLEAN))
    assert states(verdict(owner)) == ["partial"]
    bare = {**CLEAN, "signatures": owner["signatures"]}
    assert states(verdict(bare)) == ["partial"]
    assert not check_card(bare, as_of="2026-11-21", trust=TRUST).passed
    # What is empty stands in it, so it is the whole.
    assert verdict(by_hand(SECURED, PLAIN, payload=canonical(SECURED))).verified


@pytest.mark.parametrize("name", ["Route planner", "Zürich 🏔"])
def test_of_0_3_a_card_that_the_sdk_signs_with_schemes_is_not_tampered_with(name):
    card = {**SECURED, "name": name}
    bare = {
        kind: {member: item for member, item in scheme.items() if member != "type"}
        for kind, scheme in card["securitySchemes"].items()
    }
    defaults = {"preferredTransport", "protocolVersion", "security"}
    left = {member: item for member, item in card.items() if member not in defaults}
    left["securitySchemes"] = bare
    del left["securitySchemes"]["mtls"]
    escaped = json.dumps(left, separators=(",", ":"), sort_keys=True).encode()
    for payload in (canonical(left), escaped):
        made = by_hand(card, PLAIN, payload=payload)
        assert states(verdict(made)) == ["partial"]
        assert states(verdict({**made, "version": "9"})) == ["tampered"]


def test_of_0_3_no_form_but_the_first_is_the_whole():
    for form in signed_forms(SECURED, "0.3")[1:]:
        assert states(verdict(by_hand(SECURED, PLAIN, payload=form))) == ["partial"]
    assert states(verdict(as_the_old_sdk(SECURED))) == ["partial"]


# --- verdicts read back --------------------------------------------------------------------


def told(state, needed, *results):
    listed = [
        SignatureResult(n, "acme", "ES256", one, "x").to_dict() for n, one in enumerate(results)
    ]
    return {"state": state, "needed": needed, "results": listed}


@pytest.mark.parametrize(
    "form",
    [
        told("verified", 1), told("verified", 0), told("verified", 0, "verified"),
        told("verified", 1, "partial"), told("verified", 2, "verified"),
        told("verified", -1, "verified"), told("verified", 1, "verified", "tampered"),
        told("partial", 1, "unknown-key"), told("partial", 1, "verified"),
        told("partial", 1, "partial", "host"), told("untrusted", 1, "verified"),
        told("untrusted", 1), told("failed", 1, "verified"), told("failed", 1),
        told("unsigned", 1, "verified"), told("unchecked", -1), told("unchecked", 1, "verified"),
        told("unsigned", -1), told("unchecked", 1, "tampered"),
    ],
)  # fmt: skip
def test_a_state_that_does_not_follow_from_the_signatures_is_refused(form):
    with pytest.raises(UsageError, match="does not follow from them"):
        SignatureReport.from_dict(form)
    whole = check_card(small(), as_of="2026-11-21").to_dict()
    with pytest.raises(UsageError, match="does not follow from them"):
        CardVerdict.from_dict({**whole, "signatures": form})


@settings(max_examples=300)
@given(
    st.lists(
        st.tuples(st.sampled_from(["acme", "desk", "x"]), st.sampled_from(STATES)),
        min_size=1, max_size=4,
    ),
    st.integers(1, 2),
)  # fmt: skip
def test_every_state_that_is_come_to_is_read_back(pairs, needed):
    of_trusted = {"verified", "partial", "tampered", "duplicate", "host", "name"}
    results = tuple(
        SignatureResult(n, kid if state not in of_trusted else "acme", "ES256", state, "x")
        for n, (kid, state) in enumerate(pairs)
    )
    trust = trusting(("acme", EC_KEY), ("desk", ED_KEY), signatures=needed)
    assert _may_be(_state(list(results), trust), needed, results)


@pytest.mark.parametrize("card", [small(), STRONG, signed(STRONG), by_hand(STRONG, PLAIN)])
@pytest.mark.parametrize("trust", [None, TRUST])
def test_what_was_found_is_read_back(card, trust):
    found = check_card(card, as_of="2026-11-21", trust=trust)
    assert (
        CardVerdict.from_dict(json.loads(json.dumps(found.to_dict()))).to_dict() == found.to_dict()
    )


# --- characters ----------------------------------------------------------------------------

UNSEEN = (
    "\u2062\u00ad\u034f\u115f\u1160\u3164\uffa0\u180e\u2800\u206a\ufe0f\U000e0100\U0001d173"
    "\u17b4\u200c\u200d\ufff9\ue000\U00100000\ufdd0\uffff\u200b\ufeff\U000e0041\u202e"
)


@pytest.mark.parametrize("sign", UNSEEN)
def test_names_that_look_the_same_are_told_apart(sign):
    for name in (f"Route{sign} planner", f"{sign}Route planner", f"Route planner{sign}"):
        errors = read_card(small(name=name)).errors
        assert [(one.path, one.rule) for one in errors] == [("$.name", "characters")]


@pytest.mark.parametrize(
    "name", ["\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645", "\u0915\u094d\u200d\u0937",
             "\U0001f469\u200d\U0001f4bb desk", "\u2764\ufe0f", "\u2764\ufe0f\u200d\U0001f525",
             "1\ufe0f\u20e3 desk"],
)  # fmt: skip
def test_joiners_where_they_belong_are_a_doubt(name):
    read = read_card(small(name=name))
    assert read.valid
    assert [(one.path, one.rule) for one in read.warnings] == [("$.name", "characters")]


@pytest.mark.parametrize(
    "name", ["Zürich", "東京 \U0001f5fc", "\u0645\u0631\u062d\u0628\u0627", "Łódź, 1½ km²", "ᄀ"]
)
def test_names_of_all_scripts_are_taken(name):
    assert read_card(small(name=name)).problems == ()


# --- addresses -----------------------------------------------------------------------------


@pytest.mark.parametrize("url", ["https://{}.example/x", "http://{}.example/x", "https://{}"])
def test_an_error_does_not_print_a_host_of_any_length(url):
    pytest.importorskip("httpx2", reason="httpx2 is not installed; make test-adapters")

    async def resolve(host, port):
        raise OSError(f"{host} has no address")

    with pytest.raises(UsageError, match="no name has more than 253") as found:
        fetch_card(url.format("a" * 90_000), FetchRules(resolve=resolve))
    assert len(str(found.value)) < 200


def test_a_host_may_be_as_long_as_a_name_can_be():
    longest = ".".join(["a" * 63] * 3 + ["b" * 61])
    assert len(longest) == bounds.MAX_HOST_LENGTH
    for host in (longest, f"{longest}."):
        assert checked_parts(f"https://{host}/x", insecure_http=False).hostname == host
    with pytest.raises(UsageError, match="254 characters"):
        checked_parts(f"https://{longest}b/x", insecure_http=False)


def test_no_answer_in_time_names_an_address_of_any_length_shortly():
    pytest.importorskip("httpx2", reason="httpx2 is not installed; make test-adapters")

    async def resolve(host, port):
        await asyncio.Event().wait()

    url = f"https://judge.example.com/{'a' * 90_000}"
    with pytest.raises(Exception, match="no whole card from 'https://judge") as found:
        fetch_card(url, FetchRules(resolve=resolve, seconds=0.01))
    assert len(str(found.value)) < 200
