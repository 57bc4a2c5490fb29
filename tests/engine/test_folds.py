"""Cross-validation in the engine: each fold trains as it would alone, and all report as one."""

from __future__ import annotations

import gc
import itertools
import weakref
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch
from sklearn.metrics import balanced_accuracy_score, f1_score, r2_score, roc_auc_score

from harness.data.torch_datasets import Split, Splits
from harness.engine import slot_data
from harness.engine.device_data import DeviceData, Target
from harness.engine.fold_placement import FoldPlacement
from harness.engine.folded_trainer import FoldedTrainer, get_fold_seed
from harness.engine.slot_data import Folds, SlotData, load_folds
from harness.models.fold_weights import split_folds
from harness.models.mlp import MLP
from harness.results import EpochMetrics, Objective, Outcome, TrialFailure, TrialResult
from harness.tracking.epoch_predictions import EpochPredictions
from harness.trial import TargetTransform, TrialSpec
from tests.engine.training import train_one

SPEC = TrialSpec(hidden=(16, 8), batch_size=16, epochs=4, dropout=0.1, learning_rate=0.01)
SIZES = (30, 31, 29)
"""Validation examples of three folds, of 90 rows in all."""


def make_folds(
    classes: int = 3,
    side: int = 4,
    dtype: torch.dtype = torch.float64,
    shared: bool = True,
    narrow: int | None = None,
) -> Folds:
    """Make images of 3 folds with statistics of their own; classes 0 makes a regression.

    Not `shared`, each fold has its own copy of the examples, as the features of a table. The fold
    `narrow` has fewer features than the others.
    """
    generator = torch.Generator().manual_seed(0)
    inputs = torch.randint(0, 256, (sum(SIZES), side, side), generator=generator).to(torch.uint8)
    signal = inputs.double().mean((1, 2)) + 3 * torch.randn(sum(SIZES), generator=generator)
    labels = signal.float() if not classes else signal.argsort().argsort() * classes // sum(SIZES)
    order = torch.randperm(sum(SIZES), generator=generator)
    splits = []
    for number, rows in enumerate(torch.split(order, list(SIZES))):
        examples = inputs[:, 1:] if number == narrow else inputs
        train = torch.tensor(sorted(set(range(sum(SIZES))) - set(rows.tolist())))
        values = inputs[train].double()
        mean, std = float(values.mean()), float(values.std())
        targets = labels[train].double()
        splits.append(
            Splits(
                *(Split(examples, labels, each, mean, std) for each in (train, rows)),
                classes=tuple(map(str, range(classes))),
                mean=torch.full(examples.shape[1:], mean).flatten(),
                inv_std=torch.full(examples.shape[1:], 1 / std).flatten(),
                task="classes" if classes else "regression",
                target_mean=float(targets.mean()),
                target_std=float(targets.std()),
            )
        )
    folds = load_folds(splits, dtype=dtype)
    assert folds.shares_examples == (narrow is None)
    return folds if shared else Folds([DeviceData(each, dtype=dtype) for each in splits])


def train(
    trainer: FoldedTrainer, specs: Sequence[TrialSpec], mixed: list[bool] | None = None
) -> tuple[list[Outcome], list[list[EpochMetrics]]]:
    """Train trials on all folds until they end; return their results and epochs.

    `mixed` gets whether each group of each epoch had slots of several folds.
    """
    for index, spec in enumerate(specs):
        trainer.add(str(index), spec)
    outcomes: dict[str, Outcome] = {}
    epochs: dict[str, list[EpochMetrics]] = {str(index): [] for index in range(len(specs))}
    while len(trainer):
        for report in itertools.chain.from_iterable(list(trainer.train_epoch())):
            if isinstance(report.outcome, TrialFailure):
                outcomes[report.uid] = report.outcome
                continue
            epochs[report.uid].append(report.outcome)
            groups = trainer._trainer.groups
            mixed = [] if mixed is None else mixed
            mixed += [isinstance(group.data, SlotData) for group in groups]
            if (result := trainer.decide(report.uid, keep=True)) is not None:
                outcomes[report.uid] = result
    return [outcomes[uid] for uid in epochs], list(epochs.values())


