"""Trust stores: keys by name, each for what it may sign; whatever is wrong is told by its key."""

import base64
import json
import os
import stat

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import dsa, ec, rsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from quorate.cards import jws
from quorate.cards.signing import make_key, read_private_key
from quorate.cards.trust import TrustStore, jwk_of, key_of_jwk
from quorate.core.errors import OperationalError, UsageError
from quorate.core.identity import SMALL_ORDER, Ed25519Signer
from quorate.ledger import write_key

EC_KEY = ec.derive_private_key(7, ec.SECP256R1())
ED_KEY = Ed25519PrivateKey.from_private_bytes(b"\x05" * 32)


def pem(key):
    return key.public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    ).decode()


def private_pem(key):
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )


EC_PEM, ED_JWK = pem(EC_KEY.public_key()), jwk_of(ED_KEY.public_key())


def test_a_store_in_toml(tmp_path):
    path = tmp_path / "trust.toml"
    x = ED_JWK["x"]
    path.write_text(
        f"""signatures = 2
[[keys]]
kid = "acme"
hosts = ["Agents.Example.com"]
public = '''
{EC_PEM}'''
[[keys]]
kid = "desk"
names = ["Judge", "Judge 2"]
algorithms = ["EdDSA"]
jwk = {{kty = "OKP", crv = "Ed25519", x = "{x}"}}
"""
    )
    store = TrustStore.read(path)
    assert store.signatures == 2
    acme, desk = store.keys
    assert (acme.kid, acme.algorithms, acme.hosts) == ("acme", ("ES256",), ("agents.example.com",))
    assert (desk.kid, desk.algorithms, desk.hosts) == ("desk", ("EdDSA",), None)
    assert (acme.names, desk.names) == (None, ("Judge", "Judge 2"))
    assert store.key("acme") is acme
    assert store.key("other") is None
    assert TrustStore.from_dict(json.loads(json.dumps(store.to_dict()))) == store


@pytest.mark.parametrize(
    "key",
    [
        EC_KEY,
        ED_KEY,
        ec.derive_private_key(9, ec.SECP384R1()),
        ec.derive_private_key(9, ec.SECP521R1()),
        rsa.generate_private_key(65537, 2048),
    ],
)
def test_a_jwk_set(tmp_path, key):
    path = tmp_path / "keys.jwks"
    jwk = jwk_of(key.public_key())
    path.write_text(json.dumps({"keys": [{**jwk, "kid": "k", "use": "sig"}]}))
    (found,) = TrustStore.read(path).keys
    assert (
        found.key.public_numbers() == key.public_key().public_numbers()
        if hasattr(found.key, "public_numbers")
        else found.key.public_bytes_raw() == key.public_key().public_bytes_raw()
    )
    assert key_of_jwk(jwk) is not None


ONE = {"kid": "acme", "public": EC_PEM}


