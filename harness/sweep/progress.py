"""The progress of a sweep, and the interface of what displays it."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Protocol

from harness.results import EpochMetrics, Objective, Outcome
from harness.search.study import Counts
from harness.tracking.types import State
from harness.trial import Trial


@dataclass
class RunningTrial:
    """A trial between its submission and its end."""

    trial: Trial
    worker: str = ""
    epochs: list[EpochMetrics] = field(default_factory=list)
    recorded: bool = False
    """Whether its end is on record; then Optuna may be told nothing else."""


@dataclass(frozen=True)
class BestTrial:
    """The best trial so far, by the study's objective."""

    title: str
    value: float
    settings: str


@dataclass
class Progress:
    """The current state of a sweep, for a progress display."""

    target: int
    objective: Objective
    counts: Counts
    running: dict[str, RunningTrial] = field(default_factory=dict)
    best: BestTrial | None = None
    started: float = field(default_factory=time.monotonic)
    ended_trials: int = 0
    """Trials that ended in this driver; an earlier driver's are in `counts` only."""
    epochs: int = 0

    @property
    def elapsed(self) -> float:
        return time.monotonic() - self.started

    @property
    def seconds_left(self) -> float | None:
        """Estimate of the remaining seconds; None before the first trial ended."""
        if not self.ended_trials:
            return None
        return self.elapsed / self.ended_trials * (self.target - self.counts.done)


class ProgressDisplay(Protocol):
    """Shows the progress of a sweep; see harness.cli.progress."""

    def message(self, text: str) -> None: ...
    def refresh(self, progress: Progress) -> None: ...
    def trial_ended(
        self, progress: Progress, trial: Trial, state: State, outcome: Outcome | None, reason: str
    ) -> None: ...


class Silent:
    """Shows nothing: the default of the Python interface."""

    def message(self, text: str) -> None: ...
    def refresh(self, progress: Progress) -> None: ...
    def trial_ended(
        self, progress: Progress, trial: Trial, state: State, outcome: Outcome | None, reason: str
    ) -> None: ...
