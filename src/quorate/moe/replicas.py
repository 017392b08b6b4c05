"""Weights of replicas on disk: one file for each, and a manifest of what is in them.

A folder holds ``replica-0.safetensors`` ... and ``manifest.json``, canonical JSON::

    {"schema": "quorate-moe-replicas/1", "replicas": n,
     "tensors": {name: {"dtype", "shape"}},
     "files": [{"name", "size", "sha256", "tensors": {name: digest}}]}

and, if it was signed, ``manifest.sig``: ``key_id:hex`` over the manifest's bytes as a
thing of kind ``moe-replicas``. A tensor's digest is over its dtype, shape and raw bytes.
"""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final, NoReturn

import torch

from quorate.core.canonical import CanonicalError, canonical, parse_canonical
from quorate.core.errors import OperationalError, UsageError, UsageTypeError, VerificationError
from quorate.core.identity import Signer, Verifier
from quorate.core.quorum import tolerated_faults
from quorate.moe.digests import dtype_name, tensor_digest
from quorate.moe.finding import Router, check_model, find_routers
from quorate.moe.gate import BFTGate

SCHEMA: Final = "quorate-moe-replicas/1"
SIGNED_KIND: Final = "moe-replicas"
MAX_REPLICAS: Final = 64
"""Most replicas of one gate."""

_MANIFEST: Final = "manifest.json"
_SIGNATURE: Final = "manifest.sig"
_MOST_MANIFEST: Final = 64 << 20
_MOST_SIGNATURE: Final = 4096
_MOST_FILE: Final = 1 << 40

Tensors = dict[str, torch.Tensor]
"""Tensors by their name in the model, such as ``model.layers.0.mlp.gate.weight``."""


@dataclass
class ReplicaSet:
    """The weights of n replicas of all gates.

    Attributes:
        tensors: one mapping per replica; ``None`` where it is excluded.
        excluded: replica -> why its weights were not taken.
        source: where they came from, in words.
    """

    tensors: list[Tensors | None]
    excluded: dict[int, str] = field(default_factory=dict)
    source: str = "copies of one gate"


def tensor_names(router: Router) -> dict[str, str]:
    """Part (``weight``, ``bias``) -> name of the tensor in the model."""
    names = {"weight": f"{router.name}.{router.weight_name}"}
    if router.bias_name is not None:
        names["bias"] = f"{router.name}.{router.bias_name}"
    return names


def own_tensors(routers: Iterable[Router]) -> Tensors:
    """The routers' own weights by their names in the model: not copies."""
    return {
        name: router.tensors()[part]
        for router in routers
        for part, name in tensor_names(router).items()
    }


def check_replicas(n: object) -> int:
    """A number of replicas, or an error that says which are allowed."""
    if isinstance(n, bool) or not isinstance(n, int) or not 1 <= n <= MAX_REPLICAS:
        raise UsageError(f"replicas is {n!r}; give a whole number from 1 to {MAX_REPLICAS}")
    return n


def copies(routers: Sequence[Router], n: int) -> ReplicaSet:
    """As many copies of the routers' own weights, each in memory of its own."""
    own = own_tensors(routers)
    return ReplicaSet([{k: v.detach().clone() for k, v in own.items()} for _ in range(n)])


def check_weights(weights: object) -> None:
    """Refuse what is no list of state dicts.

    Raises:
        UsageTypeError: it is none.
    """
    if isinstance(weights, Mapping):
        raise UsageTypeError("weights is one state dict; give a list with one for each replica")
    if isinstance(weights, str | bytes) or not isinstance(weights, Sequence):
        raise UsageTypeError(
            f"weights is {weights!r} ({type(weights).__name__}); give a list of state dicts, one "
            "for each replica"
        )


