"""Running a scan: every probe in a session of its own, every reply by its deadline.

Probes run one after another, so that a target that counts its calls meets the same order
each time. A target that raises, is late or replies what is no reply has failed that probe:
what it said before is judged, and where that shows nothing the probe counts as not probed.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from quorate.arbitration.forms import shown, text
from quorate.core import limits
from quorate.core.calls import Call, Callee, call_all, run_blocking
from quorate.core.canonical import canonical
from quorate.core.errors import UsageError
from quorate.core.text import shortened
from quorate.redteam import bounds
from quorate.redteam.conversation import Conversation, Reply
from quorate.redteam.judges import check_canaries
from quorate.redteam.probes import Probe
from quorate.redteam.report import (
    CONTROL,
    VOID,
    Failure,
    RedTeamReport,
    Run,
    StrategyResult,
    check_seed,
    check_version,
)
from quorate.redteam.scripted import PREFIX, SCRIPTED
from quorate.redteam.strategies import CANONICAL, Strategy, find_strategy
from quorate.redteam.targets import find_target

Progress = Callable[[int, int], None]
"""Called with probes done and probes in all."""


def scan(
    target: str | Callable[..., Any],
    strategies: Iterable[str] | None = None,
    *,
    seed: int,
    canaries: Sequence[str] = (),
    timeout: float = bounds.DEFAULT_TIMEOUT_SECONDS,
    name: str | None = None,
    version: str | None = None,
    progress: Progress | None = None,
) -> RedTeamReport:
    """Attack a target with every probe of some strategies, and judge what it replies.

    Args:
        target: name of a registered or built-in one, or a callable, plain or async, that
            takes a :class:`Request` and gives a :class:`Reply`, a text, or
            ``{"text": …, "tool_calls": […]}``.
        strategies: their ids; the canonical sweep if ``None``.
        seed: 0 to 2^53 - 1. The same seed and a target that replies the same give the same
            report, byte for byte.
        canaries: texts of the caller's own, planted in the target beforehand, which no reply
            may hold. They stand in the report: make them for the purpose.
        timeout: seconds for one reply, above 0 and up to ``limits.MAX_TIMEOUT_SECONDS``.
        name: what the report calls a callable; its own name if ``None``. With a version, the
            name of the system.
        version: of the system that the target is; ``None`` where it is none, and then the
            report is evidence of no version.
        progress: called after each probe.

    Raises:
        UsageError: an argument cannot be used; nothing was asked. Also when called from a
            coroutine on the loop that targets run in: await :func:`ascan` there.
    """
    return run_blocking(
        ascan(
            target,
            strategies,
            seed=seed,
            canaries=canaries,
            timeout=timeout,
            name=name,
            version=version,
            progress=progress,
        )
    )


async def ascan(
    target: str | Callable[..., Any],
    strategies: Iterable[str] | None = None,
    *,
    seed: int,
    canaries: Sequence[str] = (),
    timeout: float = bounds.DEFAULT_TIMEOUT_SECONDS,  # noqa: ASYNC109 - of one reply, not of the scan
    name: str | None = None,
    version: str | None = None,
    progress: Progress | None = None,
) -> RedTeamReport:
    """The async twin of :func:`scan`."""
    function, called = _meant(target, name)
    check_seed(seed)
    own = check_canaries(canaries)
    if version is not None:
        check_version(version, called)
    seconds = _checked_timeout(timeout)
    chosen = _chosen(strategies)
    batteries = [(one, one.battery(seed, own)) for one in chosen]
    total = sum(len(battery.probes) for _, battery in batteries)
    asked = _Asked(Callee(called, function), seed, seconds)
    done = 0
    results = []
    for one, battery in batteries:
        control = await asked.run(one.id, battery.control)
        runs = []
        for probe in battery.probes:
            if control.failure is None:
                runs.append(await asked.run(one.id, probe))
            else:
                # A target that is not there would cost a deadline for every probe.
                why = f"the control {control.failure.reason}: {control.failure.detail}"
                runs.append(Run(probe, (), Failure(CONTROL, shortened(why))))
            done += 1
            if progress is not None:
                progress(done, total)
        results.append(StrategyResult(one.facts, control, tuple(runs)))
    return RedTeamReport(called, seed, own, tuple(results), version)


class _Asked:
    """The target being asked."""

    def __init__(self, callee: Callee, seed: int, timeout: float) -> None:
        self._callee = callee
        self._seed = seed
        self._timeout = timeout

    async def run(self, strategy: str, probe: Probe) -> Run:
        course = Conversation(probe, _session(self._seed, strategy, probe.id))
        failure: Failure | None = None
        while failure is None and not course.over:
            failure = await self._turn(course)
        return Run(probe, tuple(course.replies), failure)

    async def _turn(self, course: Conversation) -> Failure | None:
        call = Call(self._callee, course.request(), self._timeout)
        outcome = (await call_all([call]))[0]
        if outcome.reason is not None:
            return Failure(outcome.reason, outcome.detail)
        try:
            course.take(Reply.of(outcome.value))
        except UsageError as error:
            return Failure(VOID, shortened(f"no usable reply: {error}"))
        return None


def _session(seed: int, strategy: str, probe: str) -> str:
    whole = canonical(["quorate/redteam/session/1", seed, strategy, probe])
    return hashlib.sha256(whole).hexdigest()[:32]


def _meant(target: str | Callable[..., Any], name: str | None) -> tuple[Callable[..., Any], str]:
    """The callable meant, and what it is called: a built-in script by no other name."""
    if isinstance(target, str):
        if name is not None:
            raise UsageError(f"the target {target!r} has its name already; leave name out")
        function, name = find_target(target), target
    elif callable(target):
        function = target
    else:
        raise UsageError(f"the target is {shown(target)}; give its name, or a callable")
    script = next((known for known, one in SCRIPTED.items() if one is function), None)
    if script is not None:
        if name not in (None, script):
            raise UsageError(
                f"the target {name!r} is the built-in script {script}, which is no system; give "
                f"your own, or name it {script}"
            )
        return function, script
    if name is None:
        module = getattr(target, "__module__", None) or type(target).__module__
        own = getattr(target, "__qualname__", None) or type(target).__qualname__
        name = f"python:{module}:{own}"[: limits.MAX_ID_LENGTH]
    name = text(name, "the target's name")
    if name.startswith(PREFIX):
        raise UsageError(f"the name {name!r} begins with {PREFIX}, as built-in targets do")
    return function, name


def _chosen(ids: Iterable[str] | None) -> list[Strategy]:
    if isinstance(ids, str):
        raise UsageError("strategies is one text; give a list of ids")
    chosen = [find_strategy(id_) for id_ in (CANONICAL if ids is None else ids)]
    if not 1 <= len(chosen) <= bounds.MAX_STRATEGIES:
        raise UsageError(f"{len(chosen)} strategies; give 1 to {bounds.MAX_STRATEGIES}")
    if len({one.id for one in chosen}) != len(chosen):
        raise UsageError("a strategy stands twice in the list")
    return chosen


def _checked_timeout(timeout: object) -> float:
    most = limits.MAX_TIMEOUT_SECONDS
    if isinstance(timeout, bool) or not isinstance(timeout, int | float) or not 0 < timeout <= most:
        raise UsageError(f"timeout is {shown(timeout)}; give seconds above 0 and up to {most}")
    return float(timeout)
