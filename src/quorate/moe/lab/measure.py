"""One measurement: these gates, that rule, so many liars; what becomes of the tokens."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

import torch
from torch import Tensor, nn

from quorate.core.quorum import quorum_size, tolerated_faults
from quorate.fusion import fuse
from quorate.moe.lab.attacks import Attack, Scene
from quorate.moe.lab.layers import CHOSEN, top_k
from quorate.moe.lab.names import VOTE
from quorate.moe.lab.subject import Subject
from quorate.routing.rules_logits import route_logits

Kind = Literal["one", "copies", "apart"]

_DIGITS: Final = 6


@dataclass(frozen=True)
class Outcome:
    """What became of the test tokens; shares are of all of them.

    *Served* means that each token goes where the rule says. *Strict* means that it goes
    there only if a quorum of replicas chose exactly these experts themselves, and else goes
    nowhere.

    Attributes:
        score: the subject's metric, served; ``None`` where it is not a number.
        targeted: the same of the targeted tokens alone.
        misrouted: share sent, served, to another set of experts than the same gates and
            rule choose without liars.
        void: share for which the rule gives nothing, as too many rows are not finite.
        strict_score: the metric, strict.
        refused: share without a quorum behind the rule's choice.
        unbacked: share sent, strict, to a set that no strict majority of the honest
            replicas chose; where none is honest, of the gates as they were trained.
    """

    score: float | None
    targeted: float | None
    misrouted: float
    void: float
    strict_score: float | None
    refused: float
    unbacked: float


class Bench:
    """Gates of one kind, n of them, for one subject; measures under any rule and attack."""

    def __init__(self, subject: Subject, kind: Kind, n: int) -> None:
        """``kind``: ``"one"`` gate, ``"copies"`` of it, or gates trained ``"apart"``."""
        self.subject, self.kind, self.n = subject, kind, n
        self.faults = tolerated_faults(n)
        gates = subject.gates
        self.gates: Sequence[nn.Linear] = gates[:n] if kind == "apart" else [gates[0]] * n
        self.trained = torch.stack([subject.logits(gate) for gate in self.gates])
        self._own = torch.stack([_sets(top_k(one)[0]) for one in self.trained])
        self._before: dict[str, _Choice] = {}

    def logits(self, attack: Attack | None, liars: int) -> Tensor:
        """What the replicas say, ``[n, T, E]``; the last ``liars`` of them lie."""
        if attack is None or liars == 0:
            return self.trained
        honest = self.trained[: self.n - liars]
        known = honest if len(honest) else self.trained
        scene = Scene(self.subject, self.gates[self.n - liars :], known)
        return torch.cat([honest, attack.lies(scene)])

    def measure(self, rule: str, logits: Tensor, liars: int) -> Outcome:
        """What becomes of the tokens under ``rule`` where the replicas say ``logits``."""
        if rule not in self._before:
            self._before[rule] = self._choice(rule, self.trained)
        before, now = self._before[rule], self._choice(rule, logits)
        both = before.answered & now.answered
        moved = both & (before.sets != now.sets).any(-1)
        score = self.subject.score
        only = self.subject.only_targeted()
        return Outcome(
            score=_rounded(score(now.experts, now.weights, now.answered)),
            targeted=_rounded(only.score(*(x[self.subject.tokens.targeted] for x in now.parts()))),
            misrouted=_share(moved),
            void=_share(~now.answered),
            strict_score=_rounded(score(now.experts, now.weights, now.committed)),
            refused=_share(~now.committed),
            unbacked=_share(now.committed & ~self._backed(now.sets, liars)),
        )

    def _backed(self, sets: Tensor, liars: int) -> Tensor:
        """Whether a strict majority of the honest replicas chose that set, ``[T]``."""
        voters = self._own[: self.n - liars] if liars < self.n else self._own
        return 2 * (voters == sets).all(-1).sum(0) > len(voters)

    def _choice(self, rule: str, logits: Tensor) -> _Choice:
        if self.kind == "one":
            experts, weights = top_k(logits[0])
            every = torch.ones(len(experts), dtype=torch.bool)
            return _Choice(experts, weights, every, every)
        # As NumPy arrays: many small steps cost less there than between tensors.
        told = logits.numpy()
        if rule == VOTE:
            voted = route_logits(told, rule=VOTE, faults=self.faults, k=CHOSEN)
            agreed = torch.from_numpy(voted.consensus)
            experts, weights = torch.from_numpy(voted.experts), torch.from_numpy(voted.weights)
            return _Choice(experts, weights, agreed, agreed)
        fused = fuse(told, rule, self.faults)
        experts, weights = top_k(torch.from_numpy(fused.values))
        answered = torch.from_numpy(fused.quorum)
        # What route_logits calls consensus, without running the rule a second time.
        own = torch.stack([_sets(top_k(one)[0]) for one in logits])
        same = (own == _sets(experts)).all(-1) & torch.isfinite(logits).all(-1)
        agreed = answered & (same.sum(0) >= quorum_size(self.n, self.faults))
        return _Choice(experts, weights, answered, agreed)


@dataclass(frozen=True)
class _Choice:
    """Experts and weights ``[T, k]``; which tokens have an answer, and which a quorum."""

    experts: Tensor
    weights: Tensor
    answered: Tensor
    committed: Tensor

    @property
    def sets(self) -> Tensor:
        return _sets(self.experts)

    def parts(self) -> tuple[Tensor, Tensor, Tensor]:
        return self.experts, self.weights, self.answered


def _sets(experts: Tensor) -> Tensor:
    return torch.sort(experts, dim=-1)[0]


def _share(tokens: Tensor) -> float:
    return round(float(tokens.double().mean()), _DIGITS)


def _rounded(score: float | None) -> float | None:
    return None if score is None else round(score, _DIGITS)
