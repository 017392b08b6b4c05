"""The official SDK verifies what we sign, and we verify what it signs."""

import copy
import json

import pytest
from card_tools import FULL_0_3, FULL_1_0, changed, small
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given, settings
from hypothesis import strategies as st

from quorate.cards import jws
from quorate.cards.reading import read_card
from quorate.cards.signatures import verify_signatures
from quorate.cards.signed_form import signed_forms, whole_digest
from quorate.cards.signing import sign_card
from quorate.cards.trust import TrustedKey, TrustStore

signing = pytest.importorskip(
    "a2a.utils.signing", reason="a2a-sdk[signing] is not installed; make test-adapters"
)
from a2a.types import AgentCard  # noqa: E402
from google.protobuf.json_format import MessageToDict, ParseDict  # noqa: E402

KEYS = {
    "ES256": ec.derive_private_key(7, ec.SECP256R1()),
    "EdDSA": Ed25519PrivateKey.from_private_bytes(b"\x05" * 32),
}
EXTRAS = st.recursive(
    st.one_of(
        st.none(), st.booleans(), st.integers(-(2**53) + 1, 2**53 - 1), st.text(max_size=5),
        st.floats(allow_nan=False, allow_infinity=False),
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=8,
)  # fmt: skip


def trusting(algorithm):
    return TrustStore((TrustedKey("k1", KEYS[algorithm].public_key(), (algorithm,)),))


def ours(card, trust):
    read = read_card(card)
    assert read.valid, read.errors
    return verify_signatures(read.content, read.version, trust).state


def theirs(card, algorithm):
    """Verify as the SDK's client does, which leaves out what it does not know."""
    from a2a.client.card_resolver import parse_agent_card

    key = KEYS[algorithm].public_key()
    verifier = signing.create_signature_verifier(lambda kid, jku: key, [algorithm])
    try:
        verifier(parse_agent_card(copy.deepcopy(card)))
    except signing.InvalidSignaturesError:
        return "failed"
    return "verified"


@pytest.mark.parametrize("algorithm", ["ES256", "EdDSA"])
@pytest.mark.parametrize("card", [FULL_1_0, small(), changed(small(), "name", "Zürich 🏔")])
def test_the_sdk_verifies_what_we_sign(card, algorithm):
    signed = sign_card(read_card(card), KEYS[algorithm], "k1", algorithm=algorithm)
    assert theirs(signed, algorithm) == "verified"
    assert theirs({**signed, "name": "Other"}, algorithm) == "failed"


@pytest.mark.parametrize("algorithm", ["ES256", "EdDSA"])
@pytest.mark.parametrize("card", [FULL_1_0, small(), changed(small(), "name", "Zürich 🏔")])
def test_we_verify_what_the_sdk_signs(card, algorithm):
    signer = signing.create_agent_card_signer(
        KEYS[algorithm], {"kid": "k1", "alg": algorithm, "typ": "JOSE", "jku": None}
    )
    signed = json.loads(json.dumps(MessageToDict(signer(ParseDict(card, AgentCard())))))
    # The key's, over all that the SDK signs: not over requirements without scopes, for one.
    assert ours(signed, trusting(algorithm)) == "partial"
    assert ours({**signed, "name": "Other"}, trusting(algorithm)) == "failed"


def test_a_card_that_the_sdk_serves_for_both_versions_verifies():
    from a2a.server.request_handlers.response_helpers import agent_card_to_dict

    card = changed(FULL_1_0, "supportedInterfaces.0.protocolVersion", "0.3.0")
    card = changed(card, "capabilities.extendedAgentCard", True)
    signer = signing.create_agent_card_signer(
        KEYS["ES256"], {"kid": "k1", "alg": "ES256", "typ": "JOSE", "jku": None}
    )
    served = json.loads(json.dumps(agent_card_to_dict(signer(ParseDict(card, AgentCard())))))
    read = read_card(served)
    assert (read.version, read.errors) == ("1.0+0.3", ())
    assert ours(served, trusting("ES256")) == "partial"


@pytest.mark.parametrize("algorithm", ["ES256", "EdDSA"])
@pytest.mark.parametrize("card", [FULL_1_0, small(), small(iconUrl="", documentationUrl=None)])
def test_what_we_sign_is_whole_after_the_sdk_served_it(card, algorithm):
    from a2a.server.request_handlers.response_helpers import agent_card_to_dict

    signed = sign_card(read_card(card), KEYS[algorithm], "k1", algorithm=algorithm)
    message = ParseDict(copy.deepcopy(signed), AgentCard())
    for served in (MessageToDict(message), agent_card_to_dict(message)):
        told = json.loads(json.dumps(served))
        assert told != signed
        assert ours(told, trusting(algorithm)) == "verified"
        del told["securityRequirements"]
        told.pop("security", None)
        assert ours(told, trusting(algorithm)) == "failed"


def test_the_older_sdk_s_way_of_0_3_verifies():
    """It signed what remains without empty members and defaults, sorted."""
    from a2a.compat.v0_3 import types as old

    card = {**FULL_0_3, "signatures": []}
    model = old.AgentCard.model_validate(card)
    left = model.model_dump(
        mode="json", by_alias=True, exclude={"signatures"}, exclude_defaults=True, exclude_none=True
    )
    # The type of each scheme, too, is a default to it.
    assert left["securitySchemes"]["key"] == {"in": "header", "name": "X-API-Key"}
    payload = json.dumps(signing._clean_empty(left), separators=(",", ":"), sort_keys=True)
    protected = jws.encode(b'{"alg":"ES256","kid":"k1"}')
    message = f"{protected}.{jws.encode(payload.encode())}".encode()
    value = jws.encode(jws.sign(KEYS["ES256"], "ES256", message))
    card["signatures"] = [{"protected": protected, "signature": value}]
    assert ours(card, trusting("ES256")) == "partial"
    assert ours({**card, "name": "Other"}, trusting("ES256")) == "failed"


ODD = {
    "extras": st.dictionaries(st.text(max_size=5), EXTRAS, max_size=3),
    "streaming": st.sampled_from([None, True, False]),
    "required": st.sampled_from([None, True, False]),
    "text": st.text(max_size=4),
    "icon": st.sampled_from([None, "", "https://example.com/i.png"]),
}


def odd_card(extras, streaming, required, text, icon):
    """A card with members that are empty, absent, or of a kind that the SDK writes otherwise."""
    extension = {"uri": "urn:x:y", "params": extras, "description": text, "required": required}
    card = small(
        capabilities={
            "streaming": streaming,
            "extensions": [{key: item for key, item in extension.items() if item is not None}],
        },
        iconUrl=icon,
        description=text or "x",
        provider={"organization": text, "url": ""},
    )
    if streaming is None:
        del card["capabilities"]["streaming"]
    if icon is None:
        del card["iconUrl"]
    return card


@given(**ODD)
@settings(max_examples=60)
def test_the_signed_bytes_are_those_of_the_sdk(**odd):
    card = odd_card(**odd)
    message = ParseDict(copy.deepcopy(card), AgentCard())
    assert signed_forms(card, "1.0") == (signing._canonicalize_agent_card(message).encode(),)


@given(**ODD)
@settings(max_examples=50)
def test_what_the_sdk_writes_of_what_it_read_has_the_same_digest(**odd):
    card = odd_card(**odd)
    written = json.dumps(MessageToDict(ParseDict(copy.deepcopy(card), AgentCard())))
    again = read_card(written).content
    assert whole_digest(again, "1.0") == whole_digest(read_card(card).content, "1.0")
