"""A storage on a server, read once: its only writer knows what it holds.

Optuna asks for all trials at every epoch and every draw; of a server's storage it would read those
that are not ended each time, over the network.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Container
from typing import Any

from optuna.distributions import BaseDistribution
from optuna.storages import BaseStorage
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from harness.errors import StudyError


class _Mirror:
    """See `mirrored`. A trial that was given away is never changed: a copy takes its place."""

    def __init__(self, inner: BaseStorage) -> None:
        self._inner = inner
        self._trials: dict[int, list[FrozenTrial]] = {}
        """Of each study that was asked for, by number."""
        self._places: dict[int, tuple[int, int]] = {}
        """Study and number, by a trial's id."""
        self._directions: dict[int, list[StudyDirection]] = {}

    def get_all_trials(
        self, study_id: int, deepcopy: bool = True, states: Container[TrialState] | None = None
    ) -> list[FrozenTrial]:
        found = [
            trial for trial in self._known(study_id) if states is None or trial.state in states
        ]
        return copy.deepcopy(found) if deepcopy else found

    def get_trial(self, trial_id: int) -> FrozenTrial:
        return copy.deepcopy(self._own(trial_id))  # optuna.Trial writes into what it is given

    def get_study_directions(self, study_id: int) -> list[StudyDirection]:
        if study_id not in self._directions:
            self._directions[study_id] = self._inner.get_study_directions(study_id)
        return self._directions[study_id]

    def create_new_trial(self, study_id: int, template_trial: FrozenTrial | None = None) -> int:
        """Raises StudyError where there are trials that we know nothing of."""
        trials = self._known(study_id)
        trial_id = self._inner.create_new_trial(study_id, template_trial)
        made = self._inner.get_trial(trial_id)
        if made.number != len(trials):
            raise StudyError(
                f"trial {made.number} was drawn where {len(trials)} was due: another process wrote "
                "into this study; the same command goes on with what both did"
            )
        trials.append(made)
        self._places[trial_id] = study_id, made.number
        return trial_id

    def set_trial_state_values(self, trial_id: int, state: TrialState, values: Any = None) -> bool:
        done = self._inner.set_trial_state_values(trial_id, state, values)
        self._put(trial_id, self._inner.get_trial(trial_id))
        return done

    def set_trial_param(
        self, trial_id: int, param_name: str, value: float, distribution: BaseDistribution
    ) -> None:
        self._inner.set_trial_param(trial_id, param_name, value, distribution)
        trial = copy.copy(self._own(trial_id))
        trial.params = {**trial.params, param_name: distribution.to_external_repr(value)}
        trial.distributions = {**trial.distributions, param_name: distribution}
        self._put(trial_id, trial)

    def set_trial_intermediate_value(self, trial_id: int, step: int, value: float) -> None:
        self._inner.set_trial_intermediate_value(trial_id, step, value)
        trial = copy.copy(self._own(trial_id))
        trial.intermediate_values = {**trial.intermediate_values, step: value}
        self._put(trial_id, trial)

    def set_trial_user_attr(self, trial_id: int, key: str, value: Any) -> None:
        self._inner.set_trial_user_attr(trial_id, key, value)
        trial = copy.copy(self._own(trial_id))
        trial.user_attrs = {**trial.user_attrs, key: _as_stored(value)}
        self._put(trial_id, trial)

    def set_trial_system_attr(self, trial_id: int, key: str, value: Any) -> None:
        self._inner.set_trial_system_attr(trial_id, key, value)
        trial = copy.copy(self._own(trial_id))
        trial.system_attrs = {**trial.system_attrs, key: _as_stored(value)}
        self._put(trial_id, trial)

    def _known(self, study_id: int) -> list[FrozenTrial]:
        if study_id not in self._trials:
            trials = self._inner.get_all_trials(study_id, deepcopy=False)
            self._trials[study_id] = sorted(trials, key=lambda trial: trial.number)
            for trial in trials:
                self._places[trial._trial_id] = study_id, trial.number
        return self._trials[study_id]

    def _own(self, trial_id: int) -> FrozenTrial:
        study_id, number = self._places[trial_id]
        return self._trials[study_id][number]

    def _put(self, trial_id: int, trial: FrozenTrial) -> None:
        study_id, number = self._places[trial_id]
        self._trials[study_id][number] = trial


def _as_stored(value: Any) -> Any:
    return json.loads(json.dumps(value))


def _passed_on(method: str) -> Callable[..., Any]:
    def call(self: _Mirror, *given: Any, **more: Any) -> Any:
        return getattr(self._inner, method)(*given, **more)

    return call


_OTHERS = BaseStorage.__abstractmethods__ - vars(_Mirror).keys()
_Storage: Any = type(
    "MirroredStorage", (_Mirror, BaseStorage), {name: _passed_on(name) for name in _OTHERS}
)


def mirrored(inner: BaseStorage) -> BaseStorage:
    """`inner`, into whose studies nobody else writes. Everything is written through at once."""
    storage: BaseStorage = _Storage(inner)
    return storage
