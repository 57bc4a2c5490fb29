"""`harness compare`: two trials or more beside one another, whichever studies they are of."""

from __future__ import annotations

import string
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from harness.analysis.lookup import find_trial
from harness.analysis.paired_tests import Paired, paired, read_predictions
from harness.errors import UserError
from harness.results import EpochMetrics
from harness.stats.proportions import LEVEL, holm
from harness.system.terminal import escape
from harness.tracking.types import CONFIRM_INFIX, RunRecord, StudyRun, TestReading

if TYPE_CHECKING:
    from harness.tracking.base import Tracker


@dataclass(frozen=True)
class Side:
    """One of those that are compared."""

    letter: str
    study: StudyRun
    run: RunRecord

    @property
    def name(self) -> str:
        """`STUDY/12`; by its run's id where it stands alone, for they all have the number 0."""
        alone = self.study.run_id == self.run.run_id
        seed = f" (seed {self.run.spec.seed})" if CONFIRM_INFIX in self.run.uid else ""
        which = self.run.run_id[:8] if alone else self.run.number
        return f"{escape(self.study.name)}/{which}{seed}"

    @property
    def best(self) -> EpochMetrics:
        assert self.run.best is not None  # else `compare` refused it
        return self.run.best

    @property
    def state(self) -> str:
        """`pruned after 4 of 12 epochs`."""
        trained, budget = self.run.epochs[-1].epoch, self.run.spec.epochs
        return f"{self.run.state.lower()} after {trained} of {budget} epochs"

    @property
    def reading(self) -> TestReading | None:
        """Of the test set, where it was opened for this very trial."""
        return self.study.find_reading(self.run)

    @property
    def settings(self) -> dict[str, str]:
        """Everything that determines the result, as text: the trial's own and the data's."""
        own = {name: _text(value) for name, value in self.run.spec.to_dict().items()}
        data = {f"data.{key}": str(v) for key, v in self.study.definition.get("data", {}).items()}
        return own | data | {"split": self.study.facts.get("split_hash", "unknown")[:12]}


@dataclass(frozen=True)
class Comparison:
    """`against_first` has one entry for each side but the first: None where they cannot be paired.

    `p` are the p-values of McNemar's test, or a regression's sign-flip test, adjusted by Holm.
    """

    sides: tuple[Side, ...]
    against_first: tuple[Paired | None, ...]
    p: tuple[float | None, ...]

    @property
    def differing(self) -> dict[str, tuple[str, ...]]:
        """The settings that differ somewhere, each side's value."""
        found = {}
        for name in dict.fromkeys(key for side in self.sides for key in side.settings):
            values = tuple(side.settings.get(name, "") for side in self.sides)
            if len(set(values)) > 1:
                found[name] = values
        return found

    @property
    def lines(self) -> list[tuple[str, str]]:
        """(label, text) pairs for a terminal."""
        lines = []
        for side in self.sides:
            said = f"{side.name}: {side.run.spec.describe()}; validation "
            found = side.study.score.format_score(side.run, full=True)
            ended = "" if side.run.state == "COMPLETE" else f", {side.state}"
            lines.append((side.letter, said + found + ended))
        lines += [(name, " | ".join(values)) for name, values in self.differing.items()]
        for index in range(len(self.sides) - 1):
            lines.append((f"A and {self.sides[index + 1].letter}", self.verdict(index)))
        if sum(p is not None for p in self.p) > 1:
            lines.append(("", "the p-values are adjusted for their number, by Holm"))
        return lines

    def verdict(self, index: int) -> str:
        """Whether the side after the first differs from it by more than chance."""
        found, p, letter = self.against_first[index], self.p[index], self.sides[index + 1].letter
        if found is None or p is None:
            return "not tested: not validated on the same examples, or no predictions kept"
        shows = "a difference that shows" if p < LEVEL else "no difference that shows"
        counts = f"A alone has {found.only_first} right, {letter} alone {found.only_second}"
        if found.squares is not None:
            counts = f"A is nearer on {found.only_first}, {letter} on {found.only_second}"
        return f"{shows} on {found.examples:,} examples: {counts} ({found.test} p = {p:.2g})"

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
                    "test_interval": side.reading and side.study.score.compute_interval(side.reading),
                }
                for side in self.sides
            ],
            "differing": self.differing,
            "against_first": [
                found
                and {
                    "examples": found.examples,
                    "only_first": found.only_first,
                    "only_other": found.only_second,
                    "p": p,
                }
                for found, p in zip(self.against_first, self.p, strict=True)
            ],
        }


def compare(tracker: Tracker, names: Sequence[str]) -> Comparison:
    """Compare a study's champion, `STUDY/12` or an MLflow run id, two or more. Raises UserError."""
    if not 2 <= len(names) <= 8:
        raise UserError(f"compare takes two to eight names, not {len(names)}: harness compare A B")
    found = [find_trial(tracker, name) for name in names]
    sides = tuple(
        Side(letter, study, run)
        for letter, (study, run) in zip(string.ascii_uppercase, found, strict=False)
    )
    for index, side in enumerate(sides):
        for earlier in sides[:index]:
            if side.run.run_id == earlier.run.run_id:
                raise UserError(
                    f"{names[index]} and {names[sides.index(earlier)]} are the same trial, "
                    f"{side.name}; name two that differ"
                )
            if (here := side.study.score) != (there := earlier.study.score):
                raise UserError(
                    f"{names[index]} is judged by its {here.full_name}, {names[sides.index(earlier)]} "
                    f"by its {there.full_name}; compare trials that predict the same"
                )
    predictions = [read_predictions(tracker, side.run) for side in sides]
    tested = []
    for side, others in zip(sides[1:], predictions[1:], strict=True):
        same = side.settings["split"] == sides[0].settings["split"]
        tested.append(paired(predictions[0], others) if same else None)
    adjusted = iter(holm([each.p for each in tested if each]))
    return Comparison(
        sides, tuple(tested), tuple(next(adjusted) if each else None for each in tested)
    )


def _text(value: Any) -> str:
    if isinstance(value, list):
        return "-".join(map(str, value)) or "none"
    return f"{value:.6g}" if isinstance(value, float) else str(value)