@pytest.mark.parametrize(
    ("data", "said"),
    [
        ({}, "it has no \\[\\[keys\\]\\]"),
        ({"keys": []}, "1 to 256 keys, this one 0"),
        ({"keys": [ONE], "key": 1}, "unknown 'key'; known are keys and signatures"),
        ({"keys": [ONE], "signatures": 0}, "signatures is 0; it is from 1"),
        ({"keys": [ONE], "signatures": 2}, "signatures is 2; it is from 1"),
        ({"keys": [ONE], "signatures": True}, "signatures is True"),
        ({"keys": ["x"]}, "key 1: it is no table"),
        ({"keys": [ONE, ONE]}, "the kid 'acme' stands twice; one name has one key"),
        ({"keys": [ONE, {**ONE, "kid": "b"}]}, "'acme' and 'b' are the same key"),
        ({"keys": [{"public": EC_PEM}]}, "key 1: kid is a NoneType"),
        ({"keys": [{"kid": "a"}]}, r"key 1 \('a'\): give the key as public, in PEM, or as jwk"),
        ({"keys": [{**ONE, "jwk": ED_JWK}]}, "one of them"),
        ({"keys": [{**ONE, "url": "x"}]}, "unknown 'url'"),
        ({"keys": [{**ONE, "algorithms": ["HS256"]}]}, "'HS256' does not fit the key; it takes ES"),
        ({"keys": [{**ONE, "algorithms": ["none"]}]}, "'none' does not fit the key"),
        ({"keys": [{**ONE, "algorithms": []}]}, "give a list such as \\['ES256'\\]"),
        ({"keys": [{**ONE, "hosts": "x"}]}, "give a list of host names"),
        ({"keys": [{**ONE, "hosts": ["a"] * 257}]}, "1 to 256"),
        ({"keys": [{**ONE, "names": "x"}]}, "give a list of 1 to 256 names of agents"),
        ({"keys": [{**ONE, "names": []}]}, "names is of type list; give a list of 1 to 256"),
        ({"keys": [{**ONE, "names": ["x"] * 257}]}, "give a list of 1 to 256"),
        ({"keys": [{**ONE, "names": [5]}]}, "a name is"),
        ({"keys": [{**ONE, "names": [""]}]}, "a name"),
        ({"keys": [{**ONE, "hosts": ["a b"]}]}, "the host 'a b' is no host name"),
        ({"keys": [{"kid": "a", "public": private_pem(EC_KEY).decode()}]}, "holds a private key"),
        ({"keys": [{"kid": "a", "public": "x"}]}, "no public key in PEM"),
        ({"keys": [{"kid": "a", "public": 5}]}, "give the public key as PEM text"),
        ({"keys": [{"kid": "a", "jwk": {"kty": "oct", "k": "AA"}}]}, "it is a shared secret"),
        ({"keys": [{"kid": "a", "jwk": {**ED_JWK, "d": "AA"}}]}, "a part of the private key"),
        ({"keys": [{"kid": "a", "jwk": {"kty": "OKP", "crv": "X25519", "x": "AA"}}]}, "not known"),
        ({"keys": [{"kid": "a", "jwk": {**ED_JWK, "x": "AA=="}}]}, "base64url"),
        ({"keys": [{"kid": "a", "jwk": {**ED_JWK, "x": "AA"}}]}, "Ed25519|32"),
        (
            {"keys": [{"kid": "a", "jwk": {"kty": "EC", "crv": "P-256", "x": "AQ", "y": "AQ"}}]},
            "key 1",
        ),
        ({"keys": [{"kid": "a", "jwk": {"kty": "EC", "crv": "P-256", "x": "AQ"}}]}, "its y is"),
    ],
)
def test_what_is_no_trust_store_says_why(data, said):
    with pytest.raises(UsageError, match=said):
        TrustStore.from_dict(data)


@pytest.mark.parametrize(
    ("jwk", "said"),
    [
        ({"kid": "a", **ED_JWK, "use": "enc"}, "use is 'enc'"),
        ({"kid": "a", **ED_JWK, "key_ops": ["sign"]}, "leave out verify"),
        (ED_JWK, "it has no kid"),
        ({"kid": "a", **ED_JWK, "alg": "ES256"}, "'ES256' does not fit the key"),
    ],
)
def test_what_is_no_jwk_set_says_why(jwk, said):
    with pytest.raises(UsageError, match=said):
        TrustStore.from_jwks({"keys": [jwk]})


def test_weak_and_strange_keys_are_refused():
    weak = rsa.generate_private_key(65537, 1024).public_key()  # noqa: S505 - to be refused
    with pytest.raises(UsageError, match="1024 bits; at least 2048"):
        TrustStore.from_dict({"keys": [{"kid": "a", "public": pem(weak)}]})
    numbers = rsa.generate_private_key(65537, 2048).public_key().public_numbers()
    for exponent in (3, 65535, (1 << 256) + 1):
        lax = rsa.RSAPublicNumbers(exponent, numbers.n).public_key()
        for given in ({"public": pem(lax)}, {"jwk": jwk_of(lax)}):
            with pytest.raises(UsageError, match="above 2\\^16 and below 2\\^256"):
                TrustStore.from_dict({"keys": [{"kid": "a", **given}]})
    koblitz = ec.generate_private_key(ec.SECP256K1()).public_key()
    with pytest.raises(UsageError, match="not P-256, P-384 or P-521"):
        TrustStore.from_dict({"keys": [{"kid": "a", "public": pem(koblitz)}]})
    old = dsa.generate_private_key(2048).public_key()
    with pytest.raises(UsageError, match="a key of another kind"):
        TrustStore.from_dict({"keys": [{"kid": "a", "public": pem(old)}]})


NEUTRAL = bytes([1, *bytes(31)])


