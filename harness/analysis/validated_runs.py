"""The confirmation runs of a setting as costs and scores of each validation example and epoch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from harness.analysis.confirmation import ConfirmedSetting
from harness.metrics import Score
from harness.results import Objective
from harness.stats.metric_intervals import compute_unexplained_parts
from harness.stats.regression import compute_pinball_losses
from harness.stats.selection import ValidatedRun
from harness.tracking.epoch_predictions import EpochPredictions
from harness.tracking.types import StudyRun


def read_validated_runs(
    study: StudyRun,
    setting: ConfirmedSetting,
    splits: Sequence[int],
    files: Mapping[str, bytes],
) -> list[ValidatedRun]:
    """Return the runs of a setting on these splits; none if a file is missing.

    `files` has the content of EPOCH_PREDICTIONS_FILE by run id.
    """
    by_split = {run.split: files.get(run.run_id) for run in setting.runs}
    contents = [by_split.get(split) for split in splits]
    read = [EpochPredictions.from_bytes(content) for content in contents if content]
    complete = len(read) == len(splits)
    if study.score.objective is not None:
        level = setting.trial.spec.quantile
        runs = [_to_run_of_objective(study.score, level, each) for each in read]
    else:
        runs = [_to_validated_run(study.objective, each) for each in read]
    return runs if complete else []


def _to_run_of_objective(
    score: Score, quantile: float, predictions: EpochPredictions
) -> ValidatedRun:
    """Return the run of an objective that is the score: its costs are the scores, up to the sign.

    Of a metric that is no mean, such as AUC, they are each example's first-order part.
    """
    true, costs = predictions.true, predictions.losses
    if costs is None:
        costs = compute_pinball_losses(predictions.predicted, true, quantile)
    if score.metric == "val/r2":
        costs = compute_unexplained_parts(predictions.predicted, true) - 1
    return ValidatedRun(costs, score.sign * costs.astype(np.float64))


def _to_validated_run(objective: Objective, predictions: EpochPredictions) -> ValidatedRun:
    true, predicted = predictions.true, predictions.predicted
    if true.dtype.kind == "u":
        right = (predicted == true).astype(np.float64)
        losses = predictions.losses if objective == "val/loss" else None
        return ValidatedRun(1 - right if losses is None else losses, right)
    errors = predicted.astype(np.float64) - true.astype(np.float64)
    squares = np.square(errors)
    return ValidatedRun(np.abs(errors) if objective == "val/mae" else squares, squares)
