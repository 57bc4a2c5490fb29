"""Placement of trials in fused groups: the protocol, and the policy for GPUs.

Placement changes only between epochs. Trials that move take their tensors along and continue as if
they had stayed.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import Protocol

import torch

from harness.engine.device_data import DeviceData
from harness.engine.fused_group import FusedGroup
from harness.engine.padding import Layout, collect_augmentations
from harness.engine.trial_state import TrialState
from harness.trial import TargetTransform, TrialSpec

NARROWEST, CLASS_RATIO = 128, 4
"""On a GPU, networks are padded to a width of 128, 512, 2,048 ..."""
WidthClass = tuple[int, int, TargetTransform]
"""Batch size, padded width and target transform; width 0 for linear classifiers."""
MEMORY_SHARE = 0.8
"""Fraction of the device's free memory to plan for; libraries and validation need the rest."""


class Placement(Protocol):
    """Decides which trials train fused in one group."""

    def place(
        self, groups: list[FusedGroup], joining: Sequence[TrialState]
    ) -> tuple[list[TrialState], list[TrialState]]:
        """Change `groups` in place so that the joining trials have slots.

        Returns the trials that must wait for a slot, and those that the device is too small for.
        """


class GpuPlacement:
    """For a GPU: groups with spare slots, captured once and refilled in place.

    A group holds trials of one batch size, width class and target transform. If no free slot fits a
    new trial, its group is rebuilt with more slots, and with every feature that its class has
    needed so far. If memory does not suffice, new trials wait.
    """

    def __init__(
        self,
        data: DeviceData,
        free_memory: Callable[[], int],
        build: Callable[[Layout, DeviceData], FusedGroup] = FusedGroup,
    ) -> None:
        self._data, self._free_memory, self._build = data, free_memory, build
        self._layouts: dict[WidthClass, Layout] = {}
        """The last layout of each class."""
        self._capacities: dict[WidthClass, int] = {}
        """Most trials of a class that fit, for classes that ran out of memory."""

    def place(
        self, groups: list[FusedGroup], joining: Sequence[TrialState]
    ) -> tuple[list[TrialState], list[TrialState]]:
        waiting, refused = list[TrialState](), list[TrialState]()
        unplaced: dict[WidthClass, list[TrialState]] = {}
        groups[:] = [
            group for group in groups if count_trials(group) or group.layout.module is None
        ]
        for trial in joining:
            if trial.spec.model:
                try:
                    group = self._build(Layout.for_module(trial.spec), self._data)
                    groups.append(fill_group(group, [trial]))
                except torch.OutOfMemoryError:
                    refused.append(trial)
                continue
            key = width_class(trial.spec)
            # In a class at its capacity, no trial overtakes one that is already waiting.
            must_queue = key in unplaced and key in self._capacities
            if must_queue or not place_in_free_slot(groups, trial):
                unplaced.setdefault(key, []).append(trial)
        for key, new_trials in unplaced.items():
            if key in self._capacities:
                self._drop_empty_groups(groups)
            same_class = [group for group in groups if group_class(group) == key]
            if sum(map(count_trials, same_class)) >= self._capacities.get(key, sys.maxsize):
                waiting += new_trials
                continue
            must_wait, too_large = self._grow_group(groups, key, same_class, new_trials)
            waiting += must_wait
            refused += too_large
        return waiting, refused

    def _grow_group(
        self,
        groups: list[FusedGroup],
        key: WidthClass,
        same_class: list[FusedGroup],
        new_trials: list[TrialState],
    ) -> tuple[list[TrialState], list[TrialState]]:
        """Rebuild a class's group with the new trials in it: all of them, or as many as fit.

        Returns the trials that must wait, and those that the device is too small for.
        """
        trials = [trial for group in same_class for trial in unload_all(group)] + new_trials
        placed = len(trials) - len(new_trials)
        slots = sum(group.layout.slots for group in same_class)
        groups[:] = [group for group in groups if group not in same_class]
        same_class.clear()  # the new group needs their memory
        count = min(len(trials), self._capacities.get(key, len(trials)))
        while True:
            group, count = self._try_build(groups, key, trials, count)
            if group is not None:
                if group.layout.slots < slots:
                    self._capacities.clear()  # memory was freed
                if count < len(trials):
                    self._capacities[key] = count
                groups.append(fill_group(group, sort_deepest_first(trials[:count])))
                return trials[count:], []
            if self._drop_empty_groups(groups):
                continue
            if count > 1:
                count = placed if 0 < placed < count else count // 2
            elif groups:
                self._capacities[key] = 0
                return trials, []
            else:
                return trials[1:], trials[:1]

    def _try_build(
        self, groups: list[FusedGroup], key: WidthClass, trials: list[TrialState], count: int
    ) -> tuple[FusedGroup | None, int]:
        """Build a group for the first `count` trials, or for fewer if memory is short.

        Returns the group, or None if the allocation failed, and the number of trials.
        """
        layout = self.layout_with_room(key, [trial.spec for trial in trials[:count]])
        if self._count_slots(layout) < layout.slots:
            self._drop_empty_groups(groups)
            # One trial is tried whatever the estimate says.
            count = max(1, min(count, self._count_slots(layout)))
            layout = self.layout_with_room(key, [trial.spec for trial in trials[:count]], spare=0)
        try:
            group = self._build(layout, self._data)
        except torch.OutOfMemoryError:
            return None, count
        self._layouts[key] = layout
        return group, count

    def _count_slots(self, layout: Layout) -> int:
        """Return how many slots fit into memory, by the estimate."""
        return int(self._free_memory() * MEMORY_SHARE / estimate_slot_bytes(layout, self._data))

    def _drop_empty_groups(self, groups: list[FusedGroup]) -> bool:
        """Free the memory of groups without trials; return whether there were any."""
        before = len(groups)
        groups[:] = [group for group in groups if count_trials(group)]
        if len(groups) < before:
            self._capacities.clear()
        return len(groups) < before

    def layout_with_room(
        self, key: WidthClass, specs: Sequence[TrialSpec], spare: int | None = None
    ) -> Layout:
        """Return a layout for these trials and later ones of their class.

        It has slots up to the next power of two, half of them as deep as any trial so far, all as
        wide as the class, and every feature that the class has needed.
        """
        seen = self._layouts.get(key)
        depths = sorted((len(spec.hidden) for spec in specs), reverse=True)
        if spare is None:
            spare = (1 << (len(specs) - 1).bit_length()) - len(specs)
        deepest = max(depths[0], seen.depths[0] if seen else 0)
        deep = max(spare, (spare + len(specs)) // 2)
        depths = [deepest] * deep + depths[deep - spare :]
        activations = {spec.activation for spec in specs}
        batch_norms = {spec.batch_norm for spec in specs}
        losses = {spec.loss for spec in specs}
        return Layout(
            batch_size=key[0],
            depths=tuple(depths),
            widths=(key[1],) * depths[0],
            activations=tuple(sorted(activations.union(seen.activations if seen else ()))),
            batch_norms=tuple(sorted(batch_norms.union(seen.batch_norms if seen else ()))),
            losses=tuple(sorted(losses.union(seen.losses if seen else ()))),
            target_transform=key[2],
            biases=(True,) * (depths[0] + 1),
            dropout=any(spec.dropout for spec in specs) or bool(seen and seen.dropout),
            smoothing=any(spec.label_smoothing for spec in specs) or bool(seen and seen.smoothing),
            class_weights=any(spec.class_weights != "none" for spec in specs)
            or bool(seen and seen.class_weights),
            augmentations=tuple(
                sorted({*collect_augmentations(specs), *(seen.augmentations if seen else ())})
            ),
            mixed_depth=depths[0] > 1,
            exact=False,
        )


def width_class(spec: TrialSpec) -> WidthClass:
    """Return a trial's width class."""
    if not spec.hidden:
        return spec.batch_size, 0, spec.target_transform
    width = NARROWEST
    while width < max(spec.hidden):
        width *= CLASS_RATIO
    return spec.batch_size, width, spec.target_transform


def group_class(group: FusedGroup) -> WidthClass | None:
    """Return a group's width class; None for a custom model's group, which takes no other trial."""
    if group.layout.module is not None:
        return None
    layout = group.layout
    return layout.batch_size, max(layout.widths, default=0), layout.target_transform


def estimate_slot_bytes(layout: Layout, data: DeviceData) -> int:
    """Estimate the memory of one slot: its row of the buffer and the activations of a step."""
    widths = (data.inputs, *layout.widths)
    parameters = sum(a * b for a, b in zip(widths, (*layout.widths, data.classes), strict=True))
    tensors = 7 * parameters  # values, gradients, two moments, the best epoch's, two temporaries
    # Ten [B, H] tensors a hidden layer from forward to backward; validation takes 2,000 examples.
    rows = 10 * layout.batch_size + 4 * 2000
    return data.mean.element_size() * (tensors + rows * sum(widths))


def free_device_memory(device: torch.device) -> int:
    """Return how many bytes torch can still allocate on a GPU."""
    torch.cuda.empty_cache()  # of deleted groups
    free, _ = torch.cuda.mem_get_info(device)
    return int(free)


def sort_deepest_first(trials: Sequence[TrialState]) -> list[TrialState]:
    return sorted(trials, key=lambda trial: -len(trial.spec.hidden))


def fill_group(group: FusedGroup, trials: Sequence[TrialState]) -> FusedGroup:
    """Load the trials, given deepest first, into the group's last slots: the shallowest."""
    first = group.layout.slots - len(trials)
    for slot, trial in enumerate(trials, start=first):
        group.load(slot, trial)
    return group


def unload_all(group: FusedGroup) -> list[TrialState]:
    return [group.unload(slot) for slot, trial in enumerate(group.trials) if trial]


def count_trials(group: FusedGroup) -> int:
    return sum(trial is not None for trial in group.trials)


def place_in_free_slot(groups: Sequence[FusedGroup], trial: TrialState) -> bool:
    """Load a trial into the shallowest free slot that fits it; return whether there was one."""
    for group in groups:
        for slot in reversed(range(group.layout.slots)):
            if group.trials[slot] is None and group.layout.fits(slot, trial.spec):
                group.load(slot, trial)
                return True
    return False