def given(routers: Sequence[Router], weights: Sequence[Mapping[str, Any]]) -> ReplicaSet:
    """Weights of gates trained apart, one state dict per replica; other entries are ignored.

    Raises:
        UsageTypeError: they are no list of state dicts.
        UsageError: a tensor is missing, or has another shape or dtype than the router's.
    """
    check_weights(weights)
    own = own_tensors(routers)
    sets: list[Tensors | None] = []
    for replica, state in enumerate(weights):
        if not isinstance(state, Mapping):
            raise UsageTypeError(
                f"weights[{replica}] is a {type(state).__name__}; give one state dict per replica"
            )
        for name, values in own.items():
            if name not in state:
                raise UsageError(f"weights[{replica}] has no {name!r}, which the model's gate has")
            _check_like(name, state[name], values, f"weights[{replica}]")
        sets.append({k: state[k].detach().clone().to(v.device) for k, v in own.items()})
    return ReplicaSet(sets, source="weights given for each replica")


def _check_like(name: str, values: Any, like: torch.Tensor, where: str) -> None:
    if not isinstance(values, torch.Tensor):
        raise UsageError(f"{where}: {name} is a {type(values).__name__}; give a tensor")
    if values.shape != like.shape or values.dtype != like.dtype:
        raise UsageError(
            f"{where}: {name} is {dtype_name(values.dtype)} {list(values.shape)}; the model's gate "
            f"computes with {dtype_name(like.dtype)} {list(like.shape)}"
        )


# -- writing


def save_replicas(
    model: torch.nn.Module,
    folder: str | Path,
    n: int = 4,
    *,
    weights: Sequence[Mapping[str, Any]] | None = None,
    signer: Signer | None = None,
) -> Path:
    """Write the gates' weights of ``n`` replicas of a model, and the manifest of them.

    Args:
        model: one that is not hardened.
        folder: made if it is not there; it must not hold a manifest yet.
        n: replicas, 1 to 64. Keep the files on disks that fail apart.
        weights: one state dict per replica, for gates trained apart; else n copies.
        signer: signs the manifest.

    Returns:
        The manifest's path.

    Raises:
        UsageError: no router was found, a number or state dict does not fit, or there is a
            manifest already.
        OperationalError: safetensors is not installed, or the folder cannot be written.
    """
    check_model(model)
    if any(isinstance(module, BFTGate) for module in model.modules()):
        raise UsageError("the model is hardened; restore(model), save the replicas, harden again")
    routers, skipped = find_routers(model)
    if not routers:
        raise UsageError(f"no router to save was found ({len(skipped)} modules looked like one)")
    count = check_replicas(n)
    if weights is not None:
        check_weights(weights)
    if weights is not None and len(weights) != count:
        raise UsageError(f"weights holds {len(weights)} state dicts for {count} replicas")
    sets = copies(routers, count) if weights is None else given(routers, weights)
    where = Path(folder)
    # An old signature beside a new manifest would be one that does not fit.
    for left in (_MANIFEST, _SIGNATURE):
        if (where / left).exists():
            raise UsageError(f"{where / left} is there already; choose another folder")
    try:
        where.mkdir(parents=True, exist_ok=True)
        files = [_write(where, i, each) for i, each in enumerate(sets.tensors) if each is not None]
        manifest = canonical(_manifest(own_tensors(routers), files))
        if signer is not None:
            signature = signer.sign(SIGNED_KIND, manifest).hex()
            (where / _SIGNATURE).write_text(f"{signer.key_id}:{signature}\n", "ascii")
        (where / _MANIFEST).write_bytes(manifest)
    except OSError as error:
        raise OperationalError(f"the replicas cannot be written: {error}") from error
    return where / _MANIFEST


def _write(folder: Path, replica: int, tensors: Tensors) -> dict[str, Any]:
    name = f"replica-{replica}.safetensors"
    held = {key: values.detach().to("cpu").contiguous() for key, values in tensors.items()}
    content: bytes = _safetensors().save(held)
    (folder / name).write_bytes(content)
    return {
        "name": name,
        "size": len(content),
        "sha256": hashlib.sha256(content).hexdigest(),
        "tensors": {key: tensor_digest(values) for key, values in held.items()},
    }


