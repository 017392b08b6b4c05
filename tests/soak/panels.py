"""Random panels: protocol, quorum, policy, experts and their moods, all from one draw."""

import json
import shutil
import sys
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

HANG = 1.2  # seconds that a hanging expert sleeps
TIMEOUT = 0.25  # seconds that an expert gets; one in a process of its own gets more, to start
PROCESS_TIMEOUT = 1.0
WEIGHTS = ("1", "1", "1", "2", "0.5", "0.1", "0")
QUORUMS = ("0.5", "0.51", "0.6", "0.66", "0.75", "1")
FAULTS = {
    "honest": {"tell": 1},
    "shaky": {"tell": 12, "fail": 2, "hang": 1, "junk": 2},
    "mortal": {"tell": 10, "die": 1, "fail": 1},
    "liar": {"lie": 1},
    "waverer": {"tell": 3, "lie": 2},
    "sleeper": {"tell": 14, "hang": 1},
}


@dataclass(frozen=True)
class Drawn:
    """A panel that was written.

    Attributes:
        words: what it is, on one line.
        tasks: how many there are.
        quorum: its threshold.
        safe: whether those that may lie hold less than the quorum of every roster that can
            decide, so that no quorum may commit what they agree on.
    """

    words: str
    tasks: int
    quorum: Fraction
    safe: bool


def write(folder, chance, seed):
    """Write quorate.toml, hostile.py, moods.json and tasks.jsonl into ``folder``."""
    protocol = chance.choice(["weighted-quorum", "ranked-runoff", "first-to-quorum", "synthesis"])
    policy = chance.choice(["raise", "raise", "widen", "escalate", "fallback"])
    quorum = chance.choice(QUORUMS)
    members = [f"e{n}" for n in range(chance.randint(1, 7))]
    roles = dict.fromkeys(members, "member")
    roles |= {"widen": {"spare": "reserve"}, "escalate": {"elder": "consultant"}}.get(policy, {})
    roles |= {"merger": "synthesizer"} if protocol == "synthesis" else {}
    kinds = {name: chance.choice(["async", "async", "sync", "worker", "child"]) for name in roles}
    moods = {name: _mood(chance, kinds[name]) for name in roles}
    weights = {name: chance.choice(WEIGHTS) for name in roles}
    if not any(Fraction(weights[name]) for name in members):
        weights[members[0]] = "1"
    arbiter = [f'protocol = "{protocol}"', f"quorum = {quorum}", f'on_under_quorum = "{policy}"']
    if protocol == "synthesis":
        arbiter.append('synthesizer = "merger"')
    if protocol == "first-to-quorum":
        arbiter.append(f'early = "{chance.choice(["certain", "fast"])}"')
    if policy == "fallback":
        arbiter.append(f'fallback = "{chance.choice(members)}"')
    if chance.random() < 0.3:
        arbiter.append('normalize = "text"')
    text = ['[ledger]\nurl = "sqlite:///ledger.db"\nsigner = "keys/ledger.key"', "[arbiter]"]
    text += arbiter
    if policy == "escalate":
        text.append('[escalation]\nto = "peer-consult"\nexperts = ["elder"]\nweight = 1')
    text.append(f"[run]\nconcurrency = {chance.choice([1, 3, 8])}")
    text += [_expert(folder, name, kinds[name], roles[name], weights[name]) for name in roles]
    (folder / "quorate.toml").write_text("\n".join(text) + "\n")
    shutil.copy(Path(__file__).parent / "hostile.py", folder)
    told = {"seed": seed, "hang": HANG, "ranked": protocol == "ranked-runoff"}
    told["moods"] = {name: FAULTS[mood] for name, mood in moods.items()}
    (folder / "moods.json").write_text(json.dumps(told))
    tasks = chance.randint(10, 60)
    lines = "".join(f'{{"id": "t{n}", "input": {n}}}\n' for n in range(tasks))
    (folder / "tasks.jsonl").write_text(lines)
    words = f"{protocol} {quorum}, {policy}, {tasks} tasks: " + ", ".join(
        f"{name} {weights[name]} {kinds[name]} {moods[name]}" for name in roles
    )
    return Drawn(words, tasks, Fraction(quorum), _is_safe(roles, weights, moods, Fraction(quorum)))


def _mood(chance, kind):
    """Dying takes a process of its own with it, and would take the whole run anywhere else."""
    known = [mood for mood in FAULTS if mood != "mortal" or kind in ("worker", "child")]
    return chance.choice([*known, "honest", "honest", "honest"])


def _is_safe(roles, weights, moods, quorum):
    """Whether no roster that can decide gives those that may lie its quorum."""
    voting = {name: Fraction(weights[name]) for name in roles if roles[name] == "member"}
    lying = sum((w for name, w in voting.items() if "lie" in FAULTS[moods[name]]), Fraction(0))
    total = sum(voting.values())
    for name, role in roles.items():
        if role not in ("reserve", "consultant"):
            continue
        # A consultation has weight 1, whatever those consulted weigh among themselves.
        more = Fraction(1) if role == "consultant" else Fraction(weights[name])
        both = lying + (more if "lie" in FAULTS[moods[name]] else 0)
        if both >= quorum * (total + more):
            return False
    return lying < quorum * total


def _expert(folder, name, kind, role, weight):
    lines = ["[[experts]]", f'id = "{name}"', f"weight = {weight}", f'role = "{role}"']
    if kind == "child":
        command = json.dumps([sys.executable, str(folder / "hostile.py"), name])
        lines += ['kind = "subprocess"', f"command = {command}", f"timeout = {PROCESS_TIMEOUT}"]
    elif kind == "worker":
        lines += ['kind = "python"', f'call = "hostile:sync_{name}"', "process = true"]
        lines.append(f"timeout = {PROCESS_TIMEOUT}")
    else:
        lines += ['kind = "python"', f'call = "hostile:{kind}_{name}"', f"timeout = {TIMEOUT}"]
    return "\n".join(lines)
