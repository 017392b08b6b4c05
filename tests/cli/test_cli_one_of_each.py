"""What stands alone is told in the singular: one task, one expert, one verdict, one entry."""

import json
import re
from collections import Counter

import pytest

from quorate.core.text import counted
from quorate.ledger.replay import SealedPanel
from quorate.ledger.verification import VerifyReport

MANY = re.compile(
    r"(?<![\d.,])1 (?:\w+ )?(?:tasks|experts|entries|verdicts|outcomes|times|calls)\b"
)

PANEL = """\
[ledger]
url = "sqlite:///ledger.db"
signer = "ledger.key"

[arbiter]
protocol = "weighted-quorum"
quorum = 0.5

[run]
concurrency = 1

[[experts]]
id = "a"
kind = "python"
call = "experts:a"
confidence = 1
"""


@pytest.fixture
def folder(tmp_path, monkeypatch, quorate):
    monkeypatch.chdir(tmp_path)
    quorate("keys", "new", "ledger.key")
    (tmp_path / "experts.py").write_text("def a(task):\n    return task\n")
    (tmp_path / "quorate.toml").write_text(PANEL)
    (tmp_path / "one.jsonl").write_text('{"id": "t", "input": 1}\n')
    (tmp_path / "two.jsonl").write_text('{"id": "t", "input": 1}\n{"id": "u", "input": 2}\n')
    (tmp_path / "known.jsonl").write_text(json.dumps({"id": "t", "answer": 1}))
    return tmp_path


def test_one_of_each_is_told_so(folder, quorate):
    said = {}
    for name, arguments in {
        "before": ("run", "quorate.toml", "one.jsonl", "--dry-run"),
        "run": ("run", "quorate.toml", "one.jsonl", "-o", "out.jsonl"),
        "after": ("run", "quorate.toml", "two.jsonl", "--dry-run"),
        "outcome": ("outcome", "known.jsonl"),
        "verify": ("verify", "ledger.db", "--key", "ledger.pub", "--replay"),
        "explain": ("explain", "0"),
        "tune": ("tune", "ledger.db"),
    }.items():
        code, out, err = quorate(*arguments)
        assert code == 0, err
        said[name] = out + err
        assert not MANY.findall(said[name]), said[name]
    assert "1 task; to decide 1" in said["before"]
    assert "(1 time 1 task side by side)" in said["before"]
    assert "the mean of what 1 verdict in the ledger shows" in said["after"]
    assert "1 outcome: 1 sealed" in said["outcome"]
    assert "1 expert, weighted-quorum" in said["verify"]
    assert "can name: 1 expert with route weights" in said["explain"]


def test_a_checkpoint_of_one_entry(folder, quorate):
    from quorate.ledger import Ledger, read_signer

    with Ledger.open("sqlite:///ledger.db", signer=read_signer("ledger.key")) as ledger:
        ledger.append("note", "x")
    assert "which pins 1 entry;" in quorate("ledger", "checkpoint", "-o", "pin.txt")[1]
    code, out, _ = quorate("verify", "ledger.db", "--key", "ledger.pub", "--checkpoint", "pin.txt")
    assert (code, out.startswith("verified 1 entry of ")) == (0, True)


@pytest.mark.parametrize("number", [0, 1, 2])
def test_a_report_counts_in_words(number):
    panel = SealedPanel(0, "d", {"roster": {}, "protocol": "p", "parameters": {}})
    said = VerifyReport(
        number, "r", False, "o", 0, number, number, number, number, Counter(), (panel,)
    ).describe()
    assert not MANY.findall(said), said
    assert f"verified {counted(number, 'entry', 'entries')} of o" in said
    if number:
        assert ("1 verdict names no panel" in said) == (number == 1)
        assert ("2 verdicts name no panel" in said) == (number == 2)
        assert ("1 verdict counts effective voters" in said) == (number == 1)
        assert ("2 verdicts count effective voters" in said) == (number == 2)


def test_counted():
    assert [counted(n, "task") for n in range(3)] == ["0 tasks", "1 task", "2 tasks"]
    assert counted(1, "entry", "entries") == "1 entry"
    assert counted(0, "entry", "entries") == "0 entries"
