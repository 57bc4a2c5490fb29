"""Every objective of a classification: chosen by it, measured in each epoch, all at the best."""

from __future__ import annotations

import copy
from dataclasses import replace

import numpy as np
import pytest
import torch

from harness.data.prepare import PreparedDataset
from harness.data.torch_datasets import load_splits
from harness.engine.class_metrics import compute_class_metrics, normalize_probabilities
from harness.engine.device_data import DeviceData
from harness.engine.trainer import Trainer
from harness.metrics import CLASS_FIELDS, OBJECTIVES, SCORE_OBJECTIVES, is_higher_better
from harness.models.mlp import load_model
from harness.results import Objective
from harness.tracking.epoch_predictions import EpochPredictions
from harness.trial import TrialSpec
from tests.engine.training import train_one, train_trials

SPEC = TrialSpec(hidden=(8,), batch_size=64, epochs=4, learning_rate=0.01)
CLASS_OBJECTIVES = [name for name in OBJECTIVES["classes"] if name in SCORE_OBJECTIVES]


@pytest.fixture(scope="module")
def data(digits: PreparedDataset) -> DeviceData:
    return DeviceData(load_splits(digits.training))


@pytest.mark.parametrize("objective", CLASS_OBJECTIVES)
def test_the_best_epoch_is_the_objectives(data: DeviceData, objective: Objective) -> None:
    result, epochs = train_one(SPEC, data, objective)
    values = [epoch.get_objective(objective) for epoch in epochs]
    best = (max if is_higher_better(objective) else min)(values)
    assert result.best.epoch == values.index(best) + 1
    assert (result.score, result.score_metric) == (pytest.approx(best, rel=1e-12), objective)
    others = set(CLASS_FIELDS) - {objective.replace("/", "_")}
    assert all(getattr(epoch, field) is None for epoch in epochs for field in others)
    assert result.score_interval is not None
    assert result.score_interval[0] < result.score < result.score_interval[1]


@pytest.mark.parametrize("loss", ["cross-entropy", "bce", "mse"])
def test_the_best_epoch_has_all_metrics_of_the_saved_model(data: DeviceData, loss: str) -> None:
    spec = replace(SPEC, loss=loss)  # type: ignore[arg-type]
    result, _ = train_one(spec, data)
    model = load_model(spec, data.classes, result.weights)
    with torch.inference_mode():
        logits = model(data.val_inputs / data.inv_std + data.mean)
    confusion = torch.tensor(result.confusion)
    p = normalize_probabilities(spec.loss, logits)
    expected = compute_class_metrics(p, data.val_labels, confusion)
    measured = {name: getattr(result.best, f"val_{name}") for name in expected}
    assert measured == pytest.approx(expected, rel=1e-4)
    assert (result.score, result.score_metric) == (result.best.val_accuracy, None)


def test_fused_trials_of_different_losses_have_their_own_objective(data: DeviceData) -> None:
    specs = [replace(SPEC, seed=seed) for seed in range(2)]
    specs += [replace(SPEC, loss="bce"), replace(SPEC, loss="mse", seed=1)]
    alone = [train_one(spec, data, "val/log_loss")[1] for spec in specs]
    _, together = train_trials(specs, data, "val/log_loss")
    for one, other in zip(alone, together, strict=True):
        values = [[epoch.val_log_loss for epoch in epochs] for epochs in (one, other)]
        np.testing.assert_allclose(*values, rtol=1e-3)


@pytest.mark.parametrize("objective", CLASS_OBJECTIVES)
def test_a_confirmation_run_keeps_each_examples_part(
    data: DeviceData, objective: Objective
) -> None:
    trainer = Trainer(data, objective)
    trainer.add("a", SPEC, keep_history=True)
    epochs, result = [], None
    while result is None:
        ((report,),) = trainer.train_epoch()
        epochs.append(report.outcome.get_objective(objective))  # type: ignore[union-attr]
        result = trainer.decide("a", keep=True)
    kept = EpochPredictions.from_bytes(result.by_epoch)
    assert kept.losses is not None
    sign = -1 if is_higher_better(objective) else 1
    np.testing.assert_allclose(sign * kept.losses.mean(1), epochs, atol=1e-5)


def test_auc_of_one_class_is_refused(data: DeviceData) -> None:
    one = copy.copy(data)
    target = data.get_target("standard")
    one._targets = {"standard": target._replace(val_labels=torch.zeros_like(target.val_labels))}
    trainer = Trainer(one, "val/auc")
    with pytest.raises(ValueError, match="val/auc needs validation examples of two classes"):
        trainer.add("a", SPEC)
