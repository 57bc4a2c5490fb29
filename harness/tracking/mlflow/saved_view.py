"""The saved view of a study in MLflow's UI: columns, order and charts, stored in a tag.

MLflow 3.17 does not document it. It reads the experiment tag `mlflow.sharedViewState.<key>` when
the address has `viewStateShareKey=<key>`. tests/browser/test_mlflow_ui.py opens the view.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from typing import Any

from harness.config.schema import GRID_OR_LIST, find_varied_fields
from harness.metrics import is_higher_better, read_score
from harness.tracking.types import RANK_METRIC, Kind

VIEW_KEY = "harness"
MODE = "workflowType=machine_learning"
"""The part of an address that opens a page in the model training mode of MLflow's UI."""
DEFAULT_COLUMNS = ("batch_norm", "optimizer", "learning_rate")
"""The columns of a study that varies nothing."""
SECTIONS = {
    "val": True,
    "train": True,
    "best": True,
    "folds": False,
    "val_class_accuracy": False,
    "confirm": False,
    "seeds": False,
    "rank": False,
    "cost": False,
}
"""The chart sections in their order, by the metrics' prefix, and whether they are unfolded.

By default MLflow sorts them by name, with the learning curves at the bottom."""
TABLE_WIDTH = 1150
"""Pixels of the table in a window of 1400, without MLflow's assistant."""
NAME_WIDTHS = {2: 320, 7: 170}
"""Width of a run's name, which describes its settings, by how many settings have a column."""
MIN_NAME_WIDTH = 120
MIN_WIDTH, MAX_WIDTH = 56, 150
"""Of a setting's column."""
COLUMN_WIDTHS = {
    "1": 73,  # the checkboxes that select a run
    "runDateAndNestInfo": 100,
    f"metrics.`{RANK_METRIC}`": 75,
    "duration": 80,
}
"""Widths in pixels by the column ids of MLflow's table."""
LEADING_WIDTH, OTHER_WIDTH = 100, 110
"""Widths of the best value of the objective, and of the columns after the settings."""
MEAN_WIDTH = 165


def view_path(experiment_id: str) -> str:
    """Return the view's address, without the server's."""
    query = f"viewStateShareKey={VIEW_KEY}&{MODE}"
    return f"/#/experiments/{experiment_id}/runs?{query}"


def build_view_tags(
    definition: Mapping[str, Any], kind: Kind, trial_metrics: Collection[str] = ()
) -> dict[str, str]:
    """Return the experiment's tags of a view with the best runs first.

    MLflow nests runs under their parent only when it sorts by date, so the view shows the trials
    alone. It ignores pinned and expanded runs. It sorts by a single column, so a finished study is
    sorted by the recorded ranks, which break ties.

    Args:
        kind: A `train` run is shown as it is.
        trial_metrics: The metrics that were recorded on the trials when the study ended.
    """
    objective = definition["study"]["objective"]
    best, maximise = f"best/{objective.replace('/', '_')}", is_higher_better(objective)
    is_ranked = RANK_METRIC in trial_metrics
    means = sorted(set(trial_metrics) - {RANK_METRIC})
    leading = [
        f"metrics.`{name}`" for name in (*([RANK_METRIC] if is_ranked else []), *means, best)
    ]
    settings = [f"params.`{name}`" for name in _list_settings(definition)]
    columns = list(dict.fromkeys([*leading, *settings, *_list_other_columns(definition)]))
    order = ["1", "attributes.`Run Name`", "runDateAndNestInfo", *columns, "duration"]
    state: dict[str, Any] = {
        "searchFilter": f"tags.`harness.kind` = '{'trial' if kind == 'study' else kind}'",
        "orderByKey": f"metrics.`{RANK_METRIC if is_ranked else best}`",
        "orderByAsc": is_ranked or not maximise,
        "startTime": "ALL",
        "lifecycleFilter": "Active",
        "modelVersionFilter": "All Runs",
        "datasetsFilter": [],
        "selectedColumns": [*columns, "attributes.`Duration`"],
        "columnOrder": order,
        "columnWidths": _compute_widths(order, leading, settings),
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
        "mlflow.experiment.primaryMetric.name": best,
        "mlflow.experiment.primaryMetric.greaterIsBetter": str(maximise),
    }


def _list_settings(definition: Mapping[str, Any]) -> list[str]:
    """Return the settings that the study varies, and the one that describes the network."""
    varied = find_varied_fields(dict(definition)) or list(DEFAULT_COLUMNS)
    if definition["study"].get("sampler") in GRID_OR_LIST:
        varied.append("seed")
    network = "model" if definition.get("code") else "hidden"
    first = [network] if network in varied else []
    return list(dict.fromkeys([*first, *varied, network]))


def _list_other_columns(definition: Mapping[str, Any]) -> list[str]:
    score = read_score(dict(definition))
    names = (score.field_name, *score.other_fields, "epoch")
    metrics = [f"metrics.`best/{name}`" for name in names]
    return [*metrics, "tags.`harness.state`"]


def _compute_widths(
    order: Collection[str], leading: Collection[str], settings: Collection[str]
) -> dict[str, int]:
    """Return widths with which the leading columns and the settings fit into the table."""
    fits = [width for most, width in NAME_WIDTHS.items() if len(settings) <= most]
    widths = dict.fromkeys(order, OTHER_WIDTH) | COLUMN_WIDTHS
    widths["attributes.`Run Name`"] = fits[0] if fits else MIN_NAME_WIDTH
    for column in leading:
        if column not in COLUMN_WIDTHS:
            widths[column] = MEAN_WIDTH if column.endswith("_mean`") else LEADING_WIDTH
    used = sum(widths[name] for name in (*list(order)[:3], *leading))
    share = (TABLE_WIDTH - used) // len(settings)
    return widths | dict.fromkeys(settings, min(max(share, MIN_WIDTH), MAX_WIDTH))
