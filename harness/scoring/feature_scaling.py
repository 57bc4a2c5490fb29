"""The scaling of a table's number features, fitted on training rows: `robust` or `quantile`.

robust    (x - median) / (75 % quantile - 25 % quantile), then z / sqrt(1 + (z / 3)^2), which keeps
          outliers below 3: RealMLP's preprocessing (Holzmüller et al. 2024, arXiv 2407.04491)
quantile  to a standard normal distribution: the value of rank r of n becomes the normal quantile of
          (r + 1/2) / n, values between are interpolated, and values outside get the nearest end

Features that are 0 or 1 for a category or a missing value stay as they are.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

ScalingKind = Literal["robust", "quantile"]
Values = npt.NDArray[np.float64]
LARGEST = 3.0
"""What the smooth clipping approaches."""
MAX_POINTS = 256
"""The most quantiles of a feature that are kept."""


@dataclass(frozen=True)
class FeatureScaling:
    """The scaling of some features, as plain parameters."""

    kind: ScalingKind
    places: tuple[int, ...]
    """Which features are scaled."""
    parameters: tuple[tuple[tuple[float, ...], ...], ...]
    """Of each of them ((center, factor),) for `robust`, and (values, normal quantiles) for
    `quantile`, both rising."""

    def apply(self, features: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """Return the scaled features, float32 [N, D]."""
        scaled, scale = features.copy(), SCALERS[self.kind][1]
        for place, parameters in zip(self.places, self.parameters, strict=True):
            scaled[:, place] = scale(features[:, place].astype(np.float64), parameters)
        return scaled

    def to_dict(self) -> dict[str, Any]:
        """Return plain values."""
        return {"kind": self.kind, "places": self.places, "parameters": self.parameters}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> FeatureScaling:
        """Read what `to_dict` returned. Raises KeyError and TypeError for anything else."""
        parameters = [
            tuple(tuple(map(float, each)) for each in one) for one in values["parameters"]
        ]
        if values["kind"] not in SCALERS:
            raise KeyError(values["kind"])
        return cls(values["kind"], tuple(values["places"]), tuple(parameters))


def fit_scaling(
    kind: ScalingKind, features: npt.NDArray[np.float32], places: Sequence[int]
) -> FeatureScaling:
    """Fit the scaling of the features at `places` to training rows [N, D]."""
    fit = SCALERS[kind][0]
    parameters = [fit(features[:, place].astype(np.float64)) for place in places]
    return FeatureScaling(kind, tuple(places), tuple(parameters))


def _fit_robust(values: Values) -> tuple[tuple[float, ...], ...]:
    low, center, high = np.quantile(values, [0.25, 0.5, 0.75])
    spread = (high - low) or np.ptp(values) / 2
    return ((float(center), 1 / float(spread) if spread else 0.0),)


def _scale_robust(values: Values, parameters: tuple[tuple[float, ...], ...]) -> Values:
    ((center, factor),) = parameters
    z = (values - center) * factor
    return np.asarray(z / np.sqrt(1 + (z / LARGEST) ** 2))


def _fit_quantile(values: Values) -> tuple[tuple[float, ...], ...]:
    different, counts = np.unique(values, return_counts=True)
    middles = np.cumsum(counts) - counts / 2  # equal values share the middle of their ranks
    if len(different) > MAX_POINTS:
        wanted = np.linspace(middles[0], middles[-1], MAX_POINTS)
        kept = np.unique(np.searchsorted(middles, wanted).clip(0, len(different) - 1))
        different, middles = different[kept], middles[kept]
    normal = NormalDist()
    quantiles = [normal.inv_cdf(middle / len(values)) for middle in middles]
    return tuple(map(float, different)), tuple(quantiles)


def _scale_quantile(values: Values, parameters: tuple[tuple[float, ...], ...]) -> Values:
    points, quantiles = map(np.asarray, parameters)
    return np.asarray(np.interp(values, points, quantiles), np.float64)


SCALERS: dict[
    str,
    tuple[
        Callable[[Values], tuple[tuple[float, ...], ...]],
        Callable[[Values, tuple[tuple[float, ...], ...]], Values],
    ],
] = {
    "robust": (_fit_robust, _scale_robust),
    "quantile": (_fit_quantile, _scale_quantile),
}
"""How the parameters of a feature are fitted, and how they are applied, by kind."""
