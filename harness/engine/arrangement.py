"""Which member trains in which cell: one way for CPUs, one for GPUs.

Both are asked at epoch boundaries alone. Members that move take their state along and train on as
if they had stayed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

import torch

from harness import packing
from harness.engine.cell import Cell
from harness.engine.layout import Layout
from harness.engine.member import Member
from harness.engine.resident import Resident
from harness.trial import TrialSpec

NARROWEST, CLASS_RATIO = 128, 4
"""Widths of up to 128, 512, 2,048 ... are padded alike on a GPU."""
MEMORY_SHARE = 0.8
"""Of the device's free memory may be planned for; libraries and validation need the rest."""


class Arrangement(Protocol):
    def arrange(
        self, cells: list[Cell], joining: Sequence[Member]
    ) -> tuple[list[Member], list[Member]]:
        """Change `cells` in place so that every member has a slot.

        Returns those that must wait for one, and those for which the device is too small.
        """


class Repack:
    """On a CPU: cells without padding to spare, made anew whenever their members change."""

    def __init__(self, data: Resident) -> None:
        self._data = data

    def arrange(
        self, cells: list[Cell], joining: Sequence[Member]
    ) -> tuple[list[Member], list[Member]]:
        data = self._data
        members = [*joining, *(member for cell in cells for member in cell.members if member)]
        specs = [member.spec for member in members]
        found = packing.groups(specs, data.inputs, data.classes)
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
        data: Resident,
        free_memory: Callable[[], int],
        make: Callable[[Layout, Resident], Cell] = Cell,
    ) -> None:
        self._data, self._free_memory, self._make = data, free_memory, make
        self._seen: dict[tuple[int, int], Layout] = {}
        self.limit: int | None = None
        """Members that the device holds, once an allocation has failed."""

    def arrange(
        self, cells: list[Cell], joining: Sequence[Member]
    ) -> tuple[list[Member], list[Member]]:
        waiting, refused = list[Member](), list[Member]()
        without: dict[tuple[int, int], list[Member]] = {}
        training = _training(cells)
        for member in joining:
            if self.limit is not None and training >= self.limit:
                waiting.append(member)
                continue
            training += 1
            if not _placed(cells, member):
                without.setdefault(width_class(member.spec), []).append(member)
        for key, newcomers in without.items():
            later, never = self._grow(cells, key, newcomers)
            waiting += later
            refused += never
        return waiting, refused

    def _grow(
        self, cells: list[Cell], key: tuple[int, int], newcomers: list[Member]
    ) -> tuple[list[Member], list[Member]]:
        """Make a class's cell anew with the newcomers in it: all of them, or as many as fit."""
        members = newcomers
        for old in [cell for cell in cells if cell_class(cell) == key]:
            members = [*unload_all(old), *members]
            cells.remove(old)
            del old  # its memory is needed for the new one
        count = len(members)
        while True:
            made, count = self._made(key, members, count)
            if made is not None:
                cells.append(filled(made, deepest_first(members[:count])))
                return members[count:], []
            if any(not any(cell.members) for cell in cells):
                cells[:] = [cell for cell in cells if any(cell.members)]
            elif count > 1:
                count //= 2
                self.limit = _training(cells) + count
            elif cells:
                return members, []
            else:
                return members[1:], members[:1]

    def _made(
        self, key: tuple[int, int], members: list[Member], count: int
    ) -> tuple[Cell | None, int]:
        """A cell for the first `count` members, or for fewer; None where the allocation failed."""
        layout = self._roomy(key, [member.spec for member in members[:count]])
        room = int(self._free_memory() * MEMORY_SHARE / slot_bytes(layout, self._data))
        if room < layout.slots:
            # One is tried whatever the estimate says.
            count = max(1, min(count, room))
            layout = self._roomy(key, [member.spec for member in members[:count]], spare=0)
        try:
            cell = self._make(layout, self._data)
        except torch.OutOfMemoryError:
            return None, count
        self._seen[key] = layout
        return cell, count

    def _roomy(
        self, key: tuple[int, int], specs: Sequence[TrialSpec], spare: int | None = None
    ) -> Layout:
        """For these members and any like them: slots to the next power of two, all as wide as the
        class, every feature that the class has had."""
        seen = self._seen.get(key)
        depths = sorted((len(spec.hidden) for spec in specs), reverse=True)
        if spare is None:
            spare = (1 << (len(specs) - 1).bit_length()) - len(specs)
        deepest = max(depths[0], seen.depths[0] if seen else 0)
        depths = [deepest] * spare + depths
        activations = {spec.activation for spec in specs}
        batch_norms = {spec.batch_norm for spec in specs}
        return Layout(
            batch_size=key[0],
            depths=tuple(depths),
            widths=(key[1],) * depths[0],
            activations=tuple(sorted(activations.union(seen.activations if seen else ()))),
            batch_norms=tuple(sorted(batch_norms.union(seen.batch_norms if seen else ()))),
            biases=(True,) * (depths[0] + 1),
            dropout=any(spec.dropout for spec in specs) or bool(seen and seen.dropout),
            smoothing=any(spec.label_smoothing for spec in specs) or bool(seen and seen.smoothing),
            mixed_depth=depths[0] > 1,
            exact=False,
        )


def together(members: Sequence[Member], data: Resident) -> Cell:
    """A cell with just the room that these members need; deepest first."""
    return filled(Cell(Layout.tight([member.spec for member in members]), data), members)


def width_class(spec: TrialSpec) -> tuple[int, int]:
    """(batch size, padded width); no width for a linear classifier."""
    if not spec.hidden:
        return spec.batch_size, 0
    width = NARROWEST
    while width < max(spec.hidden):
        width *= CLASS_RATIO
    return spec.batch_size, width


def cell_class(cell: Cell) -> tuple[int, int]:
    return cell.layout.batch_size, max(cell.layout.widths, default=0)


def slot_bytes(layout: Layout, data: Resident) -> int:
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
    return free + torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)


def deepest_first(members: Sequence[Member]) -> list[Member]:
    return sorted(members, key=lambda member: -len(member.spec.hidden))


def filled(cell: Cell, members: Sequence[Member]) -> Cell:
    """The members, deepest first, into the slots that have just the room."""
    first = cell.layout.slots - len(members)
    for slot, member in enumerate(members, start=first):
        cell.load(slot, member)
    return cell


def unload_all(cell: Cell) -> list[Member]:
    return [cell.unload(slot) for slot, member in enumerate(cell.members) if member]


def _training(cells: Sequence[Cell]) -> int:
    return sum(member is not None for cell in cells for member in cell.members)


def _placed(cells: Sequence[Cell], member: Member) -> bool:
    """Put a member into the shallowest free slot that fits it, if there is one."""
    for cell in cells:
        for slot in reversed(range(cell.layout.slots)):
            if cell.members[slot] is None and cell.layout.fits(slot, member.spec):
                cell.load(slot, member)
                return True
    return False
