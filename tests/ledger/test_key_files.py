"""Key files: private, never overwritten, and every mistake named."""

import os
import stat

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from ledger_tools import KEY, MAC

from quorate.core import limits
from quorate.core.errors import OperationalError, QuorateError, UsageError
from quorate.core.identity import HmacSigner
from quorate.ledger import read_signer, read_verifier, write_key
from quorate.ledger.keyfiles import public_path


def mode(path):
    return stat.S_IMODE(path.stat().st_mode)


@pytest.fixture(autouse=True, params=[0o022, 0o000], ids=["umask 022", "umask 000"])
def umask(request):
    before = os.umask(request.param)
    yield
    os.umask(before)


def test_an_ed25519_pair(tmp_path):
    path, public = write_key(tmp_path / "keys" / "panel.key", KEY)
    assert (path.name, public.name) == ("panel.key", "panel.pub")
    assert mode(path) == 0o600
    assert public.read_text() == KEY.verifier.to_text() + "\n"
    assert path.read_bytes().startswith(b"-----BEGIN PRIVATE KEY-----")
    assert read_signer(path).secret == KEY.secret
    for key in (public, str(public), KEY.verifier.to_text()):
        assert read_verifier(key).key_id == KEY.key_id


def test_an_hmac_secret_has_no_public_half(tmp_path):
    (path,) = write_key(tmp_path / "shared.key", MAC)
    assert mode(path) == 0o600
    assert list(tmp_path.iterdir()) == [path]
    assert isinstance(read_signer(path), HmacSigner)
    assert read_signer(path).secret == read_verifier(path).secret == MAC.secret


@pytest.mark.parametrize("there", ["panel.key", "panel.pub"])
def test_nothing_is_overwritten(tmp_path, there):
    (tmp_path / there).write_text("mine")
    with pytest.raises(UsageError, match=f"{there} is there already"):
        write_key(tmp_path / "panel.key", KEY)
    assert [p.name for p in tmp_path.iterdir()] == [there]
    assert (tmp_path / there).read_text() == "mine"


def test_a_link_to_nowhere_is_not_followed(tmp_path):
    (tmp_path / "panel.key").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(UsageError, match="there already"):
        write_key(tmp_path / "panel.key", MAC)
    assert not (tmp_path / "elsewhere").exists()


def test_what_cannot_be_written_leaves_nothing(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(OperationalError, match=r"panel\.key cannot be written"):
        write_key(tmp_path / "file" / "panel.key", KEY)
    assert [p.name for p in tmp_path.iterdir()] == ["file"]


@pytest.mark.parametrize("signer", [KEY, MAC])
@pytest.mark.parametrize("bits", [0o640, 0o604, 0o660, 0o644, 0o610, 0o601])
def test_a_key_that_others_may_touch_is_refused(tmp_path, signer, bits):
    path = write_key(tmp_path / "panel.key", signer)[0]
    path.chmod(bits)
    with pytest.raises(UsageError, match="chmod 600"):
        read_signer(path)
    path.chmod(0o400)
    assert read_signer(path).key_id == signer.key_id


def test_halves_taken_for_one_another(tmp_path):
    path, public = write_key(tmp_path / "panel.key", KEY)
    with pytest.raises(UsageError, match=r"panel\.key is a private key; verify with .*panel\.pub"):
        read_verifier(path)
    public.chmod(0o600)
    with pytest.raises(UsageError, match="is a public key; signing takes the private key"):
        read_signer(public)


def pem(key, password=None):
    lock = (
        serialization.BestAvailableEncryption(password)
        if password
        else serialization.NoEncryption()
    )
    return key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, lock)


GARBAGE = {
    "empty": b"",
    "text": b"hello\n",
    "binary": b"\xff\xfe\x00",
    "nul": b"\x00" * 64,
    "cut pem": b"-----BEGIN PRIVATE KEY-----\nMC4CAQ",
    "another kind": pem(ec.generate_private_key(ec.SECP256R1())),
    "locked": pem(ed25519.Ed25519PrivateKey.generate(), b"secret"),
    "hmac empty": b"hmac-sha256:",
    "hmac short": b"hmac-sha256:AAAA\n",
    "hmac not base64": b"hmac-sha256:***\n",
    "hmac not ascii": "hmac-sha256:é\n".encode(),
    "public cut": KEY.verifier.to_text()[:-4].encode(),
    "public not ascii": "ed25519:é".encode(),
}


@pytest.mark.parametrize("name", GARBAGE)
def test_garbage_is_refused_and_the_file_is_named(tmp_path, name):
    path = tmp_path / "bad.key"
    path.write_bytes(GARBAGE[name])
    path.chmod(0o600)
    for read in (read_signer, read_verifier):
        with pytest.raises(UsageError, match=r"bad\.key"):
            read(path)


@pytest.mark.parametrize("name", ["empty", "text", "nul", "cut pem"])
def test_what_holds_no_key_says_where_keys_come_from(tmp_path, name):
    path = tmp_path / "bad.key"
    path.write_bytes(GARBAGE[name])
    path.chmod(0o600)
    with pytest.raises(UsageError, match=r"bad\.key holds no key .*'quorate keys new'") as caught:
        read_signer(path)
    assert "http" not in str(caught.value)


def test_a_locked_key_is_called_locked(tmp_path):
    path = tmp_path / "bad.key"
    path.write_bytes(GARBAGE["locked"])
    path.chmod(0o600)
    with pytest.raises(UsageError, match="locked with a password"):
        read_signer(path)


def test_what_is_no_private_key_is_not_asked_for_its_mode(tmp_path):
    _, public = write_key(tmp_path / "panel.key", KEY)
    public.chmod(0o644)
    with pytest.raises(UsageError, match="is a public key; signing takes the private key"):
        read_signer(public)
    other = tmp_path / "tasks.jsonl"
    other.write_text("{}\n")
    other.chmod(0o644)
    with pytest.raises(UsageError, match="holds no key"):
        read_signer(other)


def test_an_empty_public_key_is_called_empty(tmp_path):
    (tmp_path / "a.pub").write_text("\n")
    with pytest.raises(UsageError, match=r"a\.pub is empty"):
        read_verifier(tmp_path / "a.pub")


@pytest.mark.parametrize("read", [read_signer, read_verifier])
def test_a_pipe_or_a_device_is_not_waited_for(tmp_path, read):
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", "/dev/zero"):
        with pytest.raises(OperationalError, match="is no regular file"):
            read(path)


def test_what_cannot_be_read_is_named(tmp_path):
    for path in (tmp_path / "none.key", tmp_path):
        for read in (read_signer, read_verifier):
            with pytest.raises(OperationalError, match=path.name):
                read(path)


def test_a_key_file_at_the_bound_and_one_past(tmp_path):
    path = tmp_path / "long.pub"
    line = KEY.verifier.to_text()
    path.write_text(line + "\n" * (limits.MAX_KEY_FILE_BYTES - len(line)))
    assert read_verifier(path).key_id == KEY.key_id
    path.write_text(line + "\n" * (limits.MAX_KEY_FILE_BYTES - len(line) + 1))
    with pytest.raises(QuorateError, match="larger than"):
        read_verifier(path)


def test_names_of_public_keys(tmp_path):
    for name, public in [
        ("a.key", "a.pub"),
        ("a", "a.pub"),
        (".key", ".key.pub"),
        ("a.pem", "a.pem.pub"),
    ]:
        assert public_path(tmp_path / name) == tmp_path / public
