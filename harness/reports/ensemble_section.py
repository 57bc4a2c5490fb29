"""The section on the ensemble: its gain over the champion, its members and its cost."""

from __future__ import annotations

from harness.analysis.ensemble_facts import describe_choice, describe_cost, describe_result
from harness.analysis.ensemble_record import EnsembleRecord
from harness.analysis.summary import Summary
from harness.reports.page import Section, TrialRow, TrialTable


def build_ensemble_sections(summary: Summary) -> list[Section]:
    """Return the section; none without an ensemble."""
    record = summary.ensemble
    if record is None:
        return []
    score, name = summary.study.score.tested, summary.study.name
    sentences = [
        describe_result(record, score, summary.study.test_name),
        describe_choice(record, score),
        describe_cost(record),
        f"the ensemble was not exported ({record.problem})"
        if record.problem
        else f"load it as {summary.ensemble_uri}, or use: harness predict {name} --ensemble",
    ]
    return [
        Section(
            name="ensemble",
            title="Ensemble",
            text="The ensemble predicts the weighted mean of its members' predictions. Each step "
            "added the trial that made the mean best on one half of the validation set (Caruana "
            "et al. 2004). Both halves also ranked the trials, so "
            "compare these scores only with the champion's.",
            template="trial_table",
            values={
                "paragraphs": [f"{each[0].upper()}{each[1:]}." for each in sentences],
                "table": _build_table(summary, record),
            },
        )
    ]


def _build_table(summary: Summary, record: EnsembleRecord) -> TrialTable:
    runs = {run.uid: run for run in summary.study.trials}
    rows = []
    for member in record.members:
        run = runs[member.uid]
        cells = (
            f"{member.number} · {run.spec.describe()}",
            f"{member.weight:.1%}",
            summary.study.score.format_value(run.score) if run.best else "",
            f"{run.parameters:,}",
        )
        rows.append(TrialRow((member.number,), cells))
    return TrialTable(("trial", "weight", "validation", "parameters"), tuple(rows))
