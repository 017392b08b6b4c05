"""``quorate tune`` and ``quorate outcome``: which quorum the past speaks for."""

import json
from fractions import Fraction
from xml.etree import ElementTree as ET

import pytest

from quorate.cli.tune_picture import picture
from quorate.hub.tuning import Row

# Ten tasks; three experts agree on right answers, two of them on wrong ones (tasks 7 to 9).
EXPERTS = """
def a(task):
    return task if task < 7 else -1

def b(task):
    return task if task < 7 else -1

def c(task):
    return task
"""


@pytest.fixture
def folder(tmp_path, monkeypatch, quorate):
    monkeypatch.chdir(tmp_path)
    quorate("keys", "new", "ledger.key")
    (tmp_path / "experts.py").write_text(EXPERTS)
    blocks = ['[ledger]\nurl = "sqlite:///ledger.db"\nsigner = "ledger.key"']
    blocks += ['[arbiter]\nprotocol = "weighted-quorum"\nquorum = 0.5']
    blocks += [
        f'[[experts]]\nid = "{i}"\nkind = "python"\ncall = "experts:{i}"\nconfidence = 1'
        for i in "abc"
    ]
    (tmp_path / "quorate.toml").write_text("\n\n".join(blocks))
    tasks = [json.dumps({"id": f"t{n}", "input": n}) for n in range(10)]
    (tmp_path / "tasks.jsonl").write_text("\n".join(tasks))
    known = [json.dumps({"id": f"t{n}", "answer": n}) for n in range(10)]
    (tmp_path / "outcomes.jsonl").write_text("\n".join(known) + "\n")
    assert quorate("run", "quorate.toml", "tasks.jsonl", "-o", "out.jsonl")[0] == 0
    return tmp_path


@pytest.mark.parametrize("target", ["quorate.toml", "ledger.db", "sqlite:///ledger.db"])
def test_the_least_quorum_without_a_wrong_answer_is_recommended(folder, quorate, target):
    code, out, err = quorate("tune", target, "--outcomes", "outcomes.jsonl", "--json")
    assert (code, err) == (0, "")
    found = json.loads(out)
    assert (found["verdicts"], found["known"]) == (10, 10)
    (best,) = found["recommended"].values()
    assert (best["right"], best["wrong"], best["refused"]) == (7, 0, 3)
    # Two of three agree on what is wrong, so every quorum above two thirds refuses it.
    assert best["quorum"] == "17/25"
    rows = {row["quorum"]: row for row in found["rows"]}
    assert (rows["1/2"]["right"], rows["1/2"]["wrong"]) == (7, 3)


def test_people_see_bars_and_the_least_quorum_marked(folder, quorate):
    code, out, _ = quorate("tune", "ledger.db", "--outcomes", "outcomes.jsonl")
    assert code == 0
    assert "10 verdicts; the right answer is known of 10" in out
    assert "xxx" in out
    (marked,) = [line for line in out.splitlines() if "<- least" in line]
    assert marked.startswith("0.68 to 1")
    assert "least quorum with none wrong: 0.68; it commits 70.0% of all verdicts" in out


def test_some_wrong_ones_may_be_accepted(folder, quorate):
    args = ("tune", "ledger.db", "--outcomes", "outcomes.jsonl", "--max-wrong", "3", "--json")
    (best,) = json.loads(quorate(*args)[1])["recommended"].values()
    assert (best["quorum"], best["wrong"]) == ("17/50", 3)


def test_without_outcomes_nothing_is_recommended(folder, quorate):
    code, out, _ = quorate("tune", "ledger.db")
    assert code == 0
    assert "no right answer is known, so no quorum can be recommended" in out
    found = json.loads(quorate("tune", "ledger.db", "--json")[1])
    assert list(found["recommended"].values()) == [None]


def test_outcomes_that_are_sealed_need_not_be_given(folder, quorate):
    code, out, _ = quorate("outcome", "outcomes.jsonl")
    assert (code, "10 outcomes: 10 sealed" in out) == (0, True)
    code, out, _ = quorate("outcome", "outcomes.jsonl", "--json")
    assert json.loads(out) == {"outcomes": 10, "sealed": 0, "earlier": 10}
    found = json.loads(quorate("tune", "ledger.db", "--json")[1])
    assert found["known"] == 10
    assert quorate("verify", "ledger.db", "--key", "ledger.pub", "--replay")[0] == 0
    code, out, _ = quorate("explain", "11")
    assert (code, "The right answer to that task is 0." in out) == (0, True)


def test_another_outcome_than_the_one_sealed_is_refused_by_its_line(folder, quorate):
    quorate("outcome", "outcomes.jsonl")
    (folder / "more.jsonl").write_text('{"id": "new", "answer": 1}\n{"id": "t3", "answer": 4}\n')
    code, _, err = quorate("outcome", "more.jsonl")
    assert code == 2
    assert "more.jsonl:2: the outcome of the task 't3' is sealed in entry 14" in err
    code, _, err = quorate("tune", "ledger.db", "--outcomes", "more.jsonl")
    assert (code, "sealed as" in err) == (2, True)


