"""Read the cells of an Excel file: those of one sheet that is not hidden."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

from harness.data.excel_header import read_header
from harness.data.table import Table
from harness.data.types import DataOptions
from harness.errors import DataError, did_you_mean


def read_excel(path: Path, name: str, options: DataOptions) -> tuple[list[str], Table]:
    """Return the columns' names and the table. Raises DataError, and what openpyxl raises."""
    import pandas as pd

    cells: dict[str, Any] = {"keep_default_na": False, "na_values": ["", *options.missing]}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # openpyxl's, about colours and the like
        with pd.ExcelFile(path, engine="openpyxl") as book:
            sheets = {each.title: each.sheet_state == "visible" for each in book.book.worksheets}
            headers = {sheet: read_header(book.book[sheet], path) for sheet in sheets}
            heads = {sheet: header.names for sheet, header in headers.items()}
            sheet = _choose_sheet(name, sheets, heads, options)
            header = headers[sheet]
            if header.is_plain:
                frame = book.parse(sheet, **cells)
            else:
                below = header.row + header.rows
                frame = book.parse(sheet, header=None, skiprows=below, **cells)
                frame.columns = pd.Index(_make_distinct(header.names, frame.shape[1]))
    notes = [f"{name}: {header.note}"] if header.note else []
    first_row = 1 + header.row + header.rows
    if len(sheets) == 1:
        return heads[sheet], Table(frame, tuple(notes), first_row=first_row)
    others = ", ".join(
        f"'{each}'" + ("" if sheets[each] else " (hidden)") for each in sheets if each != sheet
    )
    values = (f"sheet '{sheet}'",) if sheet != next(iter(sheets)) else ()
    reason = f"the first visible one with the column '{options.target}', not {others}"
    chosen = [
        f"{name}: read sheet '{sheet}', {reason}; to read another, set [data] sheet = \"NAME\""
    ]
    notes += [] if options.sheet else chosen
    return heads[sheet], Table(
        frame, tuple(notes), values, first_row=first_row, sheet=sheet, sheet_reason=reason
    )


def _make_distinct(names: list[str], width: int) -> list[str]:
    """Return `width` names as pandas makes them: the second `id` is `id.1`."""
    distinct: list[str] = []
    for place in range(width):
        name = names[place] if place < len(names) else "nan"
        name = f"Unnamed: {place}" if name == "nan" else name
        repeats = names[:place].count(name)
        distinct.append(f"{name}.{repeats}" if repeats else name)
    return distinct


def _choose_sheet(
    name: str, sheets: dict[str, bool], heads: dict[str, list[str]], options: DataOptions
) -> str:
    """Return the chosen sheet, else the first visible one that has the target."""
    if options.sheet:
        if options.sheet not in sheets:
            raise DataError(
                f"[data] sheet: {name} has no sheet '{options.sheet}'"
                f"{did_you_mean(options.sheet, sheets)}"
            )
        return options.sheet
    visible = [sheet for sheet, is_visible in sheets.items() if is_visible] or list(sheets)
    with_target = [sheet for sheet in visible if options.target in heads[sheet]]
    if not with_target and len(sheets) > 1 and options.target:
        hidden = [sheet for sheet in sheets if sheet not in visible]
        listed = ", ".join(
            f"'{sheet}' ({', '.join(heads[sheet][:3]) or 'empty'})" for sheet in visible
        )
        more = f"; hidden: {', '.join(hidden)}" if hidden else ""
        raise DataError(
            f"[data] target: no sheet of {name} has the column '{options.target}'; its sheets and "
            f'their first columns: {listed}{more}; to choose one, set [data] sheet = "NAME"'
        )
    return (with_target or visible)[0]
