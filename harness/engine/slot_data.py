"""The folds of a dataset on the device, and the data of a group whose slots train on several.

A group of one fold reads that fold's `DeviceData` as any other group does. In a mixed group each
slot has its own training rows, statistics and validation set; `SlotData` replaces `DeviceData`
there. Both give a trial the same numbers.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from harness.data.torch_datasets import Splits
from harness.engine.device_data import DeviceData, Target
from harness.trial import TargetTransform

if TYPE_CHECKING:
    from harness.engine.trial_state import TrialState

MOST_INPUTS = 2**26
"""The most inputs of all slots in a batch of a validation set, 256 MiB: they are copies here."""


class Folds:
    """The folds of one dataset, each with its own training and validation set."""

    def __init__(
        self,
        folds: Sequence[DeviceData],
        numbers: Sequence[int] = (),
        order: Tensor | None = None,
    ) -> None:
        """
        Args:
            numbers: Those of the folds in the dataset, if they are not all of its folds.
            order: The order in which the validation examples of all folds are recorded, int64 [n];
                None for one fold after the other.
        """
        self.folds, self.order = tuple(folds), order
        self.numbers = tuple(numbers) or tuple(range(len(folds)))
        self._alike: dict[int, Folds] = {}
        first = self.first = self.folds[0]
        self.device, self.is_regression = first.device, first.is_regression

    def __iter__(self) -> Iterator[DeviceData]:
        return iter(self.folds)

    def __len__(self) -> int:
        """Return the number of folds."""
        return len(self.folds)

    def select_alike(self, inputs: int) -> Folds:
        """Return the folds with so many inputs: those of a table may have different features."""
        if all(fold.inputs == inputs for fold in self.folds):
            return (
                self  # not kept in `_alike`: a cycle would keep all tensors until Python finds it
            )
        if inputs not in self._alike:
            pairs = zip(self.folds, self.numbers, strict=True)
            alike = [(fold, number) for fold, number in pairs if fold.inputs == inputs]
            folds, numbers = zip(*alike, strict=True)
            self._alike[inputs] = Folds(folds, numbers)
        return self._alike[inputs]

    @cached_property
    def shares_examples(self) -> bool:
        """Whether all folds read the same rows; the features of a table are fitted to each fold."""
        return all(fold.examples is self.first.examples for fold in self.folds)

    @cached_property
    def examples(self) -> Tensor:
        """The examples [all, D] that the folds share, or those of all folds in order."""
        if self.shares_examples:
            return self.first.examples
        return torch.cat([fold.examples for fold in self.folds])

    def get_offset(self, fold: int) -> int:
        """Return the row of `examples` where a fold's begin."""
        return 0 if self.shares_examples else sum(len(each.examples) for each in self.folds[:fold])

    @cached_property
    def validation_sizes(self) -> list[int]:
        """The number of validation examples of each fold."""
        return [len(fold.val_targets) for fold in self.folds]

    @cached_property
    def val_inputs(self) -> Tensor:
        """The validation sets [F, n, D], normalized; the last row is repeated in a smaller one.

        Each fold's own become views of it: together they are all examples, as floats.
        """
        size, first = max(self.validation_sizes), self.first
        with torch.inference_mode(False):
            stacked = first.mean.new_empty(len(self), size, first.inputs)
            for fold, padded in zip(self.folds, stacked, strict=True):
                count = len(fold.val_targets)
                padded[:count], padded[count:] = fold.val_inputs, fold.val_inputs[-1:]
                fold.val_inputs = padded[:count]
        return stacked

    @cached_property
    def target(self) -> Target:
        """The standardized targets or classes: labels as `examples`, validation labels [F, n]."""
        targets = [fold.get_target("standard") for fold in self.folds]
        with torch.inference_mode(False):
            labels = targets[0].labels
            if self.is_regression or not self.shares_examples:
                labels = torch.cat([each.labels for each in targets])
            return Target(labels, _stack_padded([each.val_labels for each in targets]), {})


def load_folds(
    splits: Sequence[Splits],
    device: torch.device | str = "cpu",
    dtype: torch.dtype = torch.float32,
    loaded: Mapping[int, Tensor] | None = None,
    order: Tensor | None = None,
) -> Folds:
    """Load the folds onto a device; examples that they share are there once.

    Args:
        loaded: Examples that are on the device already, by the id of their inputs.
        order: See `Folds`.
    """
    known = dict(loaded or {})
    folds = []
    for each in splits:
        inputs = each.train.inputs
        folds.append(DeviceData(each, device, dtype, known.get(id(inputs))))
        known[id(inputs)] = folds[-1].examples
    return Folds(folds, order=order)


