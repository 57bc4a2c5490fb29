"""Recommendations on what to try next, each with its evidence from the study's record."""

from __future__ import annotations

import math
from dataclasses import replace

from harness.analysis.corrected_score import CorrectedScore
from harness.analysis.formatting import (
    format_count,
    format_ordinal,
    format_percent,
    format_percent_interval,
)
from harness.analysis.seed_variance import rank_settings
from harness.config.overrides import format_toml
from harness.config.schema import find_varied_fields
from harness.config.validation import LAYER_KEYS
from harness.metrics import (
    OBJECTIVE_NAMES,
    format_number,
    format_objective,
    get_sort_sign,
    is_higher_better,
)
from harness.reports.commands import build_changed_command, build_continue_command
from harness.reports.parameter_axes import build_parameter_axes, get_setting, list_ended_trials
from harness.reports.ranges import (
    Recommendation,
    recommend_lower_top,
    recommend_wider_range,
    select_best_tenth,
)
from harness.results import EpochMetrics, Objective, count_correct
from harness.stats.proportions import compute_simultaneous_interval
from harness.tracking.types import RunRecord, StudyRun

MAX_RECOMMENDATIONS = 5
NEW_SEEDS = 3
"""Seeds to recommend if each setting had one."""
LATE_EPOCH = 0.9
"""A best epoch after this share of the epochs counts as late."""
MIN_RELATIVE_FALL = 0.02
"""Relative fall of the error between two fifths of the epochs that makes more epochs worthwhile."""
MIN_ACCURACY_GAP = 0.03
"""Training accuracy minus validation accuracy that counts as overfitting."""
MIN_RMSE_RATIO = 1.25
"""Validation RMSE over training RMSE that counts as overfitting."""
MAX_SIZE_SHARE = 0.5
"""Share of the champion's parameters up to which a smaller network is recommended."""
SIGNIFICANCE = 0.05
MIN_SEARCH_TRIALS = 20
"""With fewer trials, the course of a search shows nothing."""
MIN_CONFUSED = 3
"""Images of one class classified as another; fewer may be chance."""
REGULARIZERS = {
    "dropout": {"low": 0.0, "high": 0.5},
    "l2": {"low": 1e-6, "high": 1e-2, "log": True, "zero": 0.3},
    "label_smoothing": {"low": 0.0, "high": 0.2},
}


def recommend(
    study: StudyRun, champion: RunRecord, corrected: CorrectedScore | None
) -> tuple[Recommendation, ...]:
    """Return MAX_RECOMMENDATIONS at most, the most promising first; `champion` is complete."""
    assert champion.best is not None
    is_search = not study.is_grid_or_list  # a grid or list has neither ranges nor a search
    candidates = (
        recommend_lower_top(study) if is_search else None,
        recommend_wider_range(study, champion) if is_search else None,
        _recommend_seeds(study),
        _recommend_epochs(study, champion, champion.best),
        _recommend_regularization(study, champion, champion.best),
        _recommend_smaller_network(corrected),
        _recommend_search_budget(study) if is_search else None,
        _recommend_fixed_value(study) if is_search else None,
        _recommend_confused_pair(study, champion),
    )
    return tuple(each for each in candidates if each is not None)[:MAX_RECOMMENDATIONS]


def _recommend_seeds(study: StudyRun) -> Recommendation | None:
    """Recommend more seeds if every setting of a grid or list had one."""
    settings = rank_settings(study)
    if len(settings) < 2 or any(len(setting.runs) > 1 for setting in settings):
        return None
    specs = {replace(run.spec, seed=0) for run in study.trials}
    return Recommendation(
        "Give each setting more seeds",
        f"Each of the {len(settings)} settings was trained with one seed, so their differences "
        "cannot be separated from seed variance.",
        build_continue_command(
            study, "--set", f"study.seeds={NEW_SEEDS}", "--trials", str(NEW_SEEDS * len(specs))
        ),
    )


