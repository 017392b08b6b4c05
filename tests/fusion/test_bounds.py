"""Every rule stays within its proven bound, and the bounds are not idle."""

from math import inf, sqrt

import numpy as np
import pytest

from quorate.core.errors import UsageError
from quorate.fusion import attacks
from quorate.fusion.bounds import bound, bucketed_kappa, kappa, krum_kappa, mixed_kappa
from quorate.fusion.fuse import folded
from quorate.fusion.names import MDA, RULES, find_rule
from quorate.fusion.robustness import NAMES, SIZES, just_outside, measured_kappa, table
from quorate.fusion.rules.krum import krum_of

PROTECTED = [name for name in NAMES if name != "mean"]
# What rounding may add, beside kappas of 1 and more.
SLACK = 1e-9
TOKENS = 20


def sizes(rule):
    """A few (n, f), the least n for each f among them, and none too large to search."""
    least = find_rule(rule).least
    cases = [(least(1), 1), (least(1) + 1, 1), (least(2), 2), (least(2) + 3, 2)]
    cases += [(n, f) for n, f in SIZES[:3] if n >= least(f)]
    return list(dict.fromkeys(cases))


def honest_rows(drawn, count, tokens, length):
    """Rows of many shapes: normal, in camps, one far off, of small whole numbers, one line."""
    rows = drawn.normal(size=(count, tokens, length))
    kinds = np.array_split(np.arange(tokens), 5)
    rows[: count // 2, kinds[1]] += drawn.normal(size=(1, len(kinds[1]), length)) * 5
    rows[0, kinds[2]] *= 30
    rows[:, kinds[3]] = rows[:, kinds[3]].round()
    rows[:, kinds[4]] = rows[:, kinds[4], :1]
    return rows + drawn.normal(size=(1, tokens, length))


def finite(values):
    """Without the tokens whose honest rows are all equal, which need no bound."""
    return values[np.isfinite(values)]


@pytest.mark.parametrize("rule", PROTECTED)
def test_no_attack_exceeds_the_bound(rule):
    drawn = np.random.default_rng(21)
    for n, f in sizes(rule):
        honest = honest_rows(drawn, n - f, TOKENS, 3)
        proven = kappa(rule, n, f)
        tried = [
            attacks.sign_flip(honest, f),
            attacks.sign_flip(honest, f, scale=1e6),
            attacks.inner_product_manipulation(honest, f),
            attacks.a_little_is_enough(honest, f),
            attacks.a_little_is_enough(honest, f, z=3.0),
            attacks.infinity(honest, f),
            attacks.nan(honest, f),
            attacks.label_flip(honest, f),
            attacks.gaussian(honest, f, noise=drawn.normal(size=(f, TOKENS, 3))),
            attacks.colluding_optimum(honest, f, rule=rule),
            *(attacks.mimic(honest, f, who=who) for who in range(n - f)),
        ]
        for liars in tried:
            assert finite(measured_kappa(honest, liars, rule)).max() <= proven + SLACK


@pytest.mark.parametrize("rule", PROTECTED)
def test_no_search_by_random_steps_exceeds_the_bound(rule):
    """Honest rows and liars both move, and what made it worse is kept."""
    drawn = np.random.default_rng(22)
    for n, f in sizes(rule)[:3]:
        rows = drawn.normal(size=(n, TOKENS, 2))
        harm = measured_kappa(rows[: n - f], rows[n - f :], rule)
        for step in range(30):
            width = 0.5 if step % 3 else 3.0
            moved = rows + drawn.normal(size=rows.shape) * width * (
                drawn.random((n, TOKENS, 1)) < 0.4
            )
            found = measured_kappa(moved[: n - f], moved[n - f :], rule)
            better = found > harm
            rows[:, better], harm[better] = moved[:, better], found[better]
        assert harm.max() <= kappa(rule, n, f) + SLACK


@pytest.mark.parametrize(("n", "f"), SIZES)
def test_the_plain_mean_is_far_outside_every_bound(n, f):
    honest = np.random.default_rng(23).normal(size=(n - f, 50, 4))
    liars = attacks.sign_flip(honest, f, scale=100.0)
    harm = measured_kappa(honest, liars, "mean")
    assert np.median(harm) > 10 * max(kappa(rule, n, f) for rule in ("median", MDA))
    assert kappa("mean", n, f) == inf


def test_the_bound_holds_for_every_subset_of_honest_size():
    """Not only for the rows that happen to be honest."""
    from itertools import combinations

    drawn = np.random.default_rng(24)
    rows = honest_rows(drawn, 7, 30, 2)
    for rule in PROTECTED:
        if find_rule(rule).least(2) > 7:
            continue
        for subset in combinations(range(7), 5):
            others = [row for row in range(7) if row not in subset]
            harm = measured_kappa(rows[list(subset)], rows[others], rule)
            assert finite(harm).max() <= kappa(rule, 7, 2) + SLACK


def test_the_medians_bound_is_reached():
    """h = 2 honest values at n = 3: the liar sides with one, a whole deviation off."""
    honest = np.array([[0.0], [2.0]])
    assert measured_kappa(honest, np.array([[2.0]]), "median") == pytest.approx(1.0)
    assert kappa("median", 3, 1) == 1.0
    # Two of five honest at 3, three at 0, and two liars at 3.
    honest = np.array([[3.0], [3.0], [0.0], [0.0], [0.0]])
    harm = measured_kappa(honest, np.array([[3.0], [3.0]]), "median")
    assert harm == pytest.approx(kappa("median", 7, 2)) == 1.5


def test_a_smaller_bound_would_not_hold():
    """So the tests above can fail: nine tenths of these bounds are exceeded."""
    for rule in ("median", MDA):
        found = just_outside(rule) if rule == MDA else None
        if found is not None:
            harm = measured_kappa(found.honest, found.liars, rule)
            assert harm > 0.9 * kappa(rule, 3, 1)
    honest = np.array([[3.0], [3.0], [0.0], [0.0], [0.0]])
    assert measured_kappa(honest, np.full((2, 1), 3.0), "median") > 0.9 * kappa("median", 7, 2)


def test_our_bounds_beside_the_papers():
    for n, f in [*SIZES, (5, 1), (9, 2), (31, 10)]:
        ratio = f / (n - 2 * f)
        assert kappa("median", n, f) <= 4 * (1 + ratio) ** 2
        assert kappa("geometric_median", n, f) == pytest.approx(4 * (1 + ratio) ** 2)
        assert kappa("trimmed_mean", n, f) == pytest.approx(6 * ratio * (1 + ratio))
        theirs = 6 * (1 + ratio)
        assert krum_kappa(n, f, n - f - 1) == pytest.approx((1 + sqrt(2)) ** 2 * (1 + ratio))
        assert krum_kappa(n, f, n - f - 1) <= theirs
        if n >= 2 * f + 3:
            assert kappa("krum", n, f) == krum_kappa(n, f, n - f - 2) > theirs


@pytest.mark.parametrize("more", [-1, -2])
def test_either_count_of_neighbours_keeps_to_its_own_bound(more):
    drawn = np.random.default_rng(25)
    for n, f in [(5, 1), (7, 2), (10, 3)]:
        near = n - f + more
        honest = honest_rows(drawn, n - f, TOKENS, 2)
        mean = honest.mean(axis=0)
        spread = ((honest - mean) ** 2).sum(axis=-1).mean(axis=0)
        for liars in attacks._placements(honest, f):
            rows = np.concatenate([honest, liars])
            values = folded(rows, f, lambda r, g, k=near: krum_of(r, g, k), "krum").values
            harm = ((values - mean) ** 2).sum(axis=-1)[spread > 0] / spread[spread > 0]
            assert harm.max() <= krum_kappa(n, f, near) + SLACK


def test_mixed_and_bucketed_bounds():
    assert mixed_kappa(10, 0, 5.0) == 0.0
    assert mixed_kappa(10, 3, 1.0) == pytest.approx(2 * 24 / 7)
    assert kappa("nnm+median", 10, 3) == mixed_kappa(10, 3, kappa("median", 10, 3))
    assert kappa("bucketing+median", 10, 2) == bucketed_kappa(10, 2, kappa("median", 5, 2))
    assert bucketed_kappa(10, 2, 1.0) == pytest.approx(2 * 8 / (3 * 2))
    assert bucketed_kappa(9, 2, 1.0) == pytest.approx(2 * 7 / (3 * 1))


def test_without_liars_the_means_have_no_error():
    for rule in ("mean", "trimmed_mean", "mean_around_median", MDA, "nnm+median"):
        assert kappa(rule, 7, 0) == 0.0
        honest = np.random.default_rng(26).normal(size=(7, 20, 3))
        harm = measured_kappa(honest, np.empty((0, 20, 3)), rule)
        assert harm == pytest.approx(0.0, abs=1e-25)


def test_every_rule_has_a_bound_with_its_source():
    for rule in RULES:
        found = bound(rule, 13, 4)
        assert found is not None
        assert "Allouah" in found.source or "quorate.fusion.bounds" in found.source
    with pytest.raises(UsageError, match="krum with 1 liar needs at least 5"):
        kappa("krum", 4, 1)


def test_the_table_is_the_same_each_time_and_within_its_bounds():
    seen = []
    some = SIZES[:2]
    first = table(lambda done, total: seen.append((done, total)), sizes=some)
    assert seen == [(done + 1, 2 * len(NAMES)) for done in range(2 * len(NAMES))]
    again = table(sizes=some[:1]).to_dict()
    assert first.to_dict() | {"rows": again["rows"]} == again
    assert first.to_dict()["rows"][: len(NAMES)] == again["rows"]
    for row in first.rows:
        assert row.within is not False
        if row.excluded:
            assert "needs at least" in row.excluded
            assert row.worst is None
        elif row.rule == "mean":
            assert row.worst > 100
            assert row.bound == inf
    by_name = {(row.rule, row.n): row for row in first.rows}
    assert by_name["krum", 4].excluded.startswith("krum with 1 liar needs at least 5")
    shown = first.to_markdown()
    assert "| krum | n/a |" in shown
    assert shown.count("\n") == len(NAMES) + 2
    data = first.to_dict()
    assert [row["rule"] for row in data["rows"]] == [row.rule for row in first.rows]
    assert data["rows"][0]["bound"] == "inf"
    assert set(data["attacks"]) >= {"sign_flip", "nan", "colluding_optimum"}
