"""Verdicts of every protocol read back: forms that do not add up are refused, kindly."""

import pytest
from rosters import intake_of
from test_sealed_protocols import CASES

from quorate.arbitration import Arbiter, Decision, Tally
from quorate.arbitration.rules import REASON_OF, REASONS
from quorate.core.canonical import digest
from quorate.core.errors import UsageError


def read(name, change, trace=None):
    kind, body = CASES[name]
    form = {**body["verdict"], **change}
    form["trace"] = {**form["trace"], **(trace or {})}
    return (Decision if kind == "decision" else Tally).from_dict(form)


@pytest.mark.parametrize(
    ("name", "trace"),
    [
        ("weighted", {"normalize": 7}),
        ("weighted", {"rounds": []}),
        ("runoff", {"rounds": [{"tally": {}, "eliminated": None}]}),
        ("runoff", {"rounds": [{"tally": [], "eliminated": None, "exhausted": "0"}]}),
        ("runoff", {"rounds": [{"tally": {"x": "1"}, "eliminated": None, "exhausted": "0"}]}),
        ("runoff", {"rounds": [{"tally": {}, "eliminated": "0" * 64, "exhausted": "0"}]}),
        ("runoff", {"rounds": [{"tally": {"0" * 64: "1"}, "eliminated": None, "exhausted": "0"}]}),
        ("runoff", {"condorcet": "0" * 64}),
        ("runoff", {"condorcet": 1}),
        ("runoff", {"options": []}),
        ("runoff", {"options": [{"digest": digest("x"), "answer": "x" * 300}]}),
        ("runoff", {"exhausted": [1]}),
        ("early", {"early": "soon"}),
        ("early", {"pending": [{}]}),
        ("early", {"pending_weight": 1}),
        ("early", {"merge": None}),
        ("synthesis", {"merge": None}),
        ("synthesis", {"merge": {}}),
        ("synthesis", {"merge": {"answer": "x"}}),
        ("synthesis", {"ratify": 1}),
        ("synthesis", {"synthesizer": ""}),
        ("fallback", {"fallback": None}),
        ("fallback", {"pending": None}),
    ],
)
def test_traces_that_do_not_add_up_are_refused(name, trace):
    assert read(name, {})
    with pytest.raises(UsageError):
        read(name, {}, trace)


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("synthesis, no merge", {"reason": "no_fallback"}),
        ("early, open", {"reason": "no_merge"}),
        ("no fallback", {"parent": None}),
        ("no fallback", {"parent": "x"}),
        ("no fallback", {"leader": "0" * 64}),
        ("widened", {"parent": 1}),
        ("weighted", {"independence": None}),
        ("weighted", {"independence": {}}),
        ("synthesis", {"consensus": 1, "digest": digest(1)}),
    ],
)
def test_verdicts_that_do_not_add_up_are_refused(name, change):
    assert read(name, {})
    with pytest.raises(UsageError):
        read(name, change)


def test_every_reason_of_one_protocol_is_refused_from_another():
    for reason in REASONS:
        if REASON_OF.get(reason, "weighted-quorum") != "weighted-quorum":
            form = Arbiter().fold(intake_of([("a", "x", 1, 1), ("b", "y", 1, 1)])).to_dict()
            with pytest.raises(UsageError, match="refuses nothing for"):
                Tally.from_dict({**form, "reason": reason})


def test_unknown_options_are_told_with_those_there_are():
    for protocol, has in {
        "weighted-quorum": "quorum, normalize",
        "ranked-runoff": "quorum, normalize, options",
        "first-to-quorum": "quorum, normalize, early",
        "synthesis": "quorum, normalize, synthesizer, merge, ratify",
    }.items():
        with pytest.raises(UsageError, match=f"{protocol} has no option speed; it has: {has}$"):
            Arbiter(protocol=protocol, speed=1)
    assert repr(Arbiter(protocol="first-to-quorum", normalize="text")) == (
        "Arbiter(protocol='first-to-quorum', quorum=0.66, normalize='text', early='certain')"
    )


def test_no_verdict_s_words_can_be_rewritten_by_an_expert():
    sly = "\x1b[2J\u202e\n"
    for protocol in ("weighted-quorum", "ranked-runoff", "first-to-quorum", "synthesis"):
        outcome = Arbiter(protocol=protocol, quorum=0.6).fold(
            intake_of([(f"a{sly}", f"x{sly}", 1, 1), (f"b{sly}", sly, 1, 3)])
        )
        assert outcome.describe().isprintable()
