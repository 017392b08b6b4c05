"""Pictures of a council: what stands in them, and that they say no more than there is."""

import sys
import xml.etree.ElementTree as ET
from itertools import combinations

import pytest
import typer
from council_tools import KEY, Clock, council, passed

pytest.importorskip("matplotlib", reason="needs quorate[plots]")

from quorate.cli.council_plot import plot
from quorate.core.errors import OperationalError, UsageError
from quorate.council.insight import Agreement, agreements
from quorate.council.plots import MAX_ROWS, agreement_picture, timeline_picture
from quorate.council.timeline import Line, Mark, lines
from quorate.ledger import Ledger

PNG = b"\x89PNG\r\n\x1a\n"


def words(svg):
    """All that is written in an SVG picture, line by line."""
    root = ET.fromstring(svg)  # noqa: S314 - our own picture
    return [e.text for e in root.iter("{http://www.w3.org/2000/svg}text") if e.text]


@pytest.fixture
def clock():
    return Clock(1_790_000_000_000_000)


@pytest.fixture
def lived(clock, ledger):
    """A council to which everything has happened that can."""
    c = council(clock=clock, ledger=ledger)

    def put(action, **options):
        clock.wait(10)
        return c.propose("a", action, "x", **options)

    def execute(p, outcome):
        clock.wait(5)
        intent = c.begin_execution(p, "hand")
        clock.wait(5)
        c.finish_execution(p, intent.token, outcome)

    p1 = put("quarantine")
    clock.wait(1)
    c.vote(p1, "e", "reject")
    passed(c, p1, "abc")
    execute(p1, "executed")
    p2 = put("terminate", expiry_seconds=30)
    clock.wait(1)
    c.vote(p2, "a", "reject")
    c.vote(p2, "b", "reject")
    c.vote(p2, "c", "approve")
    c.tally(p2)
    p3 = put("restrict", expiry_seconds=5)
    c.vote(p3, "d", "abstain")
    clock.wait(6)
    c.tally(p3)
    c.cancel(put("escalate"), "a", "never mind")
    p5 = put("quarantine")
    passed(c, p5, "abc")
    execute(p5, "unknown")
    clock.wait(1)
    c.resolve(p5, "failed", reason="looked", by="a")
    p6 = put("quarantine")
    passed(c, p6, "abc")
    clock.wait(1)
    c.begin_execution(p6, "hand")
    put("release")
    p8 = put("quarantine", expiry_seconds=2)
    c.vote(p8, "b", "approve")
    c.cancel(p8, "c")
    clock.wait(20)
    return c


def test_lines_tell_of_each_proposal_what_came_when(lived, clock):
    drawn = {line.id: line for line in lines(lived.audit_log, clock())}
    assert {id_: line.outcome for id_, line in drawn.items()} == {
        "p1": "approved 3 : 1, executed",
        "p2": "rejected 1 : 2",
        "p3": "no quorum 0 : 0, at expiry",
        "p4": "called off",
        "p5": "approved 3 : 0, execution failed",
        "p6": "approved 3 : 0, execution begun, no result",
        "p7": "open",
        "p8": "time is up, not tallied",
    }
    start = drawn["p1"].opened
    assert drawn["p1"] == Line(
        "p1", "quarantine", "x", start, None, start + 1_000_000, start + 11_000_000, False,
        "approved 3 : 1, executed",
        (
            Mark(start + 1_000_000, "reject", "e"),
            *(Mark(start + 1_000_000, "approve", voter) for voter in "abc"),
            Mark(start + 1_000_000, "approved"),
            Mark(start + 6_000_000, "intent"),
            Mark(start + 11_000_000, "executed"),
        ),
    )  # fmt: skip
    assert [mark.what for mark in drawn["p4"].marks] == ["cancelled"]
    assert [mark.what for mark in drawn["p5"].marks][-3:] == ["intent", "unknown", "failed"]
    assert [mark.what for mark in drawn["p8"].marks] == ["approve", "call"]
    assert [line.open for line in drawn.values()] == [False] * 6 + [True] * 2
    assert drawn["p8"].ended == clock()
    assert drawn["p3"].expires == drawn["p3"].opened + 5_000_000
    # Told without the time, what is open is drawn up to the last event.
    assert lines(lived.audit_log)[-1].ended == lived.audit_log[-1].at


