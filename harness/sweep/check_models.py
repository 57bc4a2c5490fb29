"""Before a study is opened: can its models of one's own be imported, and do they fit the data?

To import a model is to run its code, with the rights of whoever starts the study.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from harness.data.prepare import Prepared
from harness.errors import ConfigError
from harness.executors.model_check import examine, problem
from harness.models.user_code import code_of, files_of, fingerprint, importable
from harness.search.draws import random_specs
from harness.sweep.plan import Plan
from harness.tracking.base import Tracker

LEAST, MOST = 16, 200
"""Settings whose models are made, to try them."""


@contextmanager
def examined(planned: Plan, prepared: Prepared) -> Iterator[Plan]:
    """The plan with what its models are made of; inside, they can be imported.

    Tried in this process where that trains, else in one of its own, for the driver does without
    torch. Raises ConfigError.
    """
    config, training = planned.config, prepared.training
    if not config.models:
        yield planned
        return
    with importable(planned.folder, Path.cwd()):
        try:
            made_of = {model: fingerprint(code_of(model)) for model in config.models}
            config = replace(config, code=made_of)
            specs = random_specs(config, min(MOST, max(LEAST, len(config.points()))))
            if planned.inline:
                said = problem(training.shape, len(training.classes) or 1, specs)
            else:
                said = examine(training, specs)
        except ConfigError as error:
            said = str(error)
        if said:
            raise ConfigError(said if config.source in said else f"{config.source}: {said}")
        yield replace(planned, config=config)


def keep_code(planned: Plan, tracker: Tracker, uid: str) -> None:
    """The source of the models beside the study's run: without it their weights are of no use."""
    for model in planned.config.models:
        for path, file in files_of(model).items():
            tracker.log_file(uid, f"code-{path.replace(os.sep, '-')}", file.read_bytes())
