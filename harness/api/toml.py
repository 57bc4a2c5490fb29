"""The text of a study file, from plain values."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from harness.api.space import Choice, Range


def to_plain(value: Any) -> Any:
    """Return a value as a study file has it: plain numbers, strings, lists and tables.

    Raises ValueError for anything else.
    """
    if isinstance(value, Range | Choice):
        value = value.to_plain()
    if isinstance(value, Mapping):
        return {str(key): to_plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple | range):
        return [to_plain(each) for each in value]
    if callable(getattr(value, "tolist", None)):  # NumPy's numbers and arrays
        value = value.tolist()
    if not isinstance(value, str | int | float | list):
        raise ValueError(f"{value!r} is not a number, a string, a list, or a dict of these")
    return value


def format_toml(tables: Mapping[str, Any]) -> str:
    """Format tables as TOML, each value on one line, in their order: it decides what is sampled.

    A list of tables is an array of tables.
    """
    import tomlkit

    document = tomlkit.document()
    for name, table in tables.items():
        if isinstance(table, list) and table:
            document.append(name, tomlkit.aot())
            for each in table:
                document[name].append(_format_table(each))
        elif table:
            document.append(name, _format_table(table))
    return tomlkit.dumps(document)


def _format_table(values: Mapping[str, Any]) -> Any:
    import tomlkit

    table = tomlkit.table()
    for name, value in values.items():
        key = _format_key(name)
        if isinstance(value, Mapping):
            inline = tomlkit.inline_table()
            inline.update(value)
            table.append(key, inline)
        else:
            table.append(key, value)
    return table


def _format_key(name: str) -> Any:
    """`arguments.width` is a dotted key, as it is written by hand, not one in quotes."""
    import tomlkit

    parts = name.split(".")
    is_dotted = len(parts) > 1 and all(re.fullmatch(r"[\w-]+", part, re.ASCII) for part in parts)
    return tomlkit.key(parts) if is_dotted else name
