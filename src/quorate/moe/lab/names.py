"""What the lab can be asked for; nothing is imported for it, since ``--help`` shows it."""

from __future__ import annotations

from typing import Final

VOTE: Final = "vote"
SIZES: Final = (4, 7)
"""Numbers of gate replicas, unless others are asked for."""
MOST_GATES: Final = 7
MODEL_NAMES: Final = ("digits", "text")
ATTACK_NAMES: Final = (
    "flipped_bit",
    "flipped_bits",
    "replaced_gate",
    "silenced_expert",
    "targeted_misrouting",
    "nan",
    "sign_flip",
    "inner_product",
    "a_little_is_enough",
    "mimic",
    "poisoned_training",
)
RULE_NAMES: Final = (
    "mean",
    VOTE,
    "median",
    "trimmed_mean",
    "krum",
    "multi_krum",
    "geometric_median",
    "mean_around_median",
    "centered_clipping",
    "minimum_diameter_averaging",
    "nnm+median",
    "nnm+trimmed_mean",
)
"""Every rule measured; ``mean`` tolerates no liar and stands for the lack of one."""
