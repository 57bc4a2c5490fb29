"""What a setting costs before it is trained, and whether [limits] allows it.

A search draws again until a setting is within the limits, so that every trial is a candidate for
the champion. Optuna's record has each trial's costs as constraints. The Gaussian process learns
from them where the limits are; the other samplers need not, as drawing again is cheap.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any

import optuna
from optuna.trial import FixedTrial, FrozenTrial

from harness.config.limits import format_cost, format_limits, is_within
from harness.config.schema import StudyConfig
from harness.errors import ConfigError
from harness.results import Cost
from harness.search.frozen_trial import find_ordinal, get_sampled_params
from harness.trial import TrialSpec

Measure = Callable[[TrialSpec, Cost], float]
"""Returns a cost of a setting."""
COSTS_ATTRIBUTE = "costs"
"""The attribute of a recorded trial with the costs that its study uses."""
OUTSIDE_ATTRIBUTE = "outside_limits"
"""The attribute of a recorded trial with the number of settings outside the limits that were drawn
before its own."""
TIMES_ATTRIBUTE = "times"
"""The attribute of a study with the times of a listed space's networks, by architecture."""
KEPT = (COSTS_ATTRIBUTE, OUTSIDE_ATTRIBUTE)
"""The attributes that a retry has of its trial."""
MAX_LISTED = 10_000
"""A space with at most this many settings is listed."""
MAX_MEASURED = 200
"""The most architectures of a listed space whose predictions are timed, which takes 4 s."""


class Limits:
    """The costs of a study's settings, each measured once, and its limits."""

    def __init__(self, config: StudyConfig, measure: Measure | None) -> None:
        """Without `measure` nothing is known, and everything is allowed."""
        self._config, self._measure = config, measure
        self.values = config.limits.to_dict()
        self._measured: dict[tuple[str, str], float] = {}
        """By cost and architecture."""

    def remember(self, trials: Sequence[FrozenTrial]) -> None:
        """Use the recorded costs of these trials, so that a continued study has the same."""
        for trial in trials:
            params, costs = get_sampled_params(trial), trial.user_attrs.get(COSTS_ATTRIBUTE)
            if costs is None or (params is None and not self._config.settings):
                continue
            ordinal = find_ordinal(trials, trial.number)
            with suppress(ValueError):  # a value that this version does not take
                spec = self._config.build_spec(FixedTrial(params or {}), ordinal)
                for name, value in costs.items():
                    self._measured.setdefault((name, _get_architecture(spec)), value)

    def get_costs(self, spec: TrialSpec) -> dict[str, float]:
        """Return the costs that the study uses; empty if it uses none."""
        return {name: self._get_cost(spec, name) for name in self._config.costs if self._measure}

    def is_within(self, spec: TrialSpec) -> bool:
        """Return whether the limits allow a setting. The parameters are counted first."""
        if self._measure is None:
            return True
        return all(
            self._get_cost(spec, name) <= self.values[name]
            for name in self._config.costs
            if name in self.values
        )

    def is_outside(self, trial: FrozenTrial) -> bool:
        """Return whether a recorded trial is outside the limits."""
        return not is_within(self.values, trial.user_attrs.get(COSTS_ATTRIBUTE, {}))

    def record(self, trial: optuna.Trial, spec: TrialSpec, sampler: object) -> dict[str, float]:
        """Record a trial's costs in Optuna, and return them.

        Raises ConfigError if its sampler found no settings within the limits.
        """
        if error := getattr(sampler, "error", None):
            raise error
        if outside := getattr(sampler, "outside", 0):
            trial.set_user_attr(OUTSIDE_ATTRIBUTE, outside)
        costs = self.get_costs(spec)
        if costs:
            trial.set_user_attr(COSTS_ATTRIBUTE, costs)
        for name, limit in self.values.items():
            if name in costs:
                trial.set_constraint(name, math.log(costs[name] / limit))
        return costs

    def count_settings(self) -> int | None:
        """Count the settings that a search can sample; None if they are unlimited.

        All of a space that is too large to be listed or measured are counted.
        """
        count = self._config.count_settings()
        if not self.values or self._measure is None or count is None or count > MAX_LISTED:
            return count
        specs = list(list_specs(self._config))
        architectures = {_get_architecture(spec) for spec in specs}
        if "milliseconds" in self.values and len(architectures) > MAX_MEASURED:
            return count
        return sum(self.is_within(spec) for spec in specs)

    def count_recorded(self, study: optuna.Study) -> int | None:
        """Count the settings by the times that the study's record has, and record new ones.

        So a time near the limit does not change the number of trials of a study that continues.
        """
        recorded: dict[str, float] = study.user_attrs.get(TIMES_ATTRIBUTE, {})
        for architecture, value in recorded.items():
            self._measured.setdefault(("milliseconds", architecture), value)
        before = len(self._measured)
        count = self.count_settings()
        if len(self._measured) > before and "milliseconds" in self.values:
            times = {
                key: value
                for (name, key), value in self._measured.items()
                if name == "milliseconds"
            }
            study.set_user_attr(TIMES_ATTRIBUTE, times)
        return count

    def explain_none(self, specs: Sequence[TrialSpec]) -> ConfigError | None:
        """Return the error for settings of which none is within the limits; None if one is."""
        if not self.values or any(self.is_within(spec) for spec in specs):
            return None
        names = [name for name in self._config.costs if name in self.values]
        least = {name: min(self._get_cost(each, name) for each in specs) for name in names}
        above = [name for name in names if least[name] > self.values[name]] or names
        reasons = [format_cost(name, least[name]) for name in above]
        return ConfigError(
            f"{self._config.source}: [limits] allows {format_limits(self.values)}, and none of "
            f"{len(specs):,} settings is within; the lowest cost is {' and '.join(reasons)}: raise "
            "the limit, or try smaller networks"
        )

    def explain_exhausted(self, draws: int, done: int) -> ConfigError:
        """Return the error for a search that finds no further setting within its limits."""
        return ConfigError(
            f"{self._config.source}: no further setting within [limits] was found in {draws:,} "
            f"draws; widen [space] in a new study, or finish this one with --trials {max(done, 1)}"
        )

    def _get_cost(self, spec: TrialSpec, name: Cost) -> float:
        assert self._measure is not None
        key = (name, _get_architecture(spec))
        if key not in self._measured:
            self._measured[key] = self._measure(spec, name)
        return self._measured[key]


def get_costs(attributes: Mapping[str, Any]) -> tuple[tuple[str, float], ...]:
    """Return `Trial.costs` of a recorded trial; its parameters are recorded with its result."""
    costs = dict(attributes.get(COSTS_ATTRIBUTE, {}))
    costs.pop("parameters", None)
    if OUTSIDE_ATTRIBUTE in attributes:
        costs[OUTSIDE_ATTRIBUTE] = float(attributes[OUTSIDE_ATTRIBUTE])
    return tuple(costs.items())


def list_specs(config: StudyConfig) -> Iterator[TrialSpec]:
    """Yield every setting of a listed space, a grid or a list."""
    if config.count_settings() is None:
        for ordinal, values in enumerate(config.list_settings()):
            yield config.build_spec(FixedTrial({} if config.settings else values), ordinal)
        return
    for values in config.space.list_grid(with_ranges=True):
        yield config.build_spec(FixedTrial(values), 0)


def _get_architecture(spec: TrialSpec) -> str:
    """Return what a network's size and speed depend on."""
    layers = (spec.hidden, spec.activation, spec.batch_norm, spec.bias)
    return json.dumps((spec.model, spec.arguments, *layers))
