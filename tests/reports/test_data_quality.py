"""The report's data section: its text, table and class balance plot."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from harness.analysis.data_quality import (
    compute_data_metrics,
    data_quality_to_facts,
    read_data_quality,
)
from harness.analysis.summary import Summary, load_summary
from harness.data.leakage import Duplicates, SplitContents
from harness.reports import data_section
from harness.reports.plots import data_quality
from harness.reports.study_page import build_study_page
from harness.tracking.in_memory import InMemoryTracker
from harness.tracking.types import StudyRun
from tests.support import synthetic_study


@pytest.fixture(scope="module")
def study() -> StudyRun:
    return synthetic_study.make_study(3, epochs=2)


def make_summary(study: StudyRun) -> Summary:
    champion = study.rank_trials()[0]
    return load_summary(study, champion, InMemoryTracker(), Path("r.html"), "http://h/")


def test_duplicates_are_described(study: StudyRun) -> None:
    quality = read_data_quality(study)
    assert quality is not None
    assert data_section.describe_duplicates(study, quality) == [
        "12 of 10,000 test examples also occur in the training set (3 with another label). They "
        "can change test accuracy by at most 0.12 points. 1 of 10,000 test examples also occurs in "
        "the validation set. 0 of 6,000 validation examples also occur in the training set. Set "
        "[data] drop_duplicates = true to drop them from the training set.",
        "43 training examples are copies of another training example (5 of them have copies with "
        "different labels).",
    ]
    none = Duplicates(0, 0)
    clean = replace(quality, duplicates=dict.fromkeys(quality.duplicates, none))
    assert (
        data_section.describe_duplicates(study, clean)[1] == "No two training examples are equal."
    )
    assert "drop" not in data_section.describe_duplicates(study, clean)[0]
    assert (
        "9 training examples that also occur in the validation or test set were dropped."
        in data_section.describe_duplicates(study, replace(clean, dropped=9))[0]
    )


def test_the_table_has_one_row_per_split(study: StudyRun) -> None:
    quality = read_data_quality(study)
    assert quality is not None
    head, train, _, test = data_section.build_data_table(study, quality)
    assert head[0] == "set"
    assert train[:4] == ["train", "54,000", "Ankle boot: 4,320", "T-shirt/top: 6,480"]
    assert len(test) == 4

    def format_counts(*by_class: int) -> list[str]:
        parts = dict(quality.parts) | {"test": SplitContents(30, by_class, "x")}
        return data_section.build_data_table(study, replace(quality, parts=parts))[3][2:4]

    assert format_counts(*[3] * 10) == ["all: 3", "all: 3"]
    assert format_counts(2, 2, 2, *[4] * 6, 5) == [
        "T-shirt/top and 2 more: 2 each",
        "Ankle boot: 5",
    ]


def test_bars_are_the_class_shares_of_each_split(study: StudyRun) -> None:
    quality = read_data_quality(study)
    assert quality is not None
    figure = data_quality.draw_class_balance(data_quality.compute_class_balance(study, quality))
    assert [trace.name for trace in figure.data] == ["train", "validation", "test"]
    for trace, split in zip(figure.data, quality.parts.values(), strict=True):
        assert list(trace.x) == [n / split.examples for n in split.by_class]
        assert sum(trace.x) == pytest.approx(1)
    assert list(figure.layout.yaxis.ticktext) == list(study.classes)


@pytest.mark.parametrize("count", [200, 5000])
def test_many_classes_are_a_folded_table(count: int) -> None:
    classes = [f"class {number}" for number in range(count)]
    study = synthetic_study.make_study(1, epochs=2, classes=classes[:2])
    many_classes = replace(
        study,
        classes=tuple(classes),
        facts=study.facts | data_quality_to_facts(synthetic_study.make_data_quality(count)),
    )
    section = data_section.build_data_sections(make_summary(many_classes))[0]
    folds = {fold.title: fold for fold in section.folds}
    assert not section.all_plots
    if count == 5000:
        assert list(folds) == ["Hashes"], "too many for the record"
        assert "class 0" not in str(section.values["table"])
    else:
        head, *rows = folds["Examples of each class"].values["table"]
        assert head == ["class", "train", "validation", "test"]
        assert sorted(name for name, *_ in rows) == sorted(classes)
        examples = [int(row[1].replace(",", "")) for row in rows]
        assert examples == sorted(examples), "the rarest class first"


def test_few_classes_are_a_folded_chart_and_hashes_a_folded_table(study: StudyRun) -> None:
    (section,) = data_section.build_data_sections(make_summary(study))
    assert not section.plots
    by_class, hashes = section.folds
    assert [plot.name for plot in by_class.plots] == ["balance"]
    assert not by_class.values["table"], "the chart has these numbers"
    quality = read_data_quality(study)
    assert quality is not None
    assert hashes.values["table"][1:] == [[name, p.digest] for name, p in quality.parts.items()]


def test_a_record_without_split_facts_has_no_data_section(study: StudyRun) -> None:
    def list_sections(record: StudyRun) -> list[str]:
        return [section.name for section in build_study_page(make_summary(record)).sections]

    older = {name: text for name, text in study.facts.items() if name != "splits"}
    assert list_sections(replace(study, facts=older)) == [
        n for n in list_sections(study) if n != "data"
    ]
    assert "data" in list_sections(study)


def test_a_regression_study_has_targets_instead_of_classes(study: StudyRun) -> None:
    quality = read_data_quality(study)
    assert quality is not None
    parts = {name: replace(part, by_class=()) for name, part in quality.parts.items()}
    bare = replace(
        study, classes=(), facts=study.facts | data_quality_to_facts(replace(quality, parts=parts))
    )
    reread = read_data_quality(bare)
    assert reread == replace(quality, parts=parts)
    assert read_data_quality(replace(study, facts=bare.facts)) is None, (
        "classes without their counts"
    )
    assert data_section.build_data_table(bare, reread)[:2] == [
        ["set", "examples"],
        ["train", "54,000"],
    ]
    between, within = data_section.describe_duplicates(bare, reread)
    assert "also occur in the training set (3 with another target)" in between
    assert "accuracy" not in between
    assert within.endswith("(5 of them have copies with different targets).")
    assert not any("imbalance" in name for name in compute_data_metrics(bare))
    (section,) = data_section.build_data_sections(make_summary(bare))
    assert not section.all_plots
