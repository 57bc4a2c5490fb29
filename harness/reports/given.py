"""What the page has of a grid or list beside the rest: its settings, the cost of choosing on test.

A search has neither: its settings differ from trial to trial, and its test set is read for one.
"""

from __future__ import annotations

from harness.reports import luck, settings
from harness.reports.page import Section
from harness.reports.style import Plot
from harness.verdict import Verdict


def sections(verdict: Verdict) -> list[Section]:
    """None for a search."""
    found = settings.data(verdict.study)
    made = [_settings(found)] if found.entries else []
    return made + [section for section in [_luck(verdict)] if section]


def _settings(found: settings.BySetting) -> Section:
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
    if len(found.entries) > settings.SHOWN:
        title += f": the best {settings.SHOWN} of {len(found.entries)}"
    return Section(
        name="settings",
        title="Setting by setting",
        says=says,
        template="rows",
        values={"said": [], "table": settings.table(found)},
        plots=[Plot("settings", title, settings.figure(found), wide=True)],
    )


def _luck(verdict: Verdict) -> Section | None:
    found = verdict.luck
    if found is None:
        return None
    names = settings.titles(verdict.study)
    title = "Accuracy on one half of the test examples, less that on the other, in points"
    return Section(
        name="luck",
        title="What choosing on the test set would cost",
        says="Nothing was chosen by the test set. This is what it would have done, computed from "
        "what every trial said of its examples when it was opened.",
        template="rows",
        values={
            "said": [luck.says(found)],
            "table": luck.table(verdict.study, verdict.champion, names),
        },
        plots=[Plot("luck", title, luck.figure(found), wide=True)],
    )
