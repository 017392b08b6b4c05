"""Several processes in one council, some of them killed: one story, and nothing done twice.

``QUORATE_COUNCIL_PROPOSALS`` sets how many proposals each of the four votes on: 24 where it
is not set, which takes seconds; 500 takes minutes.
"""

import collections
import os
import random
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from council_tools import KEY, council

from quorate.core.errors import UsageError
from quorate.council import ConsensusConfig, Execution, ProposalStatus, bounds
from quorate.ledger import Ledger

HERE = str(Path(__file__).parent)
VOTERS = "abcd"
PROPOSALS = int(os.environ.get("QUORATE_COUNCIL_PROPOSALS", "24"))
KILLS = max(3, PROPOSALS // 10)

# Votes as one of the four on every proposal, tallies it and carries it out, and says on its
# output what was acknowledged. Started again, it goes through all of them again.
VOTER = """
import os, random, sys
sys.path.insert(0, sys.argv[1])
from council_tools import KEY
from quorate.core.errors import UsageError
from quorate.council import ConsensusProtocol
from quorate.ledger import Ledger

me = sys.argv[3]
random.seed(os.urandom(8))
say = lambda *words: print(*words, flush=True)
with Ledger.open(sys.argv[2], signer=KEY) as ledger:
    council = ConsensusProtocol.reopen(ledger)
    todo = list(enumerate(council.list_proposals()))
    # Each in an order of its own, or one would be ahead of all others.
    random.shuffle(todo)
    for n, proposal in todo:
        try:
            council.vote(proposal.id, me, "approve")
            say("voted", proposal.id)
        except UsageError as error:
            assert "cannot vote on proposal" in str(error)
            say("late")
        if not council.tally(proposal.id).approved:
            continue
        if n % 2:
            if council.execute(proposal.id):
                say("done", proposal.id)
            continue
        intent = council.begin_execution(proposal.id, me)
        if intent:
            say("begun", proposal.id)
            council.finish_execution(proposal.id, intent.token, "executed")
            say("done", proposal.id)
say("end")
"""


@pytest.fixture
def url(tmp_path):
    return f"sqlite:///{tmp_path / 'council.db'}"


class Voter:
    """One process, started again whenever it is killed."""

    def __init__(self, url, name):
        self.url, self.name, self.said, self.ended = url, name, [], False
        self.kills = 0
        self.start()

    def start(self):
        self.child = subprocess.Popen(
            [sys.executable, "-c", VOTER, HERE, self.url, self.name],
            stdout=subprocess.PIPE,
            text=True,
        )

    def run(self, chance, kills):
        """Read what it says; kill it after as many lines as are drawn."""
        left = chance.randint(1, PROPOSALS) if kills else None
        while not self.ended:
            for line in self.child.stdout:
                self.said.append(tuple(line.split()))
                if left is not None:
                    left -= 1
                    if left == 0:
                        self.child.send_signal(signal.SIGKILL)
            self.child.stdout.close()
            code = self.child.wait(120)
            self.ended = code == 0
            assert code in (0, -signal.SIGKILL)
            if not self.ended:
                self.kills += 1
                kills -= 1
                left = chance.randint(1, PROPOSALS) if kills > 0 else None
                self.start()


@pytest.mark.timeout(1800)
def test_four_processes_vote_and_execute_and_are_killed(url):
    seed = int.from_bytes(os.urandom(4), "big")
    print("seed", seed)
    with Ledger.open(url, signer=KEY) as ledger:
        config = ConsensusConfig(max_active_proposals=bounds.MAX_ACTIVE)
        c = council(VOTERS, ledger=ledger, config=config)
        for n in range(PROPOSALS):
            c.propose("a", "quarantine", f"agent-{n}")
    voters = [Voter(url, name) for name in VOTERS]
    # One is never killed, so that all are decided whatever the others do.
    threads = [
        threading.Thread(target=voter.run, args=(random.Random(seed + n), n and KILLS))
        for n, voter in enumerate(voters)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(voter.ended for voter in voters)
    assert sum(voter.kills for voter in voters) >= 3
    with Ledger.open(url, signer=KEY) as ledger:
        note = ledger.checkpoint()
        c = council(VOTERS, ledger=ledger, config=config)
        assert c.verify_audit_chain(note)
        check_story(c, voters)


def check_story(c, voters):
    acknowledged = [(voter.name, *line) for voter in voters for line in voter.said if line[1:]]
    for name, deed, proposal_id in acknowledged:
        if deed == "voted":
            assert name in c.get_proposal(proposal_id).votes
    done = collections.Counter(p for _, deed, p in acknowledged if deed == "done")
    begun = collections.Counter(p for _, deed, p in acknowledged if deed == "begun")
    assert set(done.values()) | set(begun.values()) <= {1}
    events = collections.Counter((e.event, e.proposal_id) for e in c.audit_log)
    unsaid = 0
    for proposal in c.list_proposals():
        assert proposal.decision == "approved"
        assert len(proposal.votes) >= 3
        assert events["decided", proposal.id] == 1
        assert events["executed", proposal.id] + events["intent", proposal.id] == 1
        # Killed between the intent and the result, it says so; otherwise it was done.
        finished = proposal.status is ProposalStatus.EXECUTED
        assert finished or proposal.execution is Execution.INTENT
        assert not done[proposal.id] or finished
        unsaid += not (done[proposal.id] and finished)
    # Whoever was not killed was told what it did; one kill hides one deed at the most.
    assert unsaid <= sum(voter.kills for voter in voters)


KILLED_IN_BETWEEN = """
import os, signal, sys
sys.path.insert(0, sys.argv[1])
from council_tools import KEY
from quorate.council import ConsensusProtocol
from quorate.ledger import Ledger
council = ConsensusProtocol.reopen(Ledger.open(sys.argv[2], signer=KEY))
council.begin_execution("p1", "killed", timeout=0)
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_killed_between_intent_and_result_it_is_for_a_person_to_say(url):
    with Ledger.open(url, signer=KEY) as ledger:
        c = council(VOTERS, ledger=ledger)
        p = c.propose("a", "quarantine", "x")
        for voter in "abc":
            c.vote(p, voter, "approve")
        assert c.tally(p).approved
        child = [sys.executable, "-c", KILLED_IN_BETWEEN, HERE, url]
        assert subprocess.run(child, check=False, timeout=120).returncode == -signal.SIGKILL
        assert c.get_proposal(p).execution is Execution.INTENT
        assert c.begin_execution(p, "another") is None
        assert c.execute(p) is False
        assert c.resolve(p, "failed", reason="it still runs", by="a").execution is Execution.FAILED
        assert c.execute(p) is False
        assert c.summary()["unresolved"] == []


def test_threads_of_one_seat_and_of_several_lose_no_vote(url):
    with Ledger.open(url, signer=KEY) as ledger:
        seats = [council(ledger=ledger) for _ in range(2)]
        ids = [seats[0].propose("abcde"[n % 5], "quarantine", f"x{n}") for n in range(8)]
        won, cast, late = [], set(), []

        def act(voter, seat):
            for id_ in ids:
                try:
                    cast.add((id_, seat.vote(id_, voter, "approve").voter_id))
                except UsageError as error:
                    late.append(str(error))
                seat.tally(id_)
                if seat.execute(id_):
                    won.append(id_)

        threads = [
            threading.Thread(target=act, args=(voter, seats[n % 2]))
            for n, voter in enumerate("abcde")
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(120)
        proposals = seats[0].list_proposals()
        assert all(p.status is ProposalStatus.EXECUTED for p in proposals)
        assert sorted(won) == ids
        assert cast == {(p.id, voter) for p in proposals for voter in p.votes}
        assert len(cast) + len(late) == 5 * len(ids)
        assert all("cannot vote on proposal" in error for error in late)
        assert seats[1].verify_audit_chain()
