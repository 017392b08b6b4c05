"""How far each rule can be led astray, proven.

A rule F is (f, kappa)-robust (Allouah, Farhadkhani, Guerraoui, Gupta, Pinot and Stephan,
*Fixing by Mixing: A Recipe for Optimal Byzantine ML under Heterogeneity*, AISTATS 2023) if
for every set S of n - f rows, with mean mu and V = (1/|S|) sum over S of |x_i - mu|^2,

    |F(x_1..x_n) - mu|^2  <=  kappa * V

whatever the other f rows are. :func:`kappa` gives such a number, each from a paper or from
a proof written below. Throughout h = n - f, S is any set of h rows, mu and V are its mean
and variance, and ``Cantelli`` is the one-sided inequality: if at least p of h numbers of
mean 0 and variance v lie at d > 0 or beyond, then d^2 <= v (h - p) / p.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import inf, sqrt
from types import MappingProxyType
from typing import Final

from quorate.fusion.names import MDA, check_rule, find_rule
from quorate.fusion.rules.mixing import BUCKET

_ALLOUAH: Final = "Allouah et al., AISTATS 2023"
_HERE: Final = "proven in quorate.fusion.bounds"


@dataclass(frozen=True, slots=True)
class Bound:
    """A proven bound.

    Attributes:
        kappa: the coefficient; infinity where no bound exists at all.
        source: the paper, or where the proof stands.
    """

    kappa: float
    source: str


def bound(rule: str, n: int, faults: int | None = None) -> Bound | None:
    """The bound proven for ``rule`` (with its default parameters), or ``None``.

    Raises:
        UsageError: unknown rule, or (n, f) that it does not bear.
    """
    f = check_rule(rule, n, faults)
    found = find_rule(rule)
    last = found.name.rpartition("+")[2]
    if not found.before:
        return _bound(last, n, f)
    rows = -(-n // BUCKET) if found.before == "bucketing" else n
    inner = _bound(last, rows, f)
    if inner is None:
        return None
    if found.before == "nnm":
        return Bound(mixed_kappa(n, f, inner.kappa), f"{_ALLOUAH}; {inner.source}")
    return Bound(bucketed_kappa(n, f, inner.kappa), f"{_HERE}; {inner.source}")


def kappa(rule: str, n: int, faults: int | None = None) -> float | None:
    """The coefficient alone; see :func:`bound`."""
    found = bound(rule, n, faults)
    return None if found is None else found.kappa


def _bound(rule: str, n: int, faults: int) -> Bound | None:
    entry = _BOUNDS.get(rule)
    return None if entry is None else Bound(entry[0](n, faults), entry[1])


def mean_kappa(_n: int, faults: int) -> float:
    """The plain mean: one liar moves it anywhere."""
    return inf if faults else 0.0


def median_kappa(n: int, faults: int) -> float:
    """Coordinate-wise median: floor(n/2) / (ceil(n/2) - f).

    Proof. One coordinate; say the median lies d > 0 above mu. At least ceil(n/2) of all n
    values are no less than the median (the mean of the two middle ones if n is even), so at
    least p = ceil(n/2) - f of S are, and d^2 <= v (h - p) / p by Cantelli, where
    h - p = floor(n/2). The same from below; then sum over the coordinates.

    The paper's 4 (1 + f/(n-2f))^2 is never less.
    """
    return (n // 2) / ((n + 1) // 2 - faults)


def trimmed_kappa(n: int, faults: int) -> float:
    """Trimmed mean: 6 f/(n-2f) (1 + f/(n-2f)), the paper's."""
    ratio = faults / (n - 2 * faults)
    return 6 * ratio * (1 + ratio)


def geometric_kappa(n: int, faults: int) -> float:
    """Geometric median: 4 (1 + f/(n-2f))^2, the paper's.

    The proof asks only that the point's distances to all rows add up to no more than mu's
    do; a sum greater by e moves the point at most e / (n - 2f) farther.
    """
    return 4 * (1 + faults / (n - 2 * faults)) ** 2


def krum_kappa(n: int, faults: int, neighbours: int | None = None) -> float:
    """Krum that scores by k others: h (1 + sqrt(2k/(h-1)))^2 / (k - f + 1), k <= h - 1.

    The paper's 6 (1 + f/(n-2f)) is for k = n - f - 1, the row itself counted among n - f,
    where this gives 5.83 in place of 6. It is not proven for Blanchard's k = n - f - 2,
    the default here; what follows holds for either.

    Proof. Let c be the row chosen, N its k nearest others, s its score. For i in S the k
    nearest others are no farther on average than the h - 1 others of S, and c's score is
    no more than the average over S:

        s <= k/(h-1) * (1/h) sum over i, j in S of |x_i - x_j|^2 = 2hk/(h-1) V.

    Let G be the members of S in N and c together. Of the k + 1 at most f are not in S, so
    |G| >= k - f + 1. For every t > 0, |x_c - mu|^2 <= (1+t)|x_c - x_j|^2 + (1+1/t)|x_j - mu|^2
    for each j in G; added up, |G| |x_c - mu|^2 <= (1+t) s + (1+1/t) h V. The best t gives
    (sqrt(2hk/(h-1)) + sqrt(h))^2 V / |G|.
    """
    honest = n - faults
    near = honest - 2 if neighbours is None else neighbours
    if honest == 1:  # alone: f = 0, and the row is its own mean
        return 0.0
    return honest * (1 + sqrt(2 * near / (honest - 1))) ** 2 / (near - faults + 1)


