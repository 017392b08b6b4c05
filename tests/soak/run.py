"""Random panels of hostile experts, killed and gone on with, for as long as is given.

    python tests/soak/run.py [--seconds 300] [--seed TEXT] [--round N]

Each round draws a panel and its tasks, runs it, kills the run with SIGKILL a few times at
random moments and starts it again, until all tasks are decided. Then it has to hold:

* every task has one line, in order, and each line is what the ledger holds;
* ``quorate verify --replay`` computes every verdict again;
* what a quorum committed has the quorum's backing among the proposals sealed with it;
* liars that hold less than the quorum have nothing committed that they agreed on;
* no process of the run is left.

Seed and round bring the same panel, experts and tasks again; at which instruction a kill
falls is the machine's. What fails is kept, with the folder's name and how to run it again.
"""

import argparse
import collections
import contextlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from fractions import Fraction
from pathlib import Path

import panels

from quorate.hub.lines import decision_line
from quorate.ledger import Ledger

COMMAND = (sys.executable, "-c", "from quorate.cli import main; main()")
LAST_RUN = 240.0  # seconds for a run that is not killed
GONE = 15.0  # seconds for what a killed run leaves behind to end by itself
KILLED = -signal.SIGKILL


class Failed(Exception):  # noqa: N818 - what it says
    """Something that has to hold does not."""


def main(arguments=None):
    """Run; 0 if everything held, 1 if not."""
    parser = argparse.ArgumentParser(description="Random panels, killed and gone on with.")
    parser.add_argument("--seconds", type=float, default=300.0, help="begin no round after these")
    parser.add_argument("--seed", default=None, help="any text; drawn and printed if left out")
    parser.add_argument("--round", type=int, default=None, metavar="N", help="only this one")
    given = parser.parse_args(arguments)
    seed = os.urandom(4).hex() if given.seed is None else given.seed
    print(f"seed {seed}, {given.seconds:g} s", flush=True)
    counts = collections.Counter()
    end = time.monotonic() + given.seconds
    number = given.round or 0
    while given.round is not None or time.monotonic() < end:
        folder = Path(tempfile.mkdtemp(prefix="quorate-soak-"))
        try:
            told = one_round(folder, f"{seed}/{number}", counts)
        except Failed as failed:
            print(
                f"round {number}: {failed}\nkept in {folder}; again by: python "
                f"tests/soak/run.py --seed {seed} --round {number}\n"
                f"{counts['rounds']} rounds held, 1 failed",
                file=sys.stderr,
            )
            return 1
        shutil.rmtree(folder)
        counts["rounds"] += 1
        print(f"round {number}: {told}", flush=True)
        number += 1
        if given.round is not None:
            break
    print(
        f"seed {seed}: {counts['rounds']} rounds, {counts['tasks']} tasks ({counts['committed']} "
        f"committed, {counts['refused']} refused), {counts['kills']} kills, "
        f"{counts['absences']} absences; everything held"
    )
    return 0


def one_round(folder, draw, counts):
    """Draw a panel, run it through its kills, and check what came out."""
    chance = random.Random(draw)
    made = finished([*COMMAND, "init", str(folder / "made")], "init")
    if made.returncode != 0:
        raise Failed(f"init: {made.stderr}")
    folder /= "made"
    drawn = panels.write(folder, chance, draw)
    kills = 0
    for _ in range(chance.choice([0, 1, 2, 4])):
        # From before it has begun to about when it ends.
        if not killed(folder, chance.uniform(0.2, 2.0)):
            break
        kills += 1
        check_lines(folder)
    ended = finished(run_command(folder), "the run", timeout=LAST_RUN)
    if ended.returncode != 0:
        raise Failed(f"the run ended with {ended.returncode}: {ended.stderr}\n{drawn.words}")
    lines = check_lines(folder)
    try:
        found = check_end(folder, drawn, lines)
        check_gone(folder)
    except Failed as failed:
        raise Failed(f"{failed}\n{drawn.words}") from failed
    counts.update(found | {"tasks": drawn.tasks, "kills": kills})
    return f"{kills} kills, {found['committed']} of {drawn.tasks} committed; {drawn.words}"


def run_command(folder):
    parts = ("run", folder / "quorate.toml", folder / "tasks.jsonl", "-o", folder / "out.jsonl")
    return [*COMMAND, *map(str, parts)]


