"""Workers that die, hang or run out of memory affect only their own trials."""

from __future__ import annotations

import itertools
import os
import re
import resource
import signal
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from types import FrameType

import pytest

from harness.data.prepare import PreparedDataset
from harness.errors import HarnessError
from harness.executors.base import EpochEnded, Event, TrialEnded, TrialLost
from harness.executors.processes import ProcessExecutor
from harness.executors.worker_process import KILL_TIMEOUT, kill_workers
from harness.results import TrialFailure
from harness.trial import Trial, TrialSpec
from tests.executors.test_contract import CPU, SPEC, drive, result_of, trials
from tests.faults.process_table import is_gone, stop, wait_gone

ENDLESS = replace(SPEC, epochs=10**6)


def pid_of(executor: ProcessExecutor, index: int = 0) -> int:
    pid = executor._workers[index].process.pid
    assert pid is not None
    return pid


def events_of(executor: ProcessExecutor, seconds: float = 60) -> Iterator[Event]:
    """Yield the events; every trial continues."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        events = executor.wait(0.2)
        for event in events:  # also those that the caller never consumes
            if isinstance(event, EpochEnded):
                executor.answer(event.uid, True)
        yield from events
    raise AssertionError(f"waited for {seconds} s")


def wait_for_epochs(executor: ProcessExecutor, submitted: list[Trial]) -> None:
    """Wait until each trial has reported another epoch."""
    missing = {trial.uid for trial in submitted}
    for event in events_of(executor):
        assert isinstance(event, EpochEnded)
        missing.discard(event.uid)
        if not missing:
            return


REASONS = {
    signal.SIGKILL: r"worker 0 died \(signal 9\)",
    signal.SIGSTOP: r"worker 0 hung: no epoch for \d+ s, killed",
}


@pytest.mark.parametrize("number", REASONS, ids=lambda number: number.name)
def test_a_dead_or_hung_worker_loses_its_own_trials_and_no_others(
    digits: PreparedDataset, number: signal.Signals
) -> None:
    setups = [replace(CPU, slots=3)] * 2
    with ProcessExecutor(digits.training, setups, hung_after=1) as executor:
        submitted = trials(*(replace(ENDLESS, seed=seed) for seed in range(6)))
        executor.submit(submitted)
        wait_for_epochs(executor, submitted)
        doomed, pid = dict(executor._workers[0].trials), pid_of(executor)
        other = pid_of(executor, 1)
        assert len(doomed) == 3
        os.kill(pid, number)
        lost = []
        for event in events_of(executor):
            lost += [event] if isinstance(event, TrialLost) else []
            if len(lost) == 3:
                break
        assert {event.uid for event in lost} == set(doomed)
        for event in lost:
            assert event.worker == "worker 0"
            assert re.fullmatch(REASONS[number], event.reason)
        assert is_gone(pid)
        wait_for_epochs(executor, [trial for trial in submitted if trial.uid not in doomed])
        assert pid_of(executor, 1) == other
        others = trials(SPEC)
        executor.submit(others)
        for event in events_of(executor):
            assert not isinstance(event, TrialLost)
            if isinstance(event, TrialEnded):
                assert (event.uid, event.worker) == (others[0].uid, "worker 0")
                break


def test_a_worker_that_hangs_while_starting_is_started_three_times(digits: PreparedDataset) -> None:
    with ProcessExecutor(digits.training, [CPU], hung_after=0.1) as executor:
        executor.start()
        pids: set[int] = set()
        message = r"worker 0 hung: not ready for 1 s, killed before it was ready, 3 times in a row"

        def stop_each() -> None:
            deadline = time.monotonic() + 20
            while time.monotonic() < deadline:
                if pid_of(executor) not in pids:
                    pids.add(pid_of(executor))
                    stop(pid_of(executor))
                executor.wait(0.02)

        with pytest.raises(HarnessError, match=message):
            stop_each()
    assert len(pids) == 3
    assert all(is_gone(pid) for pid in pids)


def test_a_worker_that_stops_in_the_middle_of_a_message_does_not_block_the_driver(
    digits: PreparedDataset,
) -> None:
    large = replace(SPEC, hidden=(512, 512), epochs=1)  # more than the buffer of a pipe
    with ProcessExecutor(digits.training, [CPU]) as executor:
        (doomed,) = trials(large)
        executor.submit([doomed])
        (epoch,) = executor.wait(60)
        assert isinstance(epoch, EpochEnded)
        executor.answer(doomed.uid, True)
        assert executor._workers[0].connection.poll(60), "it has started to send the result"
        time.sleep(0.1)
        stop(pid_of(executor))
        (lost,) = executor.wait(60)
        assert lost == TrialLost(
            doomed.uid, "worker 0", "worker 0 hung in the middle of a message, killed"
        )
        (retry,) = trials(large)
        assert result_of(drive(executor, [retry]), retry).epochs == 1


def test_a_worker_that_waits_for_an_answer_or_a_trial_is_not_hung(digits: PreparedDataset) -> None:
    with ProcessExecutor(digits.training, [CPU, CPU], hung_after=0.2) as executor:
        (trial,) = trials(SPEC)
        executor.submit([trial])
        (first,) = executor.wait(60)
        assert isinstance(first, EpochEnded)
        pids = [pid_of(executor, index) for index in range(2)]
        assert executor.wait(2.5) == [], "one waits for an answer, the other for a trial"
        executor.answer(trial.uid, True)
        events = drive(executor, [])
        while not events or isinstance(events[-1], EpochEnded):
            events += executor.wait(60)
            executor.answer(trial.uid, True)
        assert result_of(events, trial).epochs == 3
        assert [pid_of(executor, index) for index in range(2)] == pids


def start_training(digits: PreparedDataset) -> ProcessExecutor:
    executor = ProcessExecutor(digits.training, [CPU, CPU])
    submitted = trials(ENDLESS, ENDLESS)
    executor.submit(submitted)
    wait_for_epochs(executor, submitted)
    return executor


def test_close_kills_stopped_workers_and_may_be_called_twice(digits: PreparedDataset) -> None:
    executor = start_training(digits)
    pids = [pid_of(executor, index) for index in range(2)]
    for pid in pids:
        stop(pid)
    before = time.monotonic()
    executor.close()
    executor.close()
    assert time.monotonic() - before < KILL_TIMEOUT + 1
    assert all(is_gone(pid) for pid in pids)


def interrupt_at(line: int) -> Callable[[FrameType, str, object], object]:
    """A trace function that raises KeyboardInterrupt at a line of `kill_workers`."""
    left = line

    def trace(frame: FrameType, event: str, _: object) -> object:
        nonlocal left
        if frame.f_code is not kill_workers.__code__:
            return None
        left -= event == "line"
        if left == 0:
            sys.settrace(None)
            raise KeyboardInterrupt
        return trace

    return trace


def test_ctrl_c_at_any_line_of_close_leaves_no_worker(digits: PreparedDataset) -> None:
    for line in itertools.count(1):
        executor = ProcessExecutor(digits.training, [CPU, CPU])
        executor.start()
        pids = [pid_of(executor, index) for index in range(2)]
        for pid in pids:
            stop(pid)
        before = sys.gettrace()
        try:
            sys.settrace(interrupt_at(line))
            executor.close()
        except KeyboardInterrupt:
            continue
        finally:
            sys.settrace(before)
            wait_gone(pids)
        break
    assert line > 8, "two workers are killed and waited for"


def limit_memory(pid: int, more: int) -> None:
    """Limit a process to its current memory and `more` bytes."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[0])
    limit = pages * resource.getpagesize() + more
    resource.prlimit(pid, resource.RLIMIT_AS, (limit, limit))


