"""`run-study --no-test` leaves the test set sealed; `harness test` opens it once."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest
from mlflow import MlflowClient

from harness.api.result import StudyResult
from harness.api.run import run_study
from harness.checks.report import check_studies
from harness.cli.studies_table import format_studies, list_studies
from harness.cli.train_commands import open_test as cli_open_test
from harness.errors import Interruption, StoreError, StudyError
from harness.inference.test_examples import read_test_predictions
from harness.reports.live_page import write_study_page
from harness.sweep.progress import Silent
from harness.sweep.sealed_study import SealedStudyResult, open_sealed_test_set
from harness.test_set.log import TestSetLog
from harness.test_set.sealed import SealedTest
from harness.test_set.selection import freeze_selection
from harness.tracking.mlflow.tracker import MlflowTracker
from harness.tracking.raw_types import selection_file
from harness.workspace import Workspace
from tests.support import regression_table
from tests.support.digits_study import STUDY
from tests.support.list_study import LIST
from tests.sweep.test_regression_study import STUDY as REGRESSION

SEARCH = STUDY.replace("trials = 6", "trials = 3") + "[confirm]\ntop = 2\nseeds = 1\n"


def write_study(folder: Path, kind: str) -> Path:
    """Write the file of a search, a list or a regression."""
    text = {"search": SEARCH, "list": LIST.replace("seeds = 3", "seeds = 2")}.get(kind)
    if text is None:
        inputs, targets = regression_table.make_table(300)
        with (folder / "prices.csv").open("w", newline="") as stream:
            rows = csv.writer(stream)
            rows.writerow([*(f"f{column}" for column in range(inputs.shape[1])), "price"])
            rows.writerows([*x, y] for x, y in zip(inputs.tolist(), targets.tolist(), strict=True))
        text = REGRESSION.format(table=folder / "prices.csv").replace("trials = 6", "trials = 2")
    path = folder / f"{kind}.toml"
    path.write_text(text)
    return path


def run(path: Path, **options: object) -> StudyResult:
    return run_study(path, home=path.parent / "mlruns", device="cpu", workers=0, **options)  # type: ignore[arg-type]


def open_test(path: Path) -> SealedStudyResult:
    return open_sealed_test_set(Workspace(path.parent / "mlruns"), path.stem, watcher=Silent())


def check_nothing_opened(path: Path) -> None:
    """Check that the log has what the study was trained on, once, and no opening."""
    (log,) = (path.parent / "mlruns").glob("test-sets/*.jsonl")
    (line,) = TestSetLog(log).read_lines()
    assert line["study"] == path.stem
    assert "trained" in line


def read_metrics(folder: Path, result: StudyResult | SealedStudyResult) -> dict[str, float]:
    """Return the metrics of the study's run in MLflow."""
    uri = Workspace(folder / "mlruns").local_uri
    run = MlflowClient(uri, registry_uri=uri).get_run(result.summary.study.run_id)
    return dict(run.data.metrics)


SLOW = pytest.mark.slow


