"""How far trainings are from one another: what counts as the same, and what rounding may do."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from harness.analysis.replay_tolerance import (
    PERTURBATION,
    TWINS,
    Training,
    changed_predictions,
    differences,
    largest,
    spread,
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


def made(*val_losses: float, diverged: bool = False) -> Training:
    epochs = [replace(EPOCH, epoch=e + 1, val_loss=loss) for e, loss in enumerate(val_losses)]
    return Training(epochs, 1, ((3, 1), (0, 4)), b"\0\1\0", b"w", diverged)


@pytest.fixture(scope="module")
def data(digits: PreparedDataset) -> DeviceData:
    return DeviceData(load_splits(digits.training))


def trained(
    data: DeviceData, specs: dict[str, TrialSpec], perturbation: float = 0.0
) -> dict[str, Training]:
    """All of them at once, by uid."""
    population = Trainer(data, "val/accuracy", perturbation=perturbation)
    curves: dict[str, list[EpochMetrics]] = {uid: [] for uid in specs}
    results: dict[str, TrialResult] = {}
    for uid, spec in specs.items():
        population.add(uid, spec)
    while len(population):
        for report in [report for some in population.train_epoch() for report in some]:
            assert isinstance(report.outcome, EpochMetrics)
            curves[report.uid].append(report.outcome)
            result = population.decide(report.uid, True)
            if result is not None:
                results[report.uid] = result
    return {
        uid: Training(curves[uid], each.best.epoch, each.confusion, each.predictions, each.weights)
        for uid, each in results.items()
    }


@pytest.fixture(scope="module")
def alone(data: DeviceData) -> Training:
    return trained(data, {"alone": SPEC})["alone"]


@pytest.fixture(scope="module")
def twins(data: DeviceData) -> list[Training]:
    return [trained(data, {f"{n}": SPEC}, PERTURBATION)[f"{n}"] for n in range(TWINS)]


def test_the_same_training_again_differs_in_nothing(data: DeviceData, alone: Training) -> None:
    again = trained(data, {"again": SPEC})["again"]
    assert list(differences(alone, again)) == []
    assert again.seconds != alone.seconds, "which counts for nothing"


def test_fused_with_others_it_lies_within_what_rounding_does(
    data: DeviceData, alone: Training, twins: list[Training]
) -> None:
    others = {str(seed): replace(SPEC, seed=seed) for seed in range(1, 4)}
    fused = trained(data, {"mine": SPEC} | others)["mine"]
    assert next(differences(fused, alone), None) is not None, "or there is nothing to be judged"
    found = spread(fused.epochs, alone.epochs, twins, len(data.val_labels))
    assert found.within
    assert found.recorded > 0


@pytest.mark.parametrize(
    "changes",
    [{"seed": 1}, {"learning_rate": 8.4e-4}, {"l2": 1e-4}, {"optimizer": "adamw"}],
    ids=str,
)
def test_other_settings_lie_outside(
    data: DeviceData, alone: Training, twins: list[Training], changes: dict[str, object]
) -> None:
    spec = TrialSpec.from_dict(SPEC.to_dict() | changes)
    other = trained(data, {"other": spec})["other"]
    found = spread(other.epochs, alone.epochs, twins, len(data.val_labels))
    assert not found.within
    assert found.share > 3


def test_twins_are_near_and_unlike(alone: Training, twins: list[Training]) -> None:
    off = [largest(twin.epochs, alone.epochs, "val_loss").value for twin in twins]
    assert len(set(off)) == TWINS
    assert 0 < max(off) < 0.05


def test_what_differs_is_told_from_the_first_on() -> None:
    before = made(0.6, 0.5)
    after = replace(
        made(0.6, 0.5000001, 0.4),
        best=3,
        confusion=((2, 2), (0, 4)),
        predictions=b"\0\0\0",
        weights=b"v",
    )
    found = [
        (each.what, each.epoch, each.recorded, each.now) for each in differences(before, after)
    ]
    assert found == [
        ("val/loss", 2, 0.5, 0.5000001),
        ("end", None, "after epoch 2", "after epoch 3"),
        ("best epoch", None, 1, 3),
        ("confusion matrix", None, "7 right", "6 right"),
        ("predictions", None, "3", "1 others"),
        ("weights", None, "some", "others"),
    ]
    assert str(next(differences(before, after))) == (
        "val/loss in epoch 2: recorded 0.5, now 0.5000001"
    )
    assert changed_predictions(before, after) == 1
    unkept = replace(before, predictions=None, weights=None)
    assert [each.what for each in differences(unkept, made(0.6, 0.5))] == []


def test_a_last_bit_counts_and_a_second_does_not() -> None:
    last_bit = made(math.nextafter(0.6, 1))
    assert [each.what for each in differences(made(0.6), last_bit)] == ["val/loss"]
    slower = replace(made(0.6), epochs=[replace(EPOCH, seconds=9.0, time=1.8e9)])
    assert list(differences(made(0.6), slower)) == []


@pytest.mark.parametrize(
    ("recorded", "within"),
    [(0.609, True), (0.611, False)],
)
def test_the_bound_is_ten_times_the_farthest_twins(recorded: float, within: bool) -> None:
    twins = [made(0.6, 0.601), made(0.6, 0.6)]
    found = spread(made(0.6, recorded).epochs, made(0.6, 0.6).epochs, twins, 1000)
    assert found.within is within
    assert (found.metric, found.epoch) == ("val/loss", 2)
    assert found.recorded == pytest.approx(recorded - 0.6)
    assert found.twins == pytest.approx(1e-3)


def test_an_early_difference_is_not_forgiven_by_a_late_spread() -> None:
    twins = [made(0.6, 0.6, 0.9)]
    found = spread(made(0.61, 0.6, 0.6).epochs, made(0.6, 0.6, 0.6).epochs, twins, 1000)
    assert not found.within
    assert found.epoch == 1


def test_a_twin_that_stopped_stays_and_one_that_diverged_is_endlessly_far() -> None:
    recorded, now = made(0.6, 0.7).epochs, made(0.6, 0.6).epochs
    assert not spread(recorded, now, [made(0.6)], 1000).within
    assert spread(recorded, now, [made(0.6, diverged=True)], 1000).within


def test_one_example_and_a_losss_resolution_may_always_differ() -> None:
    now = [replace(EPOCH, val_accuracy=0.75)]
    near = [replace(EPOCH, val_accuracy=0.751, val_loss=0.6 * (1 + 9e-7))]
    far = [replace(EPOCH, val_accuracy=0.752)]
    assert spread(near, now, [Training(now, 1, (), None, None)], 1000).within
    assert not spread(far, now, [Training(now, 1, (), None, None)], 1000).within


def test_a_loss_of_nothing_has_no_room() -> None:
    now, twin = made(0.0), [made(0.0)]
    assert spread(now.epochs, now.epochs, twin, 1000).within
    assert not spread(made(1e-9).epochs, now.epochs, twin, 1000).within


def test_what_twins_did_before_is_allowed_later() -> None:
    """Trainings that parted cross again: where the twins happen to meet says nothing."""
    twins, now = [made(0.61, 0.6)], made(0.6, 0.6)
    assert spread(made(0.6, 0.61).epochs, now.epochs, twins, 1000).within
    assert not spread(made(0.61, 0.6).epochs, now.epochs, [made(0.6, 0.61)], 1000).within