def test_a_timeline_has_a_row_an_outcome_and_a_legend_for_all_there_is(lived, clock):
    told = words(timeline_picture(lived.audit_log, now=clock()))
    for line in lines(lived.audit_log, clock()):
        assert f"{line.id} {line.action} x" in told
        assert line.outcome in told
    for name in ("opened", "approves", "rejects", "abstains", "calls it off", "decided: approved",
                 "decided: rejected", "decided: no quorum", "called off by enough", "executed",
                 "execution begun", "execution failed", "result unknown", "expiry"):  # fmt: skip
        assert name in told, name
    assert "time (UTC), to scale" in told


def test_a_legend_names_nothing_that_is_not_drawn(clock):
    c = council(clock=clock)
    passed(c, c.propose("a", "quarantine", "x"), "abc")
    pictured = timeline_picture(c.audit_log)
    told = words(pictured)
    assert {"approves", "decided: approved"} <= set(told)
    assert not {"rejects", "expiry", "executed", "execution begun"} & set(told)


def test_of_many_proposals_the_latest_are_drawn_and_it_says_so(clock):
    c = council(clock=clock)
    for _ in range(MAX_ROWS + 2):
        clock.wait(1)
        c.cancel(c.propose("a", "restrict", "x"), "a")
    pictured = timeline_picture(c.audit_log)
    told = words(pictured)
    assert "p2 restrict x" not in told
    assert f"p{MAX_ROWS + 2} restrict x" in told
    assert any(f"The latest {MAX_ROWS} of {MAX_ROWS + 2} proposals." in line for line in told)


def test_the_heat_map_has_each_rate_with_the_votes_it_rests_on(lived):
    voters = lived.voter_ids
    found = agreements(voters, lived.list_proposals())
    told = words(agreement_picture(voters, found))
    assert {"How often two voters said the same", *voters} <= set(told)
    shared = [pair for pair in found.values() if pair.shared]
    assert sum("of " in text and text[3:].isdigit() for text in told) == 2 * len(shared)
    assert told.count("none") == 2 * (len(found) - len(shared))
    assert any("no proof" in text for text in told)
    assert "0%" in told
    assert "100%" in told


def test_a_square_has_the_colour_of_its_rate_on_a_scale_from_nought_to_one():
    """A lone rate of one half lies in the middle, not at the end of a scale fitted to it."""
    half = agreement_picture("ab", {("a", "b"): Agreement(5, 10)}, kind="png")
    whole = agreement_picture("ab", {("a", "b"): Agreement(10, 10)}, kind="png")
    assert half[:8] == whole[:8] == PNG
    assert pixel(half) == pytest.approx((0.49, 0.49, 0.47), abs=0.03)
    assert pixel(whole) == pytest.approx((1.0, 0.92, 0.22), abs=0.03)


def pixel(png):
    """The commonest colour that is neither white nor a grey of the frame."""
    import io
    from collections import Counter

    from matplotlib import image

    values = image.imread(io.BytesIO(png))[:, :, :3]
    # The middle of the upper right square, left of the scale.
    rows = values[int(values.shape[0] * 0.35) : int(values.shape[0] * 0.6)]
    colours = Counter(map(tuple, rows[:, int(values.shape[1] * 0.6) : int(values.shape[1] * 0.75)]
                          .reshape(-1, 3).round(3).tolist()))  # fmt: skip
    plain = {c: n for c, n in colours.items() if max(c) < 0.995 or min(c) < 0.8}
    frame = tuple(round(0xE4 / 255, 3) for _ in range(3))
    return max((c for c in plain if c != frame), key=plain.get)


def test_few_shared_votes_are_hatched_and_none_is_white():
    found = {
        ("a", "b"): Agreement(2, 2),
        ("a", "c"): Agreement(3, 3),
        ("b", "c"): Agreement(0, 0),
    }
    hatched = agreement_picture("abc", found)
    plain = agreement_picture("abc", found, min_shared=2)
    assert b"pattern" in hatched
    assert b"pattern" not in plain
    assert words(plain).count("none") == 2


