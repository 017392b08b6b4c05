"""``quorate run --dry-run``: what it would take, and nothing asked or written."""

import json

import pytest

PANEL = """\
[ledger]
url = "sqlite:///ledger.db"
signer = "keys/ledger.key"

[arbiter]
protocol = "weighted-quorum"
quorum = 0.6
{arbiter}

[run]
concurrency = 4

[[experts]]
id = "a"
kind = "python"
call = "touching:a"
timeout = 5
cost = 0.25
tokens = 100
max_cost = 1
max_tokens = 500
{a}

[[experts]]
id = "b"
kind = "python"
call = "touching:b"
timeout = 3
cost = 0.5
max_cost = 2
{b}
"""


@pytest.fixture
def folder(tmp_path, monkeypatch, quorate):
    """A folder with a panel whose experts leave a mark where they are imported."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "touching.py").write_text("open('touched', 'w').close()\n")
    lines = [json.dumps({"id": f"t{n}", "input": n}) for n in range(10)]
    (tmp_path / "tasks.jsonl").write_text("\n".join(lines))
    (tmp_path / "quorate.toml").write_text(PANEL.format(arbiter="", a="", b=""))
    return tmp_path


@pytest.fixture
def foretold(quorate):
    def call(*more):
        code, out, err = quorate("run", "quorate.toml", "tasks.jsonl", "--dry-run", "--json", *more)
        assert (code, err) == (0, "")
        return json.loads(out)

    return call


def declare(folder, arbiter="", a="", b=""):
    (folder / "quorate.toml").write_text(PANEL.format(arbiter=arbiter, a=a, b=b))


def figures(found, id_):
    (expert,) = [e for e in found["experts"] if e["id"] == id_]
    return {n: (expert[n]["expected"], expert[n]["greatest"]) for n in ("calls", "cost", "tokens")}


def test_nothing_is_asked_and_nothing_is_written(folder, foretold):
    before = sorted(folder.iterdir())
    found = foretold()
    assert sorted(folder.iterdir()) == before
    assert (found["tasks"], found["decided"]) == (10, 0)


def test_members_are_asked_once_about_each_task(folder, foretold):
    found = foretold()
    assert figures(found, "a") == {"calls": (10, 10), "cost": (2.5, 10), "tokens": (1000, 5000)}
    assert figures(found, "b") == {"calls": (10, 10), "cost": (5, 20), "tokens": (None, None)}
    assert found["cost"] == {"expected": 7.5, "greatest": 30, "source": "declared"}
    assert found["tokens"] == {"expected": None, "greatest": None, "source": "unknown"}
    # Three turns of four tasks, and the slowest member takes five seconds.
    assert found["longest_seconds"] == 15


def test_a_reserve_is_asked_at_most_after_each_refusal(folder, foretold):
    declare(folder, 'on_under_quorum = "widen"', b='role = "reserve"')
    found = foretold()
    assert figures(found, "b")["calls"] == (0, 10)
    assert figures(found, "b")["cost"] == (0, 20)
    assert found["longest_seconds"] == 3 * (5 + 3)


def test_a_synthesis_takes_the_merger_and_asks_members_again(folder, foretold):
    text = PANEL.format(arbiter='synthesizer = "b"', a="", b='role = "synthesizer"')
    (folder / "quorate.toml").write_text(text.replace("weighted-quorum", "synthesis"))
    found = foretold()
    assert (figures(found, "a")["calls"], figures(found, "b")["calls"]) == ((20, 20), (10, 10))
    assert found["longest_seconds"] == 3 * (5 + 3 + 5)
    (folder / "quorate.toml").write_text(
        text.replace("weighted-quorum", "synthesis").replace("quorum =", "ratify = false\nquorum =")
    )
    assert figures(foretold(), "a")["calls"] == (10, 10)


def test_consultants_are_asked_at_most_after_each_refusal(folder, foretold):
    consult = 'on_under_quorum = "escalate"\n[escalation]\nto = "peer-consult"\nweight = 1\n'
    declare(folder, consult + 'experts = ["b"]', b='role = "consultant"')
    assert figures(foretold(), "b")["calls"] == (0, 10)


EXPERTS = """
from quorate.hub import Answer

