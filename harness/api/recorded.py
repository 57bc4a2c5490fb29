"""What the commands do with a study on record: load, test, predict, compare, replay, check."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.api.arguments import make_options
from harness.api.result import StudyResult
from harness.errors import ConfigError
from harness.progress.choose import open_progress
from harness.workspace import Workspace, resolve_storage

if TYPE_CHECKING:
    from harness.analysis.comparison import Comparison
    from harness.analysis.replay_result import ReplayResult
    from harness.api.study import Study
    from harness.checks.report import DoctorReport
    from harness.executors.devices import DeviceOption
    from harness.sweep.progress import ProgressDisplay
    from harness.sweep.train_once import TrainResult

Place = str | Path


def load(
    study: str,
    *,
    tracking_uri: str | None = None,
    storage: str | None = None,
    home: Place = "mlruns",
) -> StudyResult:
    """Load a study from the record. Nothing is trained, and nothing is written.

    Args:
        study: the study's name.
        tracking_uri: an MLflow server or database; by default `$MLFLOW_TRACKING_URI`, else `home`.
        storage: PostgreSQL URL of Optuna's record, if it is not in `home`.

    Raises:
        StudyError: there is no such study, or it has no result yet.

    Example:
        >>> result = harness.load("quickstart")
        >>> result.trials.sort_values("best_val_accuracy").tail(3)
    """
    from harness.analysis.lookup import find_study
    from harness.analysis.summary import load_summary
    from harness.test_set.selection import freeze_selection

    workspace = _open_workspace(home, storage)
    uri = workspace.resolve_tracking_uri(tracking_uri)
    tracker = workspace.open_tracker(uri, reading=True)
    recorded = find_study(tracker, study)
    path, champion = workspace.report_path(study, uri), freeze_selection(recorded).champion
    summary = load_summary(recorded, champion, tracker, path, workspace.format_uri(uri))
    return StudyResult(summary, workspace, uri)


def open_test_set(
    study: str,
    *,
    data_dir: Place | None = None,
    tracking_uri: str | None = None,
    storage: str | None = None,
    home: Place = "mlruns",
    progress: bool | ProgressDisplay = True,
) -> StudyResult:
    """Open the test set that `run_study(..., test=False)` left sealed, once.

    If it is open already, it is not read again. Raises HarnessError.
    """
    workspace = _open_workspace(home, storage)
    with open_progress(progress, "reading the record") as display:
        from harness.sweep.sealed_study import open_sealed_test_set

        result = open_sealed_test_set(
            workspace,
            study,
            watcher=display,
            data_dir=_to_path(data_dir),
            tracking_uri=tracking_uri,
        )
    return StudyResult(result.summary, workspace, workspace.resolve_tracking_uri(tracking_uri))


def predict(
    model: str,
    inputs: Any,
    *,
    probabilities: bool = False,
    tracking_uri: str | None = None,
    home: Place = "mlruns",
) -> Any:
    """Predict with a recorded model.

    Args:
        model: a study, for its champion; a trial `STUDY/12`; an MLflow run id; or a registered
            model `models:/NAME@champion`.
        inputs: examples [N, *shape] as an array or tensor, in the units of the data; or rows, as a
            DataFrame or the path of a table; or image files, as a path or a list of paths.
        probabilities: return the probability of each class [N, classes] instead.

    Returns:
        An array [N] of class names, or of numbers for a regression.

    Raises:
        UserError: there is no such model, or the inputs do not fit it.

    Example:
        >>> harness.predict("quickstart", digits[:3])
        array(['0', '1', '2'], dtype='<U1')
    """
    from harness.api.predictions import predict_inputs

    return predict_inputs(_open_workspace(home), tracking_uri, model, inputs, probabilities)


def report(study: str, *, tracking_uri: str | None = None, home: Place = "mlruns") -> Path:
    """Write a study's report again from the record, and return its path. Raises StudyError."""
    from harness.reports.live_page import write_study_page

    return write_study_page(_open_workspace(home), study, tracking_uri)


def compare(*names: str, tracking_uri: str | None = None, home: Place = "mlruns") -> Comparison:
    """Compare trials, or the champions of studies, by paired tests.

    Args:
        names: two or more studies, trials (`"fashion-mnist/12"`) or MLflow run ids.

    Raises:
        UserError: one of them is not on record, or there are fewer than two.
    """
    from harness.analysis.comparison import compare as run

    tracker = _open_workspace(home).open_tracker(tracking_uri, reading=True)
    return run(tracker, list(names))


def replay(
    name: str,
    *,
    device: DeviceOption = None,
    data_dir: Place | None = None,
    tracking_uri: str | None = None,
    home: Place = "mlruns",
    progress: bool | ProgressDisplay = True,
) -> ReplayResult:
    """Train a recorded trial again and compare it with the record; see `harness replay --help`.

    `result.is_reproduced` is the answer. Raises HarnessError.
    """
    with open_progress(progress, "reading the record") as display:
        from harness.sweep.replay import replay as run

        return run(
            _open_workspace(home),
            name,
            watcher=display,
            device=device,
            data_dir=_to_path(data_dir),
            tracking_uri=tracking_uri,
        )


def doctor(
    study: str | None = None,
    *,
    repair: bool = False,
    tracking_uri: str | None = None,
    storage: str | None = None,
    home: Place = "mlruns",
) -> DoctorReport:
    """Check that all records of a study, or of all studies, agree.

    `report.healthy` is the answer. Nothing is written without `repair`. Raises HarnessError.
    """
    from harness.checks.report import check_studies

    return check_studies(_open_workspace(home, storage), study, tracking_uri, repair)


def train(
    study: Study | str | Path,
    *,
    overrides: Sequence[str] = (),
    test: bool = False,
    device: DeviceOption = None,
    seed: int | None = None,
    data_dir: Place | None = None,
    tracking_uri: str | None = None,
    home: Place = "mlruns",
    progress: bool | ProgressDisplay = True,
) -> TrainResult:
    """Train one model with the settings in [train], without a search.

    Args:
        study: a `Study`, or the name or path of a study file.
        overrides: settings that replace those of the study, such as ["train.hidden=[300,100]"].
        test: open the test set for this model after training.

    Raises:
        HarnessError: the model cannot be trained.
    """
    with open_progress(progress) as display:
        from harness.api.run import find_file
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
        plan = make_plan(find_file(study, options), options)
        return train_once(plan, test=test, watcher=display)


def _open_workspace(home: Place, storage: str | None = None) -> Workspace:
    if not isinstance(home, str | Path):
        raise ConfigError(f"home: {home!r} is not a path")
    return Workspace(Path(home), resolve_storage(storage))


def _to_path(path: Place | None) -> Path | None:
    return None if path is None else Path(path)
