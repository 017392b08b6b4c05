"""The commands of ``quorate comply``, put together."""

from __future__ import annotations

import typer

from quorate.cli.comply import (
    committing,
    declaring,
    dossiers,
    evidence,
    looking,
    reporting,
    starting,
)

app = typer.Typer()

app.command("init")(starting.init)
app.command("report")(reporting.report)
app.command("evaluate")(reporting.evaluate)
app.command("declare")(declaring.declare)
app.command("collect")(evidence.collect)
app.command("seal")(evidence.seal)
app.command("threshold")(committing.threshold)
app.command("measure")(committing.measure)
app.command("dossier")(dossiers.dossier)
app.command("verify")(dossiers.verify)
app.command("catalogue")(looking.catalogue)
app.command("profiles")(looking.profiles)
