"""Predictions of a recorded model for arrays, frames, tables and image files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from harness.api.memory_data import is_frame
from harness.data.custom import TABLE_SUFFIXES
from harness.data.types import Array
from harness.errors import ConfigError, StudyError
from harness.workspace import Workspace


def predict_inputs(
    workspace: Workspace,
    tracking_uri: str | None,
    model: str,
    inputs: Any,
    probabilities: bool,
    sets: bool = False,
) -> Array:
    """Return labels or numbers [N], or the probability of each class [N, classes], or sets [N].

    See `harness.predict`. Raises UserError.
    """
    if sets:
        return _predict_sets(workspace, tracking_uri, model, inputs, probabilities)
    if is_frame(inputs) or _is_table(inputs):
        return _predict_rows(workspace, tracking_uri, model, inputs, probabilities)
    if _are_paths(inputs):
        return _classify_images(workspace, tracking_uri, model, inputs, probabilities)
    from harness.inference.recorded_model import load_recorded_model

    recorded = load_recorded_model(workspace, tracking_uri, model)
    return recorded.predict_probabilities(inputs) if probabilities else recorded.predict(inputs)


def _predict_sets(
    workspace: Workspace, tracking_uri: str | None, model: str, inputs: Any, probabilities: bool
) -> Array:
    """Return the labels of each example's 90 % set as one text [N]."""
    from harness.inference.label_sets import join_sets
    from harness.inference.recorded_model import load_recorded_model
    from harness.inference.score_rows import score_rows

    if probabilities:
        raise ConfigError("sets: excludes probabilities; call predict for each of them")
    if is_frame(inputs) or _is_table(inputs):
        scored = score_rows(workspace, model, inputs, tracking_uri, sets=True)
        return scored.predictions["set"].to_numpy()
    recorded = load_recorded_model(workspace, tracking_uri, model)
    threshold = recorded.get_set_threshold()
    rows = predict_inputs(workspace, tracking_uri, model, inputs, probabilities=True)
    return np.array(join_sets(recorded.study.classes, rows, threshold))


def _is_table(inputs: Any) -> bool:
    return isinstance(inputs, str | Path) and Path(inputs).suffix.lower() in TABLE_SUFFIXES


def _are_paths(inputs: Any) -> bool:
    """Whether the inputs are a path, or a list of paths."""
    if isinstance(inputs, str | Path):
        return True
    is_list = isinstance(inputs, list | tuple) and bool(inputs)
    return is_list and all(isinstance(each, str | Path) for each in inputs)


def _predict_rows(
    workspace: Workspace, tracking_uri: str | None, model: str, rows: Any, probabilities: bool
) -> Array:
    from harness.inference.score_rows import score_rows

    scored = score_rows(workspace, model, rows, tracking_uri)
    if not probabilities:
        return scored.predictions["prediction"].to_numpy()
    if not scored.has_probabilities:
        raise StudyError(f"'{scored.name}' predicts a number, which has no probabilities")
    columns = [each for each in scored.predictions if str(each).startswith("probability ")]
    return scored.predictions[columns].to_numpy()


def _classify_images(
    workspace: Workspace, tracking_uri: str | None, model: str, images: Any, probabilities: bool
) -> Array:
    from harness.inference.classify_images import classify_images

    paths = [images] if isinstance(images, str | Path) else images
    classified = classify_images(workspace, model, [str(path) for path in paths], tracking_uri)
    rows = np.array([prediction.probabilities for prediction in classified.predictions])
    names: Array = np.array(classified.classes)
    return rows if probabilities else names[rows.argmax(1)]
