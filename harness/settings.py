"""The settings of a grid or list: what each one's trials came to over its seeds."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from harness.config import LIST, as_toml
from harness.space import LAYERS
from harness.tracking.records import RunRecord, StudyRun
from harness.trial import TrialSpec


@dataclass(frozen=True)
class Spread:
    """One figure over the seeds of a setting."""

    values: tuple[float, ...]

    @property
    def mean(self) -> float:
        return statistics.fmean(self.values)

    @property
    def deviation(self) -> float | None:
        """The sample's standard deviation; None for a single value."""
        return statistics.stdev(self.values) if len(self.values) > 1 else None

    def __str__(self) -> str:
        """`0.9712 ± 0.0011`."""
        off = "" if self.deviation is None else f" ± {self.deviation:.4f}"
        return f"{self.mean:.4f}{off}"


@dataclass(frozen=True)
class Setting:
    """One setting's complete trials, by seed."""

    name: str
    runs: tuple[RunRecord, ...]
    validation: Spread
    """Accuracy at each trial's best epoch."""
    test: Spread | None
    """Accuracy; None where the test set was not read for all of them."""

    def text(self) -> str:
        tested = f", test {self.test}" if self.test else ""
        return f"validation {self.validation}{tested} (n = {len(self.runs)})"


def settings(study: StudyRun) -> list[Setting]:
    """Of a grid or list, the best mean validation accuracy first; none of a search."""
    if not study.given:
        return []
    names = _names(study.definition)
    varied = varied_fields(study.definition)
    grouped: dict[TrialSpec, list[RunRecord]] = {}
    for run in study.trials:
        if run.state == "COMPLETE" and run.best is not None:
            grouped.setdefault(replace(run.spec, seed=0), []).append(run)
    found = [
        _setting(study, names.get(spec) or _called(spec, varied), runs)
        for spec, runs in grouped.items()
    ]
    return sorted(found, key=lambda setting: -setting.validation.mean)


def setting_of(study: StudyRun, run: RunRecord) -> str:
    """The name of the setting that a trial of a grid or list belongs to."""
    spec = replace(run.spec, seed=0)
    return _names(study.definition).get(spec) or _called(spec, varied_fields(study.definition))


def varied_fields(definition: dict[str, Any]) -> list[str]:
    """The TrialSpec fields that differ from trial to trial by the study's file, the seed apart."""
    sampled = ["hidden" if name in LAYERS else name for name in definition.get("space", {})]
    listed = [name for table in definition.get(LIST, {}).values() for name in table]
    return list(dict.fromkeys(sampled + listed))


def _setting(study: StudyRun, name: str, runs: Sequence[RunRecord]) -> Setting:
    ordered = tuple(sorted(runs, key=lambda run: (run.spec.seed, run.number)))
    read = [study.reading_of(run.number) for run in ordered]
    tested = tuple(reading.accuracy for reading in read if reading is not None)
    validated = tuple(run.best.val_accuracy for run in ordered if run.best is not None)
    return Setting(
        name, ordered, Spread(validated), Spread(tested) if len(tested) == len(ordered) else None
    )


def _names(definition: dict[str, Any]) -> dict[TrialSpec, str]:
    """A list's names by the settings they stand for, of seed 0."""
    return {
        TrialSpec.from_dict(definition["train"] | fields | {"seed": 0}): name
        for name, fields in definition.get(LIST, {}).items()
    }


def _called(spec: TrialSpec, varied: Sequence[str]) -> str:
    values = spec.to_dict()
    return ", ".join(f"{name} = {as_toml(values[name])}" for name in varied) or "as in [train]"
