"""The settings that a search tries first: those of [[first]], and the best of an earlier study."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import optuna
from optuna.samplers import RandomSampler
from optuna.trial import FixedTrial, FrozenTrial, TrialState

from harness.config.schema import StudyConfig
from harness.config.search_space import SearchSpace
from harness.errors import ConfigError, StudyError, did_you_mean
from harness.metrics import get_sort_sign
from harness.search.frozen_trial import get_sampled_params
from harness.search.storage.base import StudyStorage
from harness.search.whole_settings import WholeSettingsSampler
from harness.trial import derive_seed

WARM_TRIALS = 5
"""The most settings that are taken from an earlier study."""


class FirstSettingsSampler(WholeSettingsSampler):
    """Gives one trial the settings that were chosen for it when the study was created."""


def choose_first_params(config: StudyConfig, studies: StudyStorage) -> list[dict[str, Any]]:
    """Return the Optuna parameters of the first trials; what a table leaves out is drawn at random.

    Raises StudyError if there is no earlier study of that name, ConfigError if none of its best
    settings is in this space.
    """
    chosen = [config.space.find_params(fields) for fields in config.first]
    if config.study.warm_start:
        chosen += _find_best_params(config, studies)
    complete: list[dict[str, Any]] = []
    for params in chosen:
        values = _complete(config, params, len(complete))
        if values not in complete:
            complete.append(values)
    return complete


def _complete(config: StudyConfig, params: dict[str, Any], ordinal: int) -> dict[str, Any]:
    seed = derive_seed("first", config.study.seed, ordinal) % 2**32
    study = optuna.create_study(sampler=RandomSampler(seed=seed))
    study.enqueue_trial(params)
    trial = study.ask()
    try:
        config.build_spec(trial, ordinal)
    except ValueError as error:
        raise ConfigError(
            f"{config.source}: number {ordinal + 1} of the first settings cannot be trained: "
            f"{error}"
        ) from None
    return trial.params


def _find_best_params(config: StudyConfig, studies: StudyStorage) -> list[dict[str, Any]]:
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
        if trial.state == TrialState.COMPLETE and trial.value is not None
    ]
    trials.sort(key=lambda trial: (sign * (trial.value or 0.0), trial.number))
    usable = list(_convert_trials(config, definition, trials))
    if not usable:
        raise ConfigError(
            f"{place}: [space] has none of the settings that '{name}' tried; widen [space], or "
            "leave warm_start out"
        )
    return usable[:limit]


def _convert_trials(
    config: StudyConfig, definition: dict[str, Any], trials: list[FrozenTrial]
) -> Iterator[dict[str, Any]]:
    """Yield the parameters that the trials have in this space, without trials outside it."""
    space = SearchSpace.parse(definition["space"])
    tables = list(definition.get("trial", {}).values())
    for trial in trials:
        params = get_sampled_params(trial) or {}
        ordinal = trial.user_attrs.get("ordinal", trial.number)
        setting = tables[ordinal % len(tables)] if tables else {}
        try:
            spec = space.suggest(FixedTrial(params), {**definition["train"], **setting})
            yield config.space.find_params(spec.to_dict())
        except ValueError:  # outside this space, or settings that this version does not have
            continue
