"""What contradicts the study's objective or its loss, in [study], [train], [space], [[trial]]."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from harness.config.limits import COSTS
from harness.config.search_space import Choice, SearchSpace
from harness.config.study_tables import DataTable, StudyTable
from harness.metrics import OBJECTIVES
from harness.trial import TrialSpec

MAX_OBJECTIVES = 3
"""With more, nearly every trial is on the front."""


def find_objective_conflicts(
    study: StudyTable,
    data: DataTable,
    train: Mapping[str, Any],
    space: SearchSpace,
    settings: Sequence[Mapping[str, Any]],
) -> Iterator[tuple[str, str]]:
    """Yield the table to name, and a message that starts with the key."""
    objectives = OBJECTIVES[data.task]
    if study.objective not in objectives:
        kind = "classification" if data.task == "classes" else "regression"
        others = ", ".join(objectives)
        yield (
            "study",
            f"objective: {study.objective}, but this is a {kind} study; use one of {others}",
        )
    yield from _find_conflicts_of_several(study, data)
    losses = _list_values("loss", train, space, settings)
    if data.task == "classes" and "quantile" in losses:
        yield "train", "loss: quantile is for a regression; use cross-entropy, mse or bce"
    if "val/loss" in (study.objective, *study.objectives):
        if data.reshuffle and data.task == "regression":
            yield (
                "study",
                "objective: val/loss is in units of each fold's training targets, and with [data] "
                f"reshuffle each trial has other folds; use {objectives[0]}",
            )
        specs = [TrialSpec.from_dict({**train, **fields}) for fields in settings]
        for name, plural in (("loss", "losses"), ("target_transform", "target transforms")):
            reason = f"val/loss is not comparable between different {plural}; use {objectives[0]}"
            if name in space.sampled_fields:
                yield "space", f"{name}: {reason}"
            if len({getattr(spec, name) for spec in specs}) > 1:
                yield "study", f"objective: {reason}"
    yield from _find_quantile_conflicts(study, losses, train, space, settings)


def _find_conflicts_of_several(study: StudyTable, data: DataTable) -> Iterator[tuple[str, str]]:
    """What contradicts several objectives."""
    names = study.objectives
    if not names:
        return
    known = (*OBJECTIVES[data.task], *COSTS)
    if not 2 <= len(names) <= MAX_OBJECTIVES or len(set(names)) < len(names):
        yield "study", f"objectives: must be two or three different ones, not {json.dumps(names)}"
    elif names[0] not in OBJECTIVES[data.task]:
        others = ", ".join(OBJECTIVES[data.task])
        yield "study", f"objectives: {names[0]} cannot be the first; begin with one of {others}"
    elif names[0] != study.objective:
        problem = f"{study.objective}, but the first of objectives is {names[0]}"
        yield "study", f"objective: {problem}; leave it out"
    for name in names[1:]:
        if name not in known or name == "val/quantile_loss":
            yield "study", f"objectives: {name} cannot be one of several here; leave it out"
    if study.pruner != "none":
        yield (
            "study",
            f"pruner: {study.pruner} compares trials by one objective, and there are "
            f'{len(names)}; use "none", or leave it out',
        )
    if study.stop_when != "never":
        yield "study", "stop_when: judges one objective; leave it out, or leave out objectives"


def _find_quantile_conflicts(
    study: StudyTable,
    losses: set[Any],
    train: Mapping[str, Any],
    space: SearchSpace,
    settings: Sequence[Mapping[str, Any]],
) -> Iterator[tuple[str, str]]:
    """A level that nothing uses, and levels that cannot be compared."""
    levels = _list_values("quantile", train, space, settings)
    varies = "quantile" in space.sampled_fields or any("quantile" in each for each in settings)
    name = "val/loss" if study.objective == "val/loss" else "val/quantile_loss"
    if varies and len(levels) > 1 and study.objective == name:
        yield (
            "study",
            f"objective: {name} is not comparable between different levels; set one quantile in "
            "[train]",
        )
    if levels and "quantile" not in losses and study.objective != "val/quantile_loss":
        table = "space" if "quantile" in space.sampled_fields else "train"
        yield table, 'quantile: has no effect without loss = "quantile"; add that, or leave it out'


def _list_values(
    name: str, train: Mapping[str, Any], space: SearchSpace, settings: Sequence[Mapping[str, Any]]
) -> set[Any]:
    """List the values that the tables give a field: of a range its two ends."""
    values = {table[name] for table in (train, *settings) if name in table}
    dimension = space.dimensions.get(name)
    if isinstance(dimension, Choice):
        return values | set(dimension.values)
    return values if dimension is None else values | {dimension.low, dimension.high}
