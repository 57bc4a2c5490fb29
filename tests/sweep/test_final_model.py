"""Studies with folds from the file to the registered model: what is trained, tested and checked."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pandas as pd
import pytest
import safetensors.numpy

import harness
from harness.analysis.final_model import load_final_model
from harness.api.result import StudyResult
from harness.api.run import run_study
from harness.checks.report import check_studies
from harness.errors import ConfigError, StudyError
from harness.inference.recorded_model import read_model
from harness.inference.score_rows import score_rows
from harness.models.ensemble import Ensemble
from harness.models.fold_weights import split_folds
from harness.tracking.mlflow.model_registry import _set_global_store
from harness.tracking.raw_types import FINAL_FILE, FINAL_WEIGHTS_FILE, WEIGHTS_FILE, transform_file
from harness.tracking.types import RunRecord
from harness.trial import WHOLE
from harness.workspace import Workspace
from tests.doctor.example_study import Record, copy_record

pytestmark = pytest.mark.slow
DIGITS = """
[data]
name = "digits"
folds = 3
[train]
epochs = 3
hidden = [16]
"""
LIST = (
    DIGITS
    + """
[study]
pruner = "none"
[[trial]]
name = "slow"
learning_rate = 0.001
[[trial]]
name = "fast"
learning_rate = 0.01
"""
)
SEARCH = (
    DIGITS
    + """
