"""Robust aggregation: fold n vectors, of which f may be lies, into one.

Arrays in, arrays out: NumPy arrays, or PyTorch tensors on any device that has float64.
:func:`fuse` says for each token whether it had a quorum; :func:`robust_aggregate` and the
functions named after the rules raise :class:`quorate.core.errors.NoQuorum` instead.
"""

from __future__ import annotations

from quorate.fusion.functions import (
    bucketing,
    centered_clipping,
    coordinate_wise_median,
    geometric_median,
    krum,
    mean_around_median,
    minimum_diameter_averaging,
    multi_krum,
    nearest_neighbour_mixing,
    trimmed_mean,
)
from quorate.fusion.fuse import Fusion, fuse, robust_aggregate, robust_route
from quorate.fusion.names import RULES, check_rule

__all__ = [
    "RULES",
    "Fusion",
    "bucketing",
    "centered_clipping",
    "check_rule",
    "coordinate_wise_median",
    "fuse",
    "geometric_median",
    "krum",
    "mean_around_median",
    "minimum_diameter_averaging",
    "multi_krum",
    "nearest_neighbour_mixing",
    "robust_aggregate",
    "robust_route",
    "trimmed_mean",
]
