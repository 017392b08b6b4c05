"""The distance rules again, plainly: loops over rows, exact rationals, one token at a time.

Rows are lists of floats; what is chosen is decided in exact arithmetic, so a twin and a
rule may only differ where a rule rounds.
"""

import math
from fractions import Fraction
from itertools import combinations


def squared(left, right):
    return sum(
        ((Fraction(a) - Fraction(b)) ** 2 for a, b in zip(left, right, strict=True)), Fraction(0)
    )


def canonical(rows):
    return sorted(rows, key=list)


def mean(rows):
    """Exact, then rounded once."""
    return [float(sum(map(Fraction, column)) / len(rows)) for column in zip(*rows, strict=True)]


def scores(rows, neighbours):
    return [
        sum(sorted(squared(row, other) for j, other in enumerate(rows) if j != i)[:neighbours])
        for i, row in enumerate(rows)
    ]


def krum(rows, f, neighbours=None):
    return multi_krum_rows(rows, f, 1, neighbours)[0]


def multi_krum_rows(rows, f, m, neighbours=None):
    near = len(rows) - f - 2 if neighbours is None else neighbours
    ranked = sorted(zip(scores(rows, near), map(list, rows), strict=True))
    return [row for _, row in ranked[:m]]


def multi_krum(rows, f, m=None, neighbours=None):
    kept = multi_krum_rows(rows, f, len(rows) - f if m is None else m, neighbours)
    return mean(kept)


def minimum_diameter(rows, f):
    best, chosen = None, None
    for subset in combinations(canonical(rows), len(rows) - f):
        diameter = max((squared(a, b) for a, b in combinations(subset, 2)), default=Fraction(0))
        if best is None or diameter < best:
            best, chosen = diameter, subset
    return mean(chosen)


def mixed(rows, f):
    ordered = canonical(rows)
    return [
        mean(sorted(ordered, key=lambda other, row=row: squared(row, other))[: len(rows) - f])
        for row in rows
    ]


def bucketed(rows, size):
    ordered = canonical(rows)
    return [mean(ordered[start : start + size]) for start in range(0, len(ordered), size)]


def median(rows):
    result = []
    for column in zip(*rows, strict=True):
        values = sorted(column)
        low, high = values[(len(values) - 1) // 2], values[len(values) // 2]
        result.append(low if low == high else low / 2 + high / 2)
    return result


def distance(left, right):
    return math.dist(left, right)


def clipped(rows, centre=None, radius=None, steps=1):
    point = median(rows) if centre is None else list(centre)
    for _ in range(steps):
        lengths = [distance(row, point) for row in rows]
        reach = sorted(lengths)[(len(rows) - 1) // 2] if radius is None else radius
        total = [0.0] * len(point)
        for row, length in zip(rows, lengths, strict=True):
            share = 1.0 if length <= reach else reach / length
            for place, value in enumerate(row):
                total[place] += share * (value - point[place])
        point = [value + part / len(rows) for value, part in zip(point, total, strict=True)]
    return point


def cost(rows, point):
    """What the geometric median makes least."""
    return math.fsum(distance(row, point) for row in rows)


def least_cost(rows, rounds=400):
    """The least cost that a search by shrinking steps in all directions finds."""
    best = min([*map(list, rows), mean(rows), median(rows)], key=lambda point: cost(rows, point))
    reach = max(distance(a, b) for a in rows for b in rows) or 1.0
    for _ in range(rounds):
        tries = [
            [value + (step if at == place else 0.0) for at, value in enumerate(best)]
            for place in range(len(best))
            for step in (reach, -reach)
        ]
        found = min(tries, key=lambda point: cost(rows, point))
        if cost(rows, found) < cost(rows, best):
            best = found
        else:
            reach /= 2
    return cost(rows, best)
