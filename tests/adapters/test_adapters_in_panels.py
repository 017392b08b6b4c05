"""A run of a panel file whose experts are reached over HTTP, a model's API, A2A and MCP."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from needed import need

need("openai")
need("uvicorn")
need("a2a.server.routes")
need("mcp.server")
from a2a.helpers import new_data_message  # noqa: E402
from scripted_chat import Script, answer, application, completion  # noqa: E402
from test_adapter_a2a import AGENT, serve_agent  # noqa: E402

from quorate.cli.app import run as cli_run  # noqa: E402
from quorate.core.identity import Ed25519Signer  # noqa: E402
from quorate.ledger import Ledger, write_key  # noqa: E402

HERE = Path(__file__).parent
TASKS = 3
PANEL = """
[ledger]
url = "sqlite:///ledger.db"
signer = "ledger.key"

[arbiter]
protocol = "weighted-quorum"
quorum = 0.6

[run]
concurrency = 1

[[experts]]
id = "web"
kind = "http"
url = "http://127.0.0.1:{port}/"
bearer_env = "EXPERT_TOKEN"
retries = 0
timeout = 20

[[experts]]
id = "model"
kind = "chat"
model = "scripted"
base_url = "{chat}/v1"
api_key_env = "EXPERT_TOKEN"
template = "Is it so? {{input}}"
confidence = "samples:3"
normalize = "text"
temperature = 0.5
structured = "json_object"
output_limit = "max_tokens"
price_out = 2
retries = 0
timeout = 20

[[experts]]
id = "agent"
kind = "a2a"
url = "{agent}"
timeout = 20

[[experts]]
id = "tool"
kind = "mcp"
command = {command}
tool = "{tool}"
cwd = "tools"
env = {{MARK = "m"}}
timeout = 40
"""


@pytest.fixture
def http_peer(token):
    started = []

    def start(answers=0):
        command = [sys.executable, str(HERE / "http_peer.py"), str(answers or -1)]
        running = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        started.append(running)
        return int(running.stdout.readline())

    yield start
    for running in started:
        running.stdin.close()
        running.wait(30)
        running.stdout.close()


@pytest.fixture
def peers(serve):
    """A chat server and an agent that answer yes, always; gives the addresses and the script."""
    script = Script()
    samples = [answer("yes"), answer(" YES "), answer("no")]
    script.play(*[completion(*samples, tokens=30)] * TASKS)

    async def reply(_, queue):
        await queue.enqueue_event(
            new_data_message({"payload": "yes", "confidence": 0.75, "tokens": 40})
        )

    AGENT.__init__()
    AGENT.reply = reply
    return serve(application(script)), serve_agent(serve), script


def decide(folder, port, chat, agent, tool="judge"):
    """Run the panel by the command; give the decision lines and the sealed bodies."""
    (folder / "tools").mkdir()
    write_key(folder / "ledger.key", Ed25519Signer.generate())
    command = json.dumps([sys.executable, str(HERE / "mcp_peer.py")])
    declared = PANEL.format(port=port, chat=chat, agent=agent, command=command, tool=tool)
    (folder / "quorate.toml").write_text(declared)
    lines = [json.dumps({"id": f"t{n}", "input": {"n": n}}) for n in range(TASKS)]
    (folder / "tasks.jsonl").write_text("\n".join(lines) + "\n")
    files = [str(folder / name) for name in ("quorate.toml", "tasks.jsonl")]
    assert cli_run(["run", *files, "-o", str(folder / "out.jsonl")]) == 0
    key = str(folder / "ledger.pub")
    assert cli_run(["verify", str(folder / "ledger.db"), "--key", key, "--replay"]) == 0
    decided = [json.loads(line) for line in (folder / "out.jsonl").read_text().splitlines()]
    with Ledger.open(f"sqlite:///{folder / 'ledger.db'}") as ledger:
        return decided, [receipt.payload for receipt in list(ledger)[1:]]


def test_experts_of_every_kind_decide_together(tmp_path, http_peer, peers, token, capsys):
    chat, agent, script = peers
    lines, bodies = decide(tmp_path, http_peer(), chat, agent)
    assert len(lines) == TASKS
    assert all(line["status"] == "committed" and line["absent"] == [] for line in lines)
    assert {line["consensus"] for line in lines} == {"yes"}
    said = {p["expert_id"]: p for p in bodies[0]["proposals"]}
    assert {id_: p["confidence"] for id_, p in said.items()} == {
        "web": "9/10", "model": "2/3", "agent": "3/4", "tool": "3/4",
    }  # fmt: skip
    assert [request["n"] for request in script.requests] == [3] * TASKS
    assert script.requests[0]["max_tokens"] == 1024
    assert len(AGENT.asked) == TASKS
    assert token not in capsys.readouterr().err
    assert token.encode() not in (tmp_path / "ledger.db").read_bytes()


def test_a_peer_that_is_killed_is_absent_and_the_run_goes_on(tmp_path, http_peer, peers):
    chat, agent, _ = peers
    lines, bodies = decide(tmp_path, http_peer(2), chat, agent)
    assert [line["status"] for line in lines] == ["committed"] * TASKS
    away = [[(a["expert_id"], a["reason"]) for a in line["absent"]] for line in lines]
    assert away == [[]] * 2 + [[("web", "crashed")]] * (TASKS - 2)
    assert "web" not in {p["expert_id"] for p in bodies[-1]["proposals"]}


def test_a_server_that_ends_under_each_call_is_absent_each_time(tmp_path, http_peer, peers):
    """It is started anew for the next task."""
    chat, agent, _ = peers
    lines, bodies = decide(tmp_path, http_peer(), chat, agent, tool="end")
    assert [line["status"] for line in lines] == ["committed"] * TASKS
    assert [[a["expert_id"] for a in line["absent"]] for line in lines] == [["tool"]] * TASKS
    assert "the disk is full" in bodies[0]["absences"][0]["detail"]
