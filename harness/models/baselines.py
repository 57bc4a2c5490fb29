"""Baselines of a regression study: the training mean, a linear regression, boosted trees.

They are scikit-learn's with its default settings. They are fitted on the training set, and
evaluated on the validation set and, in the same single opening as the champion, on the test set.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from harness.errors import StoreError
from harness.stats.regression import (
    compute_mae_interval,
    compute_regression_metrics,
    compute_rmse_interval,
)

if TYPE_CHECKING:
    from harness.data.torch_datasets import Split, Splits

BASELINES_FILE = "baselines.json"
MEAN_BASELINE, LINEAR_REGRESSION, BOOSTED_TREES = (
    "the training mean",
    "linear regression",
    "gradient-boosted trees",
)

Values = npt.NDArray[Any]
Models = Mapping[str, Callable[[Values], Values]]
"""Prediction functions by name: inputs [n, D] to values [n] in the target's own units."""


@dataclass(frozen=True)
class BaselineMetrics:
    """Metrics of one baseline on one split, in the target's own units."""

    rmse: float
    mae: float
    r2: float
    interval: tuple[float, float]
    """95 % confidence interval of the RMSE, by the bootstrap."""
    mae_interval: tuple[float, float] | None = None
    """That of the MAE; None in older records."""

    @property
    def score(self) -> float:
        return self.rmse

    @property
    def confusion(self) -> tuple[tuple[int, ...], ...]:
        return ()


@dataclass(frozen=True)
class Baselines:
    """The baselines' metrics by split (`validation`, `test`), then by the baseline's name."""

    by_split: Mapping[str, Mapping[str, BaselineMetrics]]

    def of_split(self, split: str) -> Mapping[str, BaselineMetrics]:
        """Return each baseline's metrics on a split; empty if it was not evaluated there."""
        return self.by_split.get(split, {})

    def with_split(self, split: str, metrics: Mapping[str, BaselineMetrics]) -> Baselines:
        return Baselines({**self.by_split, split: metrics})

    def metrics(self) -> dict[str, float]:
        """Return the study run's MLflow metrics: `baseline/test_rmse/linear regression`."""
        return {
            f"baseline/{split}_rmse/{name}": metrics.rmse
            for split, by_name in self.by_split.items()
            for name, metrics in by_name.items()
        }

    def to_dict(self) -> dict[str, Any]:
        return {
            split: {name: asdict(metrics) for name, metrics in by_name.items()}
            for split, by_name in self.by_split.items()
        }

    def to_json(self) -> bytes:
        return json.dumps(self.to_dict()).encode()

    @classmethod
    def from_json(cls, content: bytes) -> Baselines:
        """Read what `to_json` wrote. Raises StoreError for other content."""
        try:
            return cls(
                {
                    split: {name: _parse_metrics(values) for name, values in by_name.items()}
                    for split, by_name in json.loads(content).items()
                }
            )
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise StoreError(
                f"{BASELINES_FILE} of a run cannot be read ({error}); run `harness doctor` to find "
                "the run"
            ) from error


def fit_baselines(splits: Splits) -> Models:
    """Fit the three baselines on the raw training set; only the linear regression is scaled."""
    from sklearn.dummy import DummyRegressor
    from sklearn.ensemble import HistGradientBoostingRegressor
    from sklearn.linear_model import LinearRegression

    x, y = _to_arrays(splits.train)
    inv_std, mean = splits.inv_std.numpy(), splits.mean.numpy()
    linear = LinearRegression().fit((x - mean) * inv_std, y)
    return {
        MEAN_BASELINE: DummyRegressor().fit(x, y).predict,
        LINEAR_REGRESSION: lambda inputs: np.asarray(linear.predict((inputs - mean) * inv_std)),
        BOOSTED_TREES: HistGradientBoostingRegressor(random_state=0).fit(x, y).predict,
    }


def evaluate_baselines(models: Models, split: Split) -> dict[str, BaselineMetrics]:
    """Return each fitted baseline's metrics on a split, by name."""
    x, y = _to_arrays(split)
    metrics = {}
    for name, predict in models.items():
        predicted = predict(x)
        metrics[name] = BaselineMetrics(
            **compute_regression_metrics(predicted, y),
            interval=compute_rmse_interval(predicted, y),
            mae_interval=compute_mae_interval(predicted, y),
        )
    return metrics


def _parse_metrics(values: dict[str, Any]) -> BaselineMetrics:
    low, high = values["interval"]
    bounds = values.get("mae_interval")
    mae_interval = None if bounds is None else (float(bounds[0]), float(bounds[1]))
    return BaselineMetrics(**values | {"interval": (low, high), "mae_interval": mae_interval})


def _to_arrays(split: Split) -> tuple[Values, Values]:
    """Return a split's inputs [n, D] and targets [n], float64."""
    inputs = split.inputs[split.rows].flatten(1)
    return inputs.double().numpy(), split.labels[split.rows].double().numpy()
