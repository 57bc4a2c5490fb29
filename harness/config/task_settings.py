"""Check the settings that only a classification or only a regression has."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from harness.config.schema import TRIAL_TABLE
from harness.config.search_space import Choice, SearchSpace
from harness.config.study_tables import DataTable, StudyTable
from harness.trial import REGRESSION_LOSSES


def find_regression_conflicts(
    study: StudyTable,
    data: DataTable,
    train: Mapping[str, Any],
    space: SearchSpace,
    settings: Iterable[Mapping[str, Any]],
) -> Iterator[tuple[str, str]]:
    """What only a classification has: the table to name, and a message."""
    if study.calibrated:
        yield "study", "calibrated: a regression has no probabilities; leave it out"
    if data.classes:
        yield "data", "classes: a regression has none; leave them out"
    names = ("loss", "label_smoothing", "class_weights")
    for table, fields in _list_tables(train, space, settings, names):
        if (loss := fields.get("loss", "mse")) not in REGRESSION_LOSSES:
            yield table, f"loss: {loss} is for classification; a regression uses mse, leave it out"
        if fields.get("label_smoothing"):
            yield table, "label_smoothing: a regression has no classes to smooth; leave it out"
        if fields.get("class_weights", "none") != "none":
            yield table, "class_weights: a regression has no classes to weight; leave it out"


def find_class_conflicts(
    train: Mapping[str, Any], space: SearchSpace, settings: Iterable[Mapping[str, Any]]
) -> Iterator[tuple[str, str]]:
    """What only a regression has."""
    for table, fields in _list_tables(train, space, settings, ("target_transform",)):
        if fields.get("target_transform", "standard") != "standard":
            yield table, "target_transform: is for a regression; leave it out"


def _list_tables(
    train: Mapping[str, Any],
    space: SearchSpace,
    settings: Iterable[Mapping[str, Any]],
    names: Iterable[str],
) -> list[tuple[str, Mapping[str, Any]]]:
    """The tables of settings by name, and each sampled value of some fields as a table."""
    tables = [("train", train), *((TRIAL_TABLE, fields) for fields in settings)]
    tables += [("space", {name: value}) for name in names for value in _largest_values(space, name)]
    return tables


def _largest_values(space: SearchSpace, name: str) -> tuple[Any, ...]:
    """The values of a choice, or the upper end of a range; nothing for what is not sampled."""
    dimension = space.dimensions.get(name)
    if dimension is None:
        return ()
    return dimension.values if isinstance(dimension, Choice) else (dimension.high,)