@pytest.mark.parametrize("more", [50, 200], ids=lambda more: f"{more} MiB")
def test_a_trial_that_runs_out_of_memory_fails_alone(digits: PreparedDataset, more: int) -> None:
    """With 50 MiB its weights do not fit; with 200 MiB it fails in an epoch."""
    wide = replace(SPEC, hidden=(5000, 5000))  # 100 MB of weights
    with ProcessExecutor(digits.training, [CPU, CPU]) as executor:
        (steady,) = trials(ENDLESS)
        executor.submit([steady])
        wait_for_epochs(executor, [steady])
        for index in range(2):
            limit_memory(pid_of(executor, index), more << 20)
        others = trials(SPEC, replace(SPEC, seed=1))
        (failing,) = trials(wide)
        executor.submit([failing])
        executor.submit(others)
        ended: dict[str, TrialEnded] = {}
        for event in events_of(executor):
            assert not isinstance(event, TrialLost)
            if isinstance(event, TrialEnded):
                ended[event.uid] = event
            if len(ended) == 3:
                break
        wait_for_epochs(executor, [steady])
    outcome = ended.pop(failing.uid).outcome
    assert isinstance(outcome, TrialFailure)
    assert outcome.reason.startswith("out of memory: can't allocate memory: you tried to allocate")
    for trial in others:
        assert result_of(list(ended.values()), trial).epochs == 3


def test_a_trial_that_diverges_does_not_change_the_others(
    digits: PreparedDataset,
) -> None:
    """Up to rounding, as fused training promises; see harness/engine/trainer.py."""
    good = [TrialSpec(hidden=(16,), epochs=4, seed=seed) for seed in range(2)]
    bad = replace(good[0], optimizer="sgd", learning_rate=1e30)
    setup = replace(CPU, slots=3)
    with ProcessExecutor(digits.training, [setup]) as executor:
        alone = trials(*good)
        expected = drive(executor, alone)
        together = trials(bad, *good)
        events = drive(executor, together)
    (failure,) = (e for e in events if isinstance(e, TrialEnded) and e.uid == together[0].uid)
    assert isinstance(failure.outcome, TrialFailure)
    assert failure.outcome.reason.startswith("diverged: ")
    for before, trial in zip(alone, together[1:], strict=True):
        one, other = result_of(expected, before), result_of(events, trial)
        assert one.epochs == other.epochs == 4
        assert other.best.val_loss == pytest.approx(one.best.val_loss, rel=1e-4)
        assert other.best.val_accuracy == pytest.approx(one.best.val_accuracy, abs=0.01)
