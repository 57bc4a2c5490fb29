"""One study's search: ask for trials, report epochs, tell results, requeue interrupted trials.

An attempt whose worker or driver died is an interrupted trial: it ends as failed, and its settings
are enqueued again as a new Optuna trial, its successor.
"""

from __future__ import annotations

import bisect
import math
from typing import Any

import optuna
from optuna.trial import FixedTrial, TrialState

from harness.config.limits import is_within
from harness.config.schema import GRID_OR_LIST, StudyConfig
from harness.errors import ConfigError
from harness.metrics import estimate_standard_error, get_sort_sign
from harness.results import EpochMetrics, Outcome, TrialResult
from harness.search.counts import Counts, count_trials
from harness.search.distinct import DistinctSampler, SampledSettings
from harness.search.first_settings import FirstSettingsSampler
from harness.search.frozen_trial import find_ordinal, get_sampled_params, get_value
from harness.search.limits import KEPT, Limits, Measure, get_costs
from harness.search.objectives import list_values
from harness.search.pruning import Pruning
from harness.search.samplers import RANDOM_TRIALS, SAMPLERS, make_sampler, untrainable_error
from harness.search.stop_rule import ERROR_ATTRIBUTE, Stop, find_stop_reason
from harness.system.failpoints import failpoint
from harness.trial import Trial

ATTEMPTS = 3
"""A trial whose worker died this often has failed."""


