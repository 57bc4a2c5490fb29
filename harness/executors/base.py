"""The protocol of executors, and their events; tests/executors/test_contract.py checks them.

An executor takes trials and returns events, in the order in which they happened. After each
`EpochEnded` the trial pauses until `answer` continues or prunes it, so that pruning does not depend
on timing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Protocol, Self

from harness.results import EpochMetrics, Objective, Outcome
from harness.trial import Trial


@dataclass(frozen=True)
class EpochEnded:
    """A trial finished an epoch, and waits for `answer`."""

    uid: str
    worker: str
    metrics: EpochMetrics


@dataclass(frozen=True)
class TrialEnded:
    """A trial finished or failed; its slot is free."""

    uid: str
    worker: str
    outcome: Outcome


@dataclass(frozen=True)
class TrialLost:
    """A trial's worker died.

    The trial may be submitted again: a second attempt gets a worker to itself, so that a trial
    whose neighbor killed the worker is not blamed twice.
    """

    uid: str
    worker: str
    reason: str


Event = EpochEnded | TrialEnded | TrialLost


class Executor(Protocol):
    """Trains trials. Use as a context manager: leaving it stops every worker."""

    @property
    def slots(self) -> int:
        """Number of trials that train at once. More may be submitted; they wait."""

    def submit(self, trials: Sequence[Trial]) -> None: ...

    def wait(self, timeout: float) -> list[Event]:
        """Return the events since the last call; wait up to `timeout` seconds for the first.

        Raises HarnessError if no worker can be started.
        """

    def answer(self, uid: str, keep: bool) -> None:
        """Continue the trial of an `EpochEnded` (`keep`), or prune it."""

    def close(self) -> None:
        """Stop all workers now and drop unfinished trials. May be called twice."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None: ...


READY = "ready"
"""A worker process's first message; any other text is the reason why it cannot start."""
LEAVING = "leaving"
"""A broken worker's message that it takes no more trials; only its last events follow."""


@dataclass(frozen=True)
class Setup:
    """The settings of one worker."""

    objective: Objective
    device: str
    """`cpu` or `cuda:0`."""
    slots: int = 1
    """Number of trials that it trains at once."""
    perturbation: float = 0.0
    """Relative perturbation of the initial weights, for a replay's twins (see
    harness/engine/trial_state.py); 0 changes no bit."""
