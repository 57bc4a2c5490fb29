"""Read a Parquet or Feather file with the types of its columns.

Such a file has the type of each column, so nothing is guessed. Columns of lists, records or bytes
are refused by name.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from harness.data.table import Table, format_toml_list
from harness.data.types import MISSING_TEXTS, DataOptions
from harness.errors import DataError

if TYPE_CHECKING:
    import pyarrow as pa

ARROW_SUFFIXES = (".parquet", ".feather")


def read_arrow(path: Path, name: str, options: DataOptions) -> tuple[list[str], Table]:
    """Return the columns' names and the table.

    A pandas index with a name is a column, and one without is left out. The texts that count as
    missing in a CSV file are texts here, unless [data] missing names them. Raises DataError.
    """
    import pyarrow.feather
    import pyarrow.parquet

    if path.suffix.lower() == ".parquet":
        table = pyarrow.parquet.ParquetFile(path).read()  # read_table refuses two equal names
    else:
        table = pyarrow.feather.read_table(path)
    numbers = _check_types(table, name, options)
    frame = table.to_pandas(date_as_object=False)
    named = [each for each in frame.index.names if each is not None]
    frame = (frame.reset_index(level=named) if named else frame).reset_index(drop=True)
    frame.columns = [str(each) for each in frame.columns]
    for column in numbers & {*frame.columns}:
        frame[column] = frame[column].astype("float64")
    if options.missing != MISSING_TEXTS:
        frame = frame.replace(list(options.missing), None)
    return [*frame.columns], Table(frame)


def _check_types(table: pa.Table, name: str, options: DataOptions) -> set[str]:
    """Return the columns of decimal numbers, and of integers with missing values.

    Raises DataError for a column of another kind than numbers, texts, dates and times.
    """
    from pyarrow import types

    numbers = set()
    for field in table.schema:
        kind = field.type
        is_bytes = types.is_binary(kind) or types.is_large_binary(kind)
        if (types.is_nested(kind) or is_bytes) and field.name not in options.ignore:
            raise DataError(
                f"{name}: column '{field.name}' holds {kind} values, which are not supported; "
                f"leave it out by [data] ignore = {format_toml_list(field.name)}"
            )
        has_gaps = types.is_integer(kind) and table.schema.names.count(field.name) == 1
        if types.is_decimal(kind) or (has_gaps and table[field.name].null_count):
            numbers.add(field.name)
    return numbers
