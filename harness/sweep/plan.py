"""A study, resolved: its file, its devices, its data, where its records go."""

from __future__ import annotations

import math
import os
import shlex
import statistics
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from harness.config.loader import load
from harness.config.schema import MOST_SEED, MOST_TRIALS, StudyConfig, seconds
from harness.data.prepare import Prepared, prepare
from harness.engine import cost_model
from harness.errors import ConfigError, DataError
from harness.executors.base import Executor, Setup
from harness.executors.devices import Demand, choose
from harness.executors.processes import ProcessExecutor
from harness.executors.ray_cluster import Ray
from harness.search.draws import random_specs
from harness.search.storage.base import StudyStorage
from harness.sweep.environment import facts
from harness.tracking.types import CONFIRM, MODEL_FOLDER, TEST_SET, UNCONFIRMED, StudyRecord
from harness.workspace import Workspace, storage_of

GPU_SLOTS = 64
"""Trials that a GPU worker is given at once; what its memory does not hold waits there."""
WORTHWHILE, DRAWS = 1.15, 16
"""More trials in flight leave the sampler less to learn from: they must gain this much, by the
mean over so many random sets."""
MOST_WORKERS = 1000


@dataclass(frozen=True)
class Plan:
    """Everything that was decided before the first side effect."""

    config: StudyConfig
    devices: tuple[str, ...]
    """One entry a worker."""
    device: str
    """For people."""
    inline: bool
    """Whether to train in this process, without workers."""
    home: Workspace
    data_dir: Path | None
    tracking_uri: str | None
    command: str
    """What to type for the same study; a path to data or a store is not in it."""
    ray: Ray | None = None
    """The Ray cluster to train on, instead of this machine."""

    @property
    def store(self) -> str:
        """The tracking URI."""
        return self.home.tracking_uri(self.tracking_uri)

    @property
    def place(self) -> StudyStorage:
        """Of the Optuna record."""
        return self.home.place(self.store)

    @property
    def folder(self) -> Path:
        """Where the study file lies: models of one's own are looked for there too."""
        return Path(self.config.source).parent

    def prepare(self, cache: Path | None = None, download: bool = True) -> Prepared:
        data = self.config.data
        try:
            prepared = prepare(
                data.name,
                validation=data.validation,
                test=data.test,
                split_seed=data.split_seed,
                normalize=data.normalize,
                own_test=data.own_test,
                classes=data.classes,
                drop_duplicates=data.drop_duplicates,
                task=data.task,
                target=data.target,
                ignore=data.ignore,
                size=data.size,
                data_dir=self.data_dir,
                cache=cache,
                download=download,
            )
        except DataError as error:
            where = f"{self.config.source}: " if str(error).startswith("[data]") else ""
            raise DataError(f"{where}{error}") from error
        self._check_batches(prepared.sizes["train"])
        self._check_pictures(prepared.training.shape)
        return prepared

    @contextmanager
    def joined(self) -> Iterator[Plan]:
        """The plan with the cluster's devices, where it goes to one, while it is joined."""
        if self.ray is None:
            yield self
            return
        from harness.executors.ray_cluster import joined

        with joined(self.ray) as room:
            workers = room.workers if self.ray.most is None else min(self.ray.most, room.workers)
            yield replace(self, devices=(room.device,) * workers, device=room.described)

    def executor(
        self, prepared: Prepared, trials: int, tell: Callable[[str], None] = lambda text: None
    ) -> Executor:
        """For so many trials: no more workers than that. `tell` is told what keeps them waiting."""
        objective, devices = self.config.study.objective, self.devices[:trials]
        slots = 1 if trials <= len(devices) else self.slots(prepared)
        setups = [Setup(objective, device, slots) for device in devices]
        if self.inline:
            from harness.executors.inline import InlineExecutor

            return InlineExecutor(prepared.training, setups[0])
        hung_after = seconds(self.config.study.hung_after)
        if self.ray is not None:
            from harness.executors.ray_executor import RayExecutor

            return RayExecutor(
                prepared.training,
                setups[0],
                cpus=self.ray.cpus,
                most=min(trials, self.ray.most or trials),
                hung_after=hung_after,
                tell=tell,
            )
        return ProcessExecutor(prepared.training, setups, hung_after)

    def slots(self, prepared: Prepared) -> int:
        """How many trials a worker trains at once.

        A CPU core alone trains one at a time: then a sweep repeats bit for bit.
        """
        if self.inline or self.config.models:
            return 1  # a model of one's own trains alone anyway
        if self.devices[0] != "cpu":
            return GPU_SLOTS
        if len(self.devices) == 1 or self.gain(prepared) < WORTHWHILE:
            return 1
        return cost_model.CPU_SLOTS

    def gain(self, prepared: Prepared) -> float:
        """How many times faster a core is with as many trials at once as it may have."""
        training = prepared.training
        size = cost_model.CPU_SLOTS
        specs = random_specs(self.config, DRAWS * size)
        return statistics.fmean(
            cost_model.gain(
                specs[i : i + size], math.prod(training.shape), len(training.classes) or 1
            )
            for i in range(0, len(specs), size)
        )

    def record(
        self, prepared: Prepared, uid: str, slots: int | None = None, **more: Any
    ) -> StudyRecord:
        """`slots`: the most trials that a worker trains at once, where it is not a study's."""
        slots = self.slots(prepared) if slots is None else slots
        return StudyRecord(
            **{
                "name": self.config.study.name,
                "uid": uid,
                "text": self.config.text,
                "definition": self.config.definition(),
                "facts": facts(prepared, self.device, len(self.devices), slots)
                | {
                    "command": self.command,
                    CONFIRM: self.confirming,
                    TEST_SET: prepared.test_digest,
                }
                | ({MODEL_FOLDER: os.path.relpath(self.folder)} if self.config.models else {}),
                "dataset": prepared.name,
                "dataset_digest": prepared.digest,
                "dataset_source": prepared.where,
                "sizes": prepared.sizes,
                "classes": prepared.training.classes,
                "validation_labels": prepared.training.validation_labels(),
            }
            | more
        )

    @property
    def confirming(self) -> str:
        """How the winner is confirmed, as the record has it."""
        if not self.config.confirms:
            return UNCONFIRMED
        return f"the best {self.config.confirm.top} settings over {self.config.confirm.seeds} seeds"

    def _check_batches(self, examples: int) -> None:
        largest = self.config.largest("batch_size")
        if largest > examples:
            raise ConfigError(
                f"{self.config.source}: batch_size {largest} is more than the {examples:,} "
                f"training examples of '{self.config.data.name}'; choose a smaller one"
            )

    def _check_pictures(self, shape: tuple[int, ...]) -> None:
        tables = (self.config.train, *self.config.settings.values())
        sampled = self.config.space.dimensions.get("augment")
        given = [table.get("augment") for table in tables] + list(getattr(sampled, "values", ()))
        if any(given) and len(shape) not in (2, 3):
            raise ConfigError(
                f"{self.config.source}: augment: changes pictures, and the examples of "
                f"'{self.config.data.name}' are {list(shape)}; leave it out"
            )


