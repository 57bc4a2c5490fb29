"""Selection bias: by how much a search's best score exceeds what the settings really reach.

The best of many scores is partly luck. What had no part in the selection, the scores with fresh
seeds and the test score, shows how much of it.
"""

from __future__ import annotations

from dataclasses import dataclass

from harness.analysis.confirmation import rank_confirmed_settings
from harness.analysis.formatting import format_count
from harness.analysis.seed_variance import SeedScores
from harness.metrics import ACCURACY, Score
from harness.tracking.types import StudyRun, TestReading


@dataclass(frozen=True)
class SelectionBias:
    """The best validation score of a search, and the scores that had no part in its selection."""

    trial: int
    """The number of the trial with the best score."""
    reported_score: float
    confirmation: SeedScores | None
    """Validation scores of the same settings with fresh seeds."""
    test_score: float | None
    """The test score of the registered model, whichever trial's it is."""
    score: Score = ACCURACY

    def describe(self, test_name: str = "test") -> str:
        """`the search's best was 0.8962 (trial 31): 0.34 points above the test accuracy`."""
        best = self.score.format_value(self.reported_score)
        text = f"the search's best was {best} (trial {self.trial})"
        parts = []
        if self.confirmation is not None:
            reference = f"its mean over {format_count(len(self.confirmation.values), 'fresh seed')}"
            excess = self._format_excess(self.reported_score - self.confirmation.mean)
            parts.append(f"{excess} {reference}")
        if self.test_score is not None:
            excess = self._format_excess(self.reported_score - self.test_score)
            parts.append(f"{excess} the {test_name} {self.score.name}")
        return f"{text}: {', '.join(parts)}" if parts else text

    def describe_briefly(self) -> str:
        """Return one short sentence for the terminal; empty if there is nothing to compare with."""
        references = []
        if self.confirmation is not None:
            references.append((self.confirmation.mean, "its mean over fresh seeds"))
        if self.test_score is not None:
            references.append((self.test_score, f"the test {self.score.name}"))
        parts = [f"{self._compare_with(reference)} {name}" for reference, name in references]
        best = self.score.format_value(self.reported_score)
        return f"the search's best, {best}, is {' and '.join(parts)}" if parts else ""

    def metrics(self) -> dict[str, float]:
        """Return MLflow metrics: accuracies as shares, RMSE in the target's units."""
        metrics = {"optimism/reported": self.reported_score}
        if self.confirmation is not None:
            metrics["optimism/over_fresh_seeds"] = self.reported_score - self.confirmation.mean
        if self.test_score is not None:
            metrics["optimism/over_test"] = self.reported_score - self.test_score
        return metrics

    def to_dict(self) -> dict[str, float | None]:
        metrics = self.metrics()
        return {
            "trial": self.trial,
            "reported": self.reported_score,
            "over_fresh_seeds": metrics.get("optimism/over_fresh_seeds"),
            "over_test": metrics.get("optimism/over_test"),
        }

    def _compare_with(self, reference: float) -> str:
        """`0.34 points better than`, in the direction of the score."""
        difference = self.reported_score - reference
        text = self.score.format_difference(difference)
        if not float(text.split()[0].replace(",", "")):
            return "as good as"
        return f"{text} {'better' if self.score.sign * difference < 0 else 'worse'} than"

    def _format_excess(self, difference: float) -> str:
        """`0.34 points above`."""
        text = self.score.format_difference(difference)
        is_zero = not float(text.split()[0].replace(",", ""))
        return f"{text} {'below' if difference < 0 and not is_zero else 'above'}"


def compute_selection_bias(study: StudyRun, reading: TestReading | None) -> SelectionBias | None:
    """Return a search's selection bias; None for a grid or list, and if no trial is complete."""
    ranked = [run for run in study.rank_trials() if run.best is not None]
    if study.is_grid_or_list or not ranked:
        return None
    confirmed = {
        setting.trial.uid: setting.validation for setting in rank_confirmed_settings(study)
    }
    return SelectionBias(
        ranked[0].number,
        ranked[0].score,
        confirmed.get(ranked[0].uid),
        reading.score if reading else None,
        study.score,
    )
