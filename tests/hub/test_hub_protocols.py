"""Every protocol and policy, declared in a panel file, through a run of real files and a ledger."""

import json

import pytest

from quorate.cli.app import run as cli_run
from quorate.ledger import Receipt, read_verifier

CODE = """
import asyncio
from quorate.hub import Answer

def yes(task):
    return "yes"

def no(task):
    return "no"

def loud_yes(task):
    return "  YES "

def echo(task):
    return task

def fail(task):
    raise ValueError("no idea")

def dear(task):
    return Answer("yes", 0.9, 5)

async def for_ever(task):
    await asyncio.sleep(3600)

def abc(task):
    return Answer("a", 0.5, ranking=["a", "b", "c"])

def bac(task):
    return Answer("b", 0.5, ranking=["b", "a", "c"])

def cba(task):
    return Answer("c", 0.5, ranking=["c", "b", "a"])

def voter(task):
    if isinstance(task, dict) and "ratify" in task:
        return task["ratify"] == "yes and no"
    return "yes" if task else "no"

def stubborn(task):
    return False if isinstance(task, dict) and "ratify" in task else "no"

def merge(task):
    return " and ".join(sorted({p["payload"] for p in task["proposals"]}, reverse=True))
"""


def expert(id_, call, *more, sure=True):
    lines = [f'id = "{id_}"', 'kind = "python"', f'call = "experts:{call}"']
    lines += ["confidence = 0.9"] if sure else []
    return "\n".join(["[[experts]]", *lines, *more])


def panel(folder, arbiter, *blocks):
    (folder.folder / "experts.py").write_text(CODE)
    ledger = '[ledger]\nurl = "sqlite:///ledger.db"\nsigner = "ledger.key"'
    folder.path.write_text("\n\n".join([ledger, f"[arbiter]\n{arbiter}", *blocks]) + "\n")
    return folder


def sealed(folder):
    """The bodies of all entries but the panel's, after replaying them."""
    with folder.open_ledger() as ledger:
        report = ledger.verify(replay=True)
        assert report.size == len(ledger)
        first, *rest = list(ledger)
    assert first.kind == "panel"
    return [receipt.payload for receipt in rest]


def run(folder, *inputs, strict=False):
    """Run by the command; give the exit code, the decision lines and the sealed bodies."""
    lines = [json.dumps({"id": f"t{n}", "input": i}) for n, i in enumerate(inputs or ("x",))]
    folder.tasks(*lines)
    files = [str(folder.path), str(folder.tasks_path), "-o", str(folder.out_path)]
    code = cli_run(["run", *files, *(["--strict"] if strict else [])])
    decided = [json.loads(line) for line in folder.out_path.read_text().splitlines()]
    return code, decided, sealed(folder)


def test_weighted_quorum_with_a_normaliser(panel_folder):
    arbiter = 'protocol = "weighted-quorum"\nnormalize = "text"'
    experts = (expert("a", "yes"), expert("b", "loud_yes"), expert("c", "yes"))
    code, [line], [body] = run(panel(panel_folder, arbiter, *experts))
    assert (code, line["status"], line["support"]) == (0, "committed", 1)
    assert body["parameters"] == {"quorum": "33/50", "normalize": "text"}


def test_ranked_runoff(panel_folder, capsys):
    arbiter = 'protocol = "ranked-runoff"\nquorum = 0.6\noptions = ["a", "b", "c"]'
    experts = [expert("p", "abc", sure=False), expert("q", "bac", sure=False)]
    experts += [expert("r", "cba", sure=False), expert("s", "bac", sure=False)]
    _, [line], [body] = run(panel(panel_folder, arbiter, *experts))
    assert (line["status"], line["consensus"], line["protocol"]) == (
        "committed", "b", "ranked-runoff",
    )  # fmt: skip
    assert body["parameters"]["options"] == ["a", "b", "c"]
    capsys.readouterr()
    assert cli_run(["explain", "1", "--ledger", str(panel_folder.ledger_path)]) == 0
    told = capsys.readouterr().out
    assert "Votes by round" in told
    assert "out in round 1" in told


def test_first_to_quorum_ends_the_asking(panel_folder):
    """The slow one would take an hour; it is cancelled, and is not absent."""
    arbiter = 'protocol = "first-to-quorum"\nquorum = 0.6\nearly = "certain"'
    experts = [expert(f"e{n}", "yes") for n in range(4)] + [expert("slow", "for_ever")]
    _, lines, bodies = run(panel(panel_folder, arbiter, *experts), "x", "y")
    assert [(line["status"], line["absent"]) for line in lines] == [("committed", [])] * 2
    assert [[p["expert_id"] for p in body["pending"]] for body in bodies] == [["slow"]] * 2


