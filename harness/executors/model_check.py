"""Check custom models in a separate process, which contains what their code does."""

from __future__ import annotations

import multiprocessing
from collections.abc import Sequence

from harness.data.training_files import TrainingFiles
from harness.errors import ConfigError
from harness.executors.worker_process import WorkerStarter
from harness.trial import TrialSpec


def find_problem_in_process(files: TrainingFiles, specs: Sequence[TrialSpec]) -> str:
    """Run `find_problem` in a process like a worker's; a crash of it is a problem too.

    A daemonic process cannot start another one, so there it runs in this process.
    """
    if multiprocessing.current_process().daemon:
        return find_problem(files, specs)
    problem = WorkerStarter(files).call_in_process(find_problem, files, specs)
    return "model: the process that checked it died" if problem is None else problem


def find_problem(files: TrainingFiles, specs: Sequence[TrialSpec]) -> str:
    """Describe why the first model that does not fit the data fails; "" if all of them fit."""
    import torch

    from harness.models.custom import CustomModel, network_input_shape
    from harness.models.user_code import describe_error

    mean, classes = torch.zeros(network_input_shape(files.shape)), len(files.classes) or 1
    features = torch.tensor(files.features) if files.features else None
    by_batch_size = sorted(specs, key=lambda spec: -spec.batch_size)
    distinct = {(spec.model, spec.arguments): spec for spec in by_batch_size if spec.model}
    for spec in distinct.values():  # each with its smallest batch
        try:
            model = CustomModel(spec, classes, mean, mean, features=features)
        except ConfigError as error:
            return str(error)
        if spec.batch_size == 1:
            try:
                model.network(torch.zeros(1, *mean.shape))
            except Exception as error:  # such as BatchNorm's
                return (
                    f"batch_size: {spec.model} cannot train on 1 example: {describe_error(error)}"
                )
    return ""
