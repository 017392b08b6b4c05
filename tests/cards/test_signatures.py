"""Who signed a card: every way of signing it wrongly is told apart."""

import base64
import copy
import hashlib
import hmac
import json

import pytest
from card_tools import FULL_0_3, FULL_1_0, changed, small
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from quorate.cards import bounds, jws
from quorate.cards.reading import read_card
from quorate.cards.signatures import SignatureReport, verify_signatures
from quorate.cards.signed_form import WHOLE, signed_forms, whole_digest
from quorate.cards.signing import sign_card
from quorate.cards.trust import TrustedKey, TrustStore
from quorate.core.errors import UsageError

EC_KEY = ec.derive_private_key(7, ec.SECP256R1())
ED_KEY = Ed25519PrivateKey.from_private_bytes(b"\x05" * 32)
OTHER = ec.derive_private_key(8, ec.SECP256R1())
WHOLE_SMALL = whole_digest(small(), "1.0")


def trusting(*pairs, signatures=1, hosts=None, names=None):
    keys = [
        TrustedKey(kid, key.public_key(), jws.algorithms_of(key.public_key()), hosts, names)
        for kid, key in pairs
    ]
    return TrustStore(tuple(keys), signatures)


TRUST = trusting(("acme", EC_KEY), ("desk", ED_KEY))


def signed(card=None, key=EC_KEY, kid="acme", **how):
    return sign_card(read_card(small() if card is None else card), key, kid, **how)


def verdict(card, trust=TRUST):
    read = read_card(card)
    assert read.valid, read.errors
    return verify_signatures(read.content, read.version, trust)


def states(report):
    return [result.state for result in report.results]


def by_hand(card, header, key=EC_KEY, *, payload=None, outside=None):
    """Put a signature under any protected header; ES256 whatever it says."""
    protected = jws.encode(header if isinstance(header, bytes) else json.dumps(header).encode())
    body = jws.encode(signed_forms(card, "1.0")[0] if payload is None else payload)
    value = jws.encode(jws.sign(key, "ES256", f"{protected}.{body}".encode()))
    signature = {"protected": protected, "signature": value}
    if outside is not None:
        signature["header"] = outside
    return {**card, "signatures": [*card.get("signatures", []), signature]}


@pytest.mark.parametrize("card", [small(), FULL_1_0, FULL_0_3])
@pytest.mark.parametrize(("key", "kid"), [(EC_KEY, "acme"), (ED_KEY, "desk")])
def test_what_was_signed_verifies(card, key, kid):
    report = verdict(signed(card, key, kid))
    assert (report.state, states(report)) == ("verified", ["verified"])
    assert report.results[0].kid == kid


@pytest.mark.parametrize(
    ("card", "path", "value"),
    [
        (FULL_1_0, "name", "Another"),
        (FULL_1_0, "supportedInterfaces.0.url", "https://evil.example.com/"),
        (FULL_1_0, "capabilities.streaming", False),
        (FULL_1_0, "capabilities.extensions.0.params.default.digits", 2),
        (FULL_1_0, "skills.1", ...),
        (FULL_1_0, "securityRequirements.0", ...),
        (FULL_0_3, "url", "https://evil.example.com/"),
        (FULL_0_3, "skills.0.tags.0", "other"),
        (FULL_0_3, "capabilities.streaming", False),
    ],
)
def test_a_changed_card_is_tampered(card, path, value):
    report = verdict(changed(signed(card), path, value))
    assert (report.state, states(report)) == ("failed", ["tampered"])
    assert "the card was changed, or another key signed it" in report.results[0].reason


def test_an_unsigned_card_is_no_signed_one():
    assert verdict(small()).state == "unsigned"
    assert verdict(small(signatures=[])).state == "unsigned"
    assert verdict(small(), None).state == "unsigned"


def test_without_a_trust_store_nothing_is_checked():
    report = verdict(signed(), None)
    assert (report.state, states(report), report.verified) == ("unchecked", ["unknown-key"], False)


def test_a_key_that_nobody_trusts_does_not_count():
    report = verdict(signed(key=OTHER, kid="stranger"))
    assert (report.state, states(report)) == ("untrusted", ["unknown-key"])
    report = verdict(signed(signed(key=OTHER, kid="stranger"), EC_KEY, "acme"))
    assert (report.state, states(report)) == ("verified", ["unknown-key", "verified"])


def test_another_key_under_a_trusted_name_fails():
    report = verdict(signed(key=OTHER, kid="acme"))
    assert (report.state, states(report)) == ("failed", ["tampered"])


def test_alg_none_is_no_signature():
    for alg in ("none", "None", "NONE"):
        card = by_hand(small(), {"alg": alg, "kid": "acme"})
        card["signatures"][0]["signature"] = ""
        read = read_card(card)
        report = verify_signatures(read.content, "1.0", TRUST)
        assert (report.state, states(report)) == ("failed", ["algorithm"])
        assert "it is no signature at all" in report.results[0].reason


