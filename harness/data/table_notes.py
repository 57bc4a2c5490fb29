"""What became of the columns of a table, for people."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from harness.data.column_kinds import ColumnPlan
from harness.data.column_types import join_names
from harness.data.similar_names import describe_similar_names
from harness.data.table import Table, format_toml_key
from harness.data.table_features import is_plain
from harness.data.types import DataOptions
from harness.scoring.table_transform import TableTransform

if TYPE_CHECKING:
    import pandas as pd

MAX_EXAMPLE = 24
"""Characters of an example on record."""
MAX_NAME, MAX_SHOWN, MAX_ROWS = 20, 14, 60
"""Characters of a name and of an example in a terminal, and the columns that are shown there."""


def build_report(
    table: Table, plans: Sequence[ColumnPlan], features: TableTransform, options: DataOptions
) -> tuple[dict[str, Any], ...]:
    """Return a row for each column: name, kind, missing, distinct, example, treatment."""
    names = {each.column.name: each.names for each in features.columns}
    treatments = {options.group: ("group", "stays together in one split")}
    treatments |= {
        plan.name: (
            plan.kind,
            f"left out: {plan.reason}" if plan.column is None else _count_features(names[plan.name])
        )
        for plan in plans
    }  # fmt: skip
    treatments |= {options.target: ("target", "is predicted")}
    rows = [_describe_column(table.frame[name], *treatments[name]) for name in table.frame.columns]
    if table.ignored is not None:
        ignored = table.ignored.loc[:, ~table.ignored.columns.duplicated()]
        rows += [_describe_column(ignored[name], "ignored", "left out") for name in ignored.columns]
    return tuple(rows)


def _describe_column(values: pd.Series, kind: str, treatment: str) -> dict[str, Any]:
    known = values.dropna()
    return {
        "column": str(values.name),
        "kind": kind,
        "missing": len(values) - len(known),
        "distinct": int(known.map(str).nunique()),
        "example": _shorten(known.iloc[0]) if len(known) else "",
        "treatment": treatment,
    }


def format_report(report: Sequence[Mapping[str, Any]], width: int) -> str:
    """Format the rows as a table for a terminal; long cells are cut, and so are many rows."""
    head = ["column", "kind", "missing", "distinct", "example", "becomes"]
    rows = [list(map(str, row.values())) for row in report[:MAX_ROWS]]
    for row in rows:
        row[0], row[4] = _cut(row[0], MAX_NAME), _cut(row[4], MAX_SHOWN)
        row[2], row[3] = f"{int(row[2]):,}", f"{int(row[3]):,}"
    widths = [max(len(row[place]) for row in (head, *rows)) for place in range(len(head))]
    lines = []
    for row in (head, *rows):
        cells = [
            f"{cell:>{size}}" if place in (2, 3) else f"{cell:<{size}}"
            for place, (cell, size) in enumerate(zip(row, widths, strict=True))
        ]
        lines.append(_cut("  ".join(cells).rstrip(), width))
    more = len(report) - MAX_ROWS
    return "\n".join([*lines, *([f"and {more:,} more columns"] if more > 0 else [])])


def _cut(text: str, length: int) -> str:
    return text if len(text) <= length else f"{text[: length - 1]}…"


def _count_features(names: Sequence[str]) -> str:
    return "1 feature" if len(names) == 1 else f"{len(names)} features"


def _shorten(value: object) -> str:
    text = " ".join(str(value).split())
    return text if len(text) <= MAX_EXAMPLE else f"{text[: MAX_EXAMPLE - 3]}..."


def describe_columns(
    name: str, plans: Sequence[ColumnPlan], table: TableTransform, missing: Sequence[str]
) -> list[str]:
    """Return notes on what was guessed, filled and left out.

    `missing`: the texts of the table that count as missing.
    """
    columns = [each for each in table.columns if each.names]
    notes = []
    counts = [
        f"{each.column.name} {len(each.levels)}"
        for each in columns
        if each.column.kind == "category" and not each.is_pooled
    ]
    if not is_plain(table):
        kinds = Counter(each.column.kind for each in columns)
        listed = ", ".join(f"{count} {kind}" for kind, count in kinds.items())
        notes.append(f"{name}: kinds of columns: {listed}; to change one, set [data.columns]")
    elif counts:
        used, features = len(columns), len(table.names)
        notes.append(
            f"{name}: {used} {'columns' if used > 1 else 'column'} became "
            f"{features:,} {'features' if features > 1 else 'feature'}, one for "
            f"each category of a text column ({join_names(counts)})"
        )
    notes += [*_describe_pooled(name, table), *_describe_missing(name, table, missing)]
    notes += [
        f"{name}: '{plan.name}': {plan.note.removeprefix('!')}" for plan in plans if plan.note
    ]
    notes += _describe_times(name, table) + _describe_left_out(name, plans)
    notes += (
        f"{name}: the feature '{feature}' is a difference, because float32 cannot tell the "
        "column's values apart"
        for feature in list_shifts(table)
    )
    categories = [
        feature
        for each in columns
        if each.column.kind in ("category", "boolean")
        for feature in each.names
    ]
    return [*notes, *describe_similar_names(categories, name, "categories")]


def list_shifts(table: TableTransform) -> list[str]:
    """Return the features of numbers from which an offset was subtracted."""
    return [each.names[0] for each in table.columns if each.column.kind == "number" and each.offset]


def _describe_pooled(name: str, table: TableTransform) -> list[str]:
    return [
        f"{name}: column '{each.column.name}' has {len(each.column.levels):,} different texts: at "
        f"most {each.column.limit} that the training set repeats become features, all others share "
        f"one; for more features, set [data] max_categories = {len(each.column.levels)}"
        for each in table.columns
        if each.is_pooled
    ]


def _describe_missing(name: str, table: TableTransform, texts: Sequence[str]) -> list[str]:
    counts = [each.column.name for each in table.columns if each.has_missing]
    if not counts:
        return []
    listed = join_names([f"'{text}'" for text in texts])
    many = len(texts) > 1
    counted = (
        f"; the {'texts' if many else 'text'} {listed} {'count' if many else 'counts'} as "
        f"missing; to keep {'them' if many else 'it'} as text, set [data] missing = []"
        if texts
        else ""
    )
    return [
        f"{name}: missing values in {join_names(counts)}: an extra feature marks them, and "
        f"numbers are filled with the training set's median{counted}"
    ]


def _describe_times(name: str, table: TableTransform) -> list[str]:
    dates = [each.column.name for each in table.columns if each.column.kind == "date"]
    times = [each.column.name for each in table.columns if each.column.kind == "time"]
    notes = []
    if dates:
        notes.append(
            f"{name}: dates in {join_names(dates)} become days since the first one, and year, "
            f"month, weekday and hour where they vary"
        )
    if times:
        notes.append(f"{name}: times in {join_names(times)} become hours since midnight")
    return notes


def _describe_left_out(name: str, plans: Sequence[ColumnPlan]) -> list[str]:
    guessed = [plan for plan in plans if plan.column is None and plan.kind != "ignored"]
    if not guessed:
        return []
    listed = join_names([f"{plan.name} ({plan.reason})" for plan in guessed])
    usable = [plan for plan in guessed if plan.kind != "empty"]
    advice = (
        f'; to use one, set [data.columns] {format_toml_key(usable[0].name)} = "category"'
        if usable
        else ""
    )
    return [f"{name}: left out {listed}{advice}"]
