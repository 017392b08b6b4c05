"""``quorate council``: what is open, what it needs, how long is left, and what comes next."""

from __future__ import annotations

from typing import Any

import typer
from typer.core import TyperGroup
from typer.main import get_command

_HELP = "A safety council: propose, vote, decide, execute at most once."


class _Late(TyperGroup):
    """A group whose commands are imported when one of them is asked for.

    They need what reads files and rules; no other command should wait for that.
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
        if self.commands:
            return
        from quorate.cli.council import commands

        self.commands.update(getattr(get_command(commands.app), "commands", {}))


app = typer.Typer(cls=_Late, help=_HELP, no_args_is_help=True)
