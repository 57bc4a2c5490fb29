"""How fair the data is, on record: facts that fit a tag, metrics, a sentence."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from harness.analysis.data_quality import LONGEST, data_line, data_metrics, facts_of, fairness_of
from harness.data.leakage import SplitContents, DataQuality, Duplicates
from harness.data.prepare import PreparedDataset
from harness.sweep.environment import collect_environment
from harness.tracking.mlflow.naming import MAX_TAG_LENGTH
from harness.tracking.types import StudyRun
from tests.support import synthetic_study

NONE = Duplicates(0, 0)
CLEAN = dict.fromkeys(("train_test", "validation_test", "train_validation"), NONE)


@pytest.fixture(scope="module")
def study() -> StudyRun:
    return synthetic_study.study(3, epochs=2)


def of(study: StudyRun, found: DataQuality) -> StudyRun:
    return replace(study, facts=study.facts | facts_of(found))


def test_what_goes_on_record_is_read_back(study: StudyRun, digits: PreparedDataset) -> None:
    found = synthetic_study.fairness(10)
    assert fairness_of(of(study, found)) == found
    assert fairness_of(replace(study, facts=collect_environment(digits, "CPU", 1, 1))) == digits.data_quality


@pytest.mark.parametrize("classes", [2, 256, 1000, 100_000])
def test_it_fits_a_tag_however_many_classes_there_are(study: StudyRun, classes: int) -> None:
    found = synthetic_study.fairness(10)
    parts = {
        name: SplitContents(10**9, (*[1] * (classes - 1), 12_345_678), part.digest)
        for name, part in found.parts.items()
    }
    recorded = of(study, replace(found, parts=parts))
    assert LONGEST == MAX_TAG_LENGTH
    assert max(len(text) for text in facts_of(replace(found, parts=parts)).values()) <= LONGEST
    metrics = data_metrics(recorded)
    assert metrics["data/imbalance_train"] == 12_345_678
    read = fairness_of(recorded)
    assert read is not None
    whole = classes < 2000
    assert len(read.parts["test"].by_class) == (classes if whole else 2)


def test_older_and_spoilt_records_say_nothing(study: StudyRun) -> None:
    good = facts_of(synthetic_study.fairness(10))
    for name in good:
        missing = {key: text for key, text in study.facts.items() if key != name}
        for spoilt in (
            missing,
            *(study.facts | {name: text} for text in ("", "{}", "7", "null", '{"train": 3}', "[")),
        ):
            older = replace(study, facts=spoilt)
            assert fairness_of(older) is None
            assert (data_metrics(older), data_line(older)) == ({}, "")
    balance = {part: [] for part in json.loads(good["balance"])}
    assert fairness_of(replace(study, facts=good | {"balance": json.dumps(balance)})) is None


def test_every_count_is_a_metric(study: StudyRun) -> None:
    metrics = data_metrics(study)
    assert metrics["data/duplicates_train_test"] == 12
    assert metrics["data/conflicting_train_test"] == 3
    assert metrics["data/duplicates_validation_test"] == 1
    assert metrics["data/duplicates_train_validation"] == 0
    assert metrics["data/duplicates_train"] == 43
    assert metrics["data/dropped"] == 0
    counts = synthetic_study.fairness(10).parts["test"].by_class
    assert metrics["data/imbalance_test"] == pytest.approx(max(counts) / min(counts))
    found = synthetic_study.fairness(10)
    empty = replace(found.parts["test"], by_class=(0, *counts[1:]))
    metrics = data_metrics(of(study, replace(found, parts=dict(found.parts) | {"test": empty})))
    assert "data/imbalance_test" not in metrics, "a class without examples has no ratio"


def test_the_verdicts_sentence(study: StudyRun) -> None:
    found = synthetic_study.fairness(10)
    assert data_line(study) == (
        "of 10,000 test examples 12 stand in training too (3 with another label); "
        "of 10,000 test examples 1 stands in validation too"
    )
    clean = replace(found, duplicates=CLEAN | {"train": Duplicates(43, 5)})
    assert data_line(of(study, clean)) == "", "what is double within training is no unfairness"
    assert data_line(of(study, replace(clean, dropped=1234))) == (
        "1,234 duplicates were dropped from training"
    )
    data = study.definition["data"] | {"own_test": False}
    stand_in = replace(study, definition=study.definition | {"data": data})
    assert data_line(stand_in).startswith("of 10,000 stand-in examples 12 stand in training too")
