"""Policies: whom to trust, and each way of saying it wrongly."""

import pytest
from ledger_tools import COSIGNER, KEY, MAC, STRANGER

from quorate.core import limits
from quorate.core.errors import OperationalError, UsageError
from quorate.core.identity import HmacSigner
from quorate.ledger import Policy

A, B = KEY.verifier.to_text(), COSIGNER.verifier.to_text()


def read(tmp_path, text):
    path = tmp_path / "policy.toml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return Policy.read(path)


def test_a_policy_file(tmp_path):
    policy = read(tmp_path, f'origin = "a/b"\nkeys = ["{A}", "{B}"]\nsignatures = 2\n')
    assert (policy.origin, policy.signatures) == ("a/b", 2)
    assert [v.key_id for v in policy.verifiers] == [KEY.key_id, COSIGNER.key_id]
    assert policy.verifier(COSIGNER.key_id).key_id == COSIGNER.key_id
    assert policy.verifier(STRANGER.key_id) is None
    least = read(tmp_path, f'keys = ["{A}"]')
    assert (least.origin, least.signatures) == (None, 1)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "keys is a list"),
        ("keys = []", "at least one key"),
        (f'keys = "{A}"', "keys is a list"),
        ("keys = [1]", "keys is a list"),
        ('keys = ["nonsense"]', "no public key"),
        ('keys = ["hmac-sha256:AAAA"]', "no public key"),
        (f'keys = ["{A[:-4]}"]', "public key"),
        (f'keys = ["{A}", "{A}"]', "stands twice"),
        (f'keys = ["{A}"]\nsignatures = 0', "signatures is 0"),
        (f'keys = ["{A}"]\nsignatures = 2', "signatures is 2"),
        (f'keys = ["{A}"]\nsignatures = -1', "signatures is -1"),
        (f'keys = ["{A}"]\nsignatures = true', "signatures is True"),
        (f'keys = ["{A}"]\nsignatures = 1.0', "signatures is 1.0"),
        (f'keys = ["{A}"]\nsignatures = "1"', "signatures is '1'"),
        (f'keys = ["{A}"]\norigin = 5', "origin is 5"),
        (f'keys = ["{A}"]\nsignature = 1', "unknown 'signature'"),
        (f'keys = ["{A}"]\nkeys = ["{A}"]', "not TOML"),
        ("keys = [", "not TOML"),
        (b"\xff\xfe", "no UTF-8 text"),
    ],
)
def test_every_mistake_is_named_with_the_file(tmp_path, text, says):
    with pytest.raises(UsageError, match=says) as caught:
        read(tmp_path, text)
    assert "policy.toml" in str(caught.value)


def test_what_cannot_be_read_is_named(tmp_path):
    for path in (tmp_path / "none.toml", tmp_path):
        with pytest.raises(OperationalError, match=path.name):
            Policy.read(path)


def test_keys_at_the_bound_and_one_past():
    keys = tuple(HmacSigner(bytes([n]) * 32) for n in range(limits.MAX_KEYS + 1))
    assert len(Policy(keys[:-1], limits.MAX_KEYS).verifiers) == limits.MAX_KEYS
    with pytest.raises(UsageError, match="at most 16"):
        Policy(keys)


def test_a_policy_of_keys_trusts_each_of_them():
    policy = Policy.of([KEY.verifier, MAC], "a")
    assert (policy.signatures, policy.origin) == (1, "a")
    with pytest.raises(UsageError, match="at least one key"):
        Policy.of([])


def test_panels_are_read(tmp_path):
    path = tmp_path / "policy.toml"
    path.write_text(f'keys = ["{KEY.verifier.to_text()}"]\npanels = ["{"ab" * 32}"]\n')
    assert Policy.read(path).panels == {"ab" * 32}
    for bad in ('"ab"', "5", '["xyz"]', "[5]"):
        path.write_text(f'keys = ["{KEY.verifier.to_text()}"]\npanels = {bad}\n')
        with pytest.raises(UsageError, match="panels is a list of digests"):
            Policy.read(path)
