"""The settings of a grid or list, compared with the best of them on the same examples."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from harness.analysis.contenders import Contenders, compare_settings
from harness.analysis.seed_variance import Setting, rank_settings
from harness.stats.selection import ValidatedRun, correct_for_selection
from harness.tracking.predictions import PREDICTIONS_FILE, Predictions
from harness.tracking.types import StudyRun

Values = npt.NDArray[Any]

if TYPE_CHECKING:
    from harness.tracking.base import Tracker


def compare_recorded_settings(tracker: Tracker, study: StudyRun) -> Contenders | None:
    """Compare the settings over all of their seeds; None for a search, or without predictions.

    All seeds share one validation set. The choice of the best epochs is not corrected: it favours
    every setting alike.
    """
    settings = rank_settings(study) if study.is_grid_or_list else []
    files = tracker.read_files(
        [run.run_id for setting in settings for run in setting.runs], PREDICTIONS_FILE
    )
    read: list[Setting] = []
    by_seed: list[Values] = []
    for setting in settings:
        predictions = [
            Predictions.from_bytes(files[run.run_id]) for run in setting.runs if run.run_id in files
        ]
        rows = [_score_examples(each) for each in predictions if each is not None]
        if len(rows) == len(setting.runs) and (not by_seed or rows[0].shape == by_seed[0][0].shape):
            read.append(setting)
            by_seed.append(np.stack(rows))  # [seeds, n]
    if len(read) < 2 or read[0] is not settings[0]:
        return None
    sign = -study.score.sign
    means = [rows.mean(0)[None] for rows in by_seed]  # [1, n]
    scores = correct_for_selection([[ValidatedRun(-sign * mean, mean)] for mean in means])
    variances = [rows.mean(1).var(ddof=1) / len(rows) for rows in by_seed if len(rows) > 1]
    has_seeds = len(variances) == len(by_seed)
    return compare_settings(
        study.score,
        [setting.runs[0] for setting in read],
        scores,
        2 * float(np.mean(variances)) if has_seeds else 0.0,
        [setting.name for setting in read],
        has_seeds,
    )


def _score_examples(predictions: Predictions) -> Values:
    """Return 1 for each correct prediction, or the squared errors of a regression, [n]."""
    true, predicted = predictions.to_array().astype(np.float64)
    scores: Values = (predicted - true) ** 2 if predictions.is_regression else predicted == true
    return scores.astype(np.float64)
