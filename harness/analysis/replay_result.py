"""The result of a replay: whether the trial was reproduced, and the evidence."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any, Literal

from harness.analysis.formatting import format_count
from harness.analysis.replay_tolerance import (
    JUDGED_METRICS,
    METRIC_NAMES,
    PERTURBATION_TEXT,
    Difference,
    LargestDifference,
    TrainingRecord,
    TwinComparison,
    count_changed_predictions,
    find_differences,
    find_largest_difference,
    list_measured_metrics,
)
from harness.system.terminal import align_labels
from harness.tracking.types import RunRecord, StudyRun

Agreement = Literal["bitwise", "within spread", "differs"]


@dataclass(frozen=True, repr=False)
class ReplayResult:
    """A trial that was trained again, compared with its record."""

    study: StudyRun
    run: RunRecord
    device: str
    caveats: tuple[str, ...]
    """Why equal bits are not promised; empty if they are."""
    recorded: TrainingRecord
    replayed: TrainingRecord
    twins: tuple[TrainingRecord, ...] = ()
    twin_comparison: TwinComparison | None = None
    """The record compared with the twins; None if no twins were needed."""
    final_difference: float | None = None
    """The largest difference of a weight of the final model from its record, 0 for equal bits; None
    if the run has no final model. It is not judged where equal bits are not promised."""
    unrecorded_reason: str = ""
    """Why this result could not be recorded; empty if it was."""

    @cached_property
    def first_difference(self) -> Difference | None:
        """The first value that is not equal bit by bit."""
        return next(find_differences(self.recorded, self.replayed), None)

    @property
    def agreement(self) -> Agreement:
        if self.final_difference and not self.caveats:
            return "differs"
        if self.first_difference is None:
            return "bitwise"
        return (
            "within spread"
            if self.twin_comparison is not None and self.twin_comparison.is_within
            else "differs"
        )

    @property
    def is_reproduced(self) -> bool:
        """Whether the record was reproduced, as far as that is promised."""
        return self.agreement != "differs"

    @cached_property
    def largest_differences(self) -> dict[str, LargestDifference]:
        """The largest difference of each judged metric, by its recorded name."""
        curves = self.recorded.epochs, self.replayed.epochs
        return {
            METRIC_NAMES[name]: find_largest_difference(*curves, name)
            for name in list_measured_metrics(curves[0], JUDGED_METRICS)
        }

    @property
    def metrics(self) -> dict[str, float]:
        """The metrics to record on the trial's run."""
        values = {
            f"replay/{name.replace('/', '_')}_difference": largest.value
            for name, largest in self.largest_differences.items()
        }
        values["replay/predictions_changed"] = count_changed_predictions(
            self.recorded, self.replayed
        )
        if self.twin_comparison is not None:
            values["replay/share_of_spread"] = self.twin_comparison.share
        return {name: value for name, value in values.items() if math.isfinite(value)}

    def text(self, width: int | None = None) -> str:
        """Return the result for people, one fact a line, wrapped to `width` columns."""
        run, replayed, recorded = self.run, self.replayed, self.recorded
        seconds = f"{replayed.seconds:.1f} s now, {recorded.seconds:.1f} s when it was recorded"
        if self.twins:
            seconds += f", {sum(twin.seconds for twin in self.twins):.1f} s for the copies"
        record = f"harness.replay = {self.agreement}, a tag of MLflow run {run.run_id}"
        if self.unrecorded_reason:
            record = f"not written: {self.unrecorded_reason}"
        lines = [
            ("replayed", f"{self.study.name}/{run.number}: {run.spec.describe()}"),
            ("device", self.device),
            ("result", self._describe_result()),
            ("compared", self._describe_compared()),
        ]
        if self.first_difference is not None:
            lines.append(("first difference", str(self.first_difference)))
            lines.append(("largest differences", self._describe_largest()))
        if self.twin_comparison is not None:
            lines.append(("perturbed copies", self._describe_twins(self.twin_comparison)))
        if self.final_difference is not None:
            lines.append(("final model", self._describe_final(self.final_difference)))
        for index, reason in enumerate(self._list_reasons()):
            lines.append(("" if index else "why", reason))
        lines += [("time of training", seconds), ("recorded as", record)]
        return align_labels(lines, width)

    def _describe_result(self) -> str:
        if self.replayed.diverged:
            return "the replay diverged, the recorded trial did not"
        if self.first_difference is None:
            expected = "though that is not guaranteed here" if self.caveats else "as expected"
            return f"identical to the record, bit for bit, {expected}"
        if not self.caveats:
            return "differs from the record, though an identical result is expected"
        if self.is_reproduced:
            return "agrees with the record: the difference is as small as rounding makes it"
        return "differs from the record by more than rounding causes"

    def _describe_final(self, difference: float) -> str:
        if not difference:
            return "trained again on all examples: identical, bit for bit"
        if math.isinf(difference):
            return "trained again on all examples: diverged, the recorded one did not"
        return f"trained again on all examples: its weights differ by up to {difference:.2g}"

    def _describe_compared(self) -> str:
        parts = [format_count(len(self.recorded.epochs), "epoch"), "the best epoch"]
        parts += ["the confusion matrix"] if self.recorded.confusion else []
        if self.recorded.predictions is not None:
            parts.append(format_count(len(self.recorded.example_predictions), "prediction"))
        if self.recorded.weights is not None:
            parts.append("the weights")
        return ", ".join(parts[:-1]) + f" and {parts[-1]}"

    def _describe_largest(self) -> str:
        parts = [
            f"{name} {largest.value:.2g}" + (f" (epoch {largest.epoch})" if largest.epoch else "")
            for name, largest in self.largest_differences.items()
        ]
        if self.recorded.predictions is not None:
            changed = count_changed_predictions(self.recorded, self.replayed)
            parts.append(f"{changed:,} predictions")
        return ", ".join(parts)

    def _describe_twins(self, comparison: TwinComparison) -> str:
        if not comparison.epoch:
            return f"{len(self.twins)}; the record is as near to the replay as they are"
        share = comparison.share
        allowed = f"{share:.2g} of" if comparison.is_within else f"{share:,.1f} times"
        return (
            f"{len(self.twins)}, with initial weights that differ by {PERTURBATION_TEXT}; at epoch "
            f"{comparison.epoch}, {comparison.metric} of the record differs by "
            f"{comparison.recorded:.2g} and of the copies by up to {comparison.twins:.2g}: "
            f"{allowed} the allowed difference"
        )

    def _list_reasons(self) -> list[str]:
        """Return why bits are not promised, or what may have changed although they are."""
        if self.caveats:
            return [f"not guaranteed to be identical: {caveat}" for caveat in self.caveats]
        if self.first_difference is None and not self.final_difference:
            return []
        return [
            "processor and versions are the same as in the record. Possible causes: harness or a "
            "library was changed without a new version, variables of PyTorch or MKL are set, or "
            "memory is faulty"
        ]

    def __repr__(self) -> str:
        return self.text()

    def to_dict(self) -> dict[str, Any]:
        return {
            "study": self.study.name,
            "trial": self.run.number,
            "run_id": self.run.run_id,
            "spec": self.run.spec.to_dict(),
            "device": self.device,
            "found": self.agreement,
            "promised": not self.caveats,
            "doubts": list(self.caveats),
            "epochs": len(self.replayed.epochs),
            "first_difference": self.first_difference and asdict(self.first_difference),
            "largest": {
                name: _replace_non_finite(asdict(largest))
                for name, largest in self.largest_differences.items()
            },
            "predictions_changed": count_changed_predictions(self.recorded, self.replayed),
            "spread": self.twin_comparison
            and _replace_non_finite(
                asdict(self.twin_comparison) | {"within": self.twin_comparison.is_within}
            ),
            **_replace_non_finite({"final_difference": self.final_difference}),
            "seconds": self.replayed.seconds,
            "recorded_seconds": self.recorded.seconds,
            "on_record": not self.unrecorded_reason,
        }


def _replace_non_finite(values: dict[str, Any]) -> dict[str, Any]:
    """Replace what JSON cannot represent by None."""
    return {
        name: None if isinstance(value, float) and not math.isfinite(value) else value
        for name, value in values.items()
    }
