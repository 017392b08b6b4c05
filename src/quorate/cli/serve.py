"""``quorate mcp`` and ``quorate serve``: the MCP server, over stdio and over HTTP."""

from __future__ import annotations

import logging
import signal
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from quorate.cli.shown import AsJson, note, print_json, say, tell
from quorate.cli.where import is_url, refuse_empty
from quorate.core.errors import UsageError
from quorate.ledger import Ledger, Policy, read_signer, read_verifier
from quorate.ledger.keyfiles import public_path

if TYPE_CHECKING:
    from quorate.council import ConsensusProtocol
    from quorate.mcp import HttpSettings, Settings
    from quorate.mcp.config import ServeTable
    from quorate.mcp.serving import Listening

TOKENS: Final = Path("tokens.toml")
_INTERRUPTED: Final = 130

app = typer.Typer(
    help="Serve MCP over HTTP; manage the tokens of its clients.", invoke_without_command=True
)
token_app = typer.Typer(help="Make, list and revoke tokens of clients.", no_args_is_help=True)
app.add_typer(token_app, name="token")

Config = Annotated[
    Path | None,
    typer.Option("--config", help="File with a \\[serve] table; options go before it."),
]
LedgerAt = Annotated[
    str | None,
    typer.Option("--ledger", help="URL or file of the ledger to read, and with --signer to seal."),
]
Signer = Annotated[Path | None, typer.Option(help="Private key file of that ledger.")]
PanelFile = Annotated[
    Path | None, typer.Option("--panel", help="Panel file that names ledger and key.")
]
CouncilAt = Annotated[
    Path | None, typer.Option("--council", help="Council file: where is proposed and voted.")
]
PolicyAt = Annotated[
    Path | None, typer.Option("--policy", help="Policy file: whose receipts are trusted.")
]
Trust = Annotated[
    Path | None, typer.Option("--trust", help="Trust store: whose agent cards are trusted.")
]
Targets = Annotated[
    list[str] | None,
    typer.Option(
        "--target",
        metavar="NAME=CALL",
        help="A target of scans: module:function or FILE.py:function. May be repeated.",
    ),
]
TokensAt = Annotated[
    Path, typer.Option("--tokens", help="File of tokens; it holds hashes, never a token.")
]


def mcp(  # noqa: PLR0917 - a command's options
    config: Config = None,
    ledger: LedgerAt = None,
    signer: Signer = None,
    panel: PanelFile = None,
    council: CouncilAt = None,
    voter: Annotated[
        list[str] | None,
        typer.Option(help="Whom the client may propose and vote as. May be repeated."),
    ] = None,
    policy: PolicyAt = None,
    trust: Trust = None,
    target: Targets = None,
) -> None:
    """Serve MCP over standard input and output, to the client that starts this command."""
    given = _given(
        config, ledger=ledger, signer=signer, panel=panel, council=council, policy=policy,
        trust=trust, voters=voter, targets=_calls(target),
    )  # fmt: skip
    from quorate.mcp import serve_stdio

    _log_plainly()
    with _settings(given, voters=frozenset(given.voters)) as settings:
        tell(f"quorate MCP over stdio; {_told(settings)}")
        serve_stdio(settings)


