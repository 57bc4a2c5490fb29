"""The executors by name, and how to create each of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from harness.data.training_files import TrainingFiles
from harness.executors.base import Executor, Setup
from harness.executors.hang_detection import HUNG_AFTER

if TYPE_CHECKING:
    from harness.executors.ray_cluster import RayOptions


@dataclass(frozen=True)
class ExecutorOptions:
    """What executors are created with; each uses what it needs."""

    files: TrainingFiles
    setups: Sequence[Setup]
    """One for each worker, at least one."""
    trials: int
    """Number of trials to train; more workers are not needed."""
    hung_after: float = HUNG_AFTER
    """See `hang_detection.HangDetector`, in seconds."""
    ray: RayOptions | None = None
    """Only for "ray": the cluster, which the caller has joined."""
    notify: Callable[[str], None] = lambda message: None
    """Receives messages for the user."""


def create_executor(name: str, options: ExecutorOptions) -> Executor:
    """Create an executor. No worker is started before its first use."""
    return EXECUTORS[name](options)


# The imports are inside the functions: each executor has its own heavy library (torch, Ray), and
# the driver imports none that it does not use.


def _create_inline(options: ExecutorOptions) -> Executor:
    from harness.executors.inline import InlineExecutor

    return InlineExecutor(options.files, options.setups[0])


def _create_processes(options: ExecutorOptions) -> Executor:
    from harness.executors.processes import ProcessExecutor

    return ProcessExecutor(options.files, options.setups, options.hung_after)


def _create_ray(options: ExecutorOptions) -> Executor:
    from harness.executors.ray_executor import RayExecutor

    assert options.ray is not None
    return RayExecutor(
        options.files,
        options.setups[0],
        cpus=options.ray.cpus,
        max_workers=min(options.trials, options.ray.max_workers or options.trials),
        hung_after=options.hung_after,
        notify=options.notify,
    )


EXECUTORS: dict[str, Callable[[ExecutorOptions], Executor]] = {
    "inline": _create_inline,
    "processes": _create_processes,
    "ray": _create_ray,
}
"""To add one: its file, a row here, and the case of `Plan.executor_name` that uses it."""
