"""What a panel file can declare, and every mistake in it by its line."""

import asyncio
import importlib
import inspect
import json
import sys
from fractions import Fraction

import pytest
from panel_texts import EVERYTHING, GOOD

from quorate.core import limits
from quorate.hub import Panel, panel_experts
from quorate.hub.panel import PanelError
from quorate.hub.tables import KINDS, PythonTable

ANSWERS = """\
import json, os, sys
for line in sys.stdin:
    id = json.loads(line)["id"]
    print(json.dumps({"id": id, "payload": os.getcwd(), "confidence": 1}), flush=True)
"""
ONE = f"""\
[[experts]]
id = "program"
kind = "subprocess"
command = {json.dumps([sys.executable, "-S", "-c", ANSWERS])}
"""
PLAIN = [(EVERYTHING[EVERYTHING.index("on_under_quorum") : EVERYTHING.index("[[experts]]")], "")]
SYNTHESIS = GOOD.replace('"weighted-quorum"', '"synthesis"\nsynthesizer = "b"')


async def asked(expert):
    try:
        return await expert.function("x")
    finally:
        await expert.aclose()


@pytest.fixture
def write(panel_folder):
    def write(text, *replaced):
        for old, new in replaced:
            assert old in text
            text = text.replace(old, new, 1)
        panel_folder.path.write_text(text)
        return panel_folder.path

    return write


def problems(path):
    with pytest.raises(PanelError) as caught:
        Panel.declared(path)
    return [problem.removeprefix(f"{path}") for problem in caught.value.problems]


def test_a_panel_with_every_kind_and_key_is_read(write):
    table = Panel.declared(write(EVERYTHING)).table
    assert [e.kind for e in table.experts][:6] == list(KINDS)
    worker, program, web, model, agent, tool, elder = table.experts
    assert (worker.process, worker.processes, worker.capabilities) == (True, 2, ["spam", "english"])
    assert (worker.cost, worker.tokens, worker.max_tokens) == (Fraction(1, 2), 100, 1000)
    assert worker.failure_domain == {"host": "h1", "vendor": "acme"}
    assert (program.command, program.env) == (["./judge", "--quick"], {"MODE": "fast"})
    assert (program.cwd, tool.cwd, tool.env) == (".", None, {"MODE": "calm"})
    assert (web.retries, web.idempotent, web.bearer_env) == (3, True, "JUDGE_TOKEN")
    assert (model.confidence, model.temperature) == ("samples:5", Fraction(7, 10))
    assert (model.structured, model.output_limit) == ("json_object", "max_tokens")
    assert (model.normalize, model.retries, model.insecure_http) == ("number", 1, True)
    assert agent.confidence == Fraction(1, 2)
    assert tool.arguments == {"strict": True, "depth": 2.5, "text": "{input}"}
    assert (elder.role, elder.weight) == ("consultant", 3)
    assert table.escalation.quorum == Fraction(3, 5)


def test_a_panel_says_of_whom_it_is_made(write):
    panel = Panel.load(
        write(
            EVERYTHING[: EVERYTHING.index('[[experts]]\nid = "program"')]
            + EVERYTHING[EVERYTHING.index('[[experts]]\nid = "elder"') :]
        )
    )
    assert [e.id for e in panel.experts] == ["worker"]
    assert [e.id for e in panel.policy.consult] == ["elder"]
    assert (panel.policy.consult_weight, panel.policy.consult_quorum) == (2, Fraction(3, 5))
    assert panel.shadow
    assert panel.independence.domains["worker"]["vendor"] == "acme"
    assert panel.synthesizer is None


def test_a_panel_that_declares_nothing_of_it_has_no_policy_and_no_domains(write):
    panel = Panel.load(write(GOOD))
    assert panel.policy.on_under_quorum == "raise"
    assert panel.independence is None
    assert not panel.shadow


OF_OTHER_PROTOCOLS = [
    ("options", '["x"]', "ranked-runoff"),
    ("early", '"fast"', "first-to-quorum"),
    ("synthesizer", '"a"', "synthesis"),
    ("ratify", "false", "synthesis"),
]