@pytest.mark.parametrize("placement", ["cpu", "gpu"])
@pytest.mark.parametrize(
    ("classes", "changes"),
    [
        (3, {}),
        (3, {"batch_norm": "before", "augment": ("shift", "erase"), "class_weights": "balanced"}),
        (3, {"loss": "bce", "label_smoothing": 0.1, "optimizer": "sgd"}),
        (0, {"loss": "mse"}),
        (0, {"loss": "quantile", "quantile": 0.8}),
        (0, {"loss": "mse", "target_transform": "quantile"}),
        (3, {"narrow": 0}),
        (0, {"loss": "mse", "narrow": 1}),
        (3, {"batch_size": 30}),  # two steps in two folds, one step in the fold with 59 rows
    ],
    ids=str,
)
def test_each_fold_trains_as_it_would_alone(
    classes: int, changes: dict[str, Any], placement: str
) -> None:
    """In float64 the epochs of a trial are those of its folds, trained one by one."""
    changes = dict(changes)
    narrow = changes.pop("narrow", None)
    folds, objective = make_folds(classes, shared=placement == "gpu", narrow=narrow), "val/loss"
    spec = replace(SPEC, **changes)
    others = [replace(spec, hidden=(8,), seed=3), replace(spec, learning_rate=0.003)]
    fused = FoldPlacement(folds, lambda: 2**40) if placement == "gpu" else None
    trainer = FoldedTrainer(folds, objective, fused)
    mixed: list[bool] = []
    outcomes, epochs = train(trainer, [spec, *others], mixed)
    assert any(mixed) == (spec.target_transform == "standard")
    for each, outcome, metrics in zip([spec, *others], outcomes, epochs, strict=True):
        assert isinstance(outcome, TrialResult)
        alone = [
            train_one(replace(each, seed=get_fold_seed(each.seed, fold)), data, objective)
            for fold, data in enumerate(folds)
        ]
        for number, epoch in enumerate(metrics):
            losses = [of_fold[number].val_loss for _, of_fold in alone]
            assert epoch.folds == pytest.approx(losses, rel=1e-9)
            assert epoch.val_loss == pytest.approx(np.average(losses, weights=SIZES), rel=1e-9)
            by_fold = [of_fold[number].train_loss for _, of_fold in alone]
            assert epoch.train_loss == pytest.approx(np.average(by_fold, weights=SIZES), rel=1e-9)
        best = min(metrics, key=lambda epoch: epoch.val_loss)
        assert outcome.best.epoch == best.epoch, "one best epoch for all folds"


@pytest.mark.parametrize(
    "objective", ["val/accuracy", "val/f1", "val/auc", "val/balanced_accuracy", "val/log_loss"]
)
def test_the_metrics_are_those_of_all_predictions(objective: Objective) -> None:
    """scikit-learn's metrics of what networks predict that did not train on the example."""
    folds = make_folds()
    (outcome,), _ = train(FoldedTrainer(folds, objective), [SPEC])
    assert isinstance(outcome, TrialResult)
    probabilities, true = predict(outcome, folds)
    predicted = probabilities.argmax(1)
    assert np.frombuffer(outcome.predictions, np.uint8).tolist() == predicted.tolist()
    best = outcome.best
    assert best.val_accuracy == (predicted == true).mean()
    assert best.val_f1 == pytest.approx(f1_score(true, predicted, average="macro"))
    assert best.val_balanced_accuracy == pytest.approx(balanced_accuracy_score(true, predicted))
    likelihood = probabilities[np.arange(len(true)), true]
    assert best.val_log_loss == pytest.approx(-np.log(likelihood).mean())
    parts = np.split(np.arange(len(true)), np.cumsum(SIZES)[:-1])
    aucs = [roc_auc_score(true[rows], probabilities[rows], multi_class="ovr") for rows in parts]
    assert best.val_auc == pytest.approx(np.average(aucs, weights=SIZES))
    assert sum(map(sum, outcome.confusion)) == sum(SIZES)
    if objective != "val/accuracy":
        assert outcome.score_interval is not None
        low, high = outcome.score_interval
        assert low < best.get_objective(objective) < high


def test_a_regressions_metrics_are_those_of_all_predictions() -> None:
    folds = make_folds(classes=0)
    (outcome,), epochs = train(
        FoldedTrainer(folds, "val/rmse"), [replace(SPEC, loss="mse", hidden=())]
    )
    assert isinstance(outcome, TrialResult)
    predicted = np.frombuffer(outcome.predictions, np.float32).astype(np.float64)
    true = torch.cat([data.val_targets for data in folds]).double().numpy()
    rmse = np.sqrt(np.square(predicted - true).mean())
    assert outcome.best.val_rmse == pytest.approx(rmse, rel=1e-6)
    assert outcome.best.val_mae == pytest.approx(np.abs(predicted - true).mean(), rel=1e-6)
    assert outcome.best.val_r2 == pytest.approx(r2_score(true, predicted), rel=1e-5)
    assert outcome.interval is not None
    assert outcome.interval[0] < rmse < outcome.interval[1]
    assert epochs[0][0].train_rmse is not None