def _recommend_epochs(
    study: StudyRun, champion: RunRecord, best: EpochMetrics
) -> Recommendation | None:
    """Recommend more epochs if the champion's best epoch is late and its curve still improves."""
    if "epochs" in find_varied_fields(study.definition):
        return None
    budget, epochs = champion.spec.epochs, champion.epochs
    fifth = math.ceil(len(epochs) / 5)
    if best.epoch < LATE_EPOCH * budget or len(epochs) < 2 * fifth:
        return None
    before = _mean_error(epochs[-2 * fifth : -fifth], study.objective)
    last = _mean_error(epochs[-fifth:], study.objective)
    _, images = count_correct(champion.confusion)
    min_fall = MIN_RELATIVE_FALL * before
    if is_higher_better(study.objective) and images:
        min_fall = max(min_fall, 1 / images)  # an improvement is one image or more
    if before - last < min_fall:
        return None
    measure = "error" if is_higher_better(study.objective) else OBJECTIVE_NAMES[study.objective]
    errors = [format_objective(value, study.objective) for value in (before, last)]
    schedule = champion.spec.schedule
    caveat = "" if schedule == "constant" else f" (partly because the {schedule} schedule ends)"
    return Recommendation(
        "Train longer",
        f"The champion's best epoch is {best.epoch} of {budget}, and its mean validation "
        f"{measure} was still falling: {errors[0]}, then {errors[1]} over the last "
        f"{format_count(fifth, 'evaluation')}{caveat}.",
        build_changed_command(study, "longer", f"train.epochs={2 * budget}"),
    )


def _mean_error(epochs: tuple[EpochMetrics, ...], objective: Objective) -> float:
    values = [epoch.get_objective(objective) for epoch in epochs]
    mean = sum(values) / len(values)
    return 1 - mean if is_higher_better(objective) else mean


def _recommend_regularization(
    study: StudyRun, champion: RunRecord, best: EpochMetrics
) -> Recommendation | None:
    """Recommend regularization that is not in use yet if the champion overfits."""
    overfitting = _describe_overfitting(best)
    varied = find_varied_fields(study.definition)
    spec = champion.spec.to_dict()
    new = {
        name: REGULARIZERS[name]
        for name in REGULARIZERS
        if name not in varied
        and name in spec
        and not spec[name]
        and (study.classes or name != "label_smoothing")
    }
    if not overfitting or not new:
        return None
    overrides = [f"space.{name}={format_toml(new[name])}" for name in new]
    return Recommendation(
        f"Regularize: {'try' if study.is_grid_or_list else 'sample'} {' and '.join(new)}",
        f"At its best epoch the champion {overfitting}: it overfits.",
        "" if study.is_grid_or_list else build_changed_command(study, "regularised", *overrides),
    )


def _describe_overfitting(best: EpochMetrics) -> str:
    """Return how far training and validation differ; empty if that is little."""
    if best.train_accuracy is not None and best.val_accuracy is not None:
        if best.train_accuracy - best.val_accuracy <= MIN_ACCURACY_GAP:
            return ""
        return (
            f"has a training accuracy of {format_percent(best.train_accuracy)} and a validation "
            f"accuracy of {format_percent(best.val_accuracy)}"
        )
    if (
        not best.train_rmse
        or not best.val_rmse
        or best.val_rmse <= MIN_RMSE_RATIO * best.train_rmse
    ):
        return ""
    before, after = format_number(best.train_rmse), format_number(best.val_rmse)
    return f"has an RMSE of {before} on the training set and of {after} on validation"


