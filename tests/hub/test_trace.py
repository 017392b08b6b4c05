"""A trace says what happened when, in JSON and in two drawings."""

import json
import math
import os
from fractions import Fraction
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.cells import cell_len

from quorate.core import limits
from quorate.core.canonical import canonical, parse
from quorate.core.errors import UsageError
from quorate.hub.trace import STATUSES, Recorder, Span, Trace, checked_span
from quorate.hub.waterfall import LEAST_WIDTH, MOST_WIDTH

GOLDEN = Path(__file__).parent / "golden"
EVIL = 'evil\x1b[31m\u202e</text><script>alert("1")</script>&\x00'

TRACE = Trace(
    "task-7",
    "2026-11-21T13:00:00Z",
    (
        Span("route", "phase", 0, 0.0021, "done"),
        Span("gate", "phase", 0.0021, 0.0034, "done"),
        Span("run", "phase", 0.0034, 2.5, "done"),
        Span("ada", "expert", 0.0034, 0.4121, "answered", Fraction(1, 3), 120),
        Span("bob", "expert", 0.0034, 2.0034, "timeout", detail="no answer within 2 s; cancelled"),
        Span("chi", "expert", 0.0035, 0.9, "crashed", detail="ValueError: no < idea"),
        Span("dee", "expert", 0.0035, 1.1, "void", 2, 7),
        Span("eve", "expert", 0.0035, 1.25, "over_budget", 9000, 1),
        Span("fay", "expert", 0.0036, 2.5, "cancelled"),
        Span("gus", "expert", 0.0036, 2.5, "still_running"),
        Span(EVIL, "expert", 0.0036, 0.0036, "answered"),
        Span("漢字の長い長い長い長い長い長い名前", "expert", 0.0036, 0.01, "answered"),
        Span("arbitrate", "phase", 2.5, 2.5004, "done", detail="refused"),
        Span("seal", "phase", 2.5004, 2.5009, "crashed", detail="StoreError"),
    ),
)


def golden(name, found):
    """Compare with the file; QUORATE_GOLDEN=1 writes it anew."""
    path = GOLDEN / name
    if os.environ.get("QUORATE_GOLDEN"):
        path.write_text(found, "utf-8")
    assert found == path.read_text("utf-8")


def test_the_waterfall_stays_as_it_is():
    golden("waterfall.txt", TRACE.waterfall() + "\n\n" + TRACE.waterfall(LEAST_WIDTH) + "\n")


def test_the_picture_stays_as_it_is():
    golden("waterfall.svg", TRACE.svg() + "\n")


def test_a_trace_without_spans_can_be_drawn():
    empty = Trace("t", None, ())
    assert empty.waterfall() == "trace t  0.0 ms  0 spans"
    assert ET.fromstring(empty.svg()) is not None  # noqa: S314
    assert "It has no spans." in empty.svg()


def test_spans_that_took_no_time_have_bars():
    trace = Trace("t", None, (Span("a", "phase", 0, 0, "done"),))
    line = trace.waterfall().splitlines()[1]
    assert line.split() == ["a", "=", "0.0", "ms", "done"]
    assert 'width="1.00"' in trace.svg()


@pytest.mark.parametrize("width", [LEAST_WIDTH - 1, MOST_WIDTH + 1, 0, -1])
def test_a_width_has_bounds(width):
    with pytest.raises(UsageError, match=f"width is {width}"):
        TRACE.waterfall(width)


texts = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=80)
times = st.floats(0, 100) | st.sampled_from([0, limits.MAX_TRACE_SECONDS])


@st.composite
def spans(draw):
    started, ended = sorted((draw(times), draw(times)))
    return Span(
        draw(texts),
        draw(st.sampled_from(["phase", "expert"]) | texts),
        started,
        ended,
        draw(st.sampled_from(STATUSES)),
        draw(st.fractions(0, 9, max_denominator=999) | st.integers(0, limits.MAX_SAFE_INTEGER)),
        draw(st.integers(0, limits.MAX_SAFE_INTEGER)),
        draw(st.just("") | texts),
    )


traces = st.builds(
    Trace,
    texts,
    st.sampled_from([None, "2026-01-31T12:00:00+01:00"]),
    st.lists(spans(), max_size=8),
)


