"""Two studies of one name in one MLflow store: the second is refused, and never mixed up."""

from __future__ import annotations

import shlex
import threading
from dataclasses import replace
from pathlib import Path

import pytest
from mlflow import MlflowClient

from harness.errors import StoreError, StudyError
from harness.system.addresses import format_sqlite_uri
from harness.tracking.mlflow.name_holders import UID_TAG
from harness.tracking.mlflow.tracker import MlflowTracker
from harness.tracking.types import StudyRecord
from tests.tracking.test_contract import RECORD, epoch, result, trial

HERE = {"user": "ann", "host": "lab", "folder": "/home/ann/mlruns"}
THERE = {"user": "bob", "host": "lab", "folder": "/home/bob/mlruns"}
FRESH = {"set_aside": "20260101-120000"}


class Stores:
    """One database, written to from two folders."""

    def __init__(self, folder: Path) -> None:
        self.uri, self.folder = f"sqlite:///{folder / 'mlflow.db'}", folder

    def open(self, folder: str = "here") -> MlflowTracker:
        return MlflowTracker(self.uri, self.folder / folder)

    @property
    def client(self) -> MlflowClient:
        return MlflowClient(self.uri, registry_uri=self.uri)

    def count(self) -> tuple[int, int]:
        experiments = self.client.search_experiments()
        runs = self.client.search_runs([each.experiment_id for each in experiments])
        return len(experiments), len(runs)


@pytest.fixture(scope="module")
def stores(tmp_path_factory: pytest.TempPathFactory) -> Stores:
    return Stores(tmp_path_factory.mktemp("names"))


def record(name: str, uid: str, facts: dict[str, str] | None = None, **more: object) -> StudyRecord:
    facts = HERE if facts is None else facts
    return replace(RECORD, name=name, uid=uid, facts=facts, **more)  # type: ignore[arg-type]


def remove_tags(stores: Stores, name: str) -> None:
    """Remove from an experiment what earlier versions did not record."""
    experiment = stores.client.get_experiment_by_name(name)
    assert experiment is not None
    for key in [key for key in experiment.tags if key.startswith("harness.")]:
        stores.client.delete_experiment_tag(experiment.experiment_id, key)


@pytest.mark.parametrize("more", [{}, FRESH, FRESH | {"set_aside_uid": "older"}])
@pytest.mark.parametrize("recorded_by", ["this version", "an earlier one"])
def test_a_name_of_another_study_is_refused(
    stores: Stores, recorded_by: str, more: dict[str, str]
) -> None:
    name = f"taken-{recorded_by.replace(' ', '-')}-{len(more)}"
    stores.open().open_study(record(name, "first", HERE if recorded_by == "this version" else {}))
    if recorded_by != "this version":
        remove_tags(stores, name)
    before = stores.count()
    second = record(name, "second", THERE, **more)
    pattern = rf"'{name}' is taken in sqlite:.* by another study, first, started 20.*; choose"
    for write in (MlflowTracker.check_name, MlflowTracker.open_study):
        with pytest.raises(StudyError, match=pattern) as error:
            write(stores.open("there"), second)
        if recorded_by == "this version":
            assert "by ann@lab in /home/ann/mlruns" in str(error.value)
    assert stores.count() == before
    stores.open().open_study(record(name, "first"))  # its own study goes on


