"""One dated line for each trial: where the output is no terminal."""

from __future__ import annotations

import sys
import time
from typing import TextIO

from harness.analysis.formatting import duration
from harness.metrics import NAMES, higher_is_better, written
from harness.results import Objective, Outcome, TrialResult
from harness.sweep.driver import Progress
from harness.tracking.types import State
from harness.trial import Trial


def outcome_text(state: State, outcome: Outcome | None, reason: str, objective: Objective) -> str:
    """`val 0.9071 at epoch 9 of 12`, or why not."""
    if isinstance(outcome, TrialResult):
        best = outcome.best
        named = "val" if higher_is_better(objective) else f"val {NAMES[objective]}"
        value = written(best.objective(objective), objective)
        at = f"{named} {value} at epoch {best.epoch} of {outcome.epochs}"
        return f"{at}, pruned" if state == "PRUNED" else at
    return reason if state == "INTERRUPTED" else f"{state.lower()}: {reason}"


class Plain:
    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = stream or sys.stderr

    def message(self, text: str) -> None:
        print(f"{time.strftime('%Y-%m-%d %H:%M:%S')}  {text}", file=self._stream, flush=True)

    def refresh(self, progress: Progress) -> None:
        pass

    def ended(
        self, progress: Progress, trial: Trial, state: State, outcome: Outcome | None, reason: str
    ) -> None:
        done = f"{progress.counts.done}/{progress.target}"
        width = 4 if trial.confirms is None else 14
        text = f"{done:>9}  trial {trial.title:<{width}} {trial.spec.describe():<48} "
        text += outcome_text(state, outcome, reason, progress.objective)
        if progress.best:
            text += f"  [best {written(progress.best.value, progress.objective)}"
            text += f", {duration(progress.left)} left]" if progress.left else "]"
        self.message(text)
