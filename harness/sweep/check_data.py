"""Refuse settings that cannot be trained on a study's data, before anything is written."""

from __future__ import annotations

from harness.config.schema import StudyConfig
from harness.data.cache import map_array
from harness.data.prepare import PreparedDataset
from harness.data.training_files import TrainingFiles
from harness.errors import ConfigError
from harness.models.target_transform import explain_log

MIN_ENSEMBLE_EXAMPLES = 4
"""Validation examples that an ensemble needs."""


def check_data(config: StudyConfig, prepared: PreparedDataset) -> None:
    """Raise ConfigError for settings that this data does not allow."""
    _check_batch_size(config, prepared.sizes["train"])
    _check_ensemble(config, prepared.sizes["validation"])
    _check_augmentation(config, prepared.training.shape)
    _check_target_transform(config, prepared.training)


def _check_batch_size(config: StudyConfig, examples: int) -> None:
    largest = config.find_largest("batch_size")
    if largest > examples:
        raise ConfigError(
            f"{config.source}: batch_size {largest} is more than the {examples:,} "
            f"training examples of '{config.data.name}'; choose a smaller one"
        )


def _check_ensemble(config: StudyConfig, examples: int) -> None:
    if config.ensemble.size and examples < MIN_ENSEMBLE_EXAMPLES:
        raise ConfigError(
            f"{config.source}: [ensemble]: needs {MIN_ENSEMBLE_EXAMPLES} validation "
            f"examples, two for each half, and '{config.data.name}' has {examples}; use a "
            "larger [data] validation, or leave [ensemble] out"
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
    labels = map_array(files.labels)
    for each in (files, *files.redrawn):
        targets = labels[map_array(each.train_rows)]
        if targets.min() <= 0:
            where = "training set" if each is files else "training set of a confirmation run"
            reason = explain_log(targets.min().item(), where)
            raise ConfigError(f"{config.source}: {reason}")
