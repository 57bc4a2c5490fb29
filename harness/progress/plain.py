"""The progress of a sweep as dated lines, for a log file or a terminal without cursor control."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, TextIO

from harness.analysis.formatting import format_count
from harness.metrics import format_objective
from harness.progress import wording
from harness.results import Outcome

if TYPE_CHECKING:
    from harness.sweep.progress import Progress
    from harness.tracking.types import State
    from harness.trial import Trial

DATE_FORMAT = "%Y-%m-%d %H:%M:%S"
MAX_LENGTH = 79
"""Characters of a trial's line, which with its date has 100 columns; longer settings are cut."""
MIN_PART = 12
"""Room for fewer characters of the settings or of the remaining time is not used."""
QUIET_SECONDS = 30.0
"""A line is printed after this time without one."""
QUIET_SECONDS_OF_ONE = 5.0
"""The same where a single trial is trained."""


class Plain:
    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = stream or sys.stderr
        self._written_at = 0.0
        self._is_stopping = False
        self._stage = ""

    def message(self, text: str) -> None:
        self._written_at = time.monotonic()
        line = " ".join(map(str.strip, text.splitlines()))
        print(f"{time.strftime(DATE_FORMAT)}  {line}", file=self._stream, flush=True)

    def stage(self, text: str) -> None:
        if text != self._stage:
            self.message(text)
        self._stage = text

    def refresh(self, progress: Progress) -> None:
        quiet = QUIET_SECONDS if progress.target > 1 else QUIET_SECONDS_OF_ONE
        if time.monotonic() - self._written_at < quiet:
            return
        parts = [wording.format_done(progress)]
        running = progress.running_trials
        if progress.target > 1:
            parts += [f"{len(running)} running"] if running else []
            parts += [
                f"{each.trial.label} at epoch {wording.format_epoch(each)}" for each in running[:1]
            ]
        elif running and running[0].epochs:
            last = running[0].epochs[-1]
            name = wording.get_score_name(last, progress.objective)
            parts.append(f"{name} {wording.format_epoch_score(last, progress.objective)}")
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
        if progress.best and state == "COMPLETE":
            is_best = progress.best.label == trial.label
            best = format_objective(progress.best.value, progress.objective)
            text += " (best)" if is_best else f" (best {best})"
        settings = "" if trial.name or trial.confirms is not None else trial.spec.describe()
        for part in (settings, wording.format_time_left(progress)):
            room = MAX_LENGTH - len(text) - len(", ")
            if part and room >= min(MIN_PART, len(part)):
                text += f", {part if len(part) <= room else part[: room - 3] + '...'}"
        self.message(text)
