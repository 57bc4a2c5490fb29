"""A model of one's own in the engine's loop: the same training, whatever stands beside it."""

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
from tests.engine.training import train_one, train_trials

BUILT_IN = TrialSpec(hidden=(24, 12), batch_size=64, epochs=6)


def own(name: str, spec: TrialSpec | None = None, **arguments: Any) -> TrialSpec:
    """A class of tests/nets.py with these arguments, trained as `spec`."""
    shared = spec or TrialSpec(batch_size=64, epochs=3)
    return replace(
        shared,
        hidden=TrialSpec().hidden,
        batch_norm="none",
        model=f"tests.support.custom_models:{name}",
        arguments=tuple(sorted(arguments.items())),
    )


CONV = own("SmallConv", channels=4, dropout=0.3)


@pytest.fixture(scope="module")
def data(digits: PreparedDataset) -> DeviceData:
    return DeviceData(load_splits(digits.training))


@pytest.fixture(scope="module")
def double(digits: PreparedDataset) -> DeviceData:
    return DeviceData(load_splits(digits.training), dtype=torch.float64)


@pytest.mark.parametrize("vectorised", [False, True], ids=["rowwise", "vectorised"])
@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"optimizer": "sgd", "momentum": 0.9, "nesterov": True, "learning_rate": 0.05},
        {"optimizer": "adamw", "weight_decay": 0.1, "schedule": "one-cycle", "l1": 1e-4},
        {"l1": 1e-4, "l2": 1e-3, "batch_norm": "before", "schedule": "cosine"},
        {"loss": "bce", "label_smoothing": 0.1},
        {"loss": "mse", "augment": ("shift", "rotate", "erase"), "schedule": "step"},
    ],
    ids=str,
)
def test_the_built_in_network_in_torchs_words_trains_as_by_hand(
    double: DeviceData, changes: dict[str, Any], vectorised: bool
) -> None:
    """100 steps over 6 epochs' schedule: every loss to 1e-12, the weights to 1e-9 (float64)."""
    spec = replace(BUILT_IN, **changes)
    same = own("Layers", spec, widths=(24, 12), normed=spec.batch_norm != "none")
    trial, twin = (TrialState.create("", each, double) for each in (spec, same))
    assert trial.tensors is not None
    assert twin.tensors is not None
    assert twin.parameters == trial.parameters
    twin.tensors.params = dict(
        zip(twin.tensors.params, _in_order(trial.tensors.params), strict=True)
    )
    group = FusedGroup(Layout.for_module(same), double, vectorised)
    group.load(0, twin)
    by_hand = create_group([spec], double, vectorised)

    steps = train_steps(by_hand)
    assert train_steps(group) == [pytest.approx(row, rel=0, abs=1e-12) for row in steps]
    names = list(twin.tensors.params if twin.tensors else group.buffer.param_views)
    found, wanted = group.weights(0, same), by_hand.weights(0, spec)
    for name, tensor in zip(names, _in_order(wanted), strict=True):
        torch.testing.assert_close(found[name], tensor, rtol=0, atol=1e-9)
    assert group.penalty(0, same) == pytest.approx(by_hand.penalty(0, spec), rel=1e-9)
    told, validated = by_hand.validate(), group.validate()
    assert validated.loss == pytest.approx(told.loss, rel=0, abs=1e-9)
    assert torch.equal(validated.predictions, told.predictions)


def _in_order(named: dict[str, torch.Tensor]) -> list[torch.Tensor]:
    """The parameters of `MLP` in the order in which `Layers` has them."""
    layers = sorted({name.split(".")[1] for name in named}, key=int)
    return [
        named[f"{kind}.{layer}.{part}"]
        for layer in layers
        for kind in ("linears", "norms")
        for part in ("weight", "bias")
        if f"{kind}.{layer}.{part}" in named
    ]


def weights_of(outcome: Any) -> bytes:
    assert isinstance(outcome, TrialResult), outcome
    return outcome.weights


def test_it_repeats_to_the_bit_beside_any_others(data: DeviceData) -> None:
    alone, curve = train_one(CONV, data)
    torch.rand(7)  # whatever else uses torch's generator
    before = torch.get_rng_state()
    specs = [replace(CONV, seed=1), TrialSpec(hidden=(8,), epochs=2), CONV, own("Lazy")]
    outcomes, curves = train_trials(specs, data, joins={2: 1})
    assert weights_of(outcomes[2]) == alone.weights
    assert [e.val_loss for e in curves[2]] == [e.val_loss for e in curve]
    assert weights_of(outcomes[0]) != alone.weights
    assert torch.equal(torch.get_rng_state(), before)


def test_dropout_is_another_in_each_step_and_epoch_and_with_each_seed(data: DeviceData) -> None:
    network = create_group([TrialState.create("", CONV, data)], data).network
    assert isinstance(network, ModuleNetwork)
    x, y = data.val_inputs[:64].unsqueeze(1), data.val_labels[:64].unsqueeze(1)

    def losses(seed: int, epoch: int) -> tuple[float, ...]:
        network.begin_epoch(seed, epoch)
        return tuple(network.gradients(x, y)[0].item() for _ in range(2))

    first = losses(0, 1)
    assert losses(0, 1) == first
    assert len({*first, *losses(0, 2), *losses(1, 1)}) == 6


def test_taken_out_and_put_in_again_it_goes_on_as_it_was(data: DeviceData) -> None:
    stayed, moved = (create_group([TrialState.create("", CONV, data)], data) for _ in range(2))
    for _ in range(2):
        first = stayed.train_epoch(), moved.train_epoch()
        assert first[0] == first[1]
        moved = create_group([moved.unload(0)], data)
    assert stayed.validate().loss == moved.validate().loss
    left, right = stayed.weights(0, CONV), moved.weights(0, CONV)
    assert all(torch.equal(left[name], right[name]) for name in left)


