"""The page's first section, with the key figures."""

from __future__ import annotations

from collections.abc import Sequence

from harness.analysis.corrected_score import CorrectedScore
from harness.analysis.fold_facts import describe_final_model
from harness.analysis.fold_score import FoldScore
from harness.analysis.fold_scores import read_fold_scores
from harness.analysis.formatting import (
    find_hardest_class,
    format_count,
    format_duration,
    format_percent,
)
from harness.analysis.seed_variance import SeedScores, find_setting
from harness.analysis.summary import Summary
from harness.metrics import Score
from harness.model_arguments import describe_model
from harness.models.baselines import BaselineMetrics
from harness.reports.page import Fold, Section
from harness.reports.plots.base import Plot
from harness.reports.plots.seed_variance import name_trials
from harness.results import HasScore, count_correct
from harness.trial import TrialSpec

HIDDEN_FACTS = ("settings", "report", "browse")
"""Keys of the summary's facts that the page does not need or shows as a table."""

Figure = dict[str, str]
"""A key figure: `value`, `label` and `note`."""


def build_winner_section(
    summary: Summary, next_step: str = "", plots: Sequence[Plot] = (), *, is_finished: bool = True
) -> Section:
    """Return the first section; `next_step` is the title of the first recommendation."""
    return Section(
        name="verdict",
        title="What won" if is_finished else "Best so far",
        template="winner",
        values={
            "champion": _name_champion(summary),
            "figures": list_figures(summary),
            "costs": _describe_costs(summary),
            "rivals": _describe_rivals(summary),
        },
        plots=plots,
        link=("Try next:", "next", next_step) if next_step else None,
        folds=[Fold(title="All results", template="facts", values={"lines": _list_lines(summary)})],
    )


def list_figures(summary: Summary) -> list[Figure]:
    """Return the key figures: test, validation, and the hardest class or the best baseline."""
    study, reading = summary.study, summary.reading
    test = {"value": "sealed", "label": "test set, not read", "note": ""}
    if not study.has_test_set:
        test = {"value": "none", "label": "test set", "note": "[data] test = 0"}
    if reading is not None:
        test = _build_score_figure(study.score, study.test_name, reading, reading.mae)
    last = _build_hardest_class(summary) if study.classes else _build_best_baseline(summary)
    figures = [test, _build_validation_figure(summary), last]
    setting = find_setting(study, summary.champion)
    if setting is not None and reading is not None and setting.test is not None:
        _add_mean(figures[0], setting.test)
    if setting is not None:
        _add_mean(figures[1], setting.validation)
    return figures


def _add_mean(figure: Figure, scores: SeedScores) -> None:
    """Add the mean over the setting's seeds, because the figure is that of its best seed."""
    if len(scores.values) > 1:
        mean = f"mean of its {len(scores.values)} seeds: {scores}"
        if scores.score.is_accuracy and scores.std is not None:
            seeds = format_count(len(scores.values), "seed")
            mean = f"mean of its {seeds}: {100 * scores.mean:.2f} ± {100 * scores.std:.2f} %"
        figure["note"] = "; ".join(filter(None, (figure["note"], mean)))


def _name_champion(summary: Summary) -> str:
    champion = summary.champion
    name = name_trials(summary.study).get(champion.number) or describe_in_words(champion.spec)
    return f"Trial {champion.number}: {name}"


def describe_in_words(spec: TrialSpec) -> str:
    """Return the settings that `TrialSpec.describe` abbreviates, in whole words."""
    widths = "-".join(map(str, spec.hidden))
    layers = f"hidden {'layers' if len(spec.hidden) > 1 else 'layer'} {widths}"
    network = describe_model(spec.model, spec.arguments) if spec.model else layers
    parts = [network if spec.model or spec.hidden else "no hidden layer"]
    if spec.batch_norm != "none":
        parts.append(f"batch norm {spec.batch_norm} the activation")
    if spec.augment:
        parts.append(f"augmented by {' and '.join(spec.augment)}")
    parts.append(f"{spec.optimizer}, learning rate {spec.learning_rate:.3g}")
    return " · ".join(parts)


def _describe_rivals(summary: Summary) -> str:
    """Return how many others may be as good as the champion: what the reader must know first."""
    if (contenders := summary.contenders) is not None:
        count, _, _ = contenders.describe_briefly().partition(":")
        is_alone = not count.endswith("may be as good")
        return "The other settings are worse." if is_alone else f"{count[0].upper()}{count[1:]}."
    if (ties := summary.tied_trials) is None or not ties.others:
        return ""
    return f"{len(ties.others)} of {ties.tested} other trials are statistically indistinguishable."


def _describe_costs(summary: Summary) -> str:
    """Return the model's size and training time: `3,214 parameters, trained in 4 s`."""
    run, costs = summary.model_run, []
    if run.parameters:
        costs.append(format_count(run.parameters, "parameter"))
    if seconds := sum(epoch.seconds for epoch in run.epochs):
        time = format_duration(seconds) if seconds >= 10 else f"{seconds:.2g} s"
        folds = f"{summary.study.folds} folds " if summary.study.folds else ""
        costs.append(f"{folds}trained in {time}")
    final = describe_final_model(summary)
    return "; ".join(filter(None, [", ".join(costs), f"the model is {final}" if final else ""]))


