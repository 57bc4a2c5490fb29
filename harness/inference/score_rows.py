"""`harness predict STUDY rows.csv`: a trained model's predictions for the rows of a table.

The model is loaded from the run's recorded weights, and the transform from the study's record. No
dataset is opened. The rows need no target, and may have further columns.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.analysis.formatting import format_count
from harness.config.schema import fill_defaults
from harness.data.column_types import join_names
from harness.data.table_features import read_transform
from harness.data.types import DataOptions
from harness.errors import DataError, StudyError, did_you_mean
from harness.inference.label_sets import join_sets
from harness.inference.prediction_interval import measure_interval
from harness.inference.recorded_model import read_model
from harness.inference.row_predictions import PROBABILITY, SET_COLUMN, RowPredictions
from harness.scoring.champion import ChampionModel
from harness.scoring.table_transform import TableTransform
from harness.tracking.raw_types import TABLE_FILE, transform_file
from harness.tracking.types import RunRecord, StudyRun
from harness.trial import WHOLE
from harness.workspace import Workspace

if TYPE_CHECKING:
    import pandas as pd

    from harness.tracking.base import Tracker


def score_rows(
    workspace: Workspace,
    name: str,
    rows: pd.DataFrame | str | Path,
    tracking_uri: str | None,
    data_dir: Path | None = None,
    sets: bool = False,
) -> RowPredictions:
    """Predict the target of each row.

    Args:
        name: A study, for its champion; `STUDY/12`; an MLflow run ID; or a registered model as
            `models:/NAME@champion`; or an ensemble, as `STUDY@ensemble`.
        rows: A frame, or the path of a table. Types may differ from those of the training data.
        data_dir: The folder of the datasets, for a study of an earlier version.
        sets: Add a column `set` with the labels of each row's 90 % set.

    Raises UserError.
    """
    tracker = workspace.open_tracker(tracking_uri, reading=True)
    recorded = read_model(tracker, name)
    study, run = recorded.study, recorded.run
    threshold = recorded.get_set_threshold() if sets else None
    transform = _read_transform(tracker, study, run, data_dir)
    is_file = isinstance(rows, (str, Path))
    frame = _read_rows(Path(rows), study, transform) if isinstance(rows, (str, Path)) else rows
    source = str(rows) if is_file else "the frame"
    target = str(study.definition["data"].get("target", ""))
    notes = _check_columns(frame, transform, source, study.name, target)
    interval = {"interval": recorded.ensemble.interval} if recorded.ensemble else {}
    if not study.classes and recorded.ensemble is None:
        interval = measure_interval(tracker, run)
    champion = {
        "labels": _read_labels(tracker, study),
        "loss": recorded.loss,
        **interval,
    }
    model = ChampionModel(recorded.module, transform, champion)
    predictions = model.predict_frame(frame)
    if threshold is not None:
        columns = [each for each in predictions if str(each).startswith(PROBABILITY)]
        labels = [str(each).removeprefix(PROBABILITY) for each in columns]
        joined = join_sets(labels, predictions[columns].to_numpy(), threshold)
        predictions.insert(1, SET_COLUMN, joined)
    return RowPredictions(
        name=recorded.name,
        run_id=recorded.run_id,
        target=target or "prediction",
        rows=frame,
        predictions=predictions,
        has_interval=interval.get("interval") is not None,
        has_folds=study.folds > 0,
        notes=tuple(notes),
    )


def _read_transform(
    tracker: Tracker, study: StudyRun, run: RunRecord, data_dir: Path | None
) -> TableTransform:
    split = WHOLE if study.is_retrained else run.split
    content = tracker.read_file(study.run_id, transform_file(split))
    if content is None and not run.split:
        content = tracker.read_file(run.run_id, transform_file(0))  # of `harness train`
    if content is not None:
        try:
            return TableTransform.from_json(content)
        except ValueError as error:
            raise StudyError(
                f"{transform_file(split)} of '{study.name}' cannot be read ({error}); run "
                f"`harness doctor {study.name}`"
            ) from None
    data = study.definition.get("data", {})
    if not data.get("target"):
        raise StudyError(
            f"'{study.name}' was not trained on a table, so it predicts no rows; give images"
        )
    if study.folds:  # recorded since there are folds
        raise StudyError(
            f"{transform_file(split)} of '{study.name}' is missing; restore it from a backup of "
            "mlruns"
        )
    return _fit_again(study, run, data_dir)


def _fit_again(study: StudyRun, run: RunRecord, data_dir: Path | None) -> TableTransform:
    """Fit the transform that an earlier version did not record, from the data."""
    from harness.data.prepare import prepare

    advice = "its transform was not recorded by that version of harness"
    options = fill_defaults("data", study.definition["data"])
    options["max_categories"] = sys.maxsize  # that version trained on all of them
    prepared = prepare(**options, data_dir=data_dir, download=False, redrawn=run.split)
    if prepared.split_hash != study.facts.get("split_hash"):
        raise StudyError(
            f"'{study.name}': {advice}, and {prepared.location} is not the data that it was "
            "trained on; give the folder with the original files with --data-dir"
        )
    file = prepared.training.select_split(run.split).transform
    assert file is not None
    return read_transform(file)


def _read_rows(path: Path, study: StudyRun, transform: TableTransform) -> pd.DataFrame:
    """Read the table as the training data was read, but numbers in a text file as texts."""
    from harness.data.custom import TABLE_SUFFIXES
    from harness.data.table_files import read_table

    if path.suffix.lower() not in TABLE_SUFFIXES:
        raise DataError(f"{path}: is no table; give one of {', '.join(TABLE_SUFFIXES)}")
    if not path.is_file():
        raise DataError(f"no file {path}")
    first = transform.inputs[0]
    options = DataOptions(target=first, missing=transform.missing)
    sheet = str(study.definition["data"].get("sheet", ""))
    if sheet and path.suffix.lower() == ".xlsx":
        try:
            chosen = DataOptions(target=first, missing=transform.missing, sheet=sheet)
            return read_table(path, str(path), chosen, strict=False, texts=True).frame
        except DataError:  # another book has other sheets
            pass
    return read_table(path, str(path), options, strict=False, texts=True).frame


def _check_columns(
    frame: pd.DataFrame, transform: TableTransform, source: str, study: str, target: str
) -> list[str]:
    """Return a note on columns that are ignored. Raises DataError if one is missing."""
    names = [str(each) for each in frame.columns]
    missing = [each for each in transform.inputs if each not in names]
    if missing:
        known = did_you_mean(missing[0], names) if len(missing) == 1 else ""
        listed = join_names([f"'{each}'" for each in missing])
        what = "column" if len(missing) == 1 else "columns"
        raise DataError(f"{source} has no {what} {listed}, which '{study}' was trained on{known}")
    repeated = sorted({each for each in names if names.count(each) > 1})
    if used := [each for each in repeated if each in transform.inputs]:
        raise DataError(f"{source}: two columns are called '{used[0]}'; rename one of them")
    extra = [each for each in dict.fromkeys(names) if each not in (*transform.inputs, target)]
    if not extra:
        return []
    count = format_count(len(extra), "column")
    return [f"ignored {count} that the model does not use: {join_names(extra)}"]


def _read_labels(tracker: Tracker, study: StudyRun) -> list[Any]:
    content = tracker.read_file(study.run_id, TABLE_FILE)
    if content is None:
        return list(study.classes)
    labels = json.loads(content).get("labels", [])
    return labels if len(labels) == len(study.classes) else list(study.classes)