BROKEN = {
    '{"id": "t1"}': "answer is missing",
    '{"answer": 1}': "id is missing",
    '{"id": "t1", "answer": 1, "input": 2}': "unknown 'input'; an outcome has id and answer",
    "[]": "an outcome is an object",
    '{"id": 1, "answer": 1}': "id is 1",
    '{"id": "t1", "answer": NaN}': "NaN",
}


@pytest.mark.parametrize("line", BROKEN)
def test_a_broken_outcome_is_told_before_anything_is_sealed(folder, quorate, line):
    (folder / "more.jsonl").write_text('{"id": "t0", "answer": 0}\n' + line)
    for command in (("outcome", "more.jsonl"), ("tune", "ledger.db", "--outcomes", "more.jsonl")):
        code, _, err = quorate(*command)
        assert (code, "more.jsonl:2: " in err, BROKEN[line] in err) == (2, True, True), err
    assert "11 entries" in quorate("verify", "ledger.db", "--key", "ledger.pub")[1]


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        (("none.db",), 5, "there is no ledger"),
        (("ledger.db", "--outcomes", "none.jsonl"), 5, "none.jsonl cannot be read"),
        (("ledger.db", "--quorum", "0"), 2, "a quorum is 0"),
        (("ledger.db", "--protocol", "dice"), 2, "'dice' is no protocol"),
        (("ledger.db", "--max-wrong", "-1"), 2, "--max-wrong"),
    ],
)
def test_what_cannot_be_tuned_is_told(folder, quorate, arguments, code, told):
    found, _, err = quorate("tune", *arguments)
    assert (found, told in err) == (code, True), err


def test_only_the_quorums_asked_for_are_shown(folder, quorate):
    args = ("--quorum", "0.6", "--quorum", "0.9", "--outcomes", "outcomes.jsonl", "--json")
    found = json.loads(quorate("tune", "ledger.db", *args)[1])
    assert [row["quorum"] for row in found["rows"]] == ["3/5", "9/10"]


SVG = "{http://www.w3.org/2000/svg}"


def drawn_in(folder):
    return ET.fromstring((folder / "tune.svg").read_text())  # noqa: S314 - we wrote it


def test_the_table_is_saved_as_a_picture_that_says_what_it_shows(folder, quorate):
    arguments = ("tune", "ledger.db", "--outcomes", "outcomes.jsonl", "--svg", "tune.svg")
    code, out, _ = quorate(*arguments)
    assert code == 0
    assert out.splitlines()[-1] == "picture: tune.svg"
    root = drawn_in(folder)
    assert root.get("role") == "img"
    title, told = root.find(f"{SVG}title"), root.find(f"{SVG}desc")
    assert (title.get("id"), told.get("id")) == (
        root.get("aria-labelledby"),
        root.get("aria-describedby"),
    )
    assert title.text == "10 verdicts by quorum: as sealed"
    assert told.text == (
        "quorum 0.34: 7 right, 3 wrong, 0 open, 0 refused; "
        "quorum 0.68: 7 right, 0 wrong, 0 open, 3 refused; the least quorum recommended is 0.68"
    )
    heights = {}
    for group in root.iter(f"{SVG}g"):
        for bar in group.findall(f"{SVG}rect"):
            at = heights.setdefault(group.find(f"{SVG}title").text, [])
            at.append((bar.get("fill"), float(bar.get("height"))))
    assert heights["quorum 0.5: 7 right, 3 wrong, 0 open, 0 refused"] == [
        ("#1a7f37", 168),
        ("#cf222e", 72),
    ]
    before = (folder / "tune.svg").read_bytes()
    code, _, err = quorate(*arguments)
    assert (code, (folder / "tune.svg").read_bytes()) == (2, before)
    assert "is there already" in err


def test_a_picture_without_known_outcomes_shows_what_commits(folder, quorate):
    assert quorate("tune", "ledger.db", "--svg", "tune.svg", "--json")[0] == 0
    told = drawn_in(folder).find(f"{SVG}desc").text
    assert told.startswith("quorum 0.34: 10 committed; ")


def test_a_picture_is_of_one_protocol_and_its_texts_are_escaped(folder, quorate):
    both = ("--protocol", "weighted-quorum", "--protocol", "ranked-runoff")
    code, _, err = quorate("tune", "ledger.db", "--svg", "tune.svg", *both)
    assert code == 2
    assert "one protocol" in err
    assert not (folder / "tune.svg").exists()
    row = Row(Fraction(1, 2), '<&\x1b">', 1, 0, 0, 0, 1, Fraction(1))
    drawn = picture([row], row, known=1, verdicts=1)
    title = ET.fromstring(drawn).find(f"{SVG}title")  # noqa: S314 - we wrote it
    assert title.text.endswith('<&\\x1b">')


def test_the_table_is_whole_on_a_narrow_terminal(folder, quorate, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    _, out, _ = quorate("tune", "ledger.db", "--outcomes", "outcomes.jsonl")
    (head,) = [line for line in out.splitlines() if line.startswith("quorum")]
    assert head.split() == ["quorum", "right", "wrong", "refused", "open", "commits"]
    assert "…" not in out
    assert max(map(len, out.split("least quorum")[0].splitlines())) <= 80