def _recommend_smaller_network(corrected: CorrectedScore | None) -> Recommendation | None:
    """Recommend a much smaller network that is shown to be within the margin of the champion."""
    smaller = corrected.smaller if corrected else None
    if corrected is None or smaller is None:
        return None
    trial, champion = smaller.trial, corrected.champion
    if trial.parameters >= MAX_SIZE_SHARE * champion.parameters:
        return None
    times = champion.parameters / trial.parameters
    return Recommendation(
        f"Consider trial {trial.number}: {times:.1f} times fewer parameters",
        f"It has {trial.parameters:,} parameters, the champion has {champion.parameters:,}. Both "
        f"were trained again on {format_count(corrected.splits, 'new split')}: "
        f"{smaller.describe(corrected.score)}. A non-inferiority test at 5 % excludes that it is "
        f"worse by more than {corrected.format_margin()}.",
    )


def _recommend_search_budget(study: StudyRun) -> Recommendation | None:
    """Recommend more trials or another space, by how long ago the best trial was found."""
    sign = get_sort_sign(study.objective)
    trials = sorted(list_ended_trials(study), key=lambda run: run.number)
    best, best_index = math.inf, 0
    for index, run in enumerate(trials, 1):
        value = run.objective_value(study.objective)
        if run.state == "COMPLETE" and value is not None and sign * value < best:
            best, best_index = sign * value, index
    if len(trials) < MIN_SEARCH_TRIALS or not best_index:
        return None
    since = len(trials) - best_index
    if since >= len(trials) / 2:
        return Recommendation(
            "Change the space rather than run more trials",
            f"The best trial was the {format_ordinal(best_index)} of {len(trials)} that ended; the "
            f"{since} after it did not improve on it. More trials are unlikely to gain much.",
        )
    if since >= len(trials) / 5:
        return None
    return Recommendation(
        "Run more trials: the search was still improving",
        f"The best trial was the {format_ordinal(best_index)} of {len(trials)} that ended.",
        build_continue_command(study, "--trials", str(2 * len(trials))),
    )


def _recommend_fixed_value(study: StudyRun) -> Recommendation | None:
    """Recommend fixing a choice if the best trials share its value, more than by chance."""
    best = select_best_tenth(study)
    if len(study.rank_trials()) < MIN_SEARCH_TRIALS:
        return None
    for axis in build_parameter_axes(study):
        values = {axis.positions.get(run.number) for run in best}
        value = values.pop()
        if axis.kind != "choice" or values or value is None:
            continue
        share = list(axis.positions.values()).count(value) / len(axis.positions)
        if share ** len(best) >= SIGNIFICANCE:
            continue
        value_text = axis.texts[best[0].number]
        fixed = get_setting(best[0], axis.name)
        table = "space" if axis.name in LAYER_KEYS else "train"
        text = format_toml([fixed] if axis.name in LAYER_KEYS else fixed)
        return Recommendation(
            f"Fix {axis.name} = {value_text}",
            f"The best {len(best)} trials all have it, compared with {format_percent(share)} of "
            "all trials. The search does not have to spend trials on the other choices.",
            build_changed_command(study, "fixed", f"{table}.{axis.name}={text}"),
        )
    return None


def _recommend_confused_pair(study: StudyRun, champion: RunRecord) -> Recommendation | None:
    """Recommend a look at the pair of classes with the largest share of misclassified images."""
    pairs = [
        (count / sum(row), count, sum(row), true, predicted)
        for true, row in enumerate(champion.confusion)
        for predicted, count in enumerate(row)
        if true != predicted and count >= MIN_CONFUSED
    ]
    if not pairs:
        return None
    share, count, images, true_index, predicted_index = max(pairs)
    true, predicted = study.classes[true_index], study.classes[predicted_index]
    examined = len(study.classes) * (len(study.classes) - 1)  # it is picked from so many pairs
    interval = format_percent_interval(*compute_simultaneous_interval(count, images, examined))
    return Recommendation(
        f"Look at {true} classified as {predicted}",
        f"{true} is classified as {predicted} in {format_percent(share)} of its validation "
        f"examples ({count} of {images}; {interval}), the largest share of all pairs of classes "
        f"that were confused {MIN_CONFUSED} times or more. Could a person distinguish them?",
    )
