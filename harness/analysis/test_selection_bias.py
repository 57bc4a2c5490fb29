"""The luck of a choice made on the test set, from the test predictions that are kept.

Of a grid or list the test set is read for every trial, and nothing is chosen by it. So its
predictions tell what choosing would have done: the best trial on one half of the examples is read
on the other half, which had no part in the choice. What it loses there was luck. Nothing here opens
the test set.
"""

from __future__ import annotations

import statistics
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from harness.tracking.predictions import TEST_PREDICTIONS_FILE, TestPredictions
from harness.tracking.types import RunRecord, StudyRun

if TYPE_CHECKING:
    from harness.tracking.base import Tracker

SPLITS = 1000
CHUNK = 100
"""So many splits are in memory at once."""
FEWEST = 3
"""Trials; a choice among fewer is hardly one."""


@dataclass(frozen=True)
class Halves:
    """Accuracies of a trial on both halves of every split, whichever trial it was there."""

    here: tuple[float, ...]
    """On the half that chooses."""
    there: tuple[float, ...]

    @property
    def means(self) -> tuple[float, float]:
        return statistics.fmean(self.here), statistics.fmean(self.there)

    @property
    def gaps(self) -> tuple[float, ...]:
        """By how much the first half flatters."""
        return tuple(a - b for a, b in zip(self.here, self.there, strict=True))

    @property
    def range(self) -> tuple[float, float]:
        """Of the gaps, 5 % to 95 % of the splits."""
        low, high = np.quantile(self.gaps, (0.05, 0.95))
        return float(low), float(high)


@dataclass(frozen=True)
class TestSelectionBias:
    """Random halves of the test examples, among all trials that were read."""

    trials: int
    examples: int
    """All of the test part."""
    half: int
    """Those that choose; one fewer than the others where their number is odd."""
    best: Halves
    """The best trial on the half that chooses, the earliest of equals."""
    champion: Halves
    """The trial that the validation part chose, on the same halves."""

    def text(self, part: str = "test") -> str:
        """For the verdict; `part` is what the test set is called."""
        (here, there), (low, high) = self.best.means, self.best.range
        mine, other = self.champion.means
        spread = f"{100 * low:.2f} to {100 * high:.2f} in 90 % of {SPLITS:,} halvings"
        return (
            f"who chose on half of the {part} examples would lose {100 * (here - there):.2f} points"
            f" on the other half ({spread}); the champion, chosen by validation, "
            f"{100 * (mine - other):.2f}"
        )

    def metrics(self) -> dict[str, float]:
        """In points of accuracy, as shares."""
        (here, there), (mine, other) = self.best.means, self.champion.means
        return {"luck/chosen_on_test": here - there, "luck/chosen_on_validation": mine - other}


def find(tracker: Tracker, study: StudyRun, champion: RunRecord) -> TestSelectionBias | None:
    """None of a search or a regression, and where too few trials have kept what they said."""
    read = {reading.number for reading in study.readings}
    runs = [run for run in study.trials if run.state == "COMPLETE" and run.number in read]
    if not study.is_grid_or_list or len(runs) < FEWEST or not study.classes:
        return None
    said = {run.number: _predictions(tracker, run) for run in runs}
    kept = {number: each for number, each in said.items() if each is not None}
    first = kept.get(champion.number)
    if first is None or len(first.true) < 2:
        return None
    alike = {
        number: each.true == each.predicted
        for number, each in kept.items()
        if np.array_equal(each.true, first.true)
    }
    if len(alike) < FEWEST:
        return None
    return among(np.stack(list(alike.values())), list(alike).index(champion.number))


def among(right: npt.NDArray[np.bool_], champion: int) -> TestSelectionBias:
    """Of `right` [trials, examples]; `champion` is the row of the trial that validation chose."""
    trials, examples = right.shape
    half, rest = examples // 2, examples - examples // 2
    rng, weights = np.random.default_rng(0), right.astype(np.float32)
    # Not a product of matrices: on a busy machine BLAS's threads wait for one another.
    counted = np.concatenate(
        [
            np.einsum("te,se->ts", weights, _halves(rng, examples, half))
            for _ in range(SPLITS // CHUNK)
        ],
        axis=1,
    ).astype(np.float64)
    here = counted / half
    there = (weights.sum(1, keepdims=True) - counted) / rest
    every, best = np.arange(SPLITS), counted.argmax(0)

    def halves(rows: npt.NDArray[Any] | int) -> Halves:
        return Halves(tuple(here[rows, every].tolist()), tuple(there[rows, every].tolist()))

    return TestSelectionBias(trials, examples, half, halves(best), halves(champion))


def _halves(rng: np.random.Generator, examples: int, half: int) -> npt.NDArray[np.float32]:
    """[CHUNK, examples]: in each row `half` random ones, zeros elsewhere."""
    keys = rng.random((CHUNK, examples), dtype=np.float32)
    masks = np.zeros_like(keys)
    np.put_along_axis(masks, np.argpartition(keys, half, axis=1)[:, :half], 1, axis=1)
    return masks


def _predictions(tracker: Tracker, run: RunRecord) -> TestPredictions | None:
    content = tracker.read_file(run.run_id, TEST_PREDICTIONS_FILE)
    return TestPredictions.from_bytes(content) if content else None
