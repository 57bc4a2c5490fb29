"""A small study of two settings over three seeds, as a list of [[trial]] tables."""

from __future__ import annotations

from pathlib import Path

LIST = """
[study]
seeds = 3
seed = 5
[data]
name = "digits"
validation = 0.2
[train]
epochs = 3
batch_size = 32
learning_rate = 3e-3
[[trial]]
name = "linear"
hidden = []
[[trial]]
hidden = [24]
batch_norm = "before"
"""


def write(folder: Path, text: str = LIST) -> Path:
    path = folder / "list.toml"
    path.write_text(text)
    return path