def multi_krum_kappa(n: int, faults: int, neighbours: int | None = None) -> float:
    """Multi-Krum with m <= n - f: no more than Krum's.

    Proof. The r-th least of all scores is no more than the r-th least within S. So the m
    least scores add up to no more than the m least within S, and these to no more than m
    times the average over S, which is at most 2hk/(h-1) V as for Krum. Krum's last step
    bounds |x_c - mu|^2 for every chosen c by its own score; averaged over the m chosen it
    gives Krum's bound, and the square of a mean's distance is no more than the mean of the
    squares. Bareilles et al. (*MultiKrum and an optimal notion of robustness*, 2026) study
    this bound much further.
    """
    return krum_kappa(n, faults, neighbours)


def around_median_kappa(n: int, faults: int) -> float:
    """Mean around the median: 4f/h (1 + sqrt(f k/h))^2 with k the median's own bound.

    Proof. One coordinate, median m, K the h values kept, q = |K outside S| = |S outside K|
    <= f. Pair each kept x outside S with a y of S left out: |x - m| <= |y - m|, so
    |x - y| <= 2|y - m| and |F - mu| <= (2/h) sum of |y - m| over the q left out. Hence
    (F - mu)^2 <= (4q/h^2) sum of ((1+t)(y - mu)^2 + (1+1/t)(m - mu)^2)
    <= (4f/h^2) ((1+t) h v + (1+1/t) f k v); the best t gives the bound.
    """
    honest = n - faults
    return 4 * faults / honest * (1 + sqrt(faults * median_kappa(n, faults) / honest)) ** 2


def diameter_kappa(n: int, faults: int) -> float:
    """Minimum-diameter averaging: 8 f^2 / h.

    Proof. M, the subset chosen, is no wider than S, whose diameter is D. q <= f rows of M
    are outside S and as many of S outside M; pair them, and go from one to the other
    through a row of both (n > 2f leaves one): at most 2D. So |F - mu| <= 2fD/h. Two rows of
    S lie at most D^2 <= 2(|x_i - mu|^2 + |x_j - mu|^2) <= 2hV apart. (Farhadkhani et al.,
    ICML 2022, have 2f/(n-f) against the diameter.)
    """
    return 8 * faults**2 / (n - faults)


def clipping_kappa(n: int, faults: int) -> float:
    """Centred clipping around the median within the median distance, one step.

    (sqrt(h (1 + k) / p) + sqrt(k))^2 with k the median's bound, p = floor(n/2) + 1 - f.

    Proof. Let m be the centre and r the radius, the lower of the middle distances. At
    least floor(n/2) + 1 rows lie r or farther from m, so at least p of S do, and
    p r^2 <= sum over S of |x_i - m|^2 = h V + h |m - mu|^2 <= h (1 + k) V. The result is m
    plus a mean of vectors no longer than r, so |F - mu| <= r + |m - mu|.
    """
    centre = median_kappa(n, faults)
    beyond = n // 2 + 1 - faults
    return (sqrt((n - faults) * (1 + centre) / beyond) + sqrt(centre)) ** 2


def mixed_kappa(n: int, faults: int, inner: float) -> float:
    """After nearest-neighbour mixing: 8f/(n-f) (kappa + 1), the paper's Lemma 1."""
    return 8 * faults / (n - faults) * (inner + 1) if faults else 0.0


def bucketed_kappa(n: int, faults: int, inner: float) -> float:
    """After bucketing by s into b means: (kappa + 1) h / ((b - f) s'), kappa for (b, f).

    s' is the least bucket's size. Proof. At most f buckets hold a row outside S; let S' be
    b - f of the others, y their means, Q = (1/|S'|) sum of |y - mu|^2. Since |y - mu|^2 <=
    (1/s') sum over the bucket of |x_i - mu|^2, Q <= hV / (|S'| s'). With a = |mean of S' -
    mu|^2 the variance within S' is Q - a, so |F - mu| <= sqrt(kappa (Q - a)) + sqrt(a), whose
    square is at most (kappa + 1) Q.
    """
    buckets = -(-n // BUCKET)
    least = n - BUCKET * (buckets - 1)
    return (inner + 1) * (n - faults) / ((buckets - faults) * least)


_BOUNDS: Final[Mapping[str, tuple[Callable[[int, int], float], str]]] = MappingProxyType(
    {
        "mean": (mean_kappa, _HERE),
        "median": (median_kappa, _HERE),
        "trimmed_mean": (trimmed_kappa, _ALLOUAH),
        "krum": (krum_kappa, _HERE),
        "multi_krum": (multi_krum_kappa, _HERE),
        "geometric_median": (geometric_kappa, _ALLOUAH),
        "mean_around_median": (around_median_kappa, _HERE),
        "centered_clipping": (clipping_kappa, _HERE),
        MDA: (diameter_kappa, _HERE),
    }
)