def _manifest(own: Tensors, files: list[dict[str, Any]]) -> dict[str, Any]:
    shapes = {k: {"dtype": dtype_name(v.dtype), "shape": list(v.shape)} for k, v in own.items()}
    return {"schema": SCHEMA, "replicas": len(files), "tensors": shapes, "files": files}


def _safetensors() -> Any:
    if find_spec("safetensors") is None:
        raise OperationalError(
            'replica files are safetensors, which is missing; pip install "quorate[transformers]"'
        )
    return import_module("safetensors.torch")


# -- reading


def load_replicas(
    routers: Sequence[Router], folder: str | Path, verifier: Verifier | None = None
) -> ReplicaSet:
    """Read the replicas of a folder, each checked against the manifest.

    A replica whose file is missing or is not what the manifest says is excluded, with the
    reason; it still counts in n.

    Raises:
        UsageError: the manifest is of other gates than these.
        VerificationError: rule ``manifest`` or ``signature``: the manifest does not hold.
        OperationalError: it cannot be read, or safetensors is not installed.
    """
    where = Path(folder)
    manifest = _read_manifest(where, verifier)
    own = own_tensors(routers)
    for name, values in own.items():
        told = manifest["tensors"].get(name)
        here = {"dtype": dtype_name(values.dtype), "shape": list(values.shape)}
        if told != here:
            raise UsageError(f"{where}: {name} is {told} in the manifest, {here} in the model")
    found = ReplicaSet([], source=f"files of {where.name}")
    for replica, entry in enumerate(manifest["files"]):
        try:
            found.tensors.append(_read_replica(where, entry, own))
        except _Unfit as error:
            found.tensors.append(None)
            found.excluded[replica] = str(error)
    return found


class _Unfit(Exception):  # noqa: N818 - never leaves this module
    """Why one replica's file is not taken."""


def _read_replica(folder: Path, entry: Mapping[str, Any], own: Tensors) -> Tensors:
    name = entry["name"]
    try:
        content = _read(folder / name, entry["size"], exact=True)
    except OSError as error:
        what = "cannot be read" if error.errno else "is not the file of the manifest"
        raise _Unfit(f"{name} {what}: {error.strerror}") from error
    if hashlib.sha256(content).hexdigest() != entry["sha256"]:
        raise _Unfit(f"{name} is not the file of the manifest: {_what_changed(content, entry)}")
    # Its digest may be that of anything: the manifest need not be signed.
    try:
        tensors: Tensors = _safetensors().load(content)
    except _unreadable() as error:
        raise _Unfit(
            f"{name} cannot be read as safetensors ({type(error).__name__}), though it is the "
            "file of the manifest"
        ) from error
    for key, values in own.items():
        if key not in tensors or tensor_digest(tensors[key]) != entry["tensors"].get(key):
            raise _Unfit(f"{name}: {key} is not what the manifest says")
        try:
            _check_like(key, tensors[key], values, name)
        except UsageError as error:
            raise _Unfit(str(error)) from error
    return {key: tensors[key].to(values.device) for key, values in own.items()}


def _read(path: Path, most: int, *, exact: bool = False) -> bytes:
    """Read a regular file of at most ``most`` bytes.

    Whatever else stands there (a pipe, a device) could keep the caller waiting for ever, or
    never end.

    Raises:
        OSError: it cannot be read, is no file, or has another size.
    """
    flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
    with os.fdopen(os.open(path, flags), "rb") as file:
        found = os.fstat(file.fileno())
        if not stat.S_ISREG(found.st_mode):
            raise OSError(None, "it is no regular file", str(path))
        if found.st_size > most or (exact and found.st_size != most):
            bound = f"{most:,}" if exact else f"at most {most:,}"
            told = f"it has {found.st_size:,} bytes, and should have {bound}"
            raise OSError(None, told, str(path))
        return file.read(most)


