"""The section on uncertainty: intervals, paired tests and how the champion was chosen."""

from __future__ import annotations

from harness.analysis.confirmation import rank_confirmed_settings
from harness.analysis.fold_scores import name_validation_sets
from harness.analysis.summary import Summary
from harness.analysis.test_set_facts import describe_overlap, format_opening
from harness.analysis.tied_trials import TiedTrials
from harness.reports.confirmation_section import name_confirmation
from harness.reports.page import Section
from harness.reports.plots.registry import build_section_plots
from harness.reports.plots.seed_variance import group_by_setting
from harness.reports.plots.top_trials import rank_top_trials
from harness.tracking.types import StudyRun

REPLAYS = {
    "bitwise": "gave the recorded result bit for bit",
    "within spread": "gave the recorded result except for rounding",
    "differs": "did not give the recorded result",
}
"""A replay's recorded outcome, in words."""
SYMBOLS = (
    "Filled marks are statistically indistinguishable from the champion, which does not prove that "
    "they are as good.",
    "Hollow circles are significantly different.",
)
"""What the plot's symbols mean."""

FOLDS = (
    "Intervals and tests treat the examples of all folds as independent. They do not cover the "
    "chance in drawing the training examples, which the folds' networks share."
)
"""What the intervals and tests of a cross-validation leave out."""


def build_uncertainty_section(summary: Summary) -> Section:
    study, ties = summary.study, summary.tied_trials
    choice = [
        _describe_choice(summary),
        *(_describe_settings(study) if study.is_grid_or_list else []),
    ]
    comparison = _describe_ties(ties) if ties is not None else []
    if summary.runner_up is not None:
        comparison.append(f"The runner-up is {summary.runner_up.describe(study.score)}.")
    symbols = [
        *(SYMBOLS if ties is not None and ties.others else []),
        "The bars are 95 % confidence intervals"
        + ("; they do not include seed variance." if study.is_grid_or_list else "."),
        FOLDS if study.folds else "",
    ]
    test = [_describe_test_use(summary), *_describe_overlap(summary)]
    paragraphs = (choice, comparison, symbols, test, [_describe_replays(study)])
    return Section(
        name="sure",
        title="How certain it is",
        text="\n".join(filter(None, (" ".join(filter(None, each)) for each in paragraphs))),
        plots=build_section_plots("sure", summary),
    )


def _describe_choice(summary: Summary) -> str:
    """Return how the champion was chosen, and why its score is optimistic."""
    study = summary.study
    complete, confirmed = len(study.rank_trials()), rank_confirmed_settings(study)
    if not study.is_grid_or_list and not study.definition.get("space"):
        return "Nothing was sampled: every trial has the same settings."
    if complete == 1:
        return "Only one trial is complete, so there was no choice between trials."
    if confirmed:
        best = "setting" if len(confirmed) == 1 else f"{len(confirmed)} settings"
        return (
            f"The champion was chosen among the best {best} of {complete} complete trials; see "
            f"{name_confirmation(summary)}. The plot shows the scores of the search."
        )
    champion = f"the best of {complete} complete trials on {name_validation_sets(study)}"
    if study.is_grid_or_list and len({run.spec.seed for run in study.rank_trials()}) > 1:
        champion = (
            f"the best trial of the setting with the best mean, of {complete} complete trials"
        )
    text = (
        f"The champion is {champion}. Its score is optimistic: the best of many scores is partly "
        "luck (selection bias)."
    )
    if summary.tied_trials is not None:
        return text  # the paired tests say more than the interval
    within = rank_top_trials(study, summary.reading).within
    trials = "trial has a score" if within == 1 else "trials have scores"
    return f"{text} {within} other {trials} within its interval."


def _describe_ties(ties: TiedTrials) -> list[str]:
    """Return the result of the paired tests."""
    return [f"Paired tests: {ties.describe().removeprefix('none: ')}."]


def _describe_settings(study: StudyRun) -> list[str]:
    """Return which setting of a grid or list has the best mean."""
    overview = group_by_setting(study)
    if len(overview.settings) < 2:
        has_seeds = overview.most_seeds > 1
        return ["All trials have the same setting and differ in their seed."] if has_seeds else []
    if overview.most_seeds == 1:
        return ["Each setting was trained with one seed, so the best one may be best by chance."]
    first, second = overview.settings[:2]
    text = (
        f"Of {len(overview.settings)} settings, the best by mean validation {study.score.name} is "
        f"{first.short_name}: {first.validation} (n = {len(first.numbers)}); the next is "
        f"{second.short_name}: {second.validation} (n = {len(second.numbers)})."
    )
    return [text]


def _count_all(study: StudyRun) -> str:
    count = len(study.readings)
    return f"all {count} trials" if count > 1 else "its only trial"


def _describe_test_use(summary: Summary) -> str:
    """Return when the test set was opened, and whether that can have influenced the choice."""
    study, reading = summary.study, summary.reading
    openings = study.test_set_openings
    if study.is_grid_or_list and study.readings:
        if openings == 1:
            return (
                f"The test set was opened once, for {_count_all(study)}; nothing was chosen on it."
            )
        return (
            f"The test set was opened {openings} times, each time for the new trials. The study "
            "went on after earlier results were known, but nothing was chosen on them."
        )
    if openings > 1:
        return (
            "The test set was read before, for an earlier champion, so its result was known when "
            "this champion was chosen."
        )
    if reading is None:
        return ""
    if reading.look > 1:
        return f"The test set was opened after the choice. It was the {format_opening(reading)}."
    if reading.overlap:
        return "The test set was opened after the choice."
    return "The test set was opened after the choice and had no influence on it."


def _describe_overlap(summary: Summary) -> list[str]:
    """Return what was seen of the test examples before, in sentences."""
    texts = describe_overlap(summary.reading) if summary.reading else []
    return [f"{text[0].upper()}{text[1:]}." for text in texts]


def _describe_replays(study: StudyRun) -> str:
    """Return which trials were replayed, and whether they gave the recorded result."""
    parts = []
    for outcome, text in REPLAYS.items():
        numbers = [str(run.number) for run in study.trials if run.replay == outcome]
        if numbers:
            parts.append(f"{', '.join(numbers)} {text}")
    return f"Replayed trials: {'; '.join(parts)}." if parts else ""
