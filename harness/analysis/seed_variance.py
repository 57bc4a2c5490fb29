"""Compare the settings of a grid or list over their seeds: mean and standard deviation."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from harness.analysis.formatting import format_count
from harness.config.overrides import format_toml
from harness.config.schema import TRIAL_TABLE, find_varied_fields
from harness.metrics import ACCURACY, Score, get_sort_sign
from harness.results import Objective
from harness.tracking.types import RunRecord, StudyRun
from harness.trial import TrialSpec

MAX_LINES = 12
"""Settings that a terminal lists."""
OUTSIDE = " (outside the limits)"
"""The end of a setting's label."""


@dataclass(frozen=True)
class SeedScores:
    """The scores of one setting, trained with several seeds."""

    values: tuple[float, ...]
    score: Score = ACCURACY

    @property
    def mean(self) -> float:
        return statistics.fmean(self.values)

    @property
    def std(self) -> float | None:
        """The sample standard deviation; None for a single value."""
        return statistics.stdev(self.values) if len(self.values) > 1 else None

    def __str__(self) -> str:
        """`0.9712 ± 0.0011`."""
        mean, std = self.mean, self.std
        suffix = "" if std is None else f" ± {self.score.format_value(std, mean)}"
        return f"{self.score.format_value(mean)}{suffix}"


@dataclass(frozen=True)
class Setting:
    """One setting of a grid or list, with its complete trials by seed."""

    name: str
    runs: tuple[RunRecord, ...]
    validation: SeedScores
    """The score at each trial's best epoch."""
    test: SeedScores | None
    """The test scores; None if the test set was not read for all of the trials."""
    ended_trials: int
    """Number of its trials that ended, complete or not."""
    is_outside: bool = False
    """Whether it is outside [limits], so that it cannot win."""

    @property
    def label(self) -> str:
        """Its name, and whether it is outside the limits."""
        return f"{self.name}{OUTSIDE}" if self.is_outside else self.name

    def describe(self, test_name: str = "test") -> str:
        """`validation 0.9219 ± 0.0172, test 0.9153 ± 0.0137 (n = 2)`."""
        test = f", {test_name} {self.test}" if self.test else ""
        of = f" of {self.ended_trials}" if self.ended_trials > len(self.runs) else ""
        interval = (
            self.validation.score.format_interval(self.runs[0]) if len(self.runs) == 1 else ""
        )
        return f"validation {self.validation}{interval}{test} (n = {len(self.runs)}{of})"


def rank_settings(study: StudyRun) -> list[Setting]:
    """Return the settings of a grid or list with a complete trial, best mean objective first.

    Settings outside [limits], which cannot win, are last.
    """
    sign = get_sort_sign(study.objective)

    def sort_key(setting: Setting) -> tuple[bool, float]:
        mean = statistics.fmean(_read_objectives(setting.runs, study.objective))
        return setting.is_outside, sign * mean

    settings = [
        _build_setting(study, name, runs)
        for name, runs in _group_by_setting(study).items()
        if _select_complete(study, runs)
    ]
    return sorted(settings, key=sort_key)


def find_setting(study: StudyRun, run: RunRecord) -> Setting | None:
    """Return the setting of a trial of a grid or list; None for a search."""
    return next((each for each in rank_settings(study) if run in each.runs), None)


def find_best_trial_of_settings(study: StudyRun) -> RunRecord | None:
    """Return the best trial of the setting with the best mean; None if no trial is complete."""
    ranked = study.rank_trials()
    return min(rank_settings(study)[0].runs, key=ranked.index) if ranked else None