def _what_changed(content: bytes, entry: Mapping[str, Any]) -> str:
    """Which tensors of a changed file are not as they were, as far as it can be read."""
    try:
        tensors = _safetensors().load(content)
        now = {key: tensor_digest(values) for key, values in tensors.items()}
    except _unreadable() as error:
        return f"it cannot be read as safetensors ({type(error).__name__})"
    changed = [key for key, told in entry["tensors"].items() if now.get(key) != told]
    return f"{', '.join(changed)} changed" if changed else "its header changed"


def _unreadable() -> tuple[type[Exception], ...]:
    """What reading anything at all as safetensors raises: the library's own, and Python's."""
    own: type[Exception] = import_module("safetensors").SafetensorError
    return (own, ValueError, TypeError, KeyError, RuntimeError)


def _read_manifest(folder: Path, verifier: Verifier | None) -> dict[str, Any]:
    try:
        content = _read(folder / _MANIFEST, _MOST_MANIFEST)
        signature = _read(folder / _SIGNATURE, _MOST_SIGNATURE) if verifier else b""
    except OSError as error:
        raise OperationalError(
            f"the manifest or its signature cannot be read: {error.filename}: {error.strerror}"
        ) from error
    if verifier is not None:
        _check_signature(content, signature.decode("ascii", "replace"), verifier)
    try:
        manifest = parse_canonical(content)
    except CanonicalError as error:
        _refuse(f"the manifest is not canonical JSON: {error}")
    fields = {"schema", "replicas", "tensors", "files"}
    if not isinstance(manifest, dict) or manifest.keys() != fields:
        _refuse(f"the manifest must have exactly the fields {sorted(fields)}")
    if manifest["schema"] != SCHEMA:
        _refuse(f"its schema is {manifest['schema']!r}; this version reads {SCHEMA!r}")
    _check_files(manifest)
    return manifest


def _check_files(manifest: dict[str, Any]) -> None:
    files, n = manifest["files"], manifest["replicas"]
    if type(n) is not int or not 1 <= n <= MAX_REPLICAS:
        _refuse(f"replicas is {n!r}; it should be a whole number from 1 to {MAX_REPLICAS}")
    if not isinstance(files, list) or n != len(files) or not isinstance(manifest["tensors"], dict):
        _refuse("files and tensors must tell of each replica and each tensor")
    for replica, entry in enumerate(files):
        expected = f"replica-{replica}.safetensors"
        if not isinstance(entry, dict) or entry.keys() != {"name", "size", "sha256", "tensors"}:
            _refuse(f"files[{replica}] must have the fields name, size, sha256 and tensors")
        # A name of its own choosing could lead out of the folder.
        if entry["name"] != expected or not isinstance(entry["tensors"], dict):
            _refuse(f"files[{replica}] must be {expected}, with its tensors' digests")
        if type(entry["size"]) is not int or not 0 <= entry["size"] <= _MOST_FILE:
            _refuse(f"files[{replica}]: size is {entry['size']!r}; it is a number of bytes")


def _check_signature(content: bytes, text: str, verifier: Verifier) -> None:
    key_id, _, value = text.strip().partition(":")
    try:
        signature = bytes.fromhex(value)
    except ValueError:
        signature = b""
    if key_id != verifier.key_id or not verifier.verify(SIGNED_KIND, content, signature):
        raise VerificationError(
            f"the manifest is not signed by key {verifier.key_id}", rule="signature"
        )


def _refuse(message: str) -> NoReturn:
    raise VerificationError(message, rule="manifest")


def check_present(found: ReplicaSet, faults: int | None) -> None:
    """Refuse a set of which more are excluded than may be faulty: no token could pass.

    Raises:
        VerificationError: rule ``manifest``; names them.
    """
    bearable = tolerated_faults(len(found.tensors)) if faults is None else faults
    if len(found.excluded) > bearable:
        told = "; ".join(f"replica {i}: {why}" for i, why in sorted(found.excluded.items()))
        _refuse(f"more than {bearable} of {len(found.tensors)} replicas are unfit: {told}")
