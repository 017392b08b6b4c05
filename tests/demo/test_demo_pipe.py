"""``quorate demo council | head``: whoever stops reading is no error of the demo's folder."""

from quorate.cli.app import run
from quorate.cli.demo.workplace import workplace


def test_nobody_reads_on_and_nothing_is_complained_about(monkeypatch, capsys):
    lines = []

    def story(tell, folder):
        with workplace(folder):
            tell("the first line")
            tell("the second line")

    def say(line):
        lines.append(line)
        if len(lines) == 2:
            raise BrokenPipeError(32, "Broken pipe")

    monkeypatch.setattr("quorate.cli.demo.council.run_council_demo", story)
    monkeypatch.setattr("quorate.cli.demo_command.say", say)
    assert run(["demo", "council"]) == 5
    assert capsys.readouterr().err == ""
    assert lines == ["the first line", "the second line"]
