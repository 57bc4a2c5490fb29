"""The built-in module for images: its formulas, training, loading, export and its page."""

from __future__ import annotations

import inspect
import json
import re
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

import harness
from harness.checks.report import check_studies
from harness.data.prepare import PreparedDataset
from harness.data.torch_datasets import load_splits
from harness.engine.device_data import DeviceData
from harness.engine.trial_state import TrialState
from harness.errors import ConfigError
from harness.model_arguments import BUILT_IN_MODULES, CONV_BLOCKS
from harness.models.conv import ConvNet
from harness.models.export import find_export_problem
from harness.models.mlp import load_model
from harness.models.user_code import find_model_files, load_class
from harness.results import TrialResult
from harness.sweep.progress import Silent
from harness.sweep.replay import replay
from harness.trial import TrialSpec
from harness.workspace import Workspace
from tests.engine.training import train_one
from tests.support.regression_table import make_splits

PAGE = Path(__file__).parents[2] / "docs/how-to/convolutions.md"


def spec_of(**arguments: Any) -> TrialSpec:
    return TrialSpec(
        model="conv",
        arguments=tuple(sorted(({"channels": 8, "blocks": 2} | arguments).items())),
        optimizer="adamw",
        learning_rate=0.01,
        schedule="one-cycle",
        label_smoothing=0.1,
        class_weights="balanced",
        augment=("shift",),
        epochs=6,
    )


@pytest.fixture(scope="module")
def data(digits: PreparedDataset) -> DeviceData:
    return DeviceData(load_splits(digits.training))


def copy_tensors(net: nn.Module, plain: nn.Module) -> int:
    """Copy all tensors in their order; return the number of parameters."""
    for tensor, copied in zip(net.state_dict().values(), plain.state_dict().values(), strict=True):
        copied.copy_(tensor)
    return sum(parameter.numel() for parameter in plain.parameters())


def conv(inputs: int, outputs: int, kernel: int = 3, bias: bool = True) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2, bias=bias)


def test_the_default_is_this_network() -> None:
    """Three blocks of two convolutions; the first of each is followed by the pooling."""
    layers: list[nn.Module] = []
    for inputs, outputs in ((1, 32), (32, 64), (64, 128)):
        layers += [conv(inputs, outputs, bias=False), nn.MaxPool2d(2)]
        layers += [nn.BatchNorm2d(outputs), nn.ReLU()]
        layers += [conv(outputs, outputs, bias=False), nn.BatchNorm2d(outputs), nn.ReLU()]
    plain = nn.Sequential(*layers, nn.AdaptiveMaxPool2d(1), nn.Flatten(), nn.Linear(128, 10))
    torch.manual_seed(0)
    net = ConvNet((1, 28, 28), 10)
    x = torch.randn(5, 1, 28, 28)
    kernels = 9 * (32 + 32 * 32 + 32 * 64 + 64 * 64 + 64 * 128 + 128 * 128)
    assert copy_tensors(net, plain) == kernels + 2 * 2 * (32 + 64 + 128) + 129 * 10
    torch.testing.assert_close(net(x), plain(x))  # by the batch's statistics
    torch.testing.assert_close(net.eval()(x), plain.eval()(x))  # by the running ones


def test_every_argument_changes_the_network() -> None:
    """Colour images with odd sides: 13x10 -> 6x5 -> 3x2."""
    plain = nn.Sequential(
        *(conv(3, 6, 5), nn.AvgPool2d(2), nn.SiLU()),
        *(conv(6, 9, 5), nn.AvgPool2d(2), nn.SiLU()),
        *(nn.Flatten(), nn.Linear(9 * 3 * 2, 20), nn.SiLU()),
        *(nn.Linear(20, 7), nn.SiLU(), nn.Linear(7, 4)),
    )
    torch.manual_seed(0)
    net = ConvNet(
        (3, 13, 10), 4, [6, 9], None, 1, 5, "avg", "none", False, "silu", head=[20, 7], dropout=0.3
    )
    x = torch.randn(3, 3, 13, 10)
    copy_tensors(net, plain)
    assert not torch.allclose(net(x), plain(x)), "dropout"
    assert [each.p for each in net.modules() if isinstance(each, nn.Dropout)] == [0.3] * 3
    torch.testing.assert_close(net.eval()(x), plain(x))


