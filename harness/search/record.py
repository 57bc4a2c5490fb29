"""Optuna's study where attempts are interrupted: an attempt that nothing came of is no trial."""

from __future__ import annotations

from collections.abc import Container

import optuna
from optuna.trial import FrozenTrial, TrialState


class Record(optuna.Study):
    """What waits to be tried again is asked for in the order in which it was first drawn.

    Optuna goes by number: of two interrupted attempts, the one that was interrupted again would
    come after the other, and the pruner would see their epochs in another order.
    """

    def _pop_waiting_trial_id(self) -> int | None:
        waiting = self.get_trials(deepcopy=False, states=(TrialState.WAITING,))
        if not waiting:
            return None
        first = min(waiting, key=lambda trial: trial.user_attrs["ordinal"])
        self._storage.set_trial_state_values(first._trial_id, state=TrialState.RUNNING)
        return first._trial_id


class Uninterrupted(optuna.Study):
    """A record as its pruner is to see it: each setting once, by the attempt that counts.

    Hyperband alone looks past it, and its brackets go by the trial's number, which an attempt has
    of its own: it may stop other trials of an interrupted study than it would have.
    """

    def get_trials(
        self, deepcopy: bool = True, states: Container[TrialState] | None = None
    ) -> list[FrozenTrial]:
        trials = super().get_trials(deepcopy, states)
        return [trial for trial in trials if trial.user_attrs.get("successor") is None]
