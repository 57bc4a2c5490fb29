"""Custom models as a user has them: two files beside a study, from search to replay."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import mlflow
import pytest
import torch
from mlflow import MlflowClient

from harness.analysis.comparison import compare
from harness.api.result import StudyResult
from harness.api.run import run_study
from harness.checks.report import check_studies
from harness.config.loader import load
from harness.data.prepare import PreparedDataset
from harness.data.torch_datasets import load_splits
from harness.errors import ConfigError, StudyError
from harness.executors.model_check import find_problem
from harness.models.custom import CustomModel
from harness.models.user_code import hash_model_files, importable_from, load_class
from harness.reports.commands import build_train_command
from harness.search.samplers import sample_random_specs
from harness.sweep.check_models import check_models
from harness.sweep.options import RunOptions
from harness.sweep.plan import make_plan
from harness.sweep.progress import Silent
from harness.sweep.replay import replay
from harness.sweep.train_once import train_once
from harness.trial import TrialSpec
from harness.workspace import Workspace

NETS = """
import torch
from torch import nn
from parts import block

class SmallConv(nn.Module):
    def __init__(self, shape, classes, channels=16, kernels=(3,)):
        super().__init__()
        inputs, height, width = shape
        layers = []
        for size in kernels:
            layers.append(block(inputs, channels, size))
            inputs = channels
        self.layers = nn.Sequential(*layers)
        self.out = nn.Linear(inputs * height * width, classes)

    def forward(self, x):
        return self.out(self.layers(x).flatten(1))

class Branching(SmallConv):
    def forward(self, x):
        return super().forward(x) if x.mean().item() > 9 else super().forward(x) + 1

class Wide(SmallConv):
    def forward(self, x):
        return super().forward(x)[:, :5]

def factory(classes):
    return None
"""
PARTS = """
from torch import nn

