"""The decisions of a race for the confirmation runs, as they are recorded in race.json."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from harness.analysis.fact import Fact
from harness.analysis.formatting import format_count
from harness.stats.racing import MIN_SPLITS, Look, Race
from harness.tracking.predictions import damage_as_store_error
from harness.tracking.raw_types import RACE_FILE
from harness.tracking.types import StudyRun

if TYPE_CHECKING:
    from harness.tracking.base import Tracker

ENDINGS = {"budget": "the budget is spent", "room": "there is no room for another split"}


@dataclass(frozen=True)
class RaceRecord:
    """A race that has ended."""

    race: Race
    budget: int
    """The most runs."""

    def describe(self) -> str:
        """Return how many runs it took, what was dropped, and whether the best is clear."""
        race, settings = self.race, len(self.race.looks[0].ranked)
        parts = [f"{race.runs} of at most {format_count(self.budget, 'run')}"]
        for splits, look in enumerate(race.looks, MIN_SPLITS):
            for dropped, why in (
                (look.worse, "clearly worse"),
                (look.failed, "training failed"),
            ):
                if dropped:
                    are = "was" if len(dropped) == 1 else "were"
                    parts.append(
                        f"{len(dropped)} of {settings} settings {are} dropped after {splits} "
                        f"splits ({why})"
                    )
        last = race.looks[-1].tied
        left = self._count_left_behind()
        if left:
            are = "was" if left == 1 else "were"
            parts.append(f"{left} {are} not trained further, but not clearly worse")
        if len(last) == 1 and not left:
            parts.append(f"trial {last[0]} is the best")
        elif len(last) == 1:
            parts.append(f"trial {last[0]} is the best of those trained to the end")
        else:
            parts.append(f"{_name_trials(last)} are still tied, and {ENDINGS[str(race.ending)]}")
        return "; ".join(parts)

    def to_dict(self) -> dict[str, Any]:
        return {**asdict(self.race), "budget": self.budget}

    @classmethod
    def from_json(cls, content: bytes) -> RaceRecord:
        """Read the file. Raises ValueError, KeyError or TypeError for a damaged one."""
        document = json.loads(content)
        looks = tuple(
            Look(tuple(each["ranked"]), tuple(each["worse"]), tuple(each["failed"]))
            for each in document["looks"]
        )
        if not looks:
            raise ValueError("it has no looks")
        return cls(Race(looks, (), document["runs"], document["ending"]), document["budget"])

    def _count_left_behind(self) -> int:
        looks = self.race.looks
        return sum(len(look.tied) - len(after.ranked) for look, after in pairwise(looks))


def load_race(tracker: Tracker, study: StudyRun) -> RaceRecord | None:
    """Return the study's race; None without one."""
    content = tracker.read_file(study.run_id, RACE_FILE) if study.is_raced else None
    if not content:
        return None
    with damage_as_store_error(RACE_FILE):
        return RaceRecord.from_json(content)


def build_race_fact(race: RaceRecord | None) -> Fact:
    """Return the fact of the summary."""
    text = race.describe() if race else ""
    return Fact("race", "raced", text, text, race and race.to_dict())


def _name_trials(numbers: Sequence[int]) -> str:
    *first, last = map(str, numbers)
    return f"trials {', '.join(first)} and {last}"
