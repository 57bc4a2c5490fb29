"""A study's Optuna record: ask, report, tell, and what happens to interrupted trials."""

from __future__ import annotations

import bisect
import json
import uuid
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import optuna
from optuna.storages.journal import JournalFileBackend
from optuna.trial import FrozenTrial, TrialState

from harness.config import GIVEN, LIST, StudyConfig
from harness.errors import ConfigError, StudyError
from harness.search.grid import Point
from harness.search.journal import locked, set_aside
from harness.trial import EpochMetrics, Trial, TrialResult, TrialSpec, derived_seed

ATTEMPTS = 3
"""A trial whose worker died so often has finally failed."""
RANDOM_TRIALS = 10
"""TPE draws so many trials at random before it models anything: Optuna's default."""


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
        self.uid: str = study.user_attrs["uid"]
        self.set_aside: str | None = study.user_attrs["set_aside"]
        """The suffix of the study that --fresh put away for this one, if it did."""
        self._asked: dict[int, optuna.Trial] = {}
        self._space = optuna.search_space.IntersectionSearchSpace(include_pruned=True)
        frozen = study.get_trials(deepcopy=False)
        self.stale = [trial.number for trial in frozen if trial.state == TrialState.RUNNING]
        """Trials that a dead driver left running; ours to interrupt."""
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
        ordinal = waiting[0].user_attrs["ordinal"] if waiting else self._ordinals
        self._study.sampler = _sampler(self.config, ordinal, self._space)
        asked = self._study.ask()
        self._ordinals += not waiting
        try:
            spec = self.config.spec(asked, ordinal)
        except ValueError as error:
            self._study.tell(asked, state=TrialState.FAIL)
            raise ConfigError(
                f"{self.config.source}: [space] draws a trial that cannot be trained: {error}"
            ) from None
        asked.set_user_attr("ordinal", ordinal)  # also says that every parameter was drawn
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
        ordinal = frozen.user_attrs.get("ordinal")
        if ordinal is None and self.config.settings:  # of a list, nothing need be drawn
            ordinal = self._ordinal(number)
        spec = (
            TrialSpec(**self.config.fixed())
            if ordinal is None
            else self.config.spec(frozen, ordinal)
        )
        attempt = frozen.user_attrs.get("attempt", 1)
        return Trial(number=number, uid=self.trial_uid(number), spec=spec, attempt=attempt)

    def trial_uid(self, number: int) -> str:
        return f"{self.uid}/{number}"

    def report(self, number: int, metrics: EpochMetrics) -> bool:
        """Tell the pruner of an epoch; False where it wants the trial stopped."""
        asked = self._asked[number]
        asked.report(metrics.objective(self.config.study.objective), metrics.epoch)
        return not asked.should_prune()

    def tell_result(self, number: int, result: TrialResult) -> None:
        """The best epoch's objective, not the last's."""
        asked = self._asked.pop(number)
        if result.stopped == "pruned":
            self._study.tell(asked, state=TrialState.PRUNED)
            self._count(pruned=1)
        else:
            value = result.best.objective(self.config.study.objective)
            self._study.tell(asked, value)
            bisect.insort(self.ranking, self.rank(number, value))
            self._count(complete=1)

    def tell_failure(self, number: int, reason: str) -> None:
        asked = self._asked.pop(number)
        asked.set_user_attr("reason", reason)
        self._study.tell(asked, state=TrialState.FAIL)
        self._count(failed=1)

    def requeue(self, number: int, reason: str, blamed: bool) -> int | None:
        """Queue the settings of an attempt that nothing came of; `tell_interrupted` closes it.

        Where the trial is `blamed`, because its worker died under it, that counts as one of its
        attempts. Returns the number under which it will run again, None after the last attempt.
        Called again for the same trial, by the next driver, it finds what is queued already.
        """
        storage, trial = self._study._storage, self._study.get_trials(deepcopy=False)[number]
        storage.set_trial_user_attr(trial._trial_id, "reason", reason)
        attempt = trial.user_attrs.get("attempt", 1) + blamed
        if attempt > ATTEMPTS:
            return None
        successor = self._successor(number)
        if successor is None:
            drawn = "ordinal" in trial.user_attrs
            self._study.enqueue_trial(
                trial.params if drawn else {},
                user_attrs={
                    "retry_of": number,
                    "attempt": attempt,
                    "ordinal": trial.user_attrs["ordinal"] if drawn else self._ordinal(number),
                },
            )
            successor = self._successor(number)
        storage.set_trial_user_attr(trial._trial_id, "successor", successor)
        return successor

    def tell_interrupted(self, number: int, successor: int | None) -> None:
        self._asked.pop(number, None)
        self._study.tell(number, state=TrialState.FAIL)
        if successor is None:
            self._count(failed=1)

    def _ordinal(self, number: int) -> int:
        """Of a trial that was interrupted before it said so itself."""
        before = self._study.get_trials(deepcopy=False)[:number]
        return sum("retry_of" not in trial.user_attrs for trial in before)

    def _successor(self, number: int) -> int | None:
        for trial in self._study.get_trials(deepcopy=False):
            if trial.user_attrs.get("retry_of") == number:
                return trial.number
        return None

    def rank(self, number: int, value: float) -> tuple[float, int]:
        """Sorts trials best first, the earlier of equals first."""
        return (-value if self.config.study.objective == "val/accuracy" else value), number

    def _count(self, complete: int = 0, pruned: int = 0, failed: int = 0) -> None:
        now = self.counts
        self.counts = Counts(now.complete + complete, now.pruned + pruned, now.failed + failed)


