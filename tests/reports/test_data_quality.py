"""The report's section on the data: words, table and bars of its balance."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from harness.analysis.data_quality import data_metrics, facts_of, fairness_of
from harness.analysis.summary import Summary
from harness.data.leakage import SplitContents, Duplicates
from harness.reports.plots import data_quality
from harness.reports.study_page import report
from harness.tracking.in_memory import InMemoryTracker
from harness.tracking.types import StudyRun
from tests.support import synthetic_study


@pytest.fixture(scope="module")
def study() -> StudyRun:
    return synthetic_study.study(3, epochs=2)


def test_duplicates_in_words(study: StudyRun) -> None:
    found = fairness_of(study)
    assert found is not None
    assert data_quality.said(study, found) == [
        "Of 10,000 test examples 12 stand in training too (3 with another label). They can move "
        "test accuracy by at most 0.12 points. Of 10,000 test examples 1 stands in validation "
        "too. Of 6,000 validation examples none stands in training too. [data] drop_duplicates = "
        "true leaves such examples out of training.",
        "43 training examples are further copies of another one there (5 of a kind that has "
        "several labels).",
    ]
    none = Duplicates(0, 0)
    clean = replace(found, duplicates=dict.fromkeys(found.duplicates, none))
    assert data_quality.said(study, clean)[1] == "No two training examples are equal."
    assert "drop" not in data_quality.said(study, clean)[0]
    assert (
        "9 were dropped from training that"
        in data_quality.said(study, replace(clean, dropped=9))[0]
    )


def test_each_part_in_a_row(study: StudyRun) -> None:
    found = fairness_of(study)
    assert found is not None
    head, train, _, test = data_quality.table(study, found)
    assert head[0] == "part"
    assert train[:4] == ["train", "54,000", "4,320: Ankle boot", "6,480: T-shirt/top"]
    assert test[4] == found.parts["test"].digest

    def counted(*by_class: int) -> list[str]:
        parts = dict(found.parts) | {"test": SplitContents(30, by_class, "x")}
        return data_quality.table(study, replace(found, parts=parts))[3][2:4]

    assert counted(*[3] * 10) == ["3: all", "3: all"]
    assert counted(2, 2, 2, *[4] * 6, 5) == ["2: T-shirt/top and 2 more", "5: Ankle boot"]


def test_bars_are_shares_of_each_part(study: StudyRun) -> None:
    found = fairness_of(study)
    assert found is not None
    drawn = data_quality.figure(data_quality.data(study, found))
    assert [trace.name for trace in drawn.data] == ["train", "validation", "test"]
    for trace, part in zip(drawn.data, found.parts.values(), strict=True):
        assert list(trace.x) == [n / part.examples for n in part.by_class]
        assert sum(trace.x) == pytest.approx(1)
    assert list(drawn.layout.yaxis.ticktext) == list(study.classes)


@pytest.mark.parametrize("count", [200, 5000])
def test_of_many_classes_the_rarest_and_commonest_are_drawn(count: int) -> None:
    classes = [f"class {number}" for number in range(count)]
    study = synthetic_study.study(1, epochs=2, classes=classes[:2])
    whole = replace(
        study,
        classes=tuple(classes),
        facts=study.facts | facts_of(synthetic_study.fairness(count)),
    )
    made = data_quality.sections(whole)[0]
    if count == 5000:
        assert not made.plots, "too many for the record"
        assert "class 0" not in str(made.values["table"])
    else:
        assert "the 15 rarest and the 15 commonest" in made.plots[0].title
        ticks = list(made.plots[0].figure.layout.yaxis.ticktext)
        assert len(ticks) == 30
        assert {"class 0", "class 199"} < set(ticks)


def test_an_older_record_has_no_such_section(study: StudyRun, tmp_path: Path) -> None:
    def titles(of: StudyRun) -> list[str]:
        verdict = Summary.of(of, of.rank_trials()[0], InMemoryTracker(), tmp_path, "http://h/")
        return [section.name for section in report(verdict).sections]

    older = {name: text for name, text in study.facts.items() if name != "splits"}
    assert titles(replace(study, facts=older)) == [n for n in titles(study) if n != "data"]
    assert "data" in titles(study)


def test_a_regression_has_targets_in_the_place_of_classes(study: StudyRun) -> None:
    found = fairness_of(study)
    assert found is not None
    parts = {name: replace(part, by_class=()) for name, part in found.parts.items()}
    bare = replace(study, classes=(), facts=study.facts | facts_of(replace(found, parts=parts)))
    again = fairness_of(bare)
    assert again == replace(found, parts=parts)
    assert fairness_of(replace(study, facts=bare.facts)) is None, "classes without their counts"
    assert data_quality.table(bare, again)[:2] == [
        ["part", "examples", "SHA-256 of inputs and labels"],
        ["train", "54,000", found.parts["train"].digest],
    ]
    between, within = data_quality.said(bare, again)
    assert "12 stand in training too (3 with another target)" in between
    assert "accuracy" not in between
    assert within.endswith("(5 of a kind that has several targets).")
    assert not any("imbalance" in name for name in data_metrics(bare))
    (section,) = data_quality.sections(bare)
    assert not section.plots
