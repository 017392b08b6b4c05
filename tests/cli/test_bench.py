"""``quorate bench``: what it needs, what it writes, what it refuses; nothing is trained here."""

import json
import os
from functools import partial

import pytest

from quorate.cli import bench
from quorate.cli.app import exit_code
from quorate.core.errors import OperationalError
from quorate.fusion import robustness


@pytest.fixture
def small(monkeypatch):
    """The table of fusion rules at one size, and of three rules."""
    monkeypatch.setattr(robustness, "NAMES", ("mean", "median", "krum"))
    monkeypatch.setattr(robustness, "table", partial(robustness.table, sizes=((4, 1),)))


def without(monkeypatch, *packages):
    found = bench.find_spec
    monkeypatch.setattr(bench, "find_spec", lambda n: None if n in packages else found(n))


def test_both_commands_are_listed_and_have_help(quorate):
    assert "bench" in quorate("--help")[1]
    code, out, _ = quorate("bench", "--help")
    assert (code, "moe" in out, "fusion" in out) == (0, True, True)
    for command in ("moe", "fusion"):
        code, out, _ = quorate("bench", command, "--help")
        assert (code, "--json" in out, "--out" in out) == (0, True, True)


@pytest.mark.parametrize(
    ("typed", "offered"), [("quorate be", "bench"), ("quorate bench m", "moe")]
)
def test_shells_complete_them(process, typed, offered):
    words = {"COMP_WORDS": typed, "COMP_CWORD": str(typed.count(" "))}
    environment = os.environ | words | {"_QUORATE_COMPLETE": "complete_bash"}
    assert offered in process(env=environment).stdout.split()


def test_without_pytorch_the_lab_says_what_to_install(quorate, monkeypatch):
    without(monkeypatch, "torch", "sklearn")
    code, out, err = quorate("bench", "moe")
    assert (code, out) == (5, "")
    assert "PyTorch and scikit-learn, which are not installed" in err
    assert err.strip().endswith('pip install "quorate[moe]"')
    code, out, _ = quorate("bench", "moe", "--json")
    assert (code, json.loads(out)["exit_code"]) == (5, 5)


def test_without_matplotlib_only_files_are_refused(quorate, monkeypatch, small, tmp_path):
    without(monkeypatch, "matplotlib")
    code, _, err = quorate("bench", "fusion", "--out", tmp_path / "new")
    assert (code, err.strip().endswith('pip install "quorate[plots]"')) == (5, True)
    assert not (tmp_path / "new").exists()
    assert quorate("bench", "fusion")[0] == 0


def test_fusion_prints_what_the_table_holds(quorate, small):
    code, out, err = quorate("bench", "fusion", "--json")
    assert (code, err) == (0, "")
    told = json.loads(out)
    assert told == robustness.table().to_dict()
    code, out, _ = quorate("bench", "fusion")
    assert code == 0
    lines = {line.split()[0]: line for line in out.splitlines() if line}
    assert "n/a" in lines["krum"]
    assert "no bound" in lines["mean"]
    (median,) = [row for row in told["rows"] if row["rule"] == "median"]
    assert f"{median['worst']:.3g} of {median['bound']:.3g}" in lines["median"]


def test_fusion_writes_json_markdown_and_pictures(quorate, small, tmp_path):
    pytest.importorskip("matplotlib", reason="needs quorate[plots]")
    code, out, _ = quorate("bench", "fusion", "--out", tmp_path / "new")
    assert (code, f"written to {tmp_path / 'new'}" in out) == (0, True)
    names = {path.name for path in (tmp_path / "new").iterdir()}
    assert names == {"fusion.json", "fusion.md", "fusion-kappa.svg", "fusion-kappa.png"}
    told = json.loads((tmp_path / "new" / "fusion.json").read_text())
    assert told == robustness.table().to_dict()


@pytest.mark.parametrize(
    ("command", "there"), [("moe", "moe.json"), ("fusion", "fusion-kappa.png")]
)
def test_nothing_is_replaced_and_that_is_told_before_the_work(
    quorate, monkeypatch, tmp_path, command, there
):
    monkeypatch.setattr(bench, "find_spec", lambda _: True)
    (tmp_path / there).write_text("mine")
    code, _, err = quorate("bench", command, "--out", tmp_path)
    assert (code, "is there already; give --out another folder" in err) == (2, True)
    assert (tmp_path / there).read_text() == "mine"


def test_a_folder_that_cannot_be_made_is_told(quorate, monkeypatch, tmp_path):
    monkeypatch.setattr(bench, "find_spec", lambda _: True)
    (tmp_path / "file").write_text("")
    code, _, err = quorate("bench", "fusion", "--out", tmp_path / "file" / "below")
    assert (code, "cannot be used" in err, "give --out another folder" in err) == (5, True, True)


def test_files_that_cannot_be_written_are_the_environments_fault(tmp_path):
    with pytest.raises(OperationalError, match="cannot be written") as told:
        bench._save(tmp_path / "gone", {"a": b""})
    assert exit_code(told.value) == 5


def test_a_long_list_has_one_line_for_each_entry():
    value = {"a": 1, "rows": [{"x": [1, 2]}, {"x": []}]}
    text = bench._lines(value, "rows")
    assert json.loads(text) == value
    assert text.count('{"x"') == len([line for line in text.splitlines() if '{"x"' in line]) == 2


@pytest.mark.parametrize(
    ("share", "told"), [("0.0%", "0"), ("<0.1%", "<1"), ("0.4%", "<1"), ("81.6%", "82"), ("-", "-")]
)
def test_shares_are_short_in_a_terminal_and_never_rounded_to_none(share, told):
    assert bench._brief(share) == told