@pytest.mark.parametrize(("name", "value", "protocol"), OF_OTHER_PROTOCOLS)
def test_an_option_of_another_protocol_is_told_by_its_protocol(write, name, value, protocol):
    path = write(GOOD, ("quorum = 0.66", f"quorum = 0.66\n{name} = {value}"))
    told = f"is of the protocol {protocol}, and the one declared is weighted-quorum"
    assert f":8: arbiter.{name}: {told}" in problems(path)


RESERVE = ('id = "b"', 'id = "b"\nrole = "reserve"')
CONSULTANT = ('id = "b"', 'id = "b"\nrole = "consultant"')
WIDEN = ("quorum = 0.66", 'on_under_quorum = "widen"')
FALLBACK = ("quorum = 0.66", 'on_under_quorum = "fallback"')
ESCALATE = ("quorum = 0.66", 'on_under_quorum = "escalate"')
CONSULT = ("[run]", '[escalation]\nto = "peer-consult"\nexperts = ["b"]\nweight = 1\n\n[run]')

TOGETHER = {
    "reserve without widen": ([RESERVE], ":23: experts[1].role: a reserve is never asked"),
    "widen without reserve": ([WIDEN], ":7: arbiter.on_under_quorum: is 'widen', and no expert"),
    "fallback unnamed": ([FALLBACK], ":5: arbiter.fallback: is missing; name the member"),
    "fallback of no use": (
        [("quorum = 0.66", 'fallback = "a"')],
        ":7: arbiter.fallback: is of no use without",
    ),
    "fallback unknown": (
        [("quorum = 0.66", 'on_under_quorum = "fallback"\nfallback = "aa"')],
        ":8: arbiter.fallback: 'aa' is the id of no expert; did you mean 'a'?",
    ),
    "fallback no member": (
        [("quorum = 0.66", 'on_under_quorum = "fallback"\nfallback = "b"'), RESERVE],
        ":8: arbiter.fallback: 'b' is a reserve; name a member",
    ),
    "escalate to nobody": (
        [ESCALATE],
        ":7: arbiter.on_under_quorum: is 'escalate', and there is no [escalation]",
    ),
    "escalation of no use": (
        [CONSULT, CONSULTANT],
        ":9: escalation: is of no use without [arbiter] on_under_quorum",
    ),
    "a member consulted": (
        [ESCALATE, CONSULT],
        ":11: escalation.experts[0]: 'b' is a member; give it role = \"consultant\"",
    ),
    "consultant unknown": (
        [ESCALATE, CONSULT, CONSULTANT, ('experts = ["b"]', 'experts = ["bb"]')],
        ":11: escalation.experts[0]: 'bb' is the id of no expert; did you mean 'b'?",
    ),
    "consultant unnamed": (
        [ESCALATE, CONSULT, CONSULTANT, ('experts = ["b"]', 'experts = ["a"]')],
        ":28: experts[1].role: 'b' is never asked; name it in [escalation] experts",
    ),
    "consultant twice": (
        [ESCALATE, CONSULT, CONSULTANT, ('experts = ["b"]', 'experts = ["b", "b"]')],
        ":11: escalation.experts[1]: 'b' stands there twice",
    ),
    "named as the consultation": (
        [ESCALATE, CONSULT, ('id = "a"', 'id = "peer-consult"')],
        ":18: experts[0].id: 'peer-consult' is what the consultation is called",
    ),
    "nobody a member": ([RESERVE, ('id = "a"', 'id = "a"\nrole = "reserve"')], "nobody is a memb"),
    "members without weight": (
        [WIDEN, RESERVE, ("weight = 0.1", "weight = 0")],
        ":16: experts[0].weight: all weights are 0",
    ),
    "a synthesizer of another protocol": (
        [('id = "b"', 'id = "b"\nrole = "synthesizer"')],
        ":23: experts[1].role: is of the protocol synthesis, and the one declared is weighted",
    ),
    "processes without process": (
        [('"experts:no"', '"experts:no"\nprocesses = 2')],
        ":25: experts[1].processes: is of no use without process = true",
    ),
    "a capability twice": (
        [('"experts:no"', '"experts:no"\ncapabilities = ["x", "x"]')],
        ":25: experts[1].capabilities: 'x' stands there twice",
    ),
}


