"""Custom models in the engine: same training as the built-in network, alone and beside others."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import safetensors.torch
import torch

from harness.data.prepare import PreparedDataset
from harness.data.torch_datasets import load_splits
from harness.engine import cost_model
from harness.engine.autograd import ModuleNetwork
from harness.engine.cpu_placement import build_group
from harness.engine.device_data import DeviceData
from harness.engine.fused_group import FusedGroup
from harness.engine.padding import Layout
from harness.engine.placement import GpuPlacement
from harness.engine.trainer import Trainer
from harness.engine.trial_state import TrialState
from harness.models.mlp import load_model
from harness.results import TrialFailure, TrialResult
from harness.trial import TrialSpec
from tests.engine.autograd_reference import create_group, train_steps
from tests.engine.training import load_few, train_one, train_trials

BUILT_IN = TrialSpec(hidden=(24, 12), batch_size=64, epochs=6)


def custom_spec(name: str, spec: TrialSpec | None = None, **arguments: Any) -> TrialSpec:
    """Return a spec for a class of tests/support/custom_models.py, trained like `spec`."""
    shared = spec or TrialSpec(batch_size=64, epochs=3)
    return replace(
        shared,
        hidden=TrialSpec().hidden,
        batch_norm="none",
        model=f"tests.support.custom_models:{name}",
        arguments=tuple(sorted(arguments.items())),
    )


CONV = custom_spec("SmallConv", channels=4, dropout=0.3)


@pytest.fixture(scope="module")
def data(digits: PreparedDataset) -> DeviceData:
    return DeviceData(load_splits(digits.training))


@pytest.fixture(scope="module")
def double(digits: PreparedDataset) -> DeviceData:
    return load_few(digits)


@pytest.mark.parametrize("vectorised", [False, True], ids=["rowwise", "vectorised"])
@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"optimizer": "sgd", "momentum": 0.9, "nesterov": True, "learning_rate": 0.05},
        {"optimizer": "adamw", "weight_decay": 0.1, "schedule": "one-cycle", "l1": 1e-4},
        {"l1": 1e-4, "l2": 1e-3, "batch_norm": "before", "schedule": "cosine"},
        {"loss": "bce", "label_smoothing": 0.1, "class_weights": "balanced"},
        {"loss": "mse", "augment": ("shift", "rotate", "erase"), "schedule": "step"},
    ],
    ids=str,
)
def test_the_built_in_network_as_a_custom_model_trains_the_same(
    double: DeviceData, changes: dict[str, Any], vectorised: bool
) -> None:
    """40 steps over 6 epochs' schedule: every loss to 1e-12, the weights to 1e-9 (float64)."""
    spec = replace(BUILT_IN, **changes)
    custom = custom_spec("Layers", spec, widths=(24, 12), normed=spec.batch_norm != "none")
    trial, custom_trial = (TrialState.create("", each, double) for each in (spec, custom))
    assert trial.tensors is not None
    assert custom_trial.tensors is not None
    assert custom_trial.parameters == trial.parameters
    names = list(custom_trial.tensors.params)
    custom_trial.tensors.params = dict(
        zip(names, _in_order_of_layers(trial.tensors.params), strict=True)
    )
    custom_group = FusedGroup(Layout.for_module(custom), double, vectorised)
    custom_group.load(0, custom_trial)
    group = create_group([spec], double, vectorised)

    losses = train_steps(group)
    assert train_steps(custom_group) == [pytest.approx(row, rel=0, abs=1e-12) for row in losses]
    weights, expected = custom_group.weights(0, custom), group.weights(0, spec)
    for name, tensor in zip(names, _in_order_of_layers(expected), strict=True):
        torch.testing.assert_close(weights[name], tensor, rtol=0, atol=1e-9)
    assert custom_group.penalty(0, custom) == pytest.approx(group.penalty(0, spec), rel=1e-9)
    validated, custom_validated = group.validate(), custom_group.validate()
    assert custom_validated.loss == pytest.approx(validated.loss, rel=0, abs=1e-9)
    assert torch.equal(custom_validated.predictions[0], validated.predictions[0])


