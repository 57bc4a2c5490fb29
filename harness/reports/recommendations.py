"""What to try next, as far as the record says: each advice holds only where its evidence does."""

from __future__ import annotations

import math
from dataclasses import replace

from harness.analysis.formatting import between, percent
from harness.analysis.seed_variance import settings
from harness.analysis.tied_trials import TiedTrials
from harness.config.schema import format_toml, find_varied_fields
from harness.config.validation import LAYER_KEYS
from harness.metrics import OBJECTIVE_NAMES, higher_is_better, format_number, get_sort_sign, format_objective
from harness.reports.commands import anew, extended
from harness.reports.parameter_axes import ended, factors, value_of
from harness.reports.ranges import Advice, best_tenth, failing, wider
from harness.results import EpochMetrics, Objective
from harness.stats.proportions import wilson
from harness.tracking.types import RunRecord, StudyRun, count_correct

MOST = 5
SEEDS = 3
"""To go on with, where each setting had one."""
LATE = 0.9
"""Of the epochs: a best epoch from there on is nearly the last."""
STILL_FALLS = 0.02
"""Relative fall of the error from one fifth of the epochs to the next that is worth going on."""
OVERFIT = 0.03
"""Training accuracy above validation accuracy."""
MUCH_LARGER = 1.25
"""Validation RMSE over training RMSE."""
MUCH_SMALLER = 0.5
"""Of the champion's parameters; a network of more is hardly worth the change."""
BY_CHANCE = 0.05
LEAST_TRIALS = 20
"""With fewer, how a search went says nothing."""
LEAST_CONFUSED = 3
"""Images of one class taken for another: fewer may be chance."""
REGULARISERS = {
    "dropout": {"low": 0.0, "high": 0.5},
    "l2": {"low": 1e-6, "high": 1e-2, "log": True, "zero": 0.3},
    "label_smoothing": {"low": 0.0, "high": 0.2},
}


def data(study: StudyRun, champion: RunRecord, ties: TiedTrials | None) -> tuple[Advice, ...]:
    """At most five, the likeliest gains first; `ties` are the champion's.

    The champion is a complete trial: it has a best epoch.
    """
    assert champion.best is not None
    of_search = (
        not study.is_grid_or_list
    )  # a grid or list has no ranges, and nothing that went on searching
    found = (
        failing(study) if of_search else None,
        wider(study, champion) if of_search else None,
        _repeated(study),
        _longer(study, champion, champion.best),
        _regularised(study, champion, champion.best),
        _smaller(champion, ties),
        _more(study) if of_search else None,
        _settled(study) if of_search else None,
        _confused(study, champion),
    )
    return tuple(advice for advice in found if advice is not None)[:MOST]


def _repeated(study: StudyRun) -> Advice | None:
    """Every setting of a grid or list was trained once."""
    found = settings(study)
    if len(found) < 2 or any(len(setting.runs) > 1 for setting in found):
        return None
    asked = {replace(run.spec, seed=0) for run in study.trials}
    return Advice(
        "Give each setting more seeds",
        f"Each of the {len(found)} settings was trained once: the seed's part in their differences "
        "cannot be told.",
        extended(study, "--set", f"study.seeds={SEEDS}", "--trials", str(SEEDS * len(asked))),
    )


def _longer(study: StudyRun, champion: RunRecord, best: EpochMetrics) -> Advice | None:
    """The champion's best epoch is nearly its last, and its curve still improves."""
    if "epochs" in find_varied_fields(study.definition):
        return None
    budget, epochs = champion.spec.epochs, champion.epochs
    fifth = math.ceil(len(epochs) / 5)
    if best.epoch < LATE * budget or len(epochs) < 2 * fifth:
        return None
    before = _error(epochs[-2 * fifth : -fifth], study.objective)
    last = _error(epochs[-fifth:], study.objective)
    _, images = count_correct(champion.confusion)
    least = STILL_FALLS * before
    if higher_is_better(study.objective) and images:
        least = max(least, 1 / images)  # less than one image is no improvement
    if before - last < least:
        return None
    what = "error" if higher_is_better(study.objective) else OBJECTIVE_NAMES[study.objective]
    fell = [format_objective(value, study.objective) for value in (before, last)]
    schedule = champion.spec.schedule
    caveat = "" if schedule == "constant" else f" (some of that is the {schedule} schedule's end)"
    return Advice(
        "Train longer",
        f"The champion's best epoch is {best.epoch} of {budget}, and its mean validation "
        f"{what} was still falling: {fell[0]}, then {fell[1]} over the last {fifth} "
        f"{'evaluation' if fifth == 1 else 'evaluations'}{caveat}.",
        anew(study, "longer", f"train.epochs={2 * budget}"),
    )


def _error(epochs: tuple[EpochMetrics, ...], objective: Objective) -> float:
    values = [epoch.get_objective(objective) for epoch in epochs]
    mean = sum(values) / len(values)
    return 1 - mean if higher_is_better(objective) else mean


