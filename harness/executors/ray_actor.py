"""What runs on a Ray cluster: a worker as an actor, which is asked for its next step."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from harness.data.prepare import TrainingFiles
from harness.executors.base import Event, Setup
from harness.trial import Trial

Message = Trial | tuple[str, bool]
"""A trial to train, or (uid, whether it goes on)."""


class RayWorker:
    """One worker's population. torch is imported where it lives, not where it is made."""

    def __init__(
        self,
        files: TrainingFiles,
        stored: Mapping[Path, Any],
        setup: Setup,
        name: str,
        path: Sequence[str],
    ) -> None:
        """`stored`: the files' arrays in Ray's object store, which each node holds once; `path`:
        the driver's, for models of one's own, whose files lie at the same place on every node."""
        sys.path.extend(each for each in path if each not in sys.path)
        self._files, self._stored, self._setup, self._name = files, stored, setup, name

    def node(self) -> str:
        """The name of the node it runs on; answered as soon as the cluster has a place for it."""
        from harness.executors.ray_cluster import node_name

        return node_name()

    def get_ready(self) -> None:
        """Load the data."""
        import ray
        import torch

        from harness.data.torch_datasets import load_splits
        from harness.engine.device_data import DeviceData
        from harness.engine.trainer import Trainer
        from harness.executors.trial_runner import TrialRunner

        setup = self._setup
        if setup.device == "cpu":
            torch.set_num_threads(1)

        def read(path: Path) -> torch.Tensor:
            with warnings.catch_warnings():
                # The store's arrays are shared with the node's other workers: nobody writes.
                warnings.filterwarnings("ignore", "The given NumPy array is not writable")
                return torch.from_numpy(ray.get(self._stored[path]))

        data = DeviceData(load_splits(self._files, read), setup.device)
        population = Trainer(data, setup.objective, perturbation=setup.perturbation)
        self._workbench = TrialRunner(population, self._name)

    def advance(self, messages: Sequence[Message]) -> tuple[list[Event], bool]:
        """Take the messages, go on to the next events; and whether it must be replaced."""
        for message in messages:
            if isinstance(message, Trial):
                self._workbench.submit(message)
            else:
                self._workbench.answer(*message)
        events = [event for some in self._workbench.step() for event in some]
        return events, self._workbench.broken
