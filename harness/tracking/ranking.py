"""The order of a study's trials: which may be the champion, and which is better."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from harness.config.limits import is_within
from harness.metrics import get_sort_sign
from harness.results import Cost, Objective

if TYPE_CHECKING:
    from harness.tracking.types import RunRecord


def rank_runs(
    runs: Sequence[RunRecord], objectives: Sequence[Objective | Cost], limits: Mapping[str, float]
) -> list[RunRecord]:
    """Return the complete runs within the limits, the best by the first objective first.

    Ties are in the order of the further objectives, then of their numbers.
    """
    ranked = []
    for run in runs:
        values = [run.read_objective(name) for name in objectives]
        if run.state == "COMPLETE" and values[0] is not None and is_within_limits(run, limits):
            pairs = zip(objectives, values, strict=True)
            key = [get_sort_sign(name) * (value or 0.0) for name, value in pairs]
            ranked.append((key, run.number, run))
    return [run for *_, run in sorted(ranked, key=lambda entry: entry[:2])]


def is_within_limits(run: RunRecord, limits: Mapping[str, float]) -> bool:
    """Return whether a run's costs are within the limits."""
    return is_within(limits, {name: run.get_cost(name) for name in limits})
