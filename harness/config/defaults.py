"""The defaults of a study file that depend on other keys."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from harness.config.schema import GRID_OR_LIST
from harness.metrics import OBJECTIVE_NAMES, OBJECTIVES

ENSEMBLE_SIZE = 16
"""The size of an ensemble where [ensemble] does not say it."""


def set_defaults(tables: dict[str, dict[str, Any]], trials: Sequence[Any]) -> None:
    """Fill in the defaults that depend on other keys."""
    study = tables["study"]
    objectives = study.get("objectives")
    if isinstance(objectives, list) and objectives:
        if objectives[0] in OBJECTIVE_NAMES:
            study.setdefault("objective", objectives[0])
        study.setdefault("pruner", "none")
    if tables["data"].get("task") == "regression":
        is_quantile = tables["train"].get("loss") == "quantile"
        default = "val/quantile_loss" if is_quantile else OBJECTIVES["regression"][0]
        study.setdefault("objective", default)
        if "loss" not in tables["space"]:
            tables["train"].setdefault("loss", "mse")
    if tables["ensemble"]:
        tables["ensemble"].setdefault("size", ENSEMBLE_SIZE)
    if trials:
        study.setdefault("sampler", "list")
    if study.get("sampler") in GRID_OR_LIST:
        study.setdefault("pruner", "none")
    elif tables["data"].get("folds"):
        # All examples have validated already: a confirmation shows the variance of seeds alone.
        tables["confirm"].setdefault("seeds", 0)
        tables["confirm"].setdefault("resample", False)
