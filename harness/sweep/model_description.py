"""What is stored with a registered model: what it takes and gives, and its metadata."""

from __future__ import annotations

from typing import Any

from harness.data.prepare import PreparedDataset
from harness.tracking.types import StudyRun


def describe_interface(prepared: PreparedDataset, study: StudyRun) -> str:
    """Return what a study's models take and give, in two sentences."""
    files, classes = prepared.training, study.classes
    takes = "images as uint8" if files.dtype == "uint8" else f"{files.shape} float32"
    if prepared.table is not None:
        takes = f"raw rows by mlflow.pyfunc, features {takes} by mlflow.pytorch"
    gives = (
        f"logits for {', '.join(classes)}" if classes else f"{study.score.target} in its own units"
    )
    return f"Takes {takes}, any batch size; gives {gives}."


def build_metadata(prepared: PreparedDataset, study: StudyRun) -> dict[str, Any]:
    """Return the metadata of a study's models: the classes or the target, and the features."""
    files = prepared.training
    metadata: dict[str, Any] = (
        {"classes": list(study.classes)} if study.classes else {"target": files.target}
    )
    return metadata | ({"columns": list(files.columns)} if files.columns else {})
