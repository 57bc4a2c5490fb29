"""The progress of a sweep as dated lines, for a log file or a terminal without cursor control."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, TextIO

from harness.analysis.formatting import format_count
from harness.cli.progress import wording
from harness.metrics import format_objective
from harness.results import Outcome, TrialResult

if TYPE_CHECKING:
    from harness.sweep.progress import Progress
    from harness.tracking.types import State
    from harness.trial import Trial

QUIET_SECONDS = 30.0
"""A line is printed after this time without one."""
QUIET_SECONDS_OF_ONE = 5.0
"""The same where a single trial is trained."""


class Plain:
    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = stream or sys.stderr
        self._written_at = 0.0
        self._is_stopping = False

    def message(self, text: str) -> None:
        self._written_at = time.monotonic()
        print(
            f"{time.strftime('%Y-%m-%d %H:%M:%S')}  {' '.join(map(str.strip, text.splitlines()))}",
            file=self._stream,
            flush=True,
        )

    def stage(self, text: str) -> None:
        self.message(text)

    def refresh(self, progress: Progress) -> None:
        quiet = QUIET_SECONDS if progress.target > 1 else QUIET_SECONDS_OF_ONE
        if time.monotonic() - self._written_at < quiet:
            return
        parts = [wording.format_done(progress)]
        running = progress.running_trials
        if progress.target > 1:
            parts += [text for text, _ in wording.format_counts(progress)]
            parts += [
                f"{each.trial.label} at epoch {wording.format_epoch(each)}" for each in running[:1]
            ]
        elif running and running[0].epochs:
            last = running[0].epochs[-1]
            parts.append(f"{wording.get_score_name(last)} {wording.format_epoch_score(last)}")
        self.message(
            ", ".join(part for part in (*parts, wording.format_time_left(progress)) if part)
        )

    def trial_ended(
        self, progress: Progress, trial: Trial, state: State, outcome: Outcome | None, reason: str
    ) -> None:
        if progress.is_stopping and state == "INTERRUPTED":
            if not self._is_stopping:  # one line for all running trials
                count = len(progress.running) + 1
                trials, again = format_count(count, progress.noun), "it" if count == 1 else "them"
                self.message(f"interrupted {trials}; rerunning the study trains {again} again")
            self._is_stopping = True
            return
        text = f"{progress.counts.done}/{progress.target}  {trial.label}: "
        text += wording.format_outcome(state, outcome, reason, progress)
        if progress.best and isinstance(outcome, TrialResult):
            is_best = progress.best.label == trial.label
            best = format_objective(progress.best.value, progress.objective)
            text += " (best)" if is_best else f" (best {best})"
        if left := wording.format_time_left(progress):
            text += f", {left}"
        self.message(text if trial.name else f"{text}, {trial.spec.describe()}")
