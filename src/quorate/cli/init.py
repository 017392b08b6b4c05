"""``quorate init``: write a panel that runs as it is."""

from __future__ import annotations

import os
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Final

import typer

from quorate.cli.shown import AsJson, print_json, say
from quorate.core.errors import OperationalError, UsageError
from quorate.core.identity import Ed25519Signer
from quorate.ledger.keyfiles import public_path, write_key

_STARTER: Final = ("quorate.toml", "experts.py", "tasks.jsonl", "policy.toml")
_KEY: Final = Path("keys/ledger.key")
_IGNORED: Final = (
    "# The private key and the ledger do not belong into a repository.\n*.key\nledger.db*\n"
)


def init(
    folder: Annotated[Path, typer.Argument(help="Folder to write to; made if need be.")] = Path(),
    as_json: AsJson = False,
) -> None:
    """Write a working panel of five small experts, with its key and policy, ready to run."""
    key = folder / _KEY
    signer = Ed25519Signer.generate()
    marks = {
        "@ORIGIN@": f"quorate/{os.urandom(12).hex()}",
        "@PUBLIC@": signer.verifier.to_text(),
    }
    texts = {folder / name: _filled(name, marks) for name in _STARTER}
    texts[folder / ".gitignore"] = _IGNORED
    for path in (*texts, key, public_path(key)):
        if path.exists() or path.is_symlink():
            raise UsageError(f"{path} is there already; name another folder, nothing is replaced")
    written = _write(texts, key, signer)
    if as_json:
        print_json({"files": [str(path) for path in written], "origin": marks["@ORIGIN@"]})
        return
    say("wrote " + ", ".join(str(path) for path in written))
    say("")
    say("next:")
    if folder != Path():
        say(f"  cd {folder}")
    say("  quorate run quorate.toml tasks.jsonl -o decisions.jsonl")
    say("  quorate explain 4")
    say("  quorate verify ledger.db --policy policy.toml --replay")


def _filled(name: str, marks: dict[str, str]) -> str:
    text = files("quorate.cli").joinpath("starter", name).read_text("utf-8")
    for mark, value in marks.items():
        text = text.replace(mark, value)
    return text


def _write(texts: dict[Path, str], key: Path, signer: Ed25519Signer) -> list[Path]:
    """Write all files, or leave none of them."""
    written: list[Path] = []
    try:
        written += write_key(key, signer)
        for path, text in texts.items():
            with path.open("x", encoding="utf-8") as file:
                written.append(path)
                file.write(text)
    except OSError as error:
        for path in written:
            path.unlink(missing_ok=True)
        raise OperationalError(f"{folder_of(written, key)}: {error.strerror}") from error
    return sorted(written)


def folder_of(written: list[Path], key: Path) -> str:
    """What to call the place where writing failed."""
    return f"cannot write to {(written[-1] if written else key).parent}"
