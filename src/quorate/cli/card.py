"""``quorate card``: check an agent card, sign one, begin one."""

from __future__ import annotations

import json
import os
import tempfile
from contextlib import suppress
from datetime import UTC, date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from quorate.cli.shown import AsJson, note, print_json, put, say, write_new
from quorate.core.errors import OperationalError, UsageError, VerificationError

if TYPE_CHECKING:
    from quorate.cards.locating import Located
    from quorate.cards.verdict import CardVerdict

_INVALID: Final = 4
_REFUSED: Final = 3

app = typer.Typer(help="Check, sign and begin A2A agent cards.", no_args_is_help=True)

CardFile = Annotated[Path, typer.Argument(metavar="FILE", help="An agent card (JSON).")]


@app.command("check")
def check(  # noqa: PLR0917 - one for each option
    card: Annotated[
        str, typer.Argument(metavar="FILE|URL", help="An agent card, or the URL of one.")
    ],
    trust: Annotated[
        Path | None,
        typer.Option(help="Keys whose signatures count: TOML or a JWK Set.", show_default=False),
    ] = None,
    policy: Annotated[
        Path | None,
        typer.Option(help="Policy that names who may seal evidence.", show_default=False),
    ] = None,
    evidence: Annotated[
        Path | None,
        typer.Option(help="Evidence beside that of the card.", show_default=False),
    ] = None,
    as_of: Annotated[
        str | None,
        typer.Option(metavar="DAY", help="Day of the verdict (UTC); today if left out."),
    ] = None,
    profile: Annotated[
        str, typer.Option(help="Profile of the AI Act: core, full, or a file.")
    ] = "core",
    ledger: Annotated[
        str | None,
        typer.Option(help="Ledger that the verdict is sealed in, with --seal.", show_default=False),
    ] = None,
    seal: Annotated[
        Path | None,
        typer.Option(metavar="KEY", help="Seal the verdict with this key.", show_default=False),
    ] = None,
    strict: Annotated[
        bool, typer.Option("--strict", help="Exit 3 unless the card passes in all respects.")
    ] = False,
    insecure_http: Annotated[
        bool, typer.Option("--insecure-http", help="Fetch over plain http too.")
    ] = False,
    insecure_private: Annotated[
        bool, typer.Option("--insecure-private", help="Fetch from one's own network too.")
    ] = False,
    sarif: Annotated[bool, typer.Option("--sarif", help="Print SARIF 2.1.0 for editors.")] = False,
    as_json: AsJson = False,
) -> None:
    """Say all that is wrong with a card, who signed it, and what its evidence shows.

    Exits 4 if the card is not valid, or a signature of a trusted key is wrong.
    """
    from quorate.cards.checking import check_card
    from quorate.cards.reading import read_card
    from quorate.cards.sarif import to_sarif
    from quorate.cards.trust import TrustStore
    from quorate.ledger import Policy

    if sarif and as_json:
        raise UsageError("give --sarif or --json, not both")
    if (ledger is None) != (seal is None):
        raise UsageError("--seal KEY and --ledger LEDGER go together")
    content = _content(card, http=insecure_http, private=insecure_private)
    read = read_card(content)
    verdict = check_card(
        read,
        as_of=_today() if as_of is None else as_of,
        trust=None if trust is None else TrustStore.read(trust),
        evidence_policy=None if policy is None else Policy.read(policy),
        evidence=evidence,
        profile=profile,
    )
    sealed = None if ledger is None or seal is None else _seal(verdict, ledger, seal)
    if sarif:
        print_json(to_sarif(verdict, card, read.located))
    elif as_json:
        print_json(_told(verdict, read.located, sealed))
    else:
        _say(verdict, trust, policy, sealed)
    _leave(verdict, strict=strict)


def _today() -> date:
    return datetime.now(UTC).date()


