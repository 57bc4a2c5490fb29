"""The baselines of a study, as they are recorded: simpler models on the same split.

A regression has the training mean, a linear regression and boosted trees; a classification of a
table the majority class, a logistic regression and boosted trees. Both have XGBoost and LightGBM
where these are installed. `baseline_fits` and `boosters` fit them.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from harness.errors import StoreError
from harness.results import Objective
from harness.tracking.test_reading import parse_interval

BASELINES_FILE = "baselines.json"
MEAN_BASELINE, LINEAR_REGRESSION, BOOSTED_TREES = (
    "the training mean",
    "linear regression",
    "gradient-boosted trees",
)
XGBOOST, LIGHTGBM = "XGBoost", "LightGBM"
TRAINING_QUANTILE = "the training quantile"
MAJORITY_CLASS, LOGISTIC_REGRESSION = "the majority class", "logistic regression"


@dataclass(frozen=True)
class ChampionTest:
    """A paired significance test of the champion and a baseline on the same examples."""

    run: str
    """The uid of the champion's run."""
    examples: int
    only_champion: int
    """Examples that the champion alone has right; for a regression, those on which it is nearer to
    the true value."""
    only_baseline: int
    p_value: float
    """McNemar's exact test, or a bootstrap-t test: of a regression's squared errors, or of each
    example's part of an objective that is the score."""


@dataclass(frozen=True)
class BaselineMetrics:
    """Metrics of one baseline of a regression on one split, in the target's own units."""

    rmse: float
    mae: float
    r2: float
    interval: tuple[float, float]
    """95 % confidence interval of the RMSE, by the bootstrap."""
    mae_interval: tuple[float, float] | None = None
    """That of the MAE; None in older records."""
    champion_test: ChampionTest | None = None
    """None in older records."""
    fitted_on: int | None = None
    """The number of training examples, if these were too many for all to be used."""
    more: Mapping[str, float] = field(default_factory=dict)
    """Further metrics by name; empty in older records."""
    score_metric: Objective | None = None
    """The study's objective, if it is the score."""
    score_interval: tuple[float, float] | None = None
    """95 % interval of that metric."""

    @property
    def score(self) -> float:
        return read_score(self, self.rmse)

    @property
    def metric(self) -> str:
        return self.score_metric.removeprefix("val/") if self.score_metric else "rmse"

    @property
    def confusion(self) -> tuple[tuple[int, ...], ...]:
        return ()


@dataclass(frozen=True)
class ClassBaselineMetrics:
    """Metrics of one baseline of a classification on one split."""

    accuracy: float
    log_loss: float
    interval: tuple[float, float]
    """95 % Wilson interval of the accuracy."""
    champion_test: ChampionTest | None = None
    fitted_on: int | None = None
    """This and the following are as in `BaselineMetrics`."""
    more: Mapping[str, float] = field(default_factory=dict)
    score_metric: Objective | None = None
    score_interval: tuple[float, float] | None = None

    @property
    def score(self) -> float:
        return read_score(self, self.accuracy)

    @property
    def metric(self) -> str:
        return self.score_metric.removeprefix("val/") if self.score_metric else "accuracy"

    @property
    def confusion(self) -> tuple[tuple[int, ...], ...]:
        return ()

    @property
    def mae_interval(self) -> None:
        return None


Metrics = BaselineMetrics | ClassBaselineMetrics


def read_score(metrics: Metrics, default: float) -> float:
    """Return the metric that is the score, of a baseline; `default` without such an objective."""
    if metrics.score_metric is None:
        return default
    name = metrics.metric
    return metrics.more[name] if name in metrics.more else float(getattr(metrics, name, math.nan))


@dataclass(frozen=True)
class Baselines:
    """The baselines' metrics by split (`validation`, `test`), then by the baseline's name."""

    by_split: Mapping[str, Mapping[str, Metrics]]

    def of_split(self, split: str) -> Mapping[str, Metrics]:
        """Return each baseline's metrics on a split; empty if it was not evaluated there."""
        return self.by_split.get(split, {})

    def with_split(self, split: str, metrics: Mapping[str, Metrics]) -> Baselines:
        return Baselines({**self.by_split, split: metrics})

    def metrics(self) -> dict[str, float]:
        """Return the study run's MLflow metrics: `baseline/test_rmse/linear regression`."""
        return {
            f"baseline/{split}_{metrics.metric}/{name}": metrics.score
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


def with_champion_tests(
    metrics: Mapping[str, Metrics], tests: Mapping[str, ChampionTest]
) -> dict[str, Metrics]:
    """Return the baselines' metrics with the champion's test against each."""
    return {name: replace(each, champion_test=tests.get(name)) for name, each in metrics.items()}


def _parse_metrics(values: dict[str, Any]) -> Metrics:
    low, high = values["interval"]
    test = values.get("champion_test")
    parsed = values | {
        "interval": (float(low), float(high)),
        "champion_test": None if test is None else ChampionTest(**test),
        "score_interval": parse_interval(values.get("score_interval")),
    }
    if "accuracy" in values:
        return ClassBaselineMetrics(**parsed)
    return BaselineMetrics(**parsed | {"mae_interval": parse_interval(values.get("mae_interval"))})
