"""The words of the displays: a trial's result, the remaining time, the rate, the best trial."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.analysis.formatting import format_count, format_duration
from harness.metrics import (
    OBJECTIVE_NAMES,
    format_objective,
    get_score_metric,
)
from harness.results import EpochMetrics, Objective, Outcome, TrialResult
from harness.sweep.progress import BestTrial, Progress, RunningTrial

if TYPE_CHECKING:
    from harness.tracking.types import State

SLOW = 2.0
"""Trials a minute below which the rate is given by the hour."""


def format_value(outcome: TrialResult, objective: Objective) -> str:
    """Format the objective of a trial's best epoch: `0.9071`, or `RMSE 23,145`."""
    value = format_objective(outcome.best.get_objective(objective), objective)
    return value if objective == "val/accuracy" else f"{OBJECTIVE_NAMES[objective]} {value}"


def format_outcome(state: State, outcome: Outcome | None, reason: str, progress: Progress) -> str:
    """Format a trial's result, `0.9071`, or the reason for having none."""
    if isinstance(outcome, TrialResult):
        value = format_value(outcome, progress.objective)
        return f"{value}, pruned at epoch {outcome.epochs}" if state == "PRUNED" else value
    separator = ", " if _is_retried(state, progress) else ": "
    return f"{state.lower()}{separator}{format_reason(state, reason, progress)}"


def format_reason(state: State, reason: str, progress: Progress) -> str:
    """Format why a trial has no result: `retried: worker 0 died (signal 9)`."""
    return f"retried: {reason}" if reason and _is_retried(state, progress) else reason


def _is_retried(state: State, progress: Progress) -> bool:
    """Whether this driver trains the settings again."""
    return state == "INTERRUPTED" and not progress.is_stopping


def format_epoch_score(epoch: EpochMetrics, objective: Objective) -> str:
    """Format an epoch's validation score: accuracy, or the RMSE of a regression."""
    name = get_score_name(epoch, objective)
    return format_objective(epoch.get_objective(name), name)


def get_score_name(epoch: EpochMetrics, objective: Objective) -> Objective:
    """Return the name of an epoch's validation score."""
    default: Objective = "val/rmse" if epoch.val_accuracy is None else "val/accuracy"
    return get_score_metric(objective) or default


def format_time_left(progress: Progress) -> str:
    """Format the time until all trials are done or the timeout; empty if it is unknown."""
    by_rate, timeout = progress.seconds_left, progress.seconds_to_timeout
    if timeout is not None and (by_rate is None or timeout < by_rate):
        if timeout:
            return f"{_format_estimate(timeout)} until the timeout"
        return f"timeout: finishing {format_count(len(progress.running), 'running trial')}"
    return f"{_format_estimate(by_rate)} left" if by_rate and by_rate >= 1 else ""


def _format_estimate(seconds: float) -> str:
    """`47 s`, `12 min`, `2 h 5 min`."""
    if seconds < 120:
        return format_duration(seconds) if seconds < 60 else f"{round(seconds / 10) * 10} s"
    return f"{round(seconds / 60)} min" if seconds < 3570 else format_duration(seconds)


def format_rate(progress: Progress) -> str:
    """`12 trials/min`; empty before the first trial ended."""
    if not progress.ended_trials:
        return ""
    rate = progress.ended_trials / max(progress.elapsed, 1e-9) * 60
    if rate < SLOW:
        return f"{rate * 60:.0f} {progress.noun}s/h"
    return f"{rate:.0f} {progress.noun}s/min"


def format_counts(progress: Progress) -> list[tuple[str, str]]:
    """List how many trials are in each state: (`2 running`, a style)."""
    counts = progress.counts
    parts = [
        (len(progress.running), "running", "cyan"),
        (counts.complete, "complete", "green"),
        (counts.pruned, "pruned", "yellow"),
        (counts.failed, "failed", "red"),
    ]
    return [(f"{number} {state}", style) for number, state, style in parts if number]


def format_best(best: BestTrial, objective: Objective) -> tuple[str, str]:
    """Format the best score in two parts: `best val/accuracy`, `0.9071`."""
    return f"best {objective}", format_objective(best.value, objective)


def format_epoch(running: RunningTrial) -> str:
    """`7/12`."""
    last = running.epochs[-1].epoch if running.epochs else 0
    return f"{last}/{running.trial.spec.epochs}"


def format_done(progress: Progress) -> str:
    """`12/50 trials`, or `epoch 7/12` of a single trial."""
    running = progress.running_trials
    if progress.target == 1 and running:
        return f"epoch {format_epoch(running[0])}"
    return f"{progress.counts.done}/{progress.target} {progress.noun}{'s' * (progress.target != 1)}"