def test_of_two_drivers_that_start_at_once_one_gets_the_name(stores: Stores) -> None:
    stores.open()
    start, refused = threading.Barrier(2), list[str]()

    def drive(uid: str) -> None:
        tracker = stores.open(uid)
        start.wait()
        try:
            tracker.open_study(record("race", uid))
        except StudyError:
            refused.append(uid)

    threads = [threading.Thread(target=drive, args=(uid,)) for uid in ("one", "two")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(refused) == 1
    study = stores.open().read_study("race")
    assert study is not None
    assert study.uid not in refused


def test_fresh_sets_aside_only_its_own_study(stores: Stores) -> None:
    stores.open().open_study(record("again", "old"))
    stores.open().open_study(record("again", "new", **FRESH, set_aside_uid="old"))
    stores.open().open_study(record("again", "newer", **FRESH))  # the Optuna record was lost
    uids = []
    for name in ("again", "again.20260101-120000", "again.20260101-120000-2"):
        study = stores.open().read_study(name)
        assert study is not None
        uids.append(study.uid)
    assert uids == ["newer", "old", "new"]


def test_an_experiment_that_was_made_by_hand_is_used_by_one_study(stores: Stores) -> None:
    made = stores.client.create_experiment("by hand")
    stores.open().open_study(record("by hand", "first"))
    assert stores.client.get_experiment(made).tags[UID_TAG] == "first"
    with pytest.raises(StudyError, match="'by hand' is taken"):
        stores.open().open_study(record("by hand", "second"))


def test_a_study_is_read_by_its_uid_where_an_experiment_has_two(stores: Stores) -> None:
    """Earlier versions wrote both into one experiment."""
    first = stores.open()
    first.open_study(record("mixed", "first"))
    first.start_trial(trial(0, "first"))
    first.finish_trial(trial(0, "first"), "COMPLETE", epochs=[epoch(1)], outcome=result(epoch(1)))
    experiment = stores.client.get_experiment_by_name("mixed")
    assert experiment is not None
    remove_tags(stores, "mixed")
    (run,) = stores.client.search_runs([experiment.experiment_id], "tags.`harness.kind` = 'study'")
    tags = {k: v for k, v in run.data.tags.items() if k.startswith("harness.")}
    twin = [
        stores.client.create_run(
            experiment.experiment_id, tags=tags | {UID_TAG: "second"}, run_name="mixed"
        )
    ]
    twin += [  # two runs of a trial of the other study
        stores.client.create_run(
            experiment.experiment_id,
            run_name="★ 000",
            tags={"harness.kind": "trial", UID_TAG: "second/0", "harness.number": "0"},
        )
        for _ in range(2)
    ]

    for uid, trials in (("first", 1), ("second", 0)):
        study = stores.open().read_study("mixed", uid)
        assert study is not None
        assert (study.uid, len(study.trials)) == (uid, trials)
    pattern = rf"2 studies .* first of 20.*{run.info.run_id}.* second of .*{twin[0].info.run_id}"
    with pytest.raises(StudyError, match=pattern):
        stores.open().read_study("mixed")
    by_id = stores.open().read_run(twin[0].info.run_id)
    assert by_id is not None
    assert by_id.uid == "second"
    listed = [study.uid for study in stores.open().list_studies() if study.name == "mixed"]
    assert sorted(listed) == ["first", "second"]

    tracker = stores.open()
    tracker.open_study(record("mixed", "first", continued=True))
    tracker.close_study("first", "COMPLETE")
    for other in twin:
        left = stores.client.get_run(other.info.run_id)
        assert left.info.lifecycle_stage == "active"
        assert left.info.run_name == other.info.run_name
    with pytest.raises(StudyError, match=r"'mixed' is taken .* first and second, started"):
        stores.open().open_study(record("mixed", "third", **FRESH))


def test_a_study_goes_on_after_its_experiment_was_renamed(stores: Stores) -> None:
    stores.open().open_study(record("before", "moved"))
    experiment = stores.client.get_experiment_by_name("before")
    assert experiment is not None
    stores.client.rename_experiment(experiment.experiment_id, "after")
    tracker = stores.open()
    tracker.open_study(record("before", "moved", continued=True))
    study = tracker.read_study("before", "moved")
    assert study is not None
    assert (study.name, study.experiment_id) == ("after", experiment.experiment_id)


def test_a_registered_model_of_somebody_else_is_not_taken(stores: Stores) -> None:
    stores.client.create_registered_model("theirs")
    stores.client.create_model_version("theirs", "file:///nowhere/1")
    stores.open().open_study(record("renamed", "owner"))
    (run,) = stores.client.search_runs(
        [stores.client.get_experiment_by_name("renamed").experiment_id]  # type: ignore[union-attr]
    )
    stores.client.create_registered_model("ours")
    tags = {"harness.trial_run": run.info.run_id}
    stores.client.create_model_version(
        "ours", "file:///nowhere/2", run_id=run.info.run_id, tags=tags
    )
    for name, owner in (("theirs", "somebody else"), ("ours", "study 'renamed'")):
        with pytest.raises(StudyError, match=f"'{name}' in .* was made by {owner}; choose another"):
            stores.open().open_study(record(name, "new"))
        assert stores.client.get_experiment_by_name(name) is None
    stores.client.set_registered_model_alias("ours", "champion", "1")
    assert stores.open().find_model(run.info.run_id) == "models:/ours@champion"
    stores.client.delete_registered_model_alias("ours", "champion")
    assert stores.open().find_model(run.info.run_id) == "models:/ours/1"


def test_messages_have_the_plain_path_of_a_store(tmp_path: Path) -> None:
    (tmp_path / "50% what?").mkdir()
    database = tmp_path / "50% what?" / "mlflow.db"
    tracker = MlflowTracker(format_sqlite_uri(database), tmp_path / "artifacts")
    tracker.open_study(record("one", "first"))
    for uid, more, message in (
        ("second", {}, f"the name 'one' is taken in sqlite:///{database} by another study"),
        ("lost", {"continued": True}, f"but is not in sqlite:///{database}; restore the store"),
    ):
        with pytest.raises(StudyError) as error:
            tracker.open_study(record("one" if uid == "second" else "none", uid, **more))
        assert message in str(error.value)


def test_the_command_that_restores_an_experiment_can_be_pasted(tmp_path: Path) -> None:
    (tmp_path / "it's $HOME & more").mkdir()
    stores = Stores(tmp_path / "it's $HOME & more")
    stores.open().open_study(record("gone", "first"))
    experiment = stores.client.get_experiment_by_name("gone")
    assert experiment is not None
    stores.client.delete_experiment(experiment.experiment_id)
    with pytest.raises(StoreError) as error:
        stores.open().open_study(record("gone", "first"))
    _, _, command = str(error.value).partition("restore the experiment: ")
    assert shlex.split(command) == [
        f"MLFLOW_TRACKING_URI={stores.uri}",
        *("mlflow", "experiments", "restore", "-x", experiment.experiment_id),
    ]


def test_a_deleted_study_run_is_reported(stores: Stores) -> None:
    stores.open().open_study(record("lost", "lost"))
    experiment = stores.client.get_experiment_by_name("lost")
    assert experiment is not None
    (run,) = stores.client.search_runs([experiment.experiment_id])
    stores.client.delete_run(run.info.run_id)
    pattern = "the run of study 'lost' was deleted in MLflow; .* harness doctor --repair lost"
    with pytest.raises(StudyError, match=pattern):
        stores.open().read_study("lost")
    with pytest.raises(StudyError, match=pattern):
        stores.open().read_study("lost", "lost")
    with pytest.raises(StudyError, match=pattern):
        stores.open().open_study(record("lost", "lost"))
    skipped: list[str] = []
    stores.open().list_studies(lambda name, reason: skipped.append(name))
    assert skipped == ["lost"]
