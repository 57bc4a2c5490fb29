"""When something breaks in the middle of an epoch: every trial is heard of again."""

from __future__ import annotations

import multiprocessing
from collections.abc import Sequence
from dataclasses import replace

import pytest

from harness.data.files import Prepared
from harness.data.parts import load_splits
from harness.engine import Population, Resident
from harness.engine.arrangement import Repack, unload_all
from harness.engine.cell import Cell
from harness.engine.member import Member
from harness.executors.base import LEAVING, Ended, Epoch, Event, Lost
from harness.executors.workbench import Workbench
from harness.executors.worker import _train
from harness.trial import Trial, TrialFailure, TrialSpec

SPEC = TrialSpec(hidden=(16,), epochs=5)


class Breaking(Repack):
    """Takes its members out of their cells, and fails before it puts them back."""

    breaks = False

    def arrange(
        self, cells: list[Cell], joining: Sequence[Member]
    ) -> tuple[list[Member], list[Member]]:
        if self.breaks:
            for cell in cells:
                unload_all(cell)
            raise RuntimeError("no memory\nand a second line")
        return super().arrange(cells, joining)


@pytest.fixture
def arrangement(digits: Prepared) -> Breaking:
    return Breaking(Resident(load_splits(digits.training)))


@pytest.fixture
def workbench(arrangement: Breaking) -> Workbench:
    return Workbench(Population(arrangement._data, "val/accuracy", arrangement), "bench")


def submit(workbench: Workbench, count: int, first: int = 0) -> list[str]:
    uids = [f"u/{number}" for number in range(first, first + count)]
    for number, uid in enumerate(uids, start=first):
        workbench.submit(Trial(number=number, uid=uid, spec=replace(SPEC, seed=number)))
    return uids


def events_of(workbench: Workbench) -> list[Event]:
    return [event for events in workbench.step() for event in events]


def test_of_several_trials_each_may_be_tried_again(
    workbench: Workbench, arrangement: Breaking
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


def test_a_trial_alone_has_failed(workbench: Workbench, arrangement: Breaking) -> None:
    submit(workbench, 1)
    arrangement.breaks = True
    (event,) = events_of(workbench)
    assert event == Ended("u/0", "bench", TrialFailure(reason="RuntimeError: no memory"))
    assert workbench.broken, "its device may be unusable: a worker process ends here"


def test_a_worker_that_broke_says_that_it_leaves_before_what_happened(
    workbench: Workbench, arrangement: Breaking
) -> None:
    """Or its trial's end would bring it another, which would be lost with it."""
    ours, theirs = multiprocessing.Pipe()
    arrangement.breaks = True
    ours.send(Trial(number=0, uid="u/0", spec=SPEC))
    _train(theirs, workbench)
    assert ours.recv() == LEAVING
    assert isinstance(ours.recv(), Ended)


def test_what_cannot_train_fails_and_breaks_nothing(workbench: Workbench) -> None:
    workbench.submit(Trial(number=0, uid="large", spec=replace(SPEC, batch_size=10**6)))
    assert workbench.busy
    (event,) = events_of(workbench)
    assert isinstance(event, Ended)
    assert isinstance(event.outcome, TrialFailure)
    assert event.outcome.reason.startswith("ValueError: batch_size 1000000")
    assert not workbench.broken
    assert not workbench.busy