def test_a_public_key_is_no_shared_secret():
    """The old attack: HMAC keyed with the public key, which everyone has."""
    public = EC_KEY.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    protected = jws.encode(json.dumps({"alg": "HS256", "kid": "acme"}).encode())
    payload = jws.encode(signed_forms(small(), "1.0")[0])
    mac = hmac.new(public, f"{protected}.{payload}".encode(), hashlib.sha256).digest()
    card = small(signatures=[{"protected": protected, "signature": jws.encode(mac)}])
    report = verdict(card)
    assert (report.state, states(report)) == ("failed", ["algorithm"])
    assert "a shared secret" in report.results[0].reason


def test_an_algorithm_that_is_not_allowed_the_key_is_refused():
    narrow = TrustStore((TrustedKey("desk", ED_KEY.public_key(), ("Ed25519",)),))
    card = signed(key=ED_KEY, kid="desk", algorithm="EdDSA")
    assert states(verdict(card, narrow)) == ["algorithm"]
    assert verdict(signed(key=ED_KEY, kid="desk", algorithm="Ed25519"), narrow).verified
    assert states(verdict(by_hand(small(), {"alg": "RS256", "kid": "acme"}))) == ["algorithm"]


@pytest.mark.parametrize(
    "header",
    [
        {"alg": "ES256", "kid": "acme", "crit": ["exp"], "exp": 1},
        {"alg": "ES256", "kid": "acme", "crit": []},
        {"alg": "ES256", "kid": "acme", "crit": ["b64"], "b64": False},
        {"alg": "ES256", "kid": "acme", "b64": False},
    ],
)
def test_critical_headers_are_not_understood(header):
    report = verdict(by_hand(small(), header))
    assert (report.state, states(report)) == ("failed", ["critical"])


@pytest.mark.parametrize(
    ("header", "said"),
    [
        ({"alg": "ES256"}, "names no kid, or no alg"),
        ({"kid": "acme"}, "names no kid, or no alg"),
        ({"alg": "ES256", "kid": 5}, "names no kid, or no alg"),
        ({"alg": ["ES256"], "kid": "acme"}, "names no kid, or no alg"),
        (b"[]", "is no object"),
        (b"\xff", "cannot be read"),
        (b'{"alg": "ES256", "kid": "acme", "kid": "desk"}', "stands twice"),
    ],
)
def test_headers_that_cannot_be_read_are_malformed(header, said):
    report = verdict(by_hand(small(), header))
    assert states(report) == ["malformed"]
    assert not report.verified
    assert said in report.results[0].reason


@pytest.mark.parametrize("name", ["alg", "kid", "crit", "b64"])
def test_what_has_to_be_protected_does_not_count_outside(name):
    header = {"alg": "ES256", "kid": "acme"}
    report = verdict(by_hand(small(), header, outside={name: "x"}))
    assert states(report) == ["malformed"]
    assert f"holds {name}, which has to be protected" in report.results[0].reason


def test_other_spellings_of_base64_are_refused():
    card = signed()
    good = card["signatures"][0]["signature"]
    for bad in (good + "==", good + "\n", base64.b64encode(jws.decode(good)).decode()):
        card["signatures"][0]["signature"] = bad
        assert states(verdict(card)) == ["malformed"]
    # Another last character of the same bytes: its spare bits are not zero.
    spare = {"A": "B", "Q": "R", "g": "h", "w": "x"}
    card["signatures"][0]["signature"] = good[:-1] + spare[good[-1]]
    assert states(verdict(card)) == ["malformed"]


def test_addresses_of_keys_are_passed_over_and_never_asked(monkeypatch):
    import socket

    def refuse(*_, **__):
        raise AssertionError("the network was asked")

    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.setattr(socket.socket, "connect", refuse)
    evil = jws.encode(b"x")
    header = {"alg": "ES256", "kid": "evil", "jku": "https://evil.example.com/jwks", "jwk": {}}
    report = verdict(by_hand(small(), {**header, "x5u": evil, "x5c": []}, OTHER))
    assert (report.state, states(report)) == ("untrusted", ["unknown-key"])
    assert "its jku and jwk and x5u and x5c is not looked at" in report.results[0].reason
    # A trusted key that also names such an address still counts: the address is not why.
    assert verdict(by_hand(small(), {**header, "kid": "acme", WHOLE: WHOLE_SMALL})).verified


def test_one_key_counts_once():
    twice = signed()
    twice["signatures"] = twice["signatures"] * 2
    report = verdict(twice)
    assert (report.state, states(report)) == ("failed", ["duplicate", "duplicate"])


