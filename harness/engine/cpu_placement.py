"""Placement of trials in fused groups on a CPU core."""

from __future__ import annotations

from collections.abc import Sequence

from harness.engine import cost_model
from harness.engine.device_data import DeviceData
from harness.engine.fused_group import FusedGroup
from harness.engine.padding import Layout
from harness.engine.placement import fill_group, unload_all
from harness.engine.slot_data import Folds, SlotData, get_mixing_key
from harness.engine.trial_state import TrialState


class CpuPlacement:
    """For a CPU: groups without spare slots, rebuilt whenever their trials change."""

    def __init__(self, data: DeviceData | Folds) -> None:
        self._data = data

    def place(
        self, groups: list[FusedGroup], joining: Sequence[TrialState]
    ) -> tuple[list[TrialState], list[TrialState]]:
        data = self._data
        wanted = []
        mixable: dict[tuple[object, ...], list[TrialState]] = {}
        for trial in (*joining, *(trial for group in groups for trial in group.trials if trial)):
            mixable.setdefault(get_mixing_key(trial), []).append(trial)
        for trials in mixable.values():
            specs, first = [trial.spec for trial in trials], trials[0].data
            most = max(cost_model.CPU_SLOTS, len(data) if isinstance(data, Folds) else 0)
            index_lists = cost_model.group_trials(specs, first.inputs, first.classes, most)
            wanted += [[trials[index] for index in indices] for indices in index_lists]
        unchanged = [group for group in groups if group.trials in wanted]
        for group in groups:
            if group not in unchanged:
                unload_all(group)
        groups[:] = unchanged
        for together in wanted:
            if all(group.trials != together for group in unchanged):
                groups.append(build_group(together, data))
        return [], []


def build_group(trials: Sequence[TrialState], data: DeviceData | Folds) -> FusedGroup:
    """Build a group without spare room for these trials, given deepest first."""
    first = trials[0].data
    is_mixed = any(trial.data is not first for trial in trials)
    of_slots = SlotData(data, len(trials), first) if is_mixed and isinstance(data, Folds) else first
    return fill_group(FusedGroup(Layout.tight([trial.spec for trial in trials]), of_slots), trials)