def get_mixing_key(trial: TrialState) -> tuple[object, ...]:
    """Return a key of trials that can train in one group whatever their folds.

    They take equally many steps an epoch over equally many inputs. A custom model, and a target
    transform other than `standard`, trains in groups of one fold.
    """
    data, spec = trial.data, trial.spec
    if spec.model or (data.is_regression and spec.target_transform != "standard"):
        return "fold", trial.fold
    return "inputs", data.inputs, len(data) // spec.batch_size


class SlotData:
    """The data of K slots, each with a fold of its own: `load` chooses it."""

    def __init__(self, folds: Folds, slots: int, first: DeviceData) -> None:
        """Create it for slots whose folds are like `first`, see `get_mixing_key`."""
        folds = folds.select_alike(first.inputs)
        self._size = len(first)
        self.folds, self.device, self.dtype = folds, first.device, first.dtype
        self.is_regression, self.classes = first.is_regression, first.classes
        self.inputs, self.shape, self.features = first.inputs, first.shape, first.features
        self.examples, self.rows = folds.examples, first.rows
        self.mean = first.mean.repeat(slots, 1)
        """[K, D], written in place."""
        self.inv_std = first.inv_std.repeat(slots, 1)
        self.fold_of = torch.zeros(slots, dtype=torch.int64, device=first.device)
        """[K], the fold of each slot: its place in `folds`."""
        self.label_offsets = torch.zeros_like(self.fold_of) if folds.is_regression else None
        """[K], what to add to an example's row for its label, where the folds' labels differ."""
        self._places = [0] * slots

    def load(self, slot: int, trial: TrialState) -> None:
        """Give a slot the data of a trial's fold."""
        self.mean[slot], self.inv_std[slot] = trial.data.mean, trial.data.inv_std
        place = self.folds.numbers.index(trial.fold)
        self.fold_of[slot] = self._places[slot] = place
        if self.label_offsets is not None and self.folds.shares_examples:
            self.label_offsets[slot] = place * len(self.examples)

    def get_fold(self, slot: int) -> DeviceData:
        """Return the data of a slot's fold."""
        return self.folds.folds[self._places[slot]]

    def get_target(self, transform: TargetTransform) -> Target:
        """Return `Folds.target`; the transform is always `standard`."""
        assert transform == "standard" or not self.is_regression
        return self.folds.target

    def __len__(self) -> int:
        """Return the training examples of a fold, as many as make the steps of an epoch."""
        return self._size

    def batch_order(self, seeds: Sequence[int], epochs: Sequence[int], batch_size: int) -> Tensor:
        """Return the rows of `examples` for each step, [steps, B, K]."""
        steps = len(self) // batch_size
        orders = []
        for slot, place in enumerate(self._places):
            fold = self.folds.folds[place]
            order = fold.batch_order(seeds[slot : slot + 1], epochs[slot : slot + 1], batch_size)
            orders.append(order[:steps, :, 0] + self.folds.get_offset(place))
        return torch.stack(orders, dim=2)

    def list_validation_sizes(self) -> list[int]:
        """Return the number of validation examples of each slot."""
        return [self.folds.validation_sizes[place] for place in self._places]

    def validation_batches(
        self, labels: Tensor, slots: int, size: int = 2000
    ) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield x [B, K, D] and y [B, K] of the labels [F, n]; a smaller fold repeats its last."""
        inputs = self.folds.val_inputs
        size = max(1, min(size, MOST_INPUTS // (slots * self.inputs)))
        for start in range(0, inputs.shape[1], size):
            x = inputs[:, start : start + size].index_select(0, self.fold_of)  # [K, B, D]
            y = labels[:, start : start + size].index_select(0, self.fold_of)
            yield x.transpose(0, 1), y.t()


def _stack_padded(parts: Sequence[Tensor]) -> Tensor:
    """Stack tensors along a new axis; shorter ones repeat their last row."""
    length = max(len(each) for each in parts)
    return torch.stack(
        [torch.cat([each, each[-1:].expand(length - len(each), *each.shape[1:])]) for each in parts]
    )
