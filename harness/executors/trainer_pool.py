"""The trainers of one worker: one for each split, or for each trial with folds of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

from torch import Tensor

from harness.data.reshuffled_folds import load_trial_folds
from harness.data.torch_datasets import load_splits, map_tensor
from harness.data.training_files import TrainingFiles
from harness.engine.device_data import DeviceData
from harness.engine.folded_trainer import FoldedTrainer
from harness.engine.slot_data import load_folds
from harness.engine.trainer import Trainer
from harness.executors.base import Setup
from harness.trial import Trial, TrialSpec

AnyTrainer = Trainer | FoldedTrainer
Key = int | TrialSpec
"""A split's number, see `Trial.split`; or the settings that folds were drawn for."""


class TrainerPool:
    """Creates trainers when a trial needs them."""

    def __init__(
        self, files: TrainingFiles, setup: Setup, read: Callable[[Path], Tensor] = map_tensor
    ) -> None:
        """Create the trainer of the study's own split, unless each trial has folds of its own.

        `read` loads a file's tensor when the file is on another machine.
        """
        self._files, self._setup = files, setup
        self._read = cache(read)  # splits that read the same file share its tensor
        self._examples: dict[int, Tensor] = {}
        """The inputs on the device, by the id of their file's tensor."""
        self._trainers: dict[Key, AnyTrainer] = {}
        self._keys: dict[str, Key] = {}
        """By the uid of each trial."""
        if files.reshuffling is None:
            self._trainers[0] = self._create(0)

    def __iter__(self) -> Iterator[AnyTrainer]:
        return iter(list(self._trainers.values()))

    def open(self, trial: Trial) -> AnyTrainer:
        """Return the trainer for a trial. Raises ValueError if its folds cannot be drawn."""
        is_reshuffled = self._files.reshuffling is not None and not trial.split
        key = trial.spec if is_reshuffled else trial.split
        if key not in self._trainers:
            self._trainers[key] = self._create(key)
        self._keys[trial.uid] = key
        return self._trainers[key]

    def find(self, uid: str) -> AnyTrainer:
        """Return the trainer of an opened trial."""
        return self._trainers[self._keys[uid]]

    def close(self, uid: str) -> None:
        """Forget a trial that has ended, and folds that no other trial has."""
        key = self._keys.pop(uid, 0)
        if isinstance(key, TrialSpec) and not len(self._trainers[key]):
            del self._trainers[key]

    def _create(self, key: Key) -> AnyTrainer:
        setup, files = self._setup, self._files
        if isinstance(key, int):
            files = files.select_split(key)
        if not files.folds:
            data = DeviceData(load_splits(files, self._read), setup.device)
            return Trainer(data, setup.objective, perturbation=setup.perturbation)
        spec = key if isinstance(key, TrialSpec) else TrialSpec()
        drawn = load_trial_folds(files, spec, self._read)
        folds = load_folds(drawn.splits, setup.device, loaded=self._examples, order=drawn.order)
        shared = self._read(files.inputs)
        for splits, fold in zip(drawn.splits, folds, strict=True):
            if splits.train.inputs is shared:  # the next trial's folds read the same file
                self._examples = {id(shared): fold.examples}
        return FoldedTrainer(folds, setup.objective, perturbation=setup.perturbation)
