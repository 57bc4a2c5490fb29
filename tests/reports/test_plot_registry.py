"""Every plot module is registered, and every registered plot is drawn in its section of a page."""

from __future__ import annotations

import re
import types
from dataclasses import replace
from pathlib import Path

import pytest

import harness.reports.plots
from harness.analysis.summary import Summary, load_summary
from harness.reports.plots.base import PlotKind
from harness.reports.plots.registry import PLOT_KINDS
from harness.reports.study_page import build_study_page
from harness.tracking.base import Tracker
from harness.tracking.in_memory import InMemoryTracker
from harness.tracking.types import CONFIRM_FACT, RunRecord, StudyRun
from tests.reports.list_study import make_list_study
from tests.support import regression_table, synthetic_study

HELPERS = {"__init__", "base", "registry", "scatter", "style"}


def get_module(kind: PlotKind) -> str:
    return kind.build.__module__.rpartition(".")[2]


def make_summary(study: StudyRun, tracker: Tracker) -> Summary:
    return load_summary(study, study.rank_trials()[0], tracker, Path("r.html"), "http://h/")


def confirm_champion(study: StudyRun) -> StudyRun:
    """Add confirmation runs of the best trial with two other seeds."""
    trial = study.rank_trials()[0]

    def make_run(seed: int) -> RunRecord:
        spec = replace(trial.spec, seed=seed)
        return replace(trial, uid=f"{trial.uid}/{seed}", spec=spec)

    facts = study.facts | {CONFIRM_FACT: "1 x 2"}
    return replace(study, facts=facts, confirmation_runs=(make_run(1), make_run(2)))


@pytest.fixture(scope="module")
def summaries() -> list[Summary]:
    """Make a search with confirmation runs, a list and a regression study."""
    search = confirm_champion(synthetic_study.make_study(40, epochs=3))
    list_study, list_tracker = make_list_study()
    regression_tracker, regression_study = regression_table.make_study()
    return [
        make_summary(search, InMemoryTracker()),
        make_summary(list_study, list_tracker),
        make_summary(regression_study, regression_tracker),
    ]


def test_every_plot_module_is_registered_once() -> None:
    (folder,) = map(Path, harness.reports.plots.__path__)
    modules = {path.stem for path in folder.glob("*.py")} - HELPERS
    assert sorted(map(get_module, PLOT_KINDS)) == sorted(modules)


@pytest.mark.parametrize("kind", PLOT_KINDS, ids=get_module)
def test_every_registered_plot_is_drawn_in_its_section(
    kind: PlotKind, summaries: list[Summary]
) -> None:
    plots_by_summary = [(summary, plots) for summary in summaries if (plots := kind.build(summary))]
    assert plots_by_summary, "none of the studies has this plot"
    for summary, plots in plots_by_summary:
        sections = {section.name: section for section in build_study_page(summary).sections}
        names = {plot.name for plot in sections[kind.section].plots}
        for plot in plots:
            assert plot.name in names
            assert plot.title
            assert any(
                len(trace.z if trace.type == "heatmap" else trace.x) for trace in plot.figure.data
            )


def test_plot_names_are_unique_on_a_page(summaries: list[Summary]) -> None:
    for summary in summaries:
        sections = build_study_page(summary).sections
        names = [plot.name for section in sections for plot in section.plots]
        assert len(names) == len(set(names)) > 5


def test_the_plot_in_contributing_is_drawn(summaries: list[Summary]) -> None:
    text = (Path(__file__).parents[2] / "CONTRIBUTING.md").read_text()
    (source,) = re.findall(r'```python\n("""How many epochs .*?)```', text, re.DOTALL)
    module = types.ModuleType("trained_epochs")
    exec(source, module.__dict__)
    (plot,) = module.build_plots(summaries[0])
    assert list(plot.figure.data[0].x) == [
        run.epochs[-1].epoch for run in summaries[0].study.trials if run.epochs
    ]
