"""`--dry-run`: what a study would do, and an estimate of its time, measured on this machine."""

from __future__ import annotations

import json
import math
import statistics
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from harness.analysis.confirmation import can_show_margin
from harness.analysis.formatting import format_count, format_duration
from harness.config.schema import GRID_OR_LIST, TRIAL_TABLE
from harness.data.builtin import get_download_size
from harness.data.prepare import PreparedDataset
from harness.data.torch_datasets import load_splits
from harness.engine.device_data import DeviceData
from harness.engine.placement import build_group
from harness.engine.trial_state import TrialState
from harness.errors import ConfigError, DataError
from harness.executors.devices import count_available_cores
from harness.search.samplers import sample_random_specs
from harness.sweep.check_models import check_models
from harness.sweep.plan import Plan
from harness.system.terminal import align_labels
from harness.trial import TrialSpec

RANDOM_SETTINGS = 8
"""The number of random settings that are timed."""
WARM_UP_STEPS, TIMED_STEPS = 3, 20
"""Training steps before the timing, and in it."""


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
        with check_models(plan, prepared) as checked:
            trial_seconds = _measure_trial_seconds(checked, prepared)
        slots = plan.count_slots(prepared)
        gain = plan.estimate_gain(prepared) if plan.devices[0] == "cpu" and slots > 1 else 1.0
    workers = len(plan.devices)
    confirmation_runs = _count_confirmation_runs(plan, prepared)
    settings = config.count_settings()
    trials = config.study.trials if settings is None else min(config.study.trials, settings)
    at_once = min(workers, count_available_cores()) if plan.devices[0] == "cpu" else workers
    return config.definition() | {
        "name": config.study.name,
        "file": config.source,
        "trials": trials,
        "few_settings": config.describe_few_settings(),
        "device": plan.device,
        "workers": workers,
        "trials_a_worker": slots,
        "data_from": prepared.location,
        "sizes": prepared.sizes,
        "seeds": config.study.seeds,
        "split_hash": prepared.split_hash,
        "notes": list(prepared.notes),
        "dropped": prepared.data_quality.dropped,
        "seconds_a_trial": trial_seconds / gain,
        "confirming": confirmation_runs,
        "redrawn_splits": config.redrawn_splits,
        "seconds": trial_seconds / gain * math.ceil((trials + confirmation_runs) / at_once),
    }


def _count_confirmation_runs(plan: Plan, prepared: PreparedDataset) -> int:
    """Return the number of confirmation runs, with those of a smaller network if one is near."""
    table = plan.config.confirm
    if not plan.config.has_confirmation:
        return 0
    sizes = prepared.sizes
    splits = min(plan.config.redrawn_splits, sizes["train"] // sizes["validation"])
    candidates = can_show_margin(splits * sizes["validation"], table.margin)
    return (table.top + candidates) * (splits or table.seeds)


def format_dry_run(resolved: dict[str, Any], width: int | None = None) -> str:
    """Format the result of `dry_run` for people, wrapped to `width` columns."""
    data, sampler = resolved["data"], resolved["study"]["sampler"]
    sizes = ", ".join(f"{size:,} {part}" for part, size in resolved["sizes"].items())
    lines = [
        f"{resolved['name']}  ({resolved['file']}), {format_count(resolved['trials'], 'trial')}",
        f"device   {resolved['device']}, {format_count(resolved['workers'], 'worker')}, "
        f"each training {format_count(resolved['trials_a_worker'], 'trial')} at once",
        f"data     {data['name']}{_format_data_options(data, resolved['dropped'])} "
        f"from {resolved['data_from']}: {sizes}",
        *(f"note     {note}" for note in resolved["notes"]),
        f"split    {resolved['split_hash']}",
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
    trial_time = f"{resolved['seconds_a_trial']:.1f} s a trial, measured now"
    time_text = format_duration(resolved["seconds"])
    settings = "these settings" if sampler in GRID_OR_LIST else "random settings"
    lines.append(f"time     about {time_text} of training for {settings}, unpruned ({trial_time})")
    if not resolved["device"].startswith("CPU"):
        lines.append("         each timed alone; trials that share the device take less")
    elif sampler not in GRID_OR_LIST:
        lines.append("         a search that favours large networks takes longer")
    title, *rest = lines
    column = len("device ")
    return f"{title}\n{align_labels([(each[:column], each[column + 2 :]) for each in rest], width)}"


def _format_data_options(table: Mapping[str, Any], dropped: int) -> str:
    """Format the options of [data] that are not the defaults."""
    text = f", {' and '.join(table['classes'])} only" if table.get("classes") else ""
    if not table.get("own_test", True):
        text += ", with a stand-in for its test set,"
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


def _measure_trial_seconds(plan: Plan, prepared: PreparedDataset) -> float:
    """Return the mean time of random settings: a few steps of each, alone, extrapolated."""
    device = plan.devices[0]
    threads = torch.get_num_threads()
    try:
        if device == "cpu":
            torch.set_num_threads(1)
        data = DeviceData(load_splits(prepared.training), device)
        specs = sample_random_specs(plan.config, RANDOM_SETTINGS)
        return statistics.fmean(spec.epochs * _measure_epoch_seconds(spec, data) for spec in specs)
    finally:
        torch.set_num_threads(threads)


def _measure_epoch_seconds(spec: TrialSpec, data: DeviceData) -> float:
    group = build_group([TrialState.create("", spec, data)], data)
    group.begin_epoch()
    group.train_steps(min(WARM_UP_STEPS, group.steps))
    started = _synchronized_time(data)
    group.begin_epoch()
    steps = min(TIMED_STEPS, group.steps)
    group.train_steps(steps)
    trained = _synchronized_time(data)
    group.validate()
    evaluated = (_synchronized_time(data) - trained) / spec.evaluate_every
    return (trained - started) / steps * group.steps + evaluated


def _synchronized_time(data: DeviceData) -> float:
    """Wait for the device, then return the time in seconds."""
    if data.device.type == "cuda":
        torch.cuda.synchronize(data.device)
    return time.perf_counter()
