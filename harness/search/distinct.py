"""A sampler that samples no settings of an earlier trial again, and none outside [limits]."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import optuna
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.samplers import BaseSampler, RandomSampler
from optuna.trial import FixedTrial, FrozenTrial, TrialState

from harness.config.schema import GRID_OR_LIST, StudyConfig
from harness.errors import ConfigError
from harness.search.frozen_trial import find_ordinal, get_sampled_params, is_interrupted
from harness.search.limits import MAX_LISTED, Limits
from harness.search.whole_settings import WholeSettingsSampler
from harness.trial import TrialSpec, derive_seed

MAX_DRAWS = 20
"""How often the sampler may repeat earlier settings before others are chosen at random."""
MAX_RANDOM_DRAWS = 200
"""The same of the random choice, in a space that is too large to be listed."""


class SampledSettings:
    """The settings that a search has sampled, each with the lowest ordinal that has them."""

    def __init__(self, config: StudyConfig, trials: Sequence[FrozenTrial]) -> None:
        self._ordinals: dict[TrialSpec, int] = {}
        self.repeats = 0
        """How many recorded trials have the settings of an earlier trial. Version 0.1.0 trained
        such trials; this version does not sample them."""
        if config.study.sampler in GRID_OR_LIST:
            return
        sampled = set[int]()
        for trial in trials:
            params, ordinal = get_sampled_params(trial), find_ordinal(trials, trial.number)
            if params is None:
                self.repeats += trial.state == TrialState.FAIL and not is_interrupted(trial)
                continue
            with suppress(ValueError):  # a value that this version does not take
                self.add(config.build_spec(FixedTrial(params), ordinal), ordinal)
                sampled.add(ordinal)
        self.repeats += len(sampled) - len(self._ordinals)

    def add(self, spec: TrialSpec, ordinal: int) -> None:
        self._ordinals[spec] = min(ordinal, self._ordinals.get(spec, ordinal))

    def has_before(self, spec: TrialSpec, ordinal: int) -> bool:
        """Whether a trial with a lower ordinal has these settings."""
        return self._ordinals.get(spec, ordinal) < ordinal


class DistinctSampler(WholeSettingsSampler):
    """Samples a trial with another sampler until no earlier trial has its settings, and they are
    within the limits.

    All parameters of the trial are sampled at once, in the order of `StudyConfig.build_spec`, and
    the random numbers are used in the same order as without this class.
    """

    def __init__(
        self,
        sampler: BaseSampler,
        config: StudyConfig,
        ordinal: int,
        sampled: SampledSettings,
        draws: int | None = None,
        limits: Limits | None = None,
    ) -> None:
        """`draws`: how often to ask `sampler` before another one is asked; None for MAX_DRAWS."""
        super().__init__({})
        self._limits = limits or Limits(config, None)
        self.outside = 0
        """The number of settings that were drawn outside the limits."""
        self.error: ConfigError | None = None
        """Set if no settings within the limits were found."""
        self._sampler, self._config = sampler, config
        self._ordinal, self._sampled, self._draws = ordinal, sampled, draws or MAX_DRAWS

    def infer_relative_search_space(
        self, study: optuna.Study, trial: FrozenTrial
    ) -> dict[str, BaseDistribution]:
        if not trial.system_attrs.get("fixed_params"):  # a retry has its settings
            self._values = self._sample(study, trial)
        return super().infer_relative_search_space(study, trial)

    def before_trial(self, study: optuna.Study, trial: FrozenTrial) -> None:
        self._sampler.before_trial(study, trial)

    def after_trial(
        self,
        study: optuna.Study,
        trial: FrozenTrial,
        state: TrialState,
        values: Sequence[float] | None,
    ) -> None:
        self._sampler.after_trial(study, trial, state, values)

    def _sample(self, study: optuna.Study, trial: FrozenTrial) -> dict[str, Any]:
        for _ in range(self._draws):
            values = self._draw(self._sampler, study, trial)
            if self._is_new(values):
                return values
        seed = derive_seed("distinct", self._config.study.seed, self._ordinal)
        count = self._config.count_settings()
        if count is not None and count <= MAX_LISTED:
            settings = self._config.space.list_grid(with_ranges=True)
            others = [each for each in settings if not self._repeats(each)]
            start = seed % len(others) if others else 0
            for each in (*others[start:], *others[:start]):
                if self._is_within(each):
                    return each
            return self._give_up(values, len(others))
        sampler = RandomSampler(seed=seed % 2**32)
        for _ in range(MAX_RANDOM_DRAWS):
            values = self._draw(sampler, study, trial)
            if self._is_new(values):
                return values
        return self._give_up(values, self._draws + MAX_RANDOM_DRAWS)

    def _give_up(self, values: dict[str, Any], draws: int) -> dict[str, Any]:
        """Repeat an earlier trial; `error` is set if these values are outside the limits."""
        if not self._is_within(values):
            self.error = self._limits.explain_exhausted(draws, self._ordinal)
        return values

    def _is_new(self, values: dict[str, Any]) -> bool:
        """Whether a trial may have these values; those outside the limits are counted."""
        if self._repeats(values):
            return False
        is_within = self._is_within(values)
        self.outside += not is_within
        return is_within

    def _is_within(self, values: dict[str, Any]) -> bool:
        return self._limits.is_within(self._config.build_spec(FixedTrial(values), self._ordinal))

    def _draw(
        self, sampler: BaseSampler, study: optuna.Study, trial: FrozenTrial
    ) -> dict[str, Any]:
        drawing = _Drawing(sampler, study, trial)
        self._config.build_spec(drawing, self._ordinal)
        return drawing.values

    def _repeats(self, values: dict[str, Any]) -> bool:
        spec = self._config.build_spec(FixedTrial(values), self._ordinal)
        return self._sampled.has_before(spec, self._ordinal)


class _Drawing:
    """Draws parameters as `optuna.Trial` does, without recording them."""

    def __init__(self, sampler: BaseSampler, study: optuna.Study, trial: FrozenTrial) -> None:
        self._sampler, self._study, self._trial = sampler, study, trial
        space = sampler.infer_relative_search_space(study, trial)
        self._relative = sampler.sample_relative(study, trial, space)
        self.values: dict[str, Any] = {}

    def suggest_float(self, name: str, low: float, high: float, *, log: bool = False) -> float:
        return float(self._suggest(name, FloatDistribution(low, high, log=log)))

    def suggest_int(self, name: str, low: int, high: int, *, log: bool = False) -> int:
        return int(self._suggest(name, IntDistribution(low, high, log=log)))

    def suggest_categorical(self, name: str, choices: Sequence[Any]) -> Any:
        return self._suggest(name, CategoricalDistribution(choices))

    def _suggest(self, name: str, distribution: BaseDistribution) -> Any:
        if distribution.single():
            value = distribution.to_external_repr(_first_value(distribution))
        elif name in self._relative and distribution._contains(
            distribution.to_internal_repr(self._relative[name])
        ):
            value = self._relative[name]
        else:
            value = self._sampler.sample_independent(self._study, self._trial, name, distribution)
        self.values[name] = value
        return value


def _first_value(distribution: BaseDistribution) -> float:
    """The first value of a distribution, as Optuna stores it."""
    if isinstance(distribution, FloatDistribution | IntDistribution):
        return distribution.low
    return 0.0  # the index of a choice
