"""Every block of the page runs, in order."""

import re
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


def test_the_blocks_of_the_page_run(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    blocks = blocks_of(PAGE)
    assert len(blocks) == 7
    names = {}
    for block in blocks:
        run(block, names)
    told = capsys.readouterr().out
    assert "not against a poisoned training" in told
    assert "12 of 12 tokens" in told
    assert re.fullmatch(r"\[\d, \d\] True", told.splitlines()[-1])
