"""Data leakage and class balance of a study: stored in its tags, as metrics, and in a sentence.

The tags are JSON: `splits` (examples, SHA-256), `duplicates` (examples, and how many of them have
another label) and `balance` (examples of each class). Nothing is counted here, see
harness.data.leakage.
"""

from __future__ import annotations

import json

from harness.analysis.fold_scores import is_reshuffled, name_validation_sets
from harness.analysis.formatting import format_count
from harness.data.leakage import PAIRS, SPLITS, DataQuality, Duplicates, SplitContents
from harness.tracking.types import StudyRun

MAX_TAG_LENGTH = 8000
"""Characters that MLflow accepts in a tag."""


def data_quality_to_facts(quality: DataQuality) -> dict[str, str]:
    """Return the tags by name; `read_data_quality` reads them.

    If the class counts are too long for a tag, only the smallest and the largest are kept.
    """
    splits = quality.parts.items()
    balance = _to_compact_json({name: split.by_class for name, split in splits})
    if len(balance) > MAX_TAG_LENGTH:
        balance = _to_compact_json(
            {
                name: (min(split.by_class), max(split.by_class)) if split.by_class else ()
                for name, split in splits
            }
        )
    duplicates = {
        name: (counts.examples, counts.conflicting) for name, counts in quality.duplicates.items()
    }
    return {
        "splits": _to_compact_json(
            {name: (split.examples, split.digest) for name, split in splits}
        ),
        "duplicates": _to_compact_json(duplicates | {"dropped": quality.dropped}),
        "balance": balance,
    }


def read_data_quality(study: StudyRun) -> DataQuality | None:
    """Read what `data_quality_to_facts` recorded; None for an older record without it.

    With too many classes for a tag, `by_class` has only the smallest and the largest count. It is
    empty for a regression.
    """
    try:
        splits, duplicates, balance = (
            json.loads(study.facts[name]) for name in ("splits", "duplicates", "balance")
        )
        quality = DataQuality(
            {
                name: SplitContents(int(examples), _read_balance(study, balance, name), str(digest))
                for name in SPLITS
                for examples, digest in [splits[name]]
            },
            {
                name: Duplicates(int(examples), int(conflicting))
                for name in (*PAIRS, "train")
                for examples, conflicting in [duplicates[name]]
            },
            int(duplicates["dropped"]),
        )
    except (KeyError, TypeError, ValueError):
        return None
    is_valid = all(
        bool(split.by_class) == bool(study.classes)
        for name, split in quality.parts.items()
        if name != "test"  # its classes are counted when it is opened
    )
    return quality if is_valid else None


def _read_balance(study: StudyRun, balance: dict[str, list[int]], name: str) -> tuple[int, ...]:
    """Return the class counts of a split. Those of the test set are known from its reading.

    Earlier versions recorded them before the opening.
    """
    counts = tuple(map(int, balance[name]))
    if name == "test" and study.classes and not counts and study.readings:
        counts = tuple(sum(row) for row in study.readings[0].confusion)
        if len(balance["train"]) < len(counts):
            return min(counts), max(counts)
    return counts


def compute_data_metrics(study: StudyRun) -> dict[str, float]:
    """Return the study's MLflow metrics of its data; empty for an older record.

    `data/duplicates_train_test` counts the test examples that also occur in the training set,
    `data/conflicting_train_test` those of them that have another label there.
    `data/imbalance_test` is the size of the largest class divided by that of the smallest.
    """
    quality = read_data_quality(study)
    if quality is None:
        return {}
    metrics: dict[str, float] = {"data/dropped": quality.dropped}
    for name, counts in quality.duplicates.items():
        metrics[f"data/duplicates_{name}"] = counts.examples
        metrics[f"data/conflicting_{name}"] = counts.conflicting
    for name, split in quality.parts.items():
        if min(split.by_class, default=0):
            metrics[f"data/imbalance_{name}"] = max(split.by_class) / min(split.by_class)
    return metrics


def describe_data_quality(study: StudyRun) -> str:
    """Return the duplicates between splits in one sentence; empty if there are none.

    `12 of 10,000 test examples also occur in the training set (3 with another label)`.
    """
    quality = read_data_quality(study)
    if quality is None:
        return ""
    parts = [
        describe_overlap(study, quality, pair)
        for pair in PAIRS
        if quality.duplicates[pair].examples
    ]
    if quality.dropped:
        verb = "was" if quality.dropped == 1 else "were"
        dropped = format_count(quality.dropped, "duplicate")
        parts.insert(0, f"{dropped} {verb} dropped from training")
    return "; ".join(parts)


def describe_test_overlap(study: StudyRun) -> str:
    """Return the test examples that also occur in the training set; empty if there are none."""
    quality = read_data_quality(study)
    if quality is None or not quality.duplicates["train_test"].examples:
        return ""
    return describe_overlap(study, quality, "train_test").partition(" (")[0]


def describe_overlap(study: StudyRun, quality: DataQuality, pair: str) -> str:
    """`12 of 10,000 test examples also occur in the training set (3 with another label)`.

    `pair` is one of PAIRS.
    """
    first, second = pair.split("_")
    name = study.test_name if second == "test" else second
    whose = "their fold's" if second == "validation" and study.folds else "the"
    examples, counts = quality.parts[second].examples, quality.duplicates[pair]
    verb = "occurs" if counts.examples == 1 else "occur"
    other = "training" if first == "train" else first
    label = "label" if study.classes else study.score.target or "target"
    conflicting = f" ({counts.conflicting:,} with another {label})" if counts.conflicting else ""
    where = f"{whose} {other} set"
    if first == "validation":
        where = name_validation_sets(study)
    return (
        f"{counts.examples:,} of {format_count(examples, f'{name} example')} also {verb} in "
        f"{where}{conflicting}"
    )


def name_set(study: StudyRun, name: str) -> str:
    """Return the name of a set in tables: what was counted of it.

    `validation, 5 folds` for the sets of all folds together, `train, fold 1` for the first alone.
    """
    if study.folds and name != "test":
        return f"{name}, {f'{study.folds} folds' if name == 'validation' else name_fold(study)}"
    return study.test_name if name == "test" else name


def name_fold(study: StudyRun) -> str:
    """Return the name of the fold whose training set is counted; each trial may have others."""
    return "one fold" if is_reshuffled(study) else "fold 1"


def _to_compact_json(values: object) -> str:
    return json.dumps(values, separators=(",", ":"))
