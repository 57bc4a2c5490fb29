"""The trials that are statistically indistinguishable from the champion.

Each complete trial is tested against the champion on the same validation examples: classifiers by
McNemar's exact test, regressions by a bootstrap-t test of their squared errors, with the p-values
adjusted for the number of trials. A trial without a significant difference at 5 % ties with the
champion. That is no proof that it is as good: the fewer the examples and the more the trials, the
less can be distinguished, so the smallest difference that can be significant is shown too. And the
champion was chosen on these very examples, which favours it. See harness.analysis.contenders for
what confirmation runs add.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import count
from typing import TYPE_CHECKING, Any

from harness.analysis.formatting import format_count, join_numbers
from harness.analysis.paired_tests import (
    PairedTest,
    list_comparable_trials,
    read_predictions,
    run_paired_tests,
)
from harness.metrics import ACCURACY, Score
from harness.results import count_correct
from harness.stats.proportions import (
    SIGNIFICANCE_LEVEL,
    adjust_p_values,
    compute_max_mcnemar_p_value,
)
from harness.tracking.predictions import PREDICTIONS_FILE, Predictions
from harness.tracking.types import RunRecord, StudyRun

if TYPE_CHECKING:
    from harness.tracking.base import Tracker


@dataclass(frozen=True)
class TiedTrials:
    """The champion and the trials that tie with it."""

    champion: RunRecord
    members: tuple[RunRecord, ...]
    """Best first, with the champion."""
    distinguishable: tuple[int, ...]
    """Numbers of the trials that differ significantly from the champion, best first."""
    examples: int
    """Number of validation examples, the same for all trials."""
    p_values: Mapping[int, float]
    """Adjusted p-values of the members other than the champion, by trial number."""
    score: Score = ACCURACY

    @property
    def others(self) -> tuple[RunRecord, ...]:
        """The members other than the champion."""
        return tuple(run for run in self.members if run.uid != self.champion.uid)

    @property
    def tested(self) -> int:
        """Number of trials that were tested against the champion."""
        return len(self.others) + len(self.distinguishable)

    @property
    def test_name(self) -> str:
        return "McNemar" if self.score.task == "classes" else "bootstrap-t"

    def describe(self) -> str:
        """Return the sentences for the summary."""
        method = f"({self.test_name}, adjusted by Holm, 5 %)"
        examples = f"{self.score.tested_note} on {format_count(self.examples, 'example')} {method}"
        if not self.others:
            trials = "the only other trial differs"
            if self.tested > 1:
                trials = f"all {self.tested} other trials differ"
            return f"none: {trials} significantly from the champion{examples}"
        trials = f"{len(self.others)} of {self.tested} other trials"
        trials += " is" if len(self.others) == 1 else " are"
        if self.tested == 1:
            trials = "the only other trial is"
        numbers = join_numbers(run.number for run in self.others)
        return (
            f"{trials} statistically indistinguishable from the champion{examples}: {numbers}"
            + (f"; {self._describe_visible()}" if self.visible_difference else "")
        )

    def describe_briefly(self) -> str:
        """Return one short sentence that follows the champion's line."""
        ties = len(self.others)
        if not ties:
            verb = "differ" if self.tested > 1 else "differs"
            trials = format_count(self.tested, "other trial")
            return f"none: {trials} {verb} significantly from it{self.score.tested_note}"
        text = f"{ties} of {self.tested} other trials may be as good"
        text += self.score.tested_note
        return f"{text}; {self._describe_visible()}" if self.visible_difference else text

    @property
    def visible_difference(self) -> float | None:
        """The least share of examples by which a trial must be worse to be distinguishable.

        With a smaller one, even the most favourable result of McNemar's exact test is not
        significant, adjusted by the step at which Holm's method stopped: that of the trials that
        tie. None for a regression.
        """
        if self.score.task != "classes":
            return None
        wrong = next(
            k for k in count(1) if 2 * 0.5**k < SIGNIFICANCE_LEVEL / max(1, len(self.others))
        )
        return wrong / self.examples

    def _describe_visible(self) -> str:
        smallest = self.score.tested.format_difference(self.visible_difference or 0)
        return f"a trial must be at least {smallest} worse to be distinguished"

    def metrics(self) -> dict[str, float]:
        """Return MLflow metrics of the study's run."""
        visible = self.visible_difference
        return {
            "ties/trials": len(self.others),
            "ties/tested": self.tested,
        } | ({"ties/visible_difference": visible} if visible else {})

    def to_dict(self) -> dict[str, Any]:
        return {
            "trials": [run.number for run in self.others],
            "tested": self.tested,
            "examples": self.examples,
            "p": {str(number): p_value for number, p_value in self.p_values.items()},
            "visible_difference": self.visible_difference,
        }


def find_tied_trials(tracker: Tracker, study: StudyRun, champion: RunRecord) -> TiedTrials | None:
    """Find the trials that tie with the champion, which is a trial of the study.

    None if nothing can be compared: no other trial, or no recorded predictions.

    Each trial's predictions are a file. Files are not read of trials whose number of right
    predictions alone decides: if the largest p-value that this number allows is below
    SIGNIFICANCE_LEVEL / tests, Holm's method rejects the trial at any rank. The other trials'
    ranks, counted from the largest p-value, are the same without it.
    """
    others = list_comparable_trials(study, champion)
    reference = read_predictions(tracker, champion)
    if reference is None:
        return None
    threshold = SIGNIFICANCE_LEVEL / max(1, len(others))
    far = {run.uid for run in others if _bound_p_value(champion, run) < threshold}
    close = [run for run in others if run.uid not in far]
    tests = _test_against_champion(tracker, reference, close)
    if not tests and not far:
        return None
    adjusted = adjust_p_values([test.p_value for test in tests.values()])
    p_values = dict(zip(tests, adjusted, strict=True))
    tied = {number: p for number, p in p_values.items() if p >= SIGNIFICANCE_LEVEL}
    return TiedTrials(
        champion=champion,
        members=tuple(
            run for run in study.rank_trials() if run.number in tied or run.uid == champion.uid
        ),
        distinguishable=tuple(
            run.number
            for run in others
            if run.uid in far or (run.number in p_values and run.number not in tied)
        ),
        examples=reference.to_array().shape[1],
        p_values=tied,
        score=study.score,
    )


def _test_against_champion(
    tracker: Tracker, reference: Predictions, runs: Sequence[RunRecord]
) -> dict[int, PairedTest]:
    """Return the tests by trial number, of trials with predictions on the same examples."""
    contents = tracker.read_files([run.run_id for run in runs], PREDICTIONS_FILE)
    read = [run for run in runs if run.run_id in contents]
    tests = run_paired_tests(
        reference, [Predictions.from_bytes(contents[run.run_id]) for run in read]
    )
    return {run.number: test for run, test in zip(read, tests, strict=True) if test is not None}


def _bound_p_value(champion: RunRecord, run: RunRecord) -> float:
    """Return an upper bound of McNemar's p-value, from the numbers of right predictions alone."""
    champion_correct, n = count_correct(champion.confusion)
    correct, examples = count_correct(run.confusion)
    if n == examples > 0:
        return compute_max_mcnemar_p_value(champion_correct, correct, n)
    return 1.0
