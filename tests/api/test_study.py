"""`harness.Study`: the same keys, checks and bits as a study file; data and models of memory."""

from __future__ import annotations

import re
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any, get_type_hints

import numpy as np
import pandas as pd
import pytest
import torch
from torch.utils.data import Dataset, TensorDataset

import harness
from harness.api.memory_data import read_memory
from harness.api.study_keys import StudyKeys
from harness.api.wording import use_python_words
from harness.config.loader import load
from harness.config.scaffold import write_new_study
from harness.config.study_tables import DataTable, StudyTable
from harness.config.tabular_space import build_train_table
from harness.errors import ConfigError, DataError, Interruption, StudyError
from harness.sweep.progress import Silent
from tests.support.digits_study import STUDY

GENERATOR = np.random.default_rng(0)
X = GENERATOR.normal(size=(60, 4)).astype(np.float32)
Y = (X[:, 0] > 0).astype(np.int64)


def test_the_arguments_are_the_keys_of_a_study_file() -> None:
    keys = (StudyTable.model_fields.keys() | DataTable.model_fields.keys()) - {"name"}
    assert get_type_hints(StudyKeys).keys() == keys


def test_a_study_is_the_same_as_its_file(tmp_path: Path) -> None:
    study = harness.Study(
        "digits-7",
        "digits",
        trials=7,
        timeout=90,
        validation=0.2,
        train={"epochs": np.int64(3), "optimizer": "adam"},
        space={
            "depth": harness.Range(1, 2),
            "width": harness.Choice([16, 32]),
            "learning_rate": harness.Range(1e-4, 1e-1, log=True),
            "l2": {"low": 1e-6, "high": 1e-3, "log": True, "zero": 0.5},
        },
        confirm={"seeds": 2},
    )
    path = tmp_path / "digits-7.toml"
    path.write_text(
        textwrap.dedent("""
        [study]
        trials = 7
        timeout = "90s"
        [data]
        name = "digits"
        validation = 0.2
        [train]
        epochs = 3
        optimizer = "adam"
        [space]
        depth = { low = 1, high = 2 }
        width = [16, 32]
        learning_rate = { low = 1e-4, high = 1e-1, log = true }
        l2 = { low = 1e-6, high = 1e-3, log = true, zero = 0.5 }
        [confirm]
        seeds = 2
        """)
    )
    assert study.config.definition() == load(path).definition()
    written = study.write(tmp_path / "mlruns")
    assert load(written).definition() == load(path).definition()


def test_arguments_of_a_model_are_dotted_keys() -> None:
    """As they are written by hand, not `"arguments.width"` in quotes."""
    study = harness.Study(
        "dotted",
        "digits",
        model="torch.nn:Linear",
        train={"arguments.bias": False},
        space={"arguments.width": [8, 16], "arguments.depth": harness.Range(1, 2)},
    )
    lines = study.to_toml().splitlines()
    assert "arguments.bias = false" in lines
    assert "arguments.width = [8, 16]" in lines
    assert "arguments.depth = {low = 1, high = 2}" in lines
    assert set(study.config.space.dimensions) == {"arguments.width", "arguments.depth"}


def test_the_text_of_a_study_describes_data_of_memory() -> None:
    frame = pd.DataFrame({"a": [1, 2], "b": ["x", "y"]})
    assert "DataFrame of 2 rows and 2 columns" in repr(harness.Study("f", frame, target="b"))
    assert "arrays x [60, 4], y [60]" in repr(harness.Study("a", (X, Y)))
    assert "'digits'" in repr(harness.Study("d", "digits"))


def make_houses() -> pd.DataFrame:
    rng = np.random.default_rng(0)
    area = rng.integers(50, 300, 240)
    return pd.DataFrame({"area": area, "kind": rng.choice(["a", "b"], 240), "price": area * 10.5})


