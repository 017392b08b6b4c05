"""Notices: every event is told at least once, under one id, and what is final is sealed."""

import collections
import json
import os
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from council_executions import Server
from council_tools import KEY, Clock, approve, council, passed, verify_all

from quorate.core.errors import OperationalError, StoreError, UsageError
from quorate.council import ConsensusProtocol, bounds
from quorate.council.notify import EVENTS, CommandHook, Notifier, WebhookHook
from quorate.ledger import Ledger
from quorate.ledger.replay import ReplayContext, replay

HERE = str(Path(__file__).parent)
SECOND = 1_000_000


class Ear:
    """A hook that hears, or fails as often as it is told to."""

    def __init__(self, name="ear", *, fail=0, events=EVENTS):
        self.name, self.fail, self.events, self.heard = name, fail, frozenset(events), []
        self.tries = 0

    def deliver(self, message, id_):
        self.tries += 1
        if self.fail:
            self.fail -= 1
            raise OperationalError("out of order")
        self.heard.append((id_, json.loads(message)))

    def events_heard(self):
        return [(message["event"], message["proposal"]) for _, message in self.heard]


def notices(ledger):
    return [receipt.payload for receipt in ledger.find(kind="notice")]


def test_what_is_told(ledger):
    clock = Clock()
    c = council(ledger=ledger, clock=clock)
    ear = Ear()
    p = c.propose("a", "terminate", "agent", {"secret": "evidence"}, expiry_seconds=60)
    approve(c, p, "abcd")
    c.tally(p)
    intent = c.begin_execution(p, "x")
    c.finish_execution(p, intent.token, "unknown", "secret detail")
    c.resolve(p, "failed", reason="secret reason", by="a")
    q = c.propose("b", "restrict", "agent", expiry_seconds=5)
    r = c.propose("c", "restrict", "agent")
    c.cancel(r, "c", "secret reason")
    s = c.propose("a", "quarantine", "x")
    c.vote(s, "b", "approve", "secret reason")
    c.cancel(s, "c")
    clock.wait(5)
    found = Notifier(c, [ear]).deliver(clock())
    assert ear.events_heard() == [
        ("proposed", p),
        ("decided", p),
        ("executed", p),
        ("executed", p),
        ("proposed", q),
        ("proposed", r),
        ("decided", r),
        ("proposed", s),
        ("expired", q),
    ]
    told = [message for _, message in ear.heard]
    assert [m["outcome"] for m in told if m["event"] == "executed"] == ["unknown", "failed"]
    assert [m["by_hand"] for m in told if m["event"] == "executed"] == [False, True]
    assert [(m["decision"], m["by"]) for m in told if "decision" in m] == [
        ("approved", "votes"),
        ("rejected", "cancel"),
        ("no_quorum", "expiry"),
    ]
    assert told[0]["expires_at"] == c.get_proposal(p).expires_at
    assert told[0]["target"] == "agent"
    assert [m["id"] for m in told] == [id_ for id_, _ in ear.heard]
    assert len({id_ for id_, _ in ear.heard}) == len(told)
    shown = json.dumps(told)
    assert "secret" not in shown
    assert intent.token not in shown
    assert {notice.outcome for notice in found} == {"delivered"}
    assert [body["outcome"] for body in notices(ledger)] == ["delivered"] * len(told)
    assert c.verify_audit_chain()
    verify_council(ledger)
    # They claim no verdict, so `verify --replay` has none to compute again.
    assert not any(replay("notice", body, ReplayContext(), 0) for body in notices(ledger))


def verify_council(ledger):
    class Only:
        def __iter__(self):
            return ledger.find(kind="council")

    verify_all(Only())


def test_a_hook_gets_what_it_asks_for(told):
    few, both = Ear("few", events=["decided"]), Ear("both", events=["proposed", "decided"])
    notifier = Notifier(told, [few, both])
    notifier.deliver(0)
    assert few.events_heard() == [("decided", "p1"), ("decided", "p3")]
    assert len(both.heard) == 5
    assert {id_ for id_, _ in few.heard}.isdisjoint(id_ for id_, _ in both.heard)
    assert notifier.deliver(0) == []
    told.propose("a", "restrict", "y")
    assert [notice.hook for notice in notifier.deliver(0)] == ["both"]


