"""The progress of a sweep as one dated line for each trial, for output that is not a terminal."""

from __future__ import annotations

import sys
import time
from typing import TextIO

from harness.analysis.formatting import format_duration
from harness.metrics import OBJECTIVE_NAMES, format_objective, is_higher_better
from harness.results import Objective, Outcome, TrialResult
from harness.sweep.progress import Progress
from harness.tracking.types import State
from harness.trial import Trial


def format_outcome(state: State, outcome: Outcome | None, reason: str, objective: Objective) -> str:
    """Format a trial's result, `val 0.9071 at epoch 9 of 12`, or the reason for having none."""
    if isinstance(outcome, TrialResult):
        best = outcome.best
        name = "val" if is_higher_better(objective) else f"val {OBJECTIVE_NAMES[objective]}"
        value = format_objective(best.get_objective(objective), objective)
        at = f"{name} {value} at epoch {best.epoch} of {outcome.epochs}"
        return f"{at}, pruned" if state == "PRUNED" else at
    return reason if state == "INTERRUPTED" else f"{state.lower()}: {reason}"


class Plain:
    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = stream or sys.stderr

    def message(self, text: str) -> None:
        print(f"{time.strftime('%Y-%m-%d %H:%M:%S')}  {text}", file=self._stream, flush=True)

    def refresh(self, progress: Progress) -> None:
        pass

    def trial_ended(
        self, progress: Progress, trial: Trial, state: State, outcome: Outcome | None, reason: str
    ) -> None:
        done = f"{progress.counts.done}/{progress.target}"
        width = 4 if trial.confirms is None else 14
        text = f"{done:>9}  trial {trial.title:<{width}} {trial.spec.describe():<48} "
        text += format_outcome(state, outcome, reason, progress.objective)
        if progress.best:
            text += f"  [best {format_objective(progress.best.value, progress.objective)}"
            if progress.seconds_left:
                text += f", {format_duration(progress.seconds_left)} left"
            text += "]"
        self.message(text)