@pytest.mark.parametrize(("target", "task"), [("price", "regression"), ("kind", "classes")])
def test_the_shipped_space_is_that_of_new_study(
    target: str, task: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    frame = make_houses()
    frame.to_csv("houses.csv", index=False)
    written = harness.load_study(write_new_study("houses.csv", target=target).path).config
    config = harness.Study("houses", frame, target=target, task=task, space="tabular").config
    assert config.space == written.space
    assert config.study.trials == written.study.trials == 25
    assert config.data.normalize == written.data.normalize == "quantile"
    size = {"batch_size": config.train["batch_size"]}
    assert config.train == written.train | size
    for count in (2, 12, 154, 3000, 50_000):
        assert build_train_table(task, count)["batch_size"] <= count / 2


def test_keys_replace_those_of_the_shipped_space() -> None:
    config = harness.Study(
        "houses", make_houses(), target="price", task="regression", space="tabular", trials=4,
        normalize="robust", train={"learning_rate": 0.02, "arguments.width": 16, "epochs": 5},
    ).config  # fmt: skip
    assert (config.study.trials, config.data.normalize) == (4, "robust")
    assert (config.train["epochs"], config.train["arguments.width"]) == (5, 16)
    assert not {"learning_rate", "arguments.width"} & config.space.dimensions.keys()
    arrays = harness.Study("a", (np.zeros((9, 2)), np.arange(9) % 2), space="tabular").config
    assert arrays.data.normalize is True


def test_a_study_file_becomes_an_object_and_keeps_its_text(tmp_path: Path) -> None:
    path = tmp_path / "tiny.toml"
    path.write_text(STUDY)
    study = harness.load_study(path)
    assert study.to_toml() == STUDY
    assert study.write(tmp_path / "mlruns") == path
    assert harness.load_study("quickstart").config.study.trials == 50


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"trails": 5}, "Study: unknown argument 'trails'; did you mean 'trials'?"),
        ({"trials": "5"}, "Study 'x': [study] trials: input should be a valid integer, not '5'"),
        ({"train": {"epocs": 1}}, "Study 'x': [train] epocs: unknown key; did you mean 'epochs'?"),
        ({"train": ["epochs"]}, "Study: train must be a dict, not ['epochs']"),
        (
            {"space": {"learning_rate": harness.Range(1, 0.1)}},
            "Study 'x': [space] learning_rate: low = 1 must be below high = 0.1",
        ),
        ({"timeout": "soon"}, "[study] timeout: 'soon' is not a duration; write 90s, 10m or 2h"),
        ({"model": torch.nn.Linear, "train": {"model": "a:B"}}, "model is also in train"),
        ({"task": "regression", "classes": ["a", "b"]}, "classes: a regression has none"),
        (
            {"model": torch.nn.Linear(2, 2)},
            "Study 'x': model: an instance of Linear; give the class: model=Linear",
        ),
        (
            {"model": torch.nn.Linear, "space": {"width": [8, 16]}},
            "[space] width: is for the built-in network",
        ),
        ({"space": "tablar"}, "space: 'tablar' is no shipped space; did you mean 'tabular'?"),
        ({"space": "tabular", "model": torch.nn.Linear}, '"tabular" has its own model; leave out'),
        ({"train": {"epochs": {1, 2}}}, "Study 'x': {1, 2} is not a number, a string, a list"),
    ],
)
def test_mistakes_are_one_line_when_the_study_is_made(arguments: Any, message: str) -> None:
    with pytest.raises(ConfigError) as error:
        harness.Study("x", "digits", **arguments)
    assert message in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (5, "data: int is not supported; give a name, a path"),
        ((X,), "data: 1 parts instead of 2 or 4"),
        ((X, [{}] * 60), "data: y holds Python objects such as {}"),
        ((pd.DataFrame(X), Y[:9]), "data: 60 rows, but labels of shape [9]"),
        (pd.DataFrame([[1, 2]], columns=["a", "a"]), "two columns are named 'a'; rename one"),
        (([[1], [1, 2]], [0, 1]), "data: x is not an array"),
    ],
)
def test_data_that_cannot_be_used_is_one_line(data: Any, message: str) -> None:
    with pytest.raises(DataError) as error:
        harness.Study("x", data)
    assert message in str(error.value)


def test_a_name_that_is_no_file_name_is_one_plain_line() -> None:
    message = "[study] name: must be letters, digits, '.', '_' and '-', at most 100, and begin with"
    with pytest.raises(ConfigError, match=re.escape(message) + ".*, not 'my study'"):
        harness.Study("my study", "digits")


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ("rents", "the frame has no column 'rents'; did you mean 'rent'?"),
        ("", "name the column to predict; known: area, rent"),
    ],
)
def test_the_target_of_a_frame_is_checked_when_the_study_is_made(target: str, message: str) -> None:
    frame = pd.DataFrame({"area": [1.0, 2.0], "rent": [1.5, 2.5]})
    with pytest.raises(DataError, match=re.escape(f"Study 'x': target: {message}")):
        harness.Study("x", frame, target=target, task="regression")


