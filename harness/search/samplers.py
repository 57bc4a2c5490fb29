"""Which sampler draws a trial and which pruner judges it, from what the study file says."""

from __future__ import annotations

import warnings

import optuna

from harness.config.schema import StudyConfig
from harness.search.grid import Point
from harness.trial import derive_seed

RANDOM_TRIALS = 10
"""TPE draws so many trials at random before it models anything: Optuna's default."""


def sampler(
    config: StudyConfig, ordinal: int, space: optuna.search_space.IntersectionSearchSpace
) -> optuna.samplers.BaseSampler:
    """`space` remembers the parameters that all trials share: looking them up anew in every trial
    took a tenth of what the driver costs at 2,000 trials."""
    seed = derive_seed("sampler", config.study.seed, ordinal) % 2**32
    if config.study.sampler == "tpe":
        tpe = optuna.samplers.TPESampler(seed=seed, n_startup_trials=RANDOM_TRIALS)
        if config.study.pruner != "hyperband":  # which shows its samplers trials by bracket
            tpe._search_space = space
        return tpe
    if config.study.sampler == "grid":
        points = config.list_settings()
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


def pruner(config: StudyConfig) -> optuna.pruners.BasePruner:
    epochs = config.find_largest("epochs")
    if config.study.pruner == "median":
        # A first epoch says little: a quarter of the epochs are free. Ours are counted from 1.
        free = max(1, epochs // 4)
        return optuna.pruners.MedianPruner(n_startup_trials=5, n_warmup_steps=free + 1)
    if config.study.pruner == "successive-halving":
        return optuna.pruners.SuccessiveHalvingPruner(min_resource=1, reduction_factor=3)
    if config.study.pruner == "hyperband":
        return optuna.pruners.HyperbandPruner(min_resource=1, max_resource=max(2, epochs))
    return optuna.pruners.NopPruner()
