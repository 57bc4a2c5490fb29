"""The section on cross-validation: the champion's curve in each fold, and the best trials' scores.

Not called folds: those of a page are its folded parts; see `harness.reports.page.Fold`.
"""

from __future__ import annotations

from harness.analysis.fold_facts import describe_final_model
from harness.analysis.fold_scores import is_reshuffled, read_fold_scores
from harness.analysis.summary import Summary
from harness.reports.page import Section
from harness.reports.plots.registry import build_section_plots

SHOWN_TRIALS = 5
RESHUFFLED = (
    " The folds were drawn again for each trial, so fold 1 has other examples in each trial."
)


def build_folds_sections(summary: Summary) -> list[Section]:
    """Return the section; none without folds."""
    if not summary.study.folds:
        return []
    others = RESHUFFLED if is_reshuffled(summary.study) else ""
    return [
        Section(
            name="folds",
            title="Cross-validation",
            text="Each trial was trained once for each fold, on the examples of the other folds. "
            f"All folds have the same best epoch: that of the trial.{others}\nThe folds' networks "
            "share training examples, so the standard deviation is not a standard error of the "
            "mean.",
            template="table",
            values={"paragraphs": _describe_model(summary), "table": build_folds_table(summary)},
            plots=build_section_plots("folds", summary),
        )
    ]


def build_folds_table(summary: Summary) -> list[list[str]]:
    """Return a row for each of the best trials: its score in each fold, mean and deviation."""
    study = summary.study
    head = ["trial", *(f"fold {number + 1}" for number in range(study.folds)), "mean", "sd"]
    rows = []
    for run in study.rank_trials()[:SHOWN_TRIALS]:
        if (scores := read_fold_scores(study, run)) is not None:
            values = (*scores.values, scores.mean, scores.deviation)
            rows.append([str(run.number), *map(scores.format, values)])
    return [head, *rows] if rows else []


def _describe_model(summary: Summary) -> list[str]:
    text = describe_final_model(summary)
    return [f"The model is {text}."] if text else []
