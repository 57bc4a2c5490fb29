"""The settings of a grid or list: what each one's trials came to over its seeds."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from harness.config.schema import TRIAL_TABLE, format_toml, find_varied_fields
from harness.metrics import ACCURACY, Score, get_sort_sign
from harness.results import Objective
from harness.tracking.types import RunRecord, StudyRun
from harness.trial import TrialSpec

SHOWN = 12
"""In a terminal."""


@dataclass(frozen=True)
class Spread:
    """One figure over the seeds of a setting."""

    values: tuple[float, ...]
    score: Score = ACCURACY

    @property
    def mean(self) -> float:
        return statistics.fmean(self.values)

    @property
    def deviation(self) -> float | None:
        """The sample's standard deviation; None for a single value."""
        return statistics.stdev(self.values) if len(self.values) > 1 else None

    def __str__(self) -> str:
        """`0.9712 ± 0.0011`."""
        mean, off = self.mean, self.deviation
        told = "" if off is None else f" ± {self.score.format_value(off, mean)}"
        return f"{self.score.format_value(mean)}{told}"


@dataclass(frozen=True)
class Setting:
    """One setting's complete trials, by seed."""

    name: str
    runs: tuple[RunRecord, ...]
    validation: Spread
    """The score at each trial's best epoch."""
    test: Spread | None
    """The score; None where the test set was not read for all of them."""
    tried: int
    """Its trials that ended, complete or not."""

    def text(self, part: str = "test") -> str:
        tested = f", {part} {self.test}" if self.test else ""
        of = f" of {self.tried}" if self.tried > len(self.runs) else ""
        alone = self.validation.score.format_interval(self.runs[0]) if len(self.runs) == 1 else ""
        return f"validation {self.validation}{alone}{tested} (n = {len(self.runs)}{of})"


def settings(study: StudyRun) -> list[Setting]:
    """Of a grid or list, best mean of the objective first; those with a complete trial."""
    sign = get_sort_sign(study.objective)

    def mean(setting: Setting) -> float:
        return sign * statistics.fmean(_values(setting.runs, study.objective))

    grouped = _grouped(study).items()
    found = [_setting(study, name, runs) for name, runs in grouped if _complete(study, runs)]
    return sorted(found, key=mean)


def best_of_settings(study: StudyRun) -> RunRecord | None:
    """Of a grid or list, the best trial of the setting with the best mean; None without any."""
    ranked = study.rank_trials()
    return min(settings(study)[0].runs, key=ranked.index) if ranked else None


def in_lines(study: StudyRun) -> list[str]:
    """The settings for a terminal; nothing of a search."""
    found = settings(study)
    shown = found[:SHOWN]
    width = max((len(setting.name) for setting in shown), default=0)
    lines = [f"{setting.name:<{width}}  {setting.text(study.test_name)}" for setting in shown]
    if len(found) > len(shown):
        lines.append(f"and {len(found) - len(shown)} more in the report")
    lines += [
        f"{name:<{width}}  none of {len(runs)} trials complete"
        for name, runs in _grouped(study).items()
        if not _complete(study, runs)
    ]
    if any(len(setting.runs) > 1 for setting in shown):
        lines.insert(0, "mean ± standard deviation over seeds")
    return lines


def told(study: StudyRun, run: RunRecord) -> str:
    """A trial's setting: its name, what that stands for, the seed."""
    name, values = setting_of(study, run), run.spec.to_dict()
    fields = study.definition.get(TRIAL_TABLE, {}).get(name, {})
    stands_for = ", ".join(f"{key} = {format_toml(values[key])}" for key in fields)
    alone = not stands_for or stands_for == name
    return f"{name} (seed {run.spec.seed})" + ("" if alone else f": {stands_for}")


def setting_of(study: StudyRun, run: RunRecord) -> str:
    """The name of the setting that a trial of a grid or list belongs to."""
    spec = replace(run.spec, seed=0)
    return _names(study.definition).get(spec) or _called(spec, find_varied_fields(study.definition))


def _grouped(study: StudyRun) -> dict[str, list[RunRecord]]:
    """The trials that ended for good by the name of their setting; nothing of a search."""
    grouped: dict[TrialSpec, list[RunRecord]] = {}
    for run in study.trials if study.is_grid_or_list else ():
        if run.state in ("COMPLETE", "PRUNED", "FAILED"):
            grouped.setdefault(replace(run.spec, seed=0), []).append(run)
    names, varied = _names(study.definition), find_varied_fields(study.definition)
    return {names.get(spec) or _called(spec, varied): runs for spec, runs in grouped.items()}


def _complete(study: StudyRun, runs: Sequence[RunRecord]) -> list[RunRecord]:
    metric = study.score.metric
    return [
        run for run in runs if run.state == "COMPLETE" and run.objective_value(metric) is not None
    ]


def _setting(study: StudyRun, name: str, runs: Sequence[RunRecord]) -> Setting:
    complete, score = _complete(study, runs), study.score
    ordered = tuple(sorted(complete, key=lambda run: (run.spec.seed, run.number)))
    read = [study.find_reading(run) for run in ordered]
    tested = tuple(reading.score for reading in read if reading is not None)
    test = Spread(tested, score) if len(tested) == len(ordered) else None
    return Setting(name, ordered, Spread(_values(ordered, score.metric), score), test, len(runs))


def _values(runs: Sequence[RunRecord], objective: Objective) -> tuple[float, ...]:
    """At each trial's best epoch, which a record without curves has too."""
    values = [run.objective_value(objective) for run in runs]
    return tuple(value for value in values if value is not None)


def _names(definition: dict[str, Any]) -> dict[TrialSpec, str]:
    """A list's names by the settings they stand for, of seed 0."""
    found, code = {}, definition.get("code", {})
    for name, fields in definition.get(TRIAL_TABLE, {}).items():
        spec = TrialSpec.from_dict(definition["train"] | fields | {"seed": 0})
        found[replace(spec, code=code.get(spec.model, ""))] = name
    return found


def _called(spec: TrialSpec, varied: Sequence[str]) -> str:
    values = spec.to_dict()
    own = [name for name in varied if name in values]
    return ", ".join(f"{name} = {format_toml(values[name])}" for name in own) or "as in [train]"
