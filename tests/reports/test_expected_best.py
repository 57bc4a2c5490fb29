"""The plot of the expected best of n trials: its contents and its place in the report."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from harness.analysis.expected_best import compute_expected_best
from harness.analysis.summary import load_summary
from harness.reports.plots.expected_best import describe_expected_best, draw_expected_best
from harness.reports.study_page import build_study_page
from harness.tracking.in_memory import InMemoryTracker
from tests.reports.list_study import make_list_study
from tests.support import synthetic_study


def test_the_figure_has_the_mean_its_band_and_the_running_best() -> None:
    expected = compute_expected_best(synthetic_study.make_study(60, epochs=3))
    assert expected is not None
    figure = draw_expected_best(expected)
    low, high, running_best, mean, sufficient = figure.data
    steps = tuple(range(1, expected.trials + 1))
    assert low.x == high.x == running_best.x == mean.x == steps
    assert (low.y, high.y, running_best.y, mean.y) == (
        expected.low,
        expected.high,
        expected.running_best,
        expected.mean,
    )
    assert (sufficient.x, sufficient.y) == (
        (expected.sufficient_trials,),
        (expected.mean[expected.sufficient_trials - 1],),
    )
    assert figure.layout.xaxis.tickvals[-1] == expected.trials
    (line,) = figure.layout.shapes
    assert line.y0 == expected.best - expected.tolerance
    bottom, top = figure.layout.yaxis.range
    assert bottom < line.y0 < expected.best < top
    assert all(trace.customdata is None for trace in figure.data), "no point belongs to a trial"
    assert (
        f"{expected.sufficient_trials} drawn at random are expected within"
        in describe_expected_best(expected)
    )


def test_the_tolerance_of_a_loss_is_above_the_best() -> None:
    study = synthetic_study.make_study(60, epochs=3)
    table = study.definition["study"] | {"objective": "val/loss"}
    expected = compute_expected_best(replace(study, definition=study.definition | {"study": table}))
    assert expected is not None
    figure = draw_expected_best(expected)
    assert figure.layout.shapes[0].y0 == expected.best + expected.tolerance
    assert figure.layout.yaxis.title.text == "validation loss"
    assert figure.data[0].y[0] <= figure.data[1].y[0]


def test_only_a_search_has_the_expected_best_plot() -> None:
    for study, has_plot in (
        (synthetic_study.make_study(30, epochs=3), True),
        (make_list_study()[0], False),
    ):
        champion = study.rank_trials()[0]
        summary = load_summary(study, champion, InMemoryTracker(), Path("r.html"), "sqlite:///x.db")
        (section,) = (each for each in build_study_page(summary).sections if each.name == "course")
        assert ("expected" in [plot.name for plot in section.plots]) == has_plot
        assert ("best of n" in dict(summary.lines)) == has_plot
