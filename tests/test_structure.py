"""The house: imports point one way, the public names are these, the light things stay light."""

from __future__ import annotations

import ast
import fnmatch
import graphlib
import re
import subprocess
import sys
from pathlib import Path

import pytest

import harness
from tests.package_order import ORDER
from tests.support import real_data

PACKAGE = Path(harness.__file__).parent

ROOT = {
    "__init__.py",
    "__main__.py",
    "errors.py",
    "metrics.py",
    "model_arguments.py",
    "results.py",
    "trial.py",
    "workspace.py",
}
LEVEL = {package: level for level, package in enumerate(ORDER)}
FORBIDDEN = {
    "sweep/driver.py": {"torch", "mlflow"},
    "tracking": {"torch"},
    "reports": {"torch"},
    "search": {"torch", "mlflow"},
    "analysis": {"torch"},
    "config": {"torch", "mlflow", "optuna", "pandas"},
    "cli": {"torch", "mlflow", "optuna", "pandas"},
}


def modules() -> list[Path]:
    return sorted(PACKAGE.rglob("*.py"))


def package_of(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def module_name(path: Path) -> str:
    parts = ("harness", *path.relative_to(PACKAGE).with_suffix("").parts)
    return ".".join(parts).removesuffix(".__init__")


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
    package = package_of(path)
    for name in imported(path, lazily=True):
        parts = name.split(".")
        if parts[0] == "harness" and len(parts) > 1 and parts[1] in LEVEL:
            allowed = LEVEL[parts[1]] <= LEVEL[package]
            assert allowed, f"{path.name} in {package} must not import {name}"


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_packages_keep_out_what_is_not_theirs(path: Path) -> None:
    for name in imported(path, lazily=False):
        local = path.relative_to(PACKAGE).as_posix()
        for forbidden in FORBIDDEN.get(local, FORBIDDEN.get(package_of(path), ())):
            assert name != forbidden, f"{path.name} imports {name}"
            assert not name.startswith(f"{forbidden}."), f"{path.name} imports {name}"


def test_the_root_holds_nothing_else() -> None:
    assert {path.name for path in PACKAGE.glob("*.py")} == ROOT
    folders = {path.parent.relative_to(PACKAGE).parts[0] for path in PACKAGE.glob("*/*.py")}
    assert folders | {name.removesuffix(".py") for name in ROOT} == set(ORDER)


def test_no_module_imports_itself_in_a_circle() -> None:
    """Imports at the top of modules; those inside functions only have to point one way."""
    names = {module_name(path): path for path in modules()}
    imports = {
        name: {each for each in imported(path, lazily=False) if each in names and each != name}
        for name, path in names.items()
    }
    assert tuple(graphlib.TopologicalSorter(imports).static_order())


def test_one_folder_imports_mlflow() -> None:
    importers = {
        path.relative_to(PACKAGE).parent.as_posix()
        for path in modules()
        if any(name.split(".")[0] == "mlflow" for name in imported(path, lazily=True))
    }
    assert importers == {"tracking/mlflow"}


def test_one_package_imports_optuna() -> None:
    importers = {
        package_of(path)
        for path in modules()
        if any(name.split(".")[0] == "optuna" for name in imported(path, lazily=True))
    }
    assert importers == {"search"}


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
    assert openers == {"opening.py"}


def test_what_trains_knows_no_test_set() -> None:
    """Nor where it is: one file names its folder, and `harness predict` alone shows pictures."""
    takers = set()
    may_use = {
        "data/seal.py": {"choose_sealed_folder", "unmask_labels"},
        "data/prepare.py": {"choose_sealed_folder"},
        "test_set/sealed.py": {"unmask_labels"},
    }
    for path in modules():
        name = path.relative_to(PACKAGE).as_posix()
        trains = package_of(path) in ("engine", "executors", "models", "search")
        if trains or name == "sweep/driver.py":
            names = {each.removeprefix("harness.data.") for each in imported(path, lazily=True)}
            assert not names & {"prepare.prepare", "prepare.PreparedDataset"}, name
            assert not any(each.startswith(("seal.", "harness.test_set")) for each in names), name
        text = path.read_text()
        assert ("labels.masked" in text) == (name == "data/seal.py"), name
        uses = {word for word in ("choose_sealed_folder", "unmask_labels") if word in text}
        assert uses <= may_use.get(name, set()), name
        takers |= {
            name
            for node in ast.walk(ast.parse(path.read_text()))
            if isinstance(node, ast.Attribute)
            and node.attr == "test"
            and isinstance(node.value, ast.Name)
            and node.value.id == "prepared"
        }
    assert takers == {"test_set/sealed.py", "inference/test_examples.py"}


def test_identifiers_are_words_of_the_field() -> None:
    """`matches`, `message`, `overrides` and `prediction` can be guessed; these cannot."""
    vague = {"found", "said", "told", "stands", "given", "foretold", "looking", "own"}
    recorded = {
        "harness/tracking/outbox/messages.py: found",
        "harness/tracking/test_reading.py: foretold",
    }  # keys of records on disk
    tests = PACKAGE.parent / "tests"
    names = {
        f"{path.relative_to(PACKAGE.parent)}: {name}"
        for path in [*modules(), *tests.rglob("*.py")]
        for node in ast.walk(ast.parse(path.read_text()))
        for name in bound_names(node)
        if name.strip("_") in vague
    }
    assert names <= recorded, names - recorded


def bound_names(node: ast.AST) -> list[str]:
    """Return the names that a node of the syntax tree introduces."""
    match node:
        case ast.Name(id=name, ctx=ast.Store()) | ast.arg(arg=name):
            return [name]
        case ast.Attribute(attr=name, ctx=ast.Store()):
            return [name]
        case ast.FunctionDef(name=name) | ast.ClassDef(name=name):
            return [name]
        case _:
            return []


def test_files_stay_small_enough_to_hold_in_the_head() -> None:
    long = {
        str(path.relative_to(PACKAGE)): lines
        for path in modules()
        if (lines := len(path.read_text().splitlines())) > 300
    }
    assert not long


def test_the_public_names_are_these() -> None:
    assert sorted(harness.__all__) == [
        "Choice",
        "HarnessError",
        "Range",
        "Study",
        "StudyResult",
        "SweepClassifier",
        "SweepRegressor",
        "TrialSpec",
        "UserError",
        "compare",
        "doctor",
        "load",
        "load_study",
        "open_test_set",
        "predict",
        "replay",
        "report",
        "run_study",
        "train",
    ]
    assert set(harness.__all__) < set(dir(harness))
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
    code = (
        "import sys, harness.sweep.run, harness.cli.main\n"
        "print(*(m in sys.modules for m in sys.argv[1:]))"
    )
    command = [sys.executable, "-c", code, "torch", "mlflow"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "False"]


def test_every_test_that_the_table_of_faults_names_is_there() -> None:
    tests, page = PACKAGE.parent / "tests", PACKAGE.parent / "docs" / "explanation" / "faults.md"
    named = re.findall(r"`([a-z/_]+\.py)(?:::(test_\w+))?`", page.read_text())
    assert len(named) > 40
    for file, name in named:
        text = (tests / file).read_text()
        assert not name or f"\ndef {name}(" in text, f"{file}::{name}"


def test_every_test_that_contributing_names_is_there() -> None:
    root = PACKAGE.parent
    named = re.findall(r"`(tests/\S+\.py)::(test_\w+)`", (root / "CONTRIBUTING.md").read_text())
    assert len(named) > 15
    for file, name in named:
        assert f"\ndef {name}(" in (root / file).read_text(), f"{file}::{name}"


def test_every_file_is_described_in_its_package() -> None:
    for init in sorted(PACKAGE.rglob("*/__init__.py")):
        lines = (ast.get_docstring(ast.parse(init.read_text())) or "").splitlines()[1:]
        described = [line.split()[0].strip("/,") for line in lines if line.strip()]
        files = {path.stem for path in init.parent.glob("*.py")} - {"__init__"}
        folders = {path.parent.name for path in init.parent.glob("*/__init__.py")}
        missing = [
            name
            for name in sorted(files | folders)
            if not any(fnmatch.fnmatch(name, pattern) for pattern in described)
        ]
        assert not missing, f"{init.relative_to(PACKAGE.parent)} does not describe {missing}"


def test_the_architecture_page_lists_every_package() -> None:
    """In ORDER, by tests/docs/test_generated_pages.py: the first line of each one's docstring."""
    page = (PACKAGE.parent / "docs" / "explanation" / "architecture.md").read_text()
    lines = page.partition("```text\nharness/\n")[2].partition("```\n")[0].splitlines()
    assert all(re.fullmatch(r"  \w+(/|\.py) +\S.{10,100}", line) for line in lines), lines


def test_ci_fails_if_a_test_was_skipped_for_missing_data(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pattern = re.search(r'grep -E "(.+)" "\$log"', (PACKAGE.parent / ".ci" / "run").read_text())
    assert pattern is not None
    for folder in (None, str(tmp_path)):
        monkeypatch.setattr(real_data, "FOLDER", folder)
        with pytest.raises(pytest.skip.Exception) as skipped:
            real_data.find_real_data("MNIST/raw")
        assert re.search(pattern[1], f"SKIPPED [1] tests/x.py:1: {skipped.value}")
