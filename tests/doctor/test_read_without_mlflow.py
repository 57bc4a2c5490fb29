"""A local record is read without MLflow, and reads the same as with it."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import fields
from pathlib import Path
from pprint import pformat
from typing import Any

import pytest
from mlflow.entities import ViewType

from harness.errors import StoreError
from harness.system.addresses import format_sqlite_uri
from harness.tracking.mlflow import base_store, raw_reader
from harness.tracking.mlflow.client import Store
from harness.tracking.mlflow.local_entities import LocalExperiment, LocalInfo, LocalMetric
from harness.tracking.mlflow.local_store import SCHEMAS, LocalStore, can_read
from harness.tracking.mlflow.local_tracker import LocalTracker
from harness.tracking.mlflow.raw_reader import MlflowRawReader
from harness.tracking.mlflow.tracker import MlflowTracker
from harness.workspace import Workspace
from tests.doctor.example_study import CHAMPION, COMPLETE, PRUNED, Record

MODELS = ("tiny@champion", "tiny/1", "tiny@other", "tiny/9", "other/1", "m-0", "tiny/x")
COMMANDS = """
import sys
from pathlib import Path
from harness.analysis.comparison import compare
from harness.api.run import run_study
from harness.checks.report import check_studies
from harness.cli.studies_table import list_studies
from harness.reports.live_page import write_study_page
from harness.workspace import Workspace
workspace = Workspace(Path(sys.argv[1]))
assert list_studies(workspace, None, print)
assert compare(workspace.open_tracker(reading=True), ["tiny/0", "tiny/6"])
assert write_study_page(workspace, "tiny", None)
assert check_studies(workspace, "tiny").healthy
assert run_study(sys.argv[2], home=sys.argv[1], device="cpu", workers=0, progress=False)
heavy = {"mlflow", "torch", "sklearn", "scipy", "pandas", "sqlalchemy"} & set(sys.modules)
assert not heavy, heavy
"""


def test_the_tables_are_those_of_the_installed_mlflow() -> None:
    """If this fails, compare the new tables with local_store.py, and add their version."""
    from alembic.script import ScriptDirectory
    from mlflow.store.db.utils import _get_alembic_config

    scripts = ScriptDirectory.from_config(_get_alembic_config("sqlite://"))
    assert scripts.get_current_head() in SCHEMAS
    views = (base_store.ACTIVE_ONLY, base_store.DELETED_ONLY, base_store.ALL)
    assert views == (ViewType.ACTIVE_ONLY, ViewType.DELETED_ONLY, ViewType.ALL)


def test_reading_commands_import_neither_mlflow_nor_torch(record: Record, prepared: Path) -> None:
    command = [sys.executable, "-c", COMMANDS, str(record.root), str(prepared.parent / "tiny.toml")]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("view", [ViewType.ACTIVE_ONLY, ViewType.DELETED_ONLY, ViewType.ALL])
def test_experiments_and_runs_are_those_of_mlflow(record: Record, view: int) -> None:
    record.client.delete_run(record.run(PRUNED).info.run_id)
    record.client.delete_experiment(record.client.create_experiment("empty"))
    ours, theirs = open_both(record)
    experiments = ours.client.search_experiments(view)
    expected = theirs.client.search_experiments(view)
    assert [copy(each, LocalExperiment) for each in experiments] == [
        copy(each, LocalExperiment) for each in expected
    ]
    assert ours.client.get_experiment_by_name("empty").lifecycle_stage == "deleted"
    ids = [each.experiment_id for each in expected]
    uid = record.journal.trial_uid(COMPLETE)
    queries = [
        "",
        "tags.`harness.kind` = 'trial'",
        f"tags.`harness.uid` LIKE '{uid.partition('/')[0]}/%'",
        f"tags.`harness.uid` = '{uid}' AND tags.`harness.kind` = 'trial'",
        f"tags.`harness.uid` = '{uid}' AND tags.`harness.kind` = 'study'",
    ]
    for query in queries:
        runs, same = ours.search_runs(ids, query, view), theirs.search_runs(ids, query, view)
        assert [describe(run) for run in runs] == [describe(run) for run in same], query
    curves = sorted(map(repr, read_curves(ours)))
    assert curves == sorted(map(repr, read_curves(theirs)))
    assert curves


def test_a_study_and_its_model_are_those_of_mlflow(record: Record) -> None:
    uri, artifacts = record.workspace.local_uri, record.workspace.artifacts
    ours: Any = LocalTracker(uri, record.workspace.database, artifacts)
    theirs = MlflowTracker(uri, artifacts)
    run_id = record.run(CHAMPION).info.run_id
    for each in ("tiny", "other"):
        assert ours.read_study(each) == theirs.read_study(each)
    for each in (run_id, record.study_run.info.run_id, "0" * 32, "no/run"):
        assert ours.read_run(each) == theirs.read_run(each)
    assert ours.list_studies() == theirs.list_studies()
    assert ours.list_experiments() == theirs.list_experiments()
    assert ours.find_model(run_id) == theirs.find_model(run_id) == "models:/tiny@champion"
    addresses = [f"models:/{each}" for each in MODELS]
    runs = [ours.find_model_run(each) for each in addresses]
    assert runs == [theirs.find_model_run(each) for each in addresses]
    assert runs[:2] == [run_id, run_id]
    assert {each: ours.find_ensemble(each) for each in addresses} == dict.fromkeys(addresses)
    assert {each: theirs.find_ensemble(each) for each in addresses} == dict.fromkeys(addresses)
    with pytest.raises(StoreError, match="MLflow at sqlite:///"):
        ours.read_file("0" * 32, "trial.json")


def test_the_doctor_reads_what_mlflow_reads(
    record: Record, monkeypatch: pytest.MonkeyPatch
) -> None:
    record.client.delete_run(record.run(PRUNED).info.run_id)

    def read() -> tuple[object, object]:
        reader = MlflowRawReader(record.workspace.local_uri, record.workspace.artifacts)
        return reader.read_study("tiny", record.journal.uid, "tiny"), reader.read_holders()

    ours = read()
    monkeypatch.setattr(raw_reader, "can_read", lambda _: False)
    assert pformat(read()) == pformat(ours)  # NaN differs from itself


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE alembic_version SET version_num = '000000000000'",
        "UPDATE experiments SET artifact_location = 's3://bucket/0'",
        "UPDATE experiments SET workspace = 'team'",
    ],
)
def test_another_schema_is_left_to_mlflow(record: Record, change: str) -> None:
    assert can_read(record.workspace.database)
    record.sql(change)
    assert not can_read(record.workspace.database)


def test_a_write_goes_through_mlflow(record: Record) -> None:
    tracker = Workspace(record.root).open_tracker(reading=True)
    assert isinstance(tracker, LocalTracker)
    tracker.log_replay(record.run(CHAMPION).info.run_id, "identical", {"replay/difference": 0.0})
    assert record.run(CHAMPION).data.tags["harness.replay"] == "identical"


def open_both(record: Record) -> tuple[LocalStore, Store]:
    path = record.workspace.database
    uri = format_sqlite_uri(path)
    return LocalStore(uri, path), Store(uri)


def copy(entity: Any, kind: type[Any]) -> dict[str, Any]:
    """Return the fields of an entity that `kind` has."""
    return {field.name: getattr(entity, field.name) for field in fields(kind)}


def describe(run: Any) -> object:
    data, metrics = run.data, sorted(run.data._metric_objs, key=lambda metric: metric.key)
    return (
        copy(run.info, LocalInfo),
        data.tags,
        data.params,
        {key: repr(data.metrics[key]) for key in sorted(data.metrics)},
        [repr(copy(metric, LocalMetric)) for metric in metrics],
    )


def read_curves(store: base_store.BaseStore) -> list[object]:
    experiment = store.client.get_experiment_by_name("tiny").experiment_id
    curves = store.read_curves(store.search_runs([experiment]), ["val/loss", "train/loss"])
    return [(run_id, copy(metric, LocalMetric)) for run_id, metric in curves]
