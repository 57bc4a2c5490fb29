"""The section on data quality: duplicates across the sets, class balance, content hashes."""

from __future__ import annotations

from collections.abc import Sequence

from harness.analysis.data_quality import (
    describe_overlap,
    name_fold,
    name_set,
    read_data_quality,
)
from harness.analysis.formatting import format_count
from harness.analysis.summary import Summary
from harness.data.leakage import PAIRS, DataQuality, SplitContents
from harness.reports.page import Fold, Section
from harness.reports.plots.registry import build_section_plots
from harness.tracking.types import StudyRun

MAX_LETTERS = 24
"""Of a class name."""


def build_data_sections(summary: Summary) -> list[Section]:
    """Return the section; none for an older record without these facts."""
    study = summary.study
    quality = read_data_quality(study)
    if quality is None:
        return []
    return [
        Section(
            name="data",
            title="Data quality",
            text="Duplicates are examples whose inputs are equal byte for byte. They were counted "
            "when the data was prepared; of the test set, only counts and hashes were recorded.",
            template="table",
            values={
                "paragraphs": describe_duplicates(study, quality),
                "table": build_data_table(study, quality),
            },
            folds=_build_folds(summary, quality),
        )
    ]


def _build_folds(summary: Summary, quality: DataQuality) -> list[Fold]:
    """Return the examples of each class, as a plot if they are few, and the hashes."""
    plots = build_section_plots("data", summary)
    table = [] if plots else build_class_table(summary.study, quality)
    folds = []
    if plots or table:
        values = {"paragraphs": [], "table": table}
        folds.append(
            Fold(title="Examples of each class", template="table", values=values, plots=plots)
        )
    hashes = [["set", "SHA-256 of inputs and labels"]]
    hashes += [[name_set(summary.study, name), part.digest] for name, part in quality.parts.items()]
    values = {"paragraphs": [], "table": hashes}
    return [*folds, Fold(title="Hashes", template="table", values=values)]


def describe_duplicates(study: StudyRun, quality: DataQuality) -> list[str]:
    """Return a paragraph on duplicates across the sets and one on those within the training set."""
    across = [_to_sentence(describe_overlap(study, quality, pair)) for pair in PAIRS]
    in_test = quality.duplicates["train_test"].examples
    if in_test and study.classes:
        points = 100 * in_test / quality.parts["test"].examples
        across[0] += f" They can change {study.test_name} accuracy by at most {points:.2f} points."
    if quality.dropped:
        across.append(
            f"{format_count(quality.dropped, 'training example')} that also "
            f"{'occurs' if quality.dropped == 1 else 'occur'} in the validation or "
            f"{study.test_name} set {'was' if quality.dropped == 1 else 'were'} dropped."
        )
    elif in_test or quality.duplicates["train_validation"].examples:
        across.append("Set [data] drop_duplicates = true to drop them from the training set.")
    copies = quality.duplicates["train"]
    where = f" in {name_fold(study)}" if study.folds else ""
    within = f"{copies.examples:,} training examples{where} are copies of another training example"
    if copies.conflicting:
        labels = "labels" if study.classes else "targets"
        within += f" ({copies.conflicting:,} of them have copies with different {labels})"
    within = f"{within}." if copies.examples else f"No two training examples{where} are equal."
    return [" ".join(across), within]


def build_data_table(study: StudyRun, quality: DataQuality) -> list[list[str]]:
    """Return a row per set: its size, its rarest and its most common class."""
    classes = ["rarest class", "most common class"] if study.classes else []
    head = ["set", "examples", *classes]
    rows = []
    for name, part in quality.parts.items():
        ends = [min(part.by_class), max(part.by_class)] if part.by_class else []
        rows.append(
            [
                name_set(study, name),
                f"{part.examples:,}",
                *(
                    [_format_class(study.classes, part, n) for n in ends]
                    or ["sealed"] * len(classes)
                ),
            ]
        )
    return [head, *rows]


def build_class_table(study: StudyRun, quality: DataQuality) -> list[list[str]]:
    """Return a row per class with its examples in each set, the rarest in the training set first.

    Empty if the record has no count for each class. The classes of a sealed test set are not
    counted.
    """
    counted = {name: part.by_class for name, part in quality.parts.items() if part.by_class}
    if not counted or any(len(counts) != len(study.classes) for counts in counted.values()):
        return []
    columns = list(counted.values())
    rows = [
        [name, *(f"{counts[index]:,}" for counts in columns)]
        for index, name in sorted(enumerate(study.classes), key=lambda item: columns[0][item[0]])
    ]
    return [["class", *(name_set(study, name) for name in counted)], *rows]


def _format_class(classes: Sequence[str], part: SplitContents, count: int) -> str:
    """Return the class with that many examples, `5: 892`, and how many more have as many."""
    if len(part.by_class) != len(classes):
        return f"{count:,}"
    name, equal = classes[part.by_class.index(count)], part.by_class.count(count)
    if equal == len(classes):
        return f"all: {count:,}"
    short = name if len(name) <= MAX_LETTERS else f"{name[: MAX_LETTERS - 1]}…"
    return short + (f" and {equal - 1} more: {count:,} each" if equal > 1 else f": {count:,}")


def _to_sentence(text: str) -> str:
    return f"{text[0].upper()}{text[1:]}."
