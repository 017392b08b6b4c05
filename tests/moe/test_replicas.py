"""Replicas on disk: written, read back, and what is found when a file is not as it was."""

import hashlib
import json
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

pytest.importorskip("torch", reason="needs quorate[torch]")
pytest.importorskip("safetensors", reason="needs quorate[transformers]")

import torch

from quorate.core.canonical import canonical
from quorate.core.errors import OperationalError, UsageError, UsageTypeError, VerificationError
from quorate.core.identity import Ed25519Signer
from quorate.moe import TokensWithoutQuorum, harden, report, save_replicas
from quorate.moe.digests import tensor_digest
from quorate.moe.hardening import hardened_gates
from tests.moe.models import Toy, corrupt, states

SIGNER = Ed25519Signer(bytes(range(32)))


@pytest.fixture
def folder(tmp_path):
    save_replicas(Toy(), tmp_path / "replicas", 4, signer=SIGNER)
    return tmp_path / "replicas"


def _flip(path, offset, bit=0):
    content = bytearray(path.read_bytes())
    content[offset] ^= 1 << bit
    path.write_bytes(content)


def _manifest(folder):
    return json.loads((folder / "manifest.json").read_text())


def test_what_was_saved_is_what_serves(folder):
    model = Toy()
    found = harden(model, weights=folder, verifier=SIGNER.verifier)
    assert (found.replicas, found.excluded) == (4, {})
    assert found.source == "files of replicas"
    assert torch.equal(model(states()), Toy()(states()))
    names = {"layers.0.gate.weight", "layers.0.gate.bias", "layers.1.gate.weight"}
    manifest = _manifest(folder)
    assert names < set(manifest["tensors"])
    assert manifest["tensors"]["layers.0.gate.bias"] == {"dtype": "float32", "shape": [8]}
    assert (folder / "manifest.json").read_bytes() == canonical(manifest)


@pytest.mark.parametrize("place", ["tensor", "header"])
def test_one_flipped_bit_on_disk_names_the_replica_and_excludes_it(folder, place):
    _flip(folder / "replica-2.safetensors", -9 if place == "tensor" else 10)
    model = Toy()
    found = harden(model, weights=folder)
    assert list(found.excluded) == [2]
    assert "replica-2.safetensors is not the file of the manifest" in found.excluded[2]
    if place == "tensor":
        assert "layers.1.gate" in found.excluded[2]
    assert "Excluded: replica 2" in found.describe()
    assert torch.equal(model(states()), Toy()(states()))
    assert all(list(seen["excluded"]) == [2] for seen in report(model).values())
    # It counts against the quorum: one more that fails, and there is none.
    corrupt(hardened_gates(model).values(), [0], "nan")
    with pytest.raises(TokensWithoutQuorum):
        model(states())


def test_a_flipped_bit_would_have_changed_the_gate(folder):
    """What the digest keeps out: the file still reads, with another weight in it."""
    from safetensors.torch import load

    before = load((folder / "replica-2.safetensors").read_bytes())
    _flip(folder / "replica-2.safetensors", -9)
    after = load((folder / "replica-2.safetensors").read_bytes())
    assert [name for name in before if not torch.equal(before[name], after[name])]


def test_a_missing_file_is_an_absent_replica(folder):
    (folder / "replica-0.safetensors").unlink()
    model = Toy()
    found = harden(model, weights=folder)
    assert found.excluded == {0: "replica-0.safetensors cannot be read: No such file or directory"}
    assert torch.equal(model(states()), Toy()(states()))


def test_no_file_at_all_that_reads_is_told(folder):
    file = folder / "replica-1.safetensors"
    size = len(file.read_bytes())
    file.write_bytes(b"nothing".ljust(size))
    assert "cannot be read as safetensors" in harden(Toy(), weights=folder).excluded[1]
    file.write_bytes(b"nothing")
    assert harden(Toy(), weights=folder).excluded[1] == (
        f"replica-1.safetensors is not the file of the manifest: it has 7 bytes, and should have "
        f"{size:,}"
    )


def test_more_unfit_than_may_be_faulty_are_refused(folder):
    for replica in (1, 3):
        _flip(folder / f"replica-{replica}.safetensors", -1)
    model = Toy()
    with pytest.raises(VerificationError, match=r"more than 1 of 4 .*replica 1.*replica 3"):
        harden(model, weights=folder)
    assert type(model.layers[0].gate).__name__ == "ToyTopKRouter"


def test_a_file_swapped_for_another_of_the_same_form_is_found(folder, tmp_path):
    other = Toy()
    with torch.no_grad():
        other.layers[0].gate.weight.neg_()
    save_replicas(other, tmp_path / "other", 4)
    content = (tmp_path / "other" / "replica-1.safetensors").read_bytes()
    (folder / "replica-1.safetensors").write_bytes(content)
    assert "layers.0.gate.weight changed" in harden(Toy(), weights=folder).excluded[1]


