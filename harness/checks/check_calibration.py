"""Invariant 5 for the calibration: it is that of the registered model, with its metrics."""

from __future__ import annotations

from collections.abc import Iterator

from harness.analysis.calibration_record import CalibrationRecord
from harness.analysis.confirmation import find_model_run
from harness.checks.check_best_trial import build_study_run, compute_champion, get_study_command
from harness.checks.check_test_set import RESTORE_FILE
from harness.checks.check_trial_counts import build_latest_point
from harness.checks.findings import AddPoints, Finding, format_metric
from harness.checks.snapshot import Snapshot
from harness.errors import StoreError
from harness.models.export import NOT_EXPORTED_FILE
from harness.tracking.mlflow.model_lookup import TEMPERATURE_TAG
from harness.tracking.raw_types import CALIBRATION_FILE
from harness.tracking.types import CALIBRATED_FACT

LOCATION = "the calibration"


def check_calibration(snapshot: Snapshot) -> Iterator[Finding]:
    """Check a finished study's calibration; earlier versions recorded none."""
    run, champion = snapshot.study_run, compute_champion(snapshot) if snapshot.journal else None
    if run is None or champion is None or not snapshot.is_finished:
        return
    is_calibrated = run.tags.get(f"harness.{CALIBRATED_FACT}") == "yes"
    content = run.file_content(CALIBRATION_FILE)
    if content is None:
        if is_calibrated and CALIBRATION_FILE not in run.files:
            yield Finding(5, LOCATION, f"{CALIBRATION_FILE} is missing", remedy=RESTORE_FILE)
        return
    try:
        record = CalibrationRecord.from_json(content)
    except StoreError:
        yield Finding(5, LOCATION, f"{CALIBRATION_FILE} cannot be read", remedy=RESTORE_FILE)
        return
    study = build_study_run(snapshot)
    model_run = find_model_run(study, champion)
    remedy = f"continue with: {get_study_command(snapshot)}"
    if record.run != model_run.uid:
        if is_calibrated:
            yield Finding(5, LOCATION, "it is that of another run's model", remedy=remedy)
        return
    reading = study.find_reading(model_run)
    for key, value in record.metrics(is_calibrated, reading).items():
        if (recorded := run.metrics.get(key)) != value:
            problem = f"the study's {key} is {format_metric(recorded)}, not {value:g}"
            point = build_latest_point(run, key, value)
            yield Finding(5, LOCATION, problem, AddPoints(run.run_id, (point,), CALIBRATION_FILE))
    if is_calibrated and NOT_EXPORTED_FILE not in run.files and snapshot.study is not None:
        versions = [each for each in snapshot.study.versions if each.run_id == run.run_id]
        expected = repr(record.temperature)
        if not any(each.tags.get(TEMPERATURE_TAG) == expected for each in versions):
            problem = f"no version of the model has its temperature, {record.temperature:.6g}"
            yield Finding(5, LOCATION, problem, remedy="restore the registry from a backup")
