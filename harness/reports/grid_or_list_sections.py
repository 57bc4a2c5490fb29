"""Two sections of a grid or list: its settings, and the cost of choosing on the test set.

A search has neither: its trials rarely share a setting, and its test set is read for one trial.
"""

from __future__ import annotations

from collections.abc import Mapping

from harness.analysis.formatting import format_accuracy_interval
from harness.analysis.seed_variance import SeedScores
from harness.analysis.summary import Summary
from harness.analysis.test_selection_bias import SPLITS, TestSelectionBias
from harness.reports.page import Section, TrialRow, TrialTable
from harness.reports.plots.registry import build_section_plots
from harness.reports.plots.seed_variance import (
    Interval,
    SettingsOverview,
    group_by_setting,
    name_trials,
)
from harness.tracking.types import RunRecord, StudyRun


def build_grid_or_list_sections(summary: Summary) -> tuple[list[Section], list[Section]]:
    """Return the section on the settings and the one on the test set, each in a list.

    Both lists are empty for a search.
    """
    overview, bias = group_by_setting(summary.study), summary.test_selection_bias
    return (
        [_build_settings_section(summary, overview)] if overview.settings else [],
        [_build_selection_bias_section(summary, bias)] if bias is not None else [],
    )


def _build_settings_section(summary: Summary, overview: SettingsOverview) -> Section:
    name = overview.score.name
    text = (
        f"The best validation {name} is first. The 95 % intervals do not include seed variance. "
        "Click a row to highlight its trials."
    )
    if overview.most_seeds > 1:
        text = (
            "Mean ± standard deviation over n seeds (minimum to maximum); the best mean validation "
            f"{name} is first. Click a row to highlight its trials."
        )
    if overview.incomplete:
        text += f" Trials that ended but are not complete are left out: {overview.incomplete}."
    return Section(
        name="settings",
        title="Results by setting",
        text=text,
        template="trial_table",
        values={"paragraphs": [], "table": build_settings_table(overview)},
        plots=build_section_plots("settings", summary),
    )


def build_settings_table(overview: SettingsOverview) -> TrialTable:
    has_test, name = any(each.test for each in overview.settings), overview.score.full_name
    columns = [overview.heading, "n", f"validation {name}"]
    columns += [f"test {name}"] if has_test else []
    rows = []
    for setting in overview.settings:
        test = _format_scores(setting.test, setting.test_interval) if setting.test else ""
        seconds = setting.seconds_per_trial
        cells = (
            setting.short_name,
            str(len(setting.numbers)),
            _format_scores(setting.validation, setting.interval),
            *([test] if has_test else []),
            f"{setting.parameters:,}",
            f"{seconds:.{1 if seconds >= 1 else 2}f}",
        )
        rows.append(TrialRow(setting.numbers, cells, setting.name))
    return TrialTable((*columns, "parameters", "seconds per trial"), tuple(rows))


def _format_scores(scores: SeedScores, interval: Interval | None) -> str:
    """Return `0.9712 ± 0.0011 (0.9701 to 0.9723)`, or `0.9712 (95 %: ...)` with a single seed."""
    score = scores.score
    if scores.std is not None:
        return f"{scores} ({score.format_range((min(scores.values), max(scores.values)))})"
    return f"{scores} (95 %: {score.format_range(interval)})" if interval else str(scores)


def _build_selection_bias_section(summary: Summary, bias: TestSelectionBias) -> Section:
    names = name_trials(summary.study)
    return Section(
        name="luck",
        title="What choosing on the test set would cost",
        text="Nothing was chosen on the test set. This section estimates what such a choice would "
        "have cost, from every trial's predictions on the test set.",
        template="trial_table",
        values={
            "paragraphs": [describe_test_selection_bias(bias)],
            "table": build_best_by_table(summary.study, summary.champion, names),
        },
        plots=build_section_plots("luck", summary),
    )


def describe_test_selection_bias(bias: TestSelectionBias) -> str:
    (here, there), (low, high) = bias.best_on_half.means, bias.best_on_half.gap_range
    champion_here, champion_there = bias.champion.means
    return (
        f"On a random half of the test examples ({bias.half_size:,}), the best of {bias.trials} "
        f"trials has {here:.4f}; on the other half the same trial has {there:.4f}. The selection "
        f"bias is {_format_points(here - there)} points (5 % to 95 % of {SPLITS:,} halvings: "
        f"{_format_points(low)} to {_format_points(high)}). The champion, chosen on the validation "
        f"set, has {champion_here:.4f} and {champion_there:.4f}."
    )


def build_best_by_table(
    study: StudyRun, champion: RunRecord, names: Mapping[int, str]
) -> TrialTable:
    """Return the best trial on validation and on test, with both accuracies.

    `names` are the trials' names by number.
    """
    readings = {reading.number: reading for reading in study.readings}
    accuracy = {number: reading.accuracy for number, reading in readings.items()}
    runs = {run.number: run for run in study.rank_trials() if run.number in accuracy}
    top = max(accuracy[number] for number in runs)
    equals = sorted(number for number in runs if accuracy[number] == top)
    best = champion.number if champion.number in equals else equals[0]
    tied = f" (tied with {len(equals) - 1} more)" if len(equals) > 1 else ""
    bests = [("validation", champion.number), (f"test{tied}", best)]
    if best == champion.number:
        bests = [(f"both{tied}", best)]
    rows = []
    for label, number in bests:
        cells = (
            label,
            f"{number} · {names[number]}" if number in names else str(number),
            _format_accuracy(runs[number]),
            f"{accuracy[number]:.4f}{format_accuracy_interval(readings[number].confusion)}",
        )
        rows.append(TrialRow((number,), cells))
    return TrialTable(("best by", "trial", "validation accuracy", "test accuracy"), tuple(rows))


def _format_points(share: float) -> str:
    """Return percentage points, `0.34`, never `-0.00`."""
    return f"{round(100 * share, 2) + 0.0:.2f}"


def _format_accuracy(run: RunRecord) -> str:
    if run.best is None:
        return ""
    return f"{run.best.val_accuracy:.4f}{format_accuracy_interval(run.confusion)}"
