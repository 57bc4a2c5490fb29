"""When something breaks in the middle of an epoch: every trial is heard of again."""

from __future__ import annotations

import multiprocessing
from collections.abc import Sequence
from dataclasses import replace

import pytest

from harness.data.prepare import PreparedDataset
from harness.data.torch_datasets import load_splits
from harness.engine.device_data import DeviceData
from harness.engine.fused_group import FusedGroup
from harness.engine.placement import CpuPlacement, unload_all
from harness.engine.trainer import Trainer
from harness.engine.trial_state import TrialState
from harness.executors.base import LEAVING, Ended, Epoch, Event, Lost
from harness.executors.trial_runner import TrialRunner
from harness.executors.worker import _train
from harness.results import TrialFailure
from harness.trial import Trial, TrialSpec

SPEC = TrialSpec(hidden=(16,), epochs=5)


class Breaking(CpuPlacement):
    """Takes its members out of their cells, and fails before it puts them back."""

    breaks = False

    def arrange(
        self, cells: list[FusedGroup], joining: Sequence[TrialState]
    ) -> tuple[list[TrialState], list[TrialState]]:
        if self.breaks:
            for cell in cells:
                unload_all(cell)
            raise RuntimeError("no memory\nand a second line")
        return super().place(cells, joining)


@pytest.fixture
def arrangement(digits: PreparedDataset) -> Breaking:
    return Breaking(DeviceData(load_splits(digits.training)))


@pytest.fixture
def workbench(arrangement: Breaking) -> TrialRunner:
    return TrialRunner(Trainer(arrangement._data, "val/accuracy", arrangement), "bench")


def submit(workbench: TrialRunner, count: int, first: int = 0) -> list[str]:
    uids = [f"u/{number}" for number in range(first, first + count)]
    for number, uid in enumerate(uids, start=first):
        workbench.submit(Trial(number=number, uid=uid, spec=replace(SPEC, seed=number)))
    return uids


def events_of(workbench: TrialRunner) -> list[Event]:
    return [event for events in workbench.step() for event in events]


def test_of_several_trials_each_may_be_tried_again(
    workbench: TrialRunner, arrangement: Breaking
) -> None:
    uids = submit(workbench, 3)
    for event in events_of(workbench):
        assert isinstance(event, Epoch)
        workbench.answer(event.uid, True)
    arrangement.breaks = True
    uids += submit(workbench, 1, first=3)
    events = events_of(workbench)
    assert sorted(event.uid for event in events) == uids
    reason = "RuntimeError: no memory"
    assert events == [Lost(event.uid, "bench", reason) for event in events]
    assert workbench.broken
    assert not workbench.busy


def test_a_trial_alone_has_failed(workbench: TrialRunner, arrangement: Breaking) -> None:
    submit(workbench, 1)
    arrangement.breaks = True
    (event,) = events_of(workbench)
    assert event == Ended("u/0", "bench", TrialFailure(reason="RuntimeError: no memory"))
    assert workbench.broken, "its device may be unusable: a worker process ends here"


def test_a_worker_that_broke_says_that_it_leaves_before_what_happened(
    workbench: TrialRunner, arrangement: Breaking
) -> None:
    """Or its trial's end would bring it another, which would be lost with it."""
    ours, theirs = multiprocessing.Pipe()
    arrangement.breaks = True
    ours.send(Trial(number=0, uid="u/0", spec=SPEC))
    _train(theirs, workbench)
    assert ours.recv() == LEAVING
    assert isinstance(ours.recv(), Ended)


def test_what_cannot_train_fails_and_breaks_nothing(workbench: TrialRunner) -> None:
    workbench.submit(Trial(number=0, uid="large", spec=replace(SPEC, batch_size=10**6)))
    assert workbench.busy
    (event,) = events_of(workbench)
    assert isinstance(event, Ended)
    assert isinstance(event.outcome, TrialFailure)
    assert event.outcome.reason.startswith("ValueError: batch_size 1000000")
    assert not workbench.broken
    assert not workbench.busy
