"""The shipped search for tables: what `harness new-study` writes, and `space="tabular"` in Python.

The network is `model = "tabular"`. The ranges were chosen on six development tables, which no
benchmark of docs/benchmarks.md uses: see docs/how-to/tables.md.
"""

from __future__ import annotations

from typing import Any

from harness.data.prepare import PreparedDataset
from harness.results import Task

NAME = "tabular"
TRIALS = 25
"""Trials that suffice for this space on most tables."""
NORMALIZE = "quantile"
ENSEMBLE_SIZE, MIN_ENSEMBLE_EXAMPLES = 16, 100
"""The most members of an ensemble, and the fewest validation examples for which one is written."""
DEFAULT_BATCH_SIZE = 64


def choose_batch_size(examples: int) -> int:
    """Return a batch size with about 10 steps an epoch or more, for so many training examples."""
    sizes = (size for size in (256, 128, 64, 32, 16, 8, 4, 2) if 10 * size <= examples)
    return min(next(sizes, 1), 128 if examples < 10_000 else 256)


def build_train_table(task: Task, examples: int | None = None) -> dict[str, Any]:
    """Return [train], the settings of all trials: those of RealMLP with fewer epochs.

    `examples`: the number of training examples; None if it is not known.
    """
    many = examples is not None and examples >= 10_000
    size = DEFAULT_BATCH_SIZE if examples is None else choose_batch_size(examples)
    table: dict[str, Any] = {
        "model": NAME,
        "epochs": 32 if many else 64,
        "patience": 16 if many else 32,
        "batch_size": size,
        "optimizer": "adamw",
        "beta2": 0.95,
    }
    return table | ({} if task == "regression" else {"label_smoothing": 0.1})


def build_space_table() -> dict[str, Any]:
    """Return [space], the sampled settings."""
    return {
        "arguments.numbers": ["linear", "periodic", "piecewise"],
        "arguments.activation": ["selu", "mish", "relu"],
        "arguments.depth": {"low": 1, "high": 3},
        "arguments.width": [32, 64, 128],
        "arguments.members": [1, 4],
        "arguments.dropout": {"low": 0.0, "high": 0.4},
        "learning_rate": {"low": 0.005, "high": 0.15, "log": True},
        "schedule": ["coslog4", "cosine"],
        "weight_decay": {"low": 1e-3, "high": 1e-1, "log": True},
    }


def list_template_values(prepared: PreparedDataset) -> dict[str, Any]:
    """Return the template's values for a table's study; those for other data have no search."""
    if prepared.table is None:
        return {"trials": 50, "normalize": "", "tabular": None, "ensemble": 0}
    tables = {
        "train": build_train_table(prepared.training.task, prepared.sizes["train"]),
        "space": build_space_table(),
    }
    return {
        "trials": TRIALS,
        "normalize": NORMALIZE,
        "tabular": {
            name: [(key, value, MEANINGS.get(key, "")) for key, value in table.items()]
            for name, table in tables.items()
        },
        "ensemble": ENSEMBLE_SIZE if prepared.sizes["validation"] >= MIN_ENSEMBLE_EXAMPLES else 0,
    }


MEANINGS = {
    "model": "a network made for tables",
    "patience": "stop after so many epochs without improvement",
    "beta2": "Adam adapts faster than with the default 0.999",
    "schedule": "the learning rate rises and falls four times, or only falls",
    "label_smoothing": "the true class counts 0.9, all classes share 0.1",
    "arguments.numbers": "how numbers enter: plain, with learned waves, or with bins",
    "arguments.depth": "hidden layers",
    "arguments.width": "units of each hidden layer",
    "arguments.members": "networks that share most weights; their mean predicts",
}
"""Comments on keys of a new study file."""
