"""The driver dies between any two commits, and the same command continues with the same results.

The study runs in one process and thread, so that its results are the same to the last bit.
"""

from __future__ import annotations

import ast
import json
import os
import re
import shutil
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import harness
from harness.analysis.calibration_record import load_calibration
from harness.analysis.confirmation import find_model_run, require_champion
from harness.analysis.ensemble_record import load_ensemble
from harness.tracking.outbox import read_refused
from harness.tracking.outbox.messages import StartTrial
from harness.tracking.outbox.queue import Outbox
from harness.tracking.raw_types import FINAL_FILE, FINAL_WEIGHTS_FILE
from harness.tracking.types import TEST_SET_FACT
from harness.trial import Trial, TrialSpec
from harness.workspace import Workspace
from tests.faults.forked_cli import CommandResult, ForkServer
from tests.faults.study_comparison import confirmation_results, read_study, results_by_ordinal

pytestmark = pytest.mark.slow
STUDY = """
[study]
trials = 5
pruner = "successive-halving"
calibrated = true
[data]
name = "digits"
validation = 0.2
[confirm]
top = 2
[ensemble]
size = 4
candidates = 8
[train]
epochs = 3
[space]
depth = [1]
width = { low = 8, high = 16 }
learning_rate = { low = 1e-3, high = 1e-1, log = true }
optimizer = ["sgd", "adam"]
"""
FOLDED = re.sub(r"\[confirm\][^\[]*\[ensemble\][^\[]*", "", STUDY)
FOLDED = FOLDED.replace("validation = 0.2", "folds = 3")
"""The same with folds, which has a final training in place of confirmation and ensemble."""
RUN = ["run-study", "./tiny.toml", "--workers", "0", "--cpu"]
DRAINING = ["search.enqueued", "driver.requeued", "driver.interrupted"]
FINAL_FILES = (FINAL_WEIGHTS_FILE, FINAL_FILE)
FINAL = ["final.trained", "final.weights"]
ELSEWHERE = {
    "spool.compacting",
    "spool.refused",
    "search.aside",
    "confirm.closed",
    *DRAINING,
    *FINAL,
}
"""Failpoints that this study does not pass normally; each has a test below."""


def failpoints() -> list[str]:
    """Return the names of all failpoints in the code."""
    return sorted(
        node.args[0].value
        for path in Path(harness.__file__).parent.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and node.func.id == "failpoint"
        and isinstance(node.args[0], ast.Constant)
        and isinstance(node.args[0].value, str)
    )


