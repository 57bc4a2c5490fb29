"""What the page has of a grid or list beside the rest: its settings, the cost of choosing on test.

A search has neither: its settings differ from trial to trial, and its test set is read for one.
"""

from __future__ import annotations

from harness.analysis.summary import Summary
from harness.reports.page import Section
from harness.reports.plots import seed_variance, test_selection_bias
from harness.reports.plots.style import Plot


def sections(verdict: Summary) -> list[Section]:
    """None for a search."""
    found = seed_variance.data(verdict.study)
    made = [_settings(found)] if found.entries else []
    return made + [section for section in [_luck(verdict)] if section]


def _settings(found: seed_variance.BySetting) -> Section:
    says = (
        f"The best validation {found.score.name} first, with 95 % intervals, which leave out what "
        "another seed would do. A click on a row colours its trials."
    )
    if found.most_seeds > 1:
        says = (
            "Mean ± standard deviation over n seeds (least to most), the best mean validation "
            f"{found.score.name} first. A click on a row colours its trials."
        )
    if found.left_out:
        says += f" Left out, for they are not complete: {found.left_out} of the trials that ended."
    title = "Every trial, by setting"
    if len(found.entries) > seed_variance.SHOWN:
        title += f": the best {seed_variance.SHOWN} of {len(found.entries)}"
    return Section(
        name="settings",
        title="Setting by setting",
        says=says,
        template="rows",
        values={"said": [], "table": seed_variance.table(found)},
        plots=[Plot("settings", title, seed_variance.figure(found), wide=True)],
    )


def _luck(verdict: Summary) -> Section | None:
    found = verdict.luck
    if found is None:
        return None
    names = seed_variance.titles(verdict.study)
    title = "Accuracy on one half of the test examples, less that on the other, in points"
    return Section(
        name="luck",
        title="What choosing on the test set would cost",
        says="Nothing was chosen by the test set. This is what it would have done, computed from "
        "what every trial said of its examples when it was opened.",
        template="rows",
        values={
            "said": [test_selection_bias.says(found)],
            "table": test_selection_bias.table(verdict.study, verdict.champion, names),
        },
        plots=[Plot("luck", title, test_selection_bias.figure(found), wide=True)],
    )
