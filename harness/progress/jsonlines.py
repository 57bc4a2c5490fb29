"""The progress of a sweep as JSON lines for programs; the last line is the summary."""

from __future__ import annotations

import json
import sys
from typing import Any, TextIO

from harness.results import Outcome, TrialResult
from harness.sweep.progress import Progress
from harness.tracking.types import State
from harness.trial import Trial


class JsonLines:
    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = stream or sys.stdout

    def write_line(self, event: str, **values: Any) -> None:
        print(json.dumps({"event": event} | values), file=self._stream, flush=True)

    def message(self, text: str) -> None:
        self.write_line("message", text=text)

    def stage(self, text: str) -> None:
        self.write_line("stage", text=text)

    def refresh(self, progress: Progress) -> None:
        pass

    def trial_ended(
        self, progress: Progress, trial: Trial, state: State, outcome: Outcome | None, reason: str
    ) -> None:
        self.write_line(
            "trial" if trial.confirms is None else "confirm",
            number=trial.number if trial.confirms is None else trial.confirms,
            state=state,
            spec=trial.spec.to_dict(),
            best=outcome.best.to_dict() if isinstance(outcome, TrialResult) else None,
            reason=reason,
            done=progress.counts.done,
            target=progress.target,
        )
