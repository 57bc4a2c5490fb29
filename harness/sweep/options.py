"""The options of a run, checked once: those of `harness run-study` and `harness.run_study`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.config.study_tables import MAX_SEED, MAX_TRIALS, parse_duration
from harness.errors import ConfigError, mask_credentials
from harness.executors.devices import DeviceOption

MAX_WORKERS = 1000


@dataclass(frozen=True)
class RunOptions:
    """How to run a study; None leaves the choice to the study file, the environment or the machine.

    Raises ConfigError, by the name of the command line's option, for a value that is out of range.
    """

    trials: int | None = None
    device: DeviceOption = None
    """`gpu` demands CUDA, `cpu` forbids it."""
    workers: int | None = None
    """0 trains in this process."""
    timeout: str | None = None
    seed: int | None = None
    data_dir: str | Path | None = None
    tracking_uri: str | None = None
    overrides: Sequence[str] = ()
    """`TABLE.KEY=VALUE` each."""
    warm_start: str | None = None
    """The earlier study whose best settings are tried first."""
    confirm: bool = True
    """Whether a search's winner is trained again on new splits."""
    test: bool = True
    """Whether the test set is opened for the winner; if not, `harness test` opens it later."""
    ray: str | None = None
    """Address of a Ray cluster to train on."""
    cpus_per_worker: int | None = None
    """Cores of the Ray cluster for each worker."""
    storage: str | None = None
    """PostgreSQL URL for Optuna's record."""
    home: str | Path = "mlruns"

    def __post_init__(self) -> None:
        if self.device not in ("gpu", "cpu", None):
            raise ConfigError(f"device: {self.device!r} is none of 'gpu', 'cpu' and None")
        _check_number("trials", self.trials, 1, MAX_TRIALS)
        _check_number("workers", self.workers, 0 if self.ray is None else 1, MAX_WORKERS)
        _check_number("cpus-per-worker", self.cpus_per_worker, 1, MAX_WORKERS)
        _check_number("seed", self.seed, 0, MAX_SEED)
        if self.timeout is not None:
            try:
                parse_duration(str(self.timeout))
            except ValueError as error:
                raise ConfigError(f"--timeout: {error}") from None
        if self.cpus_per_worker is not None and self.ray is None:
            raise ConfigError("--cpus-per-worker: reserves cores of a Ray cluster; add --ray")

    @property
    def study_values(self) -> dict[str, Any]:
        """Return the keys of the file's [study] that these options replace."""
        values = {
            "trials": self.trials,
            "timeout": self.timeout,
            "seed": self.seed,
            "warm_start": self.warm_start,
        }
        return {name: value for name, value in values.items() if value is not None}

    def command_line(self, study: str | Path, paths: bool = False) -> list[str]:
        """Return the command that runs the same study; `paths` adds those to data and to stores.

        Passwords in addresses are masked.
        """
        values = self.study_values | {
            "workers": self.workers,
            "ray": self.ray,
            "cpus-per-worker": self.cpus_per_worker,
        }
        if paths:
            addresses = {"tracking-uri": self.tracking_uri, "storage": self.storage}
            masked = {name: mask_credentials(uri) for name, uri in addresses.items() if uri}
            values |= {"data-dir": self.data_dir} | masked
        flags = [
            f"--{name.replace('_', '-')}={value}"
            for name, value in values.items()
            if value is not None
        ]
        flags += [f"--{self.device}"] if self.device else []
        flags += [] if self.confirm else ["--no-confirm"]
        flags += [] if self.test else ["--no-test"]
        sets = [part for override in self.overrides for part in ("--set", override)]
        return ["harness", "run-study", str(study), *flags, *sets]


def _check_number(name: str, value: int | None, least: int, most: int) -> None:
    if value is None:
        return
    if not isinstance(value, int) or isinstance(value, bool):
        raise ConfigError(f"--{name}: must be a whole number, not {value!r}")
    if value < least:
        raise ConfigError(f"--{name}: must be at least {least}, not {value}")
    if value > most:
        raise ConfigError(f"--{name}: must be at most {most}, not {value}")
