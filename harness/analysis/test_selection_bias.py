"""Selection bias of choosing on the test set, estimated from the recorded test predictions.

The test set of a grid or list is read for every trial, and nothing is chosen by it. So its
predictions show what choosing on it would have cost: take the best trial on one half of the
examples, and read its accuracy on the other half, which had no part in the choice. Nothing here
opens the test set.
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
"""Splits that are in memory at once."""
MIN_TRIALS = 3


@dataclass(frozen=True)
class Halves:
    """The chosen trial's accuracies on both halves of every split."""

    choosing_half: tuple[float, ...]
    other_half: tuple[float, ...]

    @property
    def means(self) -> tuple[float, float]:
        return statistics.fmean(self.choosing_half), statistics.fmean(self.other_half)

    @property
    def gaps(self) -> tuple[float, ...]:
        """By how much the choosing half's accuracy exceeds the other half's, for each split."""
        return tuple(a - b for a, b in zip(self.choosing_half, self.other_half, strict=True))

    @property
    def gap_range(self) -> tuple[float, float]:
        """The 5 % and 95 % quantiles of the gaps."""
        low, high = np.quantile(self.gaps, (0.05, 0.95))
        return float(low), float(high)


@dataclass(frozen=True)
class TestSelectionBias:
    """The result of choosing on random halves of the test set, among all trials of a study."""

    __test__ = False  # pytest would collect it as a test class

    trials: int
    examples: int
    """Number of examples in the test set."""
    half_size: int
    """Examples in the choosing half, which is the smaller one if the number is odd."""
    best_on_half: Halves
    """The best trial on each choosing half; the earliest in a tie."""
    champion: Halves
    """The trial chosen on the validation set, on the same halves."""

    def describe(self, test_name: str = "test") -> str:
        """Return one sentence for the summary, in points of accuracy."""
        (here, there), (low, high) = self.best_on_half.means, self.best_on_half.gap_range
        champion_here, champion_there = self.champion.means
        spread = f"{100 * low:.2f} to {100 * high:.2f} in 90 % of {SPLITS:,} halvings"
        cost, champion_cost = 100 * (here - there), 100 * (champion_here - champion_there)
        return (
            f"choosing on half of the {test_name} set would have cost {cost:.2f} points on the "
            f"other half ({spread}); the champion, chosen by validation, {champion_cost:.2f}"
        )

    def describe_briefly(self, test_name: str = "test") -> str:
        """Return one short sentence for the terminal."""
        here, there = self.best_on_half.means
        return (
            f"choosing on half of the {test_name} set would have cost {100 * (here - there):.2f} "
            "points on the other half"
        )

    def metrics(self) -> dict[str, float]:
        """Return MLflow metrics: differences of accuracy as shares."""
        (here, there), (champion_here, champion_there) = (
            self.best_on_half.means,
            self.champion.means,
        )
        return {
            "luck/chosen_on_test": here - there,
            "luck/chosen_on_validation": champion_here - champion_there,
        }


def compute_test_selection_bias(
    tracker: Tracker, study: StudyRun, champion: RunRecord
) -> TestSelectionBias | None:
    """Return the bias for a grid or list of classifiers.

    None for a search or a regression, with fewer than MIN_TRIALS recorded predictions, and for an
    objective that the recorded predictions do not give, such as AUC.
    """
    if study.score.objective is not None:
        return None
    tested = {reading.number for reading in study.readings}
    runs = [run for run in study.trials if run.state == "COMPLETE" and run.number in tested]
    if not study.is_grid_or_list or len(runs) < MIN_TRIALS or not study.classes:
        return None
    recorded = {run.number: _read_predictions(tracker, run) for run in runs}
    predictions = {number: each for number, each in recorded.items() if each is not None}
    reference = predictions.get(champion.number)
    if reference is None or len(reference.true) < 2:
        return None
    correct = {
        number: each.true == each.predicted
        for number, each in predictions.items()
        if np.array_equal(each.true, reference.true)
    }
    if len(correct) < MIN_TRIALS:
        return None
    return simulate_halvings(np.stack(list(correct.values())), list(correct).index(champion.number))


def simulate_halvings(correct: npt.NDArray[np.bool_], champion: int) -> TestSelectionBias:
    """Choose on SPLITS random halves of the test set, from a fixed seed.

    Args:
        correct: [trials, examples], whether a trial's prediction is right.
        champion: the row of the trial that was chosen by validation.
    """
    trials, examples = correct.shape
    half, rest = examples // 2, examples - examples // 2
    rng, weights = np.random.default_rng(0), correct.astype(np.float32)
    # Not a matrix product: on a busy machine the threads of BLAS wait for one another.
    counts = np.concatenate(
        [
            np.einsum("te,se->ts", weights, _sample_halves(rng, examples, half))
            for _ in range(SPLITS // CHUNK)
        ],
        axis=1,
    ).astype(np.float64)  # [trials, SPLITS]
    here = counts / half
    there = (weights.sum(1, keepdims=True) - counts) / rest
    splits, best = np.arange(SPLITS), counts.argmax(0)

    def select_halves(rows: npt.NDArray[Any] | int) -> Halves:
        return Halves(tuple(here[rows, splits].tolist()), tuple(there[rows, splits].tolist()))

    return TestSelectionBias(trials, examples, half, select_halves(best), select_halves(champion))


def _sample_halves(rng: np.random.Generator, examples: int, half: int) -> npt.NDArray[np.float32]:
    """Return [CHUNK, examples]: in each row ones at `half` random places, zeros elsewhere."""
    keys = rng.random((CHUNK, examples), dtype=np.float32)
    masks = np.zeros_like(keys)
    np.put_along_axis(masks, np.argpartition(keys, half, axis=1)[:, :half], 1, axis=1)
    return masks


def _read_predictions(tracker: Tracker, run: RunRecord) -> TestPredictions | None:
    content = tracker.read_file(run.run_id, TEST_PREDICTIONS_FILE)
    return TestPredictions.from_bytes(content) if content else None
