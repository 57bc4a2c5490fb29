"""Hyperparameter sweeps over small neural networks, many trained at once, recorded in MLflow.

    import harness

    result = harness.run_study("quickstart", trials=20)
    print(result.champion.spec, result.test.accuracy)
    result.trials.sort_values("best_val_accuracy")  # a pandas DataFrame

`run_study` runs a study file, or continues it, and returns a `StudyResult`. A `TrialSpec` has the
settings of one trial. `UserError` means that an input must be changed; `HarnessError` is the base
of all errors that harness raises on purpose.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from harness.errors import HarnessError, UserError
    from harness.sweep.run import StudyResult, run_study
    from harness.trial import TrialSpec

__version__ = "0.1.0"

__all__ = ["HarnessError", "StudyResult", "TrialSpec", "UserError", "run_study"]

_LOCATIONS = {
    "HarnessError": "harness.errors",
    "StudyResult": "harness.sweep.run",
    "TrialSpec": "harness.trial",
    "UserError": "harness.errors",
    "run_study": "harness.sweep.run",
}


def __getattr__(name: str) -> object:
    """Import a public name at its first use, since `harness --help` needs none of them."""
    if name not in _LOCATIONS:
        raise AttributeError(f"module 'harness' has no attribute {name!r}")
    import importlib

    return getattr(importlib.import_module(_LOCATIONS[name]), name)
