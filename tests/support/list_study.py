"""A small study of two settings over three seeds, as a list of [[trial]] tables."""

from __future__ import annotations

from pathlib import Path

from tests.support.digits_study import SHORT, write_study

LIST = f"""
[study]
seeds = 3
seed = 5
{SHORT}
learning_rate = 3e-3
[[trial]]
name = "linear"
hidden = []
[[trial]]
hidden = [24]
batch_norm = "before"
"""


def write(folder: Path, text: str = LIST) -> Path:
    return write_study(folder, "list", text)
