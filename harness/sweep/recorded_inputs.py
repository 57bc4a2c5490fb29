"""The data and the model code of a recorded study, checked against the record."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from harness.config.schema import fill_defaults
from harness.data.custom import TABLE_SUFFIXES
from harness.data.prepare import PreparedDataset, prepare
from harness.errors import DataError, StudyError
from harness.models.user_code import fingerprint, hash_model_files
from harness.tracking.types import MAX_CATEGORIES_FACT, StudyRun
from harness.trial import TrialSpec


def prepare_recorded_data(
    study: StudyRun, environment: Mapping[str, str], data_dir: Path | None, split: int = 0
) -> PreparedDataset:
    """Prepare the data that a study was trained on.

    Args:
        environment: recorded facts, with the hash of the study's split.
        split: the split to train on; see `Trial.split`.

    Raises:
        DataError: the data has changed.
        StudyError: the record does not say which data it was.
    """
    split_hash = environment.get("split_hash")
    options = fill_defaults("data", study.definition.get("data", {}))
    options["max_categories"] = int(study.facts.get(MAX_CATEGORIES_FACT, 0))
    try:
        prepared = prepare(**options, data_dir=data_dir, redrawn=split)
        is_table = str(options.get("name")).lower().endswith(TABLE_SUFFIXES)
        if is_table and prepared.split_hash != split_hash:
            # An earlier version did not record it, and trained on all categories.
            options["max_categories"] = sys.maxsize
            prepared = prepare(**options, data_dir=data_dir, redrawn=split)
    except TypeError as error:
        raise StudyError(
            f"[data] of '{study.name}' cannot be prepared by this version of harness ({error}); "
            "use the version that recorded it"
        ) from None
    if split_hash is None:
        raise StudyError(
            f"the record of '{study.name}' does not name the split of {prepared.name} that it was "
            "trained on, so the data cannot be checked"
        )
    if prepared.split_hash != split_hash:
        raise DataError(
            f"{prepared.name} in {prepared.location} is not the data that '{study.name}' was "
            f"trained on: its split has the SHA-256 {prepared.split_hash[:16]}, the record has "
            f"{split_hash[:16]}; give the folder with the original files with --data-dir"
        )
    return replace(prepared, training=prepared.training.select_split(split))


def check_recorded_code(title: str, spec: TrialSpec) -> None:
    """Raise StudyError, which starts with `title`, if the files of a custom model have changed."""
    now = fingerprint(hash_model_files(spec.model)) if spec.model else ""
    if now != spec.code:
        raise StudyError(
            f"{title}: the files of {spec.model} have changed from {spec.code} to {now}; restore "
            "them from the artifacts code-* of the study's run"
        )
