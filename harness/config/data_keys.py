"""The [data] keys of a new study file: what a dataset needs that the defaults do not give."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

from harness.config.overrides import apply_override
from harness.config.schema import TABLES
from harness.config.study_tables import DataTable
from harness.config.validation import parse_table
from harness.data import builtin, custom
from harness.data.dataset_files import find_data_folder
from harness.data.types import DataOptions
from harness.errors import ConfigError, DataError, did_you_mean
from harness.results import Task

GUESSED = "guessed, because the target has many different numbers, or fractions"
OWN_VALIDATION = "the data comes with a validation set"


def choose_data_keys(
    data: str,
    target: str,
    ignore: Sequence[str],
    task: Task | None,
    data_dir: Path | None,
    more: Mapping[str, Any] = MappingProxyType({}),
) -> tuple[dict[str, Any], dict[str, str]]:
    """The keys of [data] that this data needs, and a comment for some of them.

    `more`: further keys, which the user has chosen. Raises DataError.
    """
    if data in builtin.DATASETS or not custom.is_path(data):
        keys: dict[str, Any] = {"target": target, "ignore": list(ignore), "task": task or "classes"}
        keys = {key: value for key, value in keys.items() if value and value != "classes"}
        return {**keys, **more}, {}
    path, has_validation = custom.locate(data, find_data_folder(data_dir)[0]), False
    if path.is_dir():
        from harness.data import image_folder

        images = image_folder.list_images(path, data)
        size, odd = image_folder.suggest_size(images)
        has_validation = bool(images.validation)
        keys = {"size": list(size)} if size else {}
        comments = {"size": f"all images are resized to this height and width; {odd}"}
    elif path.suffix.lower() in custom.TABLE_SUFFIXES:
        from harness.data.column_types import join_names
        from harness.data.table_files import read_table
        from harness.data.table_guesses import find_useless_columns, guess_task
        from harness.data.tabular import plan_columns

        known = {key: value for key, value in more.items() if key in custom.TABLE_KEYS}
        options = DataOptions.of(target=target, ignore=list(ignore), **known)
        table = read_table(path, data, options, strict=False)
        frame = table.frame
        if target not in frame.columns:
            names = did_you_mean(target, frame.columns)
            raise DataError(
                f"--target: {data} has no column '{target}'{names}"
                if target
                else f"--target: {data} is a table; name the column to predict{names}"
            )
        goal: Task = "classes" if task == "classes" else "regression"
        plans, table = plan_columns(table, data, replace(options, task=goal))
        frame = table.frame
        useless = find_useless_columns(frame, plans, options)
        keys = {"ignore": [*ignore, *useless]} if ignore or useless else {}
        reasons = [f"{name} {what}" for name, what in useless.items()]
        if len(useless) == len(frame.columns) - 1:
            reasons += [f"{name} is left out by --ignore" for name in ignore]
            why = join_names(reasons) or "it has no other"
            raise DataError(f"{data}: no column is left except the target '{target}': {why}")
        comments = {"ignore": "; ".join(reasons)} if reasons else {}
        if table.sheet and not options.sheet:
            keys["sheet"], comments["sheet"] = table.sheet, table.sheet_reason
        if task is None and (task := guess_task(frame[target])) == "regression":
            comments["task"] = GUESSED
    else:
        from harness.data import npz

        keys, comments = {}, {}
        has_validation = "val" in npz.list_parts(path, data)
        if task is None and (task := npz.guess_task(path, data)) == "regression":
            comments["task"] = GUESSED
    if has_validation and "validation" not in more:
        keys["own_validation"], comments["own_validation"] = True, OWN_VALIDATION
    if target:
        keys["target"] = target
    if ignore:
        keys.setdefault("ignore", list(ignore))
    if task == "regression":
        keys["task"] = task
    return {**keys, **more}, {key: why for key, why in comments.items() if key not in more}


def parse_data_overrides(data: str, overrides: Sequence[str]) -> dict[str, Any]:
    """Parse --set data.KEY=VALUE of `harness new-study`. Raises ConfigError."""
    tables: dict[str, dict[str, Any]] = {name: {} for name in TABLES}
    for override in overrides:
        table, key = apply_override(override, tables, ())
        if table != "data" or key == "name":
            raise ConfigError(
                f"--set {override}: new-study takes keys of [data] only, and not the name; "
                "set other keys in the study file"
            )
        if key == "folds":
            raise ConfigError(
                f"--set {override}: set it in the study file, in place of validation and [ensemble]"
            )
        if key in ("target", "ignore", "task"):
            raise ConfigError(f"--set {override}: use the option --{key} instead")
    try:
        parse_table(DataTable, {"name": data, **tables["data"]})
    except ValueError as error:
        raise ConfigError(f"--set data.{error}") from None
    return tables["data"]
