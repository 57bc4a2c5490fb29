"""Errors in the middle of an epoch: every trial still gets an event."""

from __future__ import annotations

import multiprocessing
from collections.abc import Sequence
from dataclasses import replace

import pytest

from harness.data.prepare import PreparedDataset
from harness.data.torch_datasets import load_splits
from harness.engine.cpu_placement import CpuPlacement
from harness.engine.device_data import DeviceData
from harness.engine.fused_group import FusedGroup
from harness.engine.placement import unload_all
from harness.engine.trainer import Trainer
from harness.engine.trial_state import TrialState
from harness.executors.base import LEAVING, EpochEnded, Event, Setup, TrialEnded, TrialLost
from harness.executors.trainer_pool import TrainerPool
from harness.executors.trial_runner import TrialRunner
from harness.executors.worker import _train_trials
from harness.results import TrialFailure
from harness.trial import Trial, TrialSpec

SPEC = TrialSpec(hidden=(16,), epochs=5)


class BreakingPlacement(CpuPlacement):
    """Takes the trials out of their groups, and fails before it puts them back."""

    is_broken = False

    def place(
        self, groups: list[FusedGroup], joining: Sequence[TrialState]
    ) -> tuple[list[TrialState], list[TrialState]]:
        if self.is_broken:
            for group in groups:
                unload_all(group)
            raise RuntimeError("no memory\nand a second line")
        return super().place(groups, joining)


@pytest.fixture
def placement(digits: PreparedDataset) -> BreakingPlacement:
    return BreakingPlacement(DeviceData(load_splits(digits.training)))


@pytest.fixture
def runner(placement: BreakingPlacement, digits: PreparedDataset) -> TrialRunner:
    pool = TrainerPool(digits.training, Setup("val/accuracy", "cpu"))
    pool._trainers[0] = Trainer(placement._data, "val/accuracy", placement)
    return TrialRunner(pool, "bench")


def submit(runner: TrialRunner, count: int, first: int = 0) -> list[str]:
    uids = [f"u/{number}" for number in range(first, first + count)]
    for number, uid in enumerate(uids, start=first):
        runner.submit(Trial(number=number, uid=uid, spec=replace(SPEC, seed=number)))
    return uids


def events_of(runner: TrialRunner) -> list[Event]:
    return [event for events in runner.step() for event in events]


def test_if_several_trials_break_each_may_be_retried(
    runner: TrialRunner, placement: BreakingPlacement
) -> None:
    uids = submit(runner, 3)
    for event in events_of(runner):
        assert isinstance(event, EpochEnded)
        runner.answer(event.uid, True)
    placement.is_broken = True
    uids += submit(runner, 1, first=3)
    events = events_of(runner)
    assert sorted(event.uid for event in events) == uids
    reason = "RuntimeError: no memory"
    assert events == [TrialLost(event.uid, "bench", reason) for event in events]
    assert runner.is_broken
    assert not runner.is_busy


def test_a_single_trial_that_breaks_has_failed(
    runner: TrialRunner, placement: BreakingPlacement
) -> None:
    submit(runner, 1)
    placement.is_broken = True
    (event,) = events_of(runner)
    assert event == TrialEnded("u/0", "bench", TrialFailure(reason="RuntimeError: no memory"))
    assert runner.is_broken, "its device may be unusable: a worker process would end"


def test_a_broken_worker_sends_that_it_is_leaving_before_its_events(
    runner: TrialRunner, placement: BreakingPlacement
) -> None:
    """Otherwise it would get another trial when one ends, and lose it."""
    ours, theirs = multiprocessing.Pipe()
    placement.is_broken = True
    ours.send(Trial(number=0, uid="u/0", spec=SPEC))
    _train_trials(theirs, runner)
    assert ours.recv() == LEAVING
    assert isinstance(ours.recv(), TrialEnded)


def test_a_trial_that_cannot_train_fails_and_does_not_break_the_worker(runner: TrialRunner) -> None:
    runner.submit(Trial(number=0, uid="large", spec=replace(SPEC, batch_size=10**6)))
    assert runner.is_busy
    (event,) = events_of(runner)
    assert isinstance(event, TrialEnded)
    assert isinstance(event.outcome, TrialFailure)
    assert event.outcome.reason.startswith("ValueError: batch_size 1000000")
    assert not runner.is_broken
    assert not runner.is_busy
