"""Every block of the page runs, in order."""

import re
import tempfile
from pathlib import Path

import pytest

pytest.importorskip("torch", reason="needs quorate[torch]")
pytest.importorskip("transformers", reason="needs quorate[transformers]")

PAGE = Path(__file__).parents[2] / "docs" / "moe.md"
README = Path(__file__).parents[2] / "README.md"


def blocks_of(page):
    return re.findall(r"^```python\n(.*?)^```", page.read_text("utf-8"), re.DOTALL | re.MULTILINE)


def run(block, names):
    exec(compile(block, "a block of a page", "exec"), names)  # noqa: S102 - what is tested


def test_the_blocks_of_the_readme_run(capsys):
    names = {}
    run(blocks_of(PAGE)[0], names)
    blocks = [block for block in blocks_of(README) if "quorate.moe" in block]
    assert len(blocks) == 1
    run(blocks[0], names)
    assert "not against a poisoned training" in capsys.readouterr().out


def test_the_blocks_of_the_page_run_and_run_again_in_the_same_folder(
    tmp_path, tmp_path_factory, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path_factory.mktemp("made")))
    blocks = blocks_of(PAGE)
    assert len(blocks) == 9
    for _ in range(2):
        names = {}
        for block in blocks:
            run(block, names)
        told = capsys.readouterr().out
        assert "not against a poisoned training" in told
        assert "12 of 12 tokens" in told
        assert re.fullmatch(r"\[\d, \d\] True", told.splitlines()[-1])
    assert list(tmp_path.iterdir()) == []


def test_the_table_of_arguments_is_complete():
    import inspect

    from quorate.moe import harden

    table = PAGE.read_text("utf-8").partition("| argument | default | meaning |")[2]
    told = re.findall(r"^\| `(\w+)` \| (.*?) \|", table.partition("\n\n")[0], re.MULTILINE)
    asked = list(inspect.signature(harden).parameters.values())[1:]
    assert {name for name, _ in told} == {p.name for p in asked}
    defaults = {name: default.strip("`").strip('"') for name, default in told}
    for p in asked:
        # None stands for copies of the model's own gates, four of them.
        assert defaults[p.name] == ("4" if p.name == "replicas" else str(p.default)), p.name


def test_the_figures_of_the_report_are_all_told():
    from quorate.moe.counters import Counters

    table = PAGE.read_text("utf-8").partition("| figure | meaning |")[2].partition("\n\n")[0]
    told = {name for row in table.splitlines() for name in re.findall(r"`(\w+)`", row[:24])}
    assert told == Counters(1).to_dict().keys()
