"""Counting by instant runoff, beside the libraries that people use for it."""

from __future__ import annotations

import importlib.util
import random
from collections.abc import Callable, Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from benchmarks.measure import Aim, Figure, Settings, Spread, Step, rate_of, side_by_side
from quorate.arbitration import instant_runoff

RUNOFF: Final = "instant runoff"
PREF_VOTING: Final = "pref_voting"
VOTEKIT: Final = "votekit"
ABOUT_PEERS: Final = "not compared: pref_voting and votekit are not installed; 'make bench' does it"

Ballots = NDArray[np.int64]
"""Rankings of options, best first, shape [ballots, options]; all of them ranked."""


def steps(settings: Settings) -> list[Step]:
    """Beside the peers over five and twenty options, then a million ballots, then a panel's."""
    return [
        Step("runoff, 1,000 ballots", lambda: _beside_peers(settings, 1_000, 5)),
        Step("runoff, 100,000 ballots", lambda: _beside_peers(settings, 100_000, 5)),
        Step("runoff, 1,000 ballots of 20", lambda: _beside_peers(settings, 1_000, 20)),
        Step("runoff, 1,000,000 ballots", lambda: _alone(settings)),
        Step("runoff, a panel", lambda: _panel(settings)),
    ]


def ballots(count: int, options: int) -> Ballots:
    """Rankings around a common order, with noise: neither unanimous nor arbitrary."""
    generator = np.random.default_rng(count + options)
    noise = generator.normal(0, 2.0, size=(count, options))
    return np.argsort(np.arange(options) + noise, axis=1)


def _peers(rankings: Ballots) -> dict[str, Callable[[], object]]:
    """Counting by the peers, from the same array, which they take as distinct ballots."""
    made: dict[str, Callable[[], object]] = {}
    if importlib.util.find_spec("pref_voting") is not None:
        made[PREF_VOTING] = lambda: _pref_voting(rankings)
    if importlib.util.find_spec("votekit") is not None:
        made[VOTEKIT] = lambda: _votekit(rankings)
    return made


def _pref_voting(rankings: Ballots) -> object:
    from pref_voting.profiles import Profile
    from pref_voting.voting_methods import instant_runoff as theirs

    kinds, counts = np.unique(rankings, axis=0, return_counts=True)
    return theirs(Profile(kinds.tolist(), rcounts=counts.tolist()))


def _votekit(rankings: Ballots) -> object:
    from votekit.ballot import RankBallot
    from votekit.elections import IRV
    from votekit.pref_profile import RankProfile

    kinds, counts = np.unique(rankings, axis=0, return_counts=True)
    profile = RankProfile(
        ballots=tuple(
            RankBallot(
                ranking=tuple(frozenset({str(option)}) for option in kind), weight=int(count)
            )
            for kind, count in zip(kinds, counts, strict=True)
        )
    )
    return IRV(profile, tiebreak="lexicographic")


def _beside_peers(settings: Settings, count: int, options_count: int) -> list[Figure]:
    rankings = ballots(count, options_count)
    options = list(range(options_count))
    ours = "whole array"
    peers = _peers(rankings)
    subjects = {ours: lambda: rate_of(count, lambda: instant_runoff(rankings, options=options))}
    for name, work in peers.items():
        subjects[name] = lambda work=work: rate_of(count, work)  # type: ignore[misc]
    turns = side_by_side(subjects, settings.turns if options_count < 20 else 1)
    title = f"{count:,} ballots, {options_count} options"
    if not peers:
        return [_figure(title, turns.rates[ours], ABOUT_PEERS)]
    note = (
        "ours counts every ballot from the array; theirs a profile of distinct ballots made before"
    )
    aim = Aim("100x", ratio=100)
    return [
        turns.compare(ours, name, subject=RUNOFF, unit="ballots/s", title=title, aim=aim, note=note)
        for name in peers
    ]


def _alone(settings: Settings) -> list[Figure]:
    count = settings.units(1_000_000)
    rankings = ballots(count, 20)
    options = list(range(20))
    turns = side_by_side(
        {"": lambda: rate_of(count, lambda: instant_runoff(rankings, options=options))},
        min(3, settings.turns),
    )
    aim = Aim("1.5M ballots/s", rate=1.5e6)
    return [_figure(f"{count:,} ballots, 20 options", turns.rates[""], "", aim)]


def _panel(settings: Settings) -> list[Figure]:
    chosen = random.Random(31)
    options = ["a", "b", "c", "d", "e"]
    rankings: Sequence[Any] = [chosen.sample(options, 5) for _ in range(31)]
    weights = [chosen.randint(1, 100) for _ in rankings]
    count = settings.units(600)

    def work() -> None:
        for _ in range(count):
            instant_runoff(rankings, weights, options=options)

    turns = side_by_side({"": lambda: rate_of(count, work)}, settings.turns)
    aim = Aim("40,000 counts/s (25 us)", rate=40_000)
    rates = turns.rates[""]
    return [_figure("31 ballots, 5 options, a panel's", rates, "", aim, unit="counts/s")]


def _figure(
    title: str, rates: list[float], note: str, aim: Aim | None = None, unit: str = "ballots/s"
) -> Figure:
    return Figure(subject=RUNOFF, name=title, unit=unit, rate=Spread.of(rates), aim=aim, note=note)
