"""The contract of `harness.executors.base.Executor`, for every executor, on real training."""

from __future__ import annotations

import inspect
import os
import re
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch

import harness.executors
from harness.data.prepare import PreparedDataset, prepare
from harness.errors import HarnessError
from harness.executors.base import EpochEnded, Event, Executor, Setup, TrialEnded, TrialLost
from harness.executors.inline import InlineExecutor
from harness.executors.processes import ProcessExecutor
from harness.executors.ray_cluster import RayOptions
from harness.executors.registry import EXECUTORS, ExecutorOptions, create_executor
from harness.models.fold_weights import split_folds
from harness.results import TrialFailure, TrialResult
from harness.sweep.plan import Plan
from harness.trial import WHOLE, Trial, TrialSpec
from tests.support.ray_cluster import start_cluster

CPU = Setup("val/accuracy", "cpu")
SPEC = TrialSpec(hidden=(16,), epochs=3)


@pytest.fixture(scope="module")
def cluster() -> Iterator[None]:
    """A Ray cluster with a core for each worker of two executors that are open at once."""
    with start_cluster(cpus=3, nodes=1):
        yield


def open_executor(name: str, digits: PreparedDataset, *setups: Setup) -> Executor:
    """An executor of the registry with a worker for each setup; ray needs the cluster."""
    ray = RayOptions("auto", max_workers=len(setups))
    return create_executor(name, ExecutorOptions(digits.training, setups, trials=100, ray=ray))


def open_processes_with_slots(digits: PreparedDataset) -> Executor:
    return open_executor("processes", digits, replace(CPU, slots=3))


SLOW = ("ray",)


@pytest.fixture(
    scope="module",
    params=[
        *(pytest.param(name, marks=[pytest.mark.slow] * (name in SLOW)) for name in EXECUTORS),
        "slots",
    ],
)
def executor(request: pytest.FixtureRequest, digits: PreparedDataset) -> Iterator[Executor]:
    """Each executor of the registry, and a process worker that trains several trials at once."""
    if request.param == "slots":
        opened = open_processes_with_slots(digits)
    else:
        if request.param == "ray":
            request.getfixturevalue("cluster")
        opened = open_executor(request.param, digits, CPU, CPU)
    with opened as executor:
        yield executor


def trials(*specs: TrialSpec) -> list[Trial]:
    return [
        Trial(number=number, uid=f"{time.monotonic_ns()}/{number}", spec=spec)
        for number, spec in enumerate(specs)
    ]


def drive(
    executor: Executor, submitted: list[Trial], keep: Callable[[EpochEnded], bool] = lambda _: True
) -> list[Event]:
    """Submit and answer until every trial has ended."""
    executor.submit(submitted)
    events: list[Event] = []
    deadline = time.monotonic() + 180  # Ray starts slowly on a busy machine
    while sum(not isinstance(event, EpochEnded) for event in events) < len(submitted):
        assert time.monotonic() < deadline, f"no event after {events}"
        for event in executor.wait(1):
            events.append(event)
            if isinstance(event, EpochEnded):
                executor.answer(event.uid, keep(event))
    return events


def result_of(events: list[Event], trial: Trial) -> TrialResult:
    (ended,) = (
        event for event in events if isinstance(event, TrialEnded) and event.uid == trial.uid
    )
    assert isinstance(ended.outcome, TrialResult)
    return ended.outcome


def test_every_trial_reports_each_epoch_once_in_order_and_ends(executor: Executor) -> None:
    submitted = trials(SPEC, replace(SPEC, seed=1), replace(SPEC, epochs=1))
    events = drive(executor, submitted)
    for trial in submitted:
        epochs = [
            e.metrics.epoch for e in events if isinstance(e, EpochEnded) and e.uid == trial.uid
        ]
        assert epochs == list(range(1, trial.spec.epochs + 1))
        result = result_of(events, trial)
        assert (result.stopped, result.epochs) == ("finished", trial.spec.epochs)


