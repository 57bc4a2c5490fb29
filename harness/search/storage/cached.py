"""An Optuna storage that reads its trials once and answers from memory.

Optuna asks for all trials at every epoch and for every sampled trial. From a database it would
read those that have not ended each time, over the network. A study has only one writer, its driver,
so what was read once and written since is what the database holds.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Container, Sequence
from typing import Any

from optuna.distributions import BaseDistribution
from optuna.storages import BaseStorage
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from harness.errors import StudyError
from harness.search.storage.forwarding import ForwardingStorage


class CachedStorage(ForwardingStorage):
    """Writes everything through at once; answers reads from memory.

    A trial that was returned to a caller is never changed: a changed copy replaces it.
    """

    def __init__(self, inner: BaseStorage) -> None:
        super().__init__(inner)
        self._trials: dict[int, list[FrozenTrial]] = {}
        """By study id: its trials, by number."""
        self._places: dict[int, tuple[int, int]] = {}
        """By trial id: the study's id and the trial's number."""
        self._directions: dict[int, list[StudyDirection]] = {}

    def get_all_trials(
        self, study_id: int, deepcopy: bool = True, states: Container[TrialState] | None = None
    ) -> list[FrozenTrial]:
        trials = [
            trial
            for trial in self._load_trials(study_id)
            if states is None or trial.state in states
        ]
        return copy.deepcopy(trials) if deepcopy else trials

    def get_trial(self, trial_id: int) -> FrozenTrial:
        return copy.deepcopy(self._get(trial_id))  # optuna.Trial modifies what it gets

    def get_study_directions(self, study_id: int) -> list[StudyDirection]:
        if study_id not in self._directions:
            self._directions[study_id] = self._inner.get_study_directions(study_id)
        return self._directions[study_id]

    def create_new_trial(self, study_id: int, template_trial: FrozenTrial | None = None) -> int:
        """Create a trial. Raises StudyError if another process has created trials."""
        trials = self._load_trials(study_id)
        trial_id = self._inner.create_new_trial(study_id, template_trial)
        trial = self._inner.get_trial(trial_id)
        if trial.number != len(trials):
            raise StudyError(
                f"the new trial has the number {trial.number} instead of {len(trials)}: another "
                "process wrote into this study; rerun the same command to continue with the trials "
                "of both"
            )
        trials.append(trial)
        self._places[trial_id] = study_id, trial.number
        return trial_id

    def set_trial_state_values(
        self, trial_id: int, state: TrialState, values: Sequence[float] | None = None
    ) -> bool:
        was_set = self._inner.set_trial_state_values(trial_id, state, values)
        self._replace(trial_id, self._inner.get_trial(trial_id))
        return was_set

    def set_trial_param(
        self,
        trial_id: int,
        param_name: str,
        param_value_internal: float,
        distribution: BaseDistribution,
    ) -> None:
        self._inner.set_trial_param(trial_id, param_name, param_value_internal, distribution)
        trial = copy.copy(self._get(trial_id))
        value = distribution.to_external_repr(param_value_internal)
        trial.params = {**trial.params, param_name: value}
        trial.distributions = {**trial.distributions, param_name: distribution}
        self._replace(trial_id, trial)

    def set_trial_intermediate_value(
        self, trial_id: int, step: int, intermediate_value: float
    ) -> None:
        self._inner.set_trial_intermediate_value(trial_id, step, intermediate_value)
        trial = copy.copy(self._get(trial_id))
        trial.intermediate_values = {**trial.intermediate_values, step: intermediate_value}
        self._replace(trial_id, trial)

    def set_trial_user_attr(self, trial_id: int, key: str, value: Any) -> None:
        self._inner.set_trial_user_attr(trial_id, key, value)
        trial = copy.copy(self._get(trial_id))
        trial.user_attrs = {**trial.user_attrs, key: _convert_as_stored(value)}
        self._replace(trial_id, trial)

    def set_trial_system_attr(self, trial_id: int, key: str, value: Any) -> None:
        self._inner.set_trial_system_attr(trial_id, key, value)
        trial = copy.copy(self._get(trial_id))
        trial.system_attrs = {**trial.system_attrs, key: _convert_as_stored(value)}
        self._replace(trial_id, trial)

    def _load_trials(self, study_id: int) -> list[FrozenTrial]:
        if study_id not in self._trials:
            trials = self._inner.get_all_trials(study_id, deepcopy=False)
            self._trials[study_id] = sorted(trials, key=lambda trial: trial.number)
            for trial in trials:
                self._places[trial._trial_id] = study_id, trial.number
        return self._trials[study_id]

    def _get(self, trial_id: int) -> FrozenTrial:
        study_id, number = self._places[trial_id]
        return self._trials[study_id][number]

    def _replace(self, trial_id: int, trial: FrozenTrial) -> None:
        study_id, number = self._places[trial_id]
        self._trials[study_id][number] = trial


def _convert_as_stored(value: Any) -> Any:
    return json.loads(json.dumps(value))
