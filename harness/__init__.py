"""Hyperparameter sweeps over small neural networks, many trained at once, recorded in MLflow.

    import harness

    study = harness.Study("wine", "wine.csv", target="cultivar", trials=20,
                          space={"hidden": [[32], [64, 32]],
                                 "learning_rate": harness.Range(1e-4, 1e-1, log=True)})
    result = study.run()
    result.champion.settings, result.test.accuracy
    result.plot("val-accuracy").show()
    result.predict(rows)

`run_study` runs a study, or continues it. `load` reads one from the record. The other functions
are the commands of the same name. `UserError` means that an input must be changed; `HarnessError`
is the base of all errors that harness raises on purpose.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from harness.api.estimators import SweepClassifier, SweepRegressor
    from harness.api.recorded import (
        compare,
        doctor,
        load,
        open_test_set,
        predict,
        replay,
        report,
    )
    from harness.api.result import StudyResult
    from harness.api.run import run_study, train
    from harness.api.space import Choice, Range
    from harness.api.study import Study, load_study
    from harness.errors import HarnessError, UserError
    from harness.trial import TrialSpec

__version__ = "0.1.0"

_LOCATIONS = {
    "Choice": "harness.api.space",
    "HarnessError": "harness.errors",
    "Range": "harness.api.space",
    "Study": "harness.api.study",
    "SweepClassifier": "harness.api.estimators",
    "SweepRegressor": "harness.api.estimators",
    "StudyResult": "harness.api.result",
    "TrialSpec": "harness.trial",
    "UserError": "harness.errors",
    "compare": "harness.api.recorded",
    "doctor": "harness.api.recorded",
    "load": "harness.api.recorded",
    "load_study": "harness.api.study",
    "open_test_set": "harness.api.recorded",
    "predict": "harness.api.recorded",
    "replay": "harness.api.recorded",
    "report": "harness.api.recorded",
    "run_study": "harness.api.run",
    "train": "harness.api.run",
}

__all__ = [
    "Choice",
    "HarnessError",
    "Range",
    "Study",
    "StudyResult",
    "SweepClassifier",
    "SweepRegressor",
    "TrialSpec",
    "UserError",
    "compare",
    "doctor",
    "load",
    "load_study",
    "open_test_set",
    "predict",
    "replay",
    "report",
    "run_study",
    "train",
]


def __getattr__(name: str) -> object:
    """Import a public name at its first use, since `harness --help` needs none of them."""
    if name not in _LOCATIONS:
        raise AttributeError(f"module 'harness' has no attribute {name!r}")
    import importlib

    return getattr(importlib.import_module(_LOCATIONS[name]), name)


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
