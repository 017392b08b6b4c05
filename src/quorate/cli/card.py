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
from quorate.cli.where import Keys, PolicyFile
from quorate.core.errors import OperationalError, UsageError, VerificationError
from quorate.core.text import counted, printable

if TYPE_CHECKING:
    from quorate.cards.locating import Located
    from quorate.cards.verdict import CardVerdict
    from quorate.compliance import System
    from quorate.ledger import Ledger

_INVALID: Final = 4
_REFUSED: Final = 3
_MOST_OTHERS: Final = 3

app = typer.Typer(
    help="Check, begin and sign A2A agent cards, and put evidence in.", no_args_is_help=True
)

CardFile = Annotated[Path, typer.Argument(metavar="FILE", help="An agent card (JSON).")]

CardOut = Annotated[
    Path | None,
    typer.Option("--output", "-o", help="New file for the card made.", show_default=False),
]
InPlace = Annotated[bool, typer.Option("--in-place", help="Write it over the card itself.")]
Target = Annotated[
    str,
    typer.Argument(
        metavar="LEDGER|PANEL",
        help="The ledger (URL or file) that its evidence is sealed in, or a panel file (.toml).",
    ),
]


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
    say(f"next: {_next(verdict, trusting=policy is not None)}")
    if sealed is not None:
        say(f"sealed as entry {sealed}")
    if not verdict.valid:
        return
    if trust is None:
        note("nobody is trusted, so no signature counts; name keys with --trust")
    if policy is None:
        note("no evidence counts as sealed; name who may seal it with --policy")


