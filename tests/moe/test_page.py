"""Every block of the page runs, in order."""

import re
from pathlib import Path

import pytest

pytest.importorskip("torch", reason="needs quorate[torch]")
pytest.importorskip("transformers", reason="needs quorate[transformers]")

PAGE = Path(__file__).parents[2] / "docs" / "moe.md"


def test_the_blocks_of_the_page_run(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"^```python\n(.*?)^```", PAGE.read_text("utf-8"), re.DOTALL | re.MULTILINE)
    assert len(blocks) == 7
    names = {}
    for number, block in enumerate(blocks):
        exec(compile(block, f"{PAGE.name}, block {number + 1}", "exec"), names)  # noqa: S102 - what is tested
    told = capsys.readouterr().out
    assert "not against a poisoned training" in told
    assert "12 of 12 tokens" in told
    assert re.fullmatch(r"\[\d, \d\] True", told.splitlines()[-1])
