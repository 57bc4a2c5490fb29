"""When a member ends, and which of its epochs counts."""

from __future__ import annotations

from dataclasses import replace

import pytest
import safetensors.torch
import torch

from harness.data.files import Prepared
from harness.data.parts import load_splits
from harness.engine import Resident, train
from harness.engine.loop import divergence, improves
from harness.model import load_mlp
from harness.trial import EpochMetrics, Objective, TrialResult, TrialSpec

METRICS = EpochMetrics(
    epoch=3,
    train_loss=0.5,
    train_accuracy=0.8,
    penalty=0.0,
    val_loss=0.6,
    val_accuracy=0.75,
    learning_rate=1e-3,
    seconds=0.1,
    time=1.7e9,
)


def run(
    spec: TrialSpec, digits: Prepared, objective: Objective
) -> tuple[TrialResult, list[EpochMetrics]]:
    training = train([spec], Resident(load_splits(digits.training)), objective)
    epochs = [next(training)[1]]
    while True:
        try:
            epochs.append(training.send(True)[1])
        except StopIteration as end:
            (result,) = end.value
            assert isinstance(result, TrialResult)
            return result, epochs


def test_of_equal_epochs_the_first_is_kept() -> None:
    assert not improves(METRICS, METRICS, "val/accuracy")
    assert not improves(METRICS, METRICS, "val/loss")
    better = replace(METRICS, val_accuracy=0.76, val_loss=0.59)
    assert improves(better, METRICS, "val/accuracy")
    assert improves(better, METRICS, "val/loss")
    assert not improves(METRICS, better, "val/accuracy")
    assert not improves(METRICS, better, "val/loss")


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_loss_that_is_no_number_is_divergence(value: float) -> None:
    assert divergence(METRICS) is None
    assert (
        divergence(replace(METRICS, val_loss=value)) == f"diverged: val/loss is {value} in epoch 3"
    )


@pytest.mark.parametrize("objective", ["val/accuracy", "val/loss"])
def test_patience_ends_a_trial_and_the_best_epochs_weights_are_kept(
    digits: Prepared, objective: Objective
) -> None:
    spec = TrialSpec(hidden=(32,), learning_rate=0.03, epochs=200, patience=3)
    result, epochs = run(spec, digits, objective)
    values = [epoch.objective(objective) for epoch in epochs]
    best = max(values) if objective == "val/accuracy" else min(values)
    assert result.stopped == "early"
    assert result.best.epoch == values.index(best) + 1
    assert result.epochs == len(epochs) == result.best.epoch + 3

    part = load_splits(digits.training).validation
    with torch.inference_mode():
        logits = load_mlp(spec, 10, result.weights)(part.inputs[part.rows])
    assert bytes(logits.argmax(1).to(torch.uint8).tolist()) == result.predictions
    accuracy = (logits.argmax(1) == part.labels[part.rows]).float().mean().item()
    assert accuracy == pytest.approx(result.best.val_accuracy, abs=1e-6)
    weights = safetensors.torch.load(result.weights)
    parameters = sum(
        tensor.numel() for name, tensor in weights.items() if name.startswith("linears")
    )
    assert result.parameters == parameters


def test_a_last_epoch_is_finished_whatever_the_pruner_says(digits: Prepared) -> None:
    training = train(
        [TrialSpec(hidden=(8,), epochs=1)],
        Resident(load_splits(digits.training)),
        "val/accuracy",
    )
    next(training)
    with pytest.raises(StopIteration) as end:
        training.send(False)
    assert end.value.value[0].stopped == "finished"
