"""A table's champion takes raw rows: by `harness predict`, by MLflow's pyfunc, and as a server."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn
from typer.testing import CliRunner

from harness.api.run import run_study
from harness.cli.main import app
from harness.config.scaffold import write_new_study
from harness.errors import ConfigError, DataError, StudyError
from harness.inference.row_predictions import check_output
from harness.inference.score_rows import score_rows
from harness.scoring.champion import ChampionModel, describe_classes
from harness.scoring.column import Column
from harness.scoring.table_transform import fit_transform
from harness.tracking.mlflow.model_registry import _set_global_store
from harness.workspace import Workspace
from tests.support.passengers import make_rows

BLOCKER = """
import sys

class NoHarness:
    def find_spec(self, name, path=None, target=None):
        if name == "harness" or name.startswith("harness."):
            raise ImportError("harness is not installed")

sys.meta_path.insert(0, NoHarness())
"""


class Sum(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.stack([x.sum(1), 1 - x.sum(1)], 1)


@pytest.mark.parametrize(
    ("labels", "expected"),
    [([0, 1], [1, 0]), ([False, True], [True, False]), (["no", "yes"], ["yes", "no"])],
)
def test_the_model_returns_the_labels_of_the_data(labels: list[Any], expected: list[Any]) -> None:
    transform = fit_transform([Column("a", "number")], np.array([[1.0], [np.nan], [-3.0]]))
    model = ChampionModel(Sum(), transform, {"labels": labels, "loss": "cross-entropy"})
    rows = pd.DataFrame({"a": [-3, "7"]}, index=[5, 6])
    prediction = model.predict(rows)
    assert prediction.tolist() == expected
    details = model.predict(rows, {"details": True})
    assert details.index.tolist() == [5, 6]
    assert details.columns.tolist() == ["prediction", *(f"probability {each}" for each in labels)]
    assert details.iloc[:, 1:].sum(axis=1).to_numpy() == pytest.approx(1)
    assert model.predict([{"a": None}]).tolist() == model.predict({"a": [-1]}).tolist()


@pytest.mark.parametrize("loss", ["cross-entropy", "bce", "mse"])
def test_probabilities_are_those_of_the_engine(loss: Any) -> None:
    from harness.engine.losses import compute_probabilities

    logits = torch.randn(5, 3, dtype=torch.float64) * 3
    columns = describe_classes(logits.numpy(), ["a", "b", "c"], loss)
    expected = compute_probabilities(loss, logits).numpy()
    assert np.stack([columns[f"probability {each}"] for each in "abc"], 1) == pytest.approx(
        expected
    )


def test_a_file_to_write_is_checked_first(tmp_path: Path) -> None:
    table = tmp_path / "rows.csv"
    table.write_text("a\n1\n")
    with pytest.raises(ConfigError, match="is the table to predict"):
        check_output(table, str(table))
    with pytest.raises(ConfigError, match=r"ends in one of \.csv"):
        check_output(tmp_path / "a.txt", str(table))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a study of a classification and one of a regression."""
    folder = tmp_path_factory.mktemp("tables")
    frame = make_rows()
    frame[:250].drop(columns="fare").to_csv(folder / "people.csv", index=False)
    frame[:250].drop(columns="survived").to_excel(folder / "fares.xlsx", index=False)
    frame[250:].drop(columns=["survived", "fare"]).to_csv(folder / "new.csv", index=False)
    before = Path.cwd()
    os.chdir(folder)
    try:
        for data, target in (("people.csv", "survived"), ("fares.xlsx", "fare")):
            study = write_new_study(data, target=target).study
            options = ["train.epochs=15", "confirm.seeds=1", "confirm.top=1"]
            if target == "fare":
                options.append("train.target_transform=quantile")
            run_study(study, trials=2, workers=0, device="cpu", overrides=options)
    finally:
        os.chdir(before)
    return folder


