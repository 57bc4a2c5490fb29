"""Which member trains in which cell: one way for CPUs, one for GPUs.

Both are asked at epoch boundaries alone. Members that move take their state along and train on as
if they had stayed.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import Protocol

import torch

from harness.engine import cost_model
from harness.engine.device_data import DeviceData
from harness.engine.fused_group import FusedGroup
from harness.engine.padding import Layout, augments
from harness.engine.trial_state import TrialState
from harness.trial import TrialSpec

NARROWEST, CLASS_RATIO = 128, 4
"""Widths of up to 128, 512, 2,048 ... are padded alike on a GPU."""
Class = tuple[int, int]
"""Batch size and padded width; no width for linear classifiers."""
MEMORY_SHARE = 0.8
"""Of the device's free memory may be planned for; libraries and validation need the rest."""


class Placement(Protocol):
    def arrange(
        self, cells: list[FusedGroup], joining: Sequence[TrialState]
    ) -> tuple[list[TrialState], list[TrialState]]:
        """Change `cells` in place so that every member has a slot.

        Returns those that must wait for one, and those for which the device is too small.
        """


class Repack:
    """On a CPU: cells without padding to spare, made anew whenever their members change."""

    def __init__(self, data: DeviceData) -> None:
        self._data = data

    def arrange(
        self, cells: list[FusedGroup], joining: Sequence[TrialState]
    ) -> tuple[list[TrialState], list[TrialState]]:
        data = self._data
        members = [*joining, *(member for cell in cells for member in cell.members if member)]
        specs = [member.spec for member in members]
        found = cost_model.groups(specs, data.inputs, data.classes)
        wanted = [[members[index] for index in group] for group in found]
        kept = [cell for cell in cells if cell.members in wanted]
        for cell in cells:
            if cell not in kept:
                unload_all(cell)
        cells[:] = kept
        for group in wanted:
            if all(cell.members != group for cell in kept):
                cells.append(together(group, data))
        return [], []


class Refill:
    """On a GPU: cells with room, each captured once and refilled in place.

    A cell holds members of one batch size and width class. Where no free slot fits a newcomer, its
    cell is made anew with more slots, and with the features of all that were seen before. Where
    memory does not suffice, newcomers wait.
    """

    def __init__(
        self,
        data: DeviceData,
        free_memory: Callable[[], int],
        make: Callable[[Layout, DeviceData], FusedGroup] = FusedGroup,
    ) -> None:
        self._data, self._free_memory, self._make = data, free_memory, make
        self._seen: dict[Class, Layout] = {}
        self._caps: dict[Class, int] = {}
        """Members that a class's cell holds where memory sufficed for no more."""

    def arrange(
        self, cells: list[FusedGroup], joining: Sequence[TrialState]
    ) -> tuple[list[TrialState], list[TrialState]]:
        waiting, refused = list[TrialState](), list[TrialState]()
        homeless: dict[Class, list[TrialState]] = {}
        cells[:] = [cell for cell in cells if _occupied(cell) or cell.layout.module is None]
        for member in joining:
            if member.spec.model:
                try:
                    made = self._make(Layout.of_module(member.spec), self._data)
                    cells.append(filled(made, [member]))
                except torch.OutOfMemoryError:
                    refused.append(member)
                continue
            key = width_class(member.spec)
            # Of a full class nobody overtakes one that is waiting for another cell.
            if (key in homeless and key in self._caps) or not _placed(cells, member):
                homeless.setdefault(key, []).append(member)
        for key, newcomers in homeless.items():
            if key in self._caps:
                self._drop_empty(cells)
            own = [cell for cell in cells if cell_class(cell) == key]
            if sum(map(_occupied, own)) >= self._caps.get(key, sys.maxsize):
                waiting += newcomers
                continue
            later, never = self._grow(cells, key, own, newcomers)
            waiting += later
            refused += never
        return waiting, refused

    def _grow(
        self,
        cells: list[FusedGroup],
        key: Class,
        own: list[FusedGroup],
        newcomers: list[TrialState],
    ) -> tuple[list[TrialState], list[TrialState]]:
        """Make a class's cell anew with the newcomers in it: all of them, or as many as fit."""
        members = [member for cell in own for member in unload_all(cell)] + newcomers
        residents, slots = len(members) - len(newcomers), sum(cell.layout.slots for cell in own)
        cells[:] = [cell for cell in cells if cell not in own]
        own.clear()  # its memory is needed for the new one
        count = min(len(members), self._caps.get(key, len(members)))
        while True:
            made, count = self._made(cells, key, members, count)
            if made is not None:
                if made.layout.slots < slots:
                    self._caps.clear()  # there is room again
                if count < len(members):
                    self._caps[key] = count
                cells.append(filled(made, deepest_first(members[:count])))
                return members[count:], []
            if self._drop_empty(cells):
                continue
            if count > 1:
                count = residents if 0 < residents < count else count // 2
            elif cells:
                self._caps[key] = 0
                return members, []
            else:
                return members[1:], members[:1]

    def _made(
        self, cells: list[FusedGroup], key: Class, members: list[TrialState], count: int
    ) -> tuple[FusedGroup | None, int]:
        """A cell for the first `count` members, or for fewer; None where the allocation failed."""
        layout = self._roomy(key, [member.spec for member in members[:count]])
        if self._room(layout) < layout.slots:
            self._drop_empty(cells)
            # One is tried whatever the estimate says.
            count = max(1, min(count, self._room(layout)))
            layout = self._roomy(key, [member.spec for member in members[:count]], spare=0)
        try:
            made = self._make(layout, self._data)
        except torch.OutOfMemoryError:
            return None, count
        self._seen[key] = layout
        return made, count

    def _room(self, layout: Layout) -> int:
        """Slots that memory suffices for, by the estimate."""
        return int(self._free_memory() * MEMORY_SHARE / slot_bytes(layout, self._data))

    def _drop_empty(self, cells: list[FusedGroup]) -> bool:
        """Give back the memory of cells that nobody trains in, if there are any."""
        before = len(cells)
        cells[:] = [cell for cell in cells if _occupied(cell)]
        if len(cells) < before:
            self._caps.clear()
        return len(cells) < before

    def _roomy(self, key: Class, specs: Sequence[TrialSpec], spare: int | None = None) -> Layout:
        """For these members and any like them: slots to the next power of two, half of them as deep
        as any so far, all as wide as the class, with every feature that the class has had."""
        seen = self._seen.get(key)
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
            biases=(True,) * (depths[0] + 1),
            dropout=any(spec.dropout for spec in specs) or bool(seen and seen.dropout),
            smoothing=any(spec.label_smoothing for spec in specs) or bool(seen and seen.smoothing),
            augments=tuple(sorted({*augments(specs), *(seen.augments if seen else ())})),
            mixed_depth=depths[0] > 1,
            exact=False,
        )