@pytest.mark.parametrize("spec", [CONV, own("Lazy"), own("Frozen")], ids=TrialSpec.describe)
def test_the_weights_that_are_kept_give_the_predictions(
    digits: PreparedDataset, data: DeviceData, spec: TrialSpec
) -> None:
    outcome, _ = train_one(spec, data)
    part = load_splits(digits.training).validation
    model = load_model(spec, 10, outcome.weights)
    with torch.inference_mode():
        logits = model(part.inputs[part.rows])
    assert bytes(logits.argmax(1).to(torch.uint8).tolist()) == outcome.predictions
    trained = [p for p in model.parameters() if p.requires_grad]
    assert outcome.parameters == sum(p.numel() for p in trained)


def test_what_is_frozen_stays(data: DeviceData) -> None:
    spec = own("Frozen")
    outcome, _ = train_one(spec, data)
    first = create_group([TrialState.create("", spec, data)], data).weights(0, spec)
    last = safetensors.torch.load(outcome.weights)
    assert torch.equal(last["network.conv.weight"], first["network.conv.weight"])
    assert not torch.equal(last["network.out.weight"], first["network.out.weight"])


def test_it_is_made_of_its_seed(data: DeviceData) -> None:
    made = [TrialState.create("", replace(CONV, seed=seed), data).tensors for seed in (0, 0, 1)]
    a, b, c = (state.params["network.conv.weight"] for state in made if state)
    assert torch.equal(a, b)
    assert not torch.equal(a, c)


def test_it_trains_alone_and_nobody_guesses_its_size() -> None:
    specs = [CONV, CONV, TrialSpec(hidden=(8,)), TrialSpec(hidden=(8,))]
    assert sorted(map(len, cost_model.group_trials(specs, 64, 10))) == [1, 1, 2]
    assert cost_model.estimate_gain([CONV] * 4, 64, 10) == 1
    single = replace(CONV, batch_size=1)
    assert cost_model.group_trials([single, single], 64, 10) == [[0], [1]]
    assert cost_model.estimate_work(CONV, 64, 10) > 0


def test_on_a_gpu_it_stands_beside_the_others_too(data: DeviceData) -> None:
    def make(layout: Layout, data: DeviceData) -> FusedGroup:
        return FusedGroup(layout, data, vectorised=True)

    alone, _ = train_one(CONV, data)
    specs = [TrialSpec(hidden=(8,), epochs=2), CONV, TrialSpec(hidden=(), epochs=2), CONV]
    placement = GpuPlacement(data, lambda: 2**40, make)
    outcomes, _ = train_trials(specs, data, placement=placement, joins={3: 2})
    assert weights_of(outcomes[1]) == weights_of(outcomes[3])
    assert isinstance(outcomes[1], TrialResult)
    assert outcomes[1].best.val_loss == pytest.approx(alone.best.val_loss, rel=1e-3)


def test_memory_that_does_not_suffice_refuses_it_alone(data: DeviceData) -> None:
    def make(layout: Layout, data: DeviceData) -> FusedGroup:
        if layout.module is not None:
            raise torch.OutOfMemoryError
        return FusedGroup(layout, data, vectorised=True)

    specs = [CONV, TrialSpec(hidden=(8,), epochs=2)]
    outcomes, _ = train_trials(specs, data, placement=GpuPlacement(data, lambda: 2**40, make))
    assert outcomes[0] == TrialFailure(reason="needs more memory than cpu has")
    assert isinstance(outcomes[1], TrialResult)


def test_what_its_code_raises_is_told_with_its_place(data: DeviceData) -> None:
    trainer = Trainer(data, "val/accuracy")
    trainer.add("1", own("Stubborn"))
    with pytest.raises(RuntimeError, match=r"raised TypeError: not in the mood \(custom_models"):
        list(trainer.train_epoch())


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        (
            own("FiveLogits"),
            r"FiveLogits\(\) gives \[2, 5\] for a batch of \[2, 1, 8, 8\]; logits of 10 classes "
            r"are \[2, 10\]",
        ),
        (own("Constant"), r"Constant\(\) has no parameters to train"),
        (
            own("Picky", channels=3),
            r"Picky\(channels=3\) cannot be made: KeyError: .*custom_models.py, line",
        ),
        (
            own("factory"),
            "tests.support.custom_models:factory is a function, and no torch.nn.Module",
        ),
        (
            own("SmalConv"),
            "tests.support.custom_models has no class SmalConv; did you mean 'SmallConv'",
        ),
        (own("SmallConv", chanels=3), "arguments.chanels: SmallConv takes no such argument; did y"),
        (own("Layers"), "arguments.widths: Layers needs it"),
        (
            own("Layers", widths=(8,), inputs=3),
            r"cannot take \[2, 1, 8, 8\]: RuntimeError: ",
        ),
    ],
    ids=lambda value: value.describe() if isinstance(value, TrialSpec) else "",
)
def test_a_model_that_cannot_be_trained_is_refused_in_words(
    data: DeviceData, spec: TrialSpec, said: str
) -> None:
    with pytest.raises(ValueError, match=said):
        Trainer(data, "val/accuracy").add("1", spec)


def test_it_is_refused_where_its_code_is_another(data: DeviceData) -> None:
    spec = replace(CONV, code="nets.py 000000000000")
    with pytest.raises(ValueError, match=r"SmallConv is not what it was: .* it was of nets.py 000"):
        Trainer(data, "val/accuracy").add("1", spec)
