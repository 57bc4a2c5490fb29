"""By how much the best score of a search flatters: it was chosen for its luck too."""

from __future__ import annotations

from dataclasses import dataclass

from harness.analysis.confirmation import confirmed
from harness.analysis.seed_variance import Spread
from harness.metrics import ACCURACY, Score
from harness.tracking.types import StudyRun, TestReading


@dataclass(frozen=True)
class SelectionBias:
    """The best validation score among the trials, beside what had no part in that choice."""

    trial: int
    reported: float
    again: Spread | None
    """Scores of the same settings over fresh seeds, on the same examples."""
    test: float | None
    """Score on the test set of the model that is kept, whichever trial's it is."""
    score: Score = ACCURACY

    @classmethod
    def of(cls, study: StudyRun, reading: TestReading | None) -> SelectionBias | None:
        """None of a grid or list, of which nothing is chosen, and where no trial is complete."""
        ranked = [run for run in study.rank_trials() if run.best is not None]
        if study.is_grid_or_list or not ranked:
            return None
        again = {each.trial.uid: each.validation for each in confirmed(study)}
        return cls(
            ranked[0].number,
            ranked[0].score,
            again.get(ranked[0].uid),
            reading.score if reading else None,
            study.score,
        )

    def text(self, part: str = "test") -> str:
        """`the search's best was 0.8962 (trial 31); ...`; `part` is what the test set is called."""
        said = f"the search's best was {self.score.format_value(self.reported)} (trial {self.trial})"
        parts = []
        if self.again is not None:
            of = f"its mean over {len(self.again.values)} fresh seeds"
            parts.append(f"{self._off(self.reported - self.again.mean)} {of}")
        if self.test is not None:
            parts.append(f"{self._off(self.reported - self.test)} the {part} {self.score.name}")
        return f"{said}: {', '.join(parts)}" if parts else said

    def metrics(self) -> dict[str, float]:
        """In points of accuracy, as shares; of a regression in the target's own units."""
        found = {"optimism/reported": self.reported}
        if self.again is not None:
            found["optimism/over_fresh_seeds"] = self.reported - self.again.mean
        if self.test is not None:
            found["optimism/over_test"] = self.reported - self.test
        return found

    def _off(self, difference: float) -> str:
        """`0.34 points above`."""
        said = self.score.format_difference(difference)
        none = not float(said.split()[0].replace(",", ""))
        return f"{said} {'below' if difference < 0 and not none else 'above'}"
