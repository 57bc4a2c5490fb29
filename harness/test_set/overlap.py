"""How much of a test set was seen before: in earlier test sets and training sets of the folder.

Examples are compared one by one, by `harness.data.example_hashes`. So it does not matter how a
dataset is split, ordered, labelled or stored.

In some tables equal rows are common: they occur in the study's own training set as well. Such rows
cannot show that a test set was seen, and only the others are compared. Some of these are equal by
chance too, unless nearly all of them are in the earlier split, which then has the same source. If
too few are left, only the source's files are compared.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.data.example_hashes import ExampleSet, compute_near_share, find_equal
from harness.errors import StoreError
from harness.test_set.example_files import load_examples

REPEATED_SHARE = 0.1
"""An earlier opening counts if its test set has more than this share of the examples."""
MIN_SHARE = 0.01
"""A smaller share is not worth a sentence."""
MIN_COMPARABLE, MIN_COMPARABLE_SHARE = 20, 0.5
"""The number or the share of a test set's distinct examples that its training set must lack."""
SAME_SOURCE_SHARE = 0.9
"""An earlier split that has more of the comparable examples is one of the same source."""
MAX_NEAR = 10
"""The latest other splits that are searched for near-duplicates; older ones for equal examples."""
MAX_SENTENCES = 3


@dataclass(frozen=True)
class DatasetParts:
    """The examples that a study trains, validates and tests with, without their labels."""

    test: ExampleSet
    training: ExampleSet
    """The training and the validation set."""
    source: str
    """The digest of the source's files."""

    @property
    def copies(self) -> int:
        """The test examples that are copies of another test example.

        It is 0 where equal examples are common: there, they are no copies but repeat by nature.
        """
        common = find_equal(self.test, self.training).mean()
        is_copied = self.test.copies / self.test.examples > common
        return self.test.copies if is_copied else 0


@dataclass(frozen=True)
class EarlierSplit:
    """A split of data in the log, which one or several studies were trained on."""

    test: str
    """The name of the file of its test set's examples."""
    training: str
    source: str
    study: str
    """The first study that opened it, or was trained on it."""
    time: float
    openings: int
    """0 if its test set was never opened."""
    others: int = 0
    """The number of other studies that opened it; if none did, that were trained on it."""
    log: str = ""
    """The name of its log."""


@dataclass(frozen=True)
class Overlap:
    """The share of a test set that an earlier split has, as shares of its comparable examples."""

    split: EarlierSplit
    test: float
    """In its test set, if that was opened."""
    training: float
    """In its training or validation set."""
    near: float
    """Of `test`, the share of near-duplicates."""
    by_chance: float = 0.0
    """The share that may be equal by chance."""
    is_same_source: bool = False
    """Whether only the source's files could be compared, and are the same."""
    problem: str = ""
    """Why the examples could not be compared."""

    @property
    def is_repeated(self) -> bool:
        """Whether openings of that test set count as openings of this one."""
        is_seen = self.test > REPEATED_SHARE + self.by_chance or self.is_same_source
        return bool(self.split.openings) and is_seen

    def describe(self) -> str:
        """`20 % of these test examples were in the test set that 'a' opened on 2026-01-31`."""
        day, who = time.strftime("%Y-%m-%d", time.localtime(self.split.time)), self.split.study
        if self.split.others:
            who += f" and {self.split.others} other{'s' if self.split.others > 1 else ''}"
        if self.problem:
            return f"not compared with the split of {who} ({day}): {self.problem}"
        if self.is_same_source:
            return (
                f"the same data was split before, by {who} ({day}); its rows repeat, so it is "
                "unknown which of these test examples were seen"
            )
        parts = []
        if self.test >= MIN_SHARE:
            near = f" ({format_share(self.near)} nearly equal)" if self.near >= MIN_SHARE else ""
            parts.append(
                f"{format_share(self.test)} of these test examples were in the test set that {who} "
                f"opened on {day}{near}"
            )
        if self.training >= MIN_SHARE:
            of = "" if parts else " of these test examples"
            parts.append(f"{format_share(self.training)}{of} were training examples of {who}")
        return "; ".join(parts)


