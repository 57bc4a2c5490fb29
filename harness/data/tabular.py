"""Read a table as cells and labels, see `harness.scoring.column`.

Columns of numbers are kept, True and False become 1 and 0, and a column of texts becomes one
feature of 0 and 1 for each of its values, named `column=value` (one-hot). The first row has the
columns' names. What is fitted, such as the median that stands for a missing value, is fitted on the
training set of each split, by `harness.data.table_features`.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from harness.data.column_kinds import ColumnPlan, plan_column
from harness.data.column_types import (
    describe_numbers,
    join_names,
    replace_columns,
    shorten_description,
)
from harness.data.split_columns import read_groups, read_times
from harness.data.table import Table
from harness.data.table_files import read_table
from harness.data.table_labels import encode_labels, find_label_type
from harness.data.table_notes import build_report, describe_columns, list_shifts
from harness.data.types import DataOptions, DatasetArrays
from harness.errors import DataError, did_you_mean
from harness.scoring.table_transform import fit_transform

if TYPE_CHECKING:
    import pandas as pd


def decode(path: Path, name: str, options: DataOptions) -> DatasetArrays:
    """Decode the table in a file. Raises DataError if it cannot be trained on."""
    table = read_table(path, name, _keep_split_columns(options))
    texts = list_missing_texts(table.frame, path, name, options)
    return decode_table(table, name, options, texts)


def decode_table(
    table: Table, name: str, options: DataOptions, missing: list[str]
) -> DatasetArrays:
    """Decode a table. `missing`: its texts that count as missing. Raises DataError."""
    frame, target = table.frame, options.target
    check_columns(frame, name, options)
    known = frame[target].notna().to_numpy()
    if not known.any():
        raise DataError(f"[data] target: column '{target}' of {name} is empty")
    plans, table = plan_columns(table, name, options)
    used = [plan for plan in plans if plan.column is not None]
    if not used:
        raise _nothing_left_error(plans, name, options)
    cells = np.stack([plan.cells for plan in used], 1)[known]
    columns = [plan.column for plan in used if plan.column is not None]
    layout = fit_transform(columns, cells, options.missing)
    labels, classes = encode_labels(
        table.frame[target][known], table.read_numbers(target, options), name, options,
        table.first_row,
    )  # fmt: skip
    marks = describe_numbers(table.numbers, options.decimal)
    notes = [*table.notes, *(f"{name}: {mark}" for mark in marks)]
    notes += describe_columns(name, plans, layout, missing)
    if dropped := int((~known).sum()):
        rows = "row has" if dropped == 1 else "rows have"
        notes.append(f"{name}: {dropped:,} {rows} no value of '{target}', and are left out")
    pooled = [
        f"'{each.column.name}' by {each.column.limit} categories"
        for each in layout.columns
        if each.is_pooled
    ]
    return DatasetArrays(
        cells, labels, None, classes, 1.0,
        target=target,
        notes=tuple(notes),
        values=(*table.values, *map(shorten_description, marks), *list_shifts(layout), *pooled),
        table=layout,
        label_type=find_label_type(table.frame[target]),
        report=build_report(replace(table, frame=frame), plans, layout, options),
        groups=read_groups(frame[known], name, options),
        times=read_times(frame[known], name, options),
    )  # fmt: skip


def plan_columns(table: Table, name: str, options: DataOptions) -> tuple[list[ColumnPlan], Table]:
    """Decide what becomes of each column but the target; return the table with numbers read."""
    frame, kinds = table.frame, dict(options.columns)
    left_out = {options.target, options.group} - kinds.keys()
    columns = [str(each) for each in frame.columns if each not in left_out]
    columns = [each for each in columns if each not in options.ignore]
    guessed = [each for each in columns if kinds.get(each, "number") == "number"]
    if options.task == "regression":
        guessed.append(options.target)
    numbers = table.recognise_numbers(guessed, options.decimal)
    table = replace(table, numbers=numbers)
    plans = [
        plan_column(frame[column], numbers.get(column), name, options, table.first_row)
        for column in columns
    ]
    return plans, replace(table, frame=replace_columns(frame, numbers))


def check_columns(frame: pd.DataFrame, name: str, options: DataOptions) -> None:
    """Raise DataError if a column that [data] names is not there, or is the target."""
    target = options.target
    if target not in frame.columns:
        known = did_you_mean(target, frame.columns)
        raise DataError(
            f"[data] target: {name} has no column '{target}'{known}"
            if target
            else f"[data] target: {name} is a table: name the column to predict{known}"
        )
    named = [("columns", column) for column, _ in options.columns if column not in options.ignore]
    named += [(key, getattr(options, key)) for key in ("group", "time") if getattr(options, key)]
    for key, column in named:
        if column not in frame.columns:
            where = "[data.columns]" if key == "columns" else f"[data] {key}"
            raise DataError(
                f"{where}: {name} has no column '{column}'{did_you_mean(column, frame.columns)}"
            )
        if column == target and key == "columns":
            raise DataError(
                f"[data.columns] {column}: is the target; [data] task says how it is read"
            )


def list_missing_texts(
    frame: pd.DataFrame, path: Path, name: str, options: DataOptions
) -> list[str]:
    """Return the texts of a file that count as missing, sorted."""
    columns = [column for column, count in frame.isna().sum().items() if count]
    if not columns or not options.missing:
        return []
    cells = read_table(path, name, replace(_keep_split_columns(options), missing=())).frame
    texts = {
        str(text)
        for column in columns
        for text in cells[column][frame[column].isna()].dropna().unique()
    }
    return sorted(texts)


def _keep_split_columns(options: DataOptions) -> DataOptions:
    """Return the options, without the columns to ignore that the splits are made by."""
    kept = {options.group, options.time}
    return replace(options, ignore=tuple(each for each in options.ignore if each not in kept))


def _nothing_left_error(plans: list[ColumnPlan], name: str, options: DataOptions) -> DataError:
    ignored = [f"'{each}'" for each in options.ignore]
    reasons = [f"[data] ignore leaves out {join_names(ignored)}"] if ignored else []
    guessed = [plan for plan in plans if plan.kind != "ignored"]
    reasons += [f"{plan.name} {plan.reason}" for plan in guessed]
    reasons += [f"[data.columns] leaves out {plan.name}" for plan in plans if plan not in guessed]
    return DataError(
        f"{name}: no column is left except the target '{options.target}': "
        f"{join_names(reasons) or 'it has no other'}"
    )
