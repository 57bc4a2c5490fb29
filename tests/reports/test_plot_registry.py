"""Every plot module is registered, and every registered plot is drawn in its section of a page."""

from __future__ import annotations

import re
import types
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import harness.reports.plots
from harness.analysis.calibration_facts import needs_scaling
from harness.analysis.calibration_record import CalibrationRecord
from harness.analysis.summary import Summary, load_summary
from harness.reports.page import Section
from harness.reports.plots.base import PlotKind
from harness.reports.plots.registry import PLOT_KINDS
from harness.reports.study_page import build_study_page
from harness.stats.calibration import (
    compute_softmax,
    fit_temperature,
    measure_calibration,
    scale_across_folds,
)
from harness.tracking.base import Tracker
from harness.tracking.in_memory import InMemoryTracker
from harness.tracking.types import CALIBRATED_FACT, CONFIRM_FACT, RunRecord, StudyRun
from tests.reports.list_study import make_list_study
from tests.support import regression_table, synthetic_study
from tests.support.folded_study import add_folds

PAGES: dict[str, dict[str, Section]] = {}
"""The sections of a study's page by their names, by the study's uid."""
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
    """Make a search by two objectives with confirmation runs, a list, a regression and folds."""
    search = confirm_champion(synthetic_study.make_study(40, epochs=3))
    table = search.definition["study"] | {"objectives": ["val/accuracy", "parameters"]}
    search = replace(search, definition=search.definition | {"study": table})
    list_study, list_tracker = make_list_study()
    regression_tracker, regression_study = regression_table.make_study()
    return [
        replace(make_summary(search, InMemoryTracker()), calibration=make_calibration()),
        make_summary(list_study, list_tracker),
        make_summary(regression_study, regression_tracker),
        make_summary(add_folds(synthetic_study.make_study(20, epochs=3)), InMemoryTracker()),
    ]


def make_calibration() -> CalibrationRecord:
    """Measure the probabilities of a model that is too certain."""
    rng = np.random.default_rng(0)
    logits = rng.normal(0, 2, (400, 10))
    true = (compute_softmax(logits / 2).cumsum(1) > rng.random((400, 1))).argmax(1)
    return CalibrationRecord(
        run="",
        temperature=fit_temperature(logits, true),
        plain=measure_calibration(compute_softmax(logits), true),
        scaled=measure_calibration(scale_across_folds(logits, true), true),
        plain_threshold=0.02,
        scaled_threshold=0.05,
    )


@pytest.mark.parametrize("metric", ["ece", "log_loss"])
def test_a_temperature_that_does_not_help_is_not_advised(metric: str) -> None:
    record = make_calibration()
    assert needs_scaling(record)
    worse = replace(record.scaled, **{metric: getattr(record.plain, metric) + 0.01})
    assert not needs_scaling(replace(record, scaled=worse))


@pytest.mark.parametrize("calibrated", ["yes", "no"])
def test_calibration_is_one_fact_in_text_and_page(
    calibrated: str, summaries: list[Summary]
) -> None:
    summary = summaries[0]
    facts = {**summary.study.facts, CALIBRATED_FACT: calibrated}
    summary = replace(summary, study=replace(summary.study, facts=facts, uid=calibrated))
    record = summary.calibration
    assert record is not None
    (fact,) = (each for each in summary.facts if each.key == "calibration")
    scores = record.scaled if calibrated == "yes" else record.plain
    assert fact.text.startswith(f"validation ECE {scores.ece:.4f} (95 %: ")
    assert fact.short.startswith(
        f"probabilities are off by {scores.ece:.4f} on average (validation"
    )
    advice = f"; {record.scaled.ece:.4f} with: --set study.calibrated=true"
    assert fact.short.endswith(advice) == (calibrated == "no")
    assert fact.value["calibrated"] == (calibrated == "yes")
    section = build_sections(summary)["calibration"]
    names = {trace.name for trace in section.plots[0].figure.data[1:]}
    expected = {"validation, not scaled", "validation, scaled"}
    assert names == (expected if calibrated == "yes" else {"validation"})
    assert summary.metrics()["calibration/temperature"] == record.temperature
    bins = [each for each in record.plain.bins if each.examples]
    plot = section.plots[0].figure.data[1]
    assert list(plot.y) == [each.accuracy for each in bins]


def build_sections(summary: Summary) -> dict[str, Section]:
    """Build the page once for each study."""
    if summary.study.uid not in PAGES:
        sections = build_study_page(summary).sections
        PAGES[summary.study.uid] = {section.name: section for section in sections}
    return PAGES[summary.study.uid]


def test_every_plot_module_is_registered_once() -> None:
    (folder,) = map(Path, harness.reports.plots.__path__)
    modules = {path.stem for path in folder.glob("*.py")} - HELPERS
    registered = list(map(get_module, PLOT_KINDS))
    assert not modules - set(registered), "add these modules to PLOT_KINDS"
    assert len(registered) == len(set(registered)), "a module is twice in PLOT_KINDS"


@pytest.mark.parametrize("kind", PLOT_KINDS, ids=get_module)
def test_every_registered_plot_is_drawn_in_its_section(
    kind: PlotKind, summaries: list[Summary]
) -> None:
    plots_by_summary = [(summary, plots) for summary in summaries if (plots := kind.build(summary))]
    assert plots_by_summary, "none of the studies has this plot"
    for summary, plots in plots_by_summary:
        sections = build_sections(summary)
        assert kind.section in sections, f"sections: {', '.join(sections)}"
        here = (*sections["verdict"].plots, *sections[kind.section].all_plots)
        names = {plot.name for plot in here}
        for plot in plots:
            assert plot.name in names
            assert plot.title
            assert any(
                len(trace.z if trace.type == "heatmap" else trace.x) for trace in plot.figure.data
            )


@pytest.fixture(scope="module")
def large_study() -> Summary:
    """Make a search of 600 trials."""
    return make_summary(synthetic_study.make_study(600, epochs=3), InMemoryTracker())


@pytest.mark.parametrize("kind", PLOT_KINDS, ids=get_module)
def test_a_scatter_of_trials_identifies_them_and_draws_few(
    kind: PlotKind, large_study: Summary
) -> None:
    for plot in kind.build(large_study):
        traces = [
            each for each in plot.figure.data if each.type == "scatter" and each.mode == "markers"
        ]
        assert sum(len(trace.x) for trace in traces) <= 420, "draw with scatter.add_points"
        for trace in traces:
            if len(trace.x) > 20:
                assert trace.customdata is not None, "draw with scatter.add_points"


def test_plot_names_are_unique_on_a_page(summaries: list[Summary]) -> None:
    for summary in summaries:
        sections = build_sections(summary)
        names = [plot.name for section in sections.values() for plot in section.all_plots]
        assert len(names) == len(set(names)) > 5


def test_the_plot_in_contributing_is_drawn(large_study: Summary) -> None:
    text = (Path(__file__).parents[2] / "CONTRIBUTING.md").read_text()
    (source,) = re.findall(r'```python\n("""The score by .*?)```', text, re.DOTALL)
    module = types.ModuleType("trained_epochs")
    exec(source, module.__dict__)
    (plot,) = module.build_plots(large_study)
    pruned, complete = plot.figure.data
    assert len(pruned.x) + len(complete.x) == 400
    epochs = {run.number: run.epochs[-1].epoch for run in large_study.study.trials if run.epochs}
    assert [epochs[number] for number in complete.customdata] == list(complete.x)
