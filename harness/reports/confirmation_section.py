"""The section on confirmation runs: the best settings, trained again with fresh seeds."""

from __future__ import annotations

from harness.analysis.confirmation import ConfirmedSetting, rank_confirmed_settings
from harness.analysis.summary import Summary
from harness.reports.page import Section, TrialRow, TrialTable
from harness.reports.plots.registry import build_section_plots


def build_confirmation_sections(summary: Summary) -> list[Section]:
    """Return the section; none for a grid or list, or without confirmation runs."""
    settings = rank_confirmed_settings(summary.study)
    if not settings:
        return []
    paragraphs = [_describe_winner(summary, settings)]
    if summary.selection_bias is not None:
        bias = summary.selection_bias.describe(summary.study.test_name)
        paragraphs.append(f"Selection bias: {bias}.")
    return [
        Section(
            name="confirm",
            title="Confirmation with fresh seeds",
            text="Choosing the best of many scores also selects for luck. Therefore the best "
            "settings were trained again on the same examples, with seeds that had no part in the "
            "choice.",
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
            score.format_value(trial.best.score) if trial.best else "",
            str(setting.validation),
            f"{count}{failed}",
            f"{trial.parameters:,}",
            f"seed {model_run.spec.seed}" if model_run.number == trial.number else "",
        )
        rows.append(TrialRow((trial.number,), cells))
    columns = ("trial", "in the search", "over fresh seeds", "seeds", "parameters", "kept model")
    return TrialTable(columns, tuple(rows))


def _describe_winner(summary: Summary, settings: list[ConfirmedSetting]) -> str:
    winner = settings[0]
    ranked = [run.number for run in summary.study.rank_trials()]
    number = summary.champion.number
    rank = ranked.index(number) + 1 if number in ranked else 0
    text = f"Trial {winner.trial.number} has the best mean, {winner.validation}"
    if rank > 1:
        text += f"; in the search it was number {rank}"
    return f"{text}."