@contextmanager
def open_search(config: StudyConfig, folder: Path, fresh: bool = False) -> Iterator[Search]:
    """The study's record under its lock, made or continued.

    Raises StudyError where another driver holds it, or where the study was changed under its name.
    """
    name = config.study.name
    with locked(folder, name) as path:
        suffix = set_aside(path) if fresh else None
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        backend = JournalFileBackend(str(path))
        study = optuna.create_study(
            storage=optuna.storages.JournalStorage(backend),
            study_name=name,
            direction="maximize" if config.study.objective == "val/accuracy" else "minimize",
            pruner=_pruner(config),
            load_if_exists=True,
        )
        if "definition" not in study.user_attrs:
            study.set_user_attr("uid", uuid.uuid4().hex[:12])
            study.set_user_attr("set_aside", suffix)
            study.set_user_attr("definition", config.definition())
        _refuse_changes(name, study.user_attrs["definition"], config.definition())
        yield Search(config, study)


def _refuse_changes(name: str, before: dict[str, Any], now: dict[str, Any]) -> None:
    changes = [
        f"[{table}] {key}: {_show(old.get(key))} -> {_show(new.get(key))}"
        for table in before | now
        for old, new in [(before.get(table, {}), now.get(table, {}))]
        for key in sorted(old.keys() | new.keys())
        if old.get(key) != new.get(key)
    ]
    if before["study"]["sampler"] in GIVEN:  # whose trials are told by their place
        changes += [
            f"[{table}] order: {', '.join(before[table])} -> {', '.join(now[table])}"
            for table in before.keys() & now.keys() & {"space", LIST}
            if list(before[table]) != list(now[table]) and before[table] == now[table]
        ]
    if changes:
        raise StudyError(
            f"study '{name}' was started with other settings: {'; '.join(changes)}. Give the same "
            f"--set as then to go on, a new name (--set study.name={name}-2) for another study, or "
            "--fresh to start over, which keeps the old one under another name"
        )


def _show(value: Any) -> str:
    return "nothing" if value is None else json.dumps(value)


def _interrupted(trial: FrozenTrial) -> bool:
    return trial.state == TrialState.FAIL and trial.user_attrs.get("successor") is not None


def _sampler(
    config: StudyConfig, ordinal: int, space: optuna.search_space.IntersectionSearchSpace
) -> optuna.samplers.BaseSampler:
    """`space` remembers the parameters that all trials share: looking them up anew in every trial
    took a tenth of what the driver costs at 2,000 trials."""
    seed = derived_seed("sampler", config.study.seed, ordinal) % 2**32
    if config.study.sampler == "tpe":
        tpe = optuna.samplers.TPESampler(seed=seed, n_startup_trials=RANDOM_TRIALS)
        if config.study.pruner != "hyperband":  # which shows its samplers trials by bracket
            tpe._search_space = space
        return tpe
    if config.study.sampler == "grid":
        points = config.points()
        return Point(points[ordinal % len(points)])
    random = optuna.samplers.RandomSampler(seed=seed)
    if config.study.sampler in ("random", "list"):  # nothing of a list is drawn
        return random
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        return optuna.samplers.QMCSampler(
            seed=config.study.seed,  # one sequence; its place in it is kept in the journal
            scramble=True,
            independent_sampler=random,
            warn_independent_sampling=False,
        )


def _pruner(config: StudyConfig) -> optuna.pruners.BasePruner:
    epochs = config.largest("epochs")
    if config.study.pruner == "median":
        # A first epoch says little: a quarter of the epochs are free. Ours are counted from 1.
        free = max(1, epochs // 4)
        return optuna.pruners.MedianPruner(n_startup_trials=5, n_warmup_steps=free + 1)
    if config.study.pruner == "successive-halving":
        return optuna.pruners.SuccessiveHalvingPruner(min_resource=1, reduction_factor=3)
    if config.study.pruner == "hyperband":
        return optuna.pruners.HyperbandPruner(min_resource=1, max_resource=max(2, epochs))
    return optuna.pruners.NopPruner()
