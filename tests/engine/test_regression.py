"""Regression: training equals autograd, metrics equal scikit-learn's, in the target's units."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from sklearn.metrics import (
    mean_absolute_error,
    mean_pinball_loss,
    r2_score,
    root_mean_squared_error,
)

from harness.engine.device_data import DeviceData
from harness.engine.trainer import Trainer
from harness.models.mlp import load_model
from harness.results import EpochMetrics, Objective, TrialResult
from harness.stats.regression import compute_rmse_interval
from harness.trial import CHOICES, TrialSpec
from tests.engine.autograd_reference import assert_equals_autograd, create_group, train_steps
from tests.engine.training import train_one, train_trials
from tests.support import regression_table

SPEC = TrialSpec(hidden=(24, 12), loss="mse", batch_size=40, epochs=8, learning_rate=3e-3)


@pytest.fixture(scope="module")
def data() -> DeviceData:
    return DeviceData(regression_table.make_splits())


@pytest.fixture(scope="module")
def trained(data: DeviceData) -> tuple[TrialResult, list[EpochMetrics]]:
    return train_one(SPEC, data, "val/rmse")


@pytest.mark.parametrize("vectorised", [False, True], ids=["rowwise", "vectorised"])
@pytest.mark.parametrize("batch_norm", CHOICES["batch_norm"])
def test_equals_autograd(batch_norm: str, vectorised: bool) -> None:
    double = DeviceData(regression_table.make_splits(), dtype=torch.float64)
    spec = TrialSpec.from_dict(SPEC.to_dict() | {"batch_norm": batch_norm, "l2": 1e-3})
    other = replace(SPEC, hidden=(16,), seed=1)
    group = create_group([spec, other], double, vectorised)
    assert_equals_autograd(group, train_steps(group), double)


@pytest.mark.parametrize("vectorised", [False, True], ids=["rowwise", "vectorised"])
def test_the_quantile_loss_equals_autograd(vectorised: bool) -> None:
    double = DeviceData(regression_table.make_splits(), dtype=torch.float64)
    spec = replace(SPEC, loss="quantile", quantile=0.9)
    others = [replace(SPEC, loss="quantile", quantile=0.2, seed=1), replace(SPEC, hidden=(16,))]
    group = create_group([spec, *others], double, vectorised)
    assert_equals_autograd(group, train_steps(group), double)


@pytest.mark.parametrize("level", [0.1, 0.9])
def test_a_quantile_loss_trains_the_quantile_of_its_level(data: DeviceData, level: float) -> None:
    spec = replace(SPEC, hidden=(), loss="quantile", quantile=level, epochs=60)
    result, epochs = train_one(spec, data, "val/quantile_loss")
    true, predicted = data.val_targets.numpy(), np.frombuffer(result.predictions, np.float32)
    loss = result.best.val_quantile_loss
    assert loss == pytest.approx(mean_pinball_loss(true, predicted, alpha=level))
    assert loss == min(epoch.val_quantile_loss or 0 for epoch in epochs) == result.score
    assert result.best.val_loss * data.target_std == pytest.approx(loss, rel=1e-4)
    assert result.best.train_rmse is None
    assert float((true < predicted).mean()) == pytest.approx(level, abs=0.1)
    assert result.score_interval is not None
    assert result.score_interval[0] < loss < result.score_interval[1]


@pytest.mark.parametrize("objective", ["val/r2", "val/quantile_loss"])
def test_a_regressions_objective_chooses_the_best_epoch(
    data: DeviceData, objective: Objective
) -> None:
    result, epochs = train_one(SPEC, data, objective)
    pick = max if objective == "val/r2" else min
    best = pick(epochs, key=lambda epoch: epoch.get_objective(objective))
    assert (result.best.epoch, result.score) == (best.epoch, best.get_objective(objective))
    assert result.score_metric == objective
    assert result.score_interval is not None
    assert result.score_interval[0] < result.score < result.score_interval[1]


def test_metrics_equal_scikit_learns(
    data: DeviceData, trained: tuple[TrialResult, list[EpochMetrics]]
) -> None:
    result, epochs = trained
    best, splits = result.best, regression_table.make_splits()
    assert best == min(epochs, key=lambda epoch: epoch.val_rmse or 0)
    predicted = np.frombuffer(result.predictions, np.float32)
    true = splits.validation.labels[splits.validation.rows].numpy()
    assert best.val_rmse == pytest.approx(root_mean_squared_error(true, predicted))
    assert best.val_mae == pytest.approx(mean_absolute_error(true, predicted))
    assert best.val_r2 == pytest.approx(r2_score(true, predicted))
    assert best.val_r2 > 0.5
    assert best.val_loss == pytest.approx((best.val_rmse / splits.target_std) ** 2, rel=1e-4)
    assert best.train_rmse == pytest.approx(best.train_loss**0.5 * splits.target_std)
    assert best.score == best.val_rmse
    assert (best.val_accuracy, best.train_accuracy, result.confusion) == (None, None, ())
    assert result.interval == compute_rmse_interval(predicted, true)


def test_the_saved_model_predicts_in_the_targets_own_units(
    trained: tuple[TrialResult, list[EpochMetrics]],
) -> None:
    result, split = trained[0], regression_table.make_splits().validation
    model = load_model(SPEC, 0, result.weights)
    with torch.inference_mode():
        predicted = model(split.inputs[split.rows])
    assert predicted.shape == (regression_table.VALIDATION, 1)
    np.testing.assert_allclose(
        predicted[:, 0].numpy(), np.frombuffer(result.predictions, np.float32), rtol=1e-5
    )


def test_fusing_does_not_change_the_result(
    data: DeviceData, trained: tuple[TrialResult, list[EpochMetrics]]
) -> None:
    others = [SPEC, replace(SPEC, hidden=(16,)), replace(SPEC, batch_norm="after")]
    (first, *_), _ = train_trials(others, data, "val/rmse")
    assert isinstance(first, TrialResult)
    assert first.best.val_rmse == pytest.approx(trained[0].best.val_rmse, rel=1e-3)


def test_a_loss_for_classes_is_refused(data: DeviceData) -> None:
    with pytest.raises(ValueError, match="loss: cross-entropy is for classes"):
        Trainer(data, "val/rmse").add("0", replace(SPEC, loss="cross-entropy"))
    with pytest.raises(ValueError, match="class_weights: a regression has no classes"):
        Trainer(data, "val/rmse").add("0", replace(SPEC, class_weights="balanced"))