def _in_order_of_layers(named: dict[str, torch.Tensor]) -> list[torch.Tensor]:
    """Return `MLP`'s parameters in the order in which `Layers` has them."""
    layers = sorted({name.split(".")[1] for name in named}, key=int)
    return [
        named[f"{kind}.{layer}.{part}"]
        for layer in layers
        for kind in ("linears", "norms")
        for part in ("weight", "bias")
        if f"{kind}.{layer}.{part}" in named
    ]


def get_weights(outcome: Any) -> bytes:
    assert isinstance(outcome, TrialResult), outcome
    return outcome.weights


def test_results_are_bitwise_the_same_beside_other_trials(data: DeviceData) -> None:
    alone, curve = train_one(CONV, data)
    torch.rand(7)  # another use of torch's generator must not matter
    before = torch.get_rng_state()
    specs = [replace(CONV, seed=1), TrialSpec(hidden=(8,), epochs=2), CONV, custom_spec("Lazy")]
    outcomes, curves = train_trials(specs, data, joins={2: 1})
    assert get_weights(outcomes[2]) == alone.weights
    assert [e.val_loss for e in curves[2]] == [e.val_loss for e in curve]
    assert get_weights(outcomes[0]) != alone.weights
    assert torch.equal(torch.get_rng_state(), before)


def test_dropout_differs_by_step_epoch_and_seed(data: DeviceData) -> None:
    network = build_group([TrialState.create("", CONV, data)], data).network
    assert isinstance(network, ModuleNetwork)
    x, y = data.val_inputs[:64].unsqueeze(1), data.val_labels[:64].unsqueeze(1)

    def losses(seed: int, epoch: int) -> tuple[float, ...]:
        network.begin_epoch(seed, epoch)
        return tuple(network.gradients(x, y)[0].item() for _ in range(2))

    first = losses(0, 1)
    assert losses(0, 1) == first
    assert len({*first, *losses(0, 2), *losses(1, 1)}) == 6


def test_moving_a_trial_to_another_group_changes_nothing(data: DeviceData) -> None:
    stayed, moved = (build_group([TrialState.create("", CONV, data)], data) for _ in range(2))
    for _ in range(2):
        first = stayed.train_epoch(), moved.train_epoch()
        assert first[0] == first[1]
        moved = build_group([moved.unload(0)], data)
    assert stayed.validate().loss == moved.validate().loss
    left, right = stayed.weights(0, CONV), moved.weights(0, CONV)
    assert all(torch.equal(left[name], right[name]) for name in left)


@pytest.mark.parametrize(
    "spec", [CONV, custom_spec("Lazy"), custom_spec("Frozen")], ids=TrialSpec.describe
)
def test_the_saved_weights_give_the_saved_predictions(
    digits: PreparedDataset, data: DeviceData, spec: TrialSpec
) -> None:
    outcome, _ = train_one(spec, data)
    split = load_splits(digits.training).validation
    model = load_model(spec, 10, outcome.weights)
    with torch.inference_mode():
        logits = model(split.inputs[split.rows])
    assert bytes(logits.argmax(1).to(torch.uint8).tolist()) == outcome.predictions
    trained = [p for p in model.parameters() if p.requires_grad]
    assert outcome.parameters == sum(p.numel() for p in trained)


def test_frozen_parameters_do_not_change(data: DeviceData) -> None:
    spec = custom_spec("Frozen")
    outcome, _ = train_one(spec, data)
    first = build_group([TrialState.create("", spec, data)], data).weights(0, spec)
    last = safetensors.torch.load(outcome.weights)
    assert torch.equal(last["network.conv.weight"], first["network.conv.weight"])
    assert not torch.equal(last["network.out.weight"], first["network.out.weight"])


def test_initial_weights_depend_on_the_seed(data: DeviceData) -> None:
    trials = [TrialState.create("", replace(CONV, seed=seed), data) for seed in (0, 0, 1)]
    a, b, c = (t.tensors.params["network.conv.weight"] for t in trials if t.tensors)
    assert torch.equal(a, b)
    assert not torch.equal(a, c)


