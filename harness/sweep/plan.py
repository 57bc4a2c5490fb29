"""The plan of a run: the study file, devices, data and stores, all resolved."""

from __future__ import annotations

import math
import os
import shlex
import statistics
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.analysis.formatting import format_count
from harness.config.loader import load
from harness.config.schema import StudyConfig
from harness.config.study_tables import parse_duration
from harness.data.prepare import PreparedDataset, prepare
from harness.engine import cost_model
from harness.errors import DataError
from harness.executors.base import Executor, Setup
from harness.executors.devices import choose_devices
from harness.executors.fork_server import can_fork_workers, check_workers_allowed, start_fork_server
from harness.executors.ray_cluster import RayOptions
from harness.executors.registry import ExecutorOptions, create_executor
from harness.sweep.check_data import check_data
from harness.sweep.environment import collect_environment, collect_origin
from harness.sweep.options import RunOptions
from harness.tracking.types import (
    CALIBRATED_FACT,
    CONFIRM_FACT,
    ENSEMBLE_FACT,
    MARGIN_FACT,
    MAX_CATEGORIES_FACT,
    MODEL_FOLDER_FACT,
    NO_ENSEMBLE,
    RACE_RULE,
    TARGET_FACT,
    TEST_SET_FACT,
    UNCONFIRMED,
    StudyRecord,
)
from harness.workspace import Workspace, resolve_storage

if TYPE_CHECKING:
    from harness.search.storage.base import StudyStorage

GPU_SLOTS = 64
"""Trials that a GPU worker gets at once; those that do not fit its memory wait in the worker."""
MIN_GAIN = 1.15
"""The least speed-up for which a CPU core trains several trials at once: with more trials in
flight the sampler learns from fewer results."""
RANDOM_SETS = 16
"""Random sets of trials over which that speed-up is averaged."""


