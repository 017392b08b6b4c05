"""How each rule stands up to each attack, measured beside what is proven; and where it ends.

:func:`table` measures the coefficient kappa of :mod:`quorate.fusion.bounds` for every rule,
attack and size over a fixed set of inputs; :func:`just_outside` gives inputs one step
outside the condition under which a rule cannot misroute a token, which do misroute it.
"""

from __future__ import annotations

import platform
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from importlib.metadata import version
from math import inf, isfinite
from typing import Any, Final

import numpy as np

from quorate.core.errors import UsageError
from quorate.fusion import attacks
from quorate.fusion.bounds import bound, kappa
from quorate.fusion.fuse import fuse, robust_route
from quorate.fusion.names import RULES, check_rule, find_rule

Array = Any
"""A NumPy array or a PyTorch tensor."""

VERSION: Final = 1
SIZES: Final = ((4, 1), (7, 2), (10, 3), (13, 4))
"""(n, f) of the table."""
QUICK: Final = SIZES[:2]
"""(n, f) of a table that has to be there soon."""
NAMES: Final = (*RULES, "nnm+median", "nnm+trimmed_mean", "nnm+krum", "bucketing+median")
"""Rules of the table."""

_TOKENS: Final = 48
_LENGTH: Final = 8
_SEED: Final = 20260101
_NOT_APPLICABLE: Final = "n/a"


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table.

    Attributes:
        rule: its name.
        n: replicas.
        faults: liars among them.
        bound: proven kappa; ``None`` without a proof, infinity where there is none to prove.
        source: of the bound, or ``""``.
        worst: greatest kappa measured, or ``None`` where the rule does not bear (n, f).
        by_attack: greatest kappa measured, by attack.
        excluded: why the rule does not bear (n, f), or ``""``.
    """

    rule: str
    n: int
    faults: int
    bound: float | None
    source: str
    worst: float | None
    by_attack: Mapping[str, float]
    excluded: str = ""

    @property
    def within(self) -> bool | None:
        """Whether nothing measured exceeds the bound; ``None`` where either is missing."""
        if self.bound is None or self.worst is None:
            return None
        return self.worst <= self.bound


@dataclass(frozen=True, slots=True)
class Table:
    """Measured coefficients beside the proven ones.

    Attributes:
        rows: one for each rule and size.
        attacks: names of the attacks, in the order of the columns.
        seed: of the inputs.
        quick: whether it was made for the small sizes only.
    """

    rows: tuple[Row, ...]
    attacks: tuple[str, ...]
    seed: int = 0
    quick: bool = False

    def to_dict(self) -> dict[str, Any]:
        """As JSON, with what made it; infinity is the string ``"inf"``."""
        rows = []
        for row in self.rows:
            line = asdict(row) | {"within": row.within}
            line["bound"] = _json(row.bound)
            line["worst"] = _json(row.worst)
            line["by_attack"] = {name: _json(value) for name, value in row.by_attack.items()}
            rows.append(line)
        return {
            "report": "quorate bench fusion",
            "version": VERSION,
            "quick": self.quick,
            "seed": self.seed,
            "versions": {
                "quorate": version("quorate"),
                "python": platform.python_version(),
                "numpy": np.__version__,
            },
            "attacks": list(self.attacks),
            "rows": rows,
        }

    def to_markdown(self) -> str:
        """As a table with one line for each rule and one column for each size."""
        sizes = sorted({(row.n, row.faults) for row in self.rows})
        head = [f"n={n}, f={f}" for n, f in sizes]
        lines = [f"| rule | {' | '.join(head)} |", "|---|" + "---|" * len(head)]
        for name in dict.fromkeys(row.rule for row in self.rows):
            cells = {(row.n, row.faults): _cell(row) for row in self.rows if row.rule == name}
            shown = [cells.get(size, "") for size in sizes]
            lines.append(f"| {name} | {' | '.join(shown)} |")
        return "\n".join(lines) + "\n"


def _json(value: float | None) -> float | str | None:
    return value if value is None or isfinite(value) else "inf"


def _cell(row: Row) -> str:
    if row.worst is None:
        return _NOT_APPLICABLE
    if row.bound is None:
        return f"{row.worst:.3g} (no proven bound)"
    return f"{row.worst:.3g} of {'no bound' if row.bound == inf else f'{row.bound:.3g}'}"


def measured_kappa(honest: Array, liars: Array, rule: str) -> Array:
    """|F - mu|^2 / V ``[...]`` (float64 NumPy): how far a rule was led astray.

    Args:
        honest: ``[h, ..., E]``.
        liars: ``[f, ..., E]``.
        rule: its name; it runs against f liars.

    Returns:
        0 where the result is the honest mean, infinity where it is not and V is 0.
    """
    rows = np.asarray(honest, dtype=np.float64)
    together = np.concatenate([rows, np.asarray(liars, dtype=np.float64)])
    values = fuse(together, rule, len(liars)).values
    mean = rows.mean(axis=0)
    spread = ((rows - mean) ** 2).sum(axis=-1).mean(axis=0)
    gap = ((values - mean) ** 2).sum(axis=-1)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(gap == 0, 0.0, gap / spread)


def table(
    progress: Callable[[int, int], object] | None = None,
    *,
    sizes: Sequence[tuple[int, int]] | None = None,
    seed: int = 0,
    quick: bool = False,
) -> Table:
    """Measure every rule against every attack at every size; the same each time.

    Args:
        progress: called with what is done and how much there is, after each line.
        sizes: pairs (n, f); :data:`SIZES`, or where it is to be quick :data:`QUICK`, if ``None``.
        seed: of the inputs and of the liars' noise.
        quick: the small sizes only.
    """
    rows: list[Row] = []
    pairs = (QUICK if quick else SIZES) if sizes is None else sizes
    total = len(NAMES) * len(pairs)
    for n, f in pairs:
        honest = _honest(n, f, seed)
        for name in NAMES:
            rows.append(_row(name, n, f, honest, seed))
            if progress is not None:
                progress(len(rows), total)
    return Table(tuple(rows), tuple(_attacks("median", 1, seed)), seed, quick)


def _row(rule: str, n: int, faults: int, honest: Array, seed: int) -> Row:
    try:
        check_rule(rule, n, faults)
    except UsageError as error:
        return Row(rule, n, faults, None, "", None, {}, excluded=str(error))
    found = bound(rule, n, faults)
    by_attack = {}
    for name, attack in _attacks(rule, faults, seed).items():
        by_attack[name] = float(np.max(measured_kappa(honest, attack(honest, faults), rule)))
    return Row(
        rule=rule,
        n=n,
        faults=faults,
        bound=None if found is None else found.kappa,
        source="" if found is None else found.source,
        worst=max(by_attack.values()),
        by_attack=by_attack,
    )


def _attacks(rule: str, faults: int, seed: int) -> dict[str, Callable[[Array, int], Array]]:
    noise = np.random.default_rng([_SEED, seed]).normal(size=(faults, _TOKENS, _LENGTH))
    return {
        "sign_flip": attacks.sign_flip,
        "inner_product_manipulation": attacks.inner_product_manipulation,
        "a_little_is_enough": attacks.a_little_is_enough,
        "mimic": attacks.mimic,
        "infinity": attacks.infinity,
        "nan": attacks.nan,
        "gaussian": partial(attacks.gaussian, noise=noise),
        "label_flip": attacks.label_flip,
        "colluding_optimum": partial(attacks.colluding_optimum, rule=rule),
    }


def _honest(n: int, faults: int, seed: int) -> Array:
    """Honest rows ``[h, tokens, E]``: a common vector plus noise; some clustered or skewed."""
    chosen = np.random.default_rng([_SEED + n, seed])
    count = n - faults
    common = chosen.normal(size=(_TOKENS, _LENGTH)) * 2
    noise = chosen.normal(size=(count, _TOKENS, _LENGTH))
    third = _TOKENS // 3
    noise[: faults + 1, :third] += 6  # two camps
    noise[:, third : 2 * third] = noise[:, third : 2 * third] ** 3  # long tails
    return common + noise


@dataclass(frozen=True, slots=True, eq=False)
class Counterexample:
    """Scores of one token that a rule misroutes, outside the condition of its promise.

    Attributes:
        rule: its name.
        honest: ``[h, E]`` float64.
        liars: ``[f, E]`` float64.
        best: the expert of greatest honest mean score.
        routed: the expert that the rule picks instead.
        condition: what would have kept it from that, in words.
        margin: by how much the honest mean prefers ``best``, or 0 for rules of order.
        needed: the margin that the condition asks for, or 0.
    """

    rule: str
    honest: Array
    liars: Array
    best: int
    routed: int
    condition: str
    margin: float
    needed: float

    def describe(self) -> str:
        """The numbers, for people."""
        lines = [f"{self.rule}: safe where {self.condition}; here it is not."]
        lines += [f"  honest {row.tolist()}" for row in self.honest]
        lines += [f"  liar   {row.tolist()}" for row in self.liars]
        if self.needed:
            lines.append(f"  margin {self.margin:.4g}; {self.needed:.4g} would be safe")
        lines.append(f"  best expert {self.best}, routed to {self.routed}")
        return "\n".join(lines)


def just_outside(rule: str, faults: int = 1) -> Counterexample:
    """Scores outside the condition under which ``rule`` cannot misroute, which it misroutes.

    For median and trimmed mean the condition is missed by nothing but an equality, at the
    least n. The other rules' condition comes from a proven kappa, which is not tight: the
    margin is as near to it as the search of ``attacks.colluding_optimum`` gets.

    Raises:
        UsageError: the rule makes no promise, such as ``mean``.
    """
    found = find_rule(rule)
    n = found.least(faults)
    proven = kappa(rule, n, faults)
    if proven is None or proven == inf:
        raise UsageError(f"{rule} promises nothing about routing, so nothing lies outside it")
    if found.per_coordinate:
        return _order_missed(rule, n - faults, faults)
    return _margin_missed(rule, n - faults, faults, proven)


def _order_missed(rule: str, honest_count: int, faults: int) -> Counterexample:
    """The best expert's lowest honest score equals another's highest, and it takes the tie."""
    honest = np.tile([0.5, 2.0, -1.0], (honest_count, 1))
    honest[0, 1], honest[-1, 0] = 1.0, 1.0
    liars = np.tile([9.0, -9.0, -1.0], (faults, 1))
    return _found(
        rule,
        honest,
        liars,
        "the best expert's lowest honest score exceeds every other's highest",
        0.0,
    )


def _margin_missed(rule: str, honest_count: int, faults: int, proven: float) -> Counterexample:
    """Two experts, honest scores as far apart as the worst displacement found still beats."""
    chosen = np.random.default_rng(_SEED + faults)
    shapes = chosen.normal(size=(honest_count, _TOKENS * 4, 1))
    shapes[: max(1, honest_count // 4), : _TOKENS * 2] += 4
    centred = (shapes - shapes.mean(axis=0)) * np.array([-0.5, 0.5])
    liars = attacks.colluding_optimum(centred, faults, rule=rule)
    values = fuse(np.concatenate([centred, liars]), rule, faults).values
    needed = np.sqrt(2 * proven * (centred**2).sum(axis=-1).mean(axis=0))
    moved = values[:, 1] - values[:, 0]
    # The honest prefer the other expert by a little less than what the liars undo.
    lead = np.stack([np.maximum(moved, 0), np.maximum(-moved, 0)], axis=-1) * 0.999
    honest, liars = centred + lead, liars + lead
    routed = robust_route(np.concatenate([honest, liars]), faults, rule)
    missed = routed != np.argmax(honest.mean(axis=0), axis=-1)
    worst = int(np.argmax(np.where(missed, np.abs(moved) / needed, 0.0)))
    condition = "the honest mean's margin exceeds sqrt(2 kappa V), or all honest rows are equal"
    return _found(rule, honest[:, worst], liars[:, worst], condition, float(needed[worst]))


def _found(rule: str, honest: Array, liars: Array, condition: str, needed: float) -> Counterexample:
    mean = honest.mean(axis=0)
    ranked = np.sort(mean)
    together = np.concatenate([honest, liars])
    return Counterexample(
        rule=rule,
        honest=honest,
        liars=liars,
        best=int(np.argmax(mean)),
        routed=int(robust_route(together, len(liars), rule)),
        condition=condition,
        margin=float(ranked[-1] - ranked[-2]) if needed else 0.0,
        needed=needed,
    )
