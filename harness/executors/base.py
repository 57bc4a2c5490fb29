"""What every executor promises the driver; held by tests/contracts/test_executors.py.

An executor takes trials and answers with events, in the order in which they happened. After each
`Epoch` the trial stands still until `answer` says whether it goes on, so that pruning does not
depend on timing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Protocol, Self

from harness.results import EpochMetrics, Objective, Outcome
from harness.trial import Trial


@dataclass(frozen=True)
class Epoch:
    """A trial finished an epoch and waits for `answer`."""

    uid: str
    worker: str
    metrics: EpochMetrics


@dataclass(frozen=True)
class Ended:
    """A trial ended, trained or failed; its slot is free."""

    uid: str
    worker: str
    outcome: Outcome


@dataclass(frozen=True)
class Lost:
    """A trial's worker died under it. The trial may be submitted again: a second attempt gets a
    worker to itself, so that no trial is blamed for another's fault for long."""

    uid: str
    worker: str
    reason: str


Event = Epoch | Ended | Lost


class Executor(Protocol):
    """Trains trials. Use as a context manager: leaving it stops every worker."""

    @property
    def slots(self) -> int:
        """How many trials train at once. More may be submitted; they wait."""

    def submit(self, trials: Sequence[Trial]) -> None: ...

    def wait(self, timeout: float) -> list[Event]:
        """The events since the last call; blocks up to `timeout` seconds for the first.

        Raises HarnessError when no worker can be started.
        """

    def answer(self, uid: str, keep: bool) -> None:
        """Let the trial of an `Epoch` go on, or prune it."""

    def close(self) -> None:
        """Stop every worker at once; unfinished trials are dropped. May be called twice."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None: ...


READY = "ready"
"""A worker process's first message; any other text is why it cannot start."""
LEAVING = "leaving"
"""Its last but for the events of what broke it: it takes no more trials."""


@dataclass(frozen=True)
class Setup:
    """What a worker needs to know beside its trials."""

    objective: Objective
    device: str
    """`cpu` or `cuda:0`."""
    slots: int = 1
    """How many trials it trains at once."""
    perturbation: float = 0.0
    """Of the initial weights of its trials, see `trial_state.perturbed`: for a replay's
    twins. 0 leaves every bit as it is."""