SYNTHESIS = 'protocol = "synthesis"\nquorum = 0.6\nsynthesizer = "m"\n'
MERGER = expert("m", "merge", 'role = "synthesizer"')


def test_synthesis_is_ratified_by_those_it_was_made_of(panel_folder, capsys):
    experts = [expert("a", "voter"), expert("b", "voter"), expert("c", "stubborn"), MERGER]
    _, [line], [body] = run(panel(panel_folder, SYNTHESIS, *experts), True)
    assert (line["status"], line["consensus"]) == ("committed", "yes and no")
    assert (body["merge"]["ratified"], body["merge"]["declined"]) == (["a", "b"], ["c"])
    assert sorted(body["roster"]) == ["a", "b", "c"]
    assert body["verdict"]["by_quorum"] is True
    capsys.readouterr()
    assert cli_run(["explain", "1", "--ledger", str(panel_folder.ledger_path)]) == 0
    assert "ratified by a, b, declined by c" in capsys.readouterr().out


def test_synthesis_that_nobody_ratifies_says_so(panel_folder):
    experts = [expert("a", "voter"), expert("b", "stubborn"), MERGER]
    _, [line], [body] = run(panel(panel_folder, SYNTHESIS + "ratify = false", *experts), True)
    assert (line["status"], body["verdict"]["by_quorum"]) == ("committed", False)


def test_a_synthesizer_may_be_a_member(panel_folder):
    code = 'protocol = "synthesis"\nquorum = 0.5\nsynthesizer = "a"'
    experts = [expert("a", "no"), expert("b", "no")]
    code, [line], [body] = run(panel(panel_folder, code, *experts))
    assert (code, line["status"]) == (0, "refused")
    assert sorted(body["roster"]) == ["a", "b"]


SPLIT = [expert("a", "yes"), expert("b", "no")]
WEIGHTED = 'protocol = "weighted-quorum"\nquorum = 0.6\n'


def test_widen_asks_the_reserve_only_after_a_refusal(panel_folder):
    experts = [expert("a", "yes"), expert("b", "voter"), expert("r", "yes", 'role = "reserve"')]
    folder = panel(panel_folder, WEIGHTED + 'on_under_quorum = "widen"', *experts)
    code, lines, (whole, split) = run(folder, True, False, strict=True)
    assert (code, [line["status"] for line in lines]) == (0, ["committed"] * 2)
    assert (sorted(whole["roster"]), "parent" in whole) == (["a", "b"], False)
    assert sorted(split["roster"]) == ["a", "b", "r"]
    assert split["parent"]["verdict"]["status"] == "refused"


def test_escalate_folds_the_consultation_in(panel_folder, capsys):
    arbiter = WEIGHTED + 'on_under_quorum = "escalate"'
    consult = '[escalation]\nto = "peer-consult"\nexperts = ["x", "y"]\nweight = 1.5'
    others = [expert(i, "yes", 'role = "consultant"') for i in ("x", "y")]
    folder = panel(panel_folder, arbiter, consult, *SPLIT, *others)
    _, [line], [body] = run(folder)
    assert (line["status"], line["consensus"]) == ("committed", "yes")
    assert body["consultation"]["route_weight"] == "3/2"
    assert sorted(body["roster"]) == ["a", "b", "peer-consult"]
    capsys.readouterr()
    assert cli_run(["explain", "1", "--ledger", str(folder.ledger_path)]) == 0
    told = capsys.readouterr().out
    assert "Consulted as peer-consult, of route weight 1.5" in told
    assert "Before that (weighted-quorum/1): Refused" in told


def test_fallback_is_marked_as_no_quorum(panel_folder):
    arbiter = WEIGHTED + 'on_under_quorum = "fallback"\nfallback = "b"'
    _, [line], [body] = run(panel(panel_folder, arbiter, *SPLIT))
    assert (line["status"], line["consensus"]) == ("committed", "no")
    assert (body["rule"], body["verdict"]["by_quorum"]) == ("fallback/1", False)


def test_raise_refuses(panel_folder):
    code, [line], [body] = run(panel(panel_folder, WEIGHTED, *SPLIT), strict=True)
    assert (code, line["status"], line["consensus"]) == (3, "refused", None)
    assert "parent" not in body


