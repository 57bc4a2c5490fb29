"""How a study's page looks in MLflow's UI: a saved view, as MLflow 3.17 keeps it in a tag.

Undocumented: MLflow reads the experiment tag `mlflow.sharedViewState.<key>` when the address
carries `viewStateShareKey=<key>`.
"""

from __future__ import annotations

import json

KEY = "harness"
COLUMNS = (
    "attributes.`Duration`",
    "metrics.`best/val_accuracy`",
    "metrics.`best/val_loss`",
    "metrics.`best_epoch`",
    "params.`hidden`",
    "params.`batch_norm`",
    "params.`optimizer`",
    "params.`learning_rate`",
    "tags.`harness.state`",
)


def address(experiment_id: str) -> str:
    """The view's address below the server's."""
    return (
        f"/#/experiments/{experiment_id}/runs?viewStateShareKey={KEY}&workflowType=machine_learning"
    )


def tags(objective: str, kind: str) -> dict[str, str]:
    """The experiment's tags: its runs of `kind` best first, with the columns people compare."""
    metric, maximise = (
        ("best/val_accuracy", True) if objective == "val/accuracy" else ("best/val_loss", False)
    )
    view = {
        "searchFilter": f"tags.`harness.kind` = '{'trial' if kind == 'study' else kind}'",
        "orderByKey": f"metrics.`{metric}`",
        "orderByAsc": not maximise,
        "startTime": "ALL",
        "lifecycleFilter": "Active",
        "modelVersionFilter": "All Runs",
        "datasetsFilter": [],
        "selectedColumns": list(COLUMNS),
        "runsExpanded": {},
        "runsPinned": [],
        "runsHidden": [],
        "compareRunCharts": [],
        "compareRunSections": [],
        "viewMaximized": False,
        "runListHidden": False,
        "isAccordionReordered": False,
        "useGroupedValuesInCharts": True,
        "groupBy": None,
        "groupsExpanded": {},
        "autoRefreshEnabled": True,
    }
    return {
        f"mlflow.sharedViewState.{KEY}": json.dumps(view),
        "mlflow.experiment.primaryMetric.name": metric,
        "mlflow.experiment.primaryMetric.greaterIsBetter": str(maximise),
    }
