"""The trials that the validation examples cannot tell from the champion, and the smallest of them.

Each complete trial is tested against the champion on the same examples, by McNemar's exact test, or
a sign-flip test of a regression's squared errors, the p-values adjusted for their number by Holm.
Those with no difference that shows at 5 % tie with it. That is no proof that they are as good: the
fewer the examples and the more the trials, the less can be told apart. And the champion was chosen
by these very examples, which flatters its lead.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from harness.analysis.formatting import listed, percent
from harness.analysis.paired_tests import Paired, against, read_predictions, rivals
from harness.metrics import ACCURACY, Score
from harness.stats.proportions import LEVEL, greatest_mcnemar, holm
from harness.tracking.predictions import PREDICTIONS_FILE, Predictions
from harness.tracking.types import RunRecord, StudyRun, count_correct

if TYPE_CHECKING:
    from harness.tracking.base import Tracker


@dataclass(frozen=True)
class TiedTrials:
    """The champion's tie set."""

    champion: RunRecord
    members: tuple[RunRecord, ...]
    """Best first, the champion among them."""
    apart: tuple[int, ...]
    """Numbers of the trials that are told from it, best first."""
    examples: int
    """Of validation, the same for all."""
    p: Mapping[int, float]
    """By number of the members but the champion: the p-value, adjusted by Holm."""
    score: Score = ACCURACY

    @property
    def others(self) -> tuple[RunRecord, ...]:
        """The members but the champion."""
        return tuple(run for run in self.members if run.uid != self.champion.uid)

    @property
    def tested(self) -> int:
        """Trials that were compared with the champion."""
        return len(self.others) + len(self.apart)

    @property
    def smallest(self) -> RunRecord:
        """The member with the fewest parameters, the better of equals.

        Only of those whose score lies in the champion's interval or is better: where examples are
        few, the tests tell little apart, and a member may be far worse.
        """
        score = self.score
        low, high = score.compute_interval(self.champion) or (0.0, 1.0)
        worst = score.sign * (low if score.is_higher_better else high)
        scored = [run for run in self.members if run.best is not None and run.parameters > 0]
        near = [run for run in scored if score.sign * run.score <= worst]
        return min([self.champion, *near], key=lambda run: run.parameters)

    @property
    def test(self) -> str:
        return "McNemar" if self.score.task == "classes" else "sign-flip"

    @property
    def share(self) -> float:
        """The smallest's parameters over the champion's."""
        return self.smallest.parameters / max(1, self.champion.parameters)

    @property
    def text(self) -> str:
        """For the verdict; the champion is `it`."""
        on = f"on {self.examples:,} examples ({self.test}, adjusted by Holm, 5 %)"
        if not self.others:
            of = "the only other trial" if self.tested == 1 else f"each of the {self.tested} others"
            return f"none: {of} can be told from it {on}"
        told = listed(run.number for run in self.others)
        count = f"{len(self.others)} of {self.tested} others"
        if self.tested == 1:
            count = "the only other trial"
        return f"{count} cannot be told from it {on}: {told}; {self.pointed}"

    @property
    def pointed(self) -> str:
        """The smallest one in words."""
        small = self.smallest
        if small.uid == self.champion.uid:
            return "none within its interval is smaller"
        return (
            f"the smallest within its interval is trial {small.number}: {small.spec.describe()}, "
            f"{percent(self.share)} of its parameters, {self.score.format_score(small)}"
        )

    def metrics(self) -> dict[str, float]:
        """For MLflow, on the study's run."""
        return {
            "ties/trials": len(self.others),
            "ties/tested": self.tested,
            "ties/smallest_parameters": self.smallest.parameters,
            "ties/smallest_share": self.share,
            f"ties/smallest_{self.score.field_name}": self.smallest.score,
        }

    def to_dict(self) -> dict[str, Any]:
        return {
            "trials": [run.number for run in self.others],
            "tested": self.tested,
            "examples": self.examples,
            "p": {str(number): p for number, p in self.p.items()},
            "smallest": self.smallest.number,
            "smallest_share": self.share,
        }


def ties(tracker: Tracker, study: StudyRun, champion: RunRecord) -> TiedTrials | None:
    """None where nothing can be compared: no other trial, or no predictions on record.

    `champion` is a trial of the study. Of a grid or list another seed of its setting is no rival.
    Predictions are a file a trial. They are not read of those whose number of right examples says
    enough: with less than LEVEL / tests as its p-value, a trial is told apart by Holm's method at
    any rank, and the others' ranks, counted from the largest p-value, are the same without it.
    """
    others = rivals(study, champion)
    mine = read_predictions(tracker, champion)
    if mine is None:
        return None
    far = {run.uid for run in others if _certain(champion, run) < LEVEL / len(others)}
    close = [run for run in others if run.uid not in far]
    found = _compared(tracker, mine, close)
    if not found and not far:
        return None
    adjusted = dict(zip(found, holm([each.p for each in found.values()]), strict=True))
    tied = {number: p for number, p in adjusted.items() if p >= LEVEL}
    return TiedTrials(
        champion=champion,
        members=tuple(
            run for run in study.rank_trials() if run.number in tied or run.uid == champion.uid
        ),
        apart=tuple(
            run.number
            for run in others
            if run.uid in far or (run.number in adjusted and run.number not in tied)
        ),
        examples=mine.to_array().shape[1],
        p=tied,
        score=study.score,
    )


def _compared(tracker: Tracker, mine: Predictions, runs: Sequence[RunRecord]) -> dict[int, Paired]:
    """By number; those that have kept no predictions, or of other examples, are left out."""
    ids = [run.run_id for run in runs]
    kept = tracker.read_files(ids, PREDICTIONS_FILE)
    read = [run for run in runs if run.run_id in kept]
    pairs = against(mine, [Predictions.from_bytes(kept[run.run_id]) for run in read])
    return {run.number: found for run, found in zip(read, pairs, strict=True) if found is not None}


def _certain(champion: RunRecord, run: RunRecord) -> float:
    """The p-value that McNemar's test does not exceed, whichever examples are right."""
    (mine, n), (theirs, of) = count_correct(champion.confusion), count_correct(run.confusion)
    return greatest_mcnemar(mine, theirs, n) if n == of > 0 else 1.0