def test_a_fold_that_diverges_ends_the_trial_with_its_number() -> None:
    folds = make_folds(dtype=torch.float32)
    (outcome, other), epochs = train(
        FoldedTrainer(folds, "val/accuracy"), [replace(SPEC, learning_rate=1e30), SPEC]
    )
    assert isinstance(outcome, TrialFailure)
    assert outcome.reason.startswith("fold 1: diverged: ")
    assert isinstance(other, TrialResult), "the other trial goes on"
    assert len(epochs[1]) == SPEC.epochs


def test_validation_sets_are_in_memory_once_and_copied_in_small_parts(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    folds = make_folds()
    before = [data.val_inputs.clone() for data in folds]
    memory = folds.val_inputs.untyped_storage().data_ptr()
    for data, inputs, padded in zip(folds, before, folds.val_inputs, strict=True):
        assert torch.equal(data.val_inputs, inputs)
        assert data.val_inputs.untyped_storage().data_ptr() == memory
        assert torch.equal(padded[len(inputs) :], inputs[-1:].expand(31 - len(inputs), -1))
    slots, labels = SlotData(folds, 2, folds.first), folds.target.val_labels
    whole = list(slots.validation_batches(labels, 2))
    monkeypatch.setattr(slot_data, "MOST_INPUTS", 16 * 2 * 10)  # of ten images
    parts = list(slots.validation_batches(labels, 2))
    assert [len(x) for x, _ in parts] == [10, 10, 10, 1]
    for one, several in zip(whole[0], zip(*parts, strict=True), strict=True):
        assert torch.equal(one, torch.cat(several))


def predict(outcome: TrialResult, folds: Folds) -> tuple[np.ndarray, np.ndarray]:
    """Return each validation example's probabilities by its fold's network, and the classes."""
    probabilities = []
    for state, data in zip(
        split_folds(safetensors.torch.load(outcome.weights)), folds, strict=True
    ):
        model = MLP(SPEC, data.classes, state["mean"], state["inv_std"], torch.float64)
        model.load_state_dict(state)
        raw = data.examples[data._validation.rows]
        with torch.inference_mode():
            probabilities.append(model.eval()(raw).softmax(1))
    true = torch.cat([data.val_targets for data in folds])
    return torch.cat(probabilities).numpy(), true.numpy()


def test_predictions_are_recorded_in_the_order_of_the_folds() -> None:
    folds = make_folds()
    order = torch.randperm(sum(SIZES), generator=torch.Generator().manual_seed(1))
    results = []
    for each in (folds, Folds(folds.folds, order=order)):
        trainer = FoldedTrainer(each, "val/loss")
        trainer.add("0", TrialSpec(hidden=(8,), epochs=2, batch_size=16), keep_history=True)
        while len(trainer):
            list(trainer.train_epoch())
            if (result := trainer.decide("0", keep=True)) is not None:
                results.append(result)
    plain, ordered = results
    assert ordered.best == replace(plain.best, seconds=ordered.best.seconds, time=ordered.best.time)
    places = order.numpy()
    recorded = [np.frombuffer(each.predictions, np.uint8) for each in results]
    assert recorded[1].tolist() == recorded[0][places].tolist() != recorded[0].tolist()
    first, second = (EpochPredictions.from_bytes(each.by_epoch) for each in results)
    assert first.losses is not None
    for name in ("true", "predicted", "losses"):
        rows = getattr(first, name)[..., places]
        np.testing.assert_array_equal(getattr(second, name), rows)


def test_a_trial_without_memory_for_its_last_fold_leaves_no_member() -> None:
    class Full(DeviceData):
        def get_target(self, transform: TargetTransform) -> Target:
            raise RuntimeError("no memory")

    folds = make_folds()
    folds.folds[-1].__class__ = Full
    trainer = FoldedTrainer(folds, "val/accuracy")
    with pytest.raises(RuntimeError, match="no memory"):
        trainer.add("a", SPEC)
    assert (len(trainer), len(trainer._trainer)) == (0, 0)


@pytest.mark.parametrize("is_gpu", [False, True])
def test_folds_of_one_trial_are_freed_with_it(is_gpu: bool) -> None:
    """With `[data] reshuffle` each trial has its own, and a device has no room for dead ones."""
    gc.disable()  # which would free them some trials later
    try:
        folds = make_folds(dtype=torch.float32)
        placement = FoldPlacement(folds, lambda: 2**40) if is_gpu else None
        trainer = FoldedTrainer(folds, "val/accuracy", placement)
        trainer.add("a", replace(SPEC, epochs=1))
        for report in itertools.chain(*trainer.train_epoch()):
            assert trainer.decide(report.uid, True) is not None
        kept = [weakref.ref(each) for each in (folds, folds.first, trainer._trainer.groups[0])]
        del trainer, placement, folds
        assert not any(each() for each in kept)
    finally:
        gc.enable()
