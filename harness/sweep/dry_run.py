"""`--dry-run`: what a study would do, and about how long it would take, measured here and now."""

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

from harness.analysis.formatting import counted, duration
from harness.config.schema import GRID_OR_LIST, LIST
from harness.data.prepare import Prepared
from harness.data.torch_datasets import load_splits
from harness.engine.device_data import DeviceData
from harness.engine.placement import together
from harness.engine.trial_state import TrialState
from harness.errors import ConfigError
from harness.executors.devices import available_cores
from harness.search.draws import random_specs
from harness.sweep.check_models import examined
from harness.sweep.plan import Plan
from harness.trial import TrialSpec

DRAWS = 8
"""Settings drawn from the space and timed."""
WARM, TIMED = 3, 20
"""Steps."""


def dry_run(planned: Plan) -> dict[str, Any]:
    """The resolved study, its split and its estimate, as plain values. Leaves nothing behind.

    The data is decoded into a temporary folder; a missing dataset is an error, not a download.
    """
    config = planned.config
    if planned.ray is not None:
        raise ConfigError(
            "--dry-run: what a cluster takes is not known before it is joined; leave out --ray to "
            "have this machine's"
        )
    with tempfile.TemporaryDirectory() as cache:
        prepared = planned.prepare(cache=Path(cache), download=False)
        with examined(planned, prepared) as tried:
            trial_seconds = _trial_seconds(tried, prepared)
        slots = planned.slots(prepared)
        gain = planned.gain(prepared) if planned.devices[0] == "cpu" and slots > 1 else 1.0
    workers = len(planned.devices)
    again = config.confirm.top * config.confirm.seeds if config.confirms else 0
    at_once = min(workers, available_cores()) if planned.devices[0] == "cpu" else workers
    return config.definition() | {
        "name": config.study.name,
        "file": config.source,
        "trials": config.study.trials,
        "device": planned.device,
        "workers": workers,
        "trials_a_worker": slots,
        "data_from": prepared.where,
        "sizes": prepared.sizes,
        "seeds": config.study.seeds,
        "split_hash": prepared.split_hash,
        "dropped": prepared.fairness.dropped,
        "seconds_a_trial": trial_seconds / gain,
        "confirming": again,
        "seconds": trial_seconds / gain * math.ceil((config.study.trials + again) / at_once),
    }


def in_words(resolved: dict[str, Any]) -> str:
    """What `dry_run` found, for people."""
    sizes = ", ".join(f"{size:,} {part}" for part, size in resolved["sizes"].items())
    lines = [
        f"{resolved['name']}  ({resolved['file']}), {resolved['trials']} trials",
        f"device   {resolved['device']}, {counted(resolved['workers'], 'worker')}, each training "
        f"{counted(resolved['trials_a_worker'], 'trial')} at once",
        f"data     {resolved['data']['name']}{_data(resolved['data'], resolved['dropped'])} from "
        f"{resolved['data_from']}: {sizes}",
        f"split    {resolved['split_hash']}",
    ]
    if resolved["seeds"] > 1:
        lines.append(f"study    seeds = {resolved['seeds']}")
    for table in ("study", "train", "space"):
        lines += [f"{table:<8} {key} = {_shown(value)}" for key, value in resolved[table].items()]
    lines += [
        f"{LIST:<8} {name}: {', '.join(f'{k} = {_shown(v)}' for k, v in fields.items()) or 'as is'}"
        for name, fields in resolved.get(LIST, {}).items()
    ]
    again = resolved["confirming"]
    if resolved["study"]["sampler"] not in GRID_OR_LIST:
        lines.append(
            f"confirm  {again} trainings more, over fresh seeds" if again else "confirm  no"
        )
    each = f"{resolved['seconds_a_trial']:.1f} s a trial, measured now"
    about = duration(resolved["seconds"])
    given = resolved["study"]["sampler"] in GRID_OR_LIST
    drawn = "the settings given" if given else "random settings"
    lines.append(f"time     about {about} of training for {drawn}, unpruned ({each})")
    if not resolved["device"].startswith("CPU"):
        lines.append("         timed alone; trials that share the device take less")
    elif not given:
        lines.append("         a search that comes to favour large networks takes longer")
    return "\n".join(lines)


def _data(table: Mapping[str, Any], dropped: int) -> str:
    """What is unusual about it."""
    unusual = f", {' and '.join(table['classes'])} alone" if table.get("classes") else ""
    if not table.get("own_test", True):
        unusual += ", with a stand-in for its test part,"
    if table.get("drop_duplicates"):
        unusual = f"{unusual.rstrip(',')}, without duplicates in training ({dropped:,} dropped),"
    return unusual


def _shown(value: Any) -> str:
    """A setting as a study file would have it, a range in words."""
    if not isinstance(value, dict):
        return json.dumps(value)
    text = f"{value['low']:g} to {value['high']:g}"
    text += ", log" if value.get("log") else ""
    return text + (f", {value['zero']:.0%} zeros" if value.get("zero") else "")


def _trial_seconds(planned: Plan, prepared: Prepared) -> float:
    """Mean over settings drawn at random: a few steps of each alone, times all it would do."""
    device = planned.devices[0]
    threads = torch.get_num_threads()
    try:
        if device == "cpu":
            torch.set_num_threads(1)
        data = DeviceData(load_splits(prepared.training), device)
        specs = random_specs(planned.config, DRAWS)
        return statistics.fmean(spec.epochs * _epoch_seconds(spec, data) for spec in specs)
    finally:
        torch.set_num_threads(threads)


def _epoch_seconds(spec: TrialSpec, data: DeviceData) -> float:
    cell = together([TrialState.fresh("", spec, data)], data)
    cell.begin_epoch()
    cell.train_steps(min(WARM, cell.steps))
    started = _now(data)
    cell.begin_epoch()
    steps = min(TIMED, cell.steps)
    cell.train_steps(steps)
    trained = _now(data)
    cell.validate()
    evaluated = (_now(data) - trained) / spec.evaluate_every
    return (trained - started) / steps * cell.steps + evaluated


def _now(data: DeviceData) -> float:
    """Once the device has done what was asked of it."""
    if data.device.type == "cuda":
        torch.cuda.synchronize(data.device)
    return time.perf_counter()
