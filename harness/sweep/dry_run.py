"""`--dry-run`: what a study would do, and an estimate of its time, measured on this machine."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from harness.analysis.confirmation import can_show_margin
from harness.analysis.formatting import format_count
from harness.config.schema import GRID_OR_LIST, TRIAL_TABLE
from harness.data.builtin import get_download_size
from harness.data.prepare import PreparedDataset
from harness.data.split_notes import describe_sizes
from harness.errors import ConfigError, DataError
from harness.stats.racing import MIN_SPLITS
from harness.sweep.check_models import check_models
from harness.sweep.plan import Plan
from harness.sweep.setting_costs import check_limits
from harness.sweep.time_estimate import describe_basis, describe_time, estimate_time
from harness.system.terminal import align_labels


def dry_run(plan: Plan) -> dict[str, Any]:
    """Return the resolved study, its split and the time estimate, as plain values.

    Leaves no files behind: the data is decoded into a temporary folder, and a missing dataset is an
    error, not a download.
    """
    config = plan.config
    if plan.ray is not None:
        raise ConfigError(
            "--dry-run: cannot estimate the time on a Ray cluster; leave out --ray for the time on "
            "this machine"
        )
    if get_download_size(config.data.name, plan.data_dir):
        raise DataError(
            f"{config.data.name}: the data is not downloaded yet, and --dry-run downloads nothing; "
            "run without --dry-run, or pass --data-dir"
        )
    with tempfile.TemporaryDirectory() as cache:
        prepared = plan.prepare(cache=Path(cache), download=False)
        slots = plan.count_slots(prepared)
        with check_models(plan, prepared) as checked:
            note = check_limits(config, prepared)
            estimate = estimate_time(checked, prepared, slots)
    confirmation_runs = _count_confirmation_runs(plan, prepared)
    settings = config.count_settings()
    trials = config.study.trials if settings is None else min(config.study.trials, settings)
    runs = trials + confirmation_runs + _count_final_work(plan, trials)
    return config.definition() | {
        "name": config.study.name,
        "file": config.source,
        "trials": trials,
        "few_settings": config.describe_few_settings(),
        "device": plan.device,
        "workers": len(plan.devices),
        "trials_a_worker": slots,
        "data_from": prepared.location,
        "sizes": prepared.sizes,
        "seeds": config.study.seeds,
        "split_hash": prepared.split_hash,
        "notes": [*prepared.notes, *filter(None, [note])],
        "dropped": prepared.data_quality.dropped,
        "seconds_a_trial": estimate.seconds_a_trial,
        "free_share": estimate.free_share,
        "confirming": confirmation_runs,
        "redrawn_splits": config.redrawn_splits,
        "seconds": estimate.compute_seconds(runs),
        "seconds_at_most": estimate.compute_most_seconds(runs),
    }


def _count_final_work(plan: Plan, trials: int) -> float:
    """Return the work of the final trainings in trials: one of 5 folds trains on 4 times as much
    data as its final model.
    """
    folds, config = plan.config.data.folds, plan.config
    if not folds or config.final.model != "retrained":
        return 0
    models = trials if config.study.sampler in GRID_OR_LIST else 1
    return models / (folds - 1)


def _count_confirmation_runs(plan: Plan, prepared: PreparedDataset) -> int:
    """Return the number of confirmation runs, with those of a smaller network if one is near."""
    table = plan.config.confirm
    if not plan.config.has_confirmation:
        return 0
    sizes = prepared.sizes
    room = sizes["train"] // sizes["validation"]
    splits = min(plan.config.redrawn_splits, table.seeds, room)
    candidates = can_show_margin(splits * sizes["validation"], table.margin)
    if table.race and splits >= MIN_SPLITS:
        return table.budget or (table.top + candidates) * table.seeds
    return (table.top + candidates) * (splits or table.seeds)


def format_dry_run(resolved: dict[str, Any], width: int | None = None) -> str:
    """Format the result of `dry_run` for people, wrapped to `width` columns."""
    data, sampler = resolved["data"], resolved["study"]["sampler"]
    reshuffle = data.get("reshuffle", False)
    sizes = describe_sizes(resolved["sizes"], data.get("folds", 0), reshuffle)
    lines = [
        f"{resolved['name']}  ({resolved['file']}), {format_count(resolved['trials'], 'trial')}",
        f"device   {resolved['device']}, {format_count(resolved['workers'], 'worker')}, "
        f"each training {format_count(resolved['trials_a_worker'], 'trial')} at once",
        f"data     {data['name']}{_format_data_options(data, resolved['dropped'])} "
        f"from {resolved['data_from']}: {sizes}",
        *(f"note     {note}" for note in resolved["notes"]),
    ]
    if resolved["few_settings"]:
        lines.append(f"trials   {resolved['few_settings']}")
    if resolved["seeds"] > 1:
        lines.append(f"study    seeds = {resolved['seeds']}")
    for table in ("study", "train", "space"):
        lines += [
            f"{table:<8} {key} = {_format_value(value)}" for key, value in resolved[table].items()
        ]
    for name, fields in resolved.get(TRIAL_TABLE, {}).items():
        values = ", ".join(f"{key} = {_format_value(value)}" for key, value in fields.items())
        lines.append(f"{TRIAL_TABLE:<8} {name}: {values or 'as is'}")
    runs = resolved["confirming"]
    if sampler not in GRID_OR_LIST:
        over = "on new splits" if resolved["redrawn_splits"] else "over fresh seeds"
        more = f"up to {format_count(runs, 'more run')}, {over}" if runs else "no"
        lines.append(f"confirm  {more}")
    is_search = sampler not in GRID_OR_LIST
    seconds, most = resolved["seconds"], resolved["seconds_at_most"]
    alone, device, share = (resolved[key] for key in ("seconds_a_trial", "device", "free_share"))
    lines += [
        f"time     {describe_time(seconds, most, is_search)}",
        f"         {describe_basis(alone, device, resolved['workers'], share)}",
        "         start-up, recording and the report come on top",
    ]
    title, *rest = lines
    column = len("device ")
    return f"{title}\n{align_labels([(each[:column], each[column + 2 :]) for each in rest], width)}"


def _format_data_options(table: Mapping[str, Any], dropped: int) -> str:
    """Format the options of [data] that are not the defaults."""
    text = f", {' and '.join(table['classes'])} only" if table.get("classes") else ""
    if not table.get("own_test", True):
        text += ", with a substitute test set,"
    if table.get("drop_duplicates"):
        text = f"{text.rstrip(',')}, without duplicates in training ({dropped:,} dropped),"
    return text


def _format_value(value: Any) -> str:
    """Format a value as in a study file, and a range in words."""
    if not isinstance(value, dict):
        return json.dumps(value)
    text = f"{value['low']:g} to {value['high']:g}"
    text += ", log" if value.get("log") else ""
    return text + (f", {value['zero']:.0%} zeros" if value.get("zero") else "")