def test_start_leaves_out_what_was_before(ledger, told):
    ear = Ear()
    notifier = Notifier(told, [ear], start=len(ledger))
    assert notifier.deliver(0) == []
    told.propose("a", "restrict", "y")
    notifier.deliver(0)
    assert ear.events_heard() == [("proposed", "p4")]


def test_failures_are_retried_later_and_later_and_given_up_once(ledger):
    c = council(ledger=ledger)
    c.propose("a", "restrict", "x")
    ear = Ear(fail=99)
    notifier = Notifier(c, [ear], attempts=4)
    now, waits = 50 * SECOND, []
    for _ in range(3):
        (notice,) = notifier.deliver(now)
        assert (notice.outcome, notice.detail) == ("retried", "out of order")
        assert notices(ledger) == []
        due = notifier.next_due()
        assert notifier.deliver(due - 1) == []
        waits.append(due - now)
        now = due
    assert waits == [SECOND, 2 * SECOND, 4 * SECOND]
    (last,) = notifier.deliver(now)
    assert (last.outcome, last.attempts, notifier.next_due()) == ("failed", 4, None)
    (sealed,) = notices(ledger)
    assert (sealed["outcome"], sealed["attempts"], sealed["at"]) == ("failed", 4, now)
    assert sealed["detail"] == "out of order"
    assert notifier.deliver(now + 10**12) == []
    assert Notifier(c, [ear]).deliver(now + 10**12) == []
    assert ear.tries == 4


def test_the_wait_between_tries_is_bounded(ledger):
    c = council(ledger=ledger)
    c.propose("a", "restrict", "x")
    notifier = Notifier(c, [Ear(fail=99)], attempts=60)
    now, waits = 0, []
    for _ in range(59):
        notifier.deliver(now)
        waits.append(notifier.next_due() - now)
        now = notifier.next_due()
    assert max(waits) == waits[-1] == bounds.LONGEST_BACKOFF_SECONDS * SECOND


def test_a_hook_that_is_down_holds_no_other_up_and_is_tried_once_a_call(told):
    down, up = Ear("down", fail=2), Ear("up")
    notifier = Notifier(told, [down, up])
    assert [n.hook for n in notifier.deliver(0)].count("down") == 1
    assert len(up.heard) == 5
    for now in range(0, 20 * SECOND, SECOND):
        notifier.deliver(now)
    assert len(down.heard) == 5
    assert down.tries == 7


def test_any_error_of_a_hook_is_a_failure_even_one_without_words(told):
    class Broken(Ear):
        def deliver(self, message, id_):
            if self.name == "gone":
                raise SystemExit(3)
            raise OperationalError("") if self.name == "mute" else KeyError("k")

    found = Notifier(told, [Broken("gone"), Broken("mute"), Broken("odd")]).deliver(0)
    assert [(n.hook, n.outcome) for n in found] == [
        ("gone", "retried"), ("mute", "retried"), ("odd", "retried"),
    ]  # fmt: skip
    assert [n.detail for n in found] == ["SystemExit: 3", "", "KeyError: 'k'"]


def test_a_restart_repeats_nothing_sealed_and_loses_nothing_else(ledger, told):
    first = Ear(fail=1)
    Notifier(told, [first]).deliver(0)
    assert first.heard == []
    c = ConsensusProtocol.reopen(ledger, clock=Clock())
    ear = Ear()
    Notifier(c, [ear]).deliver(0)
    assert len(ear.heard) == 5
    assert Notifier(ConsensusProtocol.reopen(ledger), [ear]).deliver(0) == []


def test_delivered_and_not_sealed_it_comes_again_under_the_same_id(ledger, monkeypatch):
    c = council(ledger=ledger)
    c.propose("a", "restrict", "x")
    ear = Ear()

    def full(self, *args, **options):
        raise StoreError("disk full")

    notifier = Notifier(c, [ear])
    with monkeypatch.context() as patch:
        patch.setattr(Ledger, "append", full)
        with pytest.raises(StoreError, match="disk full"):
            notifier.deliver(0)
    (notice,) = notifier.deliver(2 * SECOND)
    assert notice.outcome == "delivered"
    assert [id_ for id_, _ in ear.heard] == [notice.id] * 2
    assert len(notices(ledger)) == 1