@pytest.mark.parametrize("what", TOGETHER)
def test_what_does_not_go_together_is_told_with_its_line(write, what):
    replaced, told = TOGETHER[what]
    found = problems(write(GOOD, *replaced))
    assert any(told in problem for problem in found), found


def test_synthesis_needs_a_synthesizer_that_is_there(write):
    assert problems(write(SYNTHESIS, ('synthesizer = "b"\n', ""))) == [
        ":5: arbiter.synthesizer: is missing; name the expert that merges the proposals"
    ]
    found = problems(write(SYNTHESIS, ('synthesizer = "b"', 'synthesizer = "bb"')))
    assert found == [":7: arbiter.synthesizer: 'bb' is the id of no expert; did you mean 'b'?"]
    role = ('id = "a"', 'id = "a"\nrole = "synthesizer"')
    assert problems(write(SYNTHESIS, role)) == [
        ":15: experts[0].role: [arbiter] names 'b' as the synthesizer"
    ]
    assert Panel.declared(write(SYNTHESIS)).table.arbiter.synthesizer == "b"


KEYS = [
    ('id = "web"\n', 'id = "web"\ncall = "x:y"\n', "call: unknown key of the kind http; of pyth"),
    ('id = "web"\n', 'id = "web"\nulr = "x"\n', "ulr: unknown key; did you mean 'url'?"),
    ('kind = "a2a"\n', "", ".kind: is missing"),
    ('kind = "a2a"', 'kind = "A2A"', ".kind: is 'A2A': should be one of python, subprocess"),
    ('kind = "chat"', 'kind = "chta"', "; did you mean 'chat'?"),
    ('"https://agent.example"', '"agent.example"', "url: is no address; give http:// or https"),
    ('"https://agent.example"', '"https://me:pw@agent.example"', "and no name or password"),
    ('"AGENT_TOKEN"', '"sk-123"', "bearer_env: is no name of an environment variable"),
    ("{X-Team = ", "{Authorization = ", "headers: is giving away Authorization, a secret"),
    ("{MODE = ", "{API_TOKEN = ", "env: is giving away API_TOKEN, a secret"),
    ('"samples:5"', '"sampled"', "confidence: is 'sampled': of a chat it is 'self', 'logprobs'"),
    ('"samples:5"', "1.5", "confidence: is 1.5: a confidence is from 0 to 1"),
    ("retries = 3", f"retries = {limits.MAX_RETRIES + 1}", "retries: is 11: "),
    ('command = ["./server"]\n', "", "experts[5].url: give either url or command"),
    ('command = ["./server"]', 'command = ["s"]\nurl = "http://x"', "give either url or command"),
    ('command = ["./server"]', 'command = ["s"]\nbearer_env = "X"', "is of no use without url"),
    ('tool = "judge"', 'tool = "judge"\nreads = "peyload"', "; did you mean 'payload'?"),
    ("depth = 2.5", "depth = 2020-01-01", "arguments: is {'strict': True"),
    ('role = "consultant"', 'role = "consultnat"', "; did you mean 'consultant'?"),
    ('normalize = "text"', 'normalize = "txet"', "; did you mean 'text'?"),
    ('mode = "shadow"', 'mode = "shdow"', "; did you mean 'shadow'?"),
    ('mode = "shadow"', 'mod = "shadow"', "arbiter.mod: unknown key; did you mean 'mode'?"),
    ("weight = 2\n", "", "escalation.weight: is missing"),
    ("weight = 2\n", "weight = 0\n", "escalation.weight: is 0: "),
    ("quorum = 0.6\n", "quorum = 1.1\n", "escalation.quorum: is 1.1: a quorum is more than 0"),
    ("quorum = 0.6\n", "qourum = 0.6\n", "escalation.qourum: unknown key; did you mean 'quorum'?"),
    ("process = true", 'process = "yes"', "process: is 'yes': "),
    ("cost = 0.5", "cost = -0.5", "cost: is -0.5: "),
    ("tokens = 100", "tokens = 1.5", "tokens: is 1.5: "),
    ('["./judge", "--quick"]', "[]", "command: is []: "),
    ('["./judge", "--quick"]', '[""]', "command: is ['']: no program"),
    ('["./judge", "--quick"]', '["a\\u0000"]', "no file name has a NUL character"),
    ('["./server"]', '[""]', "command: is ['']: no program"),
    ('["./server"]', '["a\\u0000"]', "no file name has a NUL character"),
    ('{MODE = "calm"}', '{API_TOKEN = "x"}', "env: is giving away API_TOKEN, a secret"),
    ('cwd = "."', 'cwd = ""', "experts[1].cwd: is '': "),
    ('cwd = "."', 'cwd = "a\\u0000"', "no file name has a NUL character"),
    ('cwd = "."', 'pwd = "."', "pwd: unknown key; did you mean 'cwd'?"),
    ('command = ["./server"]', 'url = "http://x"', "experts[5].env: is of no use without command"),
    ('normalize = "number"', 'normalize = "numbers"', "; did you mean 'number'?"),
    ('"samples:5"', '"self"', ":67: experts[3].normalize: is of no use without confidence = "),
    ('output_limit = "max_tokens"', 'output_limit = "tokens"', "; did you mean 'max_tokens'?"),
    ('structured = "json_object"', 'structured = "json"', "one of json_schema, json_object, pr"),
    ('api_key_env = "MODEL_KEY"\n', "", "insecure_http: is of no use without api_key_env"),
    ('bearer_env = "AGENT_TOKEN"\n', "", "insecure_http: is of no use without bearer_env"),
]  # fmt: skip


