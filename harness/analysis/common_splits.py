"""Confirmed settings with runs on different splits, compared on the splits that they share.

After a race, the champion has more runs than a setting that was dropped. The settings that have all
of the champion's splits are one group; those that lack the same ones are another, on fewer splits,
together with the settings that have more. Each group has balanced scores.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy.typing as npt

from harness.analysis.confirmation import ConfirmedSetting
from harness.analysis.contenders import Contender, Contenders, compare_settings
from harness.analysis.validated_runs import read_validated_runs
from harness.stats.racing import stack_rows
from harness.stats.selection import CorrectedScores, correct_for_selection, count_scores
from harness.tracking.types import RunRecord, StudyRun

Values = npt.NDArray[Any]


@dataclass(frozen=True)
class SplitGroup:
    """The champion's setting and all others that have these splits."""

    splits: tuple[int, ...]
    trials: tuple[RunRecord, ...]
    """One of each setting, the champion first."""
    scores: CorrectedScores
    last: frozenset[str]
    """The uids of the trials that share no more splits with the champion."""


def group_by_splits(
    study: StudyRun,
    winner: ConfirmedSetting,
    others: Sequence[ConfirmedSetting],
    files: Mapping[str, bytes],
) -> list[SplitGroup]:
    """Return the groups, that of all the champion's splits first; empty if a file is missing.

    Without a race, a setting that lacks one of the splits is left out. `files` is that of
    `read_validated_runs`.
    """
    splits = tuple(sorted({run.split for run in winner.runs}))
    shared = {winner.trial.uid: splits}
    for each in others:
        common = tuple(sorted({run.split for run in each.runs}.intersection(splits)))
        if common and (common == splits or study.is_raced):
            shared[each.trial.uid] = common
    settings = [each for each in (winner, *others) if each.trial.uid in shared]
    read = {
        each.trial.uid: dict(
            zip(
                shared[each.trial.uid],
                read_validated_runs(study, each, shared[each.trial.uid], files),
                strict=False,  # none if a file is missing
            )
        )
        for each in settings
    }
    if not read[winner.trial.uid]:
        return []
    settings = [each for each in settings if read[each.trial.uid]]
    groups = []
    for part in sorted({shared[each.trial.uid] for each in settings}, key=lambda p: (-len(p), p)):
        trials = [each.trial for each in settings if set(shared[each.trial.uid]).issuperset(part)]
        scores = correct_for_selection(
            [[read[trial.uid][split] for split in part] for trial in trials],
            root=study.objective == "val/rmse",
        )
        last = frozenset(trial.uid for trial in trials[1:] if shared[trial.uid] == part)
        groups.append(SplitGroup(part, tuple(trials), scores, last))
    return groups


def join_chosen(groups: Sequence[SplitGroup]) -> Values:
    """Return the champion's scores [splits, n], corrected for the choice among all settings.

    Each split is taken from the group with the most settings: those that were measured on it.
    """
    if len(groups) == 1:
        return groups[0].scores.chosen
    rows = []
    for split in groups[0].splits:
        group = max(
            (each for each in groups if split in each.splits), key=lambda each: len(each.trials)
        )
        rows.append(group.scores.chosen[group.splits.index(split)])
    return stack_rows(rows)


def estimate_group_variance(groups: Sequence[SplitGroup]) -> float:
    """Return the seed variance from the group that has the most values for it."""
    best = max(groups, key=lambda each: (len(each.trials) - 1) * (len(each.splits) - 1))
    return best.scores.seed_variance


def compare_groups(
    study: StudyRun, groups: Sequence[SplitGroup], seed_variance: float
) -> Contenders | None:
    """Compare the champion's setting with each other one, on the splits that both have.

    The probability of a setting to be the best is that in its group, of what the groups
    on fewer splits leave.
    """
    everyone = max(groups, key=lambda each: len(each.trials)).trials
    smaller = sum(0 < trial.parameters < everyone[0].parameters for trial in everyone[1:])
    others: list[Contender] = []
    best, left = None, 1.0
    for group in reversed(groups):
        contenders = compare_settings(
            study.score,
            group.trials,
            group.scores,
            2 * seed_variance,
            has_seeds=len(groups[0].splits) > 1,
            tests=smaller,
        )
        if contenders is None:
            continue  # the champion alone has all of its splits
        splits = 0 if group is groups[0] else len(group.splits)
        matching = [
            replace(each, probability=left * each.probability, splits=splits)
            for each in contenders.others
            if each.trial.uid in group.last
        ]
        others, best = [*matching, *others], contenders
        left -= sum(each.probability for each in matching)
    if best is None:
        return None
    examples = count_scores(groups[0].scores.chosen)
    return replace(best, probability=left, others=tuple(others), examples=examples)