def finished(command, what, timeout=60.0):
    try:
        return subprocess.run(
            command, capture_output=True, text=True, check=False, timeout=timeout,
            stdin=subprocess.DEVNULL,
        )  # fmt: skip
    except subprocess.TimeoutExpired as late:
        raise Failed(f"{what} did not end within {timeout:g} s") from late


def killed(folder, seconds):
    """Run and kill it after so long; False if it had ended by itself."""
    with (folder / "killed.log").open("ab") as log:
        running = subprocess.Popen(
            run_command(folder), stdin=subprocess.DEVNULL, stdout=log, stderr=log
        )
        with contextlib.suppress(subprocess.TimeoutExpired):
            running.wait(seconds)
        running.kill()
        code = running.wait()
    if code not in (0, KILLED):
        raise Failed(f"a run ended with {code}: {(folder / 'killed.log').read_text()}")
    return code == KILLED


def check_lines(folder):
    """Every line is what the ledger holds, the last perhaps torn; gives the whole ones."""
    out = folder / "out.jsonl"
    lines = out.read_bytes().splitlines(keepends=True) if out.exists() else []
    if not lines:
        return []
    with Ledger.open(f"sqlite:///{folder / 'ledger.db'}") as ledger:
        for number, line in enumerate(lines):
            receipt = ledger.by_key(f"task:t{number}")
            sealed = b"" if receipt is None else decision_line(receipt)
            torn = number == len(lines) - 1 and not line.endswith(b"\n")
            if not (sealed.startswith(line) if torn else sealed == line) or not sealed:
                raise Failed(f"line {number + 1} is not what the ledger holds: {line!r}")
    return [line for line in lines if line.endswith(b"\n")]


def check_end(folder, drawn, lines):
    """What has to hold once all is decided; gives counts."""
    ids = [json.loads(line)["id"] for line in lines]
    if ids != [f"t{number}" for number in range(drawn.tasks)]:
        raise Failed(f"the lines are of {ids}, and there are {drawn.tasks} tasks")
    done = finished(
        [*COMMAND, "verify", str(folder / "ledger.db"), "--key", str(folder / "keys/ledger.pub"),
         "--replay", "--json"], "verify",
    )  # fmt: skip
    if done.returncode != 0:
        raise Failed(f"it does not verify: {done.stdout}{done.stderr}")
    report = json.loads(done.stdout)
    if report["replayed"] != drawn.tasks + 1 or report["unbound"]:
        raise Failed(f"not all of it was replayed under its panel: {done.stdout}")
    counts = {"committed": 0, "refused": 0, "absences": 0}
    with Ledger.open(f"sqlite:///{folder / 'ledger.db'}") as ledger:
        for number in range(drawn.tasks):
            body = ledger.by_key(f"task:t{number}").payload
            counts[body["verdict"]["status"]] += 1
            counts["absences"] += len(body["verdict"]["absent"])
            check_verdict(number, body, drawn)
    return counts


def check_verdict(number, body, drawn):
    """What a quorum committed has its backing, and is no lie that the honest could prevent."""
    verdict = body["verdict"]
    if verdict["status"] != "committed" or not verdict["by_quorum"]:
        return
    said = verdict["consensus"]
    if drawn.safe and said == "pqrs"[(number + 1) % 4]:
        raise Failed(f"task t{number}: a quorum committed a lie, {said!r}")
    words = {proposal["expert_id"]: proposal["payload"] for proposal in body["proposals"]}
    if "merge" in body:
        words = dict.fromkeys(body["merge"]["ratified"], said)
    roster = {name: Fraction(weight) for name, weight in body["roster"].items()}
    backing = sum(roster[name] for name, word in words.items() if word == said)
    if backing < drawn.quorum * sum(roster.values()):
        raise Failed(f"task t{number}: {said!r} was committed with a backing of {backing}")


def check_gone(folder):
    """No process of the round is left; what hangs in one whose run was killed may end first."""
    end = time.monotonic() + GONE
    while left := _processes(folder):
        if time.monotonic() > end:
            for process in left:
                os.kill(process, signal.SIGKILL)
            raise Failed(f"{len(left)} processes were left behind")
        time.sleep(0.1)


def _processes(folder):
    """Processes that name the folder or work in it, where the system lists them as files."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            named = os.fsencode(folder) in (entry / "cmdline").read_bytes()
            within = (entry / "cwd").readlink().is_relative_to(folder)
            if (named or within) and int(entry.name) != os.getpid():
                found.append(int(entry.name))
    return found


if __name__ == "__main__":
    sys.exit(main())