@settings(max_examples=40)
@given(traces)
def test_a_trace_comes_back_from_json(trace):
    assert Trace.from_dict(parse(canonical(trace.to_dict()))) == trace
    assert Trace.from_dict(json.loads(json.dumps(trace.to_dict()))) == trace


@settings(max_examples=40)
@given(traces, st.sampled_from([LEAST_WIDTH, 61, 80, 133, MOST_WIDTH]))
def test_every_waterfall_is_aligned_and_safe(trace, width):
    lines = trace.waterfall(width).splitlines()
    assert len(lines) == 1 + len(trace.spans)
    assert all(line.isprintable() for line in lines)
    assert all(cell_len(line) <= width for line in lines)
    for line, span in zip(lines[1:], trace.spans, strict=True):
        assert line.endswith(span.status)
        # All that stands to the right of the bar has one edge.
        assert cell_len(line) == width - max(len(s.status) for s in trace.spans) + len(span.status)


@settings(max_examples=40)
@given(traces)
def test_every_picture_is_well_formed_and_holds_nothing_live(trace):
    root = ET.fromstring(trace.svg())  # noqa: S314
    tags = {element.tag.partition("}")[2] for element in root.iter()}
    assert tags <= {"svg", "title", "desc", "rect", "text", "g"}
    assert root.get("role") == "img"
    named = {element.get("id"): element for element in root.iter() if element.get("id")}
    assert named[root.get("aria-labelledby")].text
    assert named[root.get("aria-describedby")].text
    written = {name.partition("}")[2] or name for element in root.iter() for name in element.attrib}
    assert not [name for name in written if name.startswith("on") or name in {"href", "style"}]
    for box in root.iter("{http://www.w3.org/2000/svg}rect"):
        assert float(box.get("x", 0)) + float(box.get("width")) <= 960


GOOD = {
    "name": "a",
    "kind": "expert",
    "started": 0.5,
    "ended": 1,
    "status": "answered",
    "cost": "1/3",
    "tokens": 2,
    "detail": "",
}


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"name": ""}, "name of a span"),
        ({"name": "x" * (limits.MAX_ID_LENGTH + 1)}, "name of a span"),
        ({"name": "\ud800"}, "name of a span"),
        ({"kind": 3}, "kind of a span"),
        ({"started": -0.1}, "start of 'a'"),
        ({"started": True}, "start of 'a'"),
        ({"started": "0"}, "start of 'a'"),
        ({"started": 2}, "ends at 1.0 s, before its start at 2.0 s"),
        ({"ended": math.nan}, "end of 'a'"),
        ({"ended": math.inf}, "end of 'a'"),
        ({"ended": limits.MAX_TRACE_SECONDS + 1}, "end of 'a'"),
        ({"status": "fine"}, "status of 'a' is 'fine'"),
        ({"status": ["answered"]}, "status of 'a'"),
        ({"cost": "2/6"}, "lowest terms"),
        ({"cost": "-1"}, "cost of 'a'"),
        ({"cost": str(2**53)}, "cost of 'a'"),
        ({"cost": 1}, "cost of a span"),
        ({"tokens": -1}, "tokens of 'a'"),
        ({"tokens": 2**53}, "tokens of 'a'"),
        ({"tokens": True}, "tokens of a span"),
        ({"tokens": 1.0}, "tokens of a span"),
        ({"detail": "x" * (limits.MAX_DETAIL_LENGTH + 1)}, "detail of a span"),
        ({"more": 1}, "unknown keys: 'more'"),
    ],
)
def test_a_span_out_of_range_is_refused(change, told):
    with pytest.raises(UsageError, match=told):
        Span.from_dict(GOOD | change)


@pytest.mark.parametrize("key", sorted(GOOD))
def test_a_span_needs_every_key(key):
    with pytest.raises(UsageError, match=f"lacks {key}"):
        Span.from_dict({name: value for name, value in GOOD.items() if name != key})


