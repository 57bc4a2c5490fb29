"""Compare several trials, of one study or of several: settings, scores, paired tests."""

from __future__ import annotations

import string
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from harness.analysis.formatting import format_count
from harness.analysis.lookup import find_trial
from harness.analysis.paired_tests import PairedTest, read_predictions, run_paired_test
from harness.errors import UserError
from harness.results import EpochMetrics
from harness.stats.proportions import SIGNIFICANCE_LEVEL, adjust_p_values
from harness.system.terminal import align_labels, escape
from harness.tracking.test_reading import TestReading
from harness.tracking.types import CONFIRM_INFIX, RunRecord, StudyRun

if TYPE_CHECKING:
    from harness.tracking.base import Tracker


@dataclass(frozen=True)
class Side:
    """One of the compared trials."""

    letter: str
    """`A` for the first, and so on."""
    study: StudyRun
    run: RunRecord

    @property
    def name(self) -> str:
        """`STUDY/12`, or `STUDY/RUN_ID` for a single run, whose number is always 0."""
        is_single_run = self.study.run_id == self.run.run_id
        seed = f" (seed {self.run.spec.seed})" if CONFIRM_INFIX in self.run.uid else ""
        identifier = self.run.run_id[:8] if is_single_run else self.run.number
        return f"{escape(self.study.name)}/{identifier}{seed}"

    @property
    def best_epoch(self) -> EpochMetrics:
        assert self.run.best is not None  # `compare` rejects a trial without one
        return self.run.best

    def describe_state(self) -> str:
        """`pruned after 4 of 12 epochs`."""
        trained, budget = self.run.epochs[-1].epoch, self.run.spec.epochs
        return f"{self.run.state.lower()} after {trained} of {format_count(budget, 'epoch')}"

    @property
    def reading(self) -> TestReading | None:
        """The test set's result, if it was read for this trial."""
        return self.study.find_reading(self.run)

    @property
    def settings(self) -> dict[str, str]:
        """Everything that determines the result, as text: of the trial and of its data."""
        trial = {name: _format_setting(value) for name, value in self.run.spec.to_dict().items()}
        data = {f"data.{key}": str(v) for key, v in self.study.definition.get("data", {}).items()}
        return trial | data | {"split": self.study.facts.get("split_hash", "unknown")[:12]}


@dataclass(frozen=True, repr=False)
class Comparison:
    """The result of `compare`: each trial but the first is tested against the first."""

    sides: tuple[Side, ...]
    against_first: tuple[PairedTest | None, ...]
    """One entry for each side but the first; None if the two cannot be paired."""
    p_values: tuple[float | None, ...]
    """The p-values of these tests, adjusted for their number."""

    @property
    def differing(self) -> dict[str, tuple[str, ...]]:
        """The settings that are not the same for all sides, with each side's value."""
        differing = {}
        for name in dict.fromkeys(key for side in self.sides for key in side.settings):
            values = tuple(side.settings.get(name, "") for side in self.sides)
            if len(set(values)) > 1:
                differing[name] = values
        return differing

    @property
    def lines(self) -> list[tuple[str, str]]:
        """(label, text) pairs for a terminal."""
        lines = []
        for side in self.sides:
            score = side.study.score.format_score(side.run, full=True)
            state = "" if side.run.state == "COMPLETE" else f", {side.describe_state()}"
            text = f"{side.name}: {side.run.spec.describe()}; validation {score}{state}"
            lines.append((side.letter, text))
        lines += [(name, " | ".join(values)) for name, values in self.differing.items()]
        for index in range(len(self.sides) - 1):
            lines.append((f"A and {self.sides[index + 1].letter}", self.describe_test(index)))
        if sum(p is not None for p in self.p_values) > 1:
            lines.append(("", "the p-values are adjusted for their number, by Holm"))
        return lines

    def describe_test(self, index: int) -> str:
        """Return whether side `index` + 1 differs significantly from the first one."""
        test, p, letter = (
            self.against_first[index],
            self.p_values[index],
            self.sides[index + 1].letter,
        )
        if test is None or p is None:
            return "not tested: not validated on the same examples, or predictions not recorded"
        examples = format_count(test.examples, "example")
        if test.only_first == test.only_second == 0:
            same = "are equally near on each" if test.mean_squared_errors else "have the same right"
            return f"no difference on {examples}: A and {letter} {same}"
        conclusion = (
            "a significant difference" if p < SIGNIFICANCE_LEVEL else "no significant difference"
        )
        counts = f"A alone has {test.only_first} right, {letter} alone {test.only_second}"
        if test.mean_squared_errors is not None:
            counts = f"A is nearer on {test.only_first}, {letter} on {test.only_second}"
        scores = (self.sides[0].study.score, self.sides[index + 1].study.score)
        by = next((score.tested_note for score in scores if score.objective), "")
        return f"{conclusion}{by} on {examples}: {counts} ({test.test_name} p = {p:.2g})"

    def __repr__(self) -> str:
        return align_labels(self.lines)

    def to_dict(self) -> dict[str, Any]:
        return {
            "sides": [
                {
                    "letter": side.letter,
                    "name": side.name,
                    "run_id": side.run.run_id,
                    "state": side.run.state,
                    "validation": side.run.score,
                    "interval": side.study.score.compute_interval(side.run),
                    "test": side.reading and side.reading.score,
                    "test_interval": side.reading
                    and side.study.score.compute_interval(side.reading),
                }
                for side in self.sides
            ],
            "differing": self.differing,
            "against_first": [
                test
                and {
                    "examples": test.examples,
                    "only_first": test.only_first,
                    "only_other": test.only_second,
                    "p": p,
                }
                for test, p in zip(self.against_first, self.p_values, strict=True)
            ],
        }


def compare(tracker: Tracker, names: Sequence[str]) -> Comparison:
    """Compare two to eight trials by name, see `find_trial`.

    Raises:
        UserError: the names are too few or too many, or mean the same trial or different tasks.
        StudyError: a name is unknown.
    """
    if not 2 <= len(names) <= 8:
        raise UserError(f"compare takes two to eight names, not {len(names)}: harness compare A B")
    trials = [find_trial(tracker, name) for name in names]
    sides = tuple(
        Side(letter, study, run)
        for letter, (study, run) in zip(string.ascii_uppercase, trials, strict=False)
    )
    for index, side in enumerate(sides):
        for earlier in sides[:index]:
            if side.run.run_id == earlier.run.run_id:
                raise UserError(
                    f"{names[index]} and {names[sides.index(earlier)]} are the same trial, "
                    f"{side.name}; give two different ones"
                )
            here, there = side.study.score, earlier.study.score
            if here.tested != there.tested:
                raise UserError(
                    f"{names[index]} is scored by {here.full_name}, "
                    f"{names[sides.index(earlier)]} by {there.full_name}; compare trials that "
                    "predict the same"
                )
    predictions = [read_predictions(tracker, side.run) for side in sides]
    tests = []
    for side, side_predictions in zip(sides[1:], predictions[1:], strict=True):
        is_same_split = side.settings["split"] == sides[0].settings["split"]
        test = run_paired_test(predictions[0], side_predictions) if is_same_split else None
        tests.append(test)
    adjusted = iter(adjust_p_values([test.p_value for test in tests if test]))
    p_values = tuple(next(adjusted) if test else None for test in tests)
    return Comparison(sides, tuple(tests), p_values)


def _format_setting(value: Any) -> str:
    if isinstance(value, list):
        return "-".join(map(str, value)) or "none"
    return f"{value:.6g}" if isinstance(value, float) else str(value)