def find_overlaps(
    parts: DatasetParts, earlier: Sequence[EarlierSplit], folder: Path
) -> list[Overlap]:
    """Return the overlap with each earlier split, the latest first, if there is any."""
    common = find_equal(parts.test, parts.training)
    comparable = parts.test.select(~common)
    enough = min(MIN_COMPARABLE, MIN_COMPARABLE_SHARE * len(parts.test))
    usual = compute_near_share(comparable, parts.training) if earlier else 0.0
    overlaps = []
    for index, split in enumerate(sorted(earlier, key=lambda split: -split.time)):
        allowed = usual if index < MAX_NEAR else None
        if len(comparable) >= enough:
            overlap = _compare_examples(
                comparable, split, folder, parts.training.name, allowed, float(common.mean())
            )
        else:
            overlap = _compare_sources(parts, split)
        share = max(overlap.test - overlap.by_chance, overlap.training - overlap.by_chance)
        if overlap.is_repeated or overlap.problem or share >= MIN_SHARE:
            overlaps.append(overlap)
    return overlaps


def count_repeated(overlaps: Sequence[Overlap]) -> int:
    """Return how many earlier openings count as openings of this test set.

    Test sets that share less than REPEATED_SHARE each, and more together, count as one.
    """
    repeated = sum(each.split.openings for each in overlaps if each.is_repeated)
    small = [each.test - each.by_chance for each in overlaps if not each.is_repeated]
    return repeated + (sum(share for share in small if share > 0) > REPEATED_SHARE)


def describe_overlaps(overlaps: Sequence[Overlap]) -> tuple[str, ...]:
    """Return a sentence for each of the largest, and one for the others."""
    ranked = sorted(overlaps, key=lambda each: (-each.is_repeated, -each.test, -each.training))
    sentences = [each.describe() for each in ranked[:MAX_SENTENCES]]
    if more := len(ranked) - len(sentences):
        others = "1 other split overlaps" if more == 1 else f"{more} other splits overlap"
        sentences.append(f"{others} too")
    return tuple(sentences)


def format_share(share: float) -> str:
    """`all`, `over 99 %`, `20 %`, `under 1 %`."""
    if share >= 1 - 1e-9:
        return "all"
    if share > 0.99:
        return "over 99 %"
    return f"{100 * share:.0f} %" if share >= MIN_SHARE else "under 1 %"


def _compare_sources(parts: DatasetParts, split: EarlierSplit) -> Overlap:
    """Return the overlap by the source's files, where equal examples are common."""
    is_same = split.source == parts.source and bool(split.openings)
    if is_same and split.test == parts.test.name:
        return Overlap(split, 1.0, 0.0, 0.0)
    return Overlap(split, 0.0, 0.0, 0.0, is_same_source=is_same)


def _compare_examples(
    examples: ExampleSet,
    split: EarlierSplit,
    folder: Path,
    training: str,
    usual: float | None,
    common: float,
) -> Overlap:
    """Return the overlap by the hashes of the examples.

    Args:
        training: The name of the own training set.
        usual: See `_compare`.
        common: The share of the test set that the own training set has.
    """
    try:
        tested = load_examples(folder, split.test)
        trained = load_examples(folder, split.training)
    except StoreError as error:
        return Overlap(split, 0.0, 0.0, 0.0, problem=str(error))
    equal, near = _compare(examples, tested, usual)
    in_training = 0.0 if split.training == training else sum(_compare(examples, trained, usual))
    is_same = equal + near + in_training > SAME_SOURCE_SHARE
    if not split.openings:
        equal = near = 0.0
    return Overlap(split, equal + near, in_training, near, 0.0 if is_same else common)


def _compare(examples: ExampleSet, others: ExampleSet, usual: float | None) -> tuple[float, float]:
    """Return the shares of equal examples and of near-duplicates.

    `usual` is the share of near-duplicates in the own training set, which is subtracted; None
    leaves near-duplicates out.
    """
    same = find_equal(examples, others)
    equal, rest = float(same.mean()), examples.select(~same)
    if usual is None or not len(rest):
        return equal, 0.0
    near = max(0.0, compute_near_share(rest, others) - usual)
    return equal, near * (1 - equal)
