"""Estimate how long a study trains, from a few settings and the free share of the cores.

A short measurement on a busy machine is too fast: the scheduler prefers a process that has just
started, and a single process has a larger share than several workers. So on a CPU, the CPU time of
the settings is divided by the share that busy threads, one for each worker, get for a second.
"""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import torch

from harness.analysis.formatting import format_count, format_duration
from harness.data.prepare import PreparedDataset
from harness.data.torch_datasets import load_splits
from harness.engine.cpu_placement import CpuPlacement, build_group
from harness.engine.device_data import DeviceData
from harness.engine.fused_group import FusedGroup
from harness.engine.slot_data import Folds, SlotData, load_folds
from harness.engine.trial_state import TrialState
from harness.executors.devices import count_available_cores
from harness.search.samplers import sample_random_specs
from harness.sweep.plan import Plan
from harness.trial import TrialSpec

RANDOM_SETTINGS = 8
"""The number of random settings that are timed."""
WARM_UP_STEPS, TIMED_STEPS = 3, 20
"""Training steps before the timing, and in it."""
SHARE_SECONDS = 1.0
"""How long busy threads measure the share of the cores that is free."""
FREE_SHARE = 0.9
"""From this share on, the cores count as free."""


@dataclass(frozen=True)
class TimeEstimate:
    """The seconds of a study's training."""

    trial_seconds: tuple[float, ...]
    """Of each timed setting alone on a free core or GPU."""
    gain: float
    """How much faster trials are that a worker trains at once."""
    workers: int
    """Trials or groups that run at once."""
    free_share: float
    """Share of the workers' cores that is free; 1 for GPUs, where it is not measured."""

    @property
    def seconds_a_trial(self) -> float:
        """The mean on a free core."""
        return statistics.fmean(self.trial_seconds) / self.gain

    def compute_seconds(self, trials: int) -> float:
        """Return the time of so many trials as slow as the mean."""
        return self._scale(self.seconds_a_trial, trials)

    def compute_most_seconds(self, trials: int) -> float:
        """Return the time of so many trials as slow as the slowest."""
        return self._scale(max(self.trial_seconds) / self.gain, trials)

    def _scale(self, seconds: float, trials: int) -> float:
        return seconds * math.ceil(trials / self.workers) / self.free_share


def estimate_time(plan: Plan, prepared: PreparedDataset, slots: int) -> TimeEstimate:
    """Time a few settings alone, and measure the share of the cores that is free."""
    if plan.devices[0] != "cpu":
        return TimeEstimate(_time_settings(plan, prepared), 1.0, len(plan.devices), 1.0)
    workers = min(len(plan.devices), count_available_cores())
    gain = plan.estimate_gain(prepared) if slots > 1 else 1.0
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        return TimeEstimate(
            _time_settings(plan, prepared), gain, workers, measure_free_share(workers)
        )
    finally:
        torch.set_num_threads(threads)


def describe_time(seconds: float, most: float, is_search: bool) -> str:
    """`about 1 min 2 s of training; 2 min 4 s if all were as slow as the slowest of 8 settings`."""
    text = f"about {format_duration(seconds)} of training, unpruned"
    if not is_search:
        return text
    slowest = f"the slowest of {RANDOM_SETTINGS} random settings, timed now"
    return f"{text}; {format_duration(most)} if all trials are as slow as {slowest}"


def describe_basis(seconds_a_trial: float, device: str, workers: int, free_share: float) -> str:
    """`0.7 s a trial on a free core; 2 cores are only 45 % free now`."""
    if not device.startswith("CPU"):
        return f"{seconds_a_trial:.1f} s a trial alone; trials that share the device take less"
    cores = format_count(min(workers, count_available_cores()), "core")
    share = "free" if free_share >= FREE_SHARE else f"only {100 * free_share:.0f} % free"
    are = "is" if cores == "1 core" else "are"
    return f"{seconds_a_trial:.1f} s a trial on a free core; {cores} {are} {share} now"


def measure_free_share(workers: int) -> float:
    """Return the CPU time that so many busy threads get, divided by the time that passes."""
    wall, used = time.perf_counter(), time.process_time()
    with ThreadPoolExecutor(workers) as pool:
        list(pool.map(_keep_busy, [wall + SHARE_SECONDS] * workers))
    share = (time.process_time() - used) / (time.perf_counter() - wall) / workers
    return min(1.0, max(share, 0.01))


def _keep_busy(end: float) -> None:
    matrix = torch.ones(256, 256)
    while time.perf_counter() < end:
        matrix @ matrix


def _time_settings(plan: Plan, prepared: PreparedDataset) -> tuple[float, ...]:
    """Return the seconds of random settings: a few steps of each, alone, extrapolated."""
    specs: Sequence[TrialSpec] = sample_random_specs(plan.config, RANDOM_SETTINGS)
    if prepared.training.folds:
        splits = [load_splits(each) for each in prepared.training.folds]
        folds = load_folds(splits, plan.devices[0])
        return tuple(spec.epochs * _measure_fold_seconds(spec, folds) for spec in specs)
    data = DeviceData(load_splits(prepared.training), plan.devices[0])
    return tuple(
        spec.epochs * _measure_epoch_seconds(spec, build_group([_create(spec, data)], data))
        for spec in specs
    )


def _create(spec: TrialSpec, data: DeviceData, fold: int = 0) -> TrialState:
    return TrialState.create("", spec, data, fold)


def _measure_fold_seconds(spec: TrialSpec, folds: Folds) -> float:
    """Return the seconds of an epoch in which all folds train in the groups that they would."""
    groups: list[FusedGroup] = []
    CpuPlacement(folds).place(
        groups, [_create(spec, data, fold) for fold, data in enumerate(folds)]
    )
    return sum(_measure_epoch_seconds(spec, group) for group in groups)


def _measure_epoch_seconds(spec: TrialSpec, group: FusedGroup) -> float:
    data = group.data
    group.begin_epoch()
    group.train_steps(min(WARM_UP_STEPS, group.steps))
    started = _read_clock(data)
    group.begin_epoch()
    steps = min(TIMED_STEPS, group.steps)
    group.train_steps(steps)
    trained = _read_clock(data)
    group.validate()
    evaluated = (_read_clock(data) - trained) / spec.evaluate_every
    return (trained - started) / steps * group.steps + evaluated


def _read_clock(data: DeviceData | SlotData) -> float:
    """Return the CPU time in seconds, or the time after all work of a GPU."""
    if data.device.type != "cuda":
        return time.process_time()
    torch.cuda.synchronize(data.device)
    return time.perf_counter()
