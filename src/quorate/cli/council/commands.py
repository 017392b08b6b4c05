"""The commands of ``quorate council``, put together."""

from __future__ import annotations

import typer

from quorate.cli import council_plot
from quorate.cli.council import acting, deciding, executing, looking, starting, watching

app = typer.Typer()

app.command("init")(starting.init)
app.command("open")(starting.open_)
app.command("propose")(acting.propose)
app.command("vote")(acting.vote)
app.command("tally")(deciding.tally)
app.command("close")(deciding.close)
app.command("cancel")(acting.cancel)
app.command("execute")(executing.execute)
app.command("resolve")(executing.resolve)
app.command("check")(executing.check)
app.command("list")(looking.list_)
app.command("show")(looking.show)
app.command("history")(looking.history)
app.command("blocs")(looking.blocs)
app.command("render")(looking.render)
app.command("plot")(council_plot.plot)
app.command("watch")(watching.watch)
