"""Texts of panel files."""

GOOD = """\
[ledger]
url = "sqlite:///ledger.db"
signer = "ledger.key"

[arbiter]
protocol = "weighted-quorum"
quorum = 0.66

[run]
concurrency = 4

[[experts]]
id = "a"
kind = "python"
call = "experts:yes"
weight = 0.1
timeout = 2.5
max_cost = 7
confidence = 0.9

[[experts]]
id = "b"
kind = "python"
call = "experts:no"
"""

EVERYTHING = """\
[ledger]
url = "sqlite:///ledger.db"
signer = "ledger.key"
origin = "quorate/tests"

[arbiter]
protocol = "weighted-quorum"
quorum = 0.75
normalize = "text"
on_under_quorum = "escalate"
mode = "shadow"

[escalation]
to = "peer-consult"
experts = ["elder"]
weight = 2
quorum = 0.6

[[experts]]
id = "worker"
kind = "python"
call = "experts:yes"
process = true
processes = 2
confidence = 0.9
capabilities = ["spam", "english"]
failure_domain = {host = "h1", vendor = "acme"}
cost = 0.5
tokens = 100
max_cost = 2
max_tokens = 1000

[[experts]]
id = "program"
kind = "subprocess"
command = ["./judge", "--quick"]
env = {MODE = "fast"}
cwd = "."
processes = 2

[[experts]]
id = "web"
kind = "http"
url = "https://judge.example/decide"
bearer_env = "JUDGE_TOKEN"
headers = {X-Team = "red"}
retries = 3
idempotent = true

[[experts]]
id = "model"
kind = "chat"
model = "small"
base_url = "http://127.0.0.1:8000/v1"
api_key_env = "MODEL_KEY"
system = "Judge."
template = "Is this spam? {input}"
confidence = "samples:5"
temperature = 0.7
max_output_tokens = 64
price_in = 0.25
price_out = 1.25
seed = 7
choices = ["spam", "ham"]
structured = "json_object"
output_limit = "max_tokens"
normalize = "number"
retries = 1
insecure_http = true

[[experts]]
id = "agent"
kind = "a2a"
url = "https://agent.example"
bearer_env = "AGENT_TOKEN"
insecure_http = true
confidence = 0.5
reads = "payload"

[[experts]]
id = "tool"
kind = "mcp"
tool = "judge"
command = ["./server"]
env = {MODE = "calm"}
arguments = {strict = true, depth = 2.5, text = "{input}"}
confidence = 0.5

[[experts]]
id = "elder"
kind = "python"
call = "experts:no"
role = "consultant"
weight = 3
"""
