"""The samplers and pruners of a study file, by name."""

from __future__ import annotations

import itertools
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import optuna
from optuna.pruners import (
    BasePruner,
    HyperbandPruner,
    MedianPruner,
    NopPruner,
    SuccessiveHalvingPruner,
)
from optuna.samplers import BaseSampler, GPSampler, QMCSampler, RandomSampler, TPESampler
from optuna.search_space import IntersectionSearchSpace

from harness.config.schema import StudyConfig
from harness.errors import ConfigError
from harness.search.normal_tail import install_log_ndtr
from harness.search.whole_settings import WholeSettingsSampler
from harness.trial import TrialSpec, derive_seed

RANDOM_TRIALS = 10
"""TPE draws this many trials at random before it models anything: Optuna's default."""


@dataclass(frozen=True)
class SamplerType:
    """How to make one of the samplers."""

    make: Callable[[StudyConfig, int, IntersectionSearchSpace], BaseSampler]
    """See `make_sampler`."""
    learns: bool = False
    """Whether it uses the results of earlier trials."""
    draws: int | None = None
    """How often it is asked for settings that no trial has had; None for the default."""


def make_sampler(config: StudyConfig, ordinal: int, space: IntersectionSearchSpace) -> BaseSampler:
    """Make the sampler of one trial.

    Args:
        ordinal: the trial's place among the study's trials, without retries.
        space: remembers the parameters that all trials share. Finding them again for every trial
            took a tenth of the driver's time at 2,000 trials.
    """
    return SAMPLERS[config.study.sampler].make(config, ordinal, space)


def make_pruner(config: StudyConfig) -> BasePruner:
    """Make the study's pruner."""
    return PRUNERS[config.study.pruner](config.find_largest("epochs"))


def sample_random_specs(config: StudyConfig, count: int) -> list[TrialSpec]:
    """Sample `count` trials of a study at random, for estimates; the same at every call.

    Raises ConfigError if the space contains settings that cannot be trained.
    """
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(sampler=RandomSampler(seed=0))
    try:
        points = max(1, len(config.list_settings()))
        ordinals = [index * points // count if points > 1 else index for index in range(count)]
        return [config.build_spec(study.ask(), ordinal) for ordinal in ordinals]
    except ValueError as error:
        raise untrainable_error(config, error) from None


def check_space(config: StudyConfig) -> None:
    """Raise ConfigError if the space contains settings that cannot be trained.

    Tries the smallest and the largest number and every other value of each two dimensions.
    """
    dimensions = config.space.dimensions
    extremes = {name: dimension.list_extremes() for name, dimension in dimensions.items()}
    pairs = list(itertools.combinations(dimensions, 2)) or [(name, name) for name in dimensions]
    for first, second in pairs:
        for values in itertools.product(extremes[first], extremes[second]):
            chosen = dict(zip((first, second), values, strict=True))
            try:
                config.build_spec(_ChosenValues(chosen), 0)
            except ValueError as error:
                raise untrainable_error(config, error) from None


@dataclass(frozen=True)
class _ChosenValues:
    """Gives some parameters chosen values, and all others the first value of their range."""

    values: Mapping[str, Any]

    def suggest_float(self, name: str, low: float, high: float, *, log: bool = False) -> float:
        return float(self.values.get(name, low))

    def suggest_int(self, name: str, low: int, high: int, *, log: bool = False) -> int:
        return int(self.values.get(name, low))

    def suggest_categorical(self, name: str, choices: Sequence[Any]) -> Any:
        return self.values.get(name, choices[0])


def untrainable_error(config: StudyConfig, error: Exception) -> ConfigError:
    """The error for sampled settings that cannot be trained."""
    if isinstance(error, ConfigError):
        return error
    return ConfigError(f"{config.source}: [space] draws a trial that cannot be trained: {error}")


class GridPointSampler(WholeSettingsSampler):
    """Gives one trial the values of one grid point.

    Optuna's GridSampler picks one of the points that no stored trial has. Here the trial's ordinal
    decides, so that interrupted trials make no difference.
    """


def _derive_seed(config: StudyConfig, ordinal: int) -> int:
    return derive_seed("sampler", config.study.seed, ordinal) % 2**32


def _make_tpe(config: StudyConfig, ordinal: int, space: IntersectionSearchSpace) -> BaseSampler:
    install_log_ndtr()
    sampler = TPESampler(seed=_derive_seed(config, ordinal), n_startup_trials=RANDOM_TRIALS)
    if config.study.pruner != "hyperband":  # it shows its sampler the trials of one bracket
        sampler._search_space = space
    return sampler


def _make_gp(config: StudyConfig, ordinal: int, space: IntersectionSearchSpace) -> BaseSampler:
    seed = _derive_seed(config, ordinal)
    sampler = GPSampler(
        seed=seed,
        independent_sampler=RandomSampler(seed=seed),
        n_startup_trials=RANDOM_TRIALS,
        warn_independent_sampling=False,  # the widths of layers that not every trial has
    )
    sampler._intersection_search_space = space
    return sampler


def _make_random(config: StudyConfig, ordinal: int, space: IntersectionSearchSpace) -> BaseSampler:
    return RandomSampler(seed=_derive_seed(config, ordinal))


def _make_qmc(config: StudyConfig, ordinal: int, space: IntersectionSearchSpace) -> BaseSampler:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        return QMCSampler(
            seed=config.study.seed,  # one sequence; Optuna stores the position in it
            scramble=True,
            independent_sampler=RandomSampler(seed=_derive_seed(config, ordinal)),
            warn_independent_sampling=False,
        )


def _make_grid_point(
    config: StudyConfig, ordinal: int, space: IntersectionSearchSpace
) -> BaseSampler:
    points = config.list_settings()
    return GridPointSampler(points[ordinal % len(points)])


def _make_median(epochs: int) -> BasePruner:
    # The first epochs say little about the last: no trial is pruned in its first quarter.
    unpruned = max(1, epochs // 4)
    return MedianPruner(n_startup_trials=5, n_warmup_steps=unpruned + 1)


SAMPLERS = {
    "tpe": SamplerType(_make_tpe, learns=True),
    "gp": SamplerType(_make_gp, learns=True, draws=1),
    "random": SamplerType(_make_random),
    "qmc": SamplerType(_make_qmc),
    "grid": SamplerType(_make_grid_point),
    "list": SamplerType(_make_random),  # the settings of a list are not sampled
}
"""The values of [study] sampler. To add one: a row here, and its name in StudyTable.sampler."""

PRUNERS: dict[str, Callable[[int], BasePruner]] = {
    "none": lambda epochs: NopPruner(),
    "median": _make_median,
    "successive-halving": lambda epochs: SuccessiveHalvingPruner(
        min_resource=1, reduction_factor=3
    ),
    "hyperband": lambda epochs: HyperbandPruner(min_resource=1, max_resource=max(2, epochs)),
    "wilcoxon": lambda epochs: NopPruner(),  # see harness.search.fold_pruner
}
"""The values of [study] pruner; each gets the largest number of epochs of any trial."""