class Search:
    """A study's trials, for one driver. Use `open_search` to create one."""

    def __init__(
        self, config: StudyConfig, study: optuna.Study, measure: Measure | None = None
    ) -> None:
        self.config, self._study = config, study
        self._pruning = Pruning(config, study)
        self.uid: str = study.user_attrs["uid"]
        self.set_aside: str | None = study.user_attrs["set_aside"]
        """The suffix under which the study of this name before this one was archived."""
        self.set_aside_uid: str = study.user_attrs.get("set_aside_uid", "")
        """The uid of that study; empty if it is not on record."""
        self.first: list[dict[str, Any]] = study.user_attrs.get("first", [])
        """The parameters of the first trials, where the study file chose them."""
        self.replaced = False
        """Whether `open_search` archived a study that had trained nothing."""
        self._running: dict[int, optuna.Trial] = {}
        self.stop = Stop.read(study.user_attrs.get("stop"), config.study.stop_when)
        """Why the search ends before its last trial; None if it does not."""
        self._space = optuna.search_space.IntersectionSearchSpace(include_pruned=True)
        frozen = study.get_trials(deepcopy=False)
        self.stale = [trial.number for trial in frozen if trial.state == TrialState.RUNNING]
        """Numbers of trials that a dead driver left running: `tell_outcome` or `requeue` them."""
        self._next_ordinal = sum("retry_of" not in trial.user_attrs for trial in frozen)
        self.counts: Counts = count_trials(frozen)
        self.limits = Limits(config, measure)
        self.limits.remember(frozen)
        self._outside = {trial.number for trial in frozen if self.limits.is_outside(trial)}
        self.ranking = sorted(
            self.rank(trial.number, value)
            for trial in frozen
            if trial.state == TrialState.COMPLETE
            and (value := get_value(trial)) is not None
            and trial.number not in self._outside
        )
        """`rank` of every complete trial that may be the champion, best first."""
        self._sampled = SampledSettings(config, frozen)
        self._settings = self.limits.count_recorded(study)

    @property
    def learns(self) -> bool:
        """Whether the sampler uses the results of earlier trials."""
        return SAMPLERS[self.config.study.sampler].learns

    @property
    def target(self) -> int:
        """The number of trials: as requested, but not more than the space has settings."""
        trials, settings = self.config.study.trials, self._settings
        if settings is not None:
            trials = min(trials, settings + self._sampled.repeats)
        return trials if self.stop is None else min(trials, self.stop.trials)

    @property
    def limit(self) -> int | None:
        """The number of trials at which a stop rule has ended the search; None if none has."""
        return None if self.stop is None else self.stop.trials

    @property
    def in_flight_limit(self) -> int | None:
        """How many trials may run at once; None for any number.

        A quarter of the study's trials, for a sampler that learns. Its first trials are sampled at
        random and need not wait for results.
        """
        if not self.learns or self._next_ordinal < RANDOM_TRIALS:
            return None
        return max(1, self.config.study.trials // 4)

    def ask(self) -> Trial:
        """The next trial: a retry if one is waiting, otherwise new settings.

        The sampler's seed depends on the study's seed and the trial's ordinal (its place among the
        trials that are not retries), so a continued study samples what an uninterrupted one would.
        A search does not sample the settings of an earlier trial again, whatever became of it.
        Raises ConfigError for settings that cannot be trained.
        """
        waiting = self._study.get_trials(deepcopy=False, states=(TrialState.WAITING,))
        ordinal = min((each.user_attrs["ordinal"] for each in waiting), default=self._next_ordinal)
        sampler = make_sampler(self.config, ordinal, self._space)
        if ordinal < len(self.first):
            sampler = FirstSettingsSampler(self.first[ordinal])
        elif self.config.study.sampler not in GRID_OR_LIST:
            more = SAMPLERS[self.config.study.sampler].draws, self.limits
            sampler = DistinctSampler(sampler, self.config, ordinal, self._sampled, *more)
        self._study.sampler = sampler
        trial = self._study.ask()
        failpoint("search.asked")
        self._next_ordinal += not waiting
        try:
            spec = self.config.build_spec(trial, ordinal)
            costs = self.limits.record(trial, spec, sampler)
        except (ConfigError, ValueError) as error:
            self._study.tell(trial, state=TrialState.FAIL)
            raise untrainable_error(self.config, error) from None
        if not is_within(self.limits.values, costs):
            self._outside.add(trial.number)
        # The last write marks the trial as completely sampled. A retry has its ordinal already.
        trial.set_user_attr(*(("drawn", True) if waiting else ("ordinal", ordinal)))
        self._running[trial.number] = trial
        self._sampled.add(spec, ordinal)
        return Trial(
            number=trial.number,
            uid=self.trial_uid(trial.number),
            spec=spec,
            attempt=trial.user_attrs.get("attempt", 1),
            name=self._get_name(ordinal),
            costs=get_costs(trial.user_attrs),
        )

    def get_trial(self, number: int) -> Trial:
        """A recorded trial; its fixed fields alone if it was not completely sampled."""
        frozen = self._study.get_trials(deepcopy=False)[number]
        params = get_sampled_params(frozen)
        if params is None and self.config.settings:  # the settings of a list are not sampled
            params = {}
        spec = (
            self.config.build_fixed_spec()
            if params is None
            else self.config.build_spec(FixedTrial(params), self._find_ordinal(number))
        )
        attempt = frozen.user_attrs.get("attempt", 1)
        name = self._get_name(self._find_ordinal(number))
        uid, costs = self.trial_uid(number), get_costs(frozen.user_attrs)
        return Trial(number=number, uid=uid, spec=spec, attempt=attempt, name=name, costs=costs)

    def _get_name(self, ordinal: int) -> str:
        """The name of a trial's [[trial]] table, with its seed if there are several; else empty."""
        names, study = list(self.config.settings), self.config.study
        if not names:
            return ""
        name, seed = names[ordinal % len(names)], study.seed + ordinal // len(names)
        return f"{name}, seed {seed}" if study.seeds > 1 else name

    def trial_uid(self, number: int) -> str:
        return f"{self.uid}/{number}"

    def list_results(self) -> list[int]:
        """The numbers of the trials that ended with a result."""
        states = (TrialState.COMPLETE, TrialState.PRUNED)
        return [trial.number for trial in self._study.get_trials(deepcopy=False, states=states)]

    def report(self, number: int, metrics: EpochMetrics) -> bool:
        """Report an epoch to the pruner. False if the trial should stop."""
        return self._pruning.keeps(self._running[number], metrics, self.ranking)

    def tell_result(self, number: int, result: TrialResult) -> None:
        """Tell Optuna a trial's result: the objective of its best epoch, not of its last."""
        if result.stopped == "pruned":
            self._study.tell(number, state=TrialState.PRUNED)
            self.counts = self.counts.add(pruned=1)
        else:
            trial = self._study.get_trials(deepcopy=False)[number]
            if self.config.study.stop_when == "settled":
                error = estimate_standard_error(self.config.study.objective, result)
                self._set_attribute(number, ERROR_ATTRIBUTE, error)
            self._pruning.record(number)
            values = list_values(self.config, trial, result)
            self._study.tell(number, values)
            if number not in self._outside:
                bisect.insort(self.ranking, self.rank(number, values[0]))
            self.counts = self.counts.add(complete=1)
        self._forget(number)
        self._judge_stop()

    def tell_failure(self, number: int, reason: str) -> None:
        self._set_attribute(number, "reason", reason)
        self._study.tell(number, state=TrialState.FAIL)
        self.counts = self.counts.add(failed=1)
        self._forget(number)

    def tell_outcome(self, number: int, outcome: Outcome | None, reason: str) -> None:
        """Tell Optuna the recorded outcome of a stale trial, whose driver died before it could."""
        if isinstance(outcome, TrialResult):
            self.tell_result(number, outcome)
        else:
            self.tell_failure(number, reason)

    def _judge_stop(self) -> None:
        """Apply the stop rule, and record if it ends the search."""
        study = self.config.study
        if study.stop_when == "never" or self._next_ordinal >= self.target:
            return
        trials = self._study.get_trials(deepcopy=False)
        reason = find_stop_reason(study.stop_when, trials, study.objective)
        if reason:
            self.stop = Stop(study.stop_when, self._next_ordinal, reason)
            self._study.set_user_attr("stop", self.stop.to_dict())
            self._study.set_user_attr("requested", self.stop.trials)

    @property
    def has_ended_all(self) -> bool:
        """Whether every trial has ended."""
        return not self._running and not self.stale

    def requeue(self, number: int, reason: str, blamed: bool) -> int | None:
        """Enqueue the settings of an interrupted trial again; `tell_interrupted` ends it.

        A second call for the same trial, by the next driver, enqueues nothing.

        Args:
            blamed: its worker died while it trained it, which counts as one of its attempts.

        Returns:
            The number of its successor; None after the last attempt.
        """
        trial = self._study.get_trials(deepcopy=False)[number]
        self._set_attribute(number, "reason", reason)
        attempt = trial.user_attrs.get("attempt", 1) + blamed
        if attempt > ATTEMPTS:
            return None
        successor = self._find_successor(number)
        if successor is None:
            self._study.enqueue_trial(
                get_sampled_params(trial) or {},
                user_attrs={
                    "retry_of": number,
                    "attempt": attempt,
                    "ordinal": self._find_ordinal(number),
                }
                | {name: value for name, value in trial.user_attrs.items() if name in KEPT},
            )
            failpoint("search.enqueued")
            successor = self._find_successor(number)
        self._set_attribute(number, "successor", successor)
        return successor

    def tell_interrupted(self, number: int, successor: int | None) -> None:
        """End an interrupted trial; without a successor it counts as failed."""
        self._study.tell(number, state=TrialState.FAIL)
        if successor is None:
            self.counts = self.counts.add(failed=1)
        self._forget(number)

    def _forget(self, number: int) -> None:
        self._running.pop(number, None)
        if number in self.stale:
            self.stale.remove(number)

    def _set_attribute(self, number: int, name: str, value: Any) -> None:
        trial = self._study.get_trials(deepcopy=False)[number]
        self._study._storage.set_trial_user_attr(trial._trial_id, name, value)

    def _find_ordinal(self, number: int) -> int:
        """A trial's ordinal, also if its driver died before it was recorded."""
        return find_ordinal(self._study.get_trials(deepcopy=False), number)

    def _find_successor(self, number: int) -> int | None:
        trials = self._study.get_trials(deepcopy=False)
        return next((t.number for t in trials if t.user_attrs.get("retry_of") == number), None)

    def rank(self, number: int, value: float) -> tuple[float, int]:
        """Sort key: the better value first, then the lower number; trials outside [limits] last."""
        if number in self._outside:
            return math.inf, number
        return get_sort_sign(self.config.study.objective) * value, number