@pytest.mark.parametrize(("old", "new", "told"), KEYS, ids=[key[1][:30] for key in KEYS])
def test_a_mistake_in_a_key_is_told(write, old, new, told):
    found = problems(write(EVERYTHING, (old, new)))
    assert any(told in problem for problem in found), found


def test_a_bare_payload_needs_a_declared_confidence(write):
    (found,) = problems(write(EVERYTHING, ("confidence = 0.5\nreads", "reads")))
    assert ".reads: is 'payload', which comes without a confidence" in found


@pytest.mark.parametrize("secret", ["sk-live-51H", "https://me:hunter2@x.example", "hunter2"])
def test_what_may_be_a_secret_is_not_repeated(write, secret):
    """Errors end up in logs."""
    for old in ('"AGENT_TOKEN"', '"https://agent.example"', '{X-Team = "red"}', '{MODE = "fast"}'):
        new = f'"{secret}"'
        if old.startswith("{"):
            name = "Cookie" if "Team" in old else "API_KEY"
            new = f'{{{name} = "{secret}"}}'
        (problem,) = problems(write(EVERYTHING, (old, new)))
        assert secret not in problem


def test_bounds_of_lists_are_held(write):
    choices = ", ".join(f'"c{n}"' for n in range(limits.MAX_CHOICES))
    old = '["spam", "ham"]'
    assert Panel.declared(write(EVERYTHING, (old, f"[{choices}]")))
    (found,) = problems(write(EVERYTHING, (old, f'[{choices}, "one more"]')))
    assert "experts[3].choices" in found


def test_a_process_that_is_none_is_a_plain_function():
    assert PythonTable.model_validate({"id": "a", "kind": "python", "call": "m:f"}).process is False


def test_every_kind_is_made_as_it_is_declared(write):
    pytest.importorskip("openai")
    pytest.importorskip("a2a")
    pytest.importorskip("mcp")
    pytest.importorskip("httpx2")
    path = write(EVERYTHING)
    program = path.parent / "judge"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    panel = Panel.load(path)
    kinds = {expert.id: expert.kind for expert in panel.every.values()}
    assert kinds == {
        "worker": "python", "program": "subprocess", "web": "http", "model": "chat",
        "agent": "a2a", "tool": "mcp", "elder": "python",
    }  # fmt: skip
    assert panel.every["agent"].confidence == Fraction(1, 2)
    assert panel.every["model"].confidence is None
    declared = panel.every["worker"]
    assert (declared.cost, declared.tokens, declared.max_tokens) == (Fraction(1, 2), 100, 1000)


