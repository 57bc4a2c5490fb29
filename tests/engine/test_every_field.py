"""Every field of TrialSpec that changes training, through both optimizers and all layouts.

A new field needs an entry in VALUES or in NO_EFFECT_ON_A_STEP, or `test_every_field_is_listed`
fails. A value in VALUES must change the reference's result, and the engine must equal the
reference: so no implementation can ignore a field.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, get_args

import pytest
import torch

from harness.data.prepare import PreparedDataset
from harness.engine.device_data import DeviceData
from harness.engine.padding import Layout
from harness.engine.placement import GpuPlacement, width_class
from harness.models.activations import ACTIVATIONS
from harness.trial import CHOICES, FIELD_TYPES, SPEC_FIELDS, AugmentName, TrialSpec
from tests.engine.autograd_reference import (
    assert_equals_autograd,
    create_group,
    train_by_autograd,
    train_steps,
)
from tests.engine.training import load_few

BASE = TrialSpec(hidden=(24, 12), batch_size=64, epochs=2)
STEPS = 12
"""More than an epoch (7 steps), and more than 3/4 of all steps, where `step` drops again."""

# By field: values that differ from BASE, and other fields that must be set for them to matter.
NO_CONTEXT: dict[str, Any] = {}
VALUES: dict[str, tuple[Sequence[Any], dict[str, Any]]] = {
    "hidden": ([(16, 12, 8), (9,), ()], NO_CONTEXT),
    "activation": (CHOICES["activation"], NO_CONTEXT),
    "batch_norm": (CHOICES["batch_norm"], NO_CONTEXT),
    "bias": ([False], NO_CONTEXT),
    "init": (CHOICES["init"], NO_CONTEXT),
    "dropout": ([0.3], NO_CONTEXT),
    "loss": ([name for name in CHOICES["loss"] if name != "quantile"], NO_CONTEXT),
    "optimizer": (CHOICES["optimizer"], NO_CONTEXT),
    "learning_rate": ([3e-3], NO_CONTEXT),
    "momentum": ([0.9], {"optimizer": "sgd"}),
    "beta2": ([0.95], NO_CONTEXT),
    "nesterov": ([True], {"optimizer": "sgd", "momentum": 0.9}),
    "weight_decay": ([0.2], {"optimizer": "adamw"}),
    "schedule": (CHOICES["schedule"], NO_CONTEXT),
    "batch_size": ([128], NO_CONTEXT),
    "l1": ([1e-3], NO_CONTEXT),
    "l2": ([1e-2], NO_CONTEXT),
    "label_smoothing": ([0.1], NO_CONTEXT),
    "class_weights": (["balanced"], NO_CONTEXT),
    "augment": ([[name] for name in get_args(AugmentName)], NO_CONTEXT),
    "epochs": ([3], {"schedule": "cosine"}),
    "seed": ([1], NO_CONTEXT),
}
NO_EFFECT_ON_A_STEP = {
    "model": "tests/engine/test_autograd.py",
    "arguments": "tests/engine/test_autograd.py",
    "code": "tests/engine/test_autograd.py",
    "target_transform": "tests/models/test_target_transform.py",
    "quantile": "tests/engine/test_regression.py",
    "patience": "tests/engine/test_trainer.py",
    "evaluate_every": "tests/engine/test_trainer.py",
}
"""Fields of custom models, of a regression, or of when a trial stops and is evaluated; with their
tests."""


def changed(**values: Any) -> TrialSpec:
    return TrialSpec.from_dict(BASE.to_dict() | values)


CASES = [
    (field, value, context)
    for field, (values, context) in VALUES.items()
    for value in values
    if changed(**context | {field: value}) != changed(**context)
]


@pytest.fixture(scope="module")
def data(digits: PreparedDataset) -> DeviceData:
    return load_few(digits)


def companion(spec: TrialSpec) -> TrialSpec:
    """A trial that is fused with `spec` and differs from it in most fields."""
    return changed(
        hidden=(30, 8, 5) if spec.hidden else (),
        activation="sigmoid" if spec.activation != "sigmoid" else "gelu",
        batch_norm="after" if spec.batch_norm != "after" else "before",
        dropout=0.2,
        loss="bce",
        optimizer="sgd" if spec.optimizer != "sgd" else "adam",
        learning_rate=0.01,
        batch_size=spec.batch_size,
        l1=1e-4,
        label_smoothing=0.05,
        augment=["flip"],
        seed=9,
    )


def test_every_field_is_listed() -> None:
    assert set(VALUES) | set(NO_EFFECT_ON_A_STEP) == set(SPEC_FIELDS), "add new fields above"
    assert {field for field, *_ in CASES} == set(VALUES), "every field needs a value"


@pytest.mark.parametrize("field", [n for n, kind in FIELD_TYPES.items() if kind in (int, float)])
def test_a_number_out_of_range_is_refused(field: str) -> None:
    with pytest.raises(ValueError, match=rf"^{field}: must be "):
        changed(**{field: -1})


def test_every_activation_is_implemented() -> None:
    assert ACTIVATIONS.keys() == set(CHOICES["activation"])


@pytest.mark.parametrize("name", CHOICES["activation"])
def test_an_activation_that_moves_zero_is_masked(name: str) -> None:
    at_zero = ACTIVATIONS[name].forward(torch.zeros(1)).item()
    assert (at_zero == 0) == ACTIVATIONS[name].keeps_zero


@pytest.mark.parametrize("layout", ["alone", "fused", "with spare slots"])
@pytest.mark.parametrize("vectorised", [False, True], ids=["rowwise", "vectorised"])
@pytest.mark.parametrize(("field", "value", "context"), CASES, ids=str)
def test_a_field_changes_the_result_as_under_autograd(
    data: DeviceData,
    field: str,
    value: Any,
    context: dict[str, Any],
    vectorised: bool,
    layout: str,
) -> None:
    spec, default = changed(**context | {field: value}), changed(**context)
    expected = train_by_autograd(spec, data, STEPS)
    assert expected.losses[-1] != pytest.approx(
        train_by_autograd(default, data, STEPS).losses[-1], rel=1e-6
    ), f"{field} has no effect"

    specs, slots = [spec], None
    if layout != "alone":
        specs.append(companion(spec))
    if layout == "with spare slots":
        placement = GpuPlacement(data, lambda: 2**40)
        slots = placement.layout_with_room(width_class(spec), [*specs, companion(spec)])
    group = create_group(specs, data, vectorised, slots)
    assert_equals_autograd(group, train_steps(group, STEPS), data)


def test_the_layouts_pad_the_trials(data: DeviceData) -> None:
    specs = [companion(BASE), BASE]
    fused = Layout.tight(specs)
    assert (fused.depths, fused.widths) == ((3, 2), (30, 12, 5))
    placement = GpuPlacement(data, lambda: 2**40)
    spare = placement.layout_with_room(width_class(BASE), [*specs, companion(BASE)])
    assert (spare.slots, spare.widths) == (4, (128, 128, 128))
