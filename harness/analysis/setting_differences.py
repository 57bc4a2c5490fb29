"""The settings of a grid or list, compared with the best of them on the same examples."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
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
    every setting alike, if their curves are equally noisy and have as many epochs.
    """
    ranked = rank_settings(study) if study.is_grid_or_list else []
    settings = [setting for setting in ranked if not setting.is_outside]
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
    score = study.score.tested  # the stored predictions do not give every objective
    sign = -score.sign
    means = [rows.mean(0)[None] for rows in by_seed]  # [1, n]
    scores = correct_for_selection([[ValidatedRun(-sign * mean, mean)] for mean in means])
    variance = _estimate_lead_variance([rows.mean(1) for rows in by_seed])
    contenders = compare_settings(
        score,
        [setting.runs[0] for setting in read],
        scores,
        variance or 0.0,
        [setting.name for setting in read],
        has_seeds=variance is not None,
    )
    return contenders and replace(contenders, compared_by=study.score.tested_note)


def _estimate_lead_variance(means: Sequence[Values]) -> float | None:
    """Return what seeds add to the variance of the first setting's lead over another.

    None if every setting has one seed.

    Args:
        means: Of each setting, the mean score of each seed.

    The variance of one seed is pooled over all settings with several, so that a setting of which
    one seed is left is compared too. Where settings differ in their number of seeds, the smallest
    number counts.
    """
    degrees = sum(len(each) - 1 for each in means)
    if not degrees:
        return None
    pooled = sum(float(np.square(each - each.mean()).sum()) for each in means) / degrees
    return pooled * (1 / len(means[0]) + 1 / min(len(each) for each in means[1:]))


def _score_examples(predictions: Predictions) -> Values:
    """Return 1 for each correct prediction, or the squared errors of a regression, [n]."""
    true, predicted = predictions.to_array().astype(np.float64)
    scores: Values = (predicted - true) ** 2 if predictions.is_regression else predicted == true
    return scores.astype(np.float64)