[study]
trials = 1
[confirm]
top = 2
seeds = 1
[space]
learning_rate = [0.0001, 0.01]
[[first]]
learning_rate = 0.0001
[[first]]
learning_rate = 0.01
"""
)
TABLE = """
[study]
trials = 2
pruner = "none"
objective = "val/{objective}"
[data]
name = "rows.csv"
target = "{target}"
task = "{task}"
folds = 3
{data}
[train]
epochs = 4
batch_size = 16
hidden = [8]
{train}
[space]
learning_rate = [0.001, 0.01]
"""


def run(folder: Path, text: str, name: str = "tiny", **options: Any) -> StudyResult:
    path = folder / f"{name}.toml"
    path.write_text(text)
    return run_study(path, home=folder / "mlruns", workers=0, device="cpu", **options)


def read_files(result: StudyResult, run: RunRecord) -> list[bytes | None]:
    tracker = result.workspace.open_tracker(reading=True)
    names = (WEIGHTS_FILE, FINAL_WEIGHTS_FILE, FINAL_FILE)
    return [tracker.read_file(run.run_id, name) for name in names]


def is_healthy(folder: Path) -> bool:
    return check_studies(Workspace(folder / "mlruns"), "tiny").healthy


@pytest.fixture(scope="module")
def listed(tmp_path_factory: pytest.TempPathFactory) -> StudyResult:
    return run(tmp_path_factory.mktemp("list"), LIST)


def test_each_trial_of_a_list_is_tested_with_a_final_model(listed: StudyResult) -> None:
    """A trained again champion beside means of networks would compare unlike models."""
    study = listed.summary.study
    assert (len(study.readings), study.test_set_openings) == (2, 1)
    tracker = listed.workspace.open_tracker(reading=True)
    for trial in study.trials:
        assert all(read_files(listed, trial))
        assert trial.best is not None
        final = load_final_model(tracker, trial)
        assert final is not None
        assert (final.epochs, final.examples) == (trial.best.epoch, 1437)
        assert isinstance(trial.best.folds, tuple)
        assert not isinstance(
            harness.load("tiny", home=listed.workspace.root).load_model(), Ensemble
        )
    assert is_healthy(listed.workspace.root.parent)


def test_the_mean_of_the_folds_networks_is_one_model_without_sets(tmp_path: Path) -> None:
    result = run(tmp_path, SEARCH + '\n[final]\nmodel = "folds"\n', confirm=False)
    assert isinstance(result.load_model(), Ensemble)
    assert not any(read_files(result, result.champion)[1:])
    recorded = read_model(result.workspace.open_tracker(reading=True), "tiny")
    with pytest.raises(StudyError, match=r"mean of the folds' networks, whose sets cannot"):
        recorded.get_set_threshold()
    assert is_healthy(tmp_path)


def test_the_doctor_checks_the_final_models(listed: StudyResult, tmp_path: Path) -> None:
    record = Record(copy_record(listed.workspace.root, tmp_path / "mlruns"))
    first, second = record.run(0), record.run(1)
    fold = "WHERE run_uuid = ? AND key = 'folds/2' AND step = 2"
    record.sql(f"DELETE FROM metrics {fold}", first.info.run_id)
    record.file(first, FINAL_WEIGHTS_FILE).write_bytes(b"edited")
    record.file(first, FINAL_FILE).unlink()
    document = json.loads(record.file(second, FINAL_FILE).read_bytes())
    record.rewrite(second, FINAL_FILE, json.dumps(document | {"epochs": 1}).encode())
    weights = safetensors.numpy.load(record.file(second, WEIGHTS_FILE).read_bytes())
    two = {name: value for name, value in weights.items() if not name.startswith("fold3.")}
    record.rewrite(second, WEIGHTS_FILE, safetensors.numpy.save(two))
    restore = "; restore (it|the file) from a backup"
    record.expect_findings(
        (2, "trial 0: folds/2 lacks epoch 2; --repair logs them from trial.json"),
        (5, f"trial 0: {FINAL_WEIGHTS_FILE} is not a safetensors file{restore}"),
        (7, f"trial 0's {FINAL_WEIGHTS_FILE}: its SHA-256 is .* was written{restore}"),
        (7, f"trial 0's {FINAL_FILE}: is missing{restore}"),
        (5, f"trial 1's final model: was trained for 1 epochs, and the best epoch is 3{restore}"),
        (5, f"trial 1: {WEIGHTS_FILE}: it has the networks of 2 folds, the study has 3{restore}"),
    )


def test_a_final_model_that_was_never_recorded_is_trained_by_the_same_command(
    listed: StudyResult, tmp_path: Path
) -> None:
    record = Record(copy_record(listed.workspace.root, tmp_path / "mlruns"))
    path, files = record.run(1), [FINAL_WEIGHTS_FILE, FINAL_FILE]
    before = [record.file(path, name).read_bytes() for name in files]
    for name in files:
        record.file(path, name).unlink()
        record.client.delete_tag(path.info.run_id, f"harness.sha256.{name}")
    record.expect_findings(
        (
            5,
            "trial 1's final model: the study finished without final.safetensors and final.json; "
            "train it with: harness run-study",
        )
    )
    again = run(tmp_path, LIST)
    assert record.check_study().healthy
    assert record.file(path, FINAL_WEIGHTS_FILE).read_bytes() == before[0]
    assert again.summary.study.test_set_openings == 1


def test_a_better_champion_has_a_final_model_of_its_own(tmp_path: Path) -> None:
    before = run(tmp_path, SEARCH)
    first = before.summary.model_run
    assert first.number == 0
    assert all(read_files(before, first))
    after = run(tmp_path, SEARCH, trials=2)
    second = after.summary.model_run
    assert second.number == 1
    assert "/confirm/" in second.uid
    assert all(read_files(after, second))
    assert read_files(after, first) == read_files(before, first)
    assert after.summary.study.test_set_openings == 2
    assert is_healthy(tmp_path)


def make_rows(size: int = 240) -> pd.DataFrame:
    """Rows of which some have a category of their own, so that the folds have other features."""
    rng = np.random.default_rng(1)
    x, kind = rng.normal(size=size), rng.choice([*"abcdefgh"], size).astype(object)
    kind[::30] = [f"rare{number}" for number in range(8)]
    price = np.exp(x + (kind == "a") + rng.normal(0, 0.2, size))
    frame = pd.DataFrame({"x": x, "kind": kind, "place": rng.integers(0, 30, size)})
    frame["day"] = np.arange(size)
    frame.loc[::7, "x"] = np.nan
    return frame.assign(price=price, dear=np.where(price > 1, "yes", "no"))


TABLES = {
    "numbers": {"objective": "rmse", "target": "price", "data": 'group = "place"'},
    "quantile": {
        "objective": "quantile_loss",
        "target": "price",
        "data": 'time = "day"',
        "train": 'target_transform = "quantile"\nloss = "quantile"\nquantile = 0.8',
    },
    "classes": {
        "objective": "auc",
        "target": "dear",
        "data": 'normalize = "quantile"\nreshuffle = true',
    },
}


@pytest.mark.parametrize("kind", TABLES)
def test_a_table_is_predicted_from_raw_rows(kind: str, tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.chdir(tmp_path)
    frame = make_rows()
    frame.to_csv("rows.csv", index=False)
    values = {"train": "", "task": "classes" if kind == "classes" else "regression"} | TABLES[kind]
    result = run(tmp_path, TABLE.format(**values))
    shapes = split_folds(safetensors.numpy.load(read_files(result, result.champion)[0] or b""))
    assert len({each["mean"].shape for each in shapes}) > 1, "the folds have equal features"
    assert result.test is not None
    assert is_healthy(tmp_path)
    predictions = result.predict(frame)
    with _set_global_store(result.workspace.local_uri):
        model = mlflow.pyfunc.load_model(f"models:/{result.name}@champion")
    columns = [name for name in frame if name in model.metadata.get_input_schema().input_names()]
    assert list(model.predict(frame[columns])) == list(predictions)
    is_number = kind != "classes"
    scored = score_rows(result.workspace, "tiny", frame, None, sets=not is_number)
    source = "errors" if is_number else "outputs"
    assert f"from the {source} of the folds' networks, each on the rows" in scored.text(999)
    assert "split-conformal" not in scored.text(999)
    loser = next(run for run in result.summary.study.trials if run is not result.champion)
    with pytest.raises(StudyError, match=r"has a network for each fold, and no final model; use"):
        harness.predict(f"tiny/{loser.number}", frame)
    single = harness.train(tmp_path / "tiny.toml", device="cpu", progress=False)
    with pytest.raises(StudyError, match=r"no final model; train it again with --set data.folds=0"):
        harness.predict(single.run_id, frame)
    with pytest.raises(
        ConfigError, match=r"trains a network for each fold, and .*test.* needs one"
    ):
        harness.train(tmp_path / "tiny.toml", device="cpu", progress=False, test=True)
    for lost in tmp_path.rglob(transform_file(WHOLE)):
        lost.unlink()
    with pytest.raises(StudyError, match=r"transform-final.json of 'tiny' is missing; restore"):
        harness.predict("tiny", frame)
