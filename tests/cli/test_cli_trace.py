"""``quorate run --trace`` and ``quorate trace``."""

import json

import pytest

from quorate.hub.trace import Trace


@pytest.fixture
def traced(here, quorate):
    """The starter panel, run again into a fresh ledger with traces."""
    (here / "ledger.db").unlink()
    (here / "decisions.jsonl").unlink()
    arguments = ("quorate.toml", "tasks.jsonl", "-o", "decisions.jsonl", "--trace", "t.jsonl")
    assert quorate("run", *arguments)[0] == 0
    return here / "t.jsonl"


def test_a_run_writes_the_trace_of_every_task_in_order(traced, quorate):
    lines = traced.read_bytes().splitlines()
    traces = [Trace.from_dict(json.loads(line)) for line in lines]
    assert [trace.id for trace in traces] == [f"m{n}" for n in range(1, 9)]
    for trace in traces:
        names = {span.name for span in trace.spans}
        assert names >= {"words", "shouting", "links", "sender", "money"}
        assert trace.started_at is not None


def test_a_run_that_decides_nothing_adds_no_trace(traced, quorate):
    before = traced.read_bytes()
    arguments = ("quorate.toml", "tasks.jsonl", "-o", "decisions.jsonl", "--trace", "t.jsonl")
    assert quorate("run", *arguments)[0] == 0
    assert traced.read_bytes() == before


def test_a_waterfall_is_shown_for_people_and_programs(traced, quorate):
    code, out, _ = quorate("trace", "t.jsonl", "m3")
    assert code == 0
    for name in ("words", "sender", "m3"):
        assert name in out
    code, out, _ = quorate("trace", "t.jsonl", "m3", "--json")
    assert Trace.from_dict(json.loads(out)).id == "m3"


def test_without_an_id_the_slowest_are_listed(traced, quorate):
    code, out, _ = quorate("trace", "t.jsonl")
    assert (code, "quorate trace FILE ID" in out) == (0, True)
    rows = json.loads(quorate("trace", "t.jsonl", "--json")[1])["slowest"]
    assert len(rows) == 8
    assert [row["seconds"] for row in rows] == sorted((r["seconds"] for r in rows), reverse=True)


def test_the_only_trace_needs_no_id(traced, quorate):
    traced.write_bytes(traced.read_bytes().splitlines(keepends=True)[4])
    code, out, _ = quorate("trace", "t.jsonl")
    assert (code, "m5" in out) == (0, True)


def test_a_picture_is_saved_and_replaces_nothing(traced, quorate):
    assert quorate("trace", "t.jsonl", "m1", "--svg", "m1.svg")[0] == 0
    assert (traced.parent / "m1.svg").read_text().startswith("<svg")
    code, _, err = quorate("trace", "t.jsonl", "m1", "--svg", "m1.svg")
    assert (code, "is there already" in err) == (2, True)
    code, _, err = quorate("trace", "t.jsonl", "--svg", "m2.svg")
    assert (code, "name the task" in err) == (2, True)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "holds no trace"),
        ("x\n", "t.jsonl:1: no trace: "),
        ("[]\n", "t.jsonl:1: no trace: it is no object"),
        ("{}\n", "t.jsonl:1: no trace: "),
    ],
)
def test_what_is_no_trace_is_told_with_its_line(traced, quorate, text, told):
    traced.write_text(text)
    code, _, err = quorate("trace", "t.jsonl")
    assert (code, told in err) == (2, True), err


def test_a_file_or_task_that_is_not_there_is_told(traced, quorate):
    code, _, err = quorate("trace", "none.jsonl")
    assert (code, "none.jsonl cannot be read" in err) == (5, True)
    code, _, err = quorate("trace", "t.jsonl", "m99")
    assert (code, "no trace of the task 'm99'" in err) == (2, True)


def test_traces_that_cannot_be_written_are_told_before_anything_is_asked(here, quorate):
    (here / "ledger.db").unlink()
    arguments = ("quorate.toml", "tasks.jsonl", "-o", "new.jsonl", "--trace", "no/t.jsonl")
    code, _, err = quorate("run", *arguments)
    assert (code, "traces no/t.jsonl cannot be opened" in err) == (5, True)
