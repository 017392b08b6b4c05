"""Executors of several processes over one ledger: one executes, whoever races or is killed."""

import signal
import subprocess
import sys
from pathlib import Path

from council_executions import approved, ran
from council_tools import KEY, Clock, council, passed

from quorate.council import Execution
from quorate.ledger import Ledger

HERE = str(Path(__file__).parent)

RACER = """
import sys
sys.path.insert(0, sys.argv[1])
from council_tools import KEY
from quorate.council import ConsensusProtocol
from quorate.council.executors import CommandExecutor, Executors
from quorate.ledger import Ledger
code = "import os, sys; sys.stdin.read(); open('done', 'a').write('x')"
with Ledger.open(sys.argv[2], signer=KEY) as ledger:
    council = ConsensusProtocol.reopen(ledger)
    executors = Executors(council)
    executors.register("quarantine", CommandExecutor([sys.executable, "-c", code], cwd=sys.argv[3]))
    print("ready", flush=True)
    sys.stdin.readline()
    for proposal in council.list_proposals():
        result = executors.run(proposal.id)
        print(proposal.id, result.begun, flush=True)
"""


def children(code, count, *arguments):
    return [
        subprocess.Popen(
            [sys.executable, "-c", code, HERE, *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(count)
    ]


def test_of_two_processes_that_race_one_executes(tmp_path):
    url = f"sqlite:///{tmp_path / 'council.db'}"
    with Ledger.open(url, signer=KEY) as ledger:
        c = council(ledger=ledger)
        ids = [c.propose("a", "quarantine", f"x{n}") for n in range(5)]
        for id_ in ids:
            passed(c, id_, "abcd")
    racers = children(RACER, 2, url, str(tmp_path))
    for racer in racers:
        assert racer.stdout.readline() == "ready\n"
    for racer in racers:
        racer.stdin.write("go\n")
        racer.stdin.flush()
    said = [
        line.split()
        for racer in racers
        for line in racer.communicate(timeout=120)[0].split("\n")
        if line
    ]
    assert [racer.returncode for racer in racers] == [0, 0]
    assert sorted(id_ for id_, begun in said if begun == "True") == ids
    assert (tmp_path / "done").read_text() == "x" * len(ids)


KILLED = """
import os, signal, sys
sys.path.insert(0, sys.argv[1])
from council_tools import KEY
from quorate.council import ConsensusProtocol
from quorate.council.executors import Executors
from quorate.ledger import Ledger
def carry_out(order):
    open(sys.argv[3], "a").write("x")
    os.kill(os.getpid(), signal.SIGKILL)
executors = Executors(ConsensusProtocol.reopen(Ledger.open(sys.argv[2], signer=KEY)))
executors.register("quarantine", carry_out)
executors.run("p1")
"""


def test_killed_between_intent_and_result_it_is_not_run_again(tmp_path):
    url, done = f"sqlite:///{tmp_path / 'council.db'}", tmp_path / "done"
    with Ledger.open(url, signer=KEY) as ledger:
        approved(ledger)
        (child,) = children(KILLED, 1, url, str(done))
        child.communicate(timeout=60)
        assert child.returncode == -signal.SIGKILL
        clock = Clock(ledger.clock() + 61 * 10**6)
        c = council("abcde", ledger=ledger, clock=clock)
        result = ran(c, lambda _: done.write_text("again"))
        assert (result.begun, result.execution) == (False, Execution.INTENT)
        assert done.read_text() == "x"
        c.resolve("p1", "executed", reason="the file is there", by="a")
        assert ran(c, print).execution is Execution.EXECUTED
        assert c.verify_audit_chain()
