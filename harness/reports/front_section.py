"""The section on the front of a study with several objectives, from which the user chooses."""

from __future__ import annotations

from harness.analysis.formatting import format_count
from harness.analysis.front import Front, compute_front, name_objective
from harness.analysis.summary import Summary
from harness.reports.page import Section, TrialRow, TrialTable
from harness.reports.plots.registry import build_section_plots


def build_front_sections(summary: Summary) -> list[Section]:
    """Return the section; none for a study with one objective."""
    front = compute_front(summary.study)
    if front is None:
        return []
    first, names = name_objective(front.objectives[0]), front.names
    text = (
        f"The front has {len(front.trials)} of {format_count(front.candidates, 'trial')}: no other "
        f"trial is as good by {names}, and better by one of them. The champion is chosen by "
        f"{first} alone. To use another trial: harness predict "
        f"{summary.study.name}/{front.trials[-1].run.number} FILE.\nThese are validation scores of "
        "one seed, and the best of many are partly luck."
    )
    return [
        Section(
            name="front",
            title=f"Trade-offs: {names}",
            text=text,
            template="trial_table",
            values={"paragraphs": [], "table": _build_table(summary, front)},
            plots=build_section_plots("front", summary),
        )
    ]


def _build_table(summary: Summary, front: Front) -> TrialTable:
    rows = []
    for each in front.trials:
        champion = " (champion)" if each.run.uid == summary.champion.uid else ""
        values = [text.removesuffix(" parameters") for text in front.format_values(each)]
        cells = (f"{each.run.number}{champion}", *values, each.run.spec.describe())
        rows.append(TrialRow((each.run.number,), cells))
    names = [name_objective(name) for name in front.objectives]
    return TrialTable(("trial", *names, "settings"), tuple(rows))
