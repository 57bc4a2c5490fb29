"""The progress of a sweep, and the interface of what displays it.

The display is the first thing on the screen, so nothing heavy is imported here.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from harness.results import EpochMetrics, Objective, Outcome
    from harness.search.counts import Counts
    from harness.tracking.types import State
    from harness.trial import Trial

MIN_TRAINED = 0.1
"""Trials that must be trained before the remaining time is estimated."""


@dataclass
class RunningTrial:
    """A trial between its submission and its end."""

    trial: Trial
    worker: str = ""
    epochs: list[EpochMetrics] = field(default_factory=list)
    recorded: bool = False
    """Whether its end is on record; then Optuna may be told nothing else."""

    @property
    def trained_share(self) -> float:
        """The share of its epochs that are trained."""
        return self.epochs[-1].epoch / self.trial.spec.epochs if self.epochs else 0.0


@dataclass(frozen=True)
class BestTrial:
    """The best trial so far, by the study's objective."""

    label: str
    """See `Trial.label`."""
    value: float
    settings: str
    """Empty if the label is the name of the settings."""

    @classmethod
    def of(cls, trial: Trial, value: float) -> BestTrial:
        return cls(trial.label, value, "" if trial.name else trial.spec.describe())

    def describe(self) -> str:
        """`trial 12: 256-128 · adam 0.003`."""
        return f"{self.label}: {self.settings}" if self.settings else self.label


@dataclass
class Progress:
    """The current state of a sweep, for a progress display."""

    target: int
    objective: Objective
    counts: Counts
    running: dict[str, RunningTrial] = field(default_factory=dict)
    best: BestTrial | None = None
    timeout: float | None = None
    """Seconds after which no more trials are started."""
    noun: str = "trial"
    """What is counted: `trial`, or `run` for a confirmation."""
    started: float = field(default_factory=time.monotonic)
    ended_trials: int = 0
    """Trials that ended in this driver; an earlier driver's are in `counts` only."""
    epochs: int = 0
    is_stopping: bool = False
    """The driver trains no more: it leaves retries to the next driver."""

    @property
    def elapsed(self) -> float:
        return time.monotonic() - self.started

    @property
    def running_trials(self) -> list[RunningTrial]:
        """A copy of the running trials, for a display that has its own thread."""
        return list(self.running.values())

    @property
    def done(self) -> float:
        """The number of ended trials, and the trained shares of the running ones."""
        shares = sum(running.trained_share for running in self.running_trials)
        return min(self.target, self.counts.done + shares)

    @property
    def seconds_left(self) -> float | None:
        """Estimate of the remaining seconds, without a timeout; None before enough is trained."""
        trained = self.done - self.counts.done + self.ended_trials
        if trained < MIN_TRAINED:
            return None
        return self.elapsed / trained * (self.target - self.done)

    @property
    def seconds_to_timeout(self) -> float | None:
        """Seconds until no more trials are started; None without a timeout."""
        return None if self.timeout is None else max(0.0, self.timeout - self.elapsed)


class ProgressDisplay(Protocol):
    """Shows the progress of a sweep; see harness.progress."""

    def stage(self, text: str) -> None:
        """Begin a stage, such as `exporting the model`; it ends the stage before it."""

    def message(self, text: str) -> None:
        """Show a line that stays; after a newline and two spaces, a command to copy."""

    def refresh(self, progress: Progress) -> None:
        """Show the progress of the current stage's trials; called some four times a second."""

    def trial_ended(
        self, progress: Progress, trial: Trial, state: State, outcome: Outcome | None, reason: str
    ) -> None: ...


class Silent:
    """Shows nothing: the default of the Python interface, and a base for other displays."""

    def stage(self, text: str) -> None: ...
    def message(self, text: str) -> None: ...
    def refresh(self, progress: Progress) -> None: ...
    def trial_ended(
        self, progress: Progress, trial: Trial, state: State, outcome: Outcome | None, reason: str
    ) -> None: ...


class MessagesOnly:
    """Shows all but ends of trials: a replay or a final training is none of the study's trials."""

    def __init__(self, watcher: ProgressDisplay) -> None:
        self.stage, self.message, self.refresh = watcher.stage, watcher.message, watcher.refresh

    def trial_ended(
        self, progress: Progress, trial: Trial, state: State, outcome: Outcome | None, reason: str
    ) -> None: ...