def test_messages_name_data_of_memory_without_its_file(tmp_path: Path) -> None:
    frame = pd.DataFrame({"area": np.arange(60.0), "rent": np.arange(60) + 0.5})
    study = harness.Study("x", frame, target="rent")
    with pytest.raises(DataError) as error:
        study.run(home=tmp_path, progress=False)
    assert str(error.value).startswith(
        "Study 'x': [data] target: column 'rent' of the frame holds numbers such as 0.5"
    )
    display = Lines()
    with use_python_words(study, tmp_path, display) as watcher:
        for name in (study._data_name(tmp_path), study._data_name(tmp_path / "other")):
            watcher.message(f'{name}: left out a b; set [data.columns] "a b" = "category"')
    assert display.lines == 2 * ['the frame: left out a b; add columns={"a b": "category"}']


def test_a_changed_study_is_refused_in_the_words_of_python(tmp_path: Path) -> None:
    def make(**train: int) -> harness.Study:
        return harness.Study(
            "x", (X, Y), trials=1, train={"batch_size": 8, **train}, space={"learning_rate": [0.1]}
        )

    options: Any = {"home": tmp_path, "workers": 0, "device": "cpu", "progress": False}
    make(epochs=1).run(test=False, confirm=False, **options)
    with pytest.raises(StudyError) as error:
        make(epochs=2).run(**options)
    message = str(error.value)
    assert "--" not in message
    assert "use the same settings as before" in message
    assert "choose a new name (x-2); to start over, run it with fresh=True, which" in message
    interruption = Interruption("interrupted; rerun the same command to continue")
    with (
        pytest.raises(Interruption, match="interrupted; run it again to continue"),
        use_python_words("x", tmp_path, Silent()),
    ):
        raise interruption


class Lines(Silent):
    """A display that keeps the messages."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def message(self, text: str) -> None:
        self.lines.append(text)


class Pairs(Dataset[Any]):
    def __len__(self) -> int:
        return len(Y)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
        return torch.from_numpy(X[index]), int(Y[index])


class Ragged(Pairs):
    def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
        return torch.zeros(index + 1), 0


class Items(Pairs):
    def __init__(self, *items: Any) -> None:
        self.items = items

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, index: int) -> Any:
        return self.items[index]


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (Ragged(), r"inputs have different shapes, such as \[1\], \[2\]"),
        (Items(), "Items has no examples"),
        (Items(torch.zeros(2), torch.zeros(2)), r"a Tensor by index, and not an \(input, label\)"),
        (Items({"x": 1.0, "y": 0}), "a dict by index"),
        (Items((1.0, 0, 0)), "a tuple of 3 by index"),
        (Items((torch.zeros(2, dtype=torch.bfloat16), 0)), "an input is not a NumPy array"),
        ((torch.zeros(2, 2, dtype=torch.bfloat16), [0, 1]), "x is not a NumPy array"),
    ],
)
def test_what_is_no_pairs_of_arrays_is_one_line(data: Any, message: str) -> None:
    with pytest.raises(DataError, match=message):
        read_memory(data)


@pytest.mark.parametrize(
    "data",
    [
        (X, Y),
        {"x": X, "y": Y},
        (torch.from_numpy(X), torch.from_numpy(Y)),
        (X.tolist(), Y.tolist()),
        Pairs(),
        TensorDataset(torch.from_numpy(X), torch.from_numpy(Y)),
    ],
    ids=["arrays", "dict", "tensors", "lists", "dataset", "tensor dataset"],
)
def test_all_kinds_of_arrays_are_the_same_data(data: Any, tmp_path: Path) -> None:
    memory = read_memory(data)
    assert memory is not None
    with np.load(memory.write(tmp_path)) as file:
        np.testing.assert_array_equal(file["x"].astype(np.float32), X)
        np.testing.assert_array_equal(file["y"], Y)


def test_a_frame_keeps_its_types_and_its_labels(tmp_path: Path) -> None:
    frame = pd.DataFrame(
        {"size": [1.5, None, 3.0], "kind": ["a", None, "b"], 7: [True, False, True]},
        index=[5, 6, 7],
    )
    memory = read_memory((frame, pd.Series(["x", "y", "x"], name="label")))
    assert memory is not None
    assert memory.target == "label"
    read = pd.read_parquet(memory.write(tmp_path))
    assert list(read.columns) == ["size", "kind", "7", "label"]
    assert read["7"].dtype == bool
    assert read["size"].isna().tolist() == [False, True, False]


def test_the_file_of_other_data_has_another_name(tmp_path: Path) -> None:
    frame = pd.DataFrame({"a": ["1", "2"], "b": [1, 2]})
    names = {
        read_memory(each).file_name  # type: ignore[union-attr]
        for each in (frame, frame.assign(b=[1, 3]), frame.assign(a=[1, 2]), (X, Y), (X, 1 - Y))
    }
    assert len(names) == 5
    assert read_memory(frame.copy()).file_name in names  # type: ignore[union-attr]


def test_a_column_of_mixed_values_is_one_line(tmp_path: Path) -> None:
    memory = read_memory(pd.DataFrame({"a": [1, "b"]}))
    assert memory is not None
    with pytest.raises(DataError, match=r"the frame cannot be stored .* column a"):
        memory.write(tmp_path)
    assert not list(tmp_path.iterdir())


SCRIPT = """
import functools
import math as mathematics
import torch
import torch.nn as nn
from torch.nn.functional import relu
import harness

