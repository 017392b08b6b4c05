"""Children that answer in one way or another."""

import sys
import textwrap
from pathlib import Path

import pytest

BEGINNING = """
import json, os, sys, time

def answer(request, **keys):
    print(json.dumps({"id": request["id"], **keys}), flush=True)

requests = (json.loads(line) for line in sys.stdin)
"""
ECHO = """
for request in requests:
    answer(request, payload=request["input"], confidence=0.5)
"""


@pytest.fixture
def child(tmp_path: Path):
    """Write the program of a child; gives the command that runs it."""

    def command(code: str = ECHO) -> list[str]:
        program = tmp_path / f"child{len(list(tmp_path.iterdir()))}.py"
        program.write_text(BEGINNING + textwrap.dedent(code))
        # Without the site module a child starts in half the time.
        return [sys.executable, "-S", str(program)]

    return command
