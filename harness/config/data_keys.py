"""The [data] keys of a new study file: what a dataset needs that the defaults do not give."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from harness.data import builtin, custom
from harness.data.dataset_files import find_data_folder
from harness.data.types import DataOptions
from harness.errors import DataError, did_you_mean
from harness.results import Task

GUESSED = "guessed, for these are many numbers or no whole ones; or --task classes"


def choose_data_keys(
    data: str,
    target: str,
    ignore: Sequence[str],
    task: Task | None,
    data_dir: Path | None,
    sheet: str = "",
) -> tuple[dict[str, Any], dict[str, str]]:
    """The keys of [data] that this data needs, and a comment for some of them.

    Raises DataError.
    """
    if data in builtin.DATASETS or not custom.is_path(data):
        keys: dict[str, Any] = {"target": target, "ignore": list(ignore), "task": task or "classes"}
        keys["sheet"] = sheet
        return {key: value for key, value in keys.items() if value and value != "classes"}, {}
    path = custom.locate(data, find_data_folder(data_dir)[0])
    if path.is_dir():
        from harness.data import image_folder

        size, odd = image_folder.suggest_size(image_folder.list_images(path, data))
        keys = {"size": list(size)} if size else {}
        comments = {"size": f"height and width that all are brought to; {odd}"}
    elif path.suffix.lower() in custom.TABLE_SUFFIXES:
        from harness.data import tabular
        from harness.data.column_types import recognise_columns, replace_columns
        from harness.data.table_files import read_table

        options = DataOptions(target=target, ignore=tuple(ignore), sheet=sheet)
        table = read_table(path, data, options, strict=False)
        frame = table.frame
        if target not in frame.columns:
            known = did_you_mean(target, frame.columns)
            raise DataError(
                f"--target: {data} has no column '{target}'{known}"
                if target
                else f"--target: {data} is a table; name the column to predict{known}"
            )
        numbers = recognise_columns(frame, table.separator, options.decimal)
        frame = replace_columns(frame, numbers)
        useless = tabular.find_useless_columns(frame.drop(columns=target))
        keys = {"ignore": [*ignore, *useless]} if ignore or useless else {}
        comments = {"ignore": ", ".join(f"{name}: {what}" for name, what in useless.items())}
        if table.sheet:
            keys["sheet"], comments["sheet"] = table.sheet, table.other_sheets
        if task is None and (task := tabular.guess_task(frame[target])) == "regression":
            comments["task"] = GUESSED
    else:
        from harness.data import npz

        keys, comments = {}, {}
        if task is None and (task := npz.guess_task(path, data)) == "regression":
            comments["task"] = GUESSED
    if target:
        keys["target"] = target
    if sheet:
        keys["sheet"] = sheet
    if ignore:
        keys.setdefault("ignore", list(ignore))
    if task == "regression":
        keys["task"] = task
    return keys, comments
