"""Sweeps over small networks: fast, hard to lose work with, honest about what they found.

import harness

result = harness.run_study("quickstart", trials=20)
print(result.champion.spec, result.test.accuracy)
result.trials.sort_values("best_val_accuracy")
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from harness.errors import HarnessError, UserError
    from harness.sweep.run import StudyResult, run_study
    from harness.trial import TrialSpec

__all__ = ["HarnessError", "StudyResult", "TrialSpec", "UserError", "run_study"]

_HOMES = {
    "HarnessError": "harness.errors",
    "StudyResult": "harness.sweep.run",
    "TrialSpec": "harness.trial",
    "UserError": "harness.errors",
    "run_study": "harness.sweep.run",
}


def __getattr__(name: str) -> object:
    """Import a public name when it is first asked for: `harness --help` needs none of them."""
    if name not in _HOMES:
        raise AttributeError(f"module 'harness' has no attribute {name!r}")
    import importlib

    return getattr(importlib.import_module(_HOMES[name]), name)
