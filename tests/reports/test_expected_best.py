"""The figure of the expected best of n: what it draws, and where it stands."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from harness.analysis.expected_best import expected
from harness.analysis.summary import Summary
from harness.reports.plots.expected_best import figure, says
from harness.reports.study_page import report
from harness.tracking.in_memory import InMemoryTracker
from tests.reports.list_study import listed
from tests.support import synthetic_study


def test_it_draws_the_mean_its_band_and_the_real_course() -> None:
    found = expected(synthetic_study.study(60, epochs=3))
    assert found is not None
    made = figure(found)
    low, high, course, mean, enough = made.data
    steps = tuple(range(1, found.trials + 1))
    assert low.x == high.x == course.x == mean.x == steps
    assert (low.y, high.y, course.y, mean.y) == (found.low, found.high, found.course, found.mean)
    assert (enough.x, enough.y) == ((found.enough,), (found.mean[found.enough - 1],))
    assert made.layout.xaxis.tickvals[-1] == found.trials
    (line,) = made.layout.shapes
    assert line.y0 == found.best - found.tolerance
    bottom, top = made.layout.yaxis.range
    assert bottom < line.y0 < found.best < top
    assert all(trace.customdata is None for trace in made.data), "it is of no trial"
    assert f"{found.enough} drawn at random are expected within" in says(found)


def test_a_loss_is_drawn_from_above() -> None:
    study = synthetic_study.study(60, epochs=3)
    table = study.definition["study"] | {"objective": "val/loss"}
    found = expected(replace(study, definition=study.definition | {"study": table}))
    assert found is not None
    made = figure(found)
    assert made.layout.shapes[0].y0 == found.best + found.tolerance
    assert made.layout.yaxis.title.text == "validation loss"
    assert made.data[0].y[0] <= made.data[1].y[0]


def test_a_search_has_it_and_a_list_has_not() -> None:
    for study, has in ((synthetic_study.study(30, epochs=3), True), (listed()[0], False)):
        champion = study.rank_trials()[0]
        verdict = Summary.of(study, champion, InMemoryTracker(), Path("r.html"), "sqlite:///x.db")
        (course,) = (each for each in report(verdict).sections if each.name == "course")
        assert ("expected" in [plot.name for plot in course.plots]) == has
        assert ("best of n" in dict(verdict.lines)) == has