@dataclass(frozen=True)
class Plan:
    """All decisions about a run, made before its first side effect."""

    config: StudyConfig
    devices: tuple[str, ...]
    """One for each worker."""
    device: str
    """Description of the devices, for people."""
    inline: bool
    """Whether to train in this process, without workers."""
    workspace: Workspace
    data_dir: Path | None
    tracking_uri: str | None
    command: str
    """The command for the same study, without paths to data and to stores."""
    rerun_command: str = ""
    """The command to continue the study in this folder, with these paths."""
    ray: RayOptions | None = None
    """The Ray cluster to train on, instead of this machine."""
    opens_test_set: bool = True
    """Whether the test set is opened for the champion at the end of the study."""

    @property
    def resolved_tracking_uri(self) -> str:
        return self.workspace.resolve_tracking_uri(self.tracking_uri)

    @property
    def storage(self) -> StudyStorage:
        """Where Optuna's record is."""
        return self.workspace.study_storage(self.resolved_tracking_uri)

    @property
    def study_folder(self) -> Path:
        """The study file's folder, which is also searched for custom models."""
        return Path(self.config.source).parent

    def prepare(
        self, cache: Path | None = None, download: bool = True, redraw: bool = False
    ) -> PreparedDataset:
        """Find, decode and split the study's data. Raises DataError and ConfigError.

        `redraw` adds the splits of the confirmation runs. Settings that cannot be trained are
        refused here too, before anything is written.
        """
        from harness.search.samplers import check_space

        check_space(self.config)
        options = self.config.data.model_dump()
        try:
            prepared = prepare(
                **options,
                data_dir=self.data_dir,
                cache=cache,
                download=download,
                redrawn=self.config.redrawn_splits if redraw else 0,
            )
        except DataError as error:
            where = f"{self.config.source}: " if str(error).startswith("[data]") else ""
            raise DataError(f"{where}{error}") from error
        check_data(self.config, prepared)
        return prepared

    def preload_workers(self) -> None:
        """Let a new study's fork server import torch while this process imports Optuna.

        A recorded study may have nothing to train, and an import that nobody needs takes 3 s.
        """
        if self.inline or self.ray is not None or not can_fork_workers():
            return
        if not self.workspace.may_have_journal(self.config.study.name):
            start_fork_server()

    @contextmanager
    def join_cluster(self) -> Iterator[Plan]:
        """Join the Ray cluster, if the plan has one; yields the plan with the cluster's devices."""
        if self.ray is None:
            yield self
            return
        from harness.executors.ray_cluster import join_cluster

        with join_cluster(self.ray) as room:
            workers = min(self.ray.max_workers or room.workers, room.workers)
            yield replace(self, devices=(room.device,) * workers, device=room.description)

    def create_executor(
        self,
        prepared: PreparedDataset,
        trials: int,
        notify: Callable[[str], None] = lambda text: None,
        silent_epochs: int = 1,
    ) -> Executor:
        """Create the executor for this many trials, with no more workers than trials.

        `notify` receives messages, such as what a cluster's workers wait for. `silent_epochs`: the
        most epochs that a trial trains before it reports one.
        """
        objective, devices = self.config.study.objective, self.devices[:trials]
        slots = 1 if trials <= len(devices) else self.count_slots(prepared)
        options = ExecutorOptions(
            files=prepared.training,
            setups=[Setup(objective, device, slots) for device in devices],
            trials=trials,
            hung_after=silent_epochs * parse_duration(self.config.study.hung_after),
            ray=self.ray,
            notify=notify,
        )
        return create_executor(self.executor_name, options)

    @property
    def executor_name(self) -> str:
        """The name of the plan's executor in `harness.executors.registry`."""
        if self.inline:
            return "inline"
        return "processes" if self.ray is None else "ray"

    def count_slots(self, prepared: PreparedDataset) -> int:
        """Return how many trials a worker trains at once.

        A single CPU worker trains one at a time, so that a sweep repeats bit for bit.
        """
        if self.inline or self.config.models:
            return 1  # custom models always train alone
        if self.devices[0] != "cpu":
            return GPU_SLOTS
        if self.config.data.folds:
            return 1  # the folds of a trial train together
        if len(self.devices) == 1 or self.estimate_gain(prepared) < MIN_GAIN:
            return 1
        return cost_model.CPU_SLOTS

    def estimate_gain(self, prepared: PreparedDataset) -> float:
        """Estimate the speed-up of a CPU core that trains CPU_SLOTS trials at once."""
        from harness.search.samplers import sample_random_specs

        training, size = prepared.training, cost_model.CPU_SLOTS
        inputs, outputs = math.prod(training.shape), len(training.classes) or 1
        specs = sample_random_specs(self.config, RANDOM_SETS * size)
        return statistics.fmean(
            cost_model.estimate_gain(specs[start : start + size], inputs, outputs)
            for start in range(0, len(specs), size)
        )

    def build_record(
        self, prepared: PreparedDataset, uid: str, slots: int | None = None, **more: Any
    ) -> StudyRecord:
        """Build the study's record.

        Args:
            slots: the most trials that a worker trains at once; None for `count_slots`.
            more: further fields of the record, or replacements.
        """
        slots = self.count_slots(prepared) if slots is None else slots
        facts = collect_environment(prepared, self.device, len(self.devices), slots)
        facts |= collect_origin(self.workspace.root)
        facts["command"] = self.command
        facts[CONFIRM_FACT] = self.confirmation_rule
        facts[ENSEMBLE_FACT] = self.ensemble_rule
        facts[CALIBRATED_FACT] = "yes" if self.config.study.calibrated else "no"
        facts[MARGIN_FACT] = f"{self.config.confirm.margin:g}"
        facts[TARGET_FACT] = str(self.config.study.trials)
        facts[TEST_SET_FACT] = prepared.test_digest
        if self.config.data.max_categories:
            facts[MAX_CATEGORIES_FACT] = str(self.config.data.max_categories)
        if self.config.models:
            facts[MODEL_FOLDER_FACT] = os.path.relpath(self.study_folder)
        record = StudyRecord(
            name=self.config.study.name,
            uid=uid,
            text=self.config.text,
            definition=self.config.definition(),
            facts=facts,
            dataset=prepared.name,
            dataset_digest=prepared.digest,
            dataset_source=prepared.location,
            sizes=prepared.sizes,
            classes=prepared.training.classes,
            validation_labels=prepared.training.validation_labels(),
        )
        return replace(record, **more)

    @property
    def confirmation_rule(self) -> str:
        """How the winner is confirmed, as text in the record."""
        if not self.config.has_confirmation:
            return UNCONFIRMED
        table, top, seeds = self.config.confirm, self.config.confirm.top, self.config.confirm.seeds
        if table.race:
            return f"{RACE_RULE}the best {format_count(top, 'setting')} over {table.runs} runs"
        return f"the best {format_count(top, 'setting')} over {format_count(seeds, 'seed')}"

    @property
    def ensemble_rule(self) -> str:
        """How the ensemble is chosen, as text in the record."""
        table = self.config.ensemble
        if not table.size:
            return NO_ENSEMBLE
        members = format_count(table.size, "member")
        return f"up to {members} of the best {format_count(table.candidates, 'trial')}"


def make_plan(study: str | Path, options: RunOptions) -> Plan:
    """Resolve a study and where it will run, without side effects. Raises UserError."""
    config = load(study, options.overrides, options.study_values)
    if not options.confirm:
        config = replace(config, confirm=config.confirm.model_copy(update={"seeds": 0}))
    workspace = Workspace(Path(options.home), resolve_storage(options.storage))
    # Reject a bad address before anything is written.
    uri = workspace.resolve_tracking_uri(options.tracking_uri)
    if workspace.storage is not None:
        workspace.study_storage(uri)
    cluster = None
    if options.ray is not None:
        cores = options.cpus_per_worker or 1
        cluster = RayOptions(options.ray, options.device, cores, options.workers)
        available, description = ["cpu"], f"Ray cluster {options.ray}"  # unknown until joined
    else:
        if options.workers != 0:
            check_workers_allowed()
        available, description = choose_devices(options.device)
    workers = len(available) if options.workers is None else options.workers
    return Plan(
        config,
        devices=tuple(available[index % len(available)] for index in range(max(1, workers))),
        device=description,
        inline=workers == 0,
        workspace=workspace,
        data_dir=Path(options.data_dir) if options.data_dir is not None else None,
        tracking_uri=options.tracking_uri,
        command=shlex.join(options.command_line(study)),
        rerun_command=shlex.join(options.command_line(study, paths=True)),
        ray=cluster,
        opens_test_set=options.test,
    )
