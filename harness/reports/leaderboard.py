"""The trials as a table: the best first, then the pruned, then what failed."""

from __future__ import annotations

from dataclasses import dataclass

from harness.tracking.records import RunRecord, StudyRun


@dataclass(frozen=True)
class Row:
    """One trial as text, ready to show."""

    number: int
    state: str
    cells: tuple[str, ...]


COLUMNS = (
    "val accuracy",
    "val loss",
    "epoch",
    "hidden",
    "batch norm",
    "optimizer",
    "learning rate",
    "batch",
    "l1",
    "l2",
    "parameters",
    "seconds",
)


def data(study: StudyRun) -> list[Row]:
    """Complete trials best first, then the others by their best epoch, then by number."""
    ranked = study.best_first()
    complete = {run.uid for run in ranked}
    rest = [run for run in study.trials if run.uid not in complete]
    rest.sort(key=lambda run: (-run.best.val_accuracy if run.best else 1, run.number))
    return [_row(run) for run in (*ranked, *rest)]


def _row(run: RunRecord) -> Row:
    spec, best = run.spec, run.best
    measured = (
        (f"{best.val_accuracy:.4f}", f"{best.val_loss:.4f}", f"{best.epoch}/{len(run.epochs)}")
        if best
        else ("", "", "")
    )
    return Row(
        run.number,
        run.state.lower() + (f": {run.reason}" if run.reason else ""),
        (
            *measured,
            "-".join(map(str, spec.hidden)) or "none",
            spec.batch_norm,
            spec.optimizer,
            f"{spec.learning_rate:.2g}",
            str(spec.batch_size),
            f"{spec.l1:.1g}" if spec.l1 else "0",
            f"{spec.l2:.1g}" if spec.l2 else "0",
            f"{run.parameters:,}" if run.parameters else "",
            f"{sum(epoch.seconds for epoch in run.epochs):.1f}",
        ),
    )
