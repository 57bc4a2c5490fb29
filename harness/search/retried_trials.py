"""Optuna studies with retries: the order in which retries run, and what a pruner sees."""

from __future__ import annotations

from collections.abc import Container

import optuna
from optuna.trial import FrozenTrial, TrialState


class OrderedRetriesStudy(optuna.Study):
    """An Optuna study that runs enqueued retries in the order of their ordinals.

    Optuna runs them by trial number. A trial that was interrupted twice would then run after one
    that was sampled later, and the pruner would see their epochs in another order.
    """

    def _pop_waiting_trial_id(self) -> int | None:
        waiting = self.get_trials(deepcopy=False, states=(TrialState.WAITING,))
        if not waiting:
            return None
        first = min(waiting, key=lambda trial: trial.user_attrs["ordinal"])
        self._storage.set_trial_state_values(first._trial_id, state=TrialState.RUNNING)
        return first._trial_id


class PrunerView(optuna.Study):
    """A study as its pruner sees it: without interrupted trials that have a successor.

    Hyperband's brackets depend on the trial number, and a retry has a new number: after an
    interruption Hyperband may stop other trials than it would have stopped without it.
    """

    def get_trials(
        self, deepcopy: bool = True, states: Container[TrialState] | None = None
    ) -> list[FrozenTrial]:
        trials = super().get_trials(deepcopy, states)
        return [trial for trial in trials if trial.user_attrs.get("successor") is None]
