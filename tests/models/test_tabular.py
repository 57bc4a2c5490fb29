"""The built-in module for tables: its formulas, training, loading and export."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch
import torch.nn.functional as F

from harness.engine.device_data import DeviceData
from harness.engine.fused_group import FusedGroup
from harness.engine.padding import Layout
from harness.engine.trial_state import TrialState, perturb
from harness.models.export import find_export_problem
from harness.models.mlp import load_model
from harness.models.tabular import BINS, SLOW, PeriodicNumbers, PiecewiseNumbers, TabularNet
from harness.models.user_code import find_model_files, load_class
from harness.results import TrialResult
from harness.trial import TargetTransform, TrialSpec
from tests.engine.training import train_one
from tests.support.regression_table import make_splits

FEATURES = [0, 0, 0, 1, 1]
GROUPED = (0, 0, *[1] * 12, 2)
"""Two numbers, a category with an embedding, and an indicator."""


def spec_of(**arguments: Any) -> TrialSpec:
    return TrialSpec(
        model="tabular",
        arguments=tuple(sorted(({"width": 16, "depth": 2} | arguments).items())),
        loss="mse",
        optimizer="adamw",
        learning_rate=0.05,
        beta2=0.95,
        schedule="coslog4",
        batch_size=40,
        epochs=8,
    )


@pytest.fixture(scope="module")
def data() -> DeviceData:
    return DeviceData(replace(make_splits(), features=tuple(FEATURES)))


def create(**arguments: Any) -> TabularNet:
    torch.manual_seed(0)
    return TabularNet(len(FEATURES), 3, FEATURES, width=16, depth=2, **arguments)


def test_the_network_is_that_of_the_formulas() -> None:
    """No embeddings, one member: NTK layers, a parametric activation, dropout off."""
    net = create(numbers="linear").eval()
    for parameter in net.parameters():
        torch.nn.init.normal_(parameter)
    x = torch.randn(7, 5)
    h = x * (1 + 6 * net.scale)
    for weight, bias, slope in zip(net.weights, net.biases, net.slopes, strict=True):
        z = h @ weight / math.sqrt(len(weight)) + 0.1 * bias
        h = z + (1 + 0.1 * slope) * (F.selu(z) - z)
    expected = h @ net.last_weight[0] / math.sqrt(16) + 0.1 * net.last_bias[0]
    torch.testing.assert_close(net(x), expected)


def test_periodic_numbers_are_pbld() -> None:
    torch.manual_seed(0)
    layer, x = PeriodicNumbers(2, 4, 0.5), torch.randn(7, 2)
    parts = []
    for column in range(2):
        frequencies, phases = SLOW * layer.frequencies[column, 0], SLOW * layer.phases[column, 0]
        waves = torch.cos(2 * math.pi * x[:, column, None] * frequencies + phases)
        mapped = waves @ (SLOW * layer.maps[column]) + SLOW * layer.shifts[column]
        parts += [x[:, column, None], mapped]
    torch.testing.assert_close(layer(x), torch.cat(parts, 1))


def test_piecewise_numbers_are_the_places_in_bins_of_quantiles() -> None:
    layer, x = PiecewiseNumbers(1, 3, 0.1), torch.randn(500, 1) ** 3
    layer.initialize_from(x)
    edges = np.quantile(x.numpy(), np.linspace(0, 1, BINS + 1))
    torch.testing.assert_close(layer.edges[0], torch.tensor(edges, dtype=torch.float32))
    rows = torch.tensor([[-99.0], [float(edges[4])], [float(edges[4] + edges[5]) / 2], [99.0]])
    place = torch.zeros(4, BINS)
    place[1, :4] = place[2, :4] = place[3] = 1
    place[2, 4] = 0.5
    mapped = place @ (SLOW * layer.maps[0]) / math.sqrt(BINS)
    torch.testing.assert_close(layer(rows), torch.cat([rows, mapped], 1), rtol=1e-3, atol=1e-3)


def test_large_categories_get_an_embedding() -> None:
    net = TabularNet(len(GROUPED), 2, GROUPED, numbers="linear", size=4)
    assert net.inputs.outputs == 2 + 1 + 4
    x = torch.zeros(1, len(GROUPED))
    x[0, 0], x[0, 5], x[0, 14] = 7.0, 1.0, 1.0
    expected = [7.0, 0.0, 1.0, *net.inputs.levels[0][3].tolist()]
    assert net.inputs(x)[0].tolist() == pytest.approx(expected)
    assert TabularNet(2, 2, [1, 1])(torch.zeros(3, 2)).shape == (3, 1, 2), "no numbers"


def test_each_unit_is_initialized_from_the_training_rows() -> None:
    net = create(dropout=0.0, numbers="linear")
    x = torch.randn(400, 5) * torch.tensor([1, 10, 0.1, 1, 1])
    net.initialize_from(x, torch.zeros(400))
    z = x @ net.weights[0] / math.sqrt(5)
    torch.testing.assert_close(z.std(0, correction=0), torch.ones(16))
    biases = -SLOW * net.biases[0]
    assert (z.min(0).values < biases).all()
    assert (biases < z.max(0).values).all()
    assert len(biases.unique()) == 16


def test_a_regression_stays_in_the_range_of_the_training_targets() -> None:
    net = TabularNet(2, 1, [0, 0])
    net.initialize_from(torch.randn(50, 2), torch.linspace(-1, 2, 50))
    out = net.eval()(torch.randn(500, 2) * 1e3)
    assert out.min() >= -1
    assert out.max() <= 2


@pytest.mark.parametrize("transform", ["standard", "log", "quantile"])
def test_its_range_is_that_of_the_transformed_targets(
    data: DeviceData, transform: TargetTransform
) -> None:
    trial = TrialState.create("", replace(spec_of(), target_transform=transform), data)
    assert trial.tensors is not None
    targets = data.get_target(transform).labels[data.rows]
    low, high = (trial.tensors.statistics[f"network.{name}"] for name in ("low", "high"))
    assert (low.item(), high.item()) == (targets.min().item(), targets.max().item())


def test_the_mean_of_the_members_losses_is_minimized(data: DeviceData) -> None:
    """Gradients as under autograd of the mean loss; the prediction is the members' mean."""
    spec = spec_of(members=3, dropout=0.0)
    trial = TrialState.create("", spec, data)
    group = FusedGroup(Layout.for_module(spec), data)
    group.load(0, trial)
    group.begin_epoch()
    x, y = group._batches.gather(torch.tensor([0]))
    network = group.network.module.network  # type: ignore[union-attr]
    outputs = network.train()(x[:, 0])
    assert outputs.shape == (40, 3, 1)
    expected = F.mse_loss(outputs[..., 0], y.expand(-1, 3))
    gradients = torch.autograd.grad(expected, list(network.parameters()))
    loss, _ = group.network.gradients(x, y)
    assert loss.item() == pytest.approx(expected.item())
    for parameter, gradient in zip(network.parameters(), gradients, strict=True):
        assert parameter.grad is not None
        torch.testing.assert_close(parameter.grad, gradient)
    network.low.fill_(-math.inf)
    network.high.fill_(math.inf)
    with torch.no_grad():
        torch.testing.assert_close(network.eval()(x[:, 0]), outputs.detach().mean(1))


