"""Recommendations from the test set's result."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from harness.analysis.confirmation import require_champion
from harness.analysis.summary import Summary, load_summary
from harness.models.baselines import (
    BOOSTED_TREES,
    LINEAR_REGRESSION,
    MEAN_BASELINE,
    BaselineMetrics,
    Baselines,
)
from harness.reports.recommendations import MAX_RECOMMENDATIONS
from harness.reports.study_page import build_study_page
from harness.reports.test_set_recommendations import recommend_from_test_set
from harness.tracking.in_memory import InMemoryTracker
from harness.tracking.test_reading import TestReading
from harness.tracking.types import RunRecord, StudyRun
from tests.support.synthetic_study import make_study


@pytest.fixture(scope="module")
def search() -> Summary:
    return summarize(make_study(20, name="example"))


def summarize(study: StudyRun) -> Summary:
    return load_summary(study, require_champion(study), InMemoryTracker(), Path("p.html"), "s.db")


def read_with_accuracy(
    reading: TestReading | None, accuracy: float, examples: int = 1000
) -> TestReading:
    """Return a reading with this accuracy on `examples` of each class."""
    assert reading is not None
    right, classes = round(examples * accuracy), len(reading.confusion)
    rows = [
        [right if true == column else 0 for column in range(classes)] for true in range(classes)
    ]
    for true, row in enumerate(rows):
        row[true - 1] = examples - right
    return replace(reading, confusion=tuple(map(tuple, rows)))


@pytest.fixture(scope="module")
def regression(search: Summary) -> Summary:
    """The champion has a validation RMSE of 100 and a test RMSE of 110."""
    study = search.study
    data = study.definition["data"] | {"task": "regression", "target": "price"}

    def convert(run: RunRecord) -> RunRecord:
        if run.best is None:
            return run
        best = replace(
            run.best, val_accuracy=None, val_rmse=100.0, val_mae=80.0, val_r2=0.5,
            train_accuracy=None, train_rmse=90.0,
        )  # fmt: skip
        return replace(run, best=best, confusion=(), interval=(90.0, 110.0))

    assert search.reading is not None
    reading = replace(
        search.reading, confusion=(), rmse=110.0, mae=80.0, r2=0.5, interval=(100.0, 120.0)
    )
    definition = study.definition | {"data": data}
    return replace(
        search,
        study=replace(study, definition=definition, classes=()),
        champion=convert(search.champion),
        reading=reading,
    )


def make_baselines(split: str, **rmse: float) -> Baselines:
    names = {"mean": MEAN_BASELINE, "line": LINEAR_REGRESSION, "trees": BOOSTED_TREES}
    metrics = {
        names[key]: BaselineMetrics(value, value, 0.5, (value - 10, value + 10))
        for key, value in rmse.items()
    }
    return Baselines({split: metrics})


@pytest.mark.parametrize(
    ("accuracy", "title"),
    [
        (0.8, "Find out why the test set is harder than the validation set"),
        (0.9, ""),  # beyond chance, but small
        (0.914, ""),
        (0.99, "Find out why the test set is easier than the validation set"),
    ],
)
def test_a_gap_between_validation_and_test_comes_first(
    search: Summary, accuracy: float, title: str
) -> None:
    summary = replace(search, reading=read_with_accuracy(search.reading, accuracy))
    titles = [each.title for each in recommend_from_test_set(summary)]
    assert titles == ([title] if title else [])
    sections = {each.name: each for each in build_study_page(summary).sections}
    section = sections["next"]
    shown = [each.title for each in section.values["recommendations"]]
    assert shown[0] == title or not title
    assert len(shown) <= MAX_RECOMMENDATIONS


def test_few_test_examples_show_no_gap(search: Summary) -> None:
    reading = read_with_accuracy(search.reading, 0.8, examples=1)
    assert recommend_from_test_set(replace(search, reading=reading)) == ()
    assert recommend_from_test_set(replace(search, reading=None)) == ()


def test_a_baseline_that_beats_the_champion_comes_first(regression: Summary) -> None:
    better = make_baselines("test", mean=200.0, line=120.0, trees=109.0)
    (first,) = recommend_from_test_set(replace(regression, baselines=better))
    assert first.title == "Beat gradient-boosted trees first"
    assert first.why == (
        "On the test set, gradient-boosted trees have an RMSE of 109.0 (95 %: 99.0 to 119.0), and "
        "the champion of 110.0 (95 %: 100.0 to 120.0). Their intervals overlap, so the difference "
        "may be chance. Add features, or search more settings; until then, use the simpler model."
    )
    worse = make_baselines("test", mean=200.0, line=120.0, trees=110.0)
    assert recommend_from_test_set(replace(regression, baselines=worse)) == ()
    useless = make_baselines("validation", mean=60.0)
    sealed = replace(regression, baselines=useless, reading=None)
    (first,) = recommend_from_test_set(sealed)
    assert "On the validation set, the training mean has an RMSE of 60.00" in first.why
    assert "overlap" not in first.why
    assert "check the target and the features" in first.why


def test_a_gap_of_a_regression(regression: Summary) -> None:
    assert regression.reading is not None
    reading = replace(regression.reading, rmse=150.0, interval=(130.0, 170.0))
    (first,) = recommend_from_test_set(replace(regression, reading=reading))
    assert first.title == "Find out why the test set is harder than the validation set"
    assert "an RMSE of 100.0 (95 %: 90.0 to 110.0) on the validation set" in first.why
