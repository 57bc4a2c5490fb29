"""What a replay found: one word, and what it rests on."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any, Literal

from harness.analysis.formatting import aligned
from harness.analysis.replay_tolerance import (
    JUDGED,
    METRICS,
    SIZE,
    Difference,
    Largest,
    Spread,
    Training,
    changed_predictions,
    differences,
    largest,
    measured,
)
from harness.tracking.types import RunRecord, StudyRun

Word = Literal["bitwise", "within spread", "differs"]


@dataclass(frozen=True)
class ReplayResult:
    """A trial trained again, beside what is on record of it."""

    study: StudyRun
    run: RunRecord
    device: str
    doubts: tuple[str, ...]
    """Why its bits are not promised; none where they are."""
    recorded: Training
    now: Training
    twins: tuple[Training, ...] = ()
    spread: Spread | None = None
    """Where the record lies beside the twins; None where none had to be trained."""
    unwritten: str = ""
    """Why this is not on record."""

    @cached_property
    def first(self) -> Difference | None:
        """The first thing that is not the same to the last bit."""
        return next(differences(self.recorded, self.now), None)

    @property
    def word(self) -> Word:
        if self.first is None:
            return "bitwise"
        return "within spread" if self.spread is not None and self.spread.within else "differs"

    @property
    def agrees(self) -> bool:
        """Whether it gave what was recorded, as far as that is promised."""
        return self.word != "differs"

    @cached_property
    def largest(self) -> dict[str, Largest]:
        """The largest difference of each metric that is judged, by its name on record."""
        curves = self.recorded.epochs, self.now.epochs
        return {METRICS[name]: largest(*curves, name) for name in measured(curves[0], JUDGED)}

    @property
    def metrics(self) -> dict[str, float]:
        """For the record."""
        values = {
            f"replay/{name.replace('/', '_')}_difference": found.value
            for name, found in self.largest.items()
        }
        values["replay/predictions_changed"] = changed_predictions(self.recorded, self.now)
        if self.spread is not None:
            values["replay/share_of_spread"] = self.spread.share
        return {name: value for name, value in values.items() if math.isfinite(value)}

    def text(self) -> str:
        seconds = f"{self.now.seconds:.1f} s, {self.recorded.seconds:.1f} s when it was recorded"
        if self.twins:
            seconds += f"; {sum(twin.seconds for twin in self.twins):.1f} s for the twins"
        lines = [
            ("replayed", f"{self.study.name}/{self.run.number}: {self.run.spec.describe()}"),
            ("device", self.device),
            ("verdict", self._verdict),
            ("compared", self._compared),
        ]
        if self.first is not None:
            lines.append(("first", str(self.first)))
            lines.append(("largest", self._largest))
        if self.spread is not None:
            lines.append(("twins", self._twins(self.spread)))
        lines += [("" if place else "why", why) for place, why in enumerate(self._reasons)]
        lines.append(("training", seconds))
        where = f"harness.replay = {self.word}, on run {self.run.run_id}"
        lines.append(("record", f"not written: {self.unwritten}" if self.unwritten else where))
        return aligned(lines)

    @property
    def _verdict(self) -> str:
        if self.now.diverged:
            return "it diverged, as the recorded trial did not"
        if self.first is None:
            return "what was recorded, to the last bit" + (
                ", though that is not promised here" if self.doubts else ", as is promised"
            )
        if not self.doubts:
            return "not what was recorded, though the same bits are promised"
        said = f"the spread that {SIZE} in the initial weights causes"
        if self.agrees:
            return f"not the same bits, which are not promised here, but within {said}"
        return f"not what was recorded: outside {said}"

    @property
    def _compared(self) -> str:
        parts = [f"{len(self.recorded.epochs)} epochs", "the best epoch"]
        parts += ["the confusion matrix"] if self.recorded.confusion else []
        if self.recorded.predictions is not None:
            parts.append(f"{len(self.recorded.said):,} predictions")
        if self.recorded.weights is not None:
            parts.append("the weights")
        return ", ".join(parts[:-1]) + f" and {parts[-1]}"

    @property
    def _largest(self) -> str:
        parts = [
            f"{name} {found.value:.2g}" + (f" (epoch {found.epoch})" if found.epoch else "")
            for name, found in self.largest.items()
        ]
        if self.recorded.predictions is not None:
            changed = changed_predictions(self.recorded, self.now)
            parts.append(f"{changed:,} predictions")
        return ", ".join(parts)

    def _twins(self, spread: Spread) -> str:
        if not spread.epoch:
            return f"{len(self.twins)}; the record lies no farther from the replay than any of them"
        allowed = f"{spread.share:.2g} of" if spread.within else f"{spread.share:,.1f} times"
        return (
            f"{len(self.twins)}; beside them the record is farthest off at epoch {spread.epoch}: "
            f"{spread.metric} by {spread.recorded:.2g}, the farthest twin by {spread.twins:.2g}; "
            f"{allowed} what is allowed"
        )

    @property
    def _reasons(self) -> list[str]:
        """Why bits are not promised, or what may have changed though they are."""
        if self.doubts:
            return [f"bits are not promised: {each}" for each in self.doubts]
        if self.first is None:
            return []
        return [
            "on record are the same processor and versions: harness or a library may have changed "
            "without its version, variables of torch or MKL may be set, memory may be faulty"
        ]

    def to_dict(self) -> dict[str, Any]:
        return {
            "study": self.study.name,
            "trial": self.run.number,
            "run_id": self.run.run_id,
            "spec": self.run.spec.to_dict(),
            "device": self.device,
            "found": self.word,
            "promised": not self.doubts,
            "doubts": list(self.doubts),
            "epochs": len(self.now.epochs),
            "first_difference": self.first and asdict(self.first),
            "largest": {name: _finite(asdict(found)) for name, found in self.largest.items()},
            "predictions_changed": changed_predictions(self.recorded, self.now),
            "spread": self.spread and _finite(asdict(self.spread) | {"within": self.spread.within}),
            "seconds": self.now.seconds,
            "recorded_seconds": self.recorded.seconds,
            "on_record": not self.unwritten,
        }


def _finite(values: dict[str, Any]) -> dict[str, Any]:
    """As JSON can hold it."""
    whole = {k: not isinstance(v, float) or math.isfinite(v) for k, v in values.items()}
    return {name: value if whole[name] else None for name, value in values.items()}
