"""Task lines in, decision lines out."""

import io
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quorate.core import limits
from quorate.core.canonical import digest
from quorate.core.errors import OperationalError, UsageError
from quorate.hub.lines import _Ids, decision_line, read_tasks

GOOD = b'{"id": "ok", "input": 1}\n'


def read(data):
    return list(read_tasks(io.BytesIO(data), "tasks.jsonl"))


def test_tasks_are_read_in_order_with_their_lines():
    tasks = read(
        b'\n{"id": "one", "input": {"x": [1]}}\r\n  \n'
        b'{"input": null, "options": {}, "id": "\xc3\xa9"}\n{"id":"3","input":1.0}'
    )
    assert [(t.id, t.input, t.line) for t in tasks] == [
        ("one", {"x": [1]}, 2),
        ("é", None, 4),
        ("3", 1.0, 5),
    ]
    assert [t.input_digest for t in tasks] == [digest({"x": [1]}), digest(None), digest(1)]


def test_no_lines_are_no_tasks():
    assert read(b"") == read(b"\n\n") == []


BROKEN = {
    b"not json": "not JSON",
    b'{"id": "x", "input": 1': "not JSON",
    b'{"id": "x", "input": 1} {}': "not JSON",
    b'{"id": "x", "input": NaN}': "NaN",
    b'{"id": "x", "input": 1e999}': "$.input",
    b'{"id": "x", "input": 12345678901234567890}': "$.input",
    b'{"id": "x", "id": "y", "input": 1}': "'id' stands twice",
    b'{"id": "x", "input": {"a": 1, "a": 2}}': "'a' stands twice",
    b'["x", 1]': "a task is an object",
    b'"x"': "a task is an object",
    b'{"input": 1}': "id is missing",
    b'{"id": "x"}': "input is missing",
    b'{"id": 7, "input": 1}': "id is 7",
    b'{"id": "", "input": 1}': "id is ''",
    b'{"id": null, "input": 1}': "id is None",
    b'{"id": "%s", "input": 1}' % (b"x" * 257): "1 to 256",
    b'{"id": "\\ud800", "input": 1}': "surrogate",
    b'{"id": "x", "input": 1, "options": {"fast": true}}': "options",
    b'{"id": "x", "input": 1, "options": null}': "options is null; give {}, or leave it out",
    b'{"id": "x", "input": 1, "inptu": 1}': "unknown 'inptu'",
    b'{"id": "x", "input": "\xff"}': "not UTF-8",
    b'{"id": "x", "input": ' + b"[" * 70 + b"]" * 70 + b"}": "nested deeper",
    b'{"id": "x", "input": ' + b"[" * 100_000 + b"]" * 100_000 + b"}": "nested deeper",
    b'{"id": "x", "input": ' + b"1" * 5000 + b"}": "a whole number of thousands of digits; write",
    b'{"id": "x", "input": "' + b"x" * limits.MAX_TASK_BYTES + b'"}': "longer than",
}


@pytest.mark.parametrize("line", BROKEN, ids=lambda line: line[:40].decode("latin-1"))
@pytest.mark.parametrize("end", [b"\n", b""])
def test_a_broken_line_is_named_by_its_number(line, end):
    tasks = read_tasks(io.BytesIO(GOOD + b"\n" + line + end), "tasks.jsonl")
    assert next(tasks).id == "ok"
    with pytest.raises(UsageError) as caught:
        next(tasks)
    assert str(caught.value).startswith("tasks.jsonl:3: ")
    assert BROKEN[line] in str(caught.value)


def test_the_longest_line_is_read():
    head, tail = b'{"id": "x", "input": "', b'"}\n'
    line = head + b"x" * (limits.MAX_TASK_BYTES - len(head) - len(tail)) + tail
    assert read(line)[0].id == "x"
    with pytest.raises(UsageError, match=r"tasks\.jsonl:1: longer than"):
        read(line.replace(b'"}', b'x"}'))


@pytest.mark.parametrize("far", [1, 2, 5000])
def test_an_id_given_twice_names_both_lines(far):
    lines = [b'{"id": "t%d", "input": 0}\n' % n for n in range(far)]
    with pytest.raises(UsageError) as caught:
        read(b"".join(lines) + b'{"id": "t0", "input": 1}\n')
    assert str(caught.value) == f"tasks.jsonl:{far + 1}: the id 't0' is that of line 1 too"


@given(st.binary(max_size=60))
def test_whatever_a_line_holds_it_is_read_or_refused_by_number(data):
    tasks = read_tasks(io.BytesIO(data), "tasks.jsonl")
    try:
        for task in tasks:
            assert 1 <= task.line <= data.count(b"\n") + 1
    except UsageError as error:
        assert str(error).startswith("tasks.jsonl:")  # noqa: PT017 - it may also be read


def test_decision_lines_have_the_documented_shape(panel_folder):
    code = (
        "def yes(task):\n    return 'yes'\n"
        "def no(task):\n    return 'no'\n"
        "def fail(task):\n    raise ValueError\n"
        "def split(task):\n    return task\n"
    )
    calls = {"a": "yes", "b": "yes", "c": "yes", "d": "no", "e": "fail"}
    experts = {i: f'call = "experts:{name}"\nconfidence = 1' for i, name in calls.items()}
    folder = panel_folder.declare(code, experts, quorum="0.6")
    folder.tasks('{"id": "t", "input": 1}').run()
    folder.declare(code, experts, quorum="0.61")
    folder.tasks('{"id": "t", "input": 1}', '{"id": "u", "input": 1}').run()
    lines = [json.loads(line) for line in folder.out_path.read_text().splitlines()]
    common = {
        "support": 0.6,
        "backing": 0.6,
        "dissenting": ["d"],
        "absent": [{"expert_id": "e", "reason": "crashed"}],
        "protocol": "weighted-quorum",
        "cost": 0,
    }
    assert lines == [
        {"id": "t", "status": "committed", "consensus": "yes", **common, "seq": 1},
        {"id": "u", "status": "refused", "consensus": None, **common, "seq": 3},
    ]
    assert " ".join(lines[0]) == (
        "id status consensus support backing dissenting absent protocol cost seq"
    )
    with folder.open_ledger() as ledger:
        raw = folder.out_path.read_bytes().splitlines(keepends=True)
        assert [decision_line(ledger.get(seq)) for seq in (1, 3)] == raw


def test_a_byte_order_mark_is_read_over_where_it_stands_first():
    mark = b"\xef\xbb\xbf"
    assert [(t.id, t.line) for t in read(mark + GOOD)] == [("ok", 1)]
    assert [(t.id, t.line) for t in read(mark + b"\n" + GOOD)] == [("ok", 2)]
    with pytest.raises(UsageError, match=r"tasks\.jsonl:2: "):
        read(b"\n" + mark + GOOD)


def test_a_full_temporary_folder_is_the_environments_fault():
    ids = _Ids()
    ids._db.execute("PRAGMA max_page_count=4")
    lines = (ids.first_line(f"t{number}", number) for number in range(10_000))
    with pytest.raises(OperationalError, match=r"temporary folder.* full.*SQLITE_TMPDIR"):
        sum(lines)
    ids.close()
