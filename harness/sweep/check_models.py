"""Checks, before a study is opened, that its custom models can be imported and fit the data.

Importing a model runs its code, with the rights of the user who starts the study.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from harness.data.prepare import PreparedDataset
from harness.errors import ConfigError
from harness.executors.model_check import find_problem, find_problem_in_process
from harness.model_arguments import BUILT_IN_MODULES
from harness.models.user_code import (
    find_model_files,
    fingerprint,
    hash_model_files,
    importable_from,
)
from harness.search.samplers import sample_random_specs
from harness.sweep.plan import Plan
from harness.tracking.base import Tracker

MIN_SETTINGS, MAX_SETTINGS = 16, 200
"""The number of random settings whose models are built and tried."""


@contextmanager
def check_models(plan: Plan, prepared: PreparedDataset) -> Iterator[Plan]:
    """Check the plan's custom models; they stay importable inside the context.

    Yields the plan with the fingerprints of the models' files. If this process does not train, the
    models are tried in a separate process, because the driver does not import torch.
    Raises ConfigError.
    """
    config, training = plan.config, prepared.training
    if not config.models:
        yield plan
        return
    with importable_from(plan.study_folder, Path.cwd()):
        try:
            code = {
                model: fingerprint(hash_model_files(model))
                for model in config.models
                if model not in BUILT_IN_MODULES
            }
            config = replace(config, code=code)
            specs = sample_random_specs(
                config, min(MAX_SETTINGS, max(MIN_SETTINGS, len(config.list_settings())))
            )
            if plan.inline:
                message = find_problem(training, specs)
            else:
                message = find_problem_in_process(training, specs)
        except ConfigError as error:
            message = str(error)
        if message:
            where = "" if config.source in message else f"{config.source}: "
            raise ConfigError(f"{where}{message}")
        yield replace(plan, config=config)


def log_model_code(plan: Plan, tracker: Tracker, uid: str) -> None:
    """Log the models' source files to the study's run: their weights need them."""
    for model in plan.config.models:
        for path, file in find_model_files(model).items():
            tracker.log_file(uid, f"code-{path.replace(os.sep, '-')}", file.read_bytes())
