"""The settings that a search tries first: those of [[first]], and the best of an earlier study."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import optuna
from optuna.samplers import RandomSampler
from optuna.trial import FixedTrial, FrozenTrial, TrialState

from harness.config.limits import format_cost, format_limits
from harness.config.schema import StudyConfig
from harness.config.search_space import SearchSpace
from harness.errors import ConfigError, StudyError, did_you_mean
from harness.metrics import get_sort_sign
from harness.search.distinct import MAX_RANDOM_DRAWS
from harness.search.frozen_trial import get_sampled_params, get_value
from harness.search.limits import Limits
from harness.search.storage.base import StudyStorage
from harness.search.whole_settings import WholeSettingsSampler
from harness.trial import derive_seed

WARM_TRIALS = 5
"""The most settings that are taken from an earlier study."""


class FirstSettingsSampler(WholeSettingsSampler):
    """Gives one trial the settings that were chosen for it when the study was created."""


def choose_first_params(
    config: StudyConfig, studies: StudyStorage, limits: Limits | None = None
) -> list[dict[str, Any]]:
    """Return the Optuna parameters of the first trials; what a table leaves out is drawn at random.

    Raises StudyError if there is no earlier study of that name, ConfigError if none of its best
    settings is in this space and within its limits, or one of [[first]] is outside the limits.
    """
    limits = limits or Limits(config, None)
    chosen = [config.space.find_params(fields) for fields in config.first]
    if config.study.warm_start:
        chosen += _find_best_params(config, studies, limits)
    complete: list[dict[str, Any]] = []
    for params in chosen:
        values = _complete(config, params, len(complete), limits)
        if values not in complete:
            complete.append(values)
    return complete


def _complete(
    config: StudyConfig, params: dict[str, Any], ordinal: int, limits: Limits
) -> dict[str, Any]:
    """Draw what `params` leave out, again if that is outside the limits."""
    for attempt in range(MAX_RANDOM_DRAWS if limits.values else 1):
        key = (ordinal, attempt) if attempt else (ordinal,)
        seed = derive_seed("first", config.study.seed, *key) % 2**32
        study = optuna.create_study(sampler=RandomSampler(seed=seed))
        study.enqueue_trial(params)
        trial = study.ask()
        try:
            spec = config.build_spec(trial, ordinal)
        except ValueError as error:
            raise ConfigError(
                f"{config.source}: number {ordinal + 1} of the first settings cannot be trained: "
                f"{error}"
            ) from None
        if limits.is_within(spec):
            return trial.params
        if trial.params.keys() <= params.keys():
            break  # nothing was drawn
    costs = [format_cost(name, value) for name, value in limits.get_costs(spec).items()]
    raise ConfigError(
        f"{config.source}: number {ordinal + 1} of the first settings has "
        f"{' and '.join(costs)}, and [limits] allows {format_limits(limits.values)}; choose a "
        "smaller network, or raise the limit"
    )


def _find_best_params(
    config: StudyConfig, studies: StudyStorage, limits: Limits
) -> list[dict[str, Any]]:
    name, limit = config.study.warm_start, min(WARM_TRIALS, max(1, config.study.trials // 2))
    place = f"{config.source}: [study] warm_start"
    if name == config.study.name:
        raise ConfigError(f"{place}: '{name}' is this study; name an earlier one")
    if not studies.has_study(name):
        known = did_you_mean(name, studies.list_studies())
        raise StudyError(f"{place}: no study '{name}' on record{known}")
    storage = studies.get_storage(name)
    earlier = next(
        each for each in storage.get_all_studies() if each.user_attrs.get("name", name) == name
    )
    definition = earlier.user_attrs["definition"]
    objective = definition["study"]["objective"]
    if objective != config.study.objective:
        raise ConfigError(
            f"{place}: '{name}' has the objective {objective}, and this study has "
            f"{config.study.objective}; choose a study of the same objective"
        )
    sign = get_sort_sign(objective)
    trials = [
        trial
        for trial in storage.get_all_trials(earlier._study_id, deepcopy=False)
        if trial.state == TrialState.COMPLETE and get_value(trial) is not None
    ]
    trials.sort(key=lambda trial: (sign * (get_value(trial) or 0.0), trial.number))
    usable = list(_convert_trials(config, definition, trials, limits))
    if not usable:
        raise ConfigError(
            f"{place}: [space] has none of the settings that '{name}' tried"
            f"{' within [limits]' * bool(limits.values)}; widen it, or leave warm_start out"
        )
    return usable[:limit]


def _convert_trials(
    config: StudyConfig, definition: dict[str, Any], trials: list[FrozenTrial], limits: Limits
) -> Iterator[dict[str, Any]]:
    """Yield the parameters that the trials have in this space, without trials outside it or its
    limits."""
    space = SearchSpace.parse(definition["space"])
    tables = list(definition.get("trial", {}).values())
    for trial in trials:
        params = get_sampled_params(trial) or {}
        ordinal = trial.user_attrs.get("ordinal", trial.number)
        setting = tables[ordinal % len(tables)] if tables else {}
        try:
            spec = space.suggest(FixedTrial(params), {**definition["train"], **setting})
            params = config.space.find_params(spec.to_dict())
            if limits.is_within(spec):
                yield params
        except ValueError:  # outside this space, or settings that this version does not have
            continue
