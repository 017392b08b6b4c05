"""What a signature of the SDK's form leaves out, nobody can put in, take out or exchange."""

import copy

import pytest
from card_tools import FULL_0_3, FULL_1_0, changed, small
from test_signatures import EC_KEY, ED_KEY, by_hand, signed, states, trusting, verdict

from quorate.cards import jws
from quorate.cards.reading import read_card
from quorate.cards.signed_form import WHOLE, signed_forms, uncovered, whole_digest
from quorate.core.canonical import canonical

PLAIN = {"alg": "ES256", "kid": "acme"}
STRONG = small(
    capabilities={
        "extensions": [
            {"uri": "urn:x:policy", "params": {"deny": [], "allow": ["a"], "limit": None}}
        ]
    },
    securitySchemes={
        "mtls": {"mtlsSecurityScheme": {}},
        "weak": {"apiKeySecurityScheme": {"location": "header", "name": "k"}},
        "o": {
            "oauth2SecurityScheme": {
                "flows": {
                    "clientCredentials": {
                        "tokenUrl": "https://a.example.com/t",
                        "scopes": {"r": "read", "": ""},
                    }
                }
            }
        },
    },
    securityRequirements=[
        {"schemes": {"mtls": {"list": []}}},
        {"schemes": {"o": {"list": ["r"]}, "mtls": {}}},
    ],
)
STRONG["skills"][0]["securityRequirements"] = [{"schemes": {"mtls": {"list": []}}}]
# What it says otherwise, though not a byte of what the SDK signs is another.
ATTACKS = [
    ("securityRequirements.0.schemes", {"weak": {"list": []}}),
    ("securityRequirements.2", {"schemes": {}}),
    ("securityRequirements.2", {}),
    ("securityRequirements.0", ...),
    ("securityRequirements.1.schemes.mtls", ...),
    ("securityRequirements.1.schemes.weak", {}),
    ("skills.0.securityRequirements", ...),
    ("skills.0.securityRequirements.0.schemes", {"weak": {}}),
    ("securitySchemes.other", {"mtlsSecurityScheme": {}}),
    ("securitySchemes.o.oauth2SecurityScheme.flows.clientCredentials.scopes", {"r": "read"}),
    ("capabilities.extensions.0.params.deny", ...),
    ("capabilities.extensions.0.params.limit", ...),
    ("capabilities.extensions.0.params.allow", ["", "a", None, {}]),
]


def same_to_the_sdk(one, other, version="1.0"):
    return signed_forms(one, version)[-1] == signed_forms(other, version)[-1]


@pytest.mark.parametrize(("path", "value"), ATTACKS)
def test_what_the_sdk_does_not_sign_is_signed_all_the_same(path, value):
    card = signed(STRONG)
    assert verdict(card).verified
    bad = changed(card, path, value)
    assert same_to_the_sdk(card, bad)
    assert (verdict(bad).state, states(verdict(bad))) == ("failed", ["tampered"])


def test_a_requirement_cannot_be_taken_out_whole():
    plain = small(securityRequirements=[{"schemes": {"bearer": {"list": []}}}])
    card = signed(plain)
    bad = changed(card, "securityRequirements")
    assert same_to_the_sdk(card, bad)
    assert read_card(bad).valid
    assert states(verdict(bad)) == ["tampered"]


@pytest.mark.parametrize(("path", "value"), [("name", "Judge"), *ATTACKS])
def test_a_signature_of_the_sdk_s_form_alone_covers_a_part(path, value):
    report = verdict(changed(by_hand(STRONG, PLAIN), path, value))
    assert (report.state, states(report), report.verified) == ("partial", ["partial"], False)
    assert "there is such in security" in report.results[0].reason
    assert "quorate card sign" in report.results[0].reason
    assert "partial: trusted keys signed it" in report.describe()


def test_where_nothing_is_empty_something_may_have_been_taken_out():
    card = small(capabilities={"streaming": True}, securityRequirements=[])
    assert uncovered(card, "1.0") is None
    report = verdict(by_hand(card, PLAIN))
    assert states(report) == ["partial"]
    assert "some may be gone" in report.results[0].reason