@pytest.mark.parametrize("n", [2, 10, 11, 15, 64])
def test_councils_of_every_size_are_drawn(n):
    voters = [f"v{k:02}" for k in range(n)]
    found = {pair: Agreement(k % 9, 8 + k % 2) for k, pair in enumerate(combinations(voters, 2))}
    told = words(agreement_picture(voters, found))
    assert set(voters) <= set(told)
    assert any(text.startswith("of ") for text in told) is (n <= 10)


def test_the_same_council_gives_the_same_picture(lived, clock):
    log, now = lived.audit_log, clock()
    assert timeline_picture(log, now=now) == timeline_picture(log, now=now)
    found = {("a", "b"): Agreement(5, 10)}
    for kind in ("svg", "png"):
        one, two = (agreement_picture("ab", found, kind=kind) for _ in range(2))
        assert one == two


def test_names_are_text_and_nothing_else(clock):
    """A target is anybody's text: no formula, no markup, no control characters."""
    c = council(["a$x_1$", "b<b>", "c0123456789"], clock=clock)
    p = c.propose("b<b>", "quarantine", "$\\frac{1}{0}$ & <i>\x1b[2J")
    for voter in c.voter_ids:
        c.vote(p, voter, "approve")
    pictured = timeline_picture(c.audit_log)
    told = words(pictured)
    assert any("$\\frac{1}{0}$" in text for text in told)
    drawn = agreement_picture(c.voter_ids, agreements(c.voter_ids, c.list_proposals()))
    # The last looks like an id of a picture's own parts.
    assert {"a$x_1$", "b<b>", "c0123456789"} <= set(words(drawn))
    assert b"\x1b" not in drawn + pictured


def test_what_cannot_be_drawn_is_refused(clock):
    c = council(clock=clock)
    with pytest.raises(UsageError, match="nothing was proposed"):
        timeline_picture(c.audit_log)
    with pytest.raises(UsageError, match="two or more"):
        agreement_picture("a", {})
    c.propose("a", "quarantine", "x")
    with pytest.raises(UsageError, match="one of svg, png"):
        timeline_picture(c.audit_log, kind="gif")
    with pytest.raises(UsageError, match="one of svg, png"):
        agreement_picture("ab", {("a", "b"): Agreement(0, 0)}, kind="")


def test_without_matplotlib_it_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(OperationalError, match=r'pip install "quorate\[plots\]"$'):
        agreement_picture("ab", {("a", "b"): Agreement(0, 0)})


# -- the command


@pytest.fixture
def drawn(tmp_path, clock, capsys):
    """Draw from a ledger on disk, as the command does; gives what it printed."""
    url = f"sqlite:///{tmp_path / 'c.db'}"
    with Ledger.open(url, signer=KEY) as ledger:
        c = council(ledger=ledger, clock=clock)
        passed(c, c.propose("a", "quarantine", "x"), "abc")
    app = typer.Typer()
    app.command()(plot)

    def call(*arguments):
        app([*map(str, arguments), "--ledger", url], standalone_mode=False)
        return capsys.readouterr().out

    return call


@pytest.mark.parametrize("what", ["agreement", "timeline"])
def test_the_command_draws_what_its_file_is_named(drawn, tmp_path, what):
    assert f"{what} of 1 proposal: " in drawn(what, tmp_path / "p.svg")
    assert words((tmp_path / "p.svg").read_bytes())
    assert '"proposals": 1' in drawn(what, tmp_path / "p.PNG", "--json")
    assert (tmp_path / "p.PNG").read_bytes()[:8] == PNG


def test_the_command_replaces_nothing_and_names_what_it_cannot_do(drawn, tmp_path):
    (tmp_path / "p.svg").write_text("mine")
    with pytest.raises(UsageError, match="nothing is replaced"):
        drawn("timeline", tmp_path / "p.svg")
    assert (tmp_path / "p.svg").read_text() == "mine"
    with pytest.raises(UsageError, match=r"end in \.svg or \.png"):
        drawn("timeline", tmp_path / "p.pdf")
    with pytest.raises(OperationalError, match="cannot be written"):
        drawn("timeline", tmp_path / "nowhere" / "p.svg")