def plan(
    study: str | Path = "fashion-mnist",
    *,
    trials: int | None = None,
    device: Demand = None,
    workers: int | None = None,
    timeout: str | None = None,
    seed: int | None = None,
    data_dir: str | Path | None = None,
    tracking_uri: str | None = None,
    overrides: Sequence[str] = (),
    confirm: bool = True,
    ray: str | None = None,
    cpus_per_worker: int | None = None,
    storage: str | None = None,
    home: str | Path = "mlruns",
) -> Plan:
    """Resolve a study and where it will run. Raises UserError; touches nothing."""
    if device not in ("gpu", "cpu", None):
        raise ConfigError(f"device: {device!r} is none of 'gpu', 'cpu' and None")
    ranges = {
        "trials": (trials, 1, MOST_TRIALS),
        "workers": (workers, 0 if ray is None else 1, MOST_WORKERS),
        "cpus-per-worker": (cpus_per_worker, 1, MOST_WORKERS),
    }
    for name, (value, least, most) in (ranges | {"seed": (seed, 0, MOST_SEED)}).items():
        if value is not None and not isinstance(value, int):
            raise ConfigError(f"--{name}: must be a whole number, not {value!r}")
        if value is not None and value < least:
            raise ConfigError(f"--{name}: must be at least {least}, not {value}")
        if value is not None and value > most:
            raise ConfigError(f"--{name}: must be at most {most}, not {value}")
    if timeout is not None:
        try:
            seconds(timeout)
        except ValueError as error:
            raise ConfigError(f"--timeout: {error}") from None
    given: dict[str, Any] = {"trials": trials, "timeout": timeout, "seed": seed}
    options = {name: value for name, value in given.items() if value is not None}
    config = load(study, overrides, options)
    if not confirm:
        config = replace(config, confirm=config.confirm.model_copy(update={"seeds": 0}))
    here = Workspace(Path(home), storage_of(storage))
    here.place(here.tracking_uri(tracking_uri))  # refused before anything is made
    if cpus_per_worker is not None and ray is None:
        raise ConfigError("--cpus-per-worker: sets cores of a Ray cluster aside; give --ray too")
    # Of a cluster's devices nothing is known before it is joined.
    found, described = choose(device) if ray is None else (["cpu"], f"Ray cluster {ray}")
    count = len(found) if workers is None else workers
    devices = tuple(found[index % len(found)] for index in range(max(1, count)))
    folder = Path(data_dir) if data_dir is not None else None
    more = {"workers": workers, "ray": ray, "cpus-per-worker": cpus_per_worker}
    options |= {name: value for name, value in more.items() if value is not None}
    flags = [f"--{name}={value}" for name, value in options.items()]
    flags += [f"--{device}"] if device else []
    flags += [] if confirm else ["--no-confirm"]
    sets = [part for override in overrides for part in ("--set", override)]
    command = shlex.join(["harness", "run-study", str(study), *flags, *sets])
    cluster = Ray(ray, device, cpus_per_worker or 1, workers) if ray is not None else None
    return Plan(
        config, devices, described, count == 0, here, folder, tracking_uri, command, cluster
    )
