"""harness: the champion of a study, and the ensemble of the study's trials.

A study gets the outer training part as a frame and knows no other rows. It splits off its own
validation rows, runs `TRIALS` trials of the shipped space for tables, and predicts the outer test
part from the raw frame. There is no confirmation of the best settings: it measures, and changes
neither the champion nor the ensemble.

All studies share one folder of records, as a user's do. `warm_up` makes it, so that no fit's
seconds include the imports and the tables of the record's database.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tests.benchmarks.tables.prediction import Prediction
from tests.benchmarks.tables.splits import INNER_SHARE, Task

if TYPE_CHECKING:
    import harness

CHAMPION, ENSEMBLE = "harness, champion", "harness, ensemble"
METHODS = (CHAMPION, ENSEMBLE)
TRIALS = 24
WORKERS = 2
SPACE: Any = "tabular"
"""The shipped space."""


def fit_study(task: Task) -> Mapping[str, Prediction]:
    """Run the study of a task, and predict with its champion and its ensemble."""
    import harness

    study = make_study(task, f"{task.table.name}-{task.split}")
    result = harness.run_study(
        study, workers=WORKERS, test=False, confirm=False, progress=False, fresh=True
    )
    trials = len(result.trials)
    champion = Prediction(predict_champion(result, task), result.champion.settings, trials)
    values = predict_ensemble(result, task)
    ensemble = {} if values is None else {ENSEMBLE: Prediction(values, {}, trials)}
    return {CHAMPION: champion} | ensemble


def make_study(task: Task, name: str) -> harness.Study:
    """Return the study of a task. It holds out no test rows: the outer test part is elsewhere."""
    import harness

    keys: dict[str, Any] = {"task": "regression"} if task.table.is_regression else {}
    return harness.Study(
        name,
        task.train,
        target=task.table.target,
        validation=INNER_SHARE,
        test=0.0,
        trials=TRIALS,
        seed=task.split,
        split_seed=task.split,
        confirm={"seeds": 0},
        ensemble={"size": 16},
        space=SPACE,
        **keys,
    )


def warm_up() -> None:
    """Go to an empty folder, and run a study of 2 trials there that is not measured."""
    import pandas as pd

    import harness

    os.chdir(tempfile.mkdtemp(prefix="tables-"))
    print(f"the record is in {Path.cwd()}", flush=True)
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"x": rng.normal(size=100), "y": rng.choice(["a", "b"], 100)})
    study = harness.Study("warm-up", frame, target="y", trials=2, space={"hidden": [[8], [9]]})
    harness.run_study(study, workers=WORKERS, test=False, confirm=False, progress=False)


def predict_champion(result: harness.StudyResult, task: Task) -> np.ndarray:
    """Return numbers [n] or probabilities [n, classes] of the champion for the raw test frame."""
    features = task.test[task.features]
    if task.table.is_regression:
        return np.asarray(result.predict(features), np.float64)
    return _order_classes(np.asarray(result.predict(features, probabilities=True)), result, task)


def predict_ensemble(result: harness.StudyResult, task: Task) -> np.ndarray | None:
    """Return the same of the study's ensemble; None where the version of harness has none.

    The place to change when the ensemble's API is settled.
    """
    ensemble: Any = getattr(result, "ensemble", None)
    if ensemble is None:
        return None
    features = task.test[task.features]
    if task.table.is_regression:
        return np.asarray(ensemble.predict(features), np.float64)
    return _order_classes(np.asarray(ensemble.predict(features, probabilities=True)), result, task)


def _order_classes(values: np.ndarray, result: harness.StudyResult, task: Task) -> np.ndarray:
    """Return the columns in the order of the task's classes; a class that is unknown has 0."""
    ordered = np.zeros((len(values), len(task.classes)))
    for column, name in enumerate(result.classes):
        ordered[:, task.classes.index(str(name))] = values[:, column]
    return ordered
