"""Small studies of scikit-learn's digits, whose trials take a second or less."""

from __future__ import annotations

from pathlib import Path

STUDY = """# harness run-study tiny
[study]
trials = 6
pruner = "none"
[data]
name = "digits"
validation = 0.2
[train]
epochs = 3
[space]
depth = { low = 1, high = 2 }
width = { low = 8, high = 32 }
learning_rate = { low = 1e-3, high = 1e-1, log = true }
batch_norm = ["none", "before", "after"]
"""
"""Six trials."""
SHORT = """
[data]
name = "digits"
validation = 0.2
[train]
epochs = 3
batch_size = 32
"""
"""The tables of short trials; more keys of [train] may follow."""


def write_study(folder: Path, name: str, text: str) -> Path:
    path = folder / f"{name}.toml"
    path.write_text(text)
    return path
