"""The Pareto front of a study with several objectives, from which the user chooses."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

from harness.analysis.fact import Fact
from harness.analysis.formatting import format_count
from harness.config.limits import COSTS, format_cost
from harness.metrics import OBJECTIVE_NAMES, format_objective, get_sort_sign
from harness.results import Cost, Objective
from harness.tracking.types import RunRecord, StudyRun

FRONT_FILE = "front.json"
"""The file of a study's run with its front."""
FRONT_METRIC = "rank/front"
"""The metric of a trial's run with its place on the front."""
SHOWN = 4
"""Trials of the front that the summary names, evenly over it."""


@dataclass(frozen=True)
class FrontTrial:
    """A trial that no other trial dominates, and the values of its objectives."""

    run: RunRecord
    values: tuple[float, ...]


@dataclass(frozen=True)
class Front:
    """The complete trials within [limits] that no other one of them dominates.

    One trial dominates another if it is as good by every objective and better by one.
    """

    objectives: tuple[Objective | Cost, ...]
    trials: tuple[FrontTrial, ...]
    """The best by the first objective first."""
    candidates: int
    """The number of trials that were compared."""

    @property
    def names(self) -> str:
        """`accuracy and parameters`."""
        *first, last = (name_objective(name) for name in self.objectives)
        return f"{', '.join(first)} and {last}"

    def format_values(self, trial: FrontTrial) -> list[str]:
        """Return each objective's value: `0.9722`, `2,410 parameters`."""
        pairs = zip(self.objectives, trial.values, strict=True)
        return [format_value(name, value) for name, value in pairs]

    def describe(self, trial: FrontTrial) -> str:
        """`trial 5: 0.9722, 2,410 parameters`."""
        return f"trial {trial.run.number}: {', '.join(self.format_values(trial))}"

    def to_dict(self) -> dict[str, Any]:
        """Return the front as JSON has it."""
        return {
            "objectives": list(self.objectives),
            "candidates": self.candidates,
            "trials": [
                {"trial": each.run.number}
                | dict(zip(self.objectives, each.values, strict=True))
                | {"spec": each.run.spec.to_dict()}
                for each in self.trials
            ],
        }

    def to_json(self) -> bytes:
        return json.dumps(self.to_dict(), indent=1).encode()


def compute_front(study: StudyRun) -> Front | None:
    """Return the front; None for a study with one objective, and without a complete trial."""
    names = study.objectives
    if len(names) < 2:
        return None
    candidates = [
        FrontTrial(run, cast(tuple[float, ...], values))
        for run in study.rank_trials()
        if None not in (values := tuple(run.read_objective(name) for name in names))
    ]
    signs = [get_sort_sign(name) for name in names]
    places = find_front(
        [
            [sign * value for sign, value in zip(signs, each.values, strict=True)]
            for each in candidates
        ]
    )
    trials = tuple(candidates[place] for place in places)
    return Front(names, trials, len(candidates)) if trials else None


def find_front(costs: Sequence[Sequence[float]]) -> list[int]:
    """Return the places of the costs that no others dominate, the lowest first cost first.

    Of equal costs, all or none are returned. Only costs that come before others in the order of
    the dictionary can dominate them, so each is compared with the front so far.
    """
    front: list[int] = []
    for place in sorted(range(len(costs)), key=lambda place: (*costs[place], place)):
        if not any(_dominates(costs[other], costs[place]) for other in front):
            front.append(place)
    return front


def _dominates(one: Sequence[float], other: Sequence[float]) -> bool:
    """Return whether costs are nowhere higher than others, and lower somewhere."""
    return all(a <= b for a, b in zip(one, other, strict=True)) and list(one) != list(other)


def name_objective(name: Objective | Cost) -> str:
    """`accuracy`, `parameters`."""
    return name if name in COSTS else OBJECTIVE_NAMES[cast(Objective, name)]


def format_value(name: Objective | Cost, value: float) -> str:
    """`0.9722`, `2,410 parameters` or `0.0368 ms`."""
    if name in COSTS:
        return format_cost(name, value)
    return format_objective(value, cast(Objective, name))


def build_front_fact(study: StudyRun, champion: RunRecord) -> Fact:
    """Return the fact of the summary; without text for a study with one objective."""
    front = compute_front(study)
    if front is None:
        return Fact("front", value=None)
    first = name_objective(front.objectives[0])
    is_on_front = any(each.run.uid == champion.uid for each in front.trials)
    count = f"{len(front.trials)} of {format_count(front.candidates, 'trial')}"
    others = f"{count} by {front.names}; the champion is chosen by {first} alone"
    others += "" if is_on_front else ", and is not on the front"
    lines = [front.describe(each) for each in front.trials]
    steps = min(SHOWN, len(lines)) - 1  # evenly over the front, with both ends
    spread = [lines[round(each * (len(lines) - 1) / max(steps, 1))] for each in range(steps + 1)]
    more = len(lines) - len(spread)
    short = f"{others}. {'; '.join(spread)}" + (f"; {more} more in the report" if more else "")
    return Fact("front", "front", "\n".join([others, *lines]), short, front.to_dict())


def compute_front_places(study: StudyRun) -> dict[str, int]:
    """Return the place on the front by the uid of a trial: 1 is the best by the first objective.

    0 for a trial that had a place when the study ended before.
    """
    front = compute_front(study)
    older = {run.uid: 0 for run in study.trials if FRONT_METRIC in run.metrics}
    trials = front.trials if front else ()
    return older | {each.run.uid: place for place, each in enumerate(trials, 1)}
