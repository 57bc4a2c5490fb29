"""What a study's task takes: the objectives and losses of classes, and those of a regression."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from harness.config.schema import DataTable, StudyTable
from harness.config.search_space import Choice, Space
from harness.metrics import OBJECTIVES

Problem = tuple[str, str]
"""The table, and a message that begins with the key."""


def with_defaults(tables: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """The same tables with what a regression goes by where they say nothing: val/rmse, and mse."""
    if tables["data"].get("task") == "regression":
        tables["study"].setdefault("objective", OBJECTIVES["regression"][0])
        if "loss" not in tables["space"]:
            tables["train"].setdefault("loss", "mse")
    return tables


def contradictions(
    study: StudyTable,
    data: DataTable,
    train: Mapping[str, Any],
    space: Space,
    settings: Iterable[Mapping[str, Any]],
) -> Iterable[Problem]:
    """What does not go with [data] task, in one line each."""
    known = OBJECTIVES[data.task]
    if study.objective not in known:
        does = "tells classes apart" if data.task == "classes" else "is a regression"
        others = " or ".join(known)
        yield "study", f"objective: {study.objective}, but the study {does}; use {others}"
    if data.task == "classes":
        return
    if data.classes:
        yield "data", "classes: a regression has none; leave them out"
    given = [("train", train), *(("trial", each) for each in settings)]
    given += [
        ("space", {name: value})
        for name in ("loss", "label_smoothing")
        for value in _drawn(space, name)
    ]
    for table, values in given:
        if (loss := values.get("loss", "mse")) != "mse":
            yield table, f"loss: {loss} tells classes apart; a regression takes mse, leave it out"
        if values.get("label_smoothing"):
            yield table, "label_smoothing: a regression has no classes to smooth; leave it out"


def _drawn(space: Space, name: str) -> tuple[Any, ...]:
    """Values that a field takes: a choice's all, of a range its upper end."""
    dimension = space.dimensions.get(name)
    if dimension is None:
        return ()
    return tuple(dimension.values) if isinstance(dimension, Choice) else (dimension.high,)
