"""Trials in this process and thread, one after another: for tests and the debugger."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from types import TracebackType
from typing import Self

import torch

from harness.data.files import TrainingFiles
from harness.data.parts import load_splits
from harness.engine import Resident
from harness.executors.base import Ended, Epoch, Event, Setup
from harness.executors.worker import Run, start
from harness.trial import Trial


class InlineExecutor:
    """Steps the training generator itself; a breakpoint in the engine stops where it stands."""

    slots = 1

    def __init__(self, files: TrainingFiles, setup: Setup) -> None:
        self._threads = torch.get_num_threads()
        if setup.device == "cpu":
            torch.set_num_threads(1)  # as workers do: one thread's bits are promised
        self._data = Resident(load_splits(files), setup.device)
        self._objective = setup.objective
        self._queue: deque[Trial] = deque()
        self._run: tuple[str, Run] | None = None
        self._keep: bool | None = None
        """The answer that the running trial waits for; None while it has not come."""

    def submit(self, trials: Sequence[Trial]) -> None:
        self._queue.extend(trials)

    def answer(self, uid: str, keep: bool) -> None:
        assert self._run is not None
        assert self._run[0] == uid, f"{uid} is not the running trial"
        self._keep = keep

    def wait(self, timeout: float) -> list[Event]:
        try:
            if self._run is None:
                if not self._queue:
                    return []
                trial = self._queue.popleft()
                self._run = (trial.uid, start(trial.spec, self._data, self._objective))
                metrics = next(self._run[1])
            elif self._keep is None:
                return []
            else:
                keep, self._keep = self._keep, None
                metrics = self._run[1].send(keep)
        except StopIteration as end:
            assert self._run is not None
            uid, self._run = self._run[0], None
            return [Ended(uid, "inline", end.value)]
        return [Epoch(self._run[0], "inline", metrics)]

    def close(self) -> None:
        self._queue.clear()
        self._run = None
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