def test_a_span_at_its_bounds_is_taken():
    most = limits.MAX_SAFE_INTEGER
    Span(
        "x" * limits.MAX_ID_LENGTH, "k", 0, limits.MAX_TRACE_SECONDS, "done", most, most,
        "x" * limits.MAX_DETAIL_LENGTH,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"id": ""}, "id of a trace"),
        ({"started_at": "yesterday"}, "started_at of a trace is 'yesterday'"),
        ({"started_at": "2026-01-31T12:00:00"}, "an offset or Z"),
        ({"started_at": 3}, "started_at of a trace"),
        ({"spans": {}}, "spans"),
        ({"spans": [1]}, "the span is a int"),
        ({"more": 1}, "unknown keys"),
    ],
)
def test_a_trace_out_of_range_is_refused(change, told):
    with pytest.raises(UsageError, match=told):
        Trace.from_dict({"id": "t", "started_at": None, "spans": [GOOD]} | change)
    with pytest.raises(UsageError, match="a span is a int"):
        Trace("t", None, (1,))


def test_a_trace_holds_so_many_spans_and_no_more():
    span = Span.from_dict(GOOD)
    full = Trace("t", None, [span] * limits.MAX_SPANS)
    assert len(full.spans) == limits.MAX_SPANS
    with pytest.raises(UsageError, match=f"{limits.MAX_SPANS + 1} spans; at most"):
        Trace("t", None, [span] * (limits.MAX_SPANS + 1))
    # Before they are read: these are none.
    with pytest.raises(UsageError, match=f"{limits.MAX_SPANS + 1} spans; at most"):
        Trace.from_dict({"id": "t", "started_at": None, "spans": [0] * (limits.MAX_SPANS + 1)})


def ticking(*moments):
    return iter(moments).__next__


def test_a_recorder_puts_a_phase_before_what_was_added_meanwhile():
    recorder = Recorder("t", clock=ticking(100, 100, 101, 101, 103, 103.5))
    with recorder.phase("route"):
        pass
    with recorder.phase("run"):
        recorder.add([Span("ada", "expert", 0.25, 0.5, "answered", 3)], 101.25)
        assert [span.name for span in recorder.trace().spans] == ["route", "ada"]
    assert recorder.trace() == Trace(
        "t",
        None,
        (
            Span("route", "phase", 0, 1, "done"),
            Span("run", "phase", 1, 3, "done"),
            Span("ada", "expert", 1.5, 1.75, "answered", 3),
        ),
    )


@pytest.mark.parametrize(
    ("raised", "status", "detail"),
    [(ValueError("secret"), "crashed", "ValueError"), (KeyboardInterrupt(), "cancelled", "")],
)
def test_a_phase_that_fails_is_recorded_and_its_error_goes_on(raised, status, detail):
    recorder = Recorder("t", clock=ticking(0, 0, 1))

    def fail():
        with recorder.phase("seal"):
            raise raised

    with pytest.raises(type(raised)):
        fail()
    assert recorder.trace().spans == (Span("seal", "phase", 0, 1, status, detail=detail),)


def test_a_recorder_is_bounded():
    recorder = Recorder("t", clock=lambda: 0.0)
    span = Span.from_dict(GOOD)
    recorder.add([span] * (limits.MAX_SPANS - 1), 0)
    with recorder.phase("last"):
        pass
    told = f"{limits.MAX_SPANS + 1} spans"
    with pytest.raises(UsageError, match=told), recorder.phase("one more"):
        pass
    with pytest.raises(UsageError, match=told):
        recorder.add([span], 0)
    assert len(recorder.trace().spans) == limits.MAX_SPANS


@settings(max_examples=40)
@given(
    st.floats(-1, 2 * limits.MAX_TRACE_SECONDS),
    st.floats(-1, 2 * limits.MAX_TRACE_SECONDS),
    st.sampled_from(STATUSES),
)
def test_a_span_of_checked_values_is_the_span_of_these_values(started, ended, status):
    values = ("a", "expert", started, ended, status, Fraction(1, 3), 7, "why")

    def made(how):
        try:
            return how(*values)
        except UsageError as error:
            return str(error)

    assert made(checked_span) == made(Span)


def test_spans_that_are_added_cannot_end_beyond_the_bound():
    recorder = Recorder("t", clock=lambda: 0.0)
    late = Span("a", "expert", 0, limits.MAX_TRACE_SECONDS, "done")
    recorder.add([late], 0.0)
    with pytest.raises(UsageError, match="the end of 'a'"):
        recorder.add([late], 1.0)
