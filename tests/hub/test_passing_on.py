"""What the hub seals is passed on to who learns from it, and not read back."""

import asyncio
import logging

import pytest
from history_tools import open_ledger, plan_of, seal
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from quorate.arbitration import Arbiter
from quorate.core import limits
from quorate.hub import Answer, Expert, Hub
from quorate.hub import learning as module
from quorate.hub.learning import Learning
from quorate.hub.outcomes import seal_outcome
from quorate.hub.routers import make_router
from quorate.hub.sealing import Sealer
from quorate.hub.standing import Standing
from quorate.ledger import Ledger


def sealed_in(ledger, start=0):
    return list(ledger.find(start=start))


def told(standing):
    return standing.to_dict(), standing.router.to_dict()


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(st.tuples(st.integers(0, 3), st.booleans(), st.integers(0, 2)), max_size=14))
def test_taken_in_or_read_back_it_is_the_same(steps):
    with open_ledger() as ledger:
        standing = Standing(ledger, router=make_router("round-robin"))
        at = 0
        for n, (what, hand_over, skip) in enumerate(steps):
            if what == 0:
                seal(ledger, f"t{n}", {"a": 1, "b": 1, "c": 2}, quorum=0.3, plan=plan_of("abc"))
            elif what == 1:
                seal_outcome(ledger, f"t{max(0, n - 2)}", 1)
            elif what == 2:
                # Before its verdict, or beside what is an outcome.
                seal_outcome(ledger, f"t{n + 1}", 1)
            else:
                ledger.append("other", {"n": n})
            if hand_over:
                # Something of it may be missing, or there twice.
                fresh = sealed_in(ledger, at)
                standing.take_in([*fresh[skip:], *fresh[:1]] if skip else fresh)
                at = len(ledger)
        standing.catch_up()
        assert told(standing) == told(Standing(ledger, router=make_router("round-robin")))


def test_nothing_is_read_back(monkeypatch):
    with open_ledger() as ledger:
        standing = Standing(ledger)
        for n in range(3):
            seal(ledger, f"t{n}", {"a": 1, "b": 1})
        sealed = sealed_in(ledger)

        def never(*_, **__):
            pytest.fail("the ledger was read")

        for name in ("find", "get", "by_key", "__len__"):
            monkeypatch.setattr(Ledger, name, never)
        standing.take_in(sealed)
        assert standing.seq == 3
        assert standing.counts("a").agreed == 3


def test_what_another_process_sealed_between_is_read():
    with open_ledger() as ledger:
        standing = Standing(ledger)
        seal(ledger, "other", {"a": 1, "b": 1})
        mine = seal(ledger, "mine", {"a": 1, "b": 1})
        standing.take_in([mine])
        assert standing.counts("a").agreed == 2


def test_what_is_sealed_in_another_log_is_not_taken_in():
    with open_ledger() as ledger, open_ledger() as other:
        standing = Standing(ledger)
        seal(other, "t", {"a": 1, "b": 1})
        standing.take_in(sealed_in(other))
        assert standing.seq == 0
        assert standing.ids == ()


def test_it_is_kept_now_and_then(monkeypatch):
    monkeypatch.setattr("quorate.hub.standing.KEEP_EVERY", 2)
    with open_ledger() as ledger:
        standing = Standing(ledger)
        kept = []
        monkeypatch.setattr(standing, "keep", lambda: kept.append(standing.seq))
        seal(ledger, "t", {"a": 1})
        standing.take_in(sealed_in(ledger))
        assert kept == []
        seal(ledger, "u", {"a": 1})
        standing.take_in(sealed_in(ledger, 1))
        assert kept == [2]


def test_of_too_many_none_is_held(monkeypatch):
    work = []
    monkeypatch.setattr(module.threads, "submit", work.append)
    monkeypatch.setattr(limits, "MAX_BATCH", 2)
    with open_ledger() as ledger:
        learning = Learning(Standing(ledger))
        receipts = [seal(ledger, f"t{n}", {"a": 1, "b": 1}) for n in range(3)]
        learning.tell(receipts[:2])
        assert learning._handed == receipts[:2]
        learning.tell(receipts[2:])
        assert learning._handed == []
        (run,) = work
        run()
        assert learning.standing.counts("a").agreed == 3


def test_without_a_thread_it_is_tried_again_later(monkeypatch):
    def none(_):
        raise RuntimeError("can't start new thread")

    with open_ledger() as ledger:
        learning = Learning(Standing(ledger))
        receipt = seal(ledger, "t", {"a": 1, "b": 1})
        with monkeypatch.context() as patched:
            patched.setattr(module.threads, "submit", none)
            with pytest.raises(RuntimeError):
                learning.tell([receipt])
        learning.settle()
        learning.tell()
        learning.settle()
        assert learning.standing.counts("a").agreed == 1


def test_groups_are_passed_on_in_order_before_anybody_is_told(caplog):
    passed = []

    def sealed(receipts):
        passed.extend(receipt.seq for receipt in receipts)
        raise RuntimeError("can't start new thread")

    async def main(sealer):
        got = await asyncio.gather(
            *(sealer.seal([("a", {"n": n}, None, None)] * (1 + n % 2)) for n in range(50))
        )
        assert {r.seq for receipts in got for r in receipts} <= set(passed)

    with open_ledger() as ledger, caplog.at_level(logging.ERROR, "quorate.hub"):
        asyncio.run(main(Sealer(ledger, sealed)))
    assert passed == list(range(75))
    assert "could not be passed on" in caplog.text


def test_the_hub_passes_on_what_it_seals(monkeypatch):
    async def yes(_):
        return Answer("yes", 1)

    async def main(hub):
        await asyncio.gather(*(hub.adispatch({"n": n}) for n in range(20)))

    with open_ledger() as ledger:
        hub = Hub([Expert(name, yes) for name in "abc"], Arbiter(), ledger=ledger)
        find = ledger.find

        def no_verdicts(**asked):
            halts = asked["kind"] == "oversight"
            return find(**asked) if halts else pytest.fail("it was read back")

        monkeypatch.setattr(ledger, "find", no_verdicts)
        with hub:
            asyncio.run(main(hub))
        assert hub.standing.counts("a").agreed == 20
        assert ledger.verify(replay=True).size == 20


def test_a_ledger_closed_before_the_hub_is_no_complaint(caplog):
    with Ledger.open("memory:") as ledger:
        learning = Learning(Standing(ledger))
        seal(ledger, "t", {"a": 1, "b": 1}, quorum=0.3)
    with caplog.at_level(logging.INFO, logger="quorate.hub"):
        learning.tell()
        learning.settle()
    assert caplog.records == []
