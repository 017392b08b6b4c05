"""The page about stopping and overriding: its session and its code run as they stand."""

import re
import shlex
from pathlib import Path

from quorate.cli.app import run as cli_run

PAGE = Path(__file__).parents[2] / "docs" / "oversight.md"


def block(kind):
    (found,) = re.findall(
        rf"^```{kind}\n(.*?)^```", PAGE.read_text("utf-8"), re.DOTALL | re.MULTILINE
    )
    return found


def test_the_session_of_the_page_runs(tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    assert cli_run(["init", "."]) == 0
    capfd.readouterr()
    codes, told = [], []
    for line in block("console").splitlines():
        prompt, word, *arguments = shlex.split(line, comments=True)
        assert (prompt, word) == ("$", "quorate")
        codes.append(cli_run(arguments))
        told.append("".join(capfd.readouterr()))
    assert codes == [0, 3, 0, 0, 0, 0, 0, 0, 0], told
    assert "halted by J. Doe in entry 0" in told[1]
    assert "1 halt in force" in told[2]
    assert "8 tasks: 6 committed" in told[4]
    assert "Overridden by J. Doe" in told[6]
    assert all("It passed." in each for each in told[7:])
    assert cli_run(["verify", "ledger.db", "--policy", "policy.toml", "--replay"]) == 0


def test_the_code_of_the_page_runs(capsys):
    names = {}
    exec(compile(block("python"), "a block of a page", "exec"), names)  # noqa: S102 - what is tested
    names["ledger"].close()
    halted, stands = capsys.readouterr().out.splitlines()
    assert halted.startswith("halted by J. Doe in entry 0")
    assert stands == "no"