def together(members: Sequence[TrialState], data: DeviceData) -> FusedGroup:
    """A cell with just the room that these members need; deepest first."""
    return filled(FusedGroup(Layout.tight([member.spec for member in members]), data), members)


def width_class(spec: TrialSpec) -> Class:
    if not spec.hidden:
        return spec.batch_size, 0
    width = NARROWEST
    while width < max(spec.hidden):
        width *= CLASS_RATIO
    return spec.batch_size, width


def cell_class(cell: FusedGroup) -> Class | None:
    """None for that of a trial with a model of its own, which nobody joins."""
    if cell.layout.module is not None:
        return None
    return cell.layout.batch_size, max(cell.layout.widths, default=0)


def slot_bytes(layout: Layout, data: DeviceData) -> int:
    """About what one slot takes on the device: the arena and the activations of a step."""
    widths = (data.inputs, *layout.widths)
    parameters = sum(a * b for a, b in zip(widths, (*layout.widths, data.classes), strict=True))
    tensors = 7 * parameters  # values, gradients, two moments, the best epoch's, two temporaries
    # Ten [B, H] tensors a hidden layer from forward to backward; validation takes 2,000 examples.
    rows = 10 * layout.batch_size + 4 * 2000
    return data.mean.element_size() * (tensors + rows * sum(widths))


def device_memory(device: torch.device) -> int:
    """Bytes that torch could still allocate on a GPU."""
    torch.cuda.empty_cache()  # of cells that are gone
    free, _ = torch.cuda.mem_get_info(device)
    return int(free)


def deepest_first(members: Sequence[TrialState]) -> list[TrialState]:
    return sorted(members, key=lambda member: -len(member.spec.hidden))


def filled(cell: FusedGroup, members: Sequence[TrialState]) -> FusedGroup:
    """The members, deepest first, into the slots that have just the room."""
    first = cell.layout.slots - len(members)
    for slot, member in enumerate(members, start=first):
        cell.load(slot, member)
    return cell


def unload_all(cell: FusedGroup) -> list[TrialState]:
    return [cell.unload(slot) for slot, member in enumerate(cell.members) if member]


def _occupied(cell: FusedGroup) -> int:
    return sum(member is not None for member in cell.members)


def _placed(cells: Sequence[FusedGroup], member: TrialState) -> bool:
    """Put a member into the shallowest free slot that fits it, if there is one."""
    for cell in cells:
        for slot in reversed(range(cell.layout.slots)):
            if cell.members[slot] is None and cell.layout.fits(slot, member.spec):
                cell.load(slot, member)
                return True
    return False