def _regularised(study: StudyRun, champion: RunRecord, best: EpochMetrics) -> Advice | None:
    """The champion fits its training examples better than others."""
    told = _overfits(best)
    varied = find_varied_fields(study.definition)
    spec = champion.spec.to_dict()
    new = {
        name: REGULARISERS[name]
        for name in REGULARISERS
        if name not in varied
        and name in spec
        and not spec[name]
        and (study.classes or name != "label_smoothing")
    }
    if not told or not new:
        return None
    sets = [f"space.{name}={format_toml(new[name])}" for name in new]
    return Advice(
        f"Regularise: {'try' if study.is_grid_or_list else 'sample'} {' and '.join(new)}",
        f"At its best epoch the champion {told}: it overfits.",
        "" if study.is_grid_or_list else anew(study, "regularised", *sets),
    )


def _overfits(best: EpochMetrics) -> str:
    """How far training lies above validation; empty where that is little."""
    if best.train_accuracy is not None and best.val_accuracy is not None:
        if best.train_accuracy - best.val_accuracy <= OVERFIT:
            return ""
        return (
            f"has {percent(best.train_accuracy)} of its training images right and "
            f"{percent(best.val_accuracy)} of the validation images"
        )
    if not best.train_rmse or not best.val_rmse or best.val_rmse <= MUCH_LARGER * best.train_rmse:
        return ""
    before, after = format_number(best.train_rmse), format_number(best.val_rmse)
    return f"has an RMSE of {before} in training and of {after} on validation"


def _smaller(champion: RunRecord, ties: TiedTrials | None) -> Advice | None:
    """A much smaller trial that the validation examples do not tell from the champion."""
    if ties is None or ties.share >= MUCH_SMALLER:
        return None
    other, score = ties.smallest, ties.score
    return Advice(
        f"Consider trial {other.number}: {1 / ties.share:.1f} times fewer parameters",
        f"It has {score.format_value(other.score)} on validation with {other.parameters:,} "
        f"parameters, the champion {score.format_value(champion.score)} with {champion.parameters:,}. "
        f"On the same {ties.examples:,} examples no difference shows ({ties.test} p = "
        f"{ties.p[other.number]:.2g}, adjusted by Holm for {ties.tested} trials), which is no "
        "proof that there is none.",
    )


def _more(study: StudyRun) -> Advice | None:
    """Whether the search was still finding better trials when it ended."""
    sign = get_sort_sign(study.objective)
    trials = sorted(ended(study), key=lambda run: run.number)
    best, found = math.inf, 0
    for index, run in enumerate(trials, 1):
        value = run.objective_value(study.objective)
        if run.state == "COMPLETE" and value is not None and sign * value < best:
            best, found = sign * value, index
    if len(trials) < LEAST_TRIALS or not found:
        return None
    since = len(trials) - found
    if since >= len(trials) / 2:
        return Advice(
            "Change the space rather than run more trials",
            f"The best trial came {_th(found)} of the {len(trials)} that ended; the {since} after "
            "it did not improve on it. More of the same are unlikely to gain much.",
        )
    if since >= len(trials) / 5:
        return None
    return Advice(
        "Go on: the search was still improving",
        f"The best trial came {_th(found)} of the {len(trials)} that ended.",
        extended(study, "--trials", str(2 * len(trials))),
    )


def _settled(study: StudyRun) -> Advice | None:
    """The best trials share one value of a choice, by more than the sampler's preference."""
    best = best_tenth(study)
    if len(study.rank_trials()) < LEAST_TRIALS:
        return None
    for factor in factors(study):
        values = {factor.positions.get(run.number) for run in best}
        value = values.pop()
        if factor.kind != "choice" or values or value is None:
            continue
        share = list(factor.positions.values()).count(value) / len(factor.positions)
        if share ** len(best) >= BY_CHANCE:
            continue
        shown = factor.shown[best[0].number]
        fixed = value_of(best[0], factor.name)
        table = "space" if factor.name in LAYER_KEYS else "train"
        text = format_toml([fixed] if factor.name in LAYER_KEYS else fixed)
        return Advice(
            f"Fix {factor.name} = {shown}",
            f"The best {len(best)} trials all have it, against {percent(share)} of all trials: "
            "the search need not spend trials on the other choices.",
            anew(study, "fixed", f"{table}.{factor.name}={text}"),
        )
    return None


def _confused(study: StudyRun, champion: RunRecord) -> Advice | None:
    """The pair of classes that the champion confuses most, by the true class's images."""
    pairs = [
        (count / sum(row), count, sum(row), true, predicted)
        for true, row in enumerate(champion.confusion)
        for predicted, count in enumerate(row)
        if true != predicted and count >= LEAST_CONFUSED
    ]
    if not pairs:
        return None
    share, count, images, true, predicted = max(pairs)
    return Advice(
        f"Look at {study.classes[true]}, taken for {study.classes[predicted]}",
        f"{study.classes[true]} is taken for {study.classes[predicted]} in {percent(share)} of "
        f"its validation images ({count} of {images}; {between(*wilson(count, images))}), the "
        "largest share of the pairs that were "
        f"confused {LEAST_CONFUSED} times or more. Could a person tell them apart?",
    )


def _th(number: int) -> str:
    """`1st`, `12th`, `23rd`."""
    last = number % 10 if number % 100 not in (11, 12, 13) else 0
    return f"{number}{ {1: 'st', 2: 'nd', 3: 'rd'}.get(last, 'th') }"
