"""``quorate bench``: what it needs, what it writes, what it refuses; nothing is trained here."""

import json
import re
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest

from quorate.cli import bench
from quorate.cli.app import exit_code
from quorate.core.errors import OperationalError, UsageError
from quorate.fusion import robustness
from quorate.fusion.names import RULES
from quorate.moe.lab.names import ATTACK_NAMES, MODEL_NAMES, RULE_NAMES
from quorate.moe.lab.report import Report


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


def test_help_lists_what_can_be_named_and_how_long_it_takes(quorate):
    _, out, _ = quorate("bench", "moe", "--help")
    told = "".join(char for char in out if char.isalnum() or char in "_+")
    for name in (*MODEL_NAMES, *ATTACK_NAMES, *RULE_NAMES):
        assert name in told
    assert "minutes" in out
    assert "half a minute" in quorate("bench", "fusion", "--help")[1]


def test_the_named_rules_are_those_of_fusion_and_the_vote():
    alone = [name for name in RULE_NAMES if "+" not in name]
    assert set(alone) == {"vote", *RULES}


@pytest.mark.parametrize(
    ("typed", "offered"),
    [
        ("quorate be", "bench"),
        ("quorate bench m", "moe"),
        ("quorate bench moe --model te", "text"),
        ("quorate bench moe --rule kr", "krum"),
        ("quorate bench moe --attack sign", "sign_flip"),
    ],
)
def test_shells_complete_them(quorate, monkeypatch, typed, offered):
    monkeypatch.setenv("_QUORATE_COMPLETE", "complete_bash")
    monkeypatch.setenv("COMP_WORDS", typed)
    monkeypatch.setenv("COMP_CWORD", str(typed.count(" ")))
    assert offered in quorate()[1].split()


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
    assert code == 5
    assert 'pip install "quorate[plots]"; the numbers alone can be had without it: --json' in err
    assert not (tmp_path / "new").exists()
    assert quorate("bench", "fusion")[0] == 0


def test_fusion_prints_what_the_table_holds(quorate, small):
    code, out, err = quorate("bench", "fusion", "--json")
    assert (code, "this takes about half a minute" in err) == (0, True)
    told = json.loads(out)
    assert told == robustness.table().to_dict()
    code, out, _ = quorate("bench", "fusion")
    assert code == 0
    lines = {line.split()[0]: line for line in out.splitlines() if line}
    assert "n/a" in lines["krum"]
    assert lines["mean"].endswith("/none")
    (median,) = [row for row in told["rows"] if row["rule"] == "median"]
    assert f"{median['worst']:.3g}/{median['bound']:.3g}" in lines["median"]


def test_a_report_says_what_made_it(quorate, small):
    told = json.loads(quorate("bench", "fusion", "--json", "--quick", "--seed", 3)[1])
    kept = {key: told[key] for key in ("report", "version", "quick", "seed")}
    assert kept == {"report": "quorate bench fusion", "version": 1, "quick": True, "seed": 3}
    assert set(told["versions"]) == {"quorate", "python", "numpy"}


def test_a_seed_draws_other_inputs_and_the_first_is_the_default(small):
    worst = [[row.worst for row in robustness.table(**given).rows] for given in ({}, {"seed": 0})]
    assert worst[0] == worst[1]
    assert [row.worst for row in robustness.table(seed=1).rows] != worst[0]


def test_quick_measures_the_small_sizes_only(monkeypatch):
    monkeypatch.setattr(robustness, "NAMES", ("median",))
    found = robustness.table(quick=True)
    assert [(row.n, row.faults) for row in found.rows] == [*robustness.QUICK]
    assert found.to_dict()["quick"] is True


def test_without_a_terminal_lines_tell_how_far_it_is(quorate, monkeypatch, small):
    monkeypatch.setattr(bench, "_EVERY_SECONDS", 0.0)
    _, _, err = quorate("bench", "fusion")
    assert err.splitlines()[1:] == ["measuring: 33%", "measuring: 67%", "measuring: 100%"]


