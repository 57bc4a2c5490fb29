"""Refuse settings that cannot be trained on a study's data, before anything is written."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from harness.config.schema import StudyConfig
from harness.data.cache import map_array
from harness.data.prepare import PreparedDataset
from harness.data.split_rule import SplitRule
from harness.data.training_files import TrainingFiles
from harness.data.types import Array
from harness.errors import ConfigError
from harness.models.target_transform import explain_log

MIN_ENSEMBLE_EXAMPLES = 4
"""Validation examples that an ensemble needs."""


def check_data(config: StudyConfig, prepared: PreparedDataset) -> None:
    """Raise ConfigError for settings that this data does not allow."""
    _check_batch_size(config, prepared.training)
    _check_ensemble(config, prepared)
    _check_auc(config, prepared.training)
    _check_augmentation(config, prepared.training.shape)
    _check_target_transform(config, prepared.training)
    _check_final_model(config, prepared)


def _check_batch_size(config: StudyConfig, files: TrainingFiles) -> None:
    largest = config.find_largest("batch_size")
    examples = min(len(map_array(each.train_rows)) for each in files.folds or (files,))
    if largest > examples:
        where = " in the smallest fold" if files.folds else ""
        raise ConfigError(
            f"{config.source}: batch_size {largest} is more than the {examples:,} "
            f"training examples of '{config.data.name}'{where}; choose a smaller one"
        )


def _check_ensemble(config: StudyConfig, prepared: PreparedDataset) -> None:
    if not config.ensemble.size:
        return
    examples, files = prepared.sizes["validation"], prepared.training
    if examples < MIN_ENSEMBLE_EXAMPLES:
        raise ConfigError(
            f"{config.source}: [ensemble]: needs {MIN_ENSEMBLE_EXAMPLES} validation "
            f"examples, two for each half, and '{config.data.name}' has {examples}; use a "
            "larger [data] validation, or leave [ensemble] out"
        )
    groups = SplitRule.read(files.labels.parent, stratify=False).groups
    if groups is not None and len(np.unique(groups[map_array(files.validation_rows)])) < 2:
        raise ConfigError(
            f"{config.source}: [ensemble]: needs validation examples of two groups, one for each "
            "half, and the validation set has one [data] group; use a larger [data] validation, or "
            "leave [ensemble] out"
        )


def _check_auc(config: StudyConfig, files: TrainingFiles) -> None:
    """Refuse the objective AUC for a validation set of one class; with folds, for any fold's."""
    if "val/auc" not in config.objectives:
        return
    advice = "fewer folds" if files.folds else "a larger [data] validation"
    for where, classes in _list_labels(files, "validation"):
        present = np.unique(classes)
        if len(present) < 2:
            raise ConfigError(
                f"{config.source}: objective: val/auc needs validation examples of two classes, "
                f"and the {where} has only '{files.classes[int(present[0])]}'; use {advice}, or "
                "another objective"
            )


def _check_augmentation(config: StudyConfig, shape: tuple[int, ...]) -> None:
    if any(config.list_values("augment")) and len(shape) not in (2, 3):
        raise ConfigError(
            f"{config.source}: augment: needs images, but the examples of "
            f"'{config.data.name}' have the shape {list(shape)}; leave it out"
        )


def _check_target_transform(config: StudyConfig, files: TrainingFiles) -> None:
    """Refuse `log` for a training set, of the study or its confirmation, with a target <= 0."""
    if "log" not in config.list_values("target_transform"):
        return
    for where, targets in _list_labels(files, "training"):
        if targets.min() <= 0:
            reason = explain_log(targets.min().item(), where)
            raise ConfigError(f"{config.source}: {reason}")


def _check_final_model(config: StudyConfig, prepared: PreparedDataset) -> None:
    """Refuse the mean of the folds' networks for a table: each takes features of its own."""
    if config.data.folds and config.final.model == "folds" and prepared.table is not None:
        raise ConfigError(
            f"{config.source}: [final] model: the networks of a table's folds take different "
            "features, which are fitted to each fold's training rows, so they have no mean; leave "
            "[final] out"
        )


def _list_labels(files: TrainingFiles, part: str) -> Iterator[tuple[str, Array]]:
    """Yield the name and the labels of each set, `training` or `validation`, that a trial has: in
    the study's split and in those of its confirmation runs, or in each fold and of all folds."""
    labels = map_array(files.labels)
    sets = [(f"{part} set", files)]
    sets += [(f"{part} set of a confirmation run", each) for each in files.redrawn]
    if files.folds:
        sets = [(f"{part} set of fold {n}", each) for n, each in enumerate(files.folds, 1)]
    if files.whole is not None and part == "training":
        sets = [("training set of all folds", files.whole)]  # it has that of each fold
    for where, each in sets:
        rows = each.train_rows if part == "training" else each.validation_rows
        yield where, labels[map_array(rows)]