def test_the_digest_itself_is_under_the_signature():
    card = signed(STRONG)
    part = by_hand(STRONG, PLAIN)["signatures"][0]
    stripped = {**card, "signatures": [{**part, "signature": card["signatures"][0]["signature"]}]}
    assert states(verdict(stripped)) == ["tampered"]
    for odd in (None, True, 5, "", [], "0" * 64):
        assert states(verdict(by_hand(STRONG, {**PLAIN, WHOLE: odd}))) == ["tampered"]
    good = whole_digest(STRONG, "1.0")
    assert verdict(by_hand(STRONG, {**PLAIN, WHOLE: good})).verified
    assert states(verdict(by_hand(STRONG, {**PLAIN, WHOLE: good.upper()}))) == ["tampered"]


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("securityRequirements.0.schemes.mtls", {}),
        ("securityRequirements.1.schemes.mtls", {"list": []}),
        ("securitySchemes.mtls.mtlsSecurityScheme.description", ""),
        ("skills.0.examples", []),
        ("capabilities.extensions.0.required", False),
        ("supportedInterfaces.0.tenant", ""),
        ("iconUrl", None),
    ],
)
def test_other_ways_to_write_the_same_are_the_same(path, value):
    card = changed(signed(STRONG), path, value)
    assert read_card(card).valid
    assert verdict(card).verified


def test_what_is_told_apart_from_its_absence_is_told_apart():
    for path, value in (("capabilities.streaming", False), ("iconUrl", "")):
        assert states(verdict(changed(signed(STRONG), path, value))) == ["tampered"]


# --- 0.3 -----------------------------------------------------------------------------------

FULL = {
    name: value for name, value in FULL_0_3.items()
    if name not in {"preferredTransport", "protocolVersion"}
} | {"security": [{"machines": ["read"]}]}  # fmt: skip
FULL["capabilities"] = {"streaming": True}
OLD_ATTACKS = [
    ("security.1", {}),
    ("security.1", {"key": []}),
    ("security.0.key", []),
    ("skills.0.security.1", {"bearer": []}),
]


def as_the_old_sdk(card):
    return by_hand(card, PLAIN, payload=signed_forms(card, "0.3")[-1])


@pytest.mark.parametrize(("path", "value"), OLD_ATTACKS)
def test_of_0_3_nothing_is_added_either(path, value):
    assert signed_forms(FULL, "0.3")[0] == canonical(FULL)
    assert uncovered(FULL, "0.3") is None
    card = signed(FULL)
    bad = changed(card, path, value)
    assert read_card(bad).valid
    assert same_to_the_sdk(card, bad, "0.3")
    assert states(verdict(bad)) == ["tampered"]
    # A stranger's, over the card as published or as the old SDK signs it: nobody can tell which.
    other = by_hand(FULL, PLAIN, payload=canonical(FULL))
    assert states(verdict(other)) == ["partial"]
    assert states(verdict(changed(other, path, value))) == ["partial"]


def test_of_0_3_a_card_signed_as_published_is_whole_where_that_can_be_told():
    card = by_hand(FULL_0_3, PLAIN, payload=canonical(FULL_0_3))
    assert verdict(card).verified
    assert states(verdict(changed(card, "security.2"))) == ["tampered"]
    part = as_the_old_sdk(FULL_0_3)
    assert states(verdict(part)) == ["partial"]
    assert states(verdict(changed(part, "security.2"))) == ["partial"]


# --- with others ---------------------------------------------------------------------------


def test_as_many_as_are_asked_for_sign_the_whole():
    both = trusting(("acme", EC_KEY), ("desk", ED_KEY), signatures=2)
    card = signed(by_hand(STRONG, PLAIN), ED_KEY, "desk")
    report = verdict(card, both)
    assert (report.state, states(report)) == ("partial", ["partial", "verified"])
    either = trusting(("acme", EC_KEY), ("desk", ED_KEY))
    assert verdict(card, either).state == "verified"
    twice = copy.deepcopy(card)
    twice["signatures"].append(twice["signatures"][0])
    assert verdict(twice, either).state == "failed"
    alone = trusting(("acme", EC_KEY), ("desk", ED_KEY), signatures=2)
    assert verdict(by_hand(STRONG, PLAIN), alone).state == "untrusted"


def test_signing_covers_the_whole():
    for card, version in ((FULL_1_0, "1.0"), (FULL_0_3, "0.3")):
        header = jws.decode(signed(card)["signatures"][0]["protected"])
        assert whole_digest(card, version).encode() in header
        assert b'"crit"' not in header