def test_a_manifest_signed_by_nobody_or_another_is_refused(folder):
    with pytest.raises(VerificationError, match="not signed by key"):
        harden(Toy(), weights=folder, verifier=Ed25519Signer(bytes(32)).verifier)
    manifest = _manifest(folder)
    manifest["files"][1]["sha256"] = "0" * 64
    (folder / "manifest.json").write_bytes(canonical(manifest))
    with pytest.raises(VerificationError, match="not signed by key") as caught:
        harden(Toy(), weights=folder, verifier=SIGNER.verifier)
    assert caught.value.rule == "signature"
    (folder / "manifest.sig").write_text("zz")
    with pytest.raises(VerificationError):
        harden(Toy(), weights=folder, verifier=SIGNER.verifier)
    (folder / "manifest.sig").unlink()
    with pytest.raises(OperationalError):
        harden(Toy(), weights=folder, verifier=SIGNER.verifier)
    # Without a key to check with, the manifest is taken at its word.
    assert list(harden(Toy(), weights=folder).excluded) == [1]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda m: m.update(schema="other/1"), "schema"),
        (lambda m: m.update(more=1), "exactly the fields"),
        (lambda m: m.update(replicas=3), "each replica"),
        (lambda m: m["files"][0].update(name="../replica-0.safetensors"), "must be replica-0"),
        (lambda m: m["files"][0].pop("sha256"), "sha256"),
        (lambda m: m["files"][0].update(size=-1), "size is -1"),
        (lambda m: m["files"][0].update(size="1"), "size is '1'"),
        (lambda m: m.update(replicas=0, files=[]), "replicas is 0"),
        (lambda m: m.update(replicas=65, files=m["files"] * 17), "replicas is 65"),
        (lambda m: m.update(replicas=True), "replicas is True"),
        (lambda m: m.update(tensors=[]), "each replica"),
    ],
)
def test_a_manifest_of_another_form_is_refused(folder, change, words):
    manifest = _manifest(folder)
    change(manifest)
    (folder / "manifest.json").write_bytes(canonical(manifest))
    with pytest.raises(VerificationError, match=words) as caught:
        harden(Toy(), weights=folder)
    assert caught.value.rule == "manifest"


def test_a_manifest_that_is_no_canonical_json_is_refused(folder):
    content = (folder / "manifest.json").read_text()
    (folder / "manifest.json").write_text(content + " ")
    with pytest.raises(VerificationError, match="canonical"):
        harden(Toy(), weights=folder)


# -- files made to hurt whoever reads them


def _swapped(folder, content, tensors=None):
    """Replica 2 is other bytes, and the manifest says so."""
    (folder / "replica-2.safetensors").write_bytes(content)
    manifest = _manifest(folder)
    entry = manifest["files"][2]
    entry.update(size=len(content), sha256=hashlib.sha256(content).hexdigest())
    entry["tensors"].update(tensors or {})
    (folder / "manifest.json").write_bytes(canonical(manifest))


@pytest.mark.parametrize(
    "other",
    [torch.zeros(8, 4), torch.zeros(8, 16, dtype=torch.float64), torch.zeros(8, 16).half()],
    ids=["shape", "wider", "narrower"],
)
def test_a_tensor_that_the_gate_cannot_compute_with_is_unfit(folder, other):
    from safetensors.torch import load, save

    name = "layers.0.gate.weight"
    held = load((folder / "replica-2.safetensors").read_bytes())
    held[name] = other
    _swapped(folder, save(held), {name: tensor_digest(other)})
    model = Toy()
    found = harden(model, weights=folder)
    assert list(found.excluded) == [2]
    assert f"{name} is {str(other.dtype).removeprefix('torch.')}" in found.excluded[2]
    assert "computes with float32 [8, 16]" in found.excluded[2]
    assert torch.equal(model(states()), Toy()(states()))


def test_a_file_of_the_manifest_that_is_no_safetensors_is_unfit(folder):
    _swapped(folder, b"nothing of the kind")
    model = Toy()
    found = harden(model, weights=folder)
    assert "cannot be read as safetensors" in found.excluded[2]
    assert torch.equal(model(states()), Toy()(states()))


def test_what_is_no_file_is_unfit_and_keeps_nobody_waiting(folder):
    path = folder / "replica-2.safetensors"
    for make in (os.mkfifo, Path.mkdir, lambda path: path.symlink_to("/dev/zero")):
        path.unlink()
        make(path)
        assert list(_in_time(folder).excluded) == [2]
        if path.is_dir():
            path.rmdir()
            path.touch()


def _in_time(folder, **more):
    """Harden on a thread that may wait for ever, for half a minute."""
    with ThreadPoolExecutor(1) as pool:
        pending = pool.submit(harden, Toy(), weights=folder, **more)
        try:
            return pending.result(30)
        except TimeoutError:
            # Let go of the thread: a pipe that nobody ever writes to is held open by it.
            for pipe in folder.iterdir():
                if pipe.is_fifo():
                    os.close(os.open(pipe, os.O_WRONLY))
            raise


