"""The inline executor: trains in this process, one trial at a time, for tests and debugging."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from types import TracebackType
from typing import Self

import torch

from harness.data.training_files import TrainingFiles
from harness.executors.base import EpochEnded, Event, Setup
from harness.executors.trainer_pool import TrainerPool
from harness.executors.trial_runner import TrialRunner
from harness.trial import Trial


class InlineExecutor:
    """Trains inside `wait`, so that breakpoints in the engine work."""

    slots = 1

    def __init__(self, files: TrainingFiles, setup: Setup) -> None:
        self._threads = torch.get_num_threads()
        if setup.device == "cpu":
            torch.set_num_threads(1)  # as workers do, to get the same bits
        self._runner = TrialRunner(TrainerPool(files, setup), "inline")
        self._queue: deque[Trial] = deque()
        self._running: str | None = None

    def submit(self, trials: Sequence[Trial]) -> None:
        self._queue.extend(trials)

    def answer(self, uid: str, keep: bool) -> None:
        self._runner.answer(uid, keep)

    def wait(self, timeout: float) -> list[Event]:
        events: list[Event] = []
        while not events:
            if self._running is None and self._queue:
                self._running = self._queue[0].uid
                self._runner.submit(self._queue.popleft())
            if not self._runner.is_busy:
                break
            events = [event for batch in self._runner.step() for event in batch]
        if any(not isinstance(event, EpochEnded) for event in events):
            self._running = None
        return events

    def close(self) -> None:
        self._queue.clear()
        torch.set_num_threads(self._threads)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()
