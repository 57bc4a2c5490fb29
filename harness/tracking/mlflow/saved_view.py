"""How a study's page looks in MLflow's UI: a saved view, as MLflow 3.17 keeps it in a tag.

Undocumented: MLflow reads the experiment tag `mlflow.sharedViewState.<key>` when the address
carries `viewStateShareKey=<key>`. tests/browser/test_mlflow_ui.py opens it.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from harness.metrics import CLASSES, Score, higher_is_better
from harness.results import Objective

KEY = "harness"
SETTINGS = ("batch_norm", "optimizer", "learning_rate")
"""Columns of a study that does not say what it samples."""
SECTIONS = {"val": True, "train": True, "best": True, "val_class_accuracy": False, "cost": False}
"""Metrics by the part of their name before the slash, and whether their charts are unfolded.

Without it MLflow goes by the alphabet, and the curves stand below everything else."""
WIDTHS = {
    "1": 73,  # the boxes that select a run
    "attributes.`Run Name`": 320,
    "metrics.`best/val_accuracy`": 145,
    "metrics.`best/val_loss`": 110,
    "metrics.`best/val_rmse`": 145,
    "metrics.`best/epoch`": 90,
    "params.`hidden`": 150,
    "params.`learning_rate`": 110,
    "duration": 80,
    "runDateAndNestInfo": 140,
}
"""In pixels, by the ids of MLflow's table; 110 for a column that is not named."""


def address(experiment_id: str) -> str:
    """The view's address below the server's."""
    return (
        f"/#/experiments/{experiment_id}/runs?viewStateShareKey={KEY}&workflowType=machine_learning"
    )


def tags(
    objective: Objective,
    kind: str,
    sampled: Iterable[str] = SETTINGS,
    network: str = "hidden",
    score: Score = CLASSES,
) -> dict[str, str]:
    """The experiment's tags: its runs of `kind` best first, with the columns people compare.

    `sampled` are the names in the study's search space, `network` the setting that tells what a
    trial's network is. MLflow nests runs under their parent only
    while it sorts by date, so this view has the trials alone. It ignores pinned and expanded runs.
    """
    metric, maximise = f"best/{objective.replace('/', '_')}", higher_is_better(objective)
    settings = dict.fromkeys(
        [network, *("hidden" if name in ("depth", "width") else name for name in sampled)]
    )
    figures = ("val_loss",) if score.task == "classes" else ("val_mae", "val_r2")
    measured = [f"metrics.`best/{name}`" for name in (score.key, *figures, "epoch")]
    described = [*(f"params.`{name}`" for name in settings), "tags.`harness.state`"]
    order = ["1", "attributes.`Run Name`", *measured, *described, "duration", "runDateAndNestInfo"]
    state: dict[str, Any] = {
        "searchFilter": f"tags.`harness.kind` = '{'trial' if kind == 'study' else kind}'",
        "orderByKey": f"metrics.`{metric}`",
        "orderByAsc": not maximise,
        "startTime": "ALL",
        "lifecycleFilter": "Active",
        "modelVersionFilter": "All Runs",
        "datasetsFilter": [],
        "selectedColumns": [*measured, *described, "attributes.`Duration`"],
        "columnOrder": order,
        "columnWidths": {name: WIDTHS.get(name, 110) for name in order},
        "runsHidden": [],
        "compareRunCharts": [],
        "compareRunSections": [
            {"uuid": name, "name": name, "display": unfolded, "isReordered": False}
            for name, unfolded in SECTIONS.items()
        ],
        "viewMaximized": False,
        "runListHidden": False,
        "isAccordionReordered": True,
        "useGroupedValuesInCharts": True,
        "groupBy": None,
        "groupsExpanded": {},
        "autoRefreshEnabled": True,
    }
    return {
        f"mlflow.sharedViewState.{KEY}": json.dumps(state),
        "mlflow.experiment.primaryMetric.name": metric,
        "mlflow.experiment.primaryMetric.greaterIsBetter": str(maximise),
    }
