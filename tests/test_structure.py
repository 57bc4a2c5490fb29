"""The house: imports point one way, the public names are these, the light things stay light."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

import harness

PACKAGE = Path(harness.__file__).parent

# Each room may import from rooms further left, and from itself.
ORDER = [
    ["errors", "signals", "failpoints", "appended", "harmless"],
    ["arguments", "results", "trial", "intervals", "fit", "scores"],
    [
        "config",
        "studyfiles",
        "tasks",
        "space",
        "data",
        "normalised",
        "model",
        "own_model",
        "imported",
        "packing",
    ],
    ["picturefiles", "ink", "handwriting", "preparation"],
    ["engine", "tracking"],
    ["quoted", "expected"],
    ["ledger", "settings"],
    ["confirmed"],
    ["frozen", "optimism", "paired", "mistakes", "exported", "luck", "deviation"],
    ["executors", "search", "home", "fairness", "selection", "baselines"],
    ["facts", "named", "ties"],
    ["verdict", "verdict_json", "compare", "predict", "classify", "reports"],
    ["driver", "recovery", "doctor"],
    ["progress", "plan", "listing", "sync", "ui", "newstudy", "studytext"],
    ["examined"],
    ["confirm", "train", "replayed", "replay", "estimate"],
    ["conclude"],
    ["run"],
    ["drawn", "options", "looking", "cli"],
    ["__main__", "__init__"],
]
LEVEL = {room: level for level, rooms in enumerate(ORDER) for room in rooms}
FORBIDDEN = {
    "driver": {"torch", "mlflow"},
    "tracking": {"harness.engine", "harness.executors", "harness.driver", "torch"},
    "reports": {"harness.engine", "harness.executors", "harness.driver"},
    "search": {"torch", "mlflow"},
    "cli": {"torch", "mlflow", "optuna", "pandas"},
}


def modules() -> list[Path]:
    return sorted(PACKAGE.rglob("*.py"))


def room_of(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imported(path: Path, lazily: bool) -> set[str]:
    """Modules that a file imports; those inside functions or TYPE_CHECKING only if `lazily`."""
    tree = ast.parse(path.read_text())
    nodes = ast.walk(tree) if lazily else iter(tree.body)
    names: set[str] = set()
    for node in nodes:
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module)
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_point_one_way(path: Path) -> None:
    room = room_of(path)
    for name in imported(path, lazily=True):
        parts = name.split(".")
        if parts[0] == "harness" and len(parts) > 1 and parts[1] in LEVEL:
            same_or_left = parts[1] == room or LEVEL[parts[1]] <= LEVEL[room]
            assert same_or_left, f"{path.name} in {room} must not import {name}"


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_rooms_keep_out_what_is_not_theirs(path: Path) -> None:
    for name in imported(path, lazily=False):
        for forbidden in FORBIDDEN.get(room_of(path), ()):
            assert name != forbidden, f"{path.name} imports {name}"
            assert not name.startswith(f"{forbidden}."), f"{path.name} imports {name}"


def test_one_folder_imports_mlflow() -> None:
    importers = {
        path.relative_to(PACKAGE).parent.as_posix()
        for path in modules()
        if any(name.split(".")[0] == "mlflow" for name in imported(path, lazily=True))
    }
    assert importers == {"tracking/mlflow"}


def test_only_selection_opens_the_test_set() -> None:
    openers = {
        path.name
        for path in modules()
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr == "open"
        and isinstance(node.func.value, ast.Name)
        and node.func.value.id == "sealed"
    }
    assert openers == {"selection.py"}


def test_what_trains_knows_no_test_set() -> None:
    """Nor where it lies: one file names its folder, and `harness predict` alone shows pictures."""
    takers = set()
    for path in modules():
        name = path.relative_to(PACKAGE).as_posix()
        if room_of(path) in ("engine", "executors", "packing", "model", "driver", "search"):
            names = {each.rpartition(".")[2] for each in imported(path, lazily=True)}
            assert not names & {"SealedTest", "TestFiles", "Prepared", "prepare"}, name
        assert ("sealed-test" in path.read_text()) == (name == "data/files.py"), name
        takers |= {
            name
            for node in ast.walk(ast.parse(path.read_text()))
            if isinstance(node, ast.Attribute)
            and node.attr == "test"
            and isinstance(node.value, ast.Name)
            and node.value.id == "prepared"
        }
    assert takers == {"data/parts.py", "predict.py"}


def test_files_stay_small_enough_to_hold_in_the_head() -> None:
    long = {
        str(path.relative_to(PACKAGE)): lines
        for path in modules()
        if (lines := len(path.read_text().splitlines())) > 300
    }
    assert not long


def test_the_public_names_are_these() -> None:
    assert sorted(harness.__all__) == [
        "HarnessError",
        "StudyResult",
        "TrialSpec",
        "UserError",
        "run_study",
    ]
    for name in harness.__all__:
        assert getattr(harness, name).__name__ == name
    with pytest.raises(AttributeError, match="nothing_such"):
        harness.nothing_such  # noqa: B018


def loaded_by(*arguments: str) -> set[str]:
    """The top-level modules that a fresh interpreter has loaded after a harness command."""
    code = (
        "import sys\nsys.argv = ['harness', *sys.argv[1:]]\n"
        "from harness.__main__ import main\n"
        "try: main()\nexcept SystemExit: pass\n"
        "print('LOADED', *{name.split('.')[0] for name in sys.modules})"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=True
    )
    return set(done.stdout.rpartition("LOADED")[2].split())


@pytest.mark.parametrize("arguments", [["--help"], ["run-study", "--help"]], ids=" ".join)
def test_help_imports_nothing_heavy(arguments: list[str]) -> None:
    heavy = {"torch", "torchvision", "mlflow", "optuna", "pandas", "numpy", "plotly", "sklearn"}
    assert not heavy & loaded_by(*arguments)


def test_the_driver_side_does_without_torch() -> None:
    code = "import sys, harness.run, harness.cli; print(*(m in sys.modules for m in sys.argv[1:]))"
    command = [sys.executable, "-c", code, "torch", "mlflow"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "False"]


def test_every_test_that_the_readme_promises_is_there() -> None:
    tests = PACKAGE.parent / "tests"
    named = re.findall(r"`([a-z/_]+\.py)::(test_\w+)`", (PACKAGE.parent / "README.md").read_text())
    assert len(named) > 30
    for file, name in named:
        assert f"\ndef {name}(" in (tests / file).read_text(), f"{file}::{name}"