@pytest.fixture(scope="module")
def undisturbed(fork_server: ForkServer, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which the study ran without interruption."""
    folder = tmp_path_factory.mktemp("undisturbed")
    (folder / "tiny.toml").write_text(STUDY)
    done = fork_server.run(folder, RUN)
    assert done.status == 0, done.err
    check(fork_server, folder)
    return folder


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty MLflow database, which takes longer to create than the study takes to run."""
    workspace = Workspace(tmp_path_factory.mktemp("database") / "mlruns")
    workspace.open_tracker()
    return workspace.database


@pytest.fixture
def folder(tmp_path: Path, database: Path) -> Path:
    (tmp_path / "tiny.toml").write_text(STUDY)
    (tmp_path / "mlruns").mkdir()
    shutil.copy(database, tmp_path / "mlruns")
    return tmp_path


def check(fork_server: ForkServer, folder: Path, status: int = 0) -> None:
    """Check that `harness doctor` finds nothing and that no temporary file is left."""
    done = fork_server.run(folder, ["doctor", "tiny"])
    assert done.status == status, done.out + done.err
    assert not list((folder / "mlruns").rglob("*.spool"))
    assert not list((folder / "mlruns").rglob("*.holder"))


def check_same(fork_server: ForkServer, folder: Path, undisturbed: Path, openings: int = 1) -> None:
    check(fork_server, folder)
    study, expected = read_study(folder), read_study(undisturbed)
    assert results_by_ordinal(folder) == results_by_ordinal(undisturbed)
    assert confirmation_results(folder) == confirmation_results(undisturbed)
    assert len(confirmation_results(folder)) == 3 * min(2, len(study.rank_trials()))
    assert study.state == "COMPLETE"
    assert study.test_set_openings == openings
    assert [r.confusion for r in study.readings] == [r.confusion for r in expected.readings]
    assert read_ensemble(folder) == read_ensemble(undisturbed)
    assert read_calibration(folder) == read_calibration(undisturbed)


def read_calibration(folder: Path) -> tuple[Any, ...]:
    """Return the champion's temperature and calibration; its registered model has the same."""
    study = read_study(folder)
    tracker = Workspace(folder / "mlruns").open_tracker(reading=True)
    run = find_model_run(study, require_champion(study))
    record, reading = load_calibration(tracker, study, run), study.find_reading(run)
    assert record is not None
    assert reading is not None
    assert reading.calibration is not None
    return replace(record, run=""), reading.calibration


def read_ensemble(folder: Path) -> tuple[Any, ...]:
    """Return the members' settings, and the results on both halves and the test set.

    A retried trial has another number, so members are compared by their settings.
    """
    study = read_study(folder)
    tracker = Workspace(folder / "mlruns").open_tracker(reading=True)
    record = load_ensemble(tracker, study, require_champion(study))
    assert record is not None
    assert record.reading is not None
    assert tracker.find_model_run(f"models:/{study.name}@champion") is not None
    specs = {run.number: run.spec for run in study.trials}
    members = [(specs[member.number], member.weight) for member in record.members]
    log = Workspace(folder / "mlruns").test_set_log(study.facts[TEST_SET_FACT])
    readings = [line["run"] for line in log.read_lines() if "read" in line]
    assert readings.count(f"{study.uid}/ensemble") == 1
    return members, record.chosen, record.judged, record.reading.confusion, record.tested


def run_again(fork_server: ForkServer, folder: Path) -> CommandResult:
    done = fork_server.run(folder, RUN)
    assert done.status == 0, done.err
    assert "Traceback" not in done.err
    return done


@pytest.mark.parametrize("name", sorted(set(failpoints()) - ELSEWHERE))
def test_a_crash_at_each_failpoint_loses_and_doubles_nothing(
    name: str, fork_server: ForkServer, folder: Path, undisturbed: Path
) -> None:
    done = fork_server.run(folder, RUN, HARNESS_FAILPOINT=name)
    assert done.status == -signal.SIGKILL, f"{name} was not reached: {done.err}"
    run_again(fork_server, folder)
    check_same(fork_server, folder, undisturbed)


@pytest.fixture(scope="module")
def unpruned(fork_server: ForkServer, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which the study ran without a pruner: its ensemble has several candidates."""
    folder = tmp_path_factory.mktemp("unpruned")
    similar = STUDY.replace("low = 1e-3, high = 1e-1", "low = 1e-2, high = 3e-2")
    similar = similar.replace('["sgd", "adam"]', '["adam"]').replace("successive-halving", "none")
    (folder / "tiny.toml").write_text(similar)
    done = fork_server.run(folder, RUN)
    assert done.status == 0, done.err
    check(fork_server, folder)
    members = read_ensemble(folder)[0]
    assert len(members) > 1, members
    return folder


@pytest.mark.parametrize(
    "name", ["driver.recorded:3", *(name for name in failpoints() if name.startswith("ensemble."))]
)
def test_a_crash_leads_to_the_same_ensemble(
    name: str, fork_server: ForkServer, folder: Path, unpruned: Path
) -> None:
    (folder / "tiny.toml").write_text((unpruned / "tiny.toml").read_text())
    done = fork_server.run(folder, RUN, HARNESS_FAILPOINT=name)
    assert done.status == -signal.SIGKILL, done.err
    run_again(fork_server, folder)
    check_same(fork_server, folder, unpruned)


@pytest.fixture(scope="module")
def folded(fork_server: ForkServer, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which the study with folds ran without interruption."""
    folder = tmp_path_factory.mktemp("folded")
    (folder / "tiny.toml").write_text(FOLDED)
    done = fork_server.run(folder, RUN)
    assert done.status == 0, done.err
    assert read_final_model(folder)[1]["examples"] == 1437
    return folder


def read_final_model(folder: Path) -> tuple[bytes, dict[str, Any]]:
    """Return the weights of the champion's final model, and its record without the time."""
    study = read_study(folder)
    run = find_model_run(study, require_champion(study))
    tracker = Workspace(folder / "mlruns").open_tracker(reading=True)
    weights, record = (tracker.read_file(run.run_id, name) for name in FINAL_FILES)
    assert weights is not None
    assert record is not None
    return weights, json.loads(record) | {"seconds": 0.0}


@pytest.mark.parametrize(
    ("point", "status"),
    [
        *((name, -signal.SIGKILL) for name in (*FINAL, "driver.recorded:3", "driver.reported:5")),
        *((name, -signal.SIGKILL) for name in ("conclude.selected",)),
        ("driver.asked:6=SIGINT", 130),
    ],
)
def test_a_study_with_folds_ends_as_if_undisturbed(
    point: str, status: int, fork_server: ForkServer, folder: Path, folded: Path
) -> None:
    """The sixth training is that of the final model."""
    (folder / "tiny.toml").write_text(FOLDED)
    done = fork_server.run(folder, RUN, HARNESS_FAILPOINT=point)
    assert done.status == status, f"{point}: {done.err}"
    if status == 130:
        assert "interrupted during the final training" in done.err
        check(fork_server, folder)
    run_again(fork_server, folder)
    check(fork_server, folder)
    study, expected = read_study(folder), read_study(folded)
    assert (study.state, study.test_set_openings) == ("COMPLETE", 1)
    assert results_by_ordinal(folder) == results_by_ordinal(folded)
    by_fold = [[epoch.folds for epoch in run.epochs] for run in study.rank_trials()]
    assert by_fold == [[epoch.folds for epoch in run.epochs] for run in expected.rank_trials()]
    assert all(len(folds) == 3 for epochs in by_fold for folds in epochs)
    assert read_final_model(folder) == read_final_model(folded)
    assert read_calibration(folder) == read_calibration(folded)
    assert [r.confusion for r in study.readings] == [r.confusion for r in expected.readings]


@pytest.mark.parametrize("name", ["driver.recorded", "driver.reported", "mlflow.tagged"])
def test_a_second_crash_during_recovery(
    name: str, fork_server: ForkServer, folder: Path, undisturbed: Path
) -> None:
    for again in (f"{name}:2", "search.enqueued", "search.asked", "spool.sent", "search.asked:2"):
        fork_server.run(folder, RUN, HARNESS_FAILPOINT=again)
    run_again(fork_server, folder)
    check_same(fork_server, folder, undisturbed)


def test_a_crash_while_a_run_is_created_only_to_be_ended(
    fork_server: ForkServer, folder: Path, undisturbed: Path
) -> None:
    """The driver died before it created the run, and no other driver would start that trial."""
    for name in ("search.asked:2", "mlflow.created:2"):
        done = fork_server.run(folder, RUN, HARNESS_FAILPOINT=name)
        assert done.status == -signal.SIGKILL, done.err
    run_again(fork_server, folder)
    check_same(fork_server, folder, undisturbed)


def test_a_crash_while_one_of_two_interrupted_trials_is_enqueued(
    fork_server: ForkServer, folder: Path, undisturbed: Path
) -> None:
    """The other one waits meanwhile; the pruner still receives it second."""
    for name in ("search.asked:2", "search.asked"):
        done = fork_server.run(folder, RUN, HARNESS_FAILPOINT=name)
        assert done.status == -signal.SIGKILL, done.err
    run_again(fork_server, folder)
    check_same(fork_server, folder, undisturbed)


@pytest.mark.parametrize("place", range(1, 24, 4))
def test_a_crash_after_any_write(
    place: int, fork_server: ForkServer, folder: Path, undisturbed: Path
) -> None:
    done = fork_server.run(folder, RUN, HARNESS_FAILPOINT=f"spool.appended:{place}")
    assert done.status == -signal.SIGKILL
    run_again(fork_server, folder)
    check_same(fork_server, folder, undisturbed)


@pytest.mark.parametrize(
    ("name", "place"),
    [
        *(("driver.reported", 1), ("driver.reported", 5)),
        *(("driver.recorded", 1), ("driver.recorded", 3)),
        *(("mlflow.created", 1), ("mlflow.created", 3)),
    ],
)
def test_a_crash_while_the_winner_is_confirmed(
    name: str, place: int, fork_server: ForkServer, folder: Path, undisturbed: Path
) -> None:
    """Two more crashes follow while its runs are closed."""
    states = [run.state for run in read_study(undisturbed).trials]
    before = sum(len(run.epochs) for run in read_study(undisturbed).trials)
    passed = before if name == "driver.reported" else len(states)
    done = fork_server.run(folder, RUN, HARNESS_FAILPOINT=f"{name}:{passed + place}")
    assert done.status == -signal.SIGKILL, done.err
    assert "on 3 new splits" in done.err
    for again in ("confirm.closed", "spool.sent:2"):
        fork_server.run(folder, RUN, HARNESS_FAILPOINT=again)
    run_again(fork_server, folder)
    check_same(fork_server, folder, undisturbed)


def test_ctrl_c_while_the_winner_is_confirmed(
    fork_server: ForkServer, folder: Path, undisturbed: Path
) -> None:
    before = sum(len(run.epochs) for run in read_study(undisturbed).trials)
    done = fork_server.run(folder, RUN, HARNESS_FAILPOINT=f"driver.reported:{before + 2}=SIGINT")
    assert done.status == 130, done.err
    assert "interrupted during confirmation" in done.err
    check(fork_server, folder)
    assert "RUNNING" not in {run.state for run in read_study(folder).confirmation_runs}
    run_again(fork_server, folder)
    check_same(fork_server, folder, undisturbed)


def test_what_was_finished_is_not_trained_again(
    fork_server: ForkServer, folder: Path, undisturbed: Path
) -> None:
    fork_server.run(folder, RUN, HARNESS_FAILPOINT="driver.recorded")
    run_again(fork_server, folder)
    states = [run.state for run in read_study(folder).trials]
    assert states[0] == read_study(undisturbed).trials[0].state  # as recorded
    assert "INTERRUPTED" not in states, "one trial at a time: none is asked for in advance"
    check_same(fork_server, folder, undisturbed)


@pytest.mark.parametrize(
    "name", ["search.aside", "search.created", "search.defined", "mlflow.experiment"]
)
def test_a_crash_while_a_study_is_set_aside(
    name: str, fork_server: ForkServer, folder: Path, undisturbed: Path
) -> None:
    """The driver of the old study died too."""
    fork_server.run(folder, RUN, HARNESS_FAILPOINT="driver.reported:4")
    # Nothing may have been sent before the crash, and here nothing is sent: the copy is.
    copy = shutil.copytree(folder, folder.with_name(f"{folder.name}-copy"))
    assert fork_server.run(copy, ["sync", "tiny"]).status == 0
    old = read_study(copy)
    fresh = [*RUN, "--fresh", "--seed", "7"]
    done = fork_server.run(folder, fresh, HARNESS_FAILPOINT=name)
    assert done.status == -signal.SIGKILL, done.err
    is_set_aside = name in ("search.aside", "mlflow.experiment")
    rest = [*RUN, "--seed", "7"] if is_set_aside else fresh
    done = fork_server.run(folder, rest)
    assert done.status == 0, done.err
    check(fork_server, folder)
    assert read_study(folder).uid != old.uid
    (journal,) = (folder / "mlruns" / "optuna").glob("tiny.2*.journal")
    kept = read_study(folder, journal.name.removesuffix(".journal"))
    assert kept.uid == old.uid
    assert len(kept.trials) >= len(old.trials)  # the outbox of the old study was sent too
    assert "RUNNING" not in {kept.state, *(run.state for run in kept.trials)}
    done = fork_server.run(folder, ["doctor", kept.name])
    assert done.status == 0, done.out


@pytest.mark.parametrize(("sent", "times"), [("SIGINT", 1), ("SIGINT", 2), ("SIGTERM", 1)])
@pytest.mark.parametrize("place", ["driver.reported:2", "driver.recorded", "driver.asked:2"])
def test_a_signal_drains_and_leaves_nothing_running(
    place: str, times: int, sent: str, fork_server: ForkServer, folder: Path, undisturbed: Path
) -> None:
    points = f"{place}={sent}" + (f",driver.requeued={sent}" if times == 2 else "")
    done = fork_server.run(folder, RUN, HARNESS_FAILPOINT=points)
    assert done.status == 130, done.err
    assert "Traceback" not in done.err
    check(fork_server, folder)
    assert {run.state for run in read_study(folder).trials} <= {"COMPLETE", "PRUNED", "INTERRUPTED"}
    assert read_study(folder).state == "INTERRUPTED"
    run_again(fork_server, folder)
    check_same(fork_server, folder, undisturbed)


@pytest.mark.parametrize("name", DRAINING)
def test_a_crash_while_it_drains(
    name: str, fork_server: ForkServer, folder: Path, undisturbed: Path
) -> None:
    done = fork_server.run(folder, RUN, HARNESS_FAILPOINT=f"driver.reported:2=SIGINT,{name}")
    assert done.status == -signal.SIGKILL, done.err
    run_again(fork_server, folder)
    check_same(fork_server, folder, undisturbed)


def test_a_crash_while_an_outbox_is_compacted(tmp_path: Path) -> None:
    code = """if True:
        import sys
        from pathlib import Path
        from harness.tracking.outbox.queue import Outbox
        from harness.tracking.outbox.messages import StartTrial
        from harness.trial import (Trial, TrialSpec)
        file = Outbox(Path(sys.argv[1]))
        if file.size < 100:
            file.append(StartTrial(trial=Trial(number=0, uid='a/0', spec=TrialSpec()), at=1.0))
            file.mark_sent(file.size, 1)
            file.compact()
        print(sum(1 for _ in file.read()), file.sent == file.size)
    """
    command = [sys.executable, "-c", code, str(tmp_path / "tiny.spool")]
    environment = os.environ | {"HARNESS_FAILPOINT": "spool.compacting"}
    assert subprocess.run(command, env=environment).returncode == -signal.SIGKILL
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["1", "True"]


def test_a_crash_while_a_write_is_refused(tmp_path: Path) -> None:
    code = """if True:
        import sys
        from pathlib import Path
        from harness.tracking.outbox.queue import Outbox
        from harness.tracking.outbox.messages import StartTrial
        from harness.trial import (Trial, TrialSpec)
        file = Outbox(Path(sys.argv[1]))
        if file.size < 100:
            file.append(StartTrial(trial=Trial(number=0, uid='a/0', spec=TrialSpec()), at=1.0))
        file.refuse(file.size, "unknown")
        print(file.waiting)
    """
    outbox = tmp_path / "tiny.spool"
    command = [sys.executable, "-c", code, str(outbox)]
    environment = os.environ | {"HARNESS_FAILPOINT": "spool.refused"}
    assert subprocess.run(command, env=environment).returncode == -signal.SIGKILL
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["0"]
    (refused,) = read_refused(outbox)
    assert (refused.count, refused.reason) == (1, "unknown")
    torn = refused.path.read_bytes()[:-5]
    refused.path.write_bytes(torn)
    file = Outbox(outbox)
    write = StartTrial(trial=Trial(number=1, uid="a/1", spec=TrialSpec()), at=1.0)
    file.append(write)
    file.refuse(file.size, "known")
    file.close()
    first, second = refused.path.read_bytes().splitlines()
    assert first == torn
    assert json.loads(second)["reason"] == "known"


def test_more_and_fewer_trials_include_the_existing_ones(
    fork_server: ForkServer, folder: Path
) -> None:
    counted = []
    for trials in (4, 4, 6, 3):
        done = fork_server.run(folder, [*RUN, "--trials", str(trials)])
        assert done.status == 0, done.err
        check(fork_server, folder)
        counted.append(len(read_study(folder).trials))
    assert counted == [4, 4, 6, 6]
    shutil.rmtree(folder / "mlruns" / "reports")
    done = fork_server.run(folder, [*RUN, "--trials", "3"])
    assert "nothing to train" in done.err
    assert (folder / "mlruns" / "reports" / "tiny" / "index.html").is_file()
