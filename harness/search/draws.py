"""What a study's trials look like before any was asked for: settings drawn at random."""

from __future__ import annotations

import optuna

from harness.config.schema import StudyConfig
from harness.errors import ConfigError
from harness.trial import TrialSpec


def random_specs(config: StudyConfig, count: int) -> list[TrialSpec]:
    """The same each time. Raises ConfigError where the space holds what cannot be trained."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    try:
        points = max(1, len(config.list_settings()))
        ordinals = [each * points // count if points > 1 else each for each in range(count)]
        return [config.build_spec(study.ask(), ordinal) for ordinal in ordinals]
    except ValueError as error:
        raise ConfigError(
            f"{config.source}: [space] draws a trial that cannot be trained: {error}"
        ) from None