def test_a_shadow_blocks_nothing_and_its_lines_say_so(panel_folder):
    folder = panel(panel_folder, WEIGHTED + 'mode = "shadow"', *SPLIT)
    code, [line], _ = run(folder, strict=True)
    assert (code, line["status"], line["shadow"]) == (0, "refused", True)
    # What a shadow decided stays a shadow's, by whatever panel the run goes on.
    panel(panel_folder, WEIGHTED, *SPLIT)
    code, lines, _ = run(folder, "x", "z", strict=True)
    assert (code, [line.get("shadow") for line in lines]) == (3, [True, None])


def test_costs_are_added_up_on_the_line(panel_folder):
    experts = [expert("a", "dear", sure=False), expert("b", "dear", sure=False)]
    _, [line], _ = run(panel(panel_folder, WEIGHTED, *experts))
    assert line["cost"] == 10


def test_domains_are_sealed_and_explained(panel_folder, capsys):
    domain = 'failure_domain = {host = "h1"}'
    experts = [expert(i, "yes", domain) for i in "abcd"]
    _, _, [body] = run(panel(panel_folder, WEIGHTED, *experts))
    assert body["verdict"]["independence"]["faults"] == 0
    capsys.readouterr()
    assert cli_run(["explain", "1", "--ledger", str(panel_folder.ledger_path)]) == 0
    told = capsys.readouterr().out
    assert "Failing together by host, the worst" in told
    assert "Effective voters of 4: not known" in told


POLICIES = {
    "raise": (WEIGHTED, []),
    "widen": (WEIGHTED + 'on_under_quorum = "widen"', [expert("r", "yes", 'role = "reserve"')]),
    "fallback": (WEIGHTED + 'on_under_quorum = "fallback"\nfallback = "a"', []),
    "escalate": (
        WEIGHTED + 'on_under_quorum = "escalate"',
        [
            '[escalation]\nto = "peer-consult"\nexperts = ["x"]\nweight = 1',
            expert("x", "yes", 'role = "consultant"'),
        ],
    ),
    "shadow": (WEIGHTED + 'mode = "shadow"', []),
    "synthesis": (SYNTHESIS, [MERGER]),
    "first": ('protocol = "first-to-quorum"', []),
    "runoff": ('protocol = "ranked-runoff"', []),
}


@pytest.mark.parametrize("how", POLICIES)
@pytest.mark.parametrize("kept", [0, 1.5, 3])
def test_a_run_goes_on_whatever_the_panel_declares(panel_folder, how, kept):
    """Lines of all policies are written again from the ledger, byte for byte."""
    arbiter, more = POLICIES[how]
    folder = panel(panel_folder, arbiter, *SPLIT, *more)
    _, lines, bodies = run(folder, "x", "y", "z")
    whole = folder.out_path.read_bytes()
    parts = whole.splitlines(keepends=True)
    torn = parts[int(kept)][: len(parts[int(kept)]) // 2] if kept % 1 else b""
    folder.out_path.write_bytes(b"".join(parts[: int(kept)]) + torn)
    _, again, after = run(folder, "x", "y", "z")
    assert folder.out_path.read_bytes() == whole
    assert (again, after) == (lines, bodies)


@pytest.mark.parametrize("how", POLICIES)
def test_a_verdict_that_was_altered_does_not_replay(panel_folder, how):
    """Signed anew by the same key, so only computing it again can show it."""
    arbiter, more = POLICIES[how]
    folder = panel(panel_folder, arbiter, *SPLIT, *more)
    _, _, [body] = run(folder)
    with folder.open_ledger() as ledger:
        kind = ledger.get(1).kind
        declared = ledger.get(0).payload
    changed = dict(body["roster"], a="7")
    folder.ledger_path.unlink()
    with folder.open_ledger() as ledger:
        ledger.append("panel", declared)
        ledger.append(kind, body)
        ledger.verify(replay=True)
        ledger.append(kind, body | {"roster": changed, "task": {**body["task"], "id": "t9"}})
    key = str(folder.folder / "ledger.pub")
    assert read_verifier(key)
    arguments = ["verify", str(folder.ledger_path), "--key", key, "--replay"]
    assert cli_run(arguments) == 4


def test_a_panel_entry_says_all_of_the_policy(panel_folder):
    arbiter, more = POLICIES["escalate"]
    folder = panel(panel_folder, arbiter, *SPLIT, *more)
    run(folder)
    with folder.open_ledger() as ledger:
        receipt: Receipt = ledger.get(0)
    assert receipt.payload["on_under_quorum"] == "escalate"
    assert receipt.payload["escalation"] == {
        "to": "peer-consult", "experts": {"x": "1"}, "weight": "1", "quorum": "3/5",
    }  # fmt: skip
    assert sorted(receipt.payload["roster"]) == ["a", "b"]
