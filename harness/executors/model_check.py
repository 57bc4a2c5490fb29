"""Tries models of one's own in a process of its own: what their code does there ends there."""

from __future__ import annotations

from collections.abc import Sequence

from harness.data.prepare import TrainingFiles
from harness.errors import ConfigError
from harness.executors.worker_process import Starter
from harness.trial import TrialSpec


def examine(files: TrainingFiles, specs: Sequence[TrialSpec]) -> str:
    """`problem` of these trials on this data, found out by a process like a worker's."""
    found = Starter(files).ask(problem, files.shape, len(files.classes) or 1, specs)
    return "model: the process that tried it died" if found is None else found


def problem(shape: tuple[int, ...], classes: int, specs: Sequence[TrialSpec]) -> str:
    """Why the first of their models that does not fit the data cannot be trained, in words."""
    import torch

    from harness.models.custom import CustomModel, network_input_shape

    mean = torch.zeros(network_input_shape(shape))
    unlike = {(spec.model, spec.arguments): spec for spec in specs if spec.model}
    for spec in unlike.values():
        try:
            CustomModel(spec, classes, mean, mean)
        except ConfigError as error:
            return str(error)
    return ""