def a(task):
    return Answer(task, 1, 3)

def b(task):
    return Answer(task if task % 2 else "other", 1, 2)
"""


def test_what_is_not_declared_comes_from_the_ledger(folder, foretold, quorate):
    quorate("keys", "new", "keys/ledger.key")
    (folder / "touching.py").write_text(EXPERTS)
    text = (folder / "quorate.toml").read_text()
    for line in ("cost = 0.25\n", "cost = 0.5\n", "max_cost = 1\n", "max_cost = 2\n"):
        text = text.replace(line, "")
    (folder / "quorate.toml").write_text(text)
    found = foretold()
    assert (found["cost"]["expected"], found["cost"]["source"]) == (None, "unknown")
    lines = (folder / "tasks.jsonl").read_text().splitlines()
    (folder / "some.jsonl").write_text("\n".join(lines[:4]))
    assert quorate("run", "quorate.toml", "some.jsonl", "-o", "some.out")[0] == 0
    found = foretold()
    assert (found["tasks"], found["decided"], found["past_verdicts"]) == (10, 4, 4)
    assert found["cost"] == {"expected": 6 * (3 + 2), "greatest": None, "source": "history"}
    # Of four tasks, the two even ones were refused.
    assert found["refused_share"] == 0.5
    code, out, _ = quorate("run", "quorate.toml", "tasks.jsonl", "--dry-run")
    assert code == 0
    assert "10 tasks (4 of them decided already); to decide 6, nothing has been asked yet" in out
    assert "* the mean of what 4 verdicts in the ledger show" in out


def test_people_are_told_what_is_not_known(folder, quorate):
    code, out, _ = quorate("run", "quorate.toml", "tasks.jsonl", "--dry-run")
    assert code == 0
    assert "? tokens not known of b: declare tokens in the panel" in out
    assert "longest: 15 s" in out


def test_a_broken_panel_or_line_is_told_all_the_same(folder, quorate):
    (folder / "tasks.jsonl").write_text("{}\n")
    code, _, err = quorate("run", "quorate.toml", "tasks.jsonl", "--dry-run")
    assert (code, "tasks.jsonl:1: id is missing" in err) == (2, True)
    declare(folder, "qourum = 1")
    code, _, err = quorate("run", "quorate.toml", "tasks.jsonl", "--dry-run")
    assert (code, "did you mean 'quorum'?" in err) == (2, True)


def test_without_dry_run_an_output_is_asked_for(folder, quorate):
    code, _, err = quorate("run", "quorate.toml", "tasks.jsonl")
    assert (code, "name an output with -o" in err) == (2, True)


CHAT = """
[[experts]]
id = "model"
kind = "chat"
model = "small"
base_url = "http://127.0.0.1:1/v1"
confidence = {confidence}
cost = 2
retries = {retries}
role = "reserve"
"""


def test_samples_are_counted_and_repeated_attempts_are_said_not_to_be(folder, quorate, foretold):
    declare(
        folder,
        arbiter='on_under_quorum = "widen"',
        b=CHAT.format(confidence='"samples:5"', retries=3),
    )
    found = foretold()
    (model,) = [e for e in found["experts"] if e["id"] == "model"]
    assert (model["samples"], model["retries"]) == (5, 3)
    assert (model["calls"]["greatest"], model["completions"]["greatest"]) == (10, 50)
    # A call is declared to cost what all its samples do together.
    assert model["cost"]["expected"] == 0
    assert found["calls"]["greatest"] == 30
    assert found["completions"]["greatest"] == 70
    _, out, _ = quorate("run", "quorate.toml", "tasks.jsonl", "--dry-run")
    assert "model is sampled 5 times in each call: 0 completions, at most 50; its cost" in out
    assert "attempts that adapters repeat (up to 3 times) come on top" in out


def test_nothing_is_said_of_samples_and_attempts_where_there_are_none(folder, quorate):
    declare(
        folder,
        arbiter='on_under_quorum = "widen"',
        b=CHAT.format(confidence='"self"', retries=0),
    )
    _, out, _ = quorate("run", "quorate.toml", "tasks.jsonl", "--dry-run")
    assert "sampled" not in out
    assert "repeat" not in out