def block(inputs, outputs, size):
    return nn.Sequential(nn.Conv2d(inputs, outputs, size, padding=size // 2), nn.ReLU())
"""
STUDY = """
[study]
trials = 4
pruner = "none"
sampler = "random"
[data]
name = "digits"
validation = 0.2
[train]
model = "nets:SmallConv"
epochs = 2
[space]
arguments.channels = { low = 2, high = 8 }
arguments.kernels = [[3], [3, 5]]
learning_rate = { low = 3e-3, high = 1e-2, log = true }
[confirm]
top = 1
seeds = 2
"""


def write(folder: Path, study: str = STUDY) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "nets.py").write_text(NETS)
    (folder / "parts.py").write_text(PARTS)
    path = folder / "conv.toml"
    path.write_text(study)
    return path


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("own")
    write(folder)
    return folder


def sweep(folder: Path, **options: Any) -> StudyResult:
    return run_study(
        folder / "conv.toml", home=folder / "mlruns", device="cpu", **({"workers": 1} | options)
    )


@pytest.fixture(scope="module")
def result(folder: Path) -> StudyResult:
    return sweep(folder)


def test_its_arguments_are_searched_and_recorded_by_name(folder: Path, result: StudyResult) -> None:
    specs = [run.spec for run in result.summary.study.trials]
    assert {spec.model for spec in specs} == {"nets:SmallConv"}
    sampled = [dict(spec.arguments) for spec in specs]
    channels = [arguments["channels"] for arguments in sampled]
    assert len(set(channels)) > 1
    assert all(type(count) is int and 2 <= count <= 8 for count in channels)
    assert {arguments["kernels"] for arguments in sampled} == {(3,), (3, 5)}
    client = MlflowClient(Workspace(folder / "mlruns").local_uri)
    params = client.get_run(result.champion.run_id).data.params
    arguments = dict(result.champion.spec.arguments)
    assert params["arguments.channels"] == str(arguments["channels"])
    assert params["arguments.kernels"] == str(list(arguments["kernels"]))
    assert not {"hidden", "activation", "batch_norm"} & params.keys()
    assert result.trials["arguments.channels"].tolist() == channels
    assert "(channels=" in result.summary.text()
    assert "SmallConv(channels=" in result.summary.text()


def test_its_champion_is_confirmed_and_loads_without_its_code(
    digits: PreparedDataset, folder: Path, result: StudyResult
) -> None:
    confirmed = result.summary.confirmation
    assert confirmed is not None
    assert len(confirmed.runs) == 2
    mlflow.set_tracking_uri(Workspace(folder / "mlruns").local_uri)
    try:
        model = mlflow.pytorch.load_model(result.model)
    finally:
        mlflow.set_tracking_uri(None)  # type: ignore[arg-type]
    split = load_splits(digits.training).validation
    champion = result.summary.model_run
    assert champion.best is not None
    correct = model(split.inputs[split.rows]).argmax(1) == split.labels[split.rows]
    assert correct.float().mean().item() == pytest.approx(champion.best.val_accuracy, abs=1e-6)
    assert model(torch.zeros(1, 8, 8, dtype=torch.uint8)).shape == (1, 10)
    assert result.test is not None
    assert result.test.examples == 360


def test_its_code_is_recorded_with_the_study(folder: Path, result: StudyResult) -> None:
    client = MlflowClient(Workspace(folder / "mlruns").local_uri)
    run = result.summary.study.run_id
    for name, text in (("code-nets.py", NETS), ("code-parts.py", PARTS)):
        assert Path(client.download_artifacts(run, name)).read_text() == text
    assert not [path for path in sys.path if path == str(folder)]


def test_the_report_shows_its_arguments(result: StudyResult) -> None:
    page = result.report.read_text()
    assert "arguments.kernels" in page
    assert "SmallConv(channels=" in page


def test_doctor_and_compare_read_the_record(folder: Path, result: StudyResult) -> None:
    workspace = Workspace(folder / "mlruns")
    assert check_studies(workspace, "conv", None, False).healthy
    first, second = (f"conv/{run.number}" for run in result.summary.study.rank_trials()[:2])
    comparison = compare(workspace.open_tracker(None, reading=True), [first, second])
    assert {"learning_rate"} <= comparison.differing.keys()
    assert "hidden" not in comparison.differing


def test_a_trial_replays_bitwise(
    folder: Path, result: StudyResult, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder)
    replayed = replay(
        Workspace(folder / "mlruns"), "conv/1", watcher=Silent(), device="cpu", inline=True
    )
    assert replayed.agreement == "bitwise"


def test_a_changed_class_is_noticed(
    folder: Path, result: StudyResult, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder)
    parts = folder / "parts.py"
    parts.write_text(PARTS + "\nX = 1\n")
    try:
        with pytest.raises(StudyError, match=r"\[code\] nets:SmallConv: .* -> .*code as"):
            sweep(folder, trials=5, workers=0)
        with pytest.raises(
            StudyError, match="conv/1 cannot be replayed: the files of nets:SmallConv have changed"
        ):
            replay(
                Workspace(folder / "mlruns"), "conv/1", watcher=Silent(), device="cpu", inline=True
            )
    finally:
        parts.write_text(PARTS)
    assert len(sweep(folder, trials=5, workers=0).summary.study.trials) == 5


def test_the_reported_train_command_reproduces_the_champion(
    folder: Path, result: StudyResult, monkeypatch: pytest.MonkeyPatch
) -> None:
    command = shlex.split(build_train_command(result.summary.study, result.champion))
    overrides = [command[i + 1] for i, word in enumerate(command) if word == "--set"]
    planned = make_plan(
        folder / "conv.toml",
        RunOptions(overrides=overrides, home=folder / "mlruns", device="cpu", workers=0),
    )
    done = train_once(planned, test=True, watcher=Silent())
    assert done.spec == result.champion.spec
    assert done.result.best.val_loss == pytest.approx(result.champion.best.val_loss)  # type: ignore[union-attr]
    assert done.reading is not None


@pytest.mark.slow
def test_custom_and_built_in_models_in_one_list(tmp_path: Path) -> None:
    study = """
[data]
name = "digits"
[train]
epochs = 1
[[trial]]
name = "conv"
model = "nets:SmallConv"
arguments = { channels = 4 }
[[trial]]
hidden = [16]
[[trial]]
name = "branching"
model = "nets:Branching"
"""
    write(tmp_path, study)
    result = sweep(tmp_path, workers=0)
    names = {"conv", "hidden = [16]", "branching"}
    assert names <= set(result.summary.study.definition["trial"])
    assert len(result.summary.study.readings) == 3
    assert all(name in result.summary.text() for name in names)
    assert check_studies(Workspace(tmp_path / "mlruns"), "conv", None, False).healthy


@pytest.mark.slow
def test_a_study_finishes_if_its_model_cannot_be_exported(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    write(tmp_path, STUDY.replace("nets:SmallConv", "nets:Branching"))
    result = sweep(tmp_path, workers=0, trials=1, confirm=False)
    assert "not exported (torch.export: " in result.summary.text()
    assert result.champion.run_id in result.summary.text()
    assert result.test is not None
    assert "load_model(" not in result.report.read_text()
    assert check_studies(Workspace(tmp_path / "mlruns"), "conv", None, False).healthy
    assert "def forward" not in capfd.readouterr().err


@pytest.fixture
def check(tmp_path: Path, digits: PreparedDataset) -> Iterator[Callable[..., None]]:
    path = write(tmp_path)

    def check(*overrides: str, workers: int = 0) -> None:
        planned = make_plan(
            path, RunOptions(overrides=overrides, home=tmp_path / "mlruns", workers=workers)
        )
        with check_models(planned, digits):
            pass

    yield check
    assert not (tmp_path / "mlruns").exists()
    assert str(tmp_path) not in sys.path


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["train.model=nest:SmallConv"], "no module nest: .* beside the study file .*mean 'nets'"),
        (["train.model=nets.x:SmallConv"], "nets has no module x"),
        (["train.model=nets:SmalConv"], "nets has no class SmalConv; did you mean 'SmallConv'"),
        (["train.model=nets:factory"], "nets:factory is a function, not a torch.nn.Module"),
        (["train.arguments.chanels=3"], "arguments.chanels: SmallConv takes no such argument; did"),
        (["train.arguments.channels=many"], r"SmallConv\(channels=many, .*nets.py, line|parts.py"),
        (
            ["train.model=nets:Wide"],
            r"returns shape \[2, 5\] for input of .*\[2, 1, 8, 8\]; .* \[2, 10\]",
        ),
    ],
    ids=str,
)
def test_a_mistake_is_reported_in_one_line_before_training(
    check: Callable[..., None], overrides: list[str], message: str
) -> None:
    check()
    with pytest.raises(ConfigError, match=rf"conv.toml: .*{message}") as caught:
        check(*overrides)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("def (\n", "nets.py, line 1: invalid syntax"),
        ("import nothing_such\n", "ModuleNotFoundError: No module .*nothing_such.* line 1"),
        (
            "\nraise KeyError('a key')\n",
            r"imported: KeyError: 'a key' \(nets.py, line 2\)",
        ),
        ("raise SystemExit('enough')\n", "cannot be imported: SystemExit: enough"),
    ],
)
def test_code_that_cannot_be_imported(
    check: Callable[..., None], tmp_path: Path, text: str, message: str
) -> None:
    (tmp_path / "nets.py").write_text(text)
    with pytest.raises(ConfigError, match=message):
        check()


def test_code_that_ends_its_process_does_not_end_the_driver(
    check: Callable[..., None], tmp_path: Path
) -> None:
    (tmp_path / "nets.py").write_text("import os\nos._exit(3)\n")
    with pytest.raises(ConfigError, match="the process that checked it died"):
        check(workers=1)


def test_the_files_of_a_model_and_reloading(tmp_path: Path) -> None:
    write(tmp_path)
    with importable_from(tmp_path):
        before = hash_model_files("nets:SmallConv")
        assert before.keys() == {"nets.py", "parts.py"}
        first = load_class("nets:SmallConv")
        assert load_class("nets:SmallConv") is first
        (tmp_path / "parts.py").write_text(PARTS.replace("ReLU", "Tanh"))
        assert hash_model_files("nets:SmallConv")["parts.py"] != before["parts.py"]
        reloaded = load_class("nets:SmallConv")
        assert reloaded is not first
        assert "Tanh" in str(reloaded((1, 8, 8), 10))
    folder = tmp_path / "without_init"
    folder.mkdir()
    (folder / "net.py").write_text("import without_init.deep\nfrom . import other, no_module\n")
    (folder / "deep.py").write_text("from .deeper import X\nimport torch, harness\n")
    for name in ("deeper", "other", "unused"):
        (folder / f"{name}.py").write_text("X = 1\n")
    with importable_from(tmp_path):
        files = hash_model_files("without_init.net:Net").keys()
    assert {path.partition("/")[2] for path in files} == {
        "net.py",
        "deep.py",
        "deeper.py",
        "other.py",
    }
    assert hash_model_files("torch.nn:Linear").keys() == {"torch/nn/__init__.py"}


@pytest.mark.parametrize(
    ("tables", "message"),
    [
        ('[train]\nmodel = "a:B"\nhidden = [30]', r"\[train\] hidden: is for the built-in network"),
        (
            '[train]\nmodel = "a.B"',
            r"\[train\] model: 'a.B' is not written as package.module:Class",
        ),
        (
            '[train]\nmodel = "./nets/a.py:B"',
            r"'./nets/a.py:B' is not .*; did you mean 'nets.a:B'\?",
        ),
        ("[train]\narguments.x = 1", r"\[train\] arguments.x: the built-in network takes no arg"),
        ("[space]\narguments.x = [1]", r"\[space\] arguments.x: the built-in network takes no arg"),
        ('[train]\nmodel = "a:B"\narguments = 3', r"\[train\] arguments: must be a table"),
        ('[train]\nmodel = "a:B"\narguments.x = nan', "arguments.x: must be finite, not nan"),
        (
            '[train]\nmodel = "a:B"\narguments.x = {y = 1}',
            "arguments.x: must be true, .* not {'y': 1}",
        ),
        ('[train]\nmodel = "a:B"\ncode = "x"', r"\[train\] code: unknown key"),
        (
            '[train]\nmodel = "a:B"\n[space]\ndepth = [1]\nwidth = [8]',
            r"\[space\] depth: is for the built-in network",
        ),
        (
            '[train]\nmodel = "a:B"\narguments.x = 1\n[space]\narguments.x = [1, 2]',
            r"\[train\] arguments.x: also sampled",
        ),
        (
            '[train]\nactivation = "relu"\n[[trial]]\nmodel = "a:B"',
            "number 1: activation: is for the built-in network",
        ),
    ],
    ids=str,
)
def test_a_contradictory_study_file_is_refused(tmp_path: Path, tables: str, message: str) -> None:
    path = tmp_path / "study.toml"
    path.write_text(f'[data]\nname = "digits"\n{tables}\n')
    with pytest.raises(ConfigError, match=message):
        load(path)


def test_models_can_be_sampled(tmp_path: Path) -> None:
    path = tmp_path / "study.toml"
    path.write_text(
        '[data]\nname = "digits"\n[train]\narguments.x = "same"\n'
        '[space]\nmodel = ["a:B", "a:C"]\narguments.y = { low = 0.1, high = 1 }\n'
    )
    specs = sample_random_specs(load(path), 8)
    assert {spec.model for spec in specs} == {"a:B", "a:C"}
    assert all(dict(spec.arguments)["x"] == "same" for spec in specs)
    assert all(isinstance(dict(spec.arguments)["y"], float) for spec in specs)
    for spec in specs:
        assert TrialSpec.from_dict(spec.to_dict()) == spec


@pytest.mark.parametrize(
    ("name", "arguments", "batch_size", "problem"),
    [
        ("Layers", (("normed", True), ("widths", (8,))), 1, "cannot train on 1 example"),
        ("Layers", (("normed", True), ("widths", (8,))), 2, ""),
        ("Layers", (("normed", False), ("widths", (8,))), 1, ""),
        ("SmallConv", (), 1, ""),
    ],
)
def test_a_model_that_cannot_train_on_one_example_is_refused(
    digits: PreparedDataset,
    name: str,
    arguments: tuple[tuple[str, object], ...],
    batch_size: int,
    problem: str,
) -> None:
    model = f"tests.support.custom_models:{name}"
    specs = [
        TrialSpec(model=model, arguments=arguments, batch_size=size) for size in (batch_size, 32)
    ]
    message = find_problem(digits.training, specs)
    assert problem in message
    assert bool(problem) == bool(message), message


FEATURES = """
from torch import nn
class Fixed(nn.Sequential):
    def __init__(self, inputs, classes, features=8):
        super().__init__(nn.Linear(inputs, features), nn.Linear(features, classes))
class Set(Fixed):
    def __init__(self, inputs, classes, features):
        super().__init__(inputs, classes, features)
"""


@pytest.mark.parametrize(("name", "arguments"), [("Fixed", ()), ("Set", (("features", 8),))])
def test_an_argument_that_is_called_features_keeps_its_meaning(
    tmp_path: Path, name: str, arguments: tuple[tuple[str, int], ...]
) -> None:
    """Weights of earlier versions have no buffer of that name."""
    (tmp_path / "named.py").write_text(FEATURES)
    with importable_from(tmp_path):
        spec = TrialSpec(model=f"named:{name}", arguments=arguments)
        model = CustomModel(spec, 3, torch.zeros(5), torch.ones(5))
    assert set(model.state_dict()) == {
        *("mean", "inv_std"),
        *(f"network.{layer}.{part}" for layer in (0, 1) for part in ("weight", "bias")),
    }
    assert model.network[0].out_features == 8  # type: ignore[index,union-attr]