@pytest.mark.parametrize("y", sorted(SMALL_ORDER))
@pytest.mark.parametrize("sign", [0, 1])
def test_keys_under_which_anybody_signs_are_refused(y, sign):
    raw = (y | sign << 255).to_bytes(32, "little")
    jwk = {"kty": "OKP", "crv": "Ed25519", "x": jws.encode(raw)}
    # An Ed25519 key in PEM is these 12 bytes of DER, and the key itself.
    der = bytes.fromhex("302a300506032b6570032100") + raw
    body = base64.b64encode(der).decode()
    for given in (
        {"jwk": jwk},
        {"public": f"-----BEGIN PUBLIC KEY-----\n{body}\n-----END PUBLIC KEY-----\n"},
    ):
        with pytest.raises(UsageError, match=r"key 1 \('a'\): the key is a point of small order"):
            TrustStore.from_dict({"keys": [{"kid": "a", **given}]})
    with pytest.raises(UsageError, match="small order"):
        TrustStore.from_jwks({"keys": [{"kid": "a", **jwk}]})


def test_the_attack_of_small_order_is_one():
    """Where such a key is trusted, a signature that nobody made is over every card."""
    key = Ed25519PublicKey.from_public_bytes(NEUTRAL)
    assert jws.verify(key, "EdDSA", NEUTRAL + bytes(32), b"whatever one likes")


@pytest.mark.parametrize("y", [2**255 - 19, 2**255 - 18, 2**255 - 1])
def test_keys_in_another_spelling_are_refused(y):
    jwk = {"kty": "OKP", "crv": "Ed25519", "x": jws.encode(y.to_bytes(32, "little"))}
    with pytest.raises(UsageError, match="not in its one spelling"):
        TrustStore.from_dict({"keys": [{"kid": "a", "jwk": jwk}]})


@pytest.mark.parametrize("text", ["[[keys", "x = " + "9" * 5000, "{", '{"keys": 1}', "\x00"])
def test_files_that_are_no_trust_store(tmp_path, text):
    path = tmp_path / "trust"
    path.write_text(text)
    with pytest.raises(UsageError, match=r"the trust store .*trust"):
        TrustStore.read(path)


def test_a_trust_store_that_is_not_there(tmp_path):
    with pytest.raises(OperationalError, match="cannot be read"):
        TrustStore.read(tmp_path / "none")


@pytest.mark.parametrize("algorithm", ["ES256", "EdDSA"])
def test_a_key_is_made_once_and_kept_private(tmp_path, algorithm):
    path = tmp_path / "card.key"
    private, public = make_key(path, "acme", algorithm)
    assert stat.S_IMODE(private.stat().st_mode) == 0o600
    (trusted,) = TrustStore.read(public).keys
    assert (trusted.kid, trusted.algorithms) == ("acme", (algorithm,))
    assert jwk_of(trusted.key) == jwk_of(read_private_key(private).public_key())
    before = private.read_bytes()
    with pytest.raises(UsageError, match="is there already; name another file"):
        make_key(path, "acme", algorithm)
    assert private.read_bytes() == before
    private.unlink()
    with pytest.raises(UsageError, match=r"card\.jwks is there already"):
        make_key(path, "acme", algorithm)
    assert not private.exists()


def test_keys_that_do_not_sign_cards(tmp_path):
    path = tmp_path / "k"
    with pytest.raises(UsageError, match="give ES256 or EdDSA"):
        make_key(path, "acme", "HS256")
    path.write_text("nothing")
    with pytest.raises(UsageError, match="holds no private key in PEM"):
        read_private_key(path)
    path.write_bytes(private_pem(EC_KEY))
    path.chmod(0o644)
    if os.name == "posix":
        with pytest.raises(UsageError, match="can be read by others"):
            read_private_key(path)
    path.chmod(0o600)
    assert read_private_key(path).curve.name == "secp256r1"
    path.write_bytes(private_pem(rsa.generate_private_key(65537, 2048)))
    with pytest.raises(UsageError, match="a key of another kind"):
        read_private_key(path)
    path.write_text("-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n")
    with pytest.raises(UsageError, match="no private key that can be read"):
        read_private_key(path)
    locked = EC_KEY.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.BestAvailableEncryption(b"pw"),
    )
    path.write_bytes(locked)
    with pytest.raises(UsageError, match="locked with a password"):
        read_private_key(path)


def test_a_ledger_s_key_does_not_sign_cards(tmp_path):
    write_key(tmp_path / "ledger.key", Ed25519Signer(b"\x01" * 32))
    with pytest.raises(UsageError, match="cards are signed with a key of their own"):
        read_private_key(tmp_path / "ledger.key")
