"""The page about experts says what is true: its code runs."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from quorate.arbitration.proposal import REASONS
from quorate.core import limits
from quorate.hub.tables import KINDS

PAGE = Path(__file__).parents[2] / "docs" / "experts.md"
TEXT = PAGE.read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```python\n(.*?)^```$", TEXT, re.DOTALL | re.MULTILINE)


@pytest.mark.parametrize("block", BLOCKS)
def test_every_snippet_runs(block, tmp_path):
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", block],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_every_kind_and_every_reason_is_told():
    assert BLOCKS
    for name in (*KINDS, *REASONS):
        assert f"`{name}`" in TEXT or f'kind = "{name}"' in TEXT, name


def test_the_bounds_told_are_the_bounds():
    told = {
        "at most 1 MiB": limits.MAX_PAYLOAD_BYTES == 1 << 20,
        "56 levels deep": limits.MAX_PAYLOAD_DEPTH == 56,
        "best first, at most 64": limits.MAX_RANKING == 64,
        "16 MiB / (2 * experts)": limits.MAX_BODY_BYTES == 16 << 20,
        "more than 4 MiB": limits.MAX_ANSWER_BYTES == 4 << 20,
        "last 4 KiB": limits.MAX_ERROR_TAIL_BYTES == 4 << 10,
        "at most 64 `candidates`": limits.MAX_CANDIDATES == 64,
        "after 64 such calls": limits.MAX_CALLS_PER_REPLICA == 64,
    }
    for words, so in told.items():
        assert words in TEXT, words
        assert so, words
