"""The section on confirmation runs: the best settings, trained again on new splits."""

from __future__ import annotations

from harness.analysis.confirmation import ConfirmedSetting, rank_confirmed_settings
from harness.analysis.summary import Summary
from harness.reports.page import Section, TrialRow, TrialTable
from harness.reports.plots.registry import build_section_plots
from harness.tracking.types import CONFIRM_INFIX, RunRecord


def build_confirmation_sections(summary: Summary) -> list[Section]:
    """Return the section; none for a grid or list, or without confirmation runs."""
    settings = rank_confirmed_settings(summary.study)
    if not settings:
        return []
    paragraphs = [_describe_winner(summary, settings)]
    if (corrected := summary.corrected_score) is not None:
        paragraphs.append(
            f"Corrected for selection, the champion's settings reach {corrected.format_value()} on "
            f"new examples ({corrected.examples:,} validation examples). The interval covers the "
            "chance in examples, splits and seeds."
        )
    if summary.race is not None:
        paragraphs.append(f"The settings raced for the runs: {summary.race.describe()}.")
    if summary.contenders is not None:
        paragraphs += [
            f"{_capitalize(line)}." for line in summary.contenders.describe().split("\n")
        ]
    if summary.selection_bias is not None:
        bias = summary.selection_bias.describe(summary.study.test_name)
        paragraphs.append(f"Selection bias: {bias}.")
    return [
        Section(
            name="confirm",
            title=name_confirmation(summary),
            text=_describe_method(summary),
            template="trial_table",
            values={"paragraphs": paragraphs, "table": _build_table(summary, settings)},
            plots=build_section_plots("confirm", summary),
        )
    ]


def _build_table(summary: Summary, settings: list[ConfirmedSetting]) -> TrialTable:
    rows, score, model_run = [], summary.study.score, summary.model_run
    for setting in settings:
        trial, count = setting.trial, len(setting.runs)
        failed = f" of {count + setting.failed}" if setting.failed else ""
        cells = (
            f"{trial.number} · {trial.spec.describe()}",
            score.format_value(trial.score) if trial.best else "",
            str(setting.validation),
            f"{count}{failed}",
            f"{trial.parameters:,}",
            _name_model(model_run) if model_run.number == trial.number else "",
        )
        rows.append(TrialRow((trial.number,), cells))
    mean = "mean, not corrected" if summary.corrected_score else "over fresh seeds"
    columns = ("trial", "in the search", mean, "seeds", "parameters", "kept model")
    return TrialTable(columns, tuple(rows))


def name_confirmation(summary: Summary) -> str:
    """Return the section's title."""
    return f"Confirmation {'on new splits' if summary.corrected_score else 'with fresh seeds'}"


def _describe_method(summary: Summary) -> str:
    if summary.corrected_score:
        return (
            "The best of many scores is partly luck (selection bias). Therefore the best settings "
            "were trained again, each time with another seed and another validation set, drawn "
            "from the training set, by which nothing was chosen."
        )
    return (
        "The best of many scores is partly luck (selection bias). Therefore the best settings were "
        "trained again on the same examples, with seeds that had no part in the choice. The "
        "examples did have a part in it, so these scores are still too good."
    )


def _name_model(run: RunRecord) -> str:
    if CONFIRM_INFIX not in run.uid:
        return "from the search"
    return f"split {run.split}" if run.split else f"seed {run.spec.seed}"


def _capitalize(text: str) -> str:
    return text[:1].upper() + text[1:]


def _describe_winner(summary: Summary, settings: list[ConfirmedSetting]) -> str:
    winner = settings[0]
    ranked = [run.number for run in summary.study.rank_trials()]
    number = summary.champion.number
    rank = ranked.index(number) + 1 if number in ranked else 0
    text = f"Trial {winner.trial.number} has the best mean, {winner.validation}"
    if rank > 1:
        text += f"; in the search it was number {rank}"
    return f"{text}."