WIDTH, GAIN = 24, mathematics.sqrt(2)
frame = object()

def twice(function):
    return function

class Base(nn.Module):
    def forward(self, x):
        frame = relu(self.body(x))  # a local name, not the variable above
        return self.head(frame * GAIN)

class Net(Base):
    @twice
    def __init__(self, inputs: int, classes: int, width: int = WIDTH):
        super().__init__()
        self.body = nn.Sequential(nn.Flatten(), nn.Linear(inputs, width))
        self.head = nn.Linear(width, classes)

study = harness.Study("net", "digits", model=Net, trials=2, train={"epochs": 1},
                      space={"learning_rate": harness.Range(1e-3, 1e-1, log=True)},
                      confirm={"seeds": 0})
"""


def run_script(folder: Path, text: str) -> subprocess.CompletedProcess[str]:
    (folder / "script.py").write_text(text)
    command = [sys.executable, "script.py"]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


def test_the_source_of_a_model_in_a_script_is_stored_with_what_it_uses(tmp_path: Path) -> None:
    done = run_script(tmp_path, SCRIPT + "study.write()")
    assert done.returncode == 0, done.stderr
    (file,) = (tmp_path / "mlruns" / "studies" / "net").glob("net_*.py")
    code = f"import {file.stem} as m; print(m.Net(64, 10)(__import__('torch').ones(2, 64)).shape)"
    alone = subprocess.run(
        [sys.executable, "-c", code], cwd=file.parent, capture_output=True, text=True, check=True
    )
    assert alone.stdout == "torch.Size([2, 10])\n"


@pytest.mark.slow
def test_a_script_without_a_main_guard_trains_its_own_model(tmp_path: Path) -> None:
    """Two workers import the stored source; the script itself runs once."""
    done = run_script(tmp_path, SCRIPT + "print('once'); print(study.run(workers=2))")
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines().count("once") == 1
    assert "champion       trial" in done.stdout


CHANGES = {
    "GAIN = torch.ones(2)": "Net uses the variable 'GAIN' (a Tensor), which cannot be",
    "exec('class Net(nn.Module):\\n def forward(self, x): ...')": "the source of Net cannot",
    "def f():\n    class Net(Base): ...\n    return Net\nNet = f()": "Net is defined inside f",
}


def test_a_model_whose_source_cannot_be_stored_is_one_line(tmp_path: Path) -> None:
    """One script: a process that imports torch takes seconds."""
    before = SCRIPT.partition("study = ")[0]
    tries = [
        f"{change}\ntry:\n    harness.Study('x', 'digits', model=Net)\n"
        f"except harness.UserError as error:\n    print(error)\nGAIN = 1.4\n"
        for change in CHANGES
    ]
    done = run_script(tmp_path, before + "".join(tries))
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert len(lines) == len(CHANGES)
    for line, message in zip(lines, CHANGES.values(), strict=True):
        assert f"model: {message}" in line
