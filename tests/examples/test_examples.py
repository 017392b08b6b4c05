"""The examples run as their page says, and show what it says."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[2] / "examples"
NAMES = ("classifiers", "ranking", "patches", "streaming")


def run(name):
    done = subprocess.run(
        [sys.executable, str(EXAMPLES / name / "run.py")],
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "Warning" not in done.stderr
    return done.stdout


def test_every_example_is_on_the_page():
    page = (EXAMPLES / "README.md").read_text("utf-8")
    folders = sorted(path.parent.name for path in EXAMPLES.glob("*/run.py"))
    assert folders == sorted(NAMES)
    for name in NAMES:
        assert f"python examples/{name}/run.py" in page


def test_classifiers_refuse_rather_than_guess():
    told = run("classifiers")
    right, wrong, refused = map(
        int, re.search(r"the panel: (\d+) right, (\d+) wrong, (\d+) refused", told).groups()
    )
    assert right + wrong + refused == 120
    assert right > 100
    assert refused > 0
    assert "every verdict comes out the same" in told


def test_rankings_find_a_winner_where_first_places_are_split():
    told = run("ranking")
    first, runoff = told.split("$ quorate run quorate.toml")
    assert first.count(": refused") > runoff.count(": refused")
    assert runoff.count(": committed athlete") >= 1
    assert "every verdict comes out the same" in runoff


def test_the_wrong_patch_is_voted_down():
    told = run("patches")
    assert re.search(r"median: committed coder [bc]'s, over \['hasty'\]", told)
    assert re.search(r"median-b-last: committed coder [bc]'s", told)
    assert "only-wrong: committed no patch at all" in told or "only-wrong: refused" in told
    assert "committed the wrong one" not in told
    assert "every verdict comes out the same" in told


def test_committing_early_saves_the_tail_and_changes_no_answer():
    told = run("streaming")
    # How much sooner is the machine's to say: that the slow were cut short is what saves it.
    assert int(re.search(r"waiting for all:.*longest +(\d+) ms", told)[1]) >= 250
    assert "40 of 40 answers are the same" in told
    assert int(re.search(r"(\d+) calls were cancelled", told)[1]) >= 10
    assert "80 entries verified, 80 verdicts computed again" in told


@pytest.mark.parametrize("name", NAMES)
def test_no_example_leaves_anything_behind(name):
    left = {path.name for path in (EXAMPLES / name).iterdir()} - {"__pycache__"}
    assert left <= {"run.py", "experts.py", "tester.py", "quorate.toml"}
