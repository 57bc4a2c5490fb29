"""Placement of a folded study's trials on a GPU: folds that can share a group, do."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from harness.engine.device_data import DeviceData
from harness.engine.fused_group import FusedGroup
from harness.engine.padding import Layout
from harness.engine.placement import GpuPlacement
from harness.engine.slot_data import Folds, SlotData, get_mixing_key
from harness.engine.trial_state import TrialState


class FoldPlacement:
    """A `GpuPlacement` for each set of trials that can train in one group."""

    def __init__(self, folds: Folds, free_memory: Callable[[], int]) -> None:
        self._folds, self._free_memory = folds, free_memory
        self._placements: dict[tuple[object, ...], GpuPlacement] = {}
        self._keys: dict[int, tuple[object, ...]] = {}
        """The set of each group, by its id."""

    def place(
        self, groups: list[FusedGroup], joining: Sequence[TrialState]
    ) -> tuple[list[TrialState], list[TrialState]]:
        by_key: dict[tuple[object, ...], list[TrialState]] = {key: [] for key in self._placements}
        for trial in joining:
            by_key.setdefault(get_mixing_key(trial), []).append(trial)
        waiting, refused, all_groups = list[TrialState](), list[TrialState](), []
        for key, trials in by_key.items():
            if key not in self._placements:
                self._placements[key] = self._create_placement(trials[0].data, key)
            placed = [group for group in groups if self._keys.get(id(group)) == key]
            must_wait, too_large = self._placements[key].place(placed, trials)
            waiting += must_wait
            refused += too_large
            all_groups += [(group, key) for group in placed]
        groups[:] = [group for group, _ in all_groups]
        self._keys = {id(group): key for group, key in all_groups}
        waiting += take_back_siblings(groups, waiting)
        if waiting and not any(any(group.trials) for group in groups):
            first = get_trial_uid(waiting[0])  # alone on the device, and yet it does not fit
            refused += [trial for trial in waiting if get_trial_uid(trial) == first]
            waiting = [trial for trial in waiting if get_trial_uid(trial) != first]
        return waiting, refused

    def _create_placement(self, data: DeviceData, key: tuple[object, ...]) -> GpuPlacement:
        if key[0] == "fold":
            return GpuPlacement(data, self._free_memory)

        folds = self._folds  # with `self` in it, the function would be in a cycle, freed late

        def build(layout: Layout, first: DeviceData) -> FusedGroup:
            return FusedGroup(layout, SlotData(folds, layout.slots, first))

        return GpuPlacement(data, self._free_memory, build)


def get_trial_uid(member: TrialState) -> str:
    """Return the uid of the trial that a member belongs to."""
    return member.uid.rpartition("#")[0]


def take_back_siblings(
    groups: Sequence[FusedGroup], waiting: Sequence[TrialState]
) -> list[TrialState]:
    """Unload the members whose siblings must wait: a trial trains on all folds in step."""
    must_wait = {get_trial_uid(member) for member in waiting}
    return [
        group.unload(slot)
        for group in groups
        for slot, member in enumerate(group.trials)
        if member is not None and get_trial_uid(member) in must_wait
    ]