@pytest.mark.parametrize("name", ["manifest.json", "manifest.sig"])
def test_a_manifest_that_is_no_file_keeps_nobody_waiting(folder, name):
    (folder / name).unlink()
    os.mkfifo(folder / name)
    with pytest.raises(OperationalError, match="no regular file"):
        _in_time(folder, verifier=SIGNER.verifier)
    (folder / name).unlink()
    with (folder / name).open("wb") as file:
        file.truncate(1 << 40)
    with pytest.raises(OperationalError, match="should have at most"):
        harden(Toy(), weights=folder, verifier=SIGNER.verifier)


def test_a_sparse_file_of_another_size_is_not_read(folder):
    with (folder / "replica-2.safetensors").open("wb") as file:
        file.truncate(1 << 40)
    assert "1,099,511,627,776 bytes" in harden(Toy(), weights=folder).excluded[2]


def test_a_signature_of_any_bytes_is_no_signature(folder):
    (folder / "manifest.sig").write_bytes(b"\xff" * 40)
    with pytest.raises(VerificationError) as caught:
        harden(Toy(), weights=folder, verifier=SIGNER.verifier)
    assert caught.value.rule == "signature"


def test_a_hardened_model_is_told_apart_from_one_without_routers(tmp_path):
    model = Toy()
    harden(model)
    with pytest.raises(UsageError, match=r"the model is hardened; restore\(model\)"):
        save_replicas(model, tmp_path / "x")


@pytest.mark.parametrize(
    ("weights", "words"),
    [
        (Toy().state_dict(), "one state dict"),
        (5, "weights is 5"),
        ((each for each in ()), "list of state dicts"),
        ([Toy().state_dict(), 3], r"weights\[1\] is a int"),
    ],
)
def test_weights_that_are_no_list_of_state_dicts_are_told(tmp_path, weights, words):
    for use in (
        lambda: harden(Toy(), weights=weights),
        lambda: save_replicas(Toy(), tmp_path / "x", 2, weights=weights),
    ):
        with pytest.raises(UsageTypeError, match=words):
            use()


def test_replicas_of_another_model_are_refused(folder):
    with pytest.raises(UsageError, match=r"\[8, 16\].* in the manifest"):
        harden(Toy(experts=4), weights=folder)
    with pytest.raises(UsageError, match=r"bfloat16.* in the model"):
        harden(Toy().bfloat16(), weights=folder)
    with pytest.raises(UsageError, match="replicas is 7, but weights holds 4"):
        harden(Toy(), weights=folder, replicas=7)


def test_nothing_is_overwritten_and_nothing_made_up(folder, tmp_path):
    with pytest.raises(UsageError, match="there already"):
        save_replicas(Toy(), folder)
    with pytest.raises(UsageError, match="no router"):
        save_replicas(torch.nn.Linear(2, 2), tmp_path / "x")
    with pytest.raises(UsageError, match="1 to 64"):
        save_replicas(Toy(), tmp_path / "x", 0)
    with pytest.raises(UsageError, match="3 state dicts for 4"):
        save_replicas(Toy(), tmp_path / "x", 4, weights=[Toy().state_dict()] * 3)
    assert not (tmp_path / "x").exists()
    with pytest.raises(OperationalError, match="cannot be read"):
        harden(Toy(), weights=tmp_path / "nowhere")
    with pytest.raises(OperationalError, match="cannot be written"):
        save_replicas(Toy(), folder / "manifest.json" / "x")
    (folder / "manifest.json").unlink()
    with pytest.raises(UsageError, match=r"manifest\.sig is there already"):
        save_replicas(Toy(), folder)


def test_gates_trained_apart_are_saved_apart(tmp_path):
    weights = [Toy().state_dict() for _ in range(4)]
    for i, state in enumerate(weights):
        state["layers.0.gate.weight"] = state["layers.0.gate.weight"] + i * 1e-4
    save_replicas(Toy(), tmp_path, 4, weights=weights)
    model = Toy()
    found = harden(model, weights=tmp_path)
    assert [gate.copies for gate in found.gates] == [False, True]
    assert found.independence["attributes"]["weights"]["groups"].keys().__len__() == 4
    assert model.layers[0].gate.replica_tensors(3)["weight"].sub(
        model.layers[0].gate.replica_tensors(0)["weight"]
    ).max() == pytest.approx(3e-4, rel=0.01)


def test_digests_tell_bits_dtype_and_shape_apart():
    values = torch.tensor([0.0, 1.0, float("nan"), 2.0])
    other = torch.tensor([-0.0, 1.0, float("nan"), 2.0])
    kinds = [
        values, other, values.reshape(2, 2), values.bfloat16(), values.half(), values[:3],
    ]  # fmt: skip
    assert len({tensor_digest(each) for each in kinds}) == len(kinds)
    assert tensor_digest(values) == tensor_digest(values.clone())
    assert tensor_digest(values.reshape(2, 2).T.contiguous().T) == tensor_digest(
        values.reshape(2, 2)
    )
