"""Many threads and many processes over one log: one order, shared commits, no word lost."""

import collections
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from ledger_tools import KEY, MAC, ORIGIN

from quorate.core.errors import UsageError
from quorate.ledger import Ledger
from quorate.ledger.sqlite import SQLiteStore

WRITER = """
import sys
sys.path.insert(0, sys.argv[1])
from ledger_tools import KEY
from quorate.ledger import Ledger
with Ledger.open(f"sqlite:///{sys.argv[2]}", signer=KEY, origin="example.org/log") as ledger:
    for n in range(25):
        ledger.append("note", [sys.argv[3], n])
    ledger.append("note", "once", key="once")
"""


def ledger_over(path, hook, signer=MAC):
    store = SQLiteStore(path, fault_point=hook)
    store.begin(ORIGIN)
    return Ledger(store, signers=[signer])


def in_threads(*jobs):
    errors = []

    def run(job):
        try:
            job()
        except Exception as error:  # noqa: BLE001 - the test looks at each
            errors.append(error)

    threads = [threading.Thread(target=run, args=(job,)) for job in jobs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
        assert not thread.is_alive()
    return errors


class SlowFirstCommit:
    """Counts commits, and holds the first until others had time to queue."""

    def __init__(self):
        self.points = collections.Counter()
        self.begun = threading.Event()
        self.release = threading.Event()
        self.armed = False

    def __call__(self, point):
        self.points[point.split()[0]] += 1
        if point == "begun" and self.armed:
            self.armed = False
            self.begun.set()
            self.release.wait(120)


def queued_behind_a_slow_commit(tmp_path, *jobs):
    """Run each job while a first append holds the write lock, in the order given."""
    hook = SlowFirstCommit()
    ledger = ledger_over(tmp_path / "l.db", hook)
    hook.points.clear()
    hook.armed = True

    def first():
        ledger.append("note", "first")

    def conduct():
        assert hook.begun.wait(30)
        waiting = [threading.Thread(target=job, args=(ledger,)) for job in jobs]
        for number, thread in enumerate(waiting, 1):
            thread.start()
            limit = time.monotonic() + 30
            while len(ledger._appender._queue) < number:
                assert time.monotonic() < limit
                time.sleep(0.001)
        hook.release.set()
        for thread in waiting:
            thread.join(30)

    assert in_threads(first, conduct) == []
    return ledger, hook.points


def test_those_who_wait_share_one_commit(tmp_path):
    jobs = [lambda ledger, n=n: ledger.append("note", n) for n in range(20)]
    ledger, points = queued_behind_a_slow_commit(tmp_path, *jobs)
    with ledger:
        assert points["committed"] == 2
        assert len(ledger) == 21
        assert [r.payload for r in ledger] == ["first", *range(20)]
        assert ledger.verify(ledger.checkpoint()).complete


def test_one_bad_group_in_a_shared_commit_harms_no_other(tmp_path):
    outcomes = {}

    def job(name, call):
        def run(ledger):
            try:
                outcomes[name] = call(ledger)
            except Exception as error:  # noqa: BLE001 - the test looks at each
                outcomes[name] = error

        return run

    ledger, points = queued_behind_a_slow_commit(
        tmp_path,
        job("a", lambda x: x.append("note", 1, key="k")),
        job("b", lambda x: x.append("note", 2, key="used")),
        # Its first is known already, its second is refused: the first must stay known.
        job("c", lambda x: x.append_many("note", [1, 9], keys=["k", "used"])),
        job("d", lambda x: x.append("note", 1, key="k")),
        job("e", lambda x: x.append_many("note", [3, 4])),
    )
    with ledger:
        assert points["committed"] == 2
        assert isinstance(outcomes["c"], UsageError)
        assert outcomes["d"] == outcomes["a"]
        assert [r.payload for r in ledger] == ["first", 1, 2, 3, 4]
        assert [r.seq for r in outcomes["e"]] == [3, 4]
        assert ledger.verify(ledger.checkpoint()).complete


def test_many_threads_one_order(tmp_path):
    hook = SlowFirstCommit()
    with ledger_over(tmp_path / "l.db", hook) as ledger:
        hook.points.clear()
        mine = collections.defaultdict(list)

        def writer(name):
            for n in range(20):
                if n % 4:
                    mine[name].append(ledger.append("note", [name, n]))
                else:
                    mine[name] += ledger.append_many("note", [[name, n], [name, n, "b"]])

        assert in_threads(*[lambda name=name: writer(name) for name in range(8)]) == []
        assert len(ledger) == 8 * 25
        for receipts in mine.values():
            numbers = [r.seq for r in receipts]
            assert numbers == sorted(numbers)
            assert all(ledger.get(r.seq) == r for r in receipts)
        assert sorted(r.seq for rs in mine.values() for r in rs) == list(range(200))
        assert ledger.verify(ledger.checkpoint()).complete
        assert hook.points["committed"] < 8 * 20


def test_threads_that_race_for_one_key_get_one_entry():
    with Ledger.open("memory:", signer=MAC) as ledger:
        start = threading.Barrier(8)
        got = []

        def race():
            start.wait()
            got.extend((n, ledger.append("note", n, key=f"k{n}").seq) for n in range(20))

        assert in_threads(*[race] * 8) == []
        assert len(ledger) == 20
        assert len(set(got)) == 20


def test_threads_that_race_with_different_bodies():
    with Ledger.open("memory:", signer=MAC) as ledger:
        jobs = [lambda n=n: ledger.append("note", n, key="k") for n in range(8)]
        errors = in_threads(*jobs)
        assert len(errors) == 7
        assert all(isinstance(error, UsageError) for error in errors)
        assert len(ledger) == 1


def test_many_processes_one_order(tmp_path):
    path = tmp_path / "l.db"
    here = str(Path(__file__).parent)
    children = [
        subprocess.Popen([sys.executable, "-c", WRITER, here, str(path), str(n)]) for n in range(3)
    ]
    assert [child.wait(60) for child in children] == [0, 0, 0]
    with Ledger.open(f"sqlite:///{path}", signer=KEY) as ledger:
        assert [r.seq for r in ledger] == list(range(76))
        for name in "012":
            assert [r.payload[1] for r in ledger if r.payload[0] == name] == list(range(25))
        assert ledger.verify(ledger.checkpoint()).complete


def test_two_ledgers_over_one_file_take_turns(tmp_path):
    url = f"sqlite:///{tmp_path / 'l.db'}"
    with Ledger.open(url, signer=KEY) as a, Ledger.open(url, signer=KEY) as b:
        for n in range(6):
            assert (a, b)[n % 2].append("note", n).seq == n
        assert a.append("note", 0, key="k") == b.append("note", 0, key="k")
        assert a.checkpoint() == b.checkpoint()
        assert a.verify(b.checkpoint()).complete


@pytest.mark.parametrize("point", ["begun", "inserted 1", "written"])
def test_a_writer_that_fails_tells_all_who_waited_and_the_log_goes_on(tmp_path, point):
    trip = []

    def hook(at):
        if at == point and trip:
            trip.pop()
            raise OSError("pulled")

    with ledger_over(tmp_path / "l.db", hook) as ledger:
        ledger.append("note", 0)
        trip.append(True)
        with pytest.raises(OSError, match="pulled"):
            ledger.append_many("note", [1, 2], keys=["a", "b"])
        assert (len(ledger), ledger.by_key("a")) == (1, None)
        assert [r.seq for r in ledger.append_many("note", [1, 2], keys=["a", "b"])] == [1, 2]
        assert ledger.verify(ledger.checkpoint()).complete


BEGINNER = """
import sys, time
sys.path.insert(0, sys.argv[1])
from ledger_tools import KEY
from quorate.ledger import Ledger
print("ready", flush=True)
sys.stdin.readline()
for n in range(30):
    with Ledger.open(f"sqlite:///{sys.argv[2]}/{n}.db", signer=KEY) as ledger:
        ledger.append("note", 1)
"""


def test_processes_that_begin_the_same_ledgers_at_once(tmp_path):
    children = [
        subprocess.Popen(
            [sys.executable, "-c", BEGINNER, str(Path(__file__).parent), str(tmp_path)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )
        for _ in range(3)
    ]  # fmt: skip
    for child in children:
        assert child.stdout.readline() == "ready\n"
    for child in children:
        child.stdin.write("go\n")
        child.stdin.flush()
    assert [child.communicate(timeout=100)[1] for child in children] == ["", "", ""]
    for n in range(30):
        with Ledger.open(f"sqlite:///{tmp_path}/{n}.db", signer=KEY) as ledger:
            assert ledger.verify().size == 3


def test_verifying_while_others_append(tmp_path):
    url = f"sqlite:///{tmp_path}/ledger.db"
    signer = MAC
    with Ledger.open(url, signer=signer) as writing:
        writing.append_many("note", range(50))
        done = threading.Event()

        def write():
            while not done.is_set():
                writing.append("note", {"more": True})

        thread = threading.Thread(target=write)
        thread.start()
        try:
            with Ledger.open(url, verify_with=signer) as reading:
                sizes = [reading.verify(writing.checkpoint()).size for _ in range(10)]
        finally:
            done.set()
            thread.join()
        assert sizes == sorted(sizes)
        assert sizes[0] >= 50
        assert writing.verify().size == len(writing)