def _content(card: str, *, http: bool, private: bool) -> bytes:
    from quorate.cards import bounds
    from quorate.cards.fetching import FetchRules, fetch_card, is_url
    from quorate.ledger.files import read_start

    if is_url(card):
        rules = FetchRules(insecure_http=http, insecure_private=private)
        return fetch_card(card, rules).content
    try:
        return read_start(card, bounds.MAX_CARD_BYTES + 1)
    except OSError as error:
        raise OperationalError(f"the card {card} cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise UsageError(f"the card {card!r} is no file name: {error}") from error


def _seal(verdict: CardVerdict, ledger: str, key: Path) -> int:
    from quorate.cards.sealed import seal_verdict
    from quorate.cli.where import ledger_url
    from quorate.ledger import Ledger, read_signer

    with Ledger.open(ledger_url(ledger), signer=read_signer(key)) as log:
        return seal_verdict(log, verdict).seq


def _told(verdict: CardVerdict, located: Located | None, sealed: int | None) -> dict[str, Any]:
    from quorate.cards.reading import path_of

    told = verdict.to_dict()
    if located is not None:
        for problem in told["problems"]:
            region = located.region(path_of(problem["path"]))
            problem["line"], problem["column"] = region.line, region.column
    return {**told, "seq": sealed}


def _say(verdict: CardVerdict, trust: Path | None, policy: Path | None, sealed: int | None) -> None:
    say(verdict.describe())
    if sealed is not None:
        say(f"sealed as entry {sealed}")
    if trust is None:
        note("nobody is trusted, so no signature counts; name keys with --trust")
    if policy is None:
        note("no evidence counts as sealed; name who may seal it with --policy")


def _leave(verdict: CardVerdict, *, strict: bool) -> None:
    """End with the code that says how the card stands."""
    from quorate.cards.signatures import FAILED

    if not verdict.valid or verdict.signatures.state == FAILED:
        raise typer.Exit(_INVALID)
    if strict and not verdict.passed:
        raise typer.Exit(_REFUSED)


@app.command("sign")
def sign(
    card: CardFile,
    key: Annotated[Path, typer.Option(help="Private key: P-256 or Ed25519, in PEM.")],
    kid: Annotated[str, typer.Option(help="What trust stores call the key.")],
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="New file for the signed card.", show_default=False),
    ] = None,
    in_place: Annotated[
        bool, typer.Option("--in-place", help="Write it over the card itself.")
    ] = False,
    replace: Annotated[
        bool, typer.Option("--replace", help="Take out what that kid signed before.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Sign a valid card, by ES256 or EdDSA as the key is; to stdout, or where you say."""
    from quorate.cards.reading import read_card
    from quorate.cards.signing import read_private_key, sign_card

    if in_place and output is not None:
        raise UsageError("give --output or --in-place, not both")
    read = read_card(_content(str(card), http=False, private=False))
    if read.errors:
        raise VerificationError(
            "the card is not valid, so it is not signed: "
            + "; ".join(problem.describe() for problem in read.errors[:5]),
            rule="card",
        )
    signed = sign_card(read, read_private_key(key), kid, replace=replace)
    text = json.dumps(signed, ensure_ascii=False, indent=2) + "\n"
    target = card if in_place else output
    if target is None:
        put(text)
        return
    if in_place:
        _replaced(card, text)
    else:
        write_new(target, text)
    facts = {"file": str(target), "kid": kid, "signatures": len(signed["signatures"])}
    if as_json:
        print_json(facts)
    else:
        say(f"signed {target} as {kid}")


def _replaced(path: Path, text: str) -> None:
    """Write a file anew, whole or not at all."""
    try:
        mode = path.stat().st_mode & 0o777
        descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    except OSError as error:
        raise OperationalError(f"{path} cannot be written: {error.strerror}") from error
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        Path(name).chmod(mode)
        Path(name).replace(path)
    except OSError as error:
        with suppress(OSError):
            Path(name).unlink()
        raise OperationalError(f"{path} cannot be written: {error.strerror}") from error


@app.command("key")
def key_(
    path: Annotated[Path, typer.Argument(help="File for the private key; .jwks goes beside it.")],
    kid: Annotated[str, typer.Option(help="What trust stores are to call it.")],
    algorithm: Annotated[str, typer.Option("--alg", help="ES256 or EdDSA.")] = "ES256",
    as_json: AsJson = False,
) -> None:
    """Make a key that signs cards, private to you (mode 0600), and its public JWK Set."""
    from quorate.cards.signing import make_key

    written = [str(each) for each in make_key(path, kid, algorithm)]
    if as_json:
        print_json({"kid": kid, "algorithm": algorithm, "files": written})
    else:
        say(f"wrote {' and '.join(written)}; readers trust it by: --trust {written[1]}")


@app.command("init")
def init(
    path: Annotated[Path, typer.Argument(help="New file for the card.")] = Path("agent-card.json"),
    name: Annotated[str, typer.Option(help="The agent's name.")] = "My agent",
    url: Annotated[
        str, typer.Option(help="Where the agent is reached.")
    ] = "https://agents.example.com/a2a",
    version: Annotated[str, typer.Option("--a2a", help="Version of A2A: 1.0 or 0.3.")] = "1.0",
    as_json: AsJson = False,
) -> None:
    """Write a valid card to begin with."""
    from quorate.cards.starter import starter_card

    card = starter_card(name, url, version=version)
    write_new(path, json.dumps(card, ensure_ascii=False, indent=2) + "\n")
    if as_json:
        print_json({"file": str(path), "card": card})
    else:
        say(f"wrote {path}; next: quorate card check {path}")