def test_two_notifiers_at_once_seal_one_word(ledger):
    c = council(ledger=ledger)
    c.propose("a", "restrict", "x")
    other = Notifier(council(ledger=ledger), [Ear()])

    class Slow(Ear):
        def deliver(self, message, id_):
            other.deliver(7)
            super().deliver(message, id_)

    slow = Slow()
    notifier = Notifier(c, [slow])
    assert [n.outcome for n in notifier.deliver(8)] == ["delivered"]
    assert [body["at"] for body in notices(ledger)] == [7]
    assert notifier.deliver(9) == []


def test_votes_go_on_while_a_hook_hangs(told):
    speaking, let = threading.Event(), threading.Event()

    class Hanging(Ear):
        def deliver(self, message, id_):
            speaking.set()
            assert let.wait(20)

    thread = threading.Thread(target=Notifier(told, [Hanging()]).deliver, args=(0,))
    thread.start()
    try:
        assert speaking.wait(20)
        assert told.vote("p2", "b", "approve").voter_id == "b"
        passed(told, told.propose("a", "restrict", "z"), "abc")
        assert thread.is_alive()
    finally:
        let.set()
        thread.join()


def test_foreign_entries_of_that_kind_and_trace_are_left_alone(ledger):
    c = council(ledger=ledger)
    c.propose("a", "restrict", "x")
    for body in ([], "x", {}, {"form": "quorate/notice/v1", "hook": [], "entry": {}}):
        ledger.append("notice", body, trace_id=c.council_id)
    ear = Ear()
    Notifier(c, [ear]).deliver(0)
    assert len(ear.heard) == 1


def test_what_cannot_be_used(tmp_path, told):
    for hooks, options, message in (
        ([Ear("a"), Ear("a")], {}, "2 hooks with 1 names"),
        ([], {"attempts": 0}, "attempts is 0"),
        ([], {"attempts": bounds.MAX_NOTICE_ATTEMPTS + 1}, "attempts is 101"),
        ([], {"attempts": True}, "attempts is True"),
        ([], {"start": -1}, "start is -1"),
        ([Ear(str(n)) for n in range(bounds.MAX_HOOKS + 1)], {}, "at most 64"),
    ):
        with pytest.raises(UsageError, match=message):
            Notifier(told, hooks, **options)
    with pytest.raises(UsageError, match="the council is a str"):
        Notifier("council", [])
    with pytest.raises(UsageError, match=r"now is 1\.5"):
        Notifier(told, []).deliver(1.5)
    for events in ([], "votes", ["proposed", "voted"]):
        with pytest.raises(UsageError, match="the hook asks for"):
            CommandHook("h", ["true"], events=events)
    with pytest.raises(UsageError, match="the timeout"):
        WebhookHook("h", "https://example.org/", timeout=301)
    with pytest.raises(UsageError, match="the hook's name"):
        WebhookHook("", "https://example.org/")


def test_over_a_ledger_opened_for_reading_nothing_is_sent(tmp_path):
    url = f"sqlite:///{tmp_path / 'council.db'}"
    with Ledger.open(url, signer=KEY) as ledger:
        council(ledger=ledger).propose("a", "restrict", "x")
    ear = Ear()
    with Ledger.open(url, verify_with=KEY.verifier) as ledger:
        notifier = Notifier(ConsensusProtocol.reopen(ledger), [ear])
        with pytest.raises(UsageError, match="opened for reading"):
            notifier.deliver(0)
    assert ear.tries == 0


# --- programs and addresses -----------------------------------------------------------


def test_a_program_is_told_on_its_input_and_gets_no_secrets(ledger, tmp_path, monkeypatch):
    monkeypatch.setenv("COUNCIL_SECRET", "s3cret")
    c = council(ledger=ledger)
    c.propose("a", "restrict", "$(touch pwned)")
    code = (
        "import json, os, sys\n"
        "json.dump([json.load(sys.stdin), sys.argv, dict(os.environ)], open('seen', 'w'))"
    )
    hook = CommandHook("log", [sys.executable, "-c", code], cwd=tmp_path)
    (notice,) = Notifier(c, [hook]).deliver(0)
    message, argv, environment = json.loads((tmp_path / "seen").read_text())
    assert (message["id"], message["target"]) == (notice.id, "$(touch pwned)")
    assert argv == ["-c"]
    assert "COUNCIL_SECRET" not in environment
    assert [path.name for path in tmp_path.iterdir()] == ["seen"]


