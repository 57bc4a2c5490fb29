"""Recommendations from the test set's result: another split, or a simpler model.

The test set is not opened for them, and they suggest no choice between trials by it.
"""

from __future__ import annotations

import math

from harness.analysis.baseline_verdict import BaselineVerdict, judge_baselines
from harness.analysis.fold_scores import name_validation_sets
from harness.analysis.summary import Summary
from harness.metrics import Score
from harness.models.baselines import (
    BOOSTED_TREES,
    MAJORITY_CLASS,
    MEAN_BASELINE,
    TRAINING_QUANTILE,
)
from harness.reports.ranges import Recommendation
from harness.results import HasScore

MIN_ACCURACY_GAP = 0.02
"""Difference of validation and test accuracy that is worth a recommendation."""
MIN_RMSE_RATIO = 1.1
"""The same of an RMSE: the larger one over the smaller one."""


def recommend_from_test_set(summary: Summary) -> tuple[Recommendation, ...]:
    """Return what the test set and the baselines show, the most important first."""
    candidates = _recommend_baseline(summary), _recommend_check_of_splits(summary)
    return tuple(each for each in candidates if each is not None)


def _recommend_baseline(summary: Summary) -> Recommendation | None:
    """Recommend the best baseline if it beats the champion on the same examples."""
    verdict = judge_baselines(summary)
    if verdict is None or verdict.winner != "baseline":
        return None
    score, name, champion = verdict.score, verdict.name, verdict.champion
    advice = "Add features, or search more settings; until then, use the simpler model."
    if name in (MEAN_BASELINE, TRAINING_QUANTILE, MAJORITY_CLASS):
        advice = "So the features as they are predict nothing: check the target and the features."
    verb = "have" if name == BOOSTED_TREES else "has"
    return Recommendation(
        f"Beat {name} first",
        f"On the {verdict.split} set, {name} {verb} {_describe_score(score, verdict.metrics)}, and "
        f"the champion of {score.format_value(champion.score)}{score.format_interval(champion)}."
        f"{_describe_chance(verdict)} {advice}",
    )


def _describe_chance(verdict: BaselineVerdict) -> str:
    """Return whether the difference may be chance, by the paired test if it was recorded."""
    if verdict.p_value is not None:
        test = f"({verdict.test_name} p = {verdict.p_value:.2g})"
        if verdict.is_significant:
            return f" The difference is significant {test}."
        return f" The difference may be chance {test}."
    if _is_overlap(verdict.score, verdict.champion, verdict.metrics):
        return " Their intervals overlap, so the difference may be chance."
    return ""


def _describe_score(score: Score, scored: HasScore) -> str:
    """`an accuracy of 0.9071 (95 %: 0.9034 to 0.9178)`."""
    value = score.format_value(scored.score)
    return f"{score.name_with_article} of {value}{score.format_interval(scored)}"


def _is_overlap(score: Score, one: HasScore, other: HasScore) -> bool:
    intervals = score.compute_interval(one), score.compute_interval(other)
    if intervals[0] is None or intervals[1] is None:
        return False
    return intervals[0][0] <= intervals[1][1] and intervals[1][0] <= intervals[0][1]


def _recommend_check_of_splits(summary: Summary) -> Recommendation | None:
    """Recommend a check if the tested model's validation and test score differ beyond chance."""
    reading, run, score = summary.reading, summary.model_run, summary.study.score
    if reading is None or not _is_gap(score, run, reading):
        return None
    is_worse = (reading.score < run.score) == score.is_higher_better
    reasons = "the splits differ, for example in time, person or place"
    if is_worse:
        reasons += (
            ", examples that belong together are in both the training and the validation set, or "
            "the choice among many trials fits the validation set"
        )
    validation, model = name_validation_sets(summary.study), "model has"
    if summary.study.folds:
        model = "champion's settings have"
    return Recommendation(
        f"Find out why the test set is {'harder' if is_worse else 'easier'} than the validation "
        "set",
        f"The {model} {_describe_score(score, run)} on {validation}, and of "
        f"{score.format_value(reading.score)}{score.format_interval(reading)} on the test set. "
        f"Chance hardly explains this difference. Possible reasons: {reasons}.",
    )


def _is_gap(score: Score, run: HasScore, reading: HasScore) -> bool:
    """Whether two scores, on different examples, differ much and beyond chance.

    The interval of their difference follows from theirs (R. G. Newcombe, "Interval estimation for
    the difference between independent proportions", 1998, method 10).
    """
    intervals = score.compute_interval(run), score.compute_interval(reading)
    if intervals[0] is None or intervals[1] is None:
        return False
    pairs = ((run.score, intervals[0]), (reading.score, intervals[1]))
    (low, low_interval), (high, high_interval) = sorted(pairs)
    if score.is_higher_better:
        is_large = high - low >= MIN_ACCURACY_GAP
    else:
        is_large = high >= MIN_RMSE_RATIO * low
    margin = math.hypot(low_interval[1] - low, high - high_interval[0])
    return is_large and high - low > margin
