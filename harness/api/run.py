"""Run a study from Python, or train one model with the settings of one."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypedDict

from harness.api.arguments import make_options
from harness.api.study import Study
from harness.api.wording import use_python_words
from harness.errors import ConfigError
from harness.progress.choose import open_progress

if TYPE_CHECKING:
    from harness.api.result import StudyResult
    from harness.executors.devices import DeviceOption
    from harness.sweep.options import RunOptions
    from harness.sweep.progress import ProgressDisplay
    from harness.sweep.train_once import TrainResult


class RunKeys(TypedDict, total=False):
    """The options of `run_study`."""

    trials: int | None
    device: DeviceOption
    workers: int | None
    timeout: str | float | None
    seed: int | None
    warm_start: str | None
    data_dir: str | Path | None
    tracking_uri: str | None
    overrides: Sequence[str]
    confirm: bool
    test: bool
    ray: str | None
    cpus_per_worker: int | None
    storage: str | None
    home: str | Path
    fresh: bool
    progress: bool | ProgressDisplay


def run_study(
    study: Study | str | Path = "fashion-mnist",
    *,
    trials: int | None = None,
    device: DeviceOption = None,
    workers: int | None = None,
    timeout: str | float | None = None,
    seed: int | None = None,
    warm_start: str | None = None,
    data_dir: str | Path | None = None,
    tracking_uri: str | None = None,
    overrides: Sequence[str] = (),
    confirm: bool = True,
    test: bool = True,
    ray: str | None = None,
    cpus_per_worker: int | None = None,
    storage: str | None = None,
    home: str | Path = "mlruns",
    fresh: bool = False,
    progress: bool | ProgressDisplay = True,
) -> StudyResult:
    """Run a study to its end, or resume it where it stopped.

    The arguments are the options of `harness run-study`.

    Args:
        study: a `Study`, or the name or path of a study file.
        trials: total number of trials, earlier ones included.
        device: "gpu" demands CUDA, "cpu" forbids it, None takes what the machine has.
        workers: number of worker processes; 0 trains in this process.
        timeout: start no more trials after this time: seconds, or `"90s"`, `"10m"`, `"2h"`.
        seed: the study's seed, in place of that of the study.
        warm_start: a recorded study whose best settings are tried first.
        overrides: settings that replace those of the study file, such as ["train.epochs=3"].
        confirm: whether a search's best settings are trained again on new splits.
        test: False leaves the test set sealed; `open_test_set` opens it later, once.
        data_dir: the folder of built-in datasets; by default `$HARNESS_DATA_DIR`, else a cache.
        tracking_uri: an MLflow server or database; by default `$MLFLOW_TRACKING_URI`, else `home`.
        ray: "auto", "local" or the address of a Ray cluster that trains the trials.
        cpus_per_worker: cores for each worker on the cluster.
        storage: PostgreSQL URL of Optuna's record, if it is not in `home`.
        home: the folder for all records.
        fresh: start over; the old study stays under a new name.
        progress: a table in a notebook or a terminal and lines elsewhere; False is silent.

    Raises:
        HarnessError: the study cannot be run, or was interrupted.

    Examples:
        >>> result = harness.run_study("quickstart", trials=20)
        >>> result.test.accuracy
    """
    with open_progress(progress) as display:
        from harness.api.result import StudyResult
        from harness.sweep.plan import make_plan
        from harness.sweep.run import execute_plan

        options = make_options(
            trials=trials,
            device=device,
            workers=workers,
            timeout=timeout,
            seed=seed,
            warm_start=warm_start,
            data_dir=data_dir,
            tracking_uri=tracking_uri,
            overrides=overrides,
            confirm=confirm,
            test=test,
            ray=ray,
            cpus_per_worker=cpus_per_worker,
            storage=storage,
            home=home,
        )
        with use_python_words(study, home, display) as watcher:
            plan = make_plan(find_file(study, options), options)
            summary = execute_plan(plan, fresh=fresh, watcher=watcher)
    return StudyResult(summary, plan.workspace, plan.resolved_tracking_uri)


def train(
    study: Study | str | Path,
    *,
    overrides: Sequence[str] = (),
    test: bool = False,
    device: DeviceOption = None,
    seed: int | None = None,
    data_dir: str | Path | None = None,
    tracking_uri: str | None = None,
    home: str | Path = "mlruns",
    progress: bool | ProgressDisplay = True,
) -> TrainResult:
    """Train one model with the settings in [train], without a search.

    The returned result has `result`, the metrics, and `run_id`, the MLflow run, which
    `harness.predict` takes.

    Args:
        study: a `Study`, or the name or path of a study file.
        overrides: settings that replace those of the study, such as ["train.hidden=[300,100]"].
        test: open the test set for this model after training.

    Raises:
        HarnessError: the model cannot be trained.

    Examples:
        >>> trained = harness.train("quickstart", overrides=["train.epochs=3"])
        >>> trained.result.best.val_accuracy
        0.9306
        >>> harness.predict(trained.run_id, digits[:3])
        array(['0', '1', '2'], dtype='<U1')
    """
    with open_progress(progress) as display:
        from harness.sweep.plan import make_plan
        from harness.sweep.train_once import train_once

        options = make_options(
            device=device,
            seed=seed,
            data_dir=data_dir,
            tracking_uri=tracking_uri,
            overrides=overrides,
            home=home,
        )
        with use_python_words(study, home, display) as watcher:
            plan = make_plan(find_file(study, options), options)
            return train_once(plan, test=test, watcher=watcher)


def find_file(study: Study | str | Path, options: RunOptions) -> str | Path:
    """Return what names a study on the command line; write the files of an object first."""
    if isinstance(study, Study):
        return study.write(options.home)
    if not isinstance(study, str | Path):
        raise ConfigError(
            f"study: {type(study).__name__} is not a study; give harness.Study(name, data, ...), "
            "or the name or path of a study file"
        )
    return study
