"""``quorate keys``: make and look at signing keys."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from quorate.cli.shown import AsJson, print_json, say
from quorate.core.errors import UsageError
from quorate.core.identity import Ed25519Signer, Ed25519Verifier, HmacSigner, Verifier
from quorate.ledger import checkpoint
from quorate.ledger.keyfiles import read_signer, read_verifier, write_key

app = typer.Typer(help="Make and look at signing keys.", no_args_is_help=True)


@app.command("new")
def new(
    path: Annotated[Path, typer.Argument(help="File for the private key; .pub goes beside it.")],
    hmac: Annotated[
        bool,
        typer.Option(
            "--hmac", help="A shared secret instead: whoever can verify with it can forge."
        ),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Make a new signing key (Ed25519), private to you (mode 0600)."""
    signer: Ed25519Signer | HmacSigner = HmacSigner.generate() if hmac else Ed25519Signer.generate()
    written = [str(path) for path in write_key(path, signer)]
    facts = {**_facts(signer.verifier), "files": written}
    if as_json:
        print_json(facts)
        return
    say(f"wrote {' and '.join(written)}")
    _say_facts(facts)
    if hmac:
        say("whoever can verify with this secret can also forge: keep it in the closed group")


@app.command("show")
def show(
    path: Annotated[Path, typer.Argument(help="Key file, private or public.")],
    origin: Annotated[
        str | None, typer.Option(help="Show the checkpoint key as other tools read it, for a log.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Show a key's id and public part; never the private one."""
    verifier = _verifier(path)
    facts = _facts(verifier)
    if origin is not None:
        facts["checkpoint_key"] = checkpoint.verifier_key(origin, verifier.note_public)
    if as_json:
        print_json(facts)
    else:
        _say_facts(facts)


def _verifier(path: Path) -> Verifier:
    try:
        return read_verifier(path)
    except UsageError:
        return read_signer(path).verifier


def _facts(verifier: Verifier) -> dict[str, Any]:
    facts = {"key_id": verifier.key_id, "algorithm": verifier.algorithm}
    if isinstance(verifier, Ed25519Verifier):
        facts["public"] = verifier.to_text()
    return facts


def _say_facts(facts: dict[str, Any]) -> None:
    for name in ("key_id", "algorithm", "public", "checkpoint_key"):
        if name in facts:
            say(f"{name.replace('_', ' ') + ':':16}{facts[name]}")