@pytest.mark.parametrize(
    ("command", "detail"),
    [
        ([sys.executable, "-c", "exit('sorry')"], "exit status 1; it last said: sorry"),
        ([sys.executable, "-c", "import time; time.sleep(600)"], "still running after 0.5 s"),
        (["no-such-program"], "no-such-program cannot be started"),
    ],
)  # fmt: skip
def test_a_program_that_fails_is_tried_again(told, command, detail):
    (notice,) = Notifier(told, [CommandHook("bad", command, timeout=0.5)]).deliver(0)
    assert notice.outcome == "retried"
    assert detail in notice.detail


@pytest.fixture
def server():
    pytest.importorskip("httpx2", reason='httpx2 is not installed; pip install "quorate[http]"')
    opened = Server()
    yield opened
    opened.close()


def test_an_address_is_told(ledger, server):
    c = council(ledger=ledger)
    c.propose("a", "restrict", "x")
    notifier = Notifier(c, [WebhookHook("pager", server.url)])
    server.status, server.body = 500, b"try later"
    (notice,) = notifier.deliver(0)
    assert (notice.outcome, notice.detail) == ("retried", "it answered 500: try later")
    server.status, server.body = 204, b""
    assert [n.outcome for n in notifier.deliver(SECOND)] == ["delivered"]
    (first, _), (second, message) = server.seen
    assert first["idempotency-key"] == second["idempotency-key"] == message["id"] == notice.id
    assert "authorization" not in {name.lower() for name in second}
    assert "key=inside" not in str(notices(ledger))


def test_an_address_where_nobody_listens_is_tried_again(told):
    pytest.importorskip("httpx2", reason='httpx2 is not installed; pip install "quorate[http]"')
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{closed.getsockname()[1]}/"
        (notice,) = Notifier(told, [WebhookHook("pager", url)]).deliver(0)
    assert notice.outcome == "retried"
    assert "no connection to 127.0.0.1" in notice.detail


KILLED = """
import os, signal, sys
sys.path.insert(0, sys.argv[1])
from council_tools import KEY
from quorate.council import ConsensusProtocol
from quorate.council.notify import EVENTS, Notifier
from quorate.ledger import Ledger
class Hook:
    name, events, left = "log", frozenset(EVENTS), int(sys.argv[4])
    def deliver(self, message, id_):
        with open(sys.argv[3], "a") as file:
            file.write(id_ + "\\n")
        self.left -= 1
        if not self.left:
            os.kill(os.getpid(), signal.SIGKILL)
with Ledger.open(sys.argv[2], signer=KEY) as ledger:
    Notifier(ConsensusProtocol.reopen(ledger), [Hook()]).deliver(0)
"""


def test_killed_between_delivery_and_seal_only_that_one_comes_again(tmp_path):
    url, log = f"sqlite:///{tmp_path / 'council.db'}", tmp_path / "log"
    with Ledger.open(url, signer=KEY) as ledger:
        c = council(ledger=ledger)
        for n in range(6):
            c.propose("a", "restrict", f"x{n}")
        codes = []
        for left in ("3", "2", "99"):
            child = [sys.executable, "-c", KILLED, HERE, url, str(log), left]
            codes.append(subprocess.run(child, check=False, timeout=60).returncode)
        assert codes == [-signal.SIGKILL, -signal.SIGKILL, os.EX_OK]
        heard = collections.Counter(log.read_text().split())
        sealed = [body["id"] for body in notices(ledger)]
        assert sorted(heard) == sorted(sealed)
        # 1, 2 and 3, killed; 3 again and 4, killed; 4 again, 5 and 6.
        assert sorted(heard.values()) == [1, 1, 1, 1, 2, 2]
        assert c.verify_audit_chain()