def format_settings(study: StudyRun) -> list[str]:
    """Return a terminal's lines on the settings of a grid or list; none for a search."""
    settings = rank_settings(study)
    top = settings[:MAX_LINES]
    width = max((len(setting.label) for setting in top), default=0)
    lines = [f"{setting.label:<{width}}  {setting.describe(study.test_name)}" for setting in top]
    if len(settings) > len(top):
        lines.append(f"and {len(settings) - len(top)} more in the report")
    lines += [
        f"{name:<{width}}  none of {format_count(len(runs), 'trial')} complete"
        for name, runs in _group_by_setting(study).items()
        if not _select_complete(study, runs)
    ]
    if any(len(setting.runs) > 1 for setting in top):
        lines.insert(0, "mean ± standard deviation over seeds")
    return lines


def describe_setting(study: StudyRun, run: RunRecord) -> str:
    """Return a trial's setting in words: its name, its seed, and the fields that the name means."""
    name, values = get_setting_name(study, run), run.spec.to_dict()
    fields = study.definition.get(TRIAL_TABLE, {}).get(name, {})
    meaning = ", ".join(f"{key} = {format_toml(values[key])}" for key in fields)
    needs_meaning = meaning and meaning != name
    return f"{name} (seed {run.spec.seed})" + (f": {meaning}" if needs_meaning else "")


def get_setting_name(study: StudyRun, run: RunRecord) -> str:
    """Return the name of the setting that a trial of a grid or list belongs to."""
    spec = replace(run.spec, seed=0)
    return _read_setting_names(study.definition).get(spec) or _describe_varied_fields(
        spec, find_varied_fields(study.definition)
    )


def _group_by_setting(study: StudyRun) -> dict[str, list[RunRecord]]:
    """Return the trials that ended by the name of their setting; empty for a search."""
    grouped: dict[TrialSpec, list[RunRecord]] = {}
    for run in study.trials if study.is_grid_or_list else ():
        if run.state in ("COMPLETE", "PRUNED", "FAILED"):
            grouped.setdefault(replace(run.spec, seed=0), []).append(run)
    names, varied = _read_setting_names(study.definition), find_varied_fields(study.definition)
    return {
        names.get(spec) or _describe_varied_fields(spec, varied): runs
        for spec, runs in grouped.items()
    }


def _select_complete(study: StudyRun, runs: Sequence[RunRecord]) -> list[RunRecord]:
    metric = study.score.metric
    return [
        run for run in runs if run.state == "COMPLETE" and run.objective_value(metric) is not None
    ]


def _build_setting(study: StudyRun, name: str, runs: Sequence[RunRecord]) -> Setting:
    complete, score = _select_complete(study, runs), study.score
    ordered = tuple(sorted(complete, key=lambda run: (run.spec.seed, run.number)))
    readings = [study.find_reading(run) for run in ordered]
    test_scores = tuple(reading.score for reading in readings if reading is not None)
    test = SeedScores(test_scores, score) if len(test_scores) == len(ordered) else None
    validation = SeedScores(_read_objectives(ordered, score.metric), score)
    is_outside = not all(map(study.is_within_limits, ordered))
    return Setting(name, ordered, validation, test, len(runs), is_outside)


def _read_objectives(runs: Sequence[RunRecord], objective: Objective) -> tuple[float, ...]:
    """Return the objective at each best epoch, which records without learning curves have too."""
    values = [run.objective_value(objective) for run in runs]
    return tuple(value for value in values if value is not None)


def _read_setting_names(definition: dict[str, Any]) -> dict[TrialSpec, str]:
    """Return the names in a list study by the settings that they stand for, with seed 0."""
    names, code = {}, definition.get("code", {})
    for name, fields in definition.get(TRIAL_TABLE, {}).items():
        spec = TrialSpec.from_dict(definition["train"] | fields | {"seed": 0})
        names[replace(spec, code=code.get(spec.model, ""))] = name
    return names


def _describe_varied_fields(spec: TrialSpec, varied: Sequence[str]) -> str:
    values = spec.to_dict()
    parts = [f"{name} = {format_toml(values[name])}" for name in varied if name in values]
    return ", ".join(parts) or "as in [train]"