@app.callback()
def serve(  # noqa: PLR0917 - a command's options
    context: typer.Context,
    config: Config = None,
    host: Annotated[
        str | None, typer.Option(help="Address to listen on; 127.0.0.1 if left out.")
    ] = None,
    port: Annotated[int | None, typer.Option(help="8000 if left out; 0 takes a free one.")] = None,
    tokens: Annotated[
        Path | None, typer.Option("--tokens", help="File of tokens: who may call.")
    ] = None,
    ledger: LedgerAt = None,
    signer: Signer = None,
    panel: PanelFile = None,
    council: CouncilAt = None,
    policy: PolicyAt = None,
    trust: Trust = None,
    target: Targets = None,
    allow_host: Annotated[
        list[str] | None,
        typer.Option(help="A further value of the header Host, with its port. May be repeated."),
    ] = None,
    allow_origin: Annotated[
        list[str] | None,
        typer.Option(help="A web page's origin that may call. May be repeated."),
    ] = None,
    tls_cert: Annotated[Path | None, typer.Option(help="Certificate file (PEM).")] = None,
    tls_key: Annotated[Path | None, typer.Option(help="Its private key file (PEM).")] = None,
    insecure_http: Annotated[
        bool, typer.Option("--insecure-http", help="Let tokens travel unencrypted.")
    ] = False,
    insecure_no_tokens: Annotated[
        bool,
        typer.Option(
            "--insecure-no-tokens", help="Let anybody on this machine reach what is served."
        ),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Serve MCP over streamable HTTP, at http://127.0.0.1:8000/mcp unless told otherwise.

    Ends on SIGTERM or Ctrl-C, once the calls in progress are answered.
    """
    if context.invoked_subcommand is not None:
        return
    given = _given(
        config, host=host, port=port, tokens=tokens, ledger=ledger, signer=signer, panel=panel,
        council=council, policy=policy, trust=trust, targets=_calls(target), tls_cert=tls_cert,
        tls_key=tls_key, allowed_hosts=allow_host, allowed_origins=allow_origin,
        insecure_http=insecure_http or None, insecure_no_tokens=insecure_no_tokens or None,
    )  # fmt: skip
    from quorate.mcp import serve_http

    http = _http(given)
    if given.voters:
        raise UsageError("over HTTP a client votes as the voters that its token names; take "
                         "voters out of the file")  # fmt: skip
    _log_plainly()
    with _settings(given) as settings:
        http.check_with(settings)
        if http.tokens is None:
            note("without tokens: anybody on this machine may call")
        ended = serve_http(settings, http, lambda at: _listening(at, settings, http, as_json))
    tell("stopped")
    if ended == signal.SIGINT:
        raise typer.Exit(_INTERRUPTED)


@token_app.command("new")
def new(
    name: Annotated[str, typer.Argument(help="Which client it is for.")],
    scope: Annotated[
        list[str] | None,
        typer.Option(help="read, decide, vote or scan; read if left out. May be repeated."),
    ] = None,
    voter: Annotated[
        list[str] | None, typer.Option(help="Whom it may vote as, with vote. May be repeated.")
    ] = None,
    days: Annotated[int, typer.Option(help="How long it lives.")] = 90,
    output: Annotated[
        Path | None,
        typer.Option(
            "--out",
            "-o",
            metavar="FILE",
            help="New file for the token, which you alone can read (mode 0600); else it is shown.",
            show_default=False,
        ),
    ] = None,
    tokens: TokensAt = TOKENS,
    as_json: AsJson = False,
) -> None:
    """Make a token and show it, once: the file of tokens keeps only its hash."""
    from quorate.mcp.tokens import new_token, read_tokens, write_token, write_tokens

    known = read_tokens(tokens) if tokens.exists() else ()
    if any(token.name == name for token in known):
        raise UsageError(f"{tokens} has a token {name!r} already; revoke it, or name another")
    text, token = new_token(name, scope or ["read"], voter or [], days, now=datetime.now(UTC))
    if output is not None:
        write_token(output, text)
    try:
        _check_apart(output, tokens)
        write_tokens(tokens, [*known, token])
    except BaseException:
        if output is not None:
            output.unlink(missing_ok=True)
        raise
    where = {"token": text} if output is None else {"token_file": str(output)}
    if as_json:
        print_json({**where, **token.to_dict(), "file": str(tokens)})
        return
    if output is not None:
        say(f"wrote {output}, the token of {name}, for {', '.join(sorted(token.scopes))}, until "
            f"{token.to_dict()['expires']}; {tokens} has its hash")  # fmt: skip
        return
    say(text)
    tell(f"the token of {name}, for {', '.join(sorted(token.scopes))}, until "
         f"{token.to_dict()['expires']}; {tokens} has its hash, so keep it now")  # fmt: skip


def _check_apart(output: Path | None, tokens: Path) -> None:
    """Refuse a file for the token, just written, that is the file of tokens by another name."""
    if output is not None and tokens.exists() and output.samefile(tokens):
        raise UsageError(
            f"--out is {output}, the file of tokens, which holds hashes; name another for the token"
        )


@token_app.command("list")
def list_(tokens: TokensAt = TOKENS, as_json: AsJson = False) -> None:
    """List the tokens of a file: names, scopes, voters, and until when."""
    from quorate.mcp.tokens import read_tokens

    now = datetime.now(UTC)
    told = [{**one.to_dict(), "expired": now >= one.expires} for one in read_tokens(tokens)]
    if as_json:
        print_json({"tokens": told})
        return
    for one in told:
        voters = f" as {', '.join(one['voters'])}" if one["voters"] else ""
        state = "expired" if one["expired"] else "until"
        say(f"{one['name']}  {', '.join(one['scopes'])}{voters}  {state} {one['expires']}")


@token_app.command("revoke")
def revoke(
    name: Annotated[str, typer.Argument(help="Which client's.")],
    tokens: TokensAt = TOKENS,
    as_json: AsJson = False,
) -> None:
    """Take a token out of the file: a running server refuses it from then on."""
    from quorate.mcp.tokens import read_tokens, write_tokens

    known = read_tokens(tokens)
    left = [token for token in known if token.name != name]
    if len(left) == len(known):
        raise UsageError(f"{tokens} has no token {name!r}")
    write_tokens(tokens, left)
    if as_json:
        print_json({"revoked": name, "file": str(tokens)})
    else:
        say(f"revoked {name}")


def _given(config: Path | None, **options: Any) -> ServeTable:
    """The file's table with the options over it."""
    from quorate.mcp.config import ServeTable

    table = ServeTable() if config is None else ServeTable.read(config)
    said = {
        name: str(value) if isinstance(value, Path) else value
        for name, value in options.items()
        if value
    }
    if options.get("port") == 0:
        said["port"] = 0
    return table.model_copy(update=said)


def _calls(targets: list[str] | None) -> dict[str, str] | None:
    if not targets:
        return None
    pairs = [target.partition("=") for target in targets]
    wrong = [
        target for target, pair in zip(targets, pairs, strict=True) if not (pair[0] and pair[2])
    ]
    if wrong:
        raise UsageError(f"--target is {wrong[0]!r}; give NAME=module:function")
    return {name: call for name, _, call in pairs}


def _http(given: ServeTable) -> HttpSettings:
    from quorate.mcp import HttpSettings, TokenFile

    return HttpSettings(
        host=given.host or "127.0.0.1",
        port=8000 if given.port is None else given.port,
        path=given.path,
        tokens=None if given.tokens is None else TokenFile(given.tokens),
        allowed_hosts=tuple(given.allowed_hosts),
        allowed_origins=tuple(given.allowed_origins),
        tls_cert=None if given.tls_cert is None else Path(given.tls_cert),
        tls_key=None if given.tls_key is None else Path(given.tls_key),
        insecure_http=bool(given.insecure_http),
        insecure_no_tokens=bool(given.insecure_no_tokens),
        body_bytes=given.body_bytes,
        body_seconds=given.body_seconds,
        calls=given.calls,
        calls_per_minute=given.calls_per_minute,
    )


@contextmanager
def _settings(given: ServeTable, voters: frozenset[str] = frozenset()) -> Iterator[Settings]:
    """Open all that the operator names, and close it again."""
    from quorate.mcp import Settings
    from quorate.mcp.needs import need_mcp

    need_mcp()
    with ExitStack() as opened:
        url, signer, origin = _place(given)
        log = None if url is None else opened.enter_context(_ledger(url, signer, origin))
        council = _council(given, opened)
        strange = sorted(voters - set(council.voter_ids)) if council is not None else []
        if strange:
            raise UsageError(f"--voter is {strange[0]!r}, who is no voter of the council")
        yield Settings(
            ledger=log,
            sealing=signer is not None,
            council=council,
            policy=_policy(given, signer),
            voters=voters,
            targets=_targets(given, opened),
            trust=_trust(given),
            call_seconds=given.call_seconds,
            workers=given.workers,
        )


def _place(given: ServeTable) -> tuple[str | None, Path | None, str | None]:
    """URL, key and name of the ledger that is named, by itself or by a panel."""
    signer = None if given.signer is None else Path(given.signer)
    if given.panel is not None:
        if given.ledger is not None or signer is not None:
            raise UsageError("a panel names ledger and signer; give the panel alone, or these")
        from quorate.hub.panel import Panel

        panel = Panel.declared(given.panel)
        return panel.ledger_url, panel.signer_path, panel.table.ledger.origin
    if given.ledger is None:
        if signer is not None:
            raise UsageError("a signer takes a ledger to seal in; name it with --ledger")
        return None, None, None
    url = given.ledger if is_url(given.ledger) else f"sqlite:///{given.ledger}"
    return url, signer, given.origin


def _ledger(url: str, signer: Path | None, origin: str | None) -> Ledger:
    refuse_empty(url)
    if signer is None:
        return Ledger.open(url, origin=origin)
    return Ledger.open(url, signer=read_signer(signer), origin=origin)


def _council(given: ServeTable, opened: ExitStack) -> ConsensusProtocol | None:
    if given.council is None:
        return None
    from quorate.cli.council.seat import seated

    return opened.enter_context(seated(Path(given.council)))


def _policy(given: ServeTable, signer: Path | None) -> Policy | None:
    """Whom to trust: whoever the policy names, else the key that seals here."""
    if given.policy is not None:
        return Policy.read(given.policy)
    if signer is None or not public_path(signer).is_file():
        return None
    return Policy.of([read_verifier(public_path(signer))])


def _targets(given: ServeTable, opened: ExitStack) -> dict[str, Any]:
    if not given.targets:
        return {}
    from quorate.redteam import builtin
    from quorate.redteam.targets import named

    taken = sorted(given.targets.keys() & builtin().keys())
    if taken:
        raise UsageError(f"the target {taken[0]!r} has the name of a built-in one")
    return {name: opened.enter_context(named(call)) for name, call in given.targets.items()}


def _trust(given: ServeTable) -> Any:
    if given.trust is None:
        return None
    from quorate.cards.trust import TrustStore

    return TrustStore.read(given.trust)


def _told(settings: Settings) -> str:
    """What is on, in words."""
    sealing = "nothing is sealed"
    if settings.ledger is not None:
        how = "sealing in" if settings.sealing else "receipts can be read from"
        sealing = f"{how} {settings.ledger.origin}"
    parts = [sealing]
    if settings.council is not None:
        parts.append(f"council {settings.council.council_id}")
    if settings.targets:
        parts.append(f"targets {', '.join(settings.targets)}")
    return "; ".join(parts)


def _listening(at: Listening, settings: Settings, http: HttpSettings, as_json: bool) -> None:
    facts = {
        "url": at.url,
        "tokens": None if http.tokens is None else len(http.tokens.tokens),
        "ledger": None if settings.ledger is None else settings.ledger.origin,
        "sealing": settings.record is not None,
        "council": None if settings.council is None else settings.council.council_id,
        "targets": list(settings.targets),
    }
    with suppress(BrokenPipeError):
        if as_json:
            print_json(facts)
        else:
            say(f"quorate MCP at {at.url}; {_told(settings)}")
        _flush()


def _flush() -> None:
    import sys

    sys.stdout.flush()


def _log_plainly() -> None:
    """Errors go to standard error, a line each; tracebacks of libraries are for nobody."""
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s: %(message)s")
