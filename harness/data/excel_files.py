"""Read the cells of an Excel file: those of one sheet that is not hidden."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

from harness.data.table import Table
from harness.data.types import DataOptions
from harness.errors import DataError, did_you_mean


def read_excel(path: Path, name: str, options: DataOptions) -> tuple[list[str], Table]:
    import pandas as pd

    cells: dict[str, Any] = {"keep_default_na": False, "na_values": ["", *options.missing]}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # openpyxl's, about colours and the like
        with pd.ExcelFile(path, engine="openpyxl") as book:
            sheets = {each.title: each.sheet_state == "visible" for each in book.book.worksheets}
            heads = {
                sheet: [str(each) for row in book.parse(sheet, header=None, nrows=1).values
                        for each in row]
                for sheet in sheets
            }  # fmt: skip
            sheet = _choose_sheet(name, sheets, heads, options)
            frame = book.parse(sheet, **cells)
    if len(sheets) == 1:
        return heads[sheet], Table(frame)
    others = ", ".join(
        f"'{each}'" + ("" if sheets[each] else " (hidden)") for each in sheets if each != sheet
    )
    values = (f"sheet '{sheet}'",) if sheet != next(iter(sheets)) else ()
    reason = f"the first visible one with the column '{options.target}', not {others}"
    notes = [f"{name}: read sheet '{sheet}', {reason}; choose another by [data] sheet = \"...\""]
    notes = [] if options.sheet else notes
    return heads[sheet], Table(frame, tuple(notes), values, sheet=sheet, sheet_reason=reason)


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
            f"[data] target: no sheet of {name} has the column '{options.target}': {listed}{more}; "
            'choose one by [data] sheet = "..."'
        )
    return (with_target or visible)[0]