def test_as_many_keys_as_are_asked_for_have_to_sign():
    both = trusting(("acme", EC_KEY), ("desk", ED_KEY), signatures=2)
    once = signed()
    assert verdict(once, both).state == "untrusted"
    assert verdict(signed(once, ED_KEY, "desk"), both).state == "verified"


def test_one_wrong_signature_of_a_trusted_key_spoils_the_others():
    card = signed(changed(signed(), "name", "Other"), ED_KEY, "desk")
    report = verdict(card)
    assert (report.state, states(report)) == ("failed", ["tampered", "verified"])


def test_a_key_speaks_for_its_hosts_alone():
    own = trusting(("acme", EC_KEY), hosts=("judge.example.com",))
    assert verdict(signed(), own).verified
    other = trusting(("acme", EC_KEY), hosts=("other.example.com",))
    report = verdict(signed(), other)
    assert (report.state, states(report)) == ("failed", ["host"])
    assert "may not speak for judge.example.com" in report.results[0].reason


def test_a_key_speaks_for_its_agents_alone():
    own = trusting(("acme", EC_KEY), names=("Judge", "Other"))
    assert verdict(signed(), own).verified
    for names in (("Other",), ("judge",), ("Judge ",)):
        report = verdict(signed(), trusting(("acme", EC_KEY), names=names))
        assert (report.state, states(report)) == ("failed", ["name"])
        assert "may not speak for agents named 'Judge'" in report.results[0].reason


def test_a_key_among_others_that_takes_any_name_is_told():
    several = trusting(("acme", EC_KEY), ("desk", ED_KEY))
    assert "may speak for agents of any name" in verdict(signed(), several).results[0].reason
    for quiet in (
        trusting(("acme", EC_KEY)),
        trusting(("acme", EC_KEY), ("desk", ED_KEY), names=("Judge",)),
    ):
        assert "any name" not in verdict(signed(), quiet).results[0].reason


def test_a_signature_moved_to_another_card_is_tampered():
    card = small(name="Another", signatures=signed()["signatures"])
    assert states(verdict(card)) == ["tampered"]


def test_signing_refuses_what_it_should():
    read = read_card(signed())
    with pytest.raises(UsageError, match="signed by 'acme' already; --replace"):
        sign_card(read, EC_KEY, "acme")
    again = sign_card(read, EC_KEY, "acme", replace=True)
    assert len(again["signatures"]) == 1
    assert verdict(again).verified
    with pytest.raises(UsageError, match="not valid, so it is not signed"):
        sign_card(read_card({}), EC_KEY, "acme")
    with pytest.raises(UsageError, match="signs by ES256, not by EdDSA"):
        sign_card(read_card(small()), EC_KEY, "acme", algorithm="EdDSA")
    full = small(signatures=[{"protected": "a", "signature": "b"}] * bounds.MAX_SIGNATURES)
    with pytest.raises(UsageError, match="has 16 signatures, the most it can have"):
        sign_card(read_card(full), EC_KEY, "acme")


def test_signing_leaves_the_card_it_was_given_alone():
    card = small()
    before = copy.deepcopy(card)
    signed(card)
    assert card == before


@pytest.mark.parametrize(
    ("key", "algorithms"),
    [
        (ec.derive_private_key(9, ec.SECP384R1()), ["ES384"]),
        (ec.derive_private_key(9, ec.SECP521R1()), ["ES512"]),
        (ED_KEY, ["EdDSA", "Ed25519"]),
    ],
)
def test_each_algorithm_round_trips(key, algorithms):
    for algorithm in algorithms:
        value = jws.sign(key, algorithm, b"message")
        assert jws.verify(key.public_key(), algorithm, value, b"message")
        assert not jws.verify(key.public_key(), algorithm, value, b"massage")
        assert not jws.verify(key.public_key(), algorithm, value[:-1], b"message")
        assert not jws.verify(key.public_key(), algorithm, b"", b"message")


@pytest.mark.parametrize("algorithm", ["RS256", "RS512", "PS256", "PS384"])
def test_rsa_of_others_is_verified(algorithm):
    jwt = pytest.importorskip("jwt", reason="PyJWT is not installed; make test-adapters")
    key = rsa.generate_private_key(65537, 2048)
    token = jwt.api_jws.encode(b"payload", key, algorithm)
    message, _, value = token.rpartition(".")
    assert jws.verify(key.public_key(), algorithm, jws.decode(value), message.encode())
    assert not jws.verify(key.public_key(), algorithm, jws.decode(value), b"x" + message.encode())


def test_reports_round_trip():
    report = verdict(signed())
    assert SignatureReport.from_dict(json.loads(json.dumps(report.to_dict()))) == report
    assert report.describe().startswith("signatures: verified: signed by 1 trusted key")
    with pytest.raises(UsageError, match="the state of the signatures"):
        SignatureReport.from_dict({**report.to_dict(), "state": "fine"})
