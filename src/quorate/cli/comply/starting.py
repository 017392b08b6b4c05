"""``quorate comply init``: declare a system, and have evidence to fill in."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Final

import typer

from quorate.cli.comply.options import ProfileName
from quorate.cli.shown import AsJson, print_json, say, write_new
from quorate.cli.where import PANEL
from quorate.core.errors import OperationalError, UsageError
from quorate.core.text import counted

SYSTEM_FILE: Final = "system.toml"
EVIDENCE_FILE: Final = "evidence.json"
POLICY: Final = Path("policy.toml")

_HEAD: Final = """\
# The AI system that evidence speaks of. Evidence counts only if it names this system and
# this version.
name = {name}
version = {version}

# Whose obligations are asked about: provider, deployer or both.
role = "provider"

# How it is high-risk: annex_iii (by its use), annex_i (by product law), both, or undeclared.
# It decides from which day each obligation applies.
category = "undeclared"

# What holds of the system. What is not declared is taken to hold, so that nothing is left
# out by silence; take the sign off a line and say false where it does not.
[conditions]
"""


def init(
    folder: Annotated[Path, typer.Argument(help="Folder to write to.")] = Path(),
    name: Annotated[str, typer.Option("--name", help="Name of the system.")] = "my-system",
    version: Annotated[str, typer.Option("--version", help="Its version.")] = "0.1.0",
    profile: ProfileName = "core",
    as_json: AsJson = False,
) -> None:
    """Write system.toml, commented, and evidence.json with what people have to fill in.

    What the ledger itself can show is collected and not in it. Until a placeholder is filled
    in, its item is invalid and shows nothing.
    """
    from quorate.cli.comply.skeleton import item_skeleton
    from quorate.compliance import System, load_catalogue, load_profile
    from quorate.compliance.collect import collectors
    from quorate.compliance.schemas import schema

    system = System.read({"name": name, "version": version})
    paths = [folder / SYSTEM_FILE, folder / EVIDENCE_FILE]
    for path in paths:
        if path.exists() or path.is_symlink():
            raise UsageError(f"{path} is there already; name another folder, nothing is replaced")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OperationalError(f"{folder} cannot be made: {error.strerror}") from error
    conditions = load_catalogue().conditions
    lines = [f"# {each} = false    # {meaning}\n" for each, meaning in conditions.items()]
    head = _HEAD.format(name=_toml(name), version=_toml(version))
    collected = {each for one in collectors() if not one.helps for each in one.fields}
    checks = {each.field: each for each in load_profile(profile).checks}
    fields = [each for each in checks if each not in collected]
    items = {
        each: item_skeleton(schema(checks[each].schema), checks[each].needs, system)
        for each in fields
    }
    evidence = json.dumps({"metadata": items}, ensure_ascii=False, indent=1) + "\n"
    write_new(paths[0], head + "".join(lines))
    write_new(paths[1], evidence)
    if as_json:
        print_json({"files": [str(path) for path in paths], "fields": fields})
        return
    say(f"wrote {paths[0]} and {paths[1]} ({counted(len(fields), 'item')} to fill in)")
    say("")
    panel, policy = _near(folder, PANEL), _near(folder, POLICY)
    # Where there is no panel file, nothing names the ledger, its key, or whom to trust.
    ledger = "LEDGER --signer KEY" if panel is None else str(panel)
    read = "LEDGER" if panel is None else str(panel)
    trust = "--key ledger.pub" if policy is None else f"--policy {policy}"
    steps = (
        (f"declare {paths[0]} {ledger} --since 0 --by NAME", "and seal it"),
        (f"report {read} --system {paths[0]} {trust}", "what the ledger shows, what is missing"),
        (f"seal {paths[1]} {ledger} --system {paths[0]}", "once it is filled in"),
    )
    say("next:")
    say(f"  edit {paths[0]}: role, category, conditions")
    width = max(len(step) for step, _ in steps)
    for step, what in steps:
        say(f"  quorate comply {step:{width}}  # {what}")


def _near(folder: Path, name: Path) -> Path | None:
    """A file in the folder or the current one; ``None`` where neither has it."""
    return next((path for path in (folder / name, name) if path.is_file()), None)


def _toml(text: str) -> str:
    """A text as TOML writes it; what is printable needs no more escapes than JSON has."""
    if not text.isprintable():
        raise UsageError(f"{text!r} has characters that cannot be printed; give another name")
    return json.dumps(text, ensure_ascii=False)
