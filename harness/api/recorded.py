"""What the commands do with a study on record: load, test, predict, compare, replay, check."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.api.result import StudyResult
from harness.api.study import Study
from harness.errors import ConfigError
from harness.progress.choose import is_notebook, open_progress
from harness.workspace import Workspace, resolve_storage

if TYPE_CHECKING:
    from harness.analysis.comparison import Comparison
    from harness.analysis.replay_result import ReplayResult
    from harness.checks.report import DoctorReport
    from harness.executors.devices import DeviceOption
    from harness.sweep.progress import ProgressDisplay

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
        home: the folder of the records.

    Raises:
        StudyError: there is no such study, or it has no result yet.

    Examples:
        >>> result = harness.load("quickstart")
        >>> result.trials.sort_values("best_val_accuracy").tail(3)
    """
    _check_names(study=study)
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

    If it is open already, it is not read again, and the result is the same.

    Args:
        study: the study's name.
        data_dir: the folder of built-in datasets; by default `$HARNESS_DATA_DIR`, else a cache.

    Raises:
        HarnessError: there is no such study, or its data has changed.

    Examples:
        >>> study.run(test=False).test is None
        True
        >>> harness.open_test_set("quickstart").test.accuracy
        0.9833
    """
    _check_names(study=study)
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
    sets: bool = False,
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
        sets: return the classes instead that hold the true one with a probability of 90 %, as one
            text, the most probable first: `cat|dog`. For a study's champion.

    Returns:
        An array [N] of numbers for a regression, else of classes: for rows the values of the
        target, for arrays and images the names, which are text.

    Raises:
        UserError: there is no such model, or the inputs do not fit it.

    Examples:
        >>> harness.predict("quickstart", digits[:3])
        array(['0', '1', '2'], dtype='<U1')
    """
    _check_names(model=model)
    from harness.api.predictions import predict_inputs

    workspace = _open_workspace(home)
    return predict_inputs(workspace, tracking_uri, model, inputs, probabilities, sets)


def report(study: str, *, tracking_uri: str | None = None, home: Place = "mlruns") -> Path:
    """Write a study's report again from the record, and return its path. Raises StudyError.

    Examples:
        >>> harness.report("quickstart")
        PosixPath('mlruns/reports/quickstart/index.html')
    """
    _check_names(study=study)
    from harness.reports.live_page import write_study_page

    return write_study_page(_open_workspace(home), study, tracking_uri)


def compare(*names: str, tracking_uri: str | None = None, home: Place = "mlruns") -> Comparison:
    """Compare trials, or the champions of studies, by paired tests.

    Args:
        names: two to eight studies, trials (`"fashion-mnist/12"`) or MLflow run ids.

    Raises:
        UserError: one of them is not on record, or there is only one, or more than eight.

    Examples:
        >>> print(harness.compare("quickstart/3", "quickstart/7"))
    """
    for name in names:
        _check_names(names=name)
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
    """Train a recorded trial again, and compare the result with the record.

    The returned result's `is_reproduced` says whether they agree.

    Args:
        name: a trial `STUDY/12`, a study for its champion, or an MLflow run id.
        device: "gpu" demands CUDA, "cpu" forbids it, None takes what the machine has.

    Raises:
        HarnessError: there is no such trial, or its data or model has changed.

    Examples:
        >>> harness.replay("quickstart/12").is_reproduced
        True
    """
    _check_names(name=name)
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

    The returned report's `healthy` says whether nothing is wrong, and `print` lists what is.

    Args:
        study: the study's name; by default all studies.
        repair: repair what can be repaired. Without it, nothing is written.

    Raises:
        HarnessError: there is no such study, or the store cannot be read.

    Examples:
        >>> harness.doctor("quickstart").healthy
        True
    """
    if study is not None:
        _check_names(study=study)
    from harness.checks.report import check_studies

    return check_studies(_open_workspace(home, storage), study, tracking_uri, repair)


def _check_names(**names: Any) -> None:
    for argument, name in names.items():
        if isinstance(name, Study):
            raise ConfigError(f"{argument}: give the study's name, {name.name!r}, as text")
        if not isinstance(name, str):
            raise ConfigError(f"{argument}: must be a name as text, not {type(name).__name__}")


def _open_workspace(home: Place, storage: str | None = None) -> Workspace:
    if not isinstance(home, str | Path):
        raise ConfigError(f"home: {home!r} is not a path")
    if is_notebook():
        from harness.progress.notebook import import_tqdm

        import_tqdm()
    return Workspace(Path(home), resolve_storage(storage))


def _to_path(path: Place | None) -> Path | None:
    return None if path is None else Path(path)
