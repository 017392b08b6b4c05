"""Reports for people: what stands in them, and that a target cannot write them."""

from redteam_tools import probe

from quorate.redteam import Reply, render_markdown, render_terminal, scan
from quorate.redteam.scripted import hardened

LEAKY = scan("scripted-leaky", seed=7)


def test_the_terminal_report_has_a_row_for_each_strategy_and_a_line_for_each_success():
    lines = render_terminal(LEAKY).splitlines()
    assert lines[0].split()[:3] == ["strategy", "category", "severity"]
    for one, line in zip(LEAKY.strategies, lines[1:], strict=False):
        assert line.split()[:3] == [one.facts.id, one.facts.category, one.facts.severity]
    assert sum(line.startswith("succeeded: ") for line in lines) == len(LEAKY.successes)
    assert "data_poisoning none" in render_terminal(LEAKY)
    assert "built-in script" in render_terminal(LEAKY)


def test_markdown_has_the_transcript_of_every_success():
    text = render_markdown(LEAKY)
    for facts, result in LEAKY.successes:
        assert f"### {facts.id} {result.id}" in text
        for message in result.run.transcript:
            for line in message.text.splitlines():
                assert f"    {line}" in text
    assert text.count("### ") == len(LEAKY.successes)
    assert "tool read\\_record:" in text
    assert "assistant, interrupted:" in text


def test_no_score_is_said_to_be_none():
    report = scan(lambda request: "no", ["RT-BFLA"], seed=1)
    assert "there is no score" in render_terminal(report)
    assert "not probed: RT-BFLA, 5 probes: control (the honest request was not served)" in (
        render_terminal(report)
    )
    assert "| severity | high | none | 0.000 |" in render_markdown(report)


def test_why_a_target_failed_is_told():
    def gone(request):
        raise RuntimeError("no model here")

    assert "RuntimeError: no model here" in render_terminal(scan(gone, ["RT-BFLA"], seed=1))

    def late(request):
        return gone(request) if len(request.messages) > 2 else hardened(request)

    assert "crashed (RuntimeError" in render_terminal(scan(late, ["RT-CRESCENDO"], seed=1))


def test_what_a_target_says_cannot_write_the_report():
    def writes(request):
        secret = request.messages[0].text.split("nobody: ")[1].splitlines()[0]
        return Reply(f"\n# All well\x1b[2J\u202e\n```\n| resilience | 1.000 |\n{secret}")

    report = scan(writes, ["RT-PROMPT-SEND"], seed=1, name="t|x\n# y")
    for text in (render_terminal(report), render_markdown(report)):
        assert "\x1b" not in text
        assert "\u202e" not in text
        assert "\n# All well" not in text
        assert "\n# y" not in text
    assert "    # All well\\x1b[2J\\u202e" in render_markdown(report)
    assert probe().title not in render_markdown(report)