def test_dropout_drops_the_share_and_keeps_the_mean() -> None:
    net = create(dropout=0.25).train()
    torch.manual_seed(1)
    dropped = net._drop(torch.ones(1000, 101))
    assert dropped.unique().tolist() == [0.0, pytest.approx(4 / 3)]
    assert (dropped == 0).float().mean().item() == pytest.approx(0.25, abs=0.01)
    assert (dropped == 0).float().mean(0).max() < 0.35
    assert torch.equal(net.eval()._drop(torch.ones(9)), torch.ones(9))


@pytest.mark.parametrize(
    "arguments",
    [
        {"numbers": "linear", "activation": "mish"},
        {"numbers": "periodic", "members": 4},
        {"numbers": "piecewise", "activation": "relu", "dropout": 0.3},
    ],
    ids=str,
)
def test_it_learns_repeats_loads_and_is_exported(
    data: DeviceData, arguments: dict[str, Any]
) -> None:
    spec = spec_of(**arguments)
    result, epochs = train_one(spec, data, "val/rmse")
    assert isinstance(result, TrialResult)
    again, _ = train_one(spec, data, "val/rmse")
    assert isinstance(again, TrialResult)
    assert again.weights == result.weights
    assert epochs[-1].train_loss < epochs[0].train_loss / 3
    model = load_model(spec, 0, result.weights)
    inputs, rows = make_splits().validation.inputs, make_splits().validation.rows
    with torch.no_grad():
        out = model(inputs[rows])[:, 0]
    np.testing.assert_allclose(
        out.numpy(), np.frombuffer(result.predictions, np.float32), rtol=1e-4
    )
    assert safetensors.torch.load(result.weights)["features"].tolist() == FEATURES
    assert not find_export_problem(model, inputs[:2].numpy())


def test_a_perturbed_trial_keeps_what_it_has_of_the_data(data: DeviceData) -> None:
    trial = TrialState.create("a", spec_of(numbers="piecewise"), data)
    assert trial.tensors is not None
    changed = perturb(trial, 1e-3)
    edges = "network.inputs.numbers.edges"
    assert torch.equal(changed.statistics[edges], trial.tensors.statistics[edges])
    last = "network.last_weight"
    assert not torch.equal(changed.params[last], trial.tensors.params[last])


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        ({"numbers": "cubic"}, "numbers: 'cubic' is not one of linear, periodic, piecewise"),
        ({"activation": "tan"}, "activation: 'tan' is not one of selu"),
        ({"width": 0}, "width: must be at least 1, not 0"),
        ({"dropout": 1.0}, "dropout: must be in"),
        ({"frequency": 0.0}, "frequency: must be above 0"),
        ({"widht": 8}, "arguments.widht: TabularNet takes no such argument; did you mean 'width'"),
    ],
)
def test_a_wrong_argument_is_named(
    data: DeviceData, arguments: dict[str, Any], problem: str
) -> None:
    with pytest.raises(ValueError, match=problem):
        TrialState.create("", spec_of(**arguments), data)


def test_its_name_is_a_word() -> None:
    assert load_class("tabular") is TabularNet
    assert find_model_files("tabular") == {}
    assert spec_of().describe().startswith("tabular 2x16 · adamw 0.05")
    choices = replace(spec_of(), arguments=(("dropout", 0.1642), ("numbers", "linear")))
    assert choices.describe().startswith("tabular linear · dropout=0.164 · adamw 0.05")
    with pytest.raises(ValueError, match=r"did you mean 'tabular'\?"):
        TrialSpec(model="tabluar")