@pytest.fixture
def store(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Work in the folder, with its store as MLflow's own."""
    monkeypatch.chdir(folder)
    with _set_global_store(f"sqlite:///{folder}/mlruns/mlflow.db"):
        yield


@pytest.mark.slow
@pytest.mark.usefixtures("store")
def test_predictions_of_rows_by_every_way_agree() -> None:
    rows = pd.read_csv("new.csv")
    result = score_rows(Workspace(Path("mlruns")), "people", "new.csv", None)
    model = mlflow.pyfunc.load_model("models:/people@champion")
    assert model.predict(rows).tolist() == result.predictions["prediction"].tolist()
    assert model.predict(rows).dtype == np.int64
    details = model.predict(rows, params={"details": True})
    for column in ("probability 0", "probability 1"):
        assert details[column].to_numpy() == pytest.approx(result.predictions[column], abs=1e-5)
    network = mlflow.pytorch.load_model("models:/people@champion")
    info = mlflow.models.get_model_info("models:/people@champion")
    assert network(torch.zeros(3, len(info.metadata["columns"]))).shape == (3, 2)
    odd = rows.assign(deck="Z", age=pd.array([None] * len(rows), "Int64"), extra=1)
    assert len(model.predict(odd.drop(columns="boarded"))) == len(rows)
    assert score_rows(Workspace(Path("mlruns")), "people/0", odd, None).notes == (
        "ignored 1 column that the model does not use: extra",
    )
    with pytest.raises(DataError, match=r"has no column 'class', which 'people' was trained on"):
        score_rows(Workspace(Path("mlruns")), "people", rows.drop(columns="class"), None)
    with pytest.raises(StudyError, match="no study 'peple' on record; did you mean"):
        score_rows(Workspace(Path("mlruns")), "peple", rows, None)


@pytest.mark.slow
@pytest.mark.usefixtures("store")
def test_numbers_have_an_interval() -> None:
    done = CliRunner().invoke(app, ["predict", "fares", "new.csv", "--out", "scored.csv"])
    assert done.exit_code == 0, done.output
    assert "90% split-conformal" in " ".join(done.output.split())
    scored = pd.read_csv("scored.csv")
    assert scored.columns.tolist()[-3:] == ["prediction", "low", "high"]
    true = make_rows()["fare"][250:].to_numpy()
    inside = (scored["low"] <= true) & (true <= scored["high"])
    assert inside.mean() > 0.5
    shown = CliRunner().invoke(app, ["predict", "fares", "new.csv", "--format", "json"])
    document = json.loads(shown.output.splitlines()[-1])
    assert document["rows"][0]["prediction"] == pytest.approx(scored["prediction"][0], rel=1e-6)
    details = mlflow.pyfunc.load_model("models:/fares@champion").predict(
        pd.read_csv("new.csv"), params={"details": True}
    )
    least, most = make_rows()["fare"][:250].agg(["min", "max"])
    for name in ("prediction", "low", "high"):
        assert details[name].to_numpy() == pytest.approx(scored[name], rel=1e-4)
        assert scored[name].between(least - 1e-4, most + 1e-4).all()


@pytest.mark.slow
def test_a_served_model_answers_raw_rows_without_harness(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text(BLOCKER)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    environment = os.environ | {
        "PYTHONPATH": str(tmp_path),
        "MLFLOW_TRACKING_URI": "sqlite:///mlruns/mlflow.db",
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
    }
    check = [sys.executable, "-c", "import harness"]
    assert subprocess.run(check, env=environment, capture_output=True, check=False).returncode == 1
    command = [
        sys.executable, "-m", "mlflow", "models", "serve", "-m", "models:/people@champion",
        "--env-manager", "local", "--host", "127.0.0.1", "--port", str(port), "--workers", "1",
    ]  # fmt: skip
    rows = [
        {"age": None, "class": 3, "deck": None, "boarded": "07.03.2024"},
        {"age": 31, "class": "1", "deck": "new", "boarded": None},
    ]
    body = {"dataframe_records": rows, "params": {"details": True}}
    with (tmp_path / "log").open("wb") as log:
        server = subprocess.Popen(
            command, cwd=folder, env=environment, stdout=log, stderr=log, start_new_session=True
        )
        try:
            answer = ask(port, body)
        finally:
            os.killpg(server.pid, 15)
            server.wait(30)
    assert answer is not None, (tmp_path / "log").read_text()
    assert {each["prediction"] for each in answer} <= {0, 1}
    assert [sum(each[f"probability {label}"] for label in (0, 1)) for each in answer] == [
        pytest.approx(1), pytest.approx(1),
    ]  # fmt: skip


def ask(port: int, body: dict[str, Any]) -> list[dict[str, float]] | None:
    """Return the server's predictions; None if it does not start."""
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}/invocations",
        json.dumps(body).encode(),
        {"Content-Type": "application/json"},
    )
    end = time.monotonic() + 180
    while time.monotonic() < end:
        try:
            with urllib.request.urlopen(request, timeout=30) as response:
                predictions: list[dict[str, float]] = json.load(response)["predictions"]
                return predictions
        except urllib.error.HTTPError as error:
            raise AssertionError(error.read().decode()) from None
        except OSError:
            time.sleep(0.5)
    return None