def test_the_cost_model_never_fuses_custom_models() -> None:
    specs = [CONV, CONV, TrialSpec(hidden=(8,)), TrialSpec(hidden=(8,))]
    assert sorted(map(len, cost_model.group_trials(specs, 64, 10))) == [1, 1, 2]
    assert cost_model.estimate_gain([CONV] * 4, 64, 10) == 1
    single = replace(CONV, batch_size=1)
    assert cost_model.group_trials([single, single], 64, 10) == [[0], [1]]
    assert cost_model.estimate_work(CONV, 64, 10) > 0


def test_gpu_placement_trains_it_beside_other_groups(data: DeviceData) -> None:
    def build(layout: Layout, data: DeviceData) -> FusedGroup:
        return FusedGroup(layout, data, vectorised=True)

    alone, _ = train_one(CONV, data)
    specs = [TrialSpec(hidden=(8,), epochs=2), CONV, TrialSpec(hidden=(), epochs=2), CONV]
    placement = GpuPlacement(data, lambda: 2**40, build)
    outcomes, _ = train_trials(specs, data, placement=placement, joins={3: 2})
    assert get_weights(outcomes[1]) == get_weights(outcomes[3])
    assert isinstance(outcomes[1], TrialResult)
    assert outcomes[1].best.val_loss == pytest.approx(alone.best.val_loss, rel=1e-3)


def test_out_of_memory_fails_that_trial_alone(data: DeviceData) -> None:
    def build(layout: Layout, data: DeviceData) -> FusedGroup:
        if layout.module is not None:
            raise torch.OutOfMemoryError
        return FusedGroup(layout, data, vectorised=True)

    specs = [CONV, TrialSpec(hidden=(8,), epochs=2)]
    outcomes, _ = train_trials(specs, data, placement=GpuPlacement(data, lambda: 2**40, build))
    assert outcomes[0] == TrialFailure(reason="needs more memory than cpu has")
    assert isinstance(outcomes[1], TrialResult)


def test_an_exception_of_the_model_is_reported_with_its_line(data: DeviceData) -> None:
    trainer = Trainer(data, "val/accuracy")
    trainer.add("1", custom_spec("Stubborn"))
    with pytest.raises(RuntimeError, match=r"raised TypeError: not in the mood \(custom_models"):
        list(trainer.train_epoch())


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        (
            custom_spec("FiveLogits"),
            r"FiveLogits\(\) returns shape \[2, 5\] for input of shape \[2, 1, 8, 8\]; "
            r"logits of 10 classes must have shape \[2, 10\]",
        ),
        (custom_spec("Constant"), r"Constant\(\) has no parameters to train"),
        (
            custom_spec("Picky", channels=3),
            r"Picky\(channels=3\) cannot be constructed: KeyError: .*custom_models.py, line",
        ),
        (
            custom_spec("factory"),
            "tests.support.custom_models:factory is a function, not a torch.nn.Module",
        ),
        (
            custom_spec("SmalConv"),
            "tests.support.custom_models has no class SmalConv; did you mean 'SmallConv'",
        ),
        (
            custom_spec("SmallConv", chanels=3),
            "arguments.chanels: SmallConv takes no such argument; did y",
        ),
        (custom_spec("Layers"), "arguments.widths: Layers requires it"),
        (
            custom_spec("Layers", widths=(8,), inputs=3),
            r"fails on input of shape \[2, 1, 8, 8\]: RuntimeError: ",
        ),
    ],
    ids=lambda value: value.describe() if isinstance(value, TrialSpec) else "",
)
def test_a_model_that_cannot_be_trained_is_refused(
    data: DeviceData, spec: TrialSpec, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        Trainer(data, "val/accuracy").add("1", spec)


def test_a_model_whose_code_has_changed_is_refused(data: DeviceData) -> None:
    spec = replace(CONV, code="nets.py 000000000000")
    with pytest.raises(ValueError, match=r"code of .*SmallConv has changed: .* was nets.py 000"):
        Trainer(data, "val/accuracy").add("1", spec)
