"""The catalogue of planted defects fits the code, and its runner tells found from missed."""

import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent


def run(*arguments):
    return subprocess.run(
        [sys.executable, HERE / "run.py", *arguments], capture_output=True, text=True, check=False
    )


def test_every_defect_can_be_planted_and_its_tests_are_there():
    done = run("--list")
    assert (done.returncode, done.stderr) == (0, "")
    assert len(done.stdout.splitlines()) >= 60


def test_a_sample_is_drawn_by_its_seed():
    one, again, other = (run("--list", "--sample", "9", "--seed", s).stdout for s in "aab")
    assert one == again
    assert one.splitlines()[1:] != other.splitlines()[1:]
    assert len(one.splitlines()) == 10


def test_an_unknown_defect_is_refused():
    done = run("--only", "no-such-defect")
    assert done.returncode == 2
    assert "no-such-defect" in done.stderr


@pytest.mark.parametrize(
    ("old", "expected"), [("twice", "stands 2 times"), ("gone", "stands 0 times")]
)
def test_a_stale_defect_is_named(monkeypatch, tmp_path, old, expected):
    monkeypatch.syspath_prepend(str(HERE))
    import catalogue

    file = tmp_path / "src/quorate/a.py"
    file.parent.mkdir(parents=True)
    file.write_text("twice\ntwice\nonce\n")
    planted = catalogue.Mutant("m", "why", "src/quorate/a.py", old, "new", ("tests/t.py::test_x",))
    with pytest.raises(catalogue.CatalogueError, match=expected) as caught:
        catalogue.check([planted], tmp_path)
    assert "no test tests/t.py::test_x" in str(caught.value)
