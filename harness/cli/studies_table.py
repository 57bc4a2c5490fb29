"""`harness studies`: the recorded studies as a table."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from harness.analysis.confirmation import (
    describe_lost_runs,
    find_champion,
    find_model_run,
    rank_confirmed_settings,
)
from harness.analysis.facts import count_states
from harness.metrics import OBJECTIVE_NAMES, format_objective
from harness.system.terminal import escape
from harness.workspace import Workspace


def list_studies(
    workspace: Workspace, tracking_uri: str | None, warn: Callable[[str], None]
) -> list[dict[str, Any]]:
    """Return one row for each study, the latest first.

    `warn` is called with a line for each study that cannot be read, or only in part.
    """
    rows: list[dict[str, Any]] = []
    uri = workspace.resolve_tracking_uri(tracking_uri)
    if uri == workspace.local_uri and not workspace.database.is_file():
        for name in workspace.list_unsent():
            warn(f"study '{name}': nothing was sent yet; run it again, or: harness sync {name}")
        return rows
    tracker = workspace.open_tracker(uri, reading=True)
    for study in tracker.list_studies(lambda name, reason: warn(f"study '{name}': {reason}")):
        counts, is_whole = count_states(study), not study.deleted
        if not is_whole:
            warn(describe_lost_runs(study.name, study.deleted))
        champion = find_champion(study) if is_whole else None
        tested = study.find_reading(find_model_run(study, champion)) if champion else None
        settings = rank_confirmed_settings(study) if is_whole else []
        best = None
        corrected = study.metrics.get(f"confirm/{study.score.field_name}_corrected")
        if corrected is not None and study.state == "COMPLETE" and settings:
            best = corrected
        elif settings:
            best = settings[0].mean_objective
        elif champion:
            best = champion.objective_value(study.objective)
        deleted = sum(each.startswith("trial ") for each in study.deleted)
        rows.append(
            {
                "name": study.name,
                "dataset": study.definition["data"]["name"],
                "done": counts["COMPLETE"] + counts["PRUNED"] + counts["FAILED"] + deleted,
                "best": best,
                "seeds": len(settings[0].runs) if settings else 0,
                "objective": study.score.metric if best == corrected else study.objective,
                "test": tested.score if tested else None,
                "sealed": study.state == "COMPLETE"
                and study.has_test_set
                and champion is not None
                and tested is None,
                "started": study.started,
                "recorded": True,
            }
        )
    return sorted(rows, key=lambda row: -row["started"])


def format_studies(rows: list[dict[str, Any]]) -> str:
    """Format the rows as a table with a header, which fits 80 columns; JSON has more columns."""
    head = ("study", "trials", "best", "test", "when")
    lines = [
        (
            escape(row["name"]),  # other people may have written to the store
            f"{row['done']:,}",
            _format_best(row),
            _format_test(row),
            time.strftime("%Y-%m-%d %H:%M", time.localtime(row["started"])),
        )
        for row in rows
    ]
    widths = [max(map(len, column)) for column in zip(head, *lines, strict=True)]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in (head, *lines)
    )


def _format_best(row: dict[str, Any]) -> str:
    """`0.9884`; with the metric's name if it is not the accuracy."""
    if row["best"] is None:
        return ""
    value, objective = format_objective(row["best"], row["objective"]), row["objective"]
    return value if objective == "val/accuracy" else f"{OBJECTIVE_NAMES[objective]} {value}"


def _format_test(row: dict[str, Any]) -> str:
    if row["test"] is None:
        return "sealed" if row["sealed"] else ""
    return format_objective(row["test"], row["objective"])
