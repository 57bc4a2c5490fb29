"""A study's Optuna record: ask, report, tell, and what happens to interrupted trials."""

from __future__ import annotations

import bisect
from dataclasses import dataclass
from typing import Any

import optuna
from optuna.trial import FrozenTrial, TrialState

from harness.config.schema import StudyConfig
from harness.errors import ConfigError
from harness.metrics import get_sort_sign
from harness.results import EpochMetrics, Outcome, TrialResult
from harness.search.record import Uninterrupted
from harness.search.samplers import RANDOM_TRIALS, sampler
from harness.system.failpoints import failpoint
from harness.trial import Trial

ATTEMPTS = 3
"""A trial whose worker died so often has finally failed."""


@dataclass(frozen=True)
class Counts:
    """Trials by how they ended for good; interrupted attempts count for nothing."""

    complete: int
    pruned: int
    failed: int

    @property
    def done(self) -> int:
        return self.complete + self.pruned + self.failed


class Search:
    """One study, asked and told by one driver. Get one from `open_search`."""

    def __init__(self, config: StudyConfig, study: optuna.Study) -> None:
        self.config, self._study = config, study
        self._judged = Uninterrupted(study.study_name, study._storage)
        self.uid: str = study.user_attrs["uid"]
        self.set_aside: str | None = study.user_attrs["set_aside"]
        """The suffix of the study that --fresh put away for this one, if it did."""
        self._asked: dict[int, optuna.Trial] = {}
        self._space = optuna.search_space.IntersectionSearchSpace(include_pruned=True)
        frozen = study.get_trials(deepcopy=False)
        self.stale = [trial.number for trial in frozen if trial.state == TrialState.RUNNING]
        """Trials that a dead driver left running: ours to `adopt` or to interrupt."""
        self._ordinals = sum("retry_of" not in trial.user_attrs for trial in frozen)
        by_state = [
            sum(trial.state == state and not _interrupted(trial) for trial in frozen)
            for state in (TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL)
        ]
        self.counts = Counts(*by_state)
        self.ranking = sorted(
            self.rank(trial.number, trial.value)
            for trial in frozen
            if trial.state == TrialState.COMPLETE and trial.value is not None
        )
        """`rank` of every complete trial, best first."""

    @property
    def learns(self) -> bool:
        return self.config.study.sampler == "tpe"

    @property
    def in_flight_limit(self) -> int | None:
        """How many trials may run at once, or None for any number.

        A quarter of the study once TPE learns from what came back. Its first draws are random, as
        the other samplers' always are: they need not wait for anything.
        """
        if not self.learns or self._ordinals < RANDOM_TRIALS:
            return None
        return max(1, self.config.study.trials // 4)

    def ask(self) -> Trial:
        """The next trial: an interrupted one again if any waits, else new settings.

        The sampler is seeded by (study's seed, ordinal), the trial's place among those that are no
        retries, so that a continued study draws what an uninterrupted one would have drawn.
        """
        waiting = self._study.get_trials(deepcopy=False, states=(TrialState.WAITING,))
        again = [trial.user_attrs["ordinal"] for trial in waiting]
        ordinal = min(again, default=self._ordinals)
        self._study.sampler = sampler(self.config, ordinal, self._space)
        asked = self._study.ask()
        failpoint("search.asked")
        self._ordinals += not waiting
        try:
            spec = self.config.build_spec(asked, ordinal)
        except ValueError as error:
            self._study.tell(asked, state=TrialState.FAIL)
            raise ConfigError(
                f"{self.config.source}: [space] draws a trial that cannot be trained: {error}"
            ) from None
        # The last write: it also says that every parameter was drawn. A retry has its ordinal.
        asked.set_user_attr(*(("drawn", True) if waiting else ("ordinal", ordinal)))
        self._asked[asked.number] = asked
        return Trial(
            number=asked.number,
            uid=self.trial_uid(asked.number),
            spec=spec,
            attempt=asked.user_attrs.get("attempt", 1),
        )

    def trial(self, number: int) -> Trial:
        """A trial as it was asked for; the fixed fields alone if it was not drawn to its end."""
        frozen = self._study.get_trials(deepcopy=False)[number]
        drawn = drawn_of(frozen)
        if drawn is None and self.config.settings:  # of a list, nothing need be drawn
            drawn = {}
        spec = (
            self.config.build_fixed_spec()
            if drawn is None
            else self.config.build_spec(optuna.trial.FixedTrial(drawn), self._ordinal(number))
        )
        attempt = frozen.user_attrs.get("attempt", 1)
        return Trial(number=number, uid=self.trial_uid(number), spec=spec, attempt=attempt)

    def trial_uid(self, number: int) -> str:
        return f"{self.uid}/{number}"

    def report(self, number: int, metrics: EpochMetrics) -> bool:
        """Tell the pruner of an epoch; False where it wants the trial stopped."""
        asked = self._asked[number]
        asked.report(metrics.get_objective(self.config.study.objective), metrics.epoch)
        return not self._study.pruner.prune(self._judged, asked._get_latest_trial())

    def tell_result(self, number: int, result: TrialResult) -> None:
        """The best epoch's objective, not the last's."""
        if result.stopped == "pruned":
            self._study.tell(number, state=TrialState.PRUNED)
            self._count(pruned=1)
        else:
            value = result.best.get_objective(self.config.study.objective)
            self._study.tell(number, value)
            bisect.insort(self.ranking, self.rank(number, value))
            self._count(complete=1)
        self._settle(number)

    def tell_failure(self, number: int, reason: str) -> None:
        self._explain(number, reason)
        self._study.tell(number, state=TrialState.FAIL)
        self._count(failed=1)
        self._settle(number)

    def adopt(self, number: int, outcome: Outcome | None, reason: str) -> None:
        """Tell of a stale trial what its record says: its driver died before it could."""
        if isinstance(outcome, TrialResult):
            self.tell_result(number, outcome)
        else:
            self.tell_failure(number, reason)

    @property
    def settled(self) -> bool:
        """Whether it is known of every trial how it ended."""
        return not self._asked and not self.stale

    def requeue(self, number: int, reason: str, blamed: bool) -> int | None:
        """Queue the settings of an attempt that nothing came of; `tell_interrupted` closes it.

        Where the trial is `blamed`, because its worker died under it, that counts as one of its
        attempts. Returns the number under which it will run again, None after the last attempt.
        Called again for the same trial, by the next driver, it finds what is queued already.
        """
        trial = self._study.get_trials(deepcopy=False)[number]
        self._explain(number, reason)
        attempt = trial.user_attrs.get("attempt", 1) + blamed
        if attempt > ATTEMPTS:
            return None
        successor = self._successor(number)
        if successor is None:
            self._study.enqueue_trial(
                drawn_of(trial) or {},
                user_attrs={
                    "retry_of": number,
                    "attempt": attempt,
                    "ordinal": self._ordinal(number),
                },
            )
            failpoint("search.enqueued")
            successor = self._successor(number)
        self._study._storage.set_trial_user_attr(trial._trial_id, "successor", successor)
        return successor

    def tell_interrupted(self, number: int, successor: int | None) -> None:
        self._study.tell(number, state=TrialState.FAIL)
        if successor is None:
            self._count(failed=1)
        self._settle(number)

    def _settle(self, number: int) -> None:
        self._asked.pop(number, None)
        if number in self.stale:
            self.stale.remove(number)

    def _explain(self, number: int, reason: str) -> None:
        trial = self._study.get_trials(deepcopy=False)[number]
        self._study._storage.set_trial_user_attr(trial._trial_id, "reason", reason)

    def _ordinal(self, number: int) -> int:
        """A trial's place among those that are no retries, though it may not say so itself."""
        trials = self._study.get_trials(deepcopy=False)
        known: int | None = trials[number].user_attrs.get("ordinal")
        before = trials[:number]
        return (
            known
            if known is not None
            else sum("retry_of" not in trial.user_attrs for trial in before)
        )

    def _successor(self, number: int) -> int | None:
        for trial in self._study.get_trials(deepcopy=False):
            if trial.user_attrs.get("retry_of") == number:
                return trial.number
        return None

    def rank(self, number: int, value: float) -> tuple[float, int]:
        """Sorts trials best first, the earlier of equals first."""
        return get_sort_sign(self.config.study.objective) * value, number

    def _count(self, complete: int = 0, pruned: int = 0, failed: int = 0) -> None:
        now = self.counts
        self.counts = Counts(now.complete + complete, now.pruned + pruned, now.failed + failed)


def drawn_of(trial: FrozenTrial) -> dict[str, Any] | None:
    """A trial's parameters; None where its driver died before all of them were drawn."""
    if trial.user_attrs.get("retry_of") is None:
        return trial.params if "ordinal" in trial.user_attrs else None
    if "drawn" in trial.user_attrs:
        return trial.params
    given: dict[str, Any] = trial.system_attrs.get("fixed_params", {})
    return given or None  # of an attempt that was not drawn to its end either


def _interrupted(trial: FrozenTrial) -> bool:
    return trial.state == TrialState.FAIL and trial.user_attrs.get("successor") is not None
