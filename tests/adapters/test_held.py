"""What adapters hold open in each event loop, and what they never tell."""

import asyncio
import contextlib
import gc
import threading
import weakref

import pytest

from quorate.core.calls import run_blocking
from quorate.core.errors import MisbehaviourError, OperationalError, TransportError, UsageError
from quorate.hub.experts.remote import Held, Secret, checked_url, in_one_line, origin, require


class Thing:
    """Opens and closes, and keeps by which task and loop."""

    def __init__(self):
        self.opened, self.closed = [], []
        self.fails = None

    @contextlib.asynccontextmanager
    async def open(self):
        if self.fails is not None:
            raise self.fails
        self.opened.append(asyncio.current_task())
        self.broken = asyncio.Event()
        try:
            yield self
            if self.broken.is_set():
                raise ExceptionGroup("one", [ExceptionGroup("two", [OSError("the pipe")])])
        finally:
            self.closed.append(asyncio.current_task())


async def nothing(thing):
    await asyncio.sleep(0)
    return thing


def test_it_is_opened_once_in_a_loop_and_closed_by_the_task_that_opened_it():
    thing = Thing()
    held = Held(thing.open)

    async def go():
        assert await asyncio.gather(*[held.use(nothing) for _ in range(5)]) == [thing] * 5
        assert len(thing.opened) == 1
        await held.aclose()
        await held.aclose()
        assert thing.closed == thing.opened
        await held.use(nothing)
        assert len(thing.opened) == 2

    asyncio.run(go())
    # The end of the loop closed the second.
    assert thing.closed == thing.opened


def test_each_loop_has_its_own_and_closing_closes_all():
    thing = Thing()
    held = Held(thing.open)
    run_blocking(held.use(nothing))

    async def go():
        await held.use(nothing)
        assert len(thing.opened) == 2
        await held.aclose()

    asyncio.run(go())
    assert set(thing.closed) == set(thing.opened)


def test_a_loop_that_was_closed_is_forgotten():
    thing = Thing()
    held = Held(thing.open)
    for _ in range(3):
        asyncio.run(held.use(nothing))
    assert len(thing.closed) == 3
    assert not held._holders


def test_what_cannot_be_opened_is_tried_again():
    thing = Thing()
    held = Held(thing.open)
    thing.fails = OperationalError("no token")

    async def go():
        results = await asyncio.gather(
            *[held.use(nothing) for _ in range(3)], return_exceptions=True
        )
        assert results == [thing.fails] * 3
        thing.fails = None
        assert await held.use(nothing) is thing

    asyncio.run(go())


@pytest.mark.parametrize("fragile", [True, False])
def test_after_a_failed_call_what_is_fragile_is_opened_afresh(fragile):
    thing = Thing()
    held = Held(thing.open, fragile=fragile)
    release = asyncio.Event()

    async def wait(thing):
        await release.wait()
        assert len(thing.closed) == 0
        return "served"

    async def fail(thing):
        raise OSError("gone")

    async def go():
        other = asyncio.create_task(held.use(wait))
        await asyncio.sleep(0)
        with pytest.raises(OSError, match="gone"):
            await held.use(fail)
        await held.use(nothing)
        assert len(thing.opened) == (2 if fragile else 1)
        release.set()
        # A call under way is served by the old one, which closes after the last.
        assert await other == "served"
        await asyncio.sleep(0.01)
        assert len(thing.closed) == (1 if fragile else 0)

    asyncio.run(go())


def test_an_answer_that_is_none_breaks_nothing():
    thing = Thing()
    held = Held(thing.open, fragile=True)

    async def misbehave(thing):
        raise MisbehaviourError("it", "no answer")

    async def go():
        for _ in range(2):
            with pytest.raises(MisbehaviourError):
                await held.use(misbehave)
        assert len(thing.opened) == 1

    asyncio.run(go())


def test_a_call_ends_with_what_it_uses():
    thing = Thing()
    held = Held(thing.open)
    cancelled = []

    async def hang(thing):
        thing.broken.set()
        held._holders[asyncio.get_running_loop()].closing.set()
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            cancelled.append(True)
            raise

    async def sleep(thing):
        await asyncio.sleep(60)

    async def go():
        with pytest.raises(TransportError, match="ended under the call: OSError: the pipe"):
            await held.use(hang)
        with pytest.raises(TransportError, match="closed under the call"):
            await asyncio.gather(held.use(sleep), held.aclose())

    asyncio.run(go())
    assert cancelled == [True]


def test_an_opening_nobody_waits_for_is_given_up():
    entered, left = [], []

    @contextlib.asynccontextmanager
    async def never():
        entered.append(True)
        try:
            await asyncio.sleep(60)
            yield None
        finally:
            left.append(True)

    held = Held(never)

    async def go():
        calls = [asyncio.create_task(held.use(nothing)) for _ in range(2)]
        await asyncio.sleep(0.01)
        calls[0].cancel()
        await asyncio.sleep(0.01)
        assert not left
        calls[1].cancel()
        await asyncio.wait(calls)
        await asyncio.sleep(0)
        assert (entered, left) == ([True], [True])
        assert not held._holders

    asyncio.run(go())


def test_what_waits_is_no_garbage():
    tasks = []

    @contextlib.asynccontextmanager
    async def opening():
        tasks.append(weakref.ref(asyncio.current_task()))
        yield None

    run_blocking(Held(opening).use(nothing))
    gc.collect()
    assert tasks[0]() is not None


def test_many_threads_share_one_held():
    thing = Thing()
    held = Held(thing.open)
    threads = [threading.Thread(target=lambda: asyncio.run(held.use(nothing))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(thing.opened) == len(thing.closed) == 8


def test_a_missing_package_says_what_to_install():
    with pytest.raises(OperationalError, match=r'pip install "quorate\[llm\]"'):
        require("no_such_package_at_all", "llm")


def test_a_secret_is_read_hidden_and_refused(token):
    secret = Secret("EXPERT_TOKEN")
    assert secret.read() == token
    assert secret.hidden(f"Bearer {token}!") == "Bearer ***!"
    assert token not in in_one_line(ExceptionGroup("x", [ValueError(f"a {token}")]), secret)
    for body in (f"..{token}..", f"..{token}..".encode()):
        with pytest.raises(MisbehaviourError, match="holds the secret"):
            secret.refuse_in(body)
    secret.refuse_in("nothing")
    assert Secret(None).read() is None
    assert Secret(None).hidden("text") == "text"


@pytest.mark.parametrize(
    ("url", "secret", "fine"),
    [
        ("https://example.org/v1", True, True),
        ("http://127.0.0.1:8000", True, True),
        ("http://[::1]:8000", True, True),
        ("http://localhost", True, True),
        ("http://example.org", False, True),
        ("http://example.org", True, False),
        ("http://127.0.0.1.example.org", True, False),
        ("http://localhost.example.org", True, False),
        ("https://u:p@example.org", False, False),
        ("https://", False, False),
        ("https://h:99999", False, False),
        ("https://h/\n", False, False),
        ("ws://h", False, False),
    ],
)
def test_addresses(url, secret, fine):
    if fine:
        assert checked_url(url, secret=secret) == url
    else:
        with pytest.raises(UsageError):
            checked_url(url, secret=secret)


def test_origins_tell_hosts_and_ports_apart():
    assert origin("https://h/a") == origin("https://H:443/b")
    assert len({origin(u) for u in ("http://h", "https://h", "http://h:81", "http://g")}) == 4
