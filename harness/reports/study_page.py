"""The page of a study: its sections, in the order of the page."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any

from harness.analysis.fold_scores import name_validation_sets
from harness.analysis.summary import Summary
from harness.config.schema import TRIAL_TABLE
from harness.metrics import SHARES, Score
from harness.reports.baselines_section import build_baselines_sections
from harness.reports.calibration_section import build_calibration_sections
from harness.reports.commands_section import build_commands_section
from harness.reports.confirmation_section import build_confirmation_sections
from harness.reports.cross_validation_section import build_folds_sections
from harness.reports.data_section import build_data_sections
from harness.reports.ensemble_section import build_ensemble_sections
from harness.reports.front_section import build_front_sections
from harness.reports.grid_or_list_sections import build_grid_or_list_sections
from harness.reports.leaderboard import build_leaderboard
from harness.reports.page import Page, Section
from harness.reports.plots.base import Plot
from harness.reports.plots.registry import build_section_plots
from harness.reports.plots.seed_variance import name_trials
from harness.reports.recommendations import MAX_RECOMMENDATIONS, recommend
from harness.reports.regression_section import build_regression_sections
from harness.reports.test_set_recommendations import recommend_from_test_set
from harness.reports.uncertainty_section import build_uncertainty_section
from harness.reports.winner_section import build_winner_section
from harness.tracking.types import StudyRun

INITIAL_SELECTION = 3
"""The number of best trials that are highlighted at first."""
FIRST_PLOTS = (("val-accuracy", "val-rmse"), ("confirm", "settings", "contenders"))
"""The plots of the first section: of each group, the first one that the page has."""
MAX_FIRST_HEIGHT = 460
"""A taller plot stays in its own section; in px."""


def build_study_page(summary: Summary, status: str = "") -> Page:
    """Return the page of a study; `Page.write` and `Page.render_inline` make the file.

    `status` describes how far an unfinished study is. Its page omits what only a finished study
    has: recommendations, and how to load the model.
    """
    study = summary.study
    started = time.strftime("%Y-%m-%d %H:%M", time.localtime(study.started))
    facts = [study.definition["data"]["name"], started, study.facts.get("device", "")]
    names = name_trials(study)
    settings, bias = build_grid_or_list_sections(summary)
    recommendations = [] if status else [_build_recommendations_section(summary)]
    next_steps = [step for each in recommendations for step in each.values["recommendations"]]
    first_plots, sections = _take_first_plots(
        study.score,
        [
            *settings,
            *build_front_sections(summary),
            _build_leaderboard_section(summary),
            _build_curves_section(summary),
            *(_build_class_sections(summary, not status) if study.classes else ()),
            *build_folds_sections(summary),
            *build_baselines_sections(summary),
            *(build_regression_sections(summary) if not study.classes else ()),
            *build_calibration_sections(summary),
            *build_ensemble_sections(summary),
            _build_parameters_section(summary),
            _build_course_section(summary),
            build_uncertainty_section(summary),
            *build_confirmation_sections(summary),
            *bias,
            *build_data_sections(summary),
            *recommendations,
        ],
    )
    next_step = next_steps[0].title if next_steps else ""
    best = [summary.champion, *study.rank_trials()]
    return Page(
        title=study.name,
        subtitle=" · ".join(filter(None, facts)),
        sections=[
            build_winner_section(summary, next_step, first_plots, is_finished=not status),
            *sections,
            build_commands_section(summary, is_finished=not status),
        ],
        trials={
            run.number: f"{run.number} · {names.get(run.number) or run.spec.describe()}"
            for run in study.trials
        },
        selected=list(dict.fromkeys(run.number for run in best))[:INITIAL_SELECTION],
        status=status,
    )


def _take_first_plots(score: Score, sections: list[Section]) -> tuple[list[Plot], list[Section]]:
    """Return the plots of the first section, and the sections without them."""
    curves, others = FIRST_PLOTS
    groups = (score.field_name.replace("_", "-"), *curves), others
    plots = {
        plot.name: plot
        for section in sections
        for plot in section.plots
        if plot.figure.layout.height <= MAX_FIRST_HEIGHT
    }
    first = [next((plots[name] for name in group if name in plots), None) for group in groups]
    taken = [plot for plot in first if plot is not None]
    names = {plot.name for plot in taken}
    rest = [
        replace(section, plots=[plot for plot in section.plots if plot.name not in names])
        for section in sections
    ]
    return [replace(plot, wide=False) for plot in taken], rest


def _build_leaderboard_section(summary: Summary) -> Section:
    score, board = summary.study.score, build_leaderboard(summary.study)
    method = "Wilson" if score.is_accuracy else "bootstrap"
    if score.metric in SHARES:
        method = "delta-method"
    return Section(
        name="leaderboard",
        title="Leaderboard",
        text="Click a row to highlight its trial in every plot; click a column to sort by it. The "
        f"intervals are 95 % {method} intervals of the validation {score.full_name}.",
        template="leaderboard",
        values={
            "board": board,
            "champion": summary.champion.number,
            "example": board.example_filter,
        },
    )


def _build_curves_section(summary: Summary) -> Section:
    folds = summary.study.folds
    each = f" Each curve is of all {folds} folds together." if folds else ""
    return Section(
        name="curves",
        title="Learning curves",
        text="All trials are grey, selected trials are coloured. The curve of a pruned trial ends "
        f"where it was pruned.{each} The curves of the score are at the top of the page; both "
        "buttons below change them too.",
        plots=build_section_plots("curves", summary),
    )


def _build_class_sections(summary: Summary, is_finished: bool) -> list[Section]:
    is_tested = summary.reading is not None
    place = "the test set" if is_tested else name_validation_sets(summary.study)
    classes = Section(
        name="classes",
        title="Results by class",
        text="The class with the lowest accuracy is first. The 95 % intervals hold for all classes "
        f"together.\nThe confusion matrix is the champion's on {place}: a row is the true "
        "class, a column the predicted class. The colour shows the share of the row; it is full "
        "from 20 %, so that mistakes can be seen.",
        plots=build_section_plots("classes", summary),
    )
    mistakes = summary.mistakes
    has_images = mistakes is None or mistakes.shown or not mistakes.total
    return [
        classes,
        *([_build_misclassified_section(summary)] if is_finished and has_images else []),
    ]


def _build_misclassified_section(summary: Summary) -> Section:
    mistakes, classes = summary.mistakes, summary.study.classes
    examples: list[dict[str, Any]] = [
        {
            "row": mistake.row,
            "true": classes[mistake.true],
            "predicted": classes[mistake.predicted],
            "confidence": mistake.confidence,
            "png": mistake.png,
        }
        for mistake in (mistakes.shown if mistakes else ())
    ]
    reason = "Not recorded for this champion."
    if mistakes:
        reason = "No validation example was misclassified."
    return Section(
        name="mistakes",
        title="Most confident mistakes",
        template="misclassified",
        values={
            "examples": examples,
            "count": _count_mistakes(len(examples), mistakes.total) if mistakes else "",
            "number": summary.champion.number,
            "place": _name_place(summary.study),
            "empty_reason": reason,
        },
    )


def _name_place(study: StudyRun) -> str:
    """Return where the mistakes were made."""
    by = ", each by the network of the fold that was not trained on it" if study.folds else ""
    return f"{name_validation_sets(study)}{by}"


def _count_mistakes(shown: int, total: int) -> str:
    """Return which mistakes are shown, as the start of a sentence."""
    if shown < total:
        return f"The {shown} most confident of {total:,} mistakes"
    return f"All {total} mistakes" if total > 1 else "The only mistake"


def _build_parameters_section(summary: Summary) -> Section:
    plots = build_section_plots("why", summary)
    text = (
        f"{_describe_settings_source(summary.study)}\nThe axes show the good trials; double-click "
        "a plot to show the others, or select one. Trials with the same value are spread sideways "
        "so that they do not hide each other."
    )
    return Section(name="why", title="Why it won", text=text, plots=plots)


def _describe_settings_source(study: StudyRun) -> str:
    """Return how the trials' settings were chosen, which limits what the plots can show."""
    if TRIAL_TABLE in study.definition:
        return (
            f"These plots show which settings go with a better {study.score.name}. Where trials "
            "differ in several settings, the plots cannot show which one made the difference."
        )
    if study.is_grid_or_list:
        return "The settings were fixed beforehand; no sampler chose them."
    return (
        "A sampler tries good regions more often, so the density of the points reflects its "
        "choices as well as the results."
    )


def _build_course_section(summary: Summary) -> Section:
    plots = build_section_plots("course", summary)
    title = "How the study ran" if summary.study.is_grid_or_list else "How the search went"
    return Section(name="course", title=title, plots=plots)


def _build_recommendations_section(summary: Summary) -> Section:
    recommendations = (
        *recommend_from_test_set(summary),
        *recommend(summary.study, summary.champion, summary.corrected_score),
    )[:MAX_RECOMMENDATIONS]
    return Section(
        name="next",
        title="What to try next",
        text="Suggestions from this study's results, each with its evidence. The commands leave "
        "the test set sealed (--no-test). Open it once, for your final choice, with: harness test "
        "STUDY."
        if recommendations
        else "",
        template="recommendations",
        values={"recommendations": recommendations},
    )
