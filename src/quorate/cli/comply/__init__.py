"""``quorate comply``: evidence for the EU AI Act, and what is missing of it."""

from __future__ import annotations

from functools import cache
from typing import Any

import typer
from typer.core import TyperGroup
from typer.main import get_command

_HELP = "Evidence for the EU AI Act: collect, seal, evaluate, hand over. No conformity assessment."


class _Late(TyperGroup):
    """A group whose commands are imported when one of them is asked for.

    They need what reads the catalogue and the schemas; no other command should wait for that.
    """

    def list_commands(self, ctx: Any) -> list[str]:
        self._fill()
        return super().list_commands(ctx)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        self._fill()
        return super().get_command(ctx, cmd_name)

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        self._fill()
        return super().resolve_command(ctx, args)

    def _fill(self) -> None:
        self.commands.update(_commands())


@cache
def _commands() -> dict[str, Any]:
    """The commands, put together once: reading the options of all of them takes its time."""
    from quorate.cli.comply import commands

    return dict(getattr(get_command(commands.app), "commands", {}))


app = typer.Typer(cls=_Late, help=_HELP, no_args_is_help=True)