def _list_lines(summary: Summary) -> list[tuple[str, str]]:
    return [line for fact in summary.facts if fact.key not in HIDDEN_FACTS for line in fact.lines]


def _build_hardest_class(summary: Summary) -> Figure:
    study, reading = summary.study, summary.reading
    accuracies = (reading or summary.model_run).class_accuracy
    if len({value for value in accuracies if value >= 0}) == 1 < len(accuracies):
        note = f"{format_percent(max(accuracies))} each"
        return {"value": "all equal", "label": "accuracy by class", "note": note}
    hardest = find_hardest_class(study.classes, (reading or summary.model_run).confusion)
    if hardest is None:
        return {"value": "unknown", "label": "hardest class", "note": ""}
    low, high = hardest.lowest.interval
    bounds = f"{format_percent(low).removesuffix(' %')} to {format_percent(high)}"
    split = study.test_name if reading else "validation"
    note = f"{format_percent(hardest.accuracy)} on {split} (95 %: {bounds})"
    if hardest.is_clear:
        return {"value": hardest.name, "label": "hardest class", "note": note}
    note = f"the lowest is {hardest.name}: {note}"
    return {"value": "not clear", "label": "hardest class", "note": note}


def _build_best_baseline(summary: Summary) -> Figure:
    """Return the figure of a regression's best baseline, on the test set if it was read."""
    split, score = "test" if summary.reading else "validation", summary.study.score
    baselines = summary.baselines.of_split(split) if summary.baselines else {}
    if not baselines:
        return {"value": "none", "label": "recorded baseline", "note": ""}
    name, best = min(baselines.items(), key=lambda item: score.sign * item[1].score)
    mae = best.mae if isinstance(best, BaselineMetrics) else None
    return _build_score_figure(score, split, best, mae) | {
        "label": f"{split} {score.name} of {name}"
    }


def _build_validation_figure(summary: Summary) -> Figure:
    confirmation, score = summary.confirmation, summary.study.score
    if (corrected := summary.corrected_score) is not None:
        return _build_corrected_figure(corrected)
    if (folded := summary.fold_score) is not None:
        figure = _build_corrected_figure(folded)
        best = _format_share(score, summary.model_run.score)
        figure["note"] += f"; the best trial had {best} {_describe_folds(summary)}"
        return figure
    assert summary.model_run.best is not None
    if confirmation is None:
        run, mae = summary.model_run, summary.model_run.best.val_mae
        figure = _build_score_figure(score, "validation", run, mae)
        figure["note"] = "; ".join(filter(None, [figure["note"], _describe_folds(summary)]))
        return figure
    scores, seeds = confirmation.validation, format_count(len(confirmation.runs), "fresh seed")
    std = f" ± {100 * scores.std:.2f}" if scores.std is not None else ""
    is_classes = score.is_accuracy
    return {
        "value": f"{100 * scores.mean:.2f}{std} %" if is_classes else str(scores),
        "label": f"validation {score.full_name}",
        "note": f"mean{' ± standard deviation' if std else ''} over {seeds}",
    }


def _describe_folds(summary: Summary) -> str:
    """`over 5 folds: 97.21 to 100.00 %, sd 1.18`; empty without folds."""
    scores = read_fold_scores(summary.study, summary.model_run)
    if scores is None:
        return ""
    spread = scores.describe_spread()
    if scores.objective == "val/accuracy":
        low, high = 100 * min(scores.values), 100 * max(scores.values)
        spread = f"{low:.2f} to {high:.2f} %, sd {100 * scores.deviation:.2f}"
    elif scores.objective != summary.study.score.metric:
        spread = f"{scores.name} {spread}"
    return f"over {len(scores.values)} folds: {spread}"


def _format_share(score: Score, value: float) -> str:
    """`98.61 %` of an accuracy, other scores as they are."""
    return f"{100 * value:.2f} %" if score.is_accuracy else score.format_value(value)


def _build_corrected_figure(corrected: CorrectedScore | FoldScore) -> Figure:
    score, note = corrected.score, "corrected for selection"
    value = _format_share(score, corrected.value)
    if corrected.interval and score.is_accuracy:
        low, high = corrected.interval
        note = f"95 %: {100 * low:.2f} to {100 * high:.2f} %; {note}"
    elif corrected.interval:
        note = f"95 %: {score.format_range(corrected.interval)}; {note}"
    return {"value": value, "label": f"validation {score.full_name}", "note": note}


def _build_score_figure(
    score: Score, split: str, scored: HasScore, mae: float | None = None
) -> Figure:
    interval, (_, n) = score.compute_interval(scored), count_correct(scored.confusion)
    value, note = score.format_value(scored.score), ""
    if interval is not None:
        note = f"95 %: {score.format_range(interval)}"
    if mae is not None:
        note = ", ".join(filter(None, (note, f"MAE {score.tested.format_value(mae)}")))
    if score.is_accuracy:
        value = f"{100 * scored.score:.2f} %"
        if interval is not None:
            low, high = interval
            note = f"95 %: {100 * low:.2f} to {100 * high:.2f} % ({format_count(n, 'example')})"
    return {"value": value, "label": f"{split} {score.full_name}", "note": note}
