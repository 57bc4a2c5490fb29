"""Folds that are drawn again for each trial, in memory, where the trial is trained.

If all trials share one division into folds, the search may choose settings that suit this division.
If each trial has its own, it cannot (T. Nagler and others, NeurIPS 2024, arXiv 2405.15393). The
folds follow from the trial's settings and seed, so a retry and a replay have the same ones.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from harness.data.folds import Rows, draw_folds
from harness.data.split_fit import FittedSplit, Reshuffling
from harness.data.split_rule import SplitRule
from harness.data.torch_datasets import Splits, build_splits, load_splits, map_tensor
from harness.data.training_files import TrainingFiles
from harness.data.types import Array
from harness.errors import DataError
from harness.trial import TrialSpec, derive_seed

MOST_DRAWS = 20
"""By groups, or without the copies of validation examples, folds may lack a class; then they are
drawn again."""
DEFAULTS = {field.name: field.default for field in fields(TrialSpec)}


@dataclass(frozen=True)
class TrialFolds:
    """The folds of one trial."""

    splits: tuple[Splits, ...]
    order: Tensor | None = None
    """[n], int64: for each validation example of the study's own folds, one fold after the other,
    its place in these folds. None for the study's own."""


def load_trial_folds(
    files: TrainingFiles, spec: TrialSpec, read: Callable[[Path], Tensor] = map_tensor
) -> TrialFolds:
    """Return the folds that a trial is trained on: its own, or the study's.

    `read`: see `load_splits`. Raises ValueError if no folds with all classes are found.
    """
    if files.reshuffling is None:
        return TrialFolds(tuple(load_splits(fold, read) for fold in files.folds))
    splits = _draw_splits(files, files.reshuffling, spec, read)
    recorded = torch.cat([read(fold.validation_rows) for fold in files.folds])
    held_out = torch.cat([each.validation.rows for each in splits])
    place = torch.empty_like(recorded)
    place[held_out] = torch.arange(len(recorded))
    return TrialFolds(splits, place[recorded])


def identify_settings(spec: TrialSpec) -> str:
    """Return settings and seed as JSON, without those that have their default.

    So a later version, with more settings, returns the same, as long as it changes no default.
    """
    values = spec.to_dict()
    changed = {name: value for name, value in values.items() if value != _get_default(name)}
    return json.dumps(changed, sort_keys=True)


def _get_default(name: str) -> Any:
    default = DEFAULTS.get(name)
    return list(default) if isinstance(default, tuple) else default


def _draw_splits(
    files: TrainingFiles, plan: Reshuffling, spec: TrialSpec, read: Callable[[Path], Tensor]
) -> tuple[Splits, ...]:
    groups = None if plan.groups is None else read(plan.groups).numpy()
    rule = SplitRule(groups, stratify=plan.stratify)
    labels, settings = read(files.labels).numpy(), identify_settings(spec)
    for draw in range(MOST_DRAWS):
        seed = derive_seed("folds", plan.seed, settings, draw) % 2**32
        try:
            drawn = draw_folds(labels, plan.folds, seed, rule, files.classes, "[data] folds")
            return tuple(_fit_splits(files, plan, rows, read) for rows in drawn)
        except DataError as error:
            reason = str(error)
    raise ValueError(f"{reason} ({MOST_DRAWS} draws)")


def _fit_splits(
    files: TrainingFiles, plan: Reshuffling, rows: Rows, read: Callable[[Path], Tensor]
) -> Splits:
    def read_array(path: Path) -> Array:
        array: Array = read(path).numpy()
        return array

    inputs = read(files.inputs)
    fitted = plan.fitter.fit(*rows, read=read_array)
    changed = plan.fitter.describe_statistics(fitted.statistics)
    if fitted.features is not None and fitted.transform is not None:
        names, groups = fitted.transform.names, fitted.transform.groups
        changed |= {"shape": (len(names),), "columns": names, "features": groups}
        if not _is_same(fitted, inputs):
            inputs = torch.from_numpy(fitted.features)
    parts = torch.from_numpy(fitted.train), torch.from_numpy(fitted.validation)
    return build_splits(replace(files, **changed), inputs, read(files.labels), *parts)


def _is_same(fitted: FittedSplit, inputs: Tensor) -> bool:
    """Whether the features are those of the study's own split, which all trials can share."""
    return fitted.features is not None and np.array_equal(fitted.features, inputs.numpy())
