"""How many trials of a study ended, and how."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from optuna.trial import FrozenTrial, TrialState

from harness.search.frozen_trial import is_interrupted


@dataclass(frozen=True)
class Counts:
    """Numbers of ended trials; interrupted trials are not counted."""

    complete: int
    pruned: int
    failed: int

    @property
    def done(self) -> int:
        return self.complete + self.pruned + self.failed

    def add(self, complete: int = 0, pruned: int = 0, failed: int = 0) -> Counts:
        return replace(
            self,
            complete=self.complete + complete,
            pruned=self.pruned + pruned,
            failed=self.failed + failed,
        )


def count_trials(trials: Sequence[FrozenTrial]) -> Counts:
    """Count the ended trials of a record."""
    by_state = [
        sum(trial.state == state and not is_interrupted(trial) for trial in trials)
        for state in (TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL)
    ]
    return Counts(*by_state)
