"""The [train] table and the [[trial]] tables: TrialSpec fields that a study file fixes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from harness.config.overrides import format_toml
from harness.config.schema import GRID_OR_LIST
from harness.config.study_tables import StudyTable
from harness.config.validation import LAYER_KEYS, parse_fields
from harness.errors import did_you_mean
from harness.model_arguments import ARGUMENT_PREFIX, BUILT_IN_FIELDS, explain_built_in_field
from harness.trial import SPEC_FIELDS, TrialSpec

MAX_NAME = 80
"""Characters in the name of a setting, which shares a line with its metrics."""
TRAIN_KEYS = tuple(name for name in SPEC_FIELDS if name not in ("seed", "arguments", "code"))


def parse_train(table: Mapping[str, Any], base: Mapping[str, Any]) -> dict[str, Any]:
    """Parse the TrialSpec fields of a table, and check them together with those of `base`.

    Raises ValueError("key: what is wrong").
    """
    for key, value in table.items():
        if key == "seed":
            raise ValueError("seed: belongs in [study]; all settings share it")
        if key == ARGUMENT_PREFIX.rstrip("."):
            raise ValueError(f"{key}: must be a table such as {{ channels = 16 }}, not {value!r}")
        if key in LAYER_KEYS:
            raise ValueError(f"{key}: belongs in [space]; fixed widths are hidden = [300]")
        if key not in TRAIN_KEYS and not key.startswith(ARGUMENT_PREFIX):
            raise ValueError(f"{key}: unknown key{did_you_mean(key, TRAIN_KEYS)}")
    fields = parse_fields(table)
    combined = {**base, **fields}
    if model := combined.get("model"):
        for key in BUILT_IN_FIELDS:
            if key in combined:
                raise ValueError(explain_built_in_field(key, model))
    TrialSpec.from_dict(combined)
    return fields


def parse_settings(
    trials: Sequence[Mapping[str, Any]], train: Mapping[str, Any], merge: bool
) -> dict[str, dict[str, Any]]:
    """Parse the [[trial]] tables: the fields of each setting by its name.

    A table without a name is named by its fields. Two equal settings are an error; with `merge`
    the first one stays, since a --set may have made them equal. Raises ValueError("number 1: key:
    what is wrong").
    """
    settings: dict[str, dict[str, Any]] = {}
    names: dict[TrialSpec, str] = {}
    for number, table in enumerate(trials, 1):
        try:
            name, fields = _parse_setting(table, train)
            spec = TrialSpec.from_dict({**train, **fields})
            if spec not in names:
                if name in settings:
                    raise ValueError(f"name: '{name}' is taken; give each setting its own name")
                settings[name], names[spec] = fields, name
            elif not merge:
                raise ValueError(f"the same settings as '{names[spec]}'; leave out one of them")
        except ValueError as error:
            raise ValueError(f"number {number}: {error}") from None
    return settings


def _parse_setting(
    table: Mapping[str, Any], train: Mapping[str, Any]
) -> tuple[str, dict[str, Any]]:
    """The name of a [[trial]] table, and its fields."""
    fields = parse_train({key: value for key, value in table.items() if key != "name"}, train)
    default = ", ".join(f"{key} = {format_toml(value)}" for key, value in fields.items())
    name = table.get("name", default or "as in [train]")
    if not isinstance(name, str) or not name.strip() or not name.isprintable():
        raise ValueError(f"name: must be text on one line, not {name!r}")
    if "name" in table and len(name) > MAX_NAME:
        raise ValueError(f"name: at most {MAX_NAME} characters, not {len(name)}: {name[:40]}...")
    return name, fields


def count_trials(study: StudyTable, points: int, is_fixed: bool) -> StudyTable:
    """Set `trials` to what a grid or list of `points` settings has, unless the file gives it."""
    if study.sampler not in GRID_OR_LIST:
        if study.seeds > 1:
            raise ValueError(
                f"seeds: repeats a grid or a list, but the sampler is {study.sampler}; leave it out"
            )
        return study
    most = points * study.seeds
    if not is_fixed:
        return study.model_copy(update={"trials": most})
    if study.trials > most:
        seeds = f"{study.seeds} seed{'s' if study.seeds > 1 else ''}"
        raise ValueError(
            f"trials: {study.trials}, but {points} settings with {seeds} make {most}; raise seeds"
        )
    return study