def _next(verdict: CardVerdict, *, trusting: bool) -> str:
    """The first thing to do: evidence goes in before the card is signed, and is signed with it."""
    from quorate.cards.signatures import UNSIGNED
    from quorate.compliance.rules import MISSING

    if not verdict.valid:
        return "mend what is named as an error, and check the card again"
    if not trusting and any(each.state != MISSING for each in verdict.coverage):
        return "name who may seal evidence with --policy, and check the card again"
    if not verdict.covered:
        return (
            "bring evidence: quorate comply init FOLDER --profile experts, quorate comply seal, "
            "quorate card evidence"
        )
    if verdict.signatures.state == UNSIGNED:
        return "sign it: quorate card sign"
    if verdict.passed:
        return "publish it as it is; whatever is changed in it has to be signed again"
    return "see what is told above; one field's evidence is told by: quorate comply catalogue FIELD"


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
    output: CardOut = None,
    in_place: InPlace = False,
    replace: Annotated[
        bool, typer.Option("--replace", help="Take out what that kid signed before.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Sign a valid card, by ES256 or EdDSA as the key is; to stdout, or where you say."""
    from quorate.cards.reading import read_card
    from quorate.cards.signing import read_private_key, sign_card

    _check_where(output, in_place=in_place)
    read = read_card(_content(str(card), http=False, private=False))
    if read.errors:
        raise VerificationError(
            "the card is not valid, so it is not signed: "
            + "; ".join(problem.describe() for problem in read.errors[:5]),
            rule="card",
        )
    signed = sign_card(read, read_private_key(key), kid, replace=replace)
    target = _written(signed, card, output, in_place=in_place)
    if target is None:
        return
    facts = {"file": str(target), "kid": kid, "signatures": len(signed["signatures"])}
    if as_json:
        print_json(facts)
    else:
        say(f"signed {target} as {kid}")


@app.command("evidence")
def evidence(
    card: CardFile,
    target: Target,
    key: Keys = None,
    policy: PolicyFile = None,
    output: CardOut = None,
    in_place: InPlace = False,
    as_json: AsJson = False,
) -> None:
    """Put into a card what a ledger holds sealed of its agent, by the agent's name and version.

    In place of evidence that lay in the card before. Signatures are taken out, for they are over
    the card as it was: sign it afterwards. To stdout, or where you say. Exits 4 if the ledger
    does not verify.
    """
    from quorate.cards.evidence import with_evidence
    from quorate.cards.reading import read_card
    from quorate.cli.comply.gathering import surveyed
    from quorate.cli.comply.options import reading_from, trust_of
    from quorate.cli.comply.standing import sealed_before
    from quorate.compliance import EvidenceSet, System

    _check_where(output, in_place=in_place)
    trust = trust_of(key, policy)
    read = read_card(_content(str(card), http=False, private=False))
    content = read.content
    if content is None or read.errors:
        raise VerificationError(
            f"the card is not valid; mend it first: quorate card check {card}", rule="card"
        )
    system = System.read({"name": content["name"], "version": content["version"]})
    with reading_from(target) as log:
        shown = surveyed(log, policy=trust, system=system)
        if shown.broken is not None:
            raise VerificationError(shown.broken, rule="ledger")
        # What the ledger shows no more is not put into a card either.
        found = sealed_before(log, system, survey=shown)
        items = [one for one in found.items if one.scope.version == system.version]
        others = [] if items else _of_others(log, system)
    for each in found.notices:
        note(each)
    if not items:
        raise UsageError(_none_of(system, target, others))
    seqs = {one.receipt.seq for one in items if one.receipt is not None}
    receipts = tuple(one for one in found.receipts if one.seq in seqs)
    made = with_evidence(content, EvidenceSet(system, tuple(items), receipts))
    if problems := read_card(made).errors:
        raise UsageError(f"with its evidence the card is not valid: {problems[0].describe()}")
    written = _written(made, card, output, in_place=in_place)
    if "signatures" in content:
        note("the signatures were over the card as it was, and are taken out: sign it again")
    if written is None:
        return
    fields = sorted({one.field for one in items})
    if as_json:
        print_json({"file": str(written), "items": len(items), "fields": fields})
    else:
        say(f"put {counted(len(items), 'item')} into {written}: {', '.join(fields)}")
        say(f"  next: quorate card sign {written} --key KEY --kid KID")


def _of_others(log: Ledger, system: System) -> list[str]:
    """The other systems and versions that evidence in a ledger is of, as texts."""
    from quorate.compliance.evidence import KIND, Evidence

    found: dict[str, None] = {}
    for receipt in log.follow(lambda entry: entry.kind == KIND).read():
        body = receipt.payload
        # What is no evidence is of no system.
        with suppress(UsageError):
            scope = Evidence.read(body if isinstance(body, dict) else None).scope
            if (scope.system, scope.version) != (system.name, system.version):
                found[f"{scope.system!r} {scope.version!r}"] = None
    return list(found)


def _none_of(system: System, target: str, others: list[str]) -> str:
    """That nothing is sealed of an agent; and of which others something is."""
    told = (
        f"no evidence of {system.name!r} {system.version!r}, as the card names its agent, is "
        f"sealed in {target}"
    )
    if others:
        named = ", ".join(others[:_MOST_OTHERS])
        more = "" if len(others) <= _MOST_OTHERS else f" and {len(others) - _MOST_OTHERS} more"
        return printable(
            f"{told}, but evidence of {named}{more} is; give card, system.toml and evidence one "
            "name and version, and seal the evidence under these"
        )
    return printable(
        f"{told}; fill some in and seal it: quorate comply init FOLDER --profile experts --name "
        "NAME --version VERSION, quorate comply seal"
    )


def _check_where(output: Path | None, *, in_place: bool) -> None:
    if in_place and output is not None:
        raise UsageError("give --output or --in-place, not both")


def _written(
    made: dict[str, Any], card: Path, output: Path | None, *, in_place: bool
) -> Path | None:
    """Write a card where it is asked for; ``None`` where that was stdout."""
    text = json.dumps(made, ensure_ascii=False, indent=2) + "\n"
    if in_place:
        _replaced(card, text)
        return card
    if output is None:
        put(text)
        return None
    write_new(output, text)
    return output


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
