"""The table of `generalise.py`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any


def format_table(rows: Sequence[dict[str, Any]]) -> str:
    return f"{len(rows)} rows"