def test_the_table_of_fusion_fits_80_columns(quorate, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    row = partial(robustness.Row, faults=4, source="", by_attack={})
    rows = [
        row(rule=name, n=n, bound=bound, worst=worst)
        for n in (4, 7, 10, 13)
        for name, worst, bound in (
            ("minimum_diameter_averaging", 0.638, 13.67),
            ("mean", 5925.1, float("inf")),
        )
    ]
    found = robustness.Table(tuple(rows), ())
    monkeypatch.setattr(robustness, "table", lambda **_: found)
    _, out, _ = quorate("bench", "fusion")
    lines = out.splitlines()
    assert [line.split().count("0.638/13.7") for line in lines].count(4) == 1
    assert [line.split().count("5,925/none") for line in lines].count(4) == 1
    assert max(map(len, lines)) <= 90


def test_the_tables_of_the_lab_fit_80_columns_too(monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", "80")
    lab = Path(__file__).parents[2] / "docs" / "lab"
    report = Report.from_dict(json.loads((lab / "moe.json").read_text()))
    capsys.readouterr()
    bench._say_moe(report)
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    rows = [line for line in lines if line[:1] == ["minimum_diameter_averaging"]]
    # Attacks or numbers of liars, none of them broken over two lines.
    assert {len(row) for row in rows} == {1 + 11, 1 + 5, 1 + 8}
    whole = re.compile(r"\d+|<1|\d+\.\d%|\d\.\d{3}|NaN")
    assert [cell for row in rows for cell in row[1:] if not whole.fullmatch(cell)] == []


# -- Ctrl-C

PATCHED = """
import signal, sys
from quorate.cli import main
from quorate.fusion import robustness

# What starts the tests in the background may have had it ignored.
signal.signal(signal.SIGINT, signal.default_int_handler)

def table(progress, **_):
    {body}

robustness.table = table
main()
"""
SWALLOWED = """
    class Told:
        def __del__(self):
            signal.raise_signal(signal.SIGINT)
    told = Told()
    del told
    progress(1, 2)
    print("went on")
"""
EXECUTED = """
    exec("signal.raise_signal(signal.SIGINT)", {"signal": signal})
"""
OTHER = """
    try:
        signal.raise_signal(signal.SIGINT)
    except KeyboardInterrupt as error:
        raise ImportError("half an import") from error
"""


@pytest.mark.parametrize(
    ("body", "more"),
    [(SWALLOWED, ()), (SWALLOWED, ("--json",)), (EXECUTED, ("--json",)), (OTHER, ())],
)
def test_ctrl_c_ends_it_wherever_it_comes(tmp_path, body, more):
    pytest.importorskip("matplotlib", reason="needs quorate[plots]")
    (tmp_path / "patched.py").write_text(PATCHED.replace("{body}", body))
    arguments = ("bench", "fusion", *more, "--out", str(tmp_path / "new" / "below"))
    # As python -m quorate: there alone does Python end by the signal after all.
    done = subprocess.run(
        [sys.executable, "-m", "patched", *arguments],
        capture_output=True, text=True, timeout=60, check=False, cwd=tmp_path,
    )  # fmt: skip
    # Not -2, which is what ends by the signal itself leaves.
    assert done.returncode == 130, done.stderr
    assert done.stderr.splitlines()[-1] == "interrupted"
    assert "ignored" not in done.stderr
    assert not (tmp_path / "new").exists()
    if more:
        told = json.loads(done.stdout)
        assert (told["error"]["type"], told["exit_code"]) == ("Interrupted", 130)
    else:
        assert done.stdout == ""


def test_a_folder_that_was_there_stays_after_a_failure(monkeypatch, quorate, tmp_path):
    monkeypatch.setattr(bench, "find_spec", lambda _: True)
    monkeypatch.setattr(robustness, "table", lambda **_: 1 / 0)
    (tmp_path / "mine").mkdir()
    for folder in ("mine", "new"):
        with pytest.raises(ZeroDivisionError):
            quorate("bench", "fusion", "--out", tmp_path / folder)
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]


def test_files_are_written_all_or_none(tmp_path):
    (tmp_path / "b").write_text("mine")
    with pytest.raises(UsageError, match="is there already"):
        bench._save(tmp_path, {"a": b"1", "b": b"2"})
    assert [path.name for path in tmp_path.iterdir()] == ["b"]


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


def test_a_file_for_a_folder_is_told(quorate, monkeypatch, tmp_path):
    monkeypatch.setattr(bench, "find_spec", lambda _: True)
    (tmp_path / "file").write_text("")
    code, _, err = quorate("bench", "fusion", "--out", tmp_path / "file")
    assert (code, "file is a file; give --out a folder" in err) == (2, True)


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        (("--rule", "medain"), "rule is 'medain'; did you mean median? there is mean, vote"),
        (("--attack", "nun"), "'nun' is no attack; did you mean nan?"),
        (("--model", "txt"), "'txt' is no model; did you mean text?"),
    ],
)
def test_a_typo_is_told_before_anything_is_loaded(quorate, monkeypatch, wrong, told):
    without(monkeypatch, "torch", "sklearn")
    code, _, err = quorate("bench", "moe", *wrong)
    assert (code, told in " ".join(err.split()), "this takes" in err) == (2, True, False), err


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
