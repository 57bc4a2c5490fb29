"""The sentence on selection bias: better or worse in the direction of the score."""

from __future__ import annotations

import pytest

from harness.analysis.seed_variance import SeedScores
from harness.analysis.selection_bias import SelectionBias
from harness.metrics import ACCURACY, Score

RMSE = Score("regression", "price")


@pytest.mark.parametrize(
    ("score", "best", "seeds", "test", "text"),
    [
        (ACCURACY, 0.99, (0.98, 0.96), None, "2.00 points better than its mean over fresh seeds"),
        (ACCURACY, 0.97, (0.98,), None, "1.00 points worse than its mean over fresh seeds"),
        (ACCURACY, 0.75, (0.75,), 0.45, "as good as its mean over fresh seeds and 30.00 points"),
        (RMSE, 56.09, (55.47,), None, "0.6200 worse than its mean over fresh seeds"),
        (RMSE, 50.0, None, 60.0, "10.00 better than the test RMSE"),
    ],
)
def test_the_direction_is_that_of_the_score(
    score: Score, best: float, seeds: tuple[float, ...] | None, test: float | None, text: str
) -> None:
    confirmation = SeedScores(seeds, score) if seeds else None
    assert text in SelectionBias(0, best, confirmation, test, score).describe_briefly()


def test_nothing_is_compared_with_nothing() -> None:
    assert SelectionBias(0, 0.9, None, None).describe_briefly() == ""


@pytest.mark.parametrize(
    ("score", "best", "corrected", "interval", "text"),
    [
        (ACCURACY, 0.99, 0.98, (0.97, 0.985), "was too good by 1.00 points (95 %: 0.50 to 2.00)"),
        (ACCURACY, 0.99, 0.98, (0.96, 0.995), "was too good by 1.00 points (95 %: -0.50 to 3.00)"),
        (RMSE, 50.0, 60.0, (45.0, 70.0), "was too good by 10.00 (95 %: -5.000 to 20.00)"),
        (ACCURACY, 0.99, 0.98, None, "was too good by 1.00 points"),
        (ACCURACY, 0.98, 0.99, (0.97, 1.0), "none is visible: the search's best was 0.9800"),
    ],
)
def test_a_bias_is_as_uncertain_as_the_corrected_score(
    score: Score, best: float, corrected: float, interval: tuple[float, float] | None, text: str
) -> None:
    bias = SelectionBias(0, best, None, None, score, corrected, interval)
    assert bias.describe_briefly().endswith(text)
    assert bias.describe().count("95 %") == (interval is not None)
