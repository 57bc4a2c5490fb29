"""Many unequal trials training at once: the one training loop.

A population trains an epoch of each cell, reports it, and stands still until every member was
judged. Members join and leave between epochs. A member's result does not depend on the others:
bit for bit where it trains alone on one thread, to rounding where it is fused with others.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass

from harness.engine.device_data import DeviceData
from harness.engine.fused_group import FusedGroup
from harness.engine.placement import Placement, Refill, Repack, device_memory
from harness.engine.trial_state import Best, TrialState, divergence, improves, perturbed
from harness.results import EpochMetrics, Objective, TrialFailure, TrialResult
from harness.trial import TrialSpec


@dataclass(frozen=True)
class Report:
    """What an epoch brought for one member."""

    uid: str
    outcome: EpochMetrics | TrialFailure
    """Metrics wait for `judge`; after a failure the member is gone."""


class Trainer:
    """The trials of one device. `add` and `drop` take effect at the next epoch's start."""

    def __init__(
        self,
        data: DeviceData,
        objective: Objective,
        arrangement: Placement | None = None,
        perturbation: float = 0.0,
    ) -> None:
        """`perturbation` of every trial's initial weights: see `perturbed`."""
        self.data, self.objective, self._perturbation = data, objective, perturbation
        self.cells: list[FusedGroup] = []
        self._uids: dict[str, None] = {}
        """Of every trial that is here, in the order they came, wherever it stands."""
        self._waiting: list[TrialState] = []
        self._changed = False
        self._arrangement = arrangement or _arrangement(data)

    def __len__(self) -> int:
        return len(self._uids)

    def add(self, uid: str, spec: TrialSpec) -> None:
        """Let a trial join. Raises ValueError where it cannot train on this data."""
        member = TrialState.fresh(uid, spec, self.data)
        if self._perturbation:
            member.state = perturbed(member, self._perturbation)
        self._waiting.append(member)
        self._uids[uid] = None
        self._changed = True

    def drop(self, uid: str) -> None:
        """Free a trial's slot; nothing is kept of it."""
        self._uids.pop(uid, None)
        self._waiting = [member for member in self._waiting if member.uid != uid]
        for cell in self.cells:
            for slot, member in enumerate(cell.members):
                if member is not None and member.uid == uid:
                    cell.members[slot] = None
                    self._changed = True

    def clear(self) -> list[str]:
        """Drop every trial; returns their uids."""
        uids = list(self._uids)
        self._uids, self._waiting, self.cells = {}, [], []
        return uids

    def train_epoch(self) -> Iterator[list[Report]]:
        """Train each cell an epoch; yields the reports of its members, if any are due.

        Every member reported with metrics must be judged before the next call.
        """
        if self._changed:
            self._waiting, refused = self._arrangement.arrange(self.cells, self._waiting)
            self._changed = bool(self._waiting)
            if refused:
                reason = f"needs more memory than {self.data.device} has"
                for member in refused:
                    self.drop(member.uid)
                yield [Report(member.uid, TrialFailure(reason=reason)) for member in refused]
        for cell in list(self.cells):
            if any(cell.members):
                reports = self._train(cell)
                if reports:
                    yield reports

    def judge(self, uid: str, keep: bool) -> TrialResult | None:
        """Let a reported member go on, or end it; its result where it ended."""
        (member,) = (member for member in self._members() if member and member.uid == uid)
        stopped = member.ends(keep)
        if stopped is None:
            return None
        result = member.result(stopped, self.data)
        self.drop(uid)
        return result

    def _members(self) -> list[TrialState | None]:
        return [member for cell in self.cells for member in cell.members]

    def _train(self, cell: FusedGroup) -> list[Report]:
        started = time.perf_counter()
        trained = cell.train_epoch()
        members = [(slot, member) for slot, member in enumerate(cell.members) if member]
        due = any(member.spec.evaluates(member.epochs) for _, member in members)
        validated = cell.validate() if due else None
        seconds = time.perf_counter() - started
        reports = []
        for slot, member in members:
            member.seconds += seconds / len(members)
            losses = {"train_loss": trained.loss[slot]}
            seen = validated if member.spec.evaluates(member.epochs) else None
            if seen is not None:
                losses["val_loss"] = seen.loss[slot]
            diverged = divergence(member.epochs, **losses)
            if diverged:
                self.drop(member.uid)
                reports.append(Report(member.uid, TrialFailure(reason=diverged)))
            elif seen is not None:
                metrics = EpochMetrics(
                    epoch=member.epochs,
                    **losses,
                    penalty=cell.penalty(slot, member.spec),
                    learning_rate=trained.learning_rate[slot],
                    seconds=member.seconds - member.reported,
                    time=time.time(),
                    **trained.figures[slot],
                    **seen.figures[slot],
                )
                member.reported = member.seconds
                if member.best is None or improves(metrics, member.best.metrics, self.objective):
                    member.best = Best(
                        metrics,
                        cell.weights(slot, member.spec),
                        seen.confusion[slot],
                        seen.predictions[slot],
                    )
                reports.append(Report(member.uid, metrics))
        return reports


def _arrangement(data: DeviceData) -> Placement:
    if data.device.type != "cuda":
        return Repack(data)
    return Refill(data, lambda: device_memory(data.device))
