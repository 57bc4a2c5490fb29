"""The saved view of a study in MLflow's UI: columns, order and charts, stored in a tag.

MLflow 3.17 does not document it. It reads the experiment tag `mlflow.sharedViewState.<key>` when
the address has `viewStateShareKey=<key>`. tests/browser/test_mlflow_ui.py opens the view.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from harness.metrics import ACCURACY, Score, is_higher_better
from harness.results import Objective

VIEW_KEY = "harness"
DEFAULT_COLUMNS = ("batch_norm", "optimizer", "learning_rate")
"""The columns of a study that samples nothing."""
SECTIONS = {"val": True, "train": True, "best": True, "val_class_accuracy": False, "cost": False}
"""The chart sections in their order, by the metrics' prefix, and whether they are unfolded.

By default MLflow sorts them by name, with the learning curves at the bottom."""
COLUMN_WIDTHS = {
    "1": 73,  # the checkboxes that select a run
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
"""Widths in pixels by the column ids of MLflow's table; 110 for all others."""


def view_path(experiment_id: str) -> str:
    """Return the view's address, without the server's."""
    query = f"viewStateShareKey={VIEW_KEY}&workflowType=machine_learning"
    return f"/#/experiments/{experiment_id}/runs?{query}"


def view_tags(
    objective: Objective,
    kind: str,
    sampled: Iterable[str] = DEFAULT_COLUMNS,
    network: str = "hidden",
    score: Score = ACCURACY,
) -> dict[str, str]:
    """Return the experiment's tags of a view with the best runs first.

    MLflow nests runs under their parent only when it sorts by date, so the view shows the trials
    alone. It ignores pinned and expanded runs.

    Args:
        kind: Of the study; a `train` run is shown as it is.
        sampled: The names in the study's search space.
        network: The setting that describes a trial's network.
        score: Of the study's task; it selects the metric columns.
    """
    metric, maximise = f"best/{objective.replace('/', '_')}", is_higher_better(objective)
    setting_names = dict.fromkeys(
        [network, *("hidden" if name in ("depth", "width") else name for name in sampled)]
    )
    metric_names = ("val_loss",) if score.task == "classes" else ("val_mae", "val_r2")
    metric_columns = [
        f"metrics.`best/{name}`" for name in (score.field_name, *metric_names, "epoch")
    ]
    other_columns = [*(f"params.`{name}`" for name in setting_names), "tags.`harness.state`"]
    columns = [*metric_columns, *other_columns]
    order = ["1", "attributes.`Run Name`", *columns, "duration", "runDateAndNestInfo"]
    state: dict[str, Any] = {
        "searchFilter": f"tags.`harness.kind` = '{'trial' if kind == 'study' else kind}'",
        "orderByKey": f"metrics.`{metric}`",
        "orderByAsc": not maximise,
        "startTime": "ALL",
        "lifecycleFilter": "Active",
        "modelVersionFilter": "All Runs",
        "datasetsFilter": [],
        "selectedColumns": [*columns, "attributes.`Duration`"],
        "columnOrder": order,
        "columnWidths": {name: COLUMN_WIDTHS.get(name, 110) for name in order},
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
        f"mlflow.sharedViewState.{VIEW_KEY}": json.dumps(state),
        "mlflow.experiment.primaryMetric.name": metric,
        "mlflow.experiment.primaryMetric.greaterIsBetter": str(maximise),
    }
