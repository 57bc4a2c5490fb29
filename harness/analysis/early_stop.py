"""Why a search ended before its last trial, and what that saved."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from harness.analysis.fact import Fact
from harness.analysis.formatting import format_count, format_duration
from harness.tracking.raw_types import STOP_FILE
from harness.tracking.types import TARGET_FACT, StudyRun

if TYPE_CHECKING:
    from harness.tracking.base import Tracker


@dataclass(frozen=True)
class EarlyStop:
    """A search that [study] stop_when ended."""

    trials: int
    """The number of trials that ended."""
    planned: int
    reason: str
    seconds_saved: float
    """What the other trials would have taken, at the pace of those that ran."""

    def describe(self) -> str:
        """Return one sentence for the summary."""
        saved = format_count(self.planned - self.trials, "trial")
        return (
            f"after {self.trials} of {format_count(self.planned, 'trial')}: {self.reason}; "
            f"{saved} saved, about {format_duration(self.seconds_saved)}"
        )

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


def load_early_stop(tracker: Tracker, study: StudyRun) -> EarlyStop | None:
    """Return why the search ended early; None if it did not, or if it has continued since."""
    planned = int(study.facts.get(TARGET_FACT, "0"))
    ended = [run for run in study.trials if run.state != "INTERRUPTED" and run.ended is not None]
    if len(ended) >= planned:
        return None
    content = tracker.read_file(study.run_id, STOP_FILE)
    if not content or not ended:
        return None
    stop = json.loads(content)
    if len(ended) > stop["trials"]:
        return None
    span = max(run.ended or 0.0 for run in ended) - min(run.started for run in ended)
    saved = (planned - len(ended)) * span / len(ended)
    return EarlyStop(len(ended), planned, stop["reason"], saved)


def build_stop_fact(stop: EarlyStop | None) -> Fact:
    """Return the fact of the summary."""
    text = stop.describe() if stop else ""
    return Fact("stop", "stopped", text, text, stop and stop.to_dict())