def test_a_pruned_trial_ends_with_its_results_so_far(executor: Executor) -> None:
    submitted = trials(replace(SPEC, epochs=50), SPEC)
    events = drive(executor, submitted, lambda e: e.uid != submitted[0].uid or e.metrics.epoch < 2)
    pruned = result_of(events, submitted[0])
    assert (pruned.stopped, pruned.epochs) == ("pruned", 2)
    assert pruned.weights
    assert result_of(events, submitted[1]).stopped == "finished"


def test_a_trial_that_cannot_train_fails_alone(executor: Executor) -> None:
    submitted = trials(
        replace(SPEC, optimizer="sgd", learning_rate=1e30), replace(SPEC, batch_size=10**6), SPEC
    )
    events = drive(executor, submitted)
    reasons = {e.uid: e.outcome for e in events if isinstance(e, TrialEnded)}
    diverged, too_large = (reasons[trial.uid] for trial in submitted[:2])
    assert isinstance(diverged, TrialFailure)
    assert diverged.reason.startswith("diverged: train/loss is nan in epoch")
    assert isinstance(too_large, TrialFailure)
    assert "batch_size 1000000 is more than the" in too_large.reason
    assert result_of(events, submitted[2]).epochs == 3


def test_a_perturbation_changes_the_weights_in_the_same_way_in_every_executor(
    digits: PreparedDataset,
) -> None:
    twin, setup = Trial(number=0, uid="twin", spec=SPEC), replace(CPU, perturbation=1e-3)
    with InlineExecutor(digits.training, CPU) as inline:
        plain = result_of(drive(inline, [twin]), twin)
    with InlineExecutor(digits.training, setup) as inline:
        inline_result = result_of(drive(inline, [twin]), twin)
    with ProcessExecutor(digits.training, [setup]) as processes:
        process_result = result_of(drive(processes, [twin]), twin)
    assert inline_result.weights == process_result.weights != plain.weights


def test_every_executor_computes_the_same_bits(executor: Executor, digits: PreparedDataset) -> None:
    spec = replace(SPEC, batch_norm="after", dropout=0.1)
    (trial,) = trials(spec)
    (alone,) = trials(spec)
    with InlineExecutor(digits.training, CPU) as inline:
        expected = result_of(drive(inline, [alone]), alone)
    assert result_of(drive(executor, [trial]), trial).weights == expected.weights


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(EXECUTORS))
def test_every_executor_trains_folds_and_all_of_their_examples_alike(
    name: str, request: pytest.FixtureRequest
) -> None:
    if name == "ray":
        request.getfixturevalue("cluster")
    options = {"validation": 1 / 3, "test": 0.2, "split_seed": 0, "normalize": True}
    folded = prepare("digits", folds=3, reshuffle=True, **options)
    submitted = [
        Trial(number=0, uid="a/0", spec=replace(SPEC, hidden=(16, 8))),
        Trial(number=1, uid="a/1", spec=SPEC, split=WHOLE),
        Trial(number=2, uid="a/2", spec=SPEC),
        Trial(number=3, uid="a/3", spec=SPEC),
    ]
    with InlineExecutor(folded.training, CPU) as inline:
        expected = [result_of(drive(inline, [trial]), trial) for trial in submitted]
    with open_executor(name, folded, CPU) as executor:
        events = drive(executor, submitted)
    results = [result_of(events, trial) for trial in submitted]
    assert [each.weights for each in results] == [each.weights for each in expected]
    assert [len(each.predictions) for each in results] == [1437, 479, 1437, 1437]
    assert results[2].weights == results[3].weights, "equal settings have the same folds"
    true = np.frombuffer(folded.training.validation_labels(), np.uint8)
    for result in (results[0], results[2]):
        right = np.frombuffer(result.predictions, np.uint8) == true
        assert result.best.val_accuracy == right.mean()
    assert len(split_folds(safetensors.torch.load(results[0].weights))) == 3
    folds = [e.metrics.folds for e in events if isinstance(e, EpochEnded) and e.uid == "a/0"]
    assert folds[results[0].best.epoch - 1] == expected[0].best.folds


