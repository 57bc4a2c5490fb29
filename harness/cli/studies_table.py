"""`harness studies`: what is on record, as a table."""

from __future__ import annotations

import time
from typing import Any

from harness.analysis.confirmation import champion_of, confirmed, kept_of
from harness.analysis.summary import count_states
from harness.metrics import written
from harness.system.terminal import harmless
from harness.workspace import Workspace


def listing(home: Workspace, tracking_uri: str | None) -> list[dict[str, Any]]:
    """One row a study, the latest first."""
    rows = []
    for study in home.open_tracker(tracking_uri, reading=True).studies():
        counts = count_states(study)
        champion = champion_of(study)
        tested = study.reading_of(kept_of(study, champion)) if champion else None
        again = confirmed(study)
        best = again[0].value if again else champion.value(study.objective) if champion else None
        rows.append(
            {
                "name": study.name,
                "dataset": study.definition["data"]["name"],
                "done": counts["COMPLETE"] + counts["PRUNED"] + counts["FAILED"],
                "best": best,
                "seeds": len(again[0].runs) if again else 0,
                "objective": study.objective,
                "test": tested.score if tested else None,
                "started": study.started,
            }
        )
    return sorted(rows, key=lambda row: -row["started"])


def table(rows: list[dict[str, Any]]) -> str:
    if not rows:
        return "no studies yet; start one with: harness run-study quickstart"
    head = ("study", "dataset", "trials", "best", "objective", "test", "when")
    lines = [
        (
            harmless(row["name"]),  # a store may hold what others named
            harmless(row["dataset"]),
            str(row["done"]),
            "" if row["best"] is None else written(row["best"], row["objective"]),
            row["objective"],
            "" if row["test"] is None else written(row["test"], row["objective"]),
            time.strftime("%Y-%m-%d %H:%M", time.localtime(row["started"])),
        )
        for row in rows
    ]
    widths = [max(map(len, column)) for column in zip(head, *lines, strict=True)]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in (head, *lines)
    )
