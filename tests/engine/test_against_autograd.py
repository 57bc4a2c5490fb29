"""The engine against torch.nn and torch.optim under autograd, in float64."""

from __future__ import annotations

import platform
from dataclasses import replace
from typing import Any

import pytest
import torch

from harness.data.prepare import PreparedDataset
from harness.data.torch_datasets import load_splits
from harness.engine.device_data import DeviceData
from harness.engine.matmul import BatchedMatmul, OneDnnMatmul
from harness.engine.placement import GpuPlacement, width_class
from harness.trial import CHOICES, TrialSpec
from tests.engine.autograd_reference import (
    assert_equals_autograd,
    create_group,
    train_by_autograd,
    train_steps,
)
from tests.engine.training import load_few

# Batches of 32 are too small here: relu units that fire once in a batch make BatchNorm so ill
# conditioned that autograd itself drifts by 7e-12 when its init is perturbed by 1e-15.
BASE = TrialSpec(hidden=(24, 12), batch_size=64, epochs=6, learning_rate=1e-3)
ACTIVATIONS, BATCH_NORMS = CHOICES["activation"], CHOICES["batch_norm"]
BOTH = pytest.mark.parametrize("vectorised", [False, True], ids=["rowwise", "vectorised"])


def changed(spec: TrialSpec, **values: Any) -> TrialSpec:
    return TrialSpec.from_dict(spec.to_dict() | values)


@pytest.fixture(scope="module")
def data(digits: PreparedDataset) -> DeviceData:
    return load_few(digits)


@BOTH
@pytest.mark.parametrize("optimizer", CHOICES["optimizer"])
@pytest.mark.parametrize("batch_norm", BATCH_NORMS)
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_equals_autograd(
    data: DeviceData, activation: str, batch_norm: str, optimizer: str, vectorised: bool
) -> None:
    spec = changed(
        BASE,
        activation=activation,
        batch_norm=batch_norm,
        optimizer=optimizer,
        l1=1e-4,
        l2=1e-3,
        momentum=0.9,
    )
    group = create_group([spec], data, vectorised)
    assert_equals_autograd(group, train_steps(group), data)


@BOTH
@pytest.mark.parametrize(
    "changes",
    [
        {"hidden": (16, 12, 8)},
        {"bias": True, "batch_norm": "before", "optimizer": "sgd", "learning_rate": 0.05},
        {"augment": ["shift", "rotate", "scale", "flip", "erase"]},
        {"augment": ["flip"], "batch_norm": "before"},
        {"loss": "mse", "label_smoothing": 0.1, "batch_norm": "after"},
        {"loss": "bce", "label_smoothing": 0.1},
        {"class_weights": "balanced", "label_smoothing": 0.1},
        {"loss": "mse", "class_weights": "balanced", "label_smoothing": 0.1},
        {"loss": "bce", "class_weights": "balanced"},
        {"optimizer": "adamw", "weight_decay": 0.1, "schedule": "one-cycle"},
        {"optimizer": "sgd", "momentum": 0.9, "nesterov": True, "learning_rate": 0.05},
        {"optimizer": "sgd", "momentum": 0.0, "nesterov": True, "learning_rate": 0.05},
        {"init": "kaiming_normal", "optimizer": "sgd", "momentum": 0.0},
    ],
    ids=str,
)
def test_combined_options_equal_autograd(
    data: DeviceData, changes: dict[str, object], vectorised: bool
) -> None:
    group = create_group([changed(BASE, **changes)], data, vectorised)
    assert_equals_autograd(group, train_steps(group), data)


@pytest.mark.parametrize("optimizer", CHOICES["optimizer"])
@pytest.mark.parametrize("batch_norm", BATCH_NORMS)
@pytest.mark.parametrize("activation", ["relu", "tanh", "gelu"])
def test_large_products_in_float32_equal_autograd_to_rounding(
    digits: PreparedDataset, activation: str, batch_norm: str, optimizer: str
) -> None:
    """A single trial's large products go to oneDNN, which has no float64."""
    data = DeviceData(load_splits(digits.training))
    spec = changed(
        BASE,
        hidden=[400, 300],
        activation=activation,
        batch_norm=batch_norm,
        optimizer=optimizer,
        learning_rate=1e-4,
        momentum=0.9,
        l1=1e-5,
        l2=1e-4,
    )
    group = create_group([spec], data)
    losses = train_steps(group, 10)
    expected = train_by_autograd(spec, data, 10)
    assert [row[0] for row in losses] == pytest.approx(expected.losses, rel=0, abs=1e-5)
    weights = group.weights(0, spec)
    for name, tensor in expected.model.named_parameters():
        torch.testing.assert_close(weights[name], tensor, rtol=0, atol=1e-4)
    matmul = group.network.matmul
    assert isinstance(matmul, OneDnnMatmul if platform.machine() == "x86_64" else BatchedMatmul)


