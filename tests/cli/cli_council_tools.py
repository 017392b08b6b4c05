"""A council of four keyed voters on the command line, and how they vote."""

import json
import shutil
import time
from pathlib import Path

VOTERS = ("anna", "ben", "chris", "dana")


def opened(tmp_path, monkeypatch, quorate):
    """Open a council in the working folder; yields what runs its commands."""
    # Made once, and copied: making keys and ledgers takes longer than most tests.
    made = tmp_path.parent / "council_made"
    if not made.is_dir():
        made.mkdir()
        monkeypatch.chdir(made)
        assert quorate("council", "init")[0] == 0
        assert quorate("council", "open")[0] == 0
    shutil.copytree(made, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TZ", "Asia/Kolkata")
    time.tzset()

    def call(*arguments):
        return quorate("council", *arguments, *signing(arguments))

    yield call
    monkeypatch.undo()
    time.tzset()


def signing(arguments):
    """The key of who proposes or resolves, where the arguments name none."""
    if arguments[0] not in ("propose", "resolve") or not {"--as"} <= set(arguments):
        return ()
    key = Path(f"keys/voters/{arguments[arguments.index('--as') + 1]}.key")
    return ("--key", str(key)) if key.is_file() and "--key" not in arguments else ()


def ballot(id_, value, voter, *more):
    return ("vote", id_, value, "--as", voter, "--key", f"keys/voters/{voter}.key", *more)


def approve(call, id_, voters):
    for voter in voters:
        assert call(*ballot(id_, "approve", voter))[0] == 0


def told(answer):
    code, out, err = answer
    assert (code, err) == (0, "")
    return json.loads(out)
