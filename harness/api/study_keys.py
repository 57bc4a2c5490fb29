"""The keys of [study] and [data] in a study file, as keyword arguments of `harness.Study`."""

from __future__ import annotations

from typing import Literal, TypedDict

from harness.results import Cost, Objective, Task


class StudyKeys(TypedDict, total=False):
    """The keys of [study] and [data], apart from `name`. See the reference of study files."""

    description: str
    minutes: float
    trials: int
    objective: Objective
    objectives: list[Objective | Cost]
    sampler: Literal["tpe", "gp", "random", "qmc", "grid", "list"]
    seeds: int
    seed: int
    pruner: Literal["none", "median", "successive-halving", "hyperband", "wilcoxon"]
    calibrated: bool
    warm_start: str
    timeout: str | float
    stop_when: str
    hung_after: str | float
    task: Task
    target: str
    ignore: list[str]
    columns: dict[str, str]
    group: str
    time: str
    stratify: bool
    size: list[int]
    sheet: str
    encoding: str
    decimal: Literal["", ".", ","]
    missing: list[str]
    max_categories: int
    validation: float
    folds: int
    reshuffle: bool
    test: float
    own_test: bool
    own_validation: bool
    classes: list[str]
    drop_duplicates: bool
    split_seed: int
    normalize: bool | Literal["robust", "quantile"]
