"""``quorate council watch``: what time has decided is sealed, and the declared hooks are told."""

import json
import shutil
import signal
import threading
import time
from pathlib import Path

import pytest
from cli_council_acts import approved, declare, events, program, server
from cli_council_tools import opened, told

from quorate.ledger import Ledger

EAR = '[[hooks]]\nname = "ear"\nkind = "command"\ncommand = ["./ear.sh"]\n'
# In one write, for several may be told at once.
HEAR = """printf '%s\\n' "$(cat)" >> heard"""
OVERDUE = ("propose", "quarantine", "--target", "x", "--as", "anna", "--expires", "1ms")


@pytest.fixture
def council(tmp_path, monkeypatch, quorate):
    yield from opened(tmp_path, monkeypatch, quorate)


@pytest.fixture
def ear(council):
    program("ear.sh", HEAR)
    declare(EAR)
    return council


def heard():
    path = Path("heard")
    lines = path.read_text().splitlines() if path.exists() else []
    return [(notice["event"], notice["proposal"]) for notice in map(json.loads, lines)]


def notices():
    with Ledger.open("sqlite:///council.db") as ledger:
        return [receipt.payload for receipt in ledger.find(kind="notice")]


def test_once_settles_and_tells_everything_once(ear):
    assert ear(*OVERDUE)[0] == 0
    id_ = approved(ear, "restrict")
    # A proposal settles what is overdue, so one more is left to the watch.
    assert ear(*OVERDUE)[0] == 0
    code, out, err = ear("watch", "--once")
    assert (code, err) == (0, "")
    assert "p3  quarantine x: no quorum when its time was up" in out
    assert "p3  notice  ear: expired delivered" in out
    assert heard() == [
        ("proposed", "p1"), ("expired", "p1"), ("proposed", id_), ("proposed", "p3"),
        ("expired", "p3"),
    ]  # fmt: skip
    assert [body["outcome"] for body in notices()] == ["delivered"] * 5
    assert "notice" not in ear("watch", "--once")[1]
    assert len(heard()) == 5
    assert ear("history", "--verify")[0] == 0


def test_only_looking_seals_nothing_and_tells_nobody(ear):
    ear(*OVERDUE)
    for looking in (("--look",), ("--ledger", "council.db", "--key", "keys/council.pub")):
        code, out, err = ear("watch", "--once", *looking)
        assert (code, err) == (0, "")
        assert "next: no quorum is certain, seal it: quorate council tally p1" in out
    assert (heard(), notices(), events(ear, "decided")) == ([], [], [])


def test_without_the_ledgers_key_it_says_what_it_cannot_do(ear, tmp_path):
    ear(*OVERDUE)
    shutil.move(tmp_path / "keys" / "council.key", tmp_path / "elsewhere")
    code, out, err = ear("watch", "--once")
    assert code == 0
    assert "only looking, for the ledger's key is not at hand" in err
    assert "nothing is settled, and no hook is told" in err
    assert "seal it: quorate council tally p1" in out
    assert (heard(), notices()) == ([], [])
    assert ear("watch", "--once", "--look")[2] == ""


def test_a_hook_that_fails_is_told_and_tried_again(ear):
    ear("propose", "quarantine", "--target", "x", "--as", "anna")
    program("ear.sh", "echo out of order >&2", "exit 1")
    code, out, _ = ear("watch", "--once")
    assert code == 5
    assert "p1  notice  ear: proposed retried (try 1, again later): exit status 1" in out
    assert "out of order" in out
    assert notices() == []
    code, out, _ = ear("watch", "--once", "--json")
    state, notice = map(json.loads, out.splitlines())
    assert (code, state["council"]) == (5, "council")
    assert (notice["event"], notice["proposal"], notice["seq"]) == ("notice", "p1", 1)
    assert notice["details"]["outcome"] == "retried"
    program("ear.sh", HEAR)
    assert ear("watch", "--once")[0] == 0
    assert heard() == [("proposed", "p1")]


def test_a_hook_hears_what_it_asks_for_from_where_it_asks(ear):
    declare(
        EAR.replace("ear", "late").replace("./late.sh", "./ear.sh") + "from_entry = 2\n",
        EAR.replace('"ear"', '"few"') + 'on = ["decided"]\n',
    )
    approved(ear, "restrict")
    ear("tally", "p1")
    ear("watch", "--once")
    told_of = [(body["hook"], body["event"]) for body in notices()]
    assert sorted(told_of) == [
        ("ear", "decided"), ("ear", "proposed"), ("few", "decided"), ("late", "decided"),
    ]  # fmt: skip


def test_an_address_is_told_with_its_token(council, monkeypatch):
    pytest.importorskip("httpx2", reason='httpx2 is not installed; pip install "quorate[http]"')
    monkeypatch.setenv("PAGER_TOKEN", "t0ken")
    with server() as (url, seen):
        declare(
            f'[[hooks]]\nname = "pager"\nkind = "webhook"\nurl = "{url}"\n'
            'bearer_env = "PAGER_TOKEN"\n'
        )
        council("propose", "quarantine", "--target", "x", "--as", "anna")
        assert council("watch", "--once")[0] == 0
        ((headers, notice),) = seen
        assert headers["authorization"] == "Bearer t0ken"
        assert (notice["form"], notice["event"]) == ("quorate/notice/v1", "proposed")
        monkeypatch.delenv("PAGER_TOKEN")
        council("propose", "quarantine", "--target", "y", "--as", "anna")
        code, out, _ = council("watch", "--once")
    assert (code, "PAGER_TOKEN holds no token" in out) == (5, True)
    assert "t0ken" not in str(notices())


def test_it_goes_on_telling_while_it_runs(ear, fork):
    running = fork("council", "watch", "--every", "100ms")
    lines = []
    reader = threading.Thread(
        target=lambda: lines.extend(iter(running.stdout.readline, b"")), daemon=True
    )
    reader.start()
    until(lambda: lines, "it began")
    ear(*OVERDUE)
    until(lambda: len(heard()) == 2, "both were told")
    until(lambda: any(b"notice  ear: expired delivered" in line for line in lines), "it said so")
    assert any(b"p1  decided  no quorum" in line for line in lines)
    assert not any(b"seal it" in line for line in lines)
    running.send_signal(signal.SIGINT)
    assert running.wait(timeout=60) == 130
    assert heard() == [("proposed", "p1"), ("expired", "p1")]


def until(true, what):
    for _ in range(600):
        if true():
            return
        time.sleep(0.05)
    pytest.fail(f"waited in vain until {what}")


def test_two_that_watch_at_once_seal_one_word_on_each_notice(ear, fork):
    approved(ear, "restrict")
    ear("tally", "p1")
    running = [fork("council", "watch", "--once") for _ in range(2)]
    assert [(p.communicate(timeout=60), p.returncode)[1] for p in running] == [0, 0]
    # Each comes at least once; whoever keeps the ids takes it once.
    assert set(heard()) == {("proposed", "p1"), ("decided", "p1")}
    assert len(notices()) == 2
    assert told(ear("show", "p1", "--json"))["status"] == "decided"
