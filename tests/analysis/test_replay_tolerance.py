"""Differences between trainings: which count, and how large rounding may make them."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import safetensors.numpy

from harness.analysis.replay_tolerance import (
    PERTURBATION,
    TWINS,
    TrainingRecord,
    compare_weights,
    compare_with_twins,
    count_changed_predictions,
    find_differences,
    find_largest_difference,
)
from harness.data.prepare import PreparedDataset
from harness.data.torch_datasets import load_splits
from harness.engine.device_data import DeviceData
from harness.engine.trainer import Trainer
from harness.results import EpochMetrics, TrialResult
from harness.trial import TrialSpec

SPEC = TrialSpec(hidden=(23, 27), batch_norm="after", learning_rate=8e-4, epochs=8)
EPOCH = EpochMetrics(
    epoch=1,
    train_loss=0.5,
    train_accuracy=0.8,
    penalty=0.0,
    val_loss=0.6,
    val_accuracy=0.75,
    learning_rate=1e-3,
    seconds=0.1,
    time=1.7e9,
)


def test_weights_differ_by_their_largest_difference() -> None:
    one, other = (
        safetensors.numpy.save({"w": np.array([1, value], "f4"), "none": np.zeros(0, "f4")})
        for value in (2.0, 2.5)
    )
    assert compare_weights(one, one) == 0
    assert compare_weights(one, other) == 0.5
    assert compare_weights(one, None) == math.inf


def make_record(*val_losses: float, diverged: bool = False) -> TrainingRecord:
    epochs = [replace(EPOCH, epoch=e + 1, val_loss=loss) for e, loss in enumerate(val_losses)]
    return TrainingRecord(epochs, 1, ((3, 1), (0, 4)), b"\0\1\0", b"w", diverged)


@pytest.fixture(scope="module")
def data(digits: PreparedDataset) -> DeviceData:
    return DeviceData(load_splits(digits.training))


def train_together(
    data: DeviceData, specs: dict[str, TrialSpec], perturbation: float = 0.0
) -> dict[str, TrainingRecord]:
    """Train all specs in one Trainer; return their records by uid."""
    trainer = Trainer(data, "val/accuracy", perturbation=perturbation)
    curves: dict[str, list[EpochMetrics]] = {uid: [] for uid in specs}
    results: dict[str, TrialResult] = {}
    for uid, spec in specs.items():
        trainer.add(uid, spec)
    while len(trainer):
        for report in [report for some in trainer.train_epoch() for report in some]:
            assert isinstance(report.outcome, EpochMetrics)
            curves[report.uid].append(report.outcome)
            result = trainer.decide(report.uid, True)
            if result is not None:
                results[report.uid] = result
    return {
        uid: TrainingRecord(
            curves[uid], each.best.epoch, each.confusion, each.predictions, each.weights
        )
        for uid, each in results.items()
    }


@pytest.fixture(scope="module")
def single(data: DeviceData) -> TrainingRecord:
    return train_together(data, {"alone": SPEC})["alone"]


@pytest.fixture(scope="module")
def twins(data: DeviceData) -> list[TrainingRecord]:
    return [train_together(data, {f"{n}": SPEC}, PERTURBATION)[f"{n}"] for n in range(TWINS)]


def test_the_same_training_repeated_has_no_differences(
    data: DeviceData, single: TrainingRecord
) -> None:
    repeated = train_together(data, {"again": SPEC})["again"]
    assert list(find_differences(single, repeated)) == []
    assert repeated.seconds != single.seconds, "times are not compared"


def test_a_fused_trial_is_within_the_tolerance(
    data: DeviceData, single: TrainingRecord, twins: list[TrainingRecord]
) -> None:
    others = {str(seed): replace(SPEC, seed=seed) for seed in range(1, 4)}
    fused = train_together(data, {"mine": SPEC} | others)["mine"]
    assert next(find_differences(fused, single), None) is not None, "otherwise this tests nothing"
    comparison = compare_with_twins(fused.epochs, single.epochs, twins, len(data.val_labels))
    assert comparison.is_within
    assert comparison.recorded > 0


@pytest.mark.parametrize(
    "changes",
    [{"seed": 1}, {"learning_rate": 8.4e-4}, {"l2": 1e-4}, {"optimizer": "adamw"}],
    ids=str,
)
def test_other_settings_are_outside_the_tolerance(
    data: DeviceData,
    single: TrainingRecord,
    twins: list[TrainingRecord],
    changes: dict[str, object],
) -> None:
    spec = TrialSpec.from_dict(SPEC.to_dict() | changes)
    other = train_together(data, {"other": spec})["other"]
    comparison = compare_with_twins(other.epochs, single.epochs, twins, len(data.val_labels))
    assert not comparison.is_within
    assert comparison.share > 3


def test_twins_are_close_but_different(single: TrainingRecord, twins: list[TrainingRecord]) -> None:
    distances = [
        find_largest_difference(twin.epochs, single.epochs, "val_loss").value for twin in twins
    ]
    assert len(set(distances)) == TWINS
    assert 0 < max(distances) < 0.05


def test_differences_are_listed_in_order() -> None:
    before = make_record(0.6, 0.5)
    after = replace(
        make_record(0.6, 0.5000001, 0.4),
        best_epoch=3,
        confusion=((2, 2), (0, 4)),
        predictions=b"\0\0\0",
        weights=b"v",
    )
    differences = [
        (each.what, each.epoch, each.recorded, each.now) for each in find_differences(before, after)
    ]
    assert differences == [
        ("val/loss", 2, 0.5, 0.5000001),
        ("end", None, "after epoch 2", "after epoch 3"),
        ("best epoch", None, 1, 3),
        ("confusion matrix", None, "7 right", "6 right"),
        ("predictions", None, "3", "1 of them differ"),
        ("weights", None, None, None),
    ]
    assert str(next(find_differences(before, after))) == (
        "val/loss in epoch 2: recorded 0.5, now 0.5000001"
    )
    assert count_changed_predictions(before, after) == 1
    without_files = replace(before, predictions=None, weights=None)
    assert [each.what for each in find_differences(without_files, make_record(0.6, 0.5))] == []


def test_one_bit_of_a_loss_is_a_difference_and_times_are_not() -> None:
    last_bit = make_record(math.nextafter(0.6, 1))
    assert [each.what for each in find_differences(make_record(0.6), last_bit)] == ["val/loss"]
    slower = replace(make_record(0.6), epochs=[replace(EPOCH, seconds=9.0, time=1.8e9)])
    assert list(find_differences(make_record(0.6), slower)) == []


@pytest.mark.parametrize(
    ("recorded", "within"),
    [(0.609, True), (0.611, False)],
)
def test_the_bound_is_ten_times_the_largest_twin_difference(recorded: float, within: bool) -> None:
    twins = [make_record(0.6, 0.601), make_record(0.6, 0.6)]
    comparison = compare_with_twins(
        make_record(0.6, recorded).epochs, make_record(0.6, 0.6).epochs, twins, 1000
    )
    assert comparison.is_within is within
    assert (comparison.metric, comparison.epoch) == ("val/loss", 2)
    assert comparison.recorded == pytest.approx(recorded - 0.6)
    assert comparison.twins == pytest.approx(1e-3)


def test_an_early_difference_is_not_excused_by_a_late_spread() -> None:
    twins = [make_record(0.6, 0.6, 0.9)]
    comparison = compare_with_twins(
        make_record(0.61, 0.6, 0.6).epochs, make_record(0.6, 0.6, 0.6).epochs, twins, 1000
    )
    assert not comparison.is_within
    assert comparison.epoch == 1


def test_a_stopped_twin_keeps_its_last_value_and_a_diverged_one_is_infinitely_far() -> None:
    recorded, now = make_record(0.6, 0.7).epochs, make_record(0.6, 0.6).epochs
    assert not compare_with_twins(recorded, now, [make_record(0.6)], 1000).is_within
    assert compare_with_twins(recorded, now, [make_record(0.6, diverged=True)], 1000).is_within


def test_one_example_and_the_resolution_of_a_loss_may_always_differ() -> None:
    now = [replace(EPOCH, val_accuracy=0.75)]
    near = [replace(EPOCH, val_accuracy=0.751, val_loss=0.6 * (1 + 9e-7))]
    far = [replace(EPOCH, val_accuracy=0.752)]
    assert compare_with_twins(near, now, [TrainingRecord(now, 1, (), None, None)], 1000).is_within
    assert not compare_with_twins(
        far, now, [TrainingRecord(now, 1, (), None, None)], 1000
    ).is_within


def test_a_loss_of_zero_has_no_tolerance() -> None:
    now, twin = make_record(0.0), [make_record(0.0)]
    assert compare_with_twins(now.epochs, now.epochs, twin, 1000).is_within
    assert not compare_with_twins(make_record(1e-9).epochs, now.epochs, twin, 1000).is_within


def test_earlier_twin_differences_are_allowed_later() -> None:
    """Curves cross, so a small difference between twins at a later epoch means nothing."""
    twins, now = [make_record(0.61, 0.6)], make_record(0.6, 0.6)
    assert compare_with_twins(make_record(0.6, 0.61).epochs, now.epochs, twins, 1000).is_within
    assert not compare_with_twins(
        make_record(0.61, 0.6).epochs, now.epochs, [make_record(0.6, 0.61)], 1000
    ).is_within