@pytest.fixture(
    scope="module",
    params=["search", pytest.param("list", marks=SLOW), pytest.param("regression", marks=SLOW)],
)
def path(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_study(tmp_path_factory.mktemp("sealed"), request.param)


@pytest.fixture(scope="module")
def sealed(path: Path) -> StudyResult:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(SealedTest, "open", lambda *_: pytest.fail("opened"))
        return run(path, test=False)


def test_without_the_test_nothing_of_it_is_read(path: Path, sealed: StudyResult) -> None:
    workspace, study = Workspace(path.parent / "mlruns"), sealed.summary.study
    check_nothing_opened(path)
    assert sealed.test is None
    assert not study.readings
    assert "test" not in {name.partition("/")[0] for name in read_metrics(path.parent, sealed)}
    facts = dict(sealed.summary.lines)
    assert facts["test set"].startswith(f"sealed; open it once with: harness test {path.stem}")
    assert sealed.summary.to_dict()["test"] is None
    digest = freeze_selection(study).hash
    tracker = workspace.open_tracker(reading=True)
    assert tracker.read_file(study.run_id, selection_file(digest)), "the choice is on record"
    assert (sealed.summary.baselines is not None) == (not study.classes)


def test_a_sealed_study_is_healthy_and_reported_as_sealed(path: Path, sealed: StudyResult) -> None:
    workspace = Workspace(path.parent / "mlruns")
    assert check_studies(workspace, None).healthy
    page = write_study_page(workspace, path.stem, None).read_text()
    assert "test set, not read" in page
    (row,) = list_studies(workspace, None, pytest.fail)
    assert (row["test"], row["sealed"]) == (None, True)
    assert "sealed" in format_studies([row])


def test_running_it_again_without_the_test_leaves_it_sealed(
    path: Path, sealed: StudyResult
) -> None:
    again = run(path, test=False)
    assert again.test is None
    check_nothing_opened(path)


def test_the_test_set_is_opened_once_with_the_result_of_an_unsealed_run(
    path: Path,
    sealed: StudyResult,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    opened = open_test(path)
    log = (path.parent / "mlruns").glob("test-sets/*.jsonl")
    before = [file.read_bytes() for file in log]
    assert not opened.was_open
    assert opened.summary.reading is not None
    assert opened.summary.reading.look == 1

    plain = run(write_study(tmp_path, path.stem))
    assert plain.test is not None
    assert plain.test.figures == opened.summary.reading.figures
    assert [fact.text for fact in plain.summary.facts if fact.key == "test"] == [
        fact.text for fact in opened.summary.facts if fact.key == "test"
    ]
    assert read_metrics(tmp_path, plain) == pytest.approx(read_metrics(path.parent, opened))
    page = opened.summary.report_path.read_text()
    assert "test set, not read" not in page
    workspace = Workspace(path.parent / "mlruns")
    assert check_studies(workspace, None).healthy

    monkeypatch.setattr(SealedTest, "open", lambda *_: pytest.fail("opened again"))
    again = open_test(path)
    assert again.was_open
    assert again.summary.reading == opened.summary.reading
    assert f"already opened for '{path.stem}'" in again.describe_opening()
    monkeypatch.chdir(path.parent)
    capsys.readouterr()
    cli_open_test(path.stem)
    printed = capsys.readouterr()
    assert f"already opened for '{path.stem}'" in printed.err
    assert "browse" in printed.out, "the summary"
    assert run(path).test == opened.summary.reading
    assert [file.read_bytes() for file in workspace.root.glob("test-sets/*.jsonl")] == before


@pytest.mark.slow
def test_the_same_command_without_no_test_opens_the_test_set_too(tmp_path: Path) -> None:
    path = write_study(tmp_path, "list")
    sealed = run(path, test=False, overrides=["study.seeds=1"])
    assert sealed.test is None
    result = run(path, overrides=["study.seeds=1"])
    assert result.test is not None
    assert len(result.summary.study.readings) == 2


def test_an_unfinished_study_is_refused_with_its_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_study(tmp_path, "list")

    def stop(*_: object, **__: object) -> None:
        raise Interruption("interrupted")

    with monkeypatch.context() as patched:
        patched.setattr("harness.sweep.finalize.record_sealed_selection", stop)
        with pytest.raises(Interruption):
            run(path, test=False, overrides=["study.seeds=1"])
    with pytest.raises(StudyError, match=r"not finished.*run-study .*list\.toml.* --no-test"):
        open_test(path)
    with pytest.raises(StudyError, match="no study 'lost' on record; did you mean 'list'"):
        open_sealed_test_set(Workspace(tmp_path / "mlruns"), "lost", watcher=Silent())


@pytest.mark.slow
def test_a_lost_choice_is_reported_and_recorded_again(tmp_path: Path) -> None:
    path = write_study(tmp_path, "search")
    study, workspace = run(path, test=False).summary.study, Workspace(tmp_path / "mlruns")
    with pytest.raises(StudyError, match="it is sealed, and is opened once with: harness test"):
        read_test_predictions(workspace, "search", None, 3)
    (file,) = tmp_path.rglob("selection-*.json")
    file.unlink()
    problems = check_studies(workspace, None).text()
    assert "the study finished without reading the test set for it; continue with: " in problems
    with pytest.raises(StudyError, match="has not finished"):
        open_test(path)
    assert run(path, test=False).summary.study.readings == study.readings == ()
    assert check_studies(workspace, None).healthy


@pytest.mark.slow
def test_a_crash_while_the_test_set_is_open_is_continued(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_study(tmp_path, "list")
    run(path, test=False, overrides=["study.seeds=1"])

    def crash(*_: object, **__: object) -> None:
        raise StoreError("the disk is full")

    with monkeypatch.context() as patched:
        patched.setattr(MlflowTracker, "log_test", crash)
        with pytest.raises(StoreError, match="the disk is full"):
            open_test(path)
    result = open_test(path)
    assert not result.was_open
    assert len(result.summary.study.readings) == 2
    assert result.summary.study.test_set_openings == 1
    assert check_studies(Workspace(tmp_path / "mlruns"), None).healthy