def test_l1_of_large_tensors_alone_equals_autograd(digits: PreparedDataset) -> None:
    """Without bias and norm, no tensor is small."""
    data = DeviceData(load_splits(digits.training))
    spec = changed(BASE, hidden=[7000], bias=False, l1=1e-5, learning_rate=1e-4)
    group = create_group([spec], data)
    losses = train_steps(group, 3)
    expected = train_by_autograd(spec, data, 3)
    assert [row[0] for row in losses] == pytest.approx(expected.losses, rel=0, abs=1e-4)


MIXED = [
    changed(BASE, hidden=[24, 12], seed=1, loss="bce"),
    changed(BASE, hidden=[9, 30], batch_norm="before", seed=2, learning_rate=1e-2, l1=1e-3),
    changed(
        BASE,
        hidden=[17],
        augment=["shift"],
        batch_norm="after",
        seed=3,
        optimizer="sgd",
        momentum=0.9,
    ),
    changed(BASE, hidden=[5, 8, 13], activation="sigmoid", label_smoothing=0.2, seed=4),
    changed(BASE, hidden=[30, 7], activation="sigmoid", batch_norm="before", l2=1e-3, seed=5),
    changed(
        BASE, hidden=[11], activation="gelu", batch_norm="after", bias=True, seed=6, loss="mse"
    ),
    changed(BASE, hidden=[16, 4, 4], activation="tanh", bias=False, optimizer="adamw", seed=7),
]


@BOTH
def test_every_trial_of_a_mixed_group_equals_autograd(data: DeviceData, vectorised: bool) -> None:
    group = create_group(MIXED, data, vectorised)
    assert_equals_autograd(group, train_steps(group), data)


@BOTH
def test_class_weights_of_some_trials_of_a_group_equal_autograd(
    data: DeviceData, vectorised: bool
) -> None:
    specs = [
        changed(spec, class_weights=weights)
        for spec, weights in zip(MIXED, ["balanced", "none"] * 4, strict=False)
    ]
    group = create_group(specs, data, vectorised)
    assert_equals_autograd(group, train_steps(group, 20), data)


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("batch_norm", BATCH_NORMS)
def test_padding_stays_zero(data: DeviceData, activation: str, batch_norm: str) -> None:
    specs = [
        changed(BASE, hidden=hidden, activation=activation, batch_norm=batch_norm, l1=1e-4)
        for hidden in ([24, 12], [7, 20], [10, 5, 3])
    ]
    group = create_group(specs, data)
    assert_equals_autograd(group, train_steps(group, 12), data)


def test_a_group_with_spare_slots_equals_autograd(data: DeviceData) -> None:
    """As on a GPU: wider and deeper than any trial, with spare slots."""
    layout = GpuPlacement(data, lambda: 2**40).layout_with_room(width_class(MIXED[0]), MIXED)
    assert (layout.slots, layout.widths) == (8, (128, 128, 128))
    group = create_group(MIXED, data, vectorised=True, layout=layout)
    assert_equals_autograd(group, train_steps(group), data)


@BOTH
@pytest.mark.parametrize("batch_norm", BATCH_NORMS)
def test_a_diverging_trial_changes_no_other(
    data: DeviceData, batch_norm: str, vectorised: bool
) -> None:
    specs = [
        changed(BASE, seed=1, batch_norm=batch_norm),
        changed(BASE, hidden=[30], seed=2, activation="tanh", batch_norm="after"),
        changed(BASE, hidden=[10, 10, 10], seed=3, activation="sigmoid", dropout=0.1),
    ]
    wild = changed(BASE, hidden=[9, 9], optimizer="sgd", learning_rate=1e200, seed=9)
    tame = replace(wild, learning_rate=1e-3)
    beside_wild = create_group([*specs, wild], data, vectorised)
    beside_tame = create_group([*specs, tame], data, vectorised)
    with_wild, with_tame = train_steps(beside_wild), train_steps(beside_tame)
    (slot,) = (
        slot for slot, trial in enumerate(beside_wild.trials) if trial and trial.spec == wild
    )
    assert with_wild[-1][slot] != with_wild[-1][slot], "NaN"
    assert not torch.isfinite(beside_wild.buffer.params[slot]).all()
    others = [other for other in range(4) if other != slot]
    for one, two in zip(with_wild, with_tame, strict=True):
        assert [one[other] for other in others] == [two[other] for other in others]
    for other in others:
        assert torch.equal(beside_wild.buffer.params[other], beside_tame.buffer.params[other])
