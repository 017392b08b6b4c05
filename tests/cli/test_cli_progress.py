"""What is shown of work that takes long."""

import time

import pytest

from quorate.cli.shown import Progress, progress
from quorate.hub import Panel, Run
from quorate.hub.outcomes import seal_outcome
from quorate.ledger import Ledger, read_signer


@pytest.mark.parametrize(("seconds", "seen"), [(0.9, False), (1.1, True)])
def test_what_comes_first_is_shown_once_it_takes_over_a_second(monkeypatch, seconds, seen):
    now = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    shown = []
    bar = Progress("deciding", lambda *told: shown.append(told))
    first = bar.slow("reading")
    first(1, 9)
    now[0] += seconds
    first(2, 9)
    bar(0, 5)
    assert shown == [("reading", 2, 9)] * seen + [("deciding", 0, 5)]


def test_nothing_is_shown_where_no_terminal_is(capfd):
    with progress("deciding") as shown:
        shown(1, 2)
        shown.slow("reading")(1, 2)
    assert capfd.readouterr() == ("", "")


def test_a_run_tells_how_far_it_has_read_known_outcomes(here):
    panel = Panel.load("quorate.toml")
    told = []

    def reading(*counts):
        told.append(counts)

    with Ledger.open("sqlite:///ledger.db", signer=read_signer(panel.signer_path)) as ledger:
        Run(
            panel, ledger, "tasks.jsonl", "again.jsonl", reading=lambda *n: told.append(n)
        ).execute()
        assert told == []
        (first, *_) = [r.payload["task"]["id"] for r in ledger if "task" in (r.payload or {})]
        seal_outcome(ledger, first, "spam")
        size = len(ledger)
        Run(
            panel, ledger, "tasks.jsonl", "third.jsonl", reading=lambda *n: told.append(n)
        ).execute()
    assert told[-1] == (size, size)
