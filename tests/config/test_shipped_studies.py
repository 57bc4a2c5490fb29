"""Every shipped study file runs, for a few steps on generated data in its dataset's format."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from harness.analysis.seed_variance import rank_settings
from harness.api.run import run_study
from harness.config.loader import load
from harness.data import builtin
from tests.data.test_cifar10 import write_files as write_cifar10
from tests.support import tiny_mnist
from tests.support.regression_table import make_table

FOLDER = Path(__file__).parents[2] / "studies"
NAMES = sorted(path.stem for path in FOLDER.glob("*.toml"))


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, dict[str, str]]]:
    """A data folder with small MNIST, FashionMNIST, CIFAR-10, houses; its checksums."""
    folder = tmp_path_factory.mktemp("data")
    write_cifar10(folder, count=100)
    inputs, prices = make_table()
    houses = pd.DataFrame(inputs).assign(SalePrice=prices)
    (folder / "ames").mkdir()
    houses.to_excel(folder / "ames" / "AmesHousing.xlsx", index=False)
    return folder, tiny_mnist.write(folder)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("home") / "mlruns"


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_every_study_file_runs(
    name: str,
    data: tuple[Path, dict[str, dict[str, str]]],
    home: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    folder, checksums = data
    monkeypatch.setattr(builtin, "MD5", checksums)
    config = load(FOLDER / f"{name}.toml")
    settings_count = len(config.list_settings())
    overrides = ["train.epochs=1", "study.seeds=1" if settings_count else "confirm.seeds=1"]
    result = run_study(
        FOLDER / f"{name}.toml",
        trials=min(settings_count, 3) if settings_count else 2,
        workers=0,
        device="cpu",
        data_dir=folder,
        overrides=overrides,
        home=home,
    )
    study = result.summary.study
    assert study.name == name
    assert [run.state for run in study.trials] == ["COMPLETE"] * len(study.trials)
    assert result.test is not None
    assert len(rank_settings(study)) == (len(study.trials) if settings_count else 0)
    assert result.report.is_file()


def test_every_study_file_is_in_the_table() -> None:
    table = (FOLDER / "README.md").read_text()
    assert [name for name in NAMES if f"({name}.toml)" not in table] == []
