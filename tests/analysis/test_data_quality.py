"""Data quality as facts that fit a tag, as metrics and as a sentence."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from harness.analysis.data_quality import (
    MAX_TAG_LENGTH,
    compute_data_metrics,
    data_quality_to_facts,
    describe_data_quality,
    read_data_quality,
)
from harness.data.leakage import DataQuality, Duplicates, SplitContents
from harness.data.prepare import PreparedDataset
from harness.sweep.environment import collect_environment
from harness.tracking.mlflow import naming
from harness.tracking.types import StudyRun
from tests.support import synthetic_study

NONE = Duplicates(0, 0)
CLEAN = dict.fromkeys(("train_test", "validation_test", "train_validation"), NONE)


@pytest.fixture(scope="module")
def study() -> StudyRun:
    return synthetic_study.make_study(3, epochs=2)


def record_quality(study: StudyRun, quality: DataQuality) -> StudyRun:
    return replace(study, facts=study.facts | data_quality_to_facts(quality))


def test_recorded_facts_are_read_back(study: StudyRun, digits: PreparedDataset) -> None:
    quality = synthetic_study.make_data_quality(10)
    assert read_data_quality(record_quality(study, quality)) == quality
    sealed = replace(study, facts=collect_environment(digits, "CPU", 1, 1), readings=())
    assert read_data_quality(sealed) == digits.data_quality


def test_the_classes_of_the_test_set_are_counted_when_it_is_opened(
    study: StudyRun, digits: PreparedDataset
) -> None:
    facts = collect_environment(digits, "CPU", 1, 1)
    assert json.loads(facts["balance"])["test"] == []
    sealed = read_data_quality(replace(study, facts=facts, readings=()))
    opened = read_data_quality(replace(study, facts=facts))
    assert sealed is not None
    assert opened is not None
    assert sealed.parts["test"].by_class == ()
    assert opened.parts["test"].by_class == (1000,) * 10
    assert "data/imbalance_test" not in compute_data_metrics(
        replace(study, facts=facts, readings=())
    )


@pytest.mark.parametrize("classes", [2, 256, 1000, 100_000])
def test_facts_fit_a_tag_for_any_number_of_classes(study: StudyRun, classes: int) -> None:
    quality = synthetic_study.make_data_quality(10)
    parts = {
        name: SplitContents(10**9, (*[1] * (classes - 1), 12_345_678), split.digest)
        for name, split in quality.parts.items()
    }
    recorded = record_quality(study, replace(quality, parts=parts))
    assert MAX_TAG_LENGTH == naming.MAX_TAG_LENGTH
    assert (
        max(len(text) for text in data_quality_to_facts(replace(quality, parts=parts)).values())
        <= MAX_TAG_LENGTH
    )
    metrics = compute_data_metrics(recorded)
    assert metrics["data/imbalance_train"] == 12_345_678
    reread = read_data_quality(recorded)
    assert reread is not None
    is_complete = classes < 2000
    assert len(reread.parts["test"].by_class) == (classes if is_complete else 2)


def test_older_and_damaged_records_have_no_metrics_and_no_text(study: StudyRun) -> None:
    good = data_quality_to_facts(synthetic_study.make_data_quality(10))
    for name in good:
        missing = {key: text for key, text in study.facts.items() if key != name}
        for spoilt in (
            missing,
            *(study.facts | {name: text} for text in ("", "{}", "7", "null", '{"train": 3}', "[")),
        ):
            older = replace(study, facts=spoilt)
            assert read_data_quality(older) is None
            assert (compute_data_metrics(older), describe_data_quality(older)) == ({}, "")
    balance = {part: [] for part in json.loads(good["balance"])}
    assert read_data_quality(replace(study, facts=good | {"balance": json.dumps(balance)})) is None


def test_every_count_is_a_metric(study: StudyRun) -> None:
    metrics = compute_data_metrics(study)
    assert metrics["data/duplicates_train_test"] == 12
    assert metrics["data/conflicting_train_test"] == 3
    assert metrics["data/duplicates_validation_test"] == 1
    assert metrics["data/duplicates_train_validation"] == 0
    assert metrics["data/duplicates_train"] == 43
    assert metrics["data/dropped"] == 0
    counts = synthetic_study.make_data_quality(10).parts["test"].by_class
    assert metrics["data/imbalance_test"] == pytest.approx(max(counts) / min(counts))
    quality = synthetic_study.make_data_quality(10)
    empty = replace(quality.parts["test"], by_class=(0, *counts[1:]))
    metrics = compute_data_metrics(
        record_quality(study, replace(quality, parts=dict(quality.parts) | {"test": empty}))
    )
    assert "data/imbalance_test" not in metrics, "a class without examples has no ratio"


def test_the_description_in_the_summary(study: StudyRun) -> None:
    quality = synthetic_study.make_data_quality(10)
    assert describe_data_quality(study) == (
        "12 of 10,000 test examples also occur in the training set (3 with another label); "
        "1 of 10,000 test examples also occurs in the validation set"
    )
    clean = replace(quality, duplicates=CLEAN | {"train": Duplicates(43, 5)})
    assert describe_data_quality(record_quality(study, clean)) == "", (
        "duplicates within the training set are not reported"
    )
    assert describe_data_quality(record_quality(study, replace(clean, dropped=1234))) == (
        "1,234 duplicates were dropped from training"
    )
    data = study.definition["data"] | {"own_test": False}
    stand_in = replace(study, definition=study.definition | {"data": data})
    assert describe_data_quality(stand_in).startswith(
        "12 of 10,000 substitute test examples also occur in the training set"
    )
