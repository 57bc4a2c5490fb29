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
from harness.metrics import format_objective
from harness.system.terminal import escape
from harness.workspace import Workspace


def list_studies(
    workspace: Workspace, tracking_uri: str | None, warn: Callable[[str], None]
) -> list[dict[str, Any]]:
    """Return one row for each study, the latest first.

    `warn` is called with a line for each study that cannot be read, or only in part.
    """
    rows = []
    tracker = workspace.open_tracker(tracking_uri, reading=True)
    for study in tracker.list_studies(lambda name, reason: warn(f"study '{name}': {reason}")):
        counts, is_whole = count_states(study), not study.deleted
        if not is_whole:
            warn(describe_lost_runs(study.name, study.deleted))
        champion = find_champion(study) if is_whole else None
        tested = study.find_reading(find_model_run(study, champion)) if champion else None
        settings = rank_confirmed_settings(study) if is_whole else []
        best = None
        if settings:
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
                "objective": study.objective,
                "test": tested.score if tested else None,
                "started": study.started,
            }
        )
    return sorted(rows, key=lambda row: -row["started"])


def format_studies(rows: list[dict[str, Any]]) -> str:
    """Format the rows as a table with a header."""
    if not rows:
        return "no studies yet; start one with: harness run-study quickstart"
    head = ("study", "dataset", "trials", "best", "objective", "test", "when")
    lines = [
        (
            escape(row["name"]),  # other people may have written to the store
            escape(row["dataset"]),
            str(row["done"]),
            "" if row["best"] is None else format_objective(row["best"], row["objective"]),
            row["objective"],
            "" if row["test"] is None else format_objective(row["test"], row["objective"]),
            time.strftime("%Y-%m-%d %H:%M", time.localtime(row["started"])),
        )
        for row in rows
    ]
    widths = [max(map(len, column)) for column in zip(head, *lines, strict=True)]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in (head, *lines)
    )
