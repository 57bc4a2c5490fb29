"""Invariant 7: the tags of which a study is built can be read."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator

from harness.checks.findings import Finding, UpdateRun
from harness.checks.snapshot import Snapshot
from harness.tracking.raw_types import CONFUSION_FILE

CLASSES_TAG, DEFINITION_TAG = "harness.classes", "harness.definition"
ENVIRONMENT_TAG = "harness.environment"


def check_tags(snapshot: Snapshot) -> Iterator[Finding]:
    """Check the tags in JSON: MLflow cut those that were longer than it allows."""
    journal, parent = snapshot.journal, snapshot.study_run
    if journal is None or not journal.is_started or parent is None:
        return
    problem = "cannot be read"
    if not isinstance(_parse_json(parent.tags.get(DEFINITION_TAG, "")), dict):
        tags = {DEFINITION_TAG: json.dumps(journal.attrs["definition"])}
        yield Finding(
            7,
            f"the study's tag {DEFINITION_TAG}",
            problem,
            UpdateRun(parent.run_id, None, tags),
        )
    if not isinstance(_parse_json(parent.tags.get(CLASSES_TAG, "")), list):
        classes = _read_classes(snapshot)
        tags = {CLASSES_TAG: json.dumps(classes)}
        fix = UpdateRun(parent.run_id, None, tags, source=CONFUSION_FILE)
        yield Finding(
            7,
            f"the study's tag {CLASSES_TAG}",
            problem,
            fix if classes is not None else None,
            "restore the store from a backup",
        )
    for number, run in snapshot.runs.items():
        if not isinstance(_parse_json(run.tags.get(ENVIRONMENT_TAG, "{}")), dict):
            location = f"trial {number}'s tag {ENVIRONMENT_TAG}"
            yield Finding(7, location, problem, remedy="restore the store from a backup")


def _read_classes(snapshot: Snapshot) -> list[str] | None:
    """Return the names of the classes from a trial's table of confusions; None without one."""
    assert snapshot.journal is not None
    if snapshot.journal.config.data.task == "regression":
        return []
    for run in snapshot.runs.values():
        content = run.file_content(CONFUSION_FILE)
        if content:
            lines = content.decode(errors="replace").splitlines(keepends=True)
            return next(csv.reader(lines))[1:]
    return None


def _parse_json(text: str) -> object:
    try:
        return json.loads(text)
    except ValueError:
        return None