def test_a_worker_with_slots_trains_several_at_once(digits: PreparedDataset) -> None:
    with open_processes_with_slots(digits) as executor:
        assert executor.slots == 3
        submitted = trials(*(replace(SPEC, seed=seed) for seed in range(5)))
        events = drive(executor, submitted)
    first_three = {event.uid for event in events[:3]}
    assert first_three <= {trial.uid for trial in submitted[:3]}
    ends = [index for index, event in enumerate(events) if isinstance(event, TrialEnded)]
    fourth = next(index for index, event in enumerate(events) if event.uid == submitted[3].uid)
    assert ends[0] < fourth < ends[-1], "a free slot is refilled while others train"


def test_trials_that_lost_their_worker_together_are_retried_alone(
    digits: PreparedDataset,
) -> None:
    endless = trials(*(replace(SPEC, epochs=10**6, seed=seed) for seed in range(2)))
    with open_processes_with_slots(digits) as executor:
        assert isinstance(executor, ProcessExecutor)
        executor.submit(endless)
        seen: set[str] = set()
        while len(seen) < 2:
            for event in executor.wait(60):
                assert isinstance(event, EpochEnded)
                seen.add(event.uid)
                executor.answer(event.uid, True)
        pid = executor._workers[0].process.pid
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        lost: list[Event] = []
        while len(lost) < 2:
            lost += [event for event in executor.wait(60) if isinstance(event, TrialLost)]
        assert {event.uid for event in lost} == seen
        retries = [replace(trial, attempt=2, spec=SPEC) for trial in endless]
        others = trials(replace(SPEC, seed=7))
        events = drive(executor, [*retries, *others])
    order = [event.uid for event in events]
    for uid in {trial.uid for trial in retries}:
        first, last = order.index(uid), len(order) - 1 - order[::-1].index(uid)
        assert set(order[first : last + 1]) == {uid}, "trains alone"


def test_wait_respects_its_timeout(executor: Executor) -> None:
    started = time.monotonic()
    assert executor.wait(0.05) == []
    assert time.monotonic() - started < 2


def test_a_killed_worker_loses_its_trial_and_is_replaced(digits: PreparedDataset) -> None:
    (doomed,) = trials(replace(SPEC, epochs=10**6))
    with ProcessExecutor(digits.training, [CPU]) as executor:
        executor.submit([doomed])
        (first,) = executor.wait(60)
        assert isinstance(first, EpochEnded)
        pid = executor._workers[0].process.pid
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        (lost,) = executor.wait(60)
        assert lost == TrialLost(doomed.uid, "worker 0", "worker 0 died (signal 9)")
        (other,) = trials(SPEC)
        assert result_of(drive(executor, [other]), other).epochs == 3


def test_a_worker_that_cannot_start_is_an_error_with_the_reason(digits: PreparedDataset) -> None:
    missing = replace(digits.training, inputs=digits.training.inputs.with_name("gone.npy"))
    with (
        ProcessExecutor(missing, [CPU]) as executor,
        pytest.raises(HarnessError, match=r"worker 0 on cpu cannot start: DataError.*gone\.npy"),
    ):
        executor.wait(60)


def test_close_leaves_no_process(digits: PreparedDataset) -> None:
    executor = ProcessExecutor(digits.training, [CPU, CPU])
    executor.start()
    processes = [worker.process for worker in executor._workers]
    executor.submit(trials(replace(SPEC, epochs=10**6)))
    executor.wait(60)
    executor.close()
    executor.close()
    assert not any(process.is_alive() for process in processes)


def test_every_executor_is_registered_and_chosen_by_a_plan() -> None:
    folder = Path(harness.executors.__file__).parent
    sources = "\n".join(path.read_text() for path in folder.glob("*.py"))
    classes = re.findall(r"^class (\w+Executor)\b", sources, re.MULTILINE)
    created = re.findall(r"return (\w+Executor)\(", (folder / "registry.py").read_text())
    assert sorted(created) == sorted(classes), "add the executor to registry.EXECUTORS"
    choose = Plan.executor_name.fget  # type: ignore[attr-defined]
    chosen = re.findall(r'"(\w+)"', inspect.getsource(choose))
    assert sorted(chosen) == sorted(EXECUTORS), "no plan chooses this executor"