def test_residual_convolutions_add_to_their_input() -> None:
    torch.manual_seed(0)
    net = ConvNet((1, 6, 6), 4, 5, 1, 3, pooling="none", batch_norm=False, residual=True)
    x = torch.randn(2, 1, 6, 6)
    (first, a, second, b, third, c, weight, bias) = net.parameters()
    h = F.conv2d(x, first, a, padding=1).relu()
    h = h + F.conv2d(h, second, b, padding=1).relu()
    h = h + F.conv2d(h, third, c, padding=1).relu()
    torch.testing.assert_close(net(x), F.linear(h.amax((2, 3)), weight, bias))


@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 8, 8)])
def test_all_convolutions_work_in_the_layout_of_fast_kernels(shape: tuple[int, int, int]) -> None:
    """In the other layout, a step on images of one channel takes up to twice as long."""
    layouts = []
    net = ConvNet(shape, 2, 8, 2)
    for module in net.modules():
        if isinstance(module, nn.Conv2d | nn.BatchNorm2d):
            module.register_forward_hook(lambda module, inputs, out: layouts.append(out))
    net(torch.randn(4, *shape))
    assert len(layouts) == 8
    assert all(each.is_contiguous(memory_format=torch.channels_last) for each in layouts)


@pytest.mark.parametrize(
    "arguments",
    [{}, {"pooling": "avg", "global_pooling": "avg", "residual": True, "head": 16, "dropout": 0.2}],
    ids=str,
)
def test_it_learns_repeats_loads_and_is_exported(
    data: DeviceData, digits: PreparedDataset, arguments: dict[str, Any]
) -> None:
    spec = spec_of(**arguments)
    result, epochs = train_one(spec, data)
    again, _ = train_one(spec, data)
    assert isinstance(result, TrialResult)
    assert isinstance(again, TrialResult)
    assert again.weights == result.weights
    assert epochs[-1].val_accuracy > 0.85  # type: ignore[operator]
    model = load_model(spec, 10, result.weights)
    images = load_splits(digits.training).validation
    with torch.no_grad():
        predicted = model(images.inputs[images.rows]).argmax(1)
    assert predicted.tolist() == np.frombuffer(result.predictions, np.uint8).tolist()
    assert not find_export_problem(model, images.inputs[:2].numpy())


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        ({"pooling": "mean"}, "pooling: 'mean' is not one of max, avg, none"),
        ({"global_pooling": "sum"}, "global_pooling: 'sum' is not one of max, avg, none"),
        ({"activation": "tan"}, "activation: 'tan' is not one of relu"),
        ({"channels": 0}, "channels: must be an integer of 1 or more, not 0"),
        ({"channels": 8.5}, "channels: must be an integer of 1 or more, not 8.5"),
        ({"channels": ()}, "channels: an empty list"),
        ({"channels": (8, 8, 8)}, "blocks: is 2, but channels lists 3; leave it out"),
        ({"blocks": 0}, "blocks: must be an integer of 1 or more, not 0"),
        ({"blocks": 4}, "blocks: 4 poolings need images of 16x16 or more, not 8x8; use fewer"),
        ({"convs": 0}, "convs: must be an integer of 1 or more"),
        ({"head": (8, -1)}, "head: must be an integer of 1 or more, not -1"),
        ({"head": 8.5}, "head: must be an integer of 1 or more, not 8.5"),
        ({"batch_norm": "none"}, "batch_norm: must be true or false, not 'none'"),
        ({"kernel": 4}, "kernel: must be odd, not 4"),
        ({"dropout": 1.0}, "dropout: must be in"),
        ({"chanels": 8}, "arguments.chanels: ConvNet takes no such argument; did you mean 'chan"),
    ],
)
def test_a_wrong_argument_is_named(
    data: DeviceData, arguments: dict[str, Any], problem: str
) -> None:
    with pytest.raises(ValueError, match=problem):
        TrialState.create("", spec_of(**arguments), data)


