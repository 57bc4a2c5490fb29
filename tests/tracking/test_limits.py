"""Values that are longer than MLflow allows: everything is read back, and nothing is hidden."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from mlflow import MlflowClient

from harness.errors import mask_credentials
from harness.results import TrialResult
from harness.tracking.mlflow.naming import escape_class_names, join_tags, split_tags
from harness.tracking.mlflow.tracker import MlflowTracker
from harness.trial import Trial, TrialSpec
from tests.tracking.test_contract import RECORD, epoch

CLASSES = tuple(f"{'植物标本分类编号' * 40}{number}" for number in range(820))
LONG = "word " * 4000


@pytest.mark.parametrize("length", [0, 1, 7999, 8000, 8001, 16000, 16001, 90000])
def test_a_split_tag_is_joined_again(length: int) -> None:
    tags = {"harness.reason": "x" * length, "harness.sha256.a": "1", "harness.sha256.a.1": "2"}
    assert join_tags(split_tags(tags)) == tags
    assert all(len(value) <= 8000 for value in split_tags(tags).values())


def test_long_class_names_get_unique_metric_names() -> None:
    names = escape_class_names([*CLASSES, "x" * 300, "x" * 301])
    assert len(set(names)) == len(CLASSES) + 2
    assert max(map(len, names)) < 230


def test_a_record_of_any_length_is_read_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    uri = f"sqlite:///{tmp_path / 'mlflow.db'}"
    record = replace(
        RECORD,
        name="n" * 100,
        facts={"device": "CPU", "command": LONG},
        classes=CLASSES,
        definition=RECORD.definition | {"space": {"learning_rate": [*range(5000)]}},
    )
    spec = TrialSpec(hidden=(123,) * 3000)
    count = len(CLASSES)
    ended = TrialResult(
        best=epoch(1),
        epochs=1,
        stopped="finished",
        parameters=1,
        seconds=1.0,
        confusion=tuple((1,) * count for _ in range(count)),
        predictions=b"\0\1",
        weights=b"weights",
    )
    monkeypatch.setenv("MLFLOW_TRUNCATE_LONG_VALUES", "false")  # it raises instead
    for continued in (False, True):
        tracker = MlflowTracker(uri, tmp_path / "artifacts")
        tracker.open_study(replace(record, continued=continued))
    first = Trial(number=0, uid=f"{record.uid}/0", spec=spec)
    second = Trial(number=1, uid=f"{record.uid}/1", spec=spec)
    tracker.finish_trial(first, "COMPLETE", epochs=[epoch(1)], outcome=ended)
    tracker.finish_trial(second, "FAILED", reason=LONG)
    tracker.close_study(record.uid, "FAILED", reason=LONG, note=LONG)

    study = MlflowTracker(uri).read_study(record.name)
    assert study is not None
    assert study.classes == CLASSES
    assert study.definition == record.definition
    assert study.facts == record.facts
    assert [run.spec for run in study.trials] == [spec, spec]
    assert [run.reason for run in study.trials] == ["", LONG]
    assert len(study.trials[0].class_accuracy) == count
    classes = [name for name in study.trials[0].metrics if name.startswith("val_class_accuracy/")]
    assert len(classes) == count

    # Shorter values leave no parts of the longer ones behind.
    shorter = replace(record, facts={"device": "CPU", "command": "short"}, classes=("a", "b"))
    tracker.open_study(replace(shorter, continued=True))
    study = MlflowTracker(uri).read_study(record.name)
    assert study is not None
    assert (study.classes, study.facts) == (("a", "b"), shorter.facts)


def test_a_study_that_cannot_be_read_hides_no_other(tmp_path: Path) -> None:
    uri = f"sqlite:///{tmp_path / 'mlflow.db'}"
    tracker = MlflowTracker(uri, tmp_path / "artifacts")
    for name in ("good", "broken", "fine"):
        tracker.open_study(replace(RECORD, name=name, uid=name))
    client = MlflowClient(uri)
    experiment = client.get_experiment_by_name("broken")
    assert experiment is not None
    (run,) = client.search_runs([experiment.experiment_id])
    client.set_tag(run.info.run_id, "harness.classes", '["a", "b')
    skipped: dict[str, str] = {}
    studies = MlflowTracker(mask_credentials(uri)).list_studies(skipped.__setitem__)
    assert sorted(study.name for study in studies) == ["fine", "good"]
    assert list(skipped) == ["broken"]
    assert "damaged" in skipped["broken"]
    assert "harness doctor" in skipped["broken"]
