"""A worker on a Ray cluster: an actor that the driver asks for one step at a time."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from harness.data.training_files import TrainingFiles
from harness.executors.base import Event, Setup
from harness.trial import Trial

Message = Trial | tuple[str, bool]
"""A trial to train, or a trial's uid and whether it continues."""


class RayWorker:
    """One worker's trials. Only the actor imports torch, not the driver."""

    def __init__(
        self,
        files: TrainingFiles,
        stored: Mapping[Path, Any],
        setup: Setup,
        name: str,
        path: Sequence[str],
    ) -> None:
        """
        Args:
            stored: references to the files' arrays in Ray's object store, one copy a node.
            path: the driver's sys.path, for custom models, whose files have the same path on every
                node.
        """
        sys.path.extend(folder for folder in path if folder not in sys.path)
        self._files, self._stored_arrays, self._setup, self._name = files, stored, setup, name

    def get_node_name(self) -> str:
        """Return the node's name. The call ends when the cluster has a place for this actor."""
        from harness.executors.ray_cluster import get_node_name

        return get_node_name()

    def get_ready(self) -> None:
        """Load the data and create the trainer."""
        import ray
        import torch

        from harness.executors.trainer_pool import TrainerPool
        from harness.executors.trial_runner import TrialRunner

        setup = self._setup
        if setup.device == "cpu":
            torch.set_num_threads(1)

        def read(path: Path) -> torch.Tensor:
            with warnings.catch_warnings():
                # The node's workers share these arrays: none of them writes.
                warnings.filterwarnings("ignore", "The given NumPy array is not writable")
                return torch.from_numpy(ray.get(self._stored_arrays[path]))

        self._runner = TrialRunner(TrainerPool(self._files, setup, read), self._name)

    def advance(self, messages: Sequence[Message]) -> tuple[list[Event], bool]:
        """Apply the messages and train up to the next events.

        Returns:
            The events, and whether this worker must be replaced.
        """
        for message in messages:
            if isinstance(message, Trial):
                self._runner.submit(message)
            else:
                self._runner.answer(*message)
        events = [event for batch in self._runner.step() for event in batch]
        return events, self._runner.is_broken
