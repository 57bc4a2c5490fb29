"""A study as it is checked: its tables together, and the TrialSpec that each trial trains."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Any

from harness.config.limits import COSTS, LimitsTable
from harness.config.search_space import Choice, Range, SearchSpace, SuggestsValues
from harness.config.study_tables import (
    ConfirmTable,
    DataTable,
    EnsembleTable,
    FinalTable,
    StudyTable,
    Table,
)
from harness.config.validation import LAYER_KEYS
from harness.results import Cost, Objective
from harness.trial import TrialSpec

TABLES = ("study", "data", "train", "space", "limits", "confirm", "ensemble", "final")
"""The tables of a study file, apart from [[trial]]."""
TRIAL_TABLE = "trial"
"""The name of the [[trial]] tables."""
FIRST_TABLE = "first"
"""The name of the [[first]] tables."""
FIRST_DATA_KEYS = ("name", "validation", "test", "split_seed", "normalize")
"""Keys of [data] that every definition has; the others only where they differ from the default."""
CHANGEABLE_KEYS = ("trials", "seeds", "timeout", "stop_when", "hung_after", "calibrated")
"""Keys of [study] that may change when a study is continued."""
DESCRIPTIVE_KEYS = ("description", "minutes")
"""Keys of [study] that change nothing; `harness studies` shows them."""
GRID_OR_LIST = ("grid", "list")
"""Samplers that draw nothing: all settings are known before the study starts."""


@dataclass(frozen=True)
class StudyConfig:
    """A study file after all overrides, checked."""

    study: StudyTable
    data: DataTable
    train: dict[str, Any]
    """Fixed TrialSpec fields."""
    space: SearchSpace
    """Sampled TrialSpec fields."""
    source: str
    """The path of the file."""
    text: str
    """The file's text, without overrides."""
    settings: Mapping[str, dict[str, Any]] = field(default_factory=dict)
    """The [[trial]] tables by name: TrialSpec fields that replace those of [train]."""
    confirm: ConfirmTable = field(default_factory=ConfirmTable)
    first: Sequence[dict[str, Any]] = ()
    """The [[first]] tables: TrialSpec fields that the first trials of a search have."""
    code: Mapping[str, str] = field(default_factory=dict)
    """The source files of each custom model, see TrialSpec.code."""
    ensemble: EnsembleTable = field(default_factory=EnsembleTable)
    final: FinalTable = field(default_factory=FinalTable)
    limits: LimitsTable = field(default_factory=LimitsTable)

    @property
    def models(self) -> tuple[str, ...]:
        """The custom models that any trial may have; empty if all have the built-in network."""
        sampled = self.space.dimensions.get("model")
        tables = [self.train, *self.settings.values()]
        names = [*(table.get("model", "") for table in tables), *getattr(sampled, "values", ())]
        return tuple(dict.fromkeys(name for name in names if name))

    @property
    def costs(self) -> tuple[Cost, ...]:
        """What is measured of each setting before it is trained."""
        used = {*self.limits.to_dict(), *self.study.objectives}
        return tuple(name for name in COSTS if name in used)

    @property
    def objectives(self) -> tuple[Objective | Cost, ...]:
        """By what trials are compared; the first is the study's objective."""
        return tuple(self.study.objectives) or (self.study.objective,)

    @property
    def has_confirmation(self) -> bool:
        """Whether the best settings are trained again; a grid or list repeats its own seeds."""
        return self.confirm.seeds > 0 and self.study.sampler not in GRID_OR_LIST

    @property
    def redrawn_splits(self) -> int:
        """The number of new splits on which the best settings are trained again."""
        is_drawn = not self.data.own_validation and not self.data.folds
        redraws = self.has_confirmation and self.confirm.resample and is_drawn
        return self.confirm.seeds if redraws else 0

    def get_fixed_fields(self) -> dict[str, Any]:
        """The TrialSpec fields that every trial of a search shares."""
        return self.train | {"seed": self.study.seed}

    def list_settings(self) -> list[dict[str, Any]]:
        """The settings of a grid or list, apart from [train]; empty for a search."""
        if self.study.sampler == "grid":
            return self.space.list_grid()
        return list(self.settings.values())

    def count_settings(self) -> int | None:
        """The number of settings that a search can sample; None if it is unlimited, or no search.

        A grid or list has its trials counted when it is loaded.
        """
        return None if self.study.sampler in GRID_OR_LIST else self.space.count_settings()

    def describe_few_settings(self) -> str:
        """Describe a space with fewer settings than trials; empty for any other."""
        count, trials = self.count_settings(), self.study.trials
        if count is None or count >= trials:
            return ""
        only = "only one setting" if count == 1 else f"only {count:,} different settings"
        return f"[space] has {only}, not {trials:,}; no setting is trained twice"

    def build_spec(self, trial: SuggestsValues, ordinal: int) -> TrialSpec:
        """The TrialSpec of the study's trial `ordinal`, counted from 0; a search draws it.

        A grid or list runs all settings with the first seed, then with the next: `--trials` cuts
        off seeds, not settings. Raises ValueError for settings that cannot be trained.
        """
        if self.study.sampler not in GRID_OR_LIST:
            return self._add_code(self.space.suggest(trial, self.get_fixed_fields()))
        points = self.list_settings()
        seed = {"seed": self.study.seed + ordinal // len(points)}
        setting = points[ordinal % len(points)] if self.settings else {}
        return self._add_code(self.space.suggest(trial, self.train | setting | seed))

    def build_fixed_spec(self) -> TrialSpec:
        """The TrialSpec of the fixed fields alone, with the first of several sampled models.

        Raises ValueError.
        """
        sampled = self.space.dimensions.get("model")
        model = {"model": sampled.values[0]} if isinstance(sampled, Choice) else {}
        return self._add_code(TrialSpec.from_dict(model | self.get_fixed_fields()))

    def _add_code(self, spec: TrialSpec) -> TrialSpec:
        return replace(spec, code=self.code.get(spec.model, ""))

    def find_largest(self, name: str) -> int:
        """The largest value that an integer TrialSpec field has in any trial."""
        dimension = self.space.dimensions.get(name)
        if isinstance(dimension, Range):
            return int(dimension.high)
        if isinstance(dimension, Choice):
            return int(max(dimension.values))
        tables = [self.train | fields for fields in self.settings.values() or [{}]]
        return int(max(table.get(name, getattr(TrialSpec(), name)) for table in tables))

    def list_values(self, name: str) -> set[Any]:
        """The values of a TrialSpec field that is fixed, listed, or sampled from a list."""
        sampled = self.space.dimensions.get(name)
        tables = [self.train, *self.settings.values()]
        values = [table[name] for table in tables if name in table]
        return {*values, *getattr(sampled, "values", ())}

    def definition(self) -> dict[str, Any]:
        """What identifies the study, as plain values: a change of any needs another study name.

        It is recorded with the study. How long the study runs is not in it, nor its confirmation
        and its ensemble.
        """
        data = self.data.model_dump(exclude={"max_categories"})  # it permits, but changes nothing
        defaults = default_values()["data"]
        tables: dict[str, Any] = {
            "study": self.study.model_dump(exclude={"name", *CHANGEABLE_KEYS, *DESCRIPTIVE_KEYS}),
            "data": {
                key: value
                for key, value in data.items()
                if key in FIRST_DATA_KEYS or value != defaults[key]
            },
            "train": dict(self.train),
            "space": self.space.to_dict(),
        }
        if not self.study.objectives:
            del tables["study"]["objectives"]
        if self.data.folds:
            tables["final"] = self.final.model_dump()
        if self.settings:
            tables[TRIAL_TABLE] = dict(self.settings)
        if self.first:
            tables[FIRST_TABLE] = {str(n): fields for n, fields in enumerate(self.first, 1)}
        if limits := self.limits.to_dict():
            tables["limits"] = limits
        if self.code:
            tables["code"] = dict(self.code)
        plain: dict[str, Any] = json.loads(json.dumps(tables))
        return plain


@cache
def default_values() -> dict[str, dict[str, Any]]:
    """The defaults of [study], [data] and [train], by table and key."""
    tables: dict[str, type[Table]] = {"study": StudyTable, "data": DataTable}
    defaults = {
        name: {
            key: each.default for key, each in table.model_fields.items() if not each.is_required()
        }
        for name, table in tables.items()
    }
    return defaults | {"train": TrialSpec().to_dict()}


def fill_defaults(table: str, recorded: Mapping[str, Any]) -> dict[str, Any]:
    """A recorded table with the default of every key that the record does not have.

    This is the one rule for records that are older than a key: whoever compares or reads a recorded
    table, or the settings of a recorded trial ("train"), goes through here, so that a new key needs
    a default and nothing else.
    """
    return default_values().get(table, {}) | dict(recorded)


def find_varied_fields(definition: dict[str, Any]) -> list[str]:
    """The TrialSpec fields that a study varies from trial to trial, apart from the seed."""
    sampled = ["hidden" if name in LAYER_KEYS else name for name in definition.get("space", {})]
    listed = [name for table in definition.get(TRIAL_TABLE, {}).values() for name in table]
    return list(dict.fromkeys(sampled + listed))