def test_data_without_images_is_refused() -> None:
    with pytest.raises(
        ValueError, match=r"conv needs images, but an example has shape \[5\]; for a table, use tab"
    ):
        TrialState.create("", TrialSpec(model="conv", loss="mse"), DeviceData(make_splits()))


def test_its_description_has_the_channels_of_each_block() -> None:
    assert spec_of().describe().startswith("conv 8-16 · shift · adamw")
    assert (
        spec_of(blocks=3, activation="silu", head=())
        .describe()
        .startswith("conv 8-16-32 silu · head=[] · ")
    )
    for channels in (4, (4, 8, 16)):
        spec = TrialSpec(model="conv", arguments=(("channels", channels),))
        assert spec.describe().startswith("conv 4-8-16 · adam")
    assert TrialSpec(model="conv").describe().startswith("conv · adam")
    with pytest.raises(ValueError, match="did you mean 'conv'"):
        TrialSpec(model="convs")


def test_every_built_in_module_is_found_by_its_word_and_documented() -> None:
    reference = (PAGE.parents[1] / "reference/study-file.md").read_text()
    for word, path in BUILT_IN_MODULES.items():
        model_class = load_class(word)
        assert issubclass(model_class, nn.Module)
        assert path == f"{model_class.__module__}:{model_class.__name__}"
        assert find_model_files(word) == {}
        assert f"`{word}`" in reference


def create_study(**space: Any) -> harness.Study:
    sampled = {
        "arguments.channels": [[4, 8], [8, 8]],
        "arguments.kernel": [3, 5],
        "arguments.head": [[], [16]],
        "arguments.dropout": harness.Range(0.0, 0.3),
    }
    return harness.Study(
        "images", "digits", model="conv", trials=2, validation=0.2, space=sampled | space,
        train={"epochs": 2, "augment": ["shift"], "learning_rate": 0.01},
    )  # fmt: skip


@pytest.mark.slow
def test_a_study_samples_records_and_replays_it(
    tmp_path: Path, digits: PreparedDataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    result = create_study().run(workers=0, device="cpu", confirm=False, progress=False)
    workspace, champion = Workspace(tmp_path / "mlruns"), result.champion
    assert re.search(r"champion +trial \d: conv [48]-8 ", result.summary.text())
    assert check_studies(workspace, "images", None, False).healthy
    number = f"images/{champion.number}"
    replayed = replay(workspace, number, watcher=Silent(), device="cpu", inline=True)
    assert replayed.agreement == "bitwise"
    split = load_splits(digits.training).validation
    mlflow.set_tracking_uri(workspace.local_uri)
    try:
        model = mlflow.pytorch.load_model("models:/images@champion")
    finally:
        mlflow.set_tracking_uri(None)  # type: ignore[arg-type]
    correct = model(split.inputs[split.rows]).argmax(1) == split.labels[split.rows]
    assert champion.best is not None
    assert correct.float().mean().item() == pytest.approx(champion.best.val_accuracy, abs=1e-6)


def test_a_space_with_too_many_poolings_is_refused_before_training(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    study = create_study(**{"arguments.channels": [8], "arguments.blocks": [1, 2, 5]})
    with pytest.raises(ConfigError, match=r"blocks: 5 poolings need images of 32x32 or more"):
        study.run(workers=0, progress=False)
    assert not list(tmp_path.glob("**/mlflow.db"))


def test_its_page_lists_every_argument_with_its_default() -> None:
    listed = dict(re.findall(r"^\| `arguments\.(\w+)` \| (\S+) \|", PAGE.read_text(), re.MULTILINE))
    parameters = inspect.signature(ConvNet).parameters.values()
    expected = {each.name: each.default for each in parameters if each.default is not each.empty}
    expected["blocks"] = CONV_BLOCKS
    assert {name: json.loads(value.strip("`")) for name, value in listed.items()} == expected