def test_a_number_as_the_confidence_of_a_chat_is_declared(write):
    pytest.importorskip("openai")
    start = EVERYTHING.index('[[experts]]\nid = "worker"')
    model = EVERYTHING[EVERYTHING.index('[[experts]]\nid = "model"') :]
    model = model[: model.index('[[experts]]\nid = "agent"')]
    elder = EVERYTHING[EVERYTHING.index('[[experts]]\nid = "elder"') :]
    text = (
        EVERYTHING[:start]
        + model.replace('"samples:5"', "0.8").replace('normalize = "number"\n', "")
        + elder
    )
    assert Panel.load(write(text)).every["model"].confidence == Fraction(4, 5)


def test_an_expert_that_cannot_be_made_is_told_with_its_line(write):
    """Here the adapter itself finds the mistake."""
    pytest.importorskip("openai")
    path = write(EVERYTHING, ("Is this spam? {input}", "Is this spam?"))
    with pytest.raises(PanelError) as caught:
        Panel.load(path)
    (problem,) = [p for p in caught.value.problems if "template" in p]
    assert problem.startswith(f"{path}:50: experts[3]: the template has no {{input}} in it")


# -- every keyword of an adapter

ADAPTERS = {
    "python": ("workers", "WorkerExpert"),
    "subprocess": ("subprocess", "SubprocessExpert"),
    "http": ("http", "HTTPExpert"),
    "chat": ("chat", "ChatExpert"),
    "a2a": ("a2a", "A2AExpert"),
    "mcp": ("mcp", "MCPExpert"),
}
BESIDES = {
    ("http", "max_bytes"): "the bound on answers is the same for all panels",
    ("python", "path"): "it is the panel file's folder",
}
"""What no panel declares, and why."""


def test_there_is_an_adapter_for_each_kind():
    assert list(ADAPTERS) == list(KINDS)


@pytest.mark.parametrize("kind", ADAPTERS)
def test_every_keyword_of_an_adapter_is_a_key_of_its_table_and_is_handed_on(
    write, monkeypatch, kind
):
    module, name = ADAPTERS[kind]
    module = importlib.import_module(f"quorate.hub.experts.{module}")
    keywords = inspect.signature(getattr(module, name)).parameters.keys()
    besides = {keyword for of, keyword in BESIDES if of == kind}
    assert keywords - KINDS[kind].model_fields.keys() == besides
    given = {}

    def noting(*positional, **keywords):
        given.update(zip(signature, positional, strict=False), **keywords)

    signature = tuple(keywords)
    monkeypatch.setattr(module, name, noting)
    path = write(EVERYTHING)
    (declared,) = [e for e in Panel.declared(path).table.experts if e.kind == kind][:1]
    judge = path.parent / "judge"
    judge.touch()
    judge.chmod(0o755)
    panel_experts._function(declared, path.parent, 1)
    assert given.keys() == keywords - (besides - {"path"})
    said = {key: value for key, value in given.items() if key not in ("path", "cwd")}
    assert said == {key: getattr(declared, key) for key in said}


@pytest.mark.parametrize("declared", [None, ".", "part/of it"])
def test_a_program_runs_in_the_folder_declared(write, panel_folder, declared):
    (panel_folder.folder / "part" / "of it").mkdir(parents=True)
    line = "" if declared is None else f'cwd = "{declared}"\n'
    only = EVERYTHING[: EVERYTHING.index("[[experts]]")] + ONE + line
    expert = Panel.load(write(only, *PLAIN)).every["program"]
    found = asyncio.run(asked(expert))
    assert found.payload == str((panel_folder.folder / (declared or ".")).resolve())


def test_a_folder_that_is_not_there_is_told_with_its_line(write):
    only = EVERYTHING[: EVERYTHING.index("[[experts]]")] + ONE + 'cwd = "nowhere"\n'
    path = write(only, *PLAIN)
    Panel.declared(path)
    with pytest.raises(PanelError) as caught:
        Panel.load(path)
    told = "experts[0].cwd: is 'nowhere', which is no folder beside the panel file"
    line = path.read_text().splitlines().index('cwd = "nowhere"') + 1
    assert caught.value.problems == (f"{path}:{line}: {told}",)
