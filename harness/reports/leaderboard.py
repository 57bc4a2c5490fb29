"""The trials as a table: the best first, then the pruned, then what failed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from harness.tracking.records import RunRecord, StudyRun
from harness.trial import SPEC_FIELDS


@dataclass(frozen=True)
class Row:
    """One trial as text, ready to show."""

    number: int
    state: str
    cells: tuple[str, ...]


MEASURED = ("val accuracy", "val loss", "epoch")
ALWAYS = ("hidden", "batch_norm", "optimizer", "learning_rate")


@dataclass(frozen=True)
class Leaderboard:
    columns: tuple[str, ...]
    rows: tuple[Row, ...]


def data(study: StudyRun) -> Leaderboard:
    """Complete trials best first, then the others by their best epoch, then by number.

    The settings shown are those that people ask for first, and all others that differ somewhere.
    """
    ranked = study.best_first()
    complete = {run.uid for run in ranked}
    rest = [run for run in study.trials if run.uid not in complete]
    rest.sort(key=lambda run: (-run.best.val_accuracy if run.best else 1, run.number))
    specs = {run.spec for run in study.trials}
    differing = [
        name
        for name in SPEC_FIELDS
        if name not in ALWAYS and len({getattr(spec, name) for spec in specs}) > 1
    ]
    settings = (*ALWAYS, *differing)
    columns = (*MEASURED, *(name.replace("_", " ") for name in settings), "parameters", "seconds")
    return Leaderboard(columns, tuple(_row(run, settings) for run in (*ranked, *rest)))


def _row(run: RunRecord, settings: Sequence[str]) -> Row:
    best = run.best
    measured = (
        (f"{best.val_accuracy:.4f}", f"{best.val_loss:.4f}", f"{best.epoch}/{run.epochs[-1].epoch}")
        if best
        else ("", "", "")
    )
    return Row(
        run.number,
        run.state.lower() + (f": {run.reason}" if run.reason else ""),
        (
            *measured,
            *(_text(getattr(run.spec, name)) for name in settings),
            f"{run.parameters:,}" if run.parameters else "",
            f"{sum(epoch.seconds for epoch in run.epochs):.1f}",
        ),
    )


def _text(value: Any) -> str:
    if isinstance(value, tuple):
        return "-".join(map(str, value)) or "none"
    return f"{value:.2g}" if isinstance(value, float) else str(value)
