"""The driver dies between any two commits; the same command goes on as if nothing had been.

In one process and thread, so that the bits of an uninterrupted study are to be had again.
"""

from __future__ import annotations

import ast
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

import harness
from harness.workspace import Workspace
from tests.faults.forked_cli import Done, Nursery
from tests.faults.study_comparison import by_ordinal, confirmed, read

pytestmark = pytest.mark.slow
STUDY = """
[study]
trials = 5
pruner = "successive-halving"
[data]
name = "digits"
validation = 0.2
[confirm]
top = 2
[train]
epochs = 3
[space]
depth = [1]
width = { low = 8, high = 16 }
learning_rate = { low = 1e-3, high = 1e-1, log = true }
optimizer = ["sgd", "adam"]
"""
RUN = ["run-study", "./tiny.toml", "--workers", "0", "--cpu"]
DRAINING = ["search.enqueued", "driver.requeued", "driver.interrupted"]
ELSEWHERE = {"spool.compacting", "search.aside", "confirm.closed", *DRAINING}
"""Places that this study does not come by of itself; each has a test of its own below."""


def failpoints() -> list[str]:
    """All names in the code."""
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
def undisturbed(nursery: Nursery, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which the study ran without interruption."""
    folder = tmp_path_factory.mktemp("undisturbed")
    (folder / "tiny.toml").write_text(STUDY)
    done = nursery.run(folder, RUN)
    assert done.status == 0, done.err
    check(nursery, folder)
    return folder


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A new one, which takes MLflow longer to make than the study to run."""
    workspace = Workspace(tmp_path_factory.mktemp("database") / "mlruns")
    workspace.open_tracker()
    return workspace.database


@pytest.fixture
def folder(tmp_path: Path, database: Path) -> Path:
    (tmp_path / "tiny.toml").write_text(STUDY)
    (tmp_path / "mlruns").mkdir()
    shutil.copy(database, tmp_path / "mlruns")
    return tmp_path


def check(nursery: Nursery, folder: Path, status: int = 0) -> None:
    """The invariants, as `harness doctor` sees them, and nothing left behind."""
    done = nursery.run(folder, ["doctor", "tiny"])
    assert done.status == status, done.out + done.err
    assert not list((folder / "mlruns").rglob("*.spool"))
    assert not list((folder / "mlruns").rglob("*.holder"))


def check_same(nursery: Nursery, folder: Path, undisturbed: Path, looks: int = 1) -> None:
    check(nursery, folder)
    study, expected = read(folder), read(undisturbed)
    assert by_ordinal(folder) == by_ordinal(undisturbed)
    assert confirmed(folder) == confirmed(undisturbed)
    assert len(confirmed(folder)) == 3 * min(2, len(study.rank_trials()))
    assert study.state == "COMPLETE"
    assert study.test_set_openings == looks
    assert [r.confusion for r in study.readings] == [r.confusion for r in expected.readings]


def went_on(nursery: Nursery, folder: Path) -> Done:
    done = nursery.run(folder, RUN)
    assert done.status == 0, done.err
    assert "Traceback" not in done.err
    return done


@pytest.mark.parametrize("name", sorted(set(failpoints()) - ELSEWHERE))
def test_a_crash_here_loses_and_doubles_nothing(
    name: str, nursery: Nursery, folder: Path, undisturbed: Path
) -> None:
    done = nursery.run(folder, RUN, HARNESS_FAILPOINT=name)
    assert done.status == -signal.SIGKILL, f"{name} was not reached: {done.err}"
    went_on(nursery, folder)
    check_same(nursery, folder, undisturbed)


@pytest.mark.parametrize("name", ["driver.recorded", "driver.reported", "mlflow.tagged"])
def test_a_crash_in_the_middle_and_another_while_it_is_mended(
    name: str, nursery: Nursery, folder: Path, undisturbed: Path
) -> None:
    for again in (f"{name}:2", "search.enqueued", "search.asked", "spool.sent", "search.asked:2"):
        nursery.run(folder, RUN, HARNESS_FAILPOINT=again)
    went_on(nursery, folder)
    check_same(nursery, folder, undisturbed)


def test_a_crash_while_a_run_is_made_only_to_be_ended(
    nursery: Nursery, folder: Path, undisturbed: Path
) -> None:
    """No driver but the one that died at once would have begun it."""
    for name in ("search.asked:2", "mlflow.created:2"):
        done = nursery.run(folder, RUN, HARNESS_FAILPOINT=name)
        assert done.status == -signal.SIGKILL, done.err
    went_on(nursery, folder)
    check_same(nursery, folder, undisturbed)


def test_a_crash_while_one_of_two_interrupted_trials_is_asked_again(
    nursery: Nursery, folder: Path, undisturbed: Path
) -> None:
    """The other waits meanwhile; the pruner hears of it second all the same."""
    for name in ("search.asked:2", "search.asked"):
        done = nursery.run(folder, RUN, HARNESS_FAILPOINT=name)
        assert done.status == -signal.SIGKILL, done.err
    went_on(nursery, folder)
    check_same(nursery, folder, undisturbed)


@pytest.mark.parametrize("place", range(1, 24, 4))
def test_a_crash_after_any_write(
    place: int, nursery: Nursery, folder: Path, undisturbed: Path
) -> None:
    done = nursery.run(folder, RUN, HARNESS_FAILPOINT=f"spool.appended:{place}")
    assert done.status == -signal.SIGKILL
    went_on(nursery, folder)
    check_same(nursery, folder, undisturbed)


@pytest.mark.parametrize(
    ("name", "place"),
    [
        *(("driver.reported", 1), ("driver.reported", 5)),
        *(("driver.recorded", 1), ("driver.recorded", 3)),
        *(("mlflow.created", 1), ("mlflow.created", 3)),
    ],
)
def test_a_crash_while_the_winner_is_confirmed(
    name: str, place: int, nursery: Nursery, folder: Path, undisturbed: Path
) -> None:
    """And two more while what it left is closed."""
    states = [run.state for run in read(undisturbed).trials]
    before = sum(len(run.epochs) for run in read(undisturbed).trials)
    passed = before if name == "driver.reported" else len(states)
    done = nursery.run(folder, RUN, HARNESS_FAILPOINT=f"{name}:{passed + place}")
    assert done.status == -signal.SIGKILL, done.err
    assert "over fresh seeds" in done.err
    for again in ("confirm.closed", "spool.sent:2"):
        nursery.run(folder, RUN, HARNESS_FAILPOINT=again)
    went_on(nursery, folder)
    check_same(nursery, folder, undisturbed)


def test_ctrl_c_while_the_winner_is_confirmed(
    nursery: Nursery, folder: Path, undisturbed: Path
) -> None:
    before = sum(len(run.epochs) for run in read(undisturbed).trials)
    done = nursery.run(folder, RUN, HARNESS_FAILPOINT=f"driver.reported:{before + 2}=SIGINT")
    assert done.status == 130, done.err
    assert "while its winner was confirmed" in done.err
    check(nursery, folder)
    assert "RUNNING" not in {run.state for run in read(folder).confirmation_runs}
    went_on(nursery, folder)
    check_same(nursery, folder, undisturbed)


def test_what_was_finished_is_not_trained_again(
    nursery: Nursery, folder: Path, undisturbed: Path
) -> None:
    nursery.run(folder, RUN, HARNESS_FAILPOINT="driver.recorded")
    went_on(nursery, folder)
    states = [run.state for run in read(folder).trials]
    assert states[0] == read(undisturbed).trials[0].state  # as the record had it
    assert states.count("INTERRUPTED") == 1  # the one beside it, asked for in reserve
    check_same(nursery, folder, undisturbed)


@pytest.mark.parametrize(
    "name", ["search.aside", "search.created", "search.defined", "mlflow.experiment"]
)
def test_a_crash_while_a_study_is_put_aside(
    name: str, nursery: Nursery, folder: Path, undisturbed: Path
) -> None:
    """The old one is one whose driver died, too."""
    nursery.run(folder, RUN, HARNESS_FAILPOINT="driver.reported:4")
    old = read(folder)
    fresh = [*RUN, "--fresh", "--seed", "7"]
    done = nursery.run(folder, fresh, HARNESS_FAILPOINT=name)
    assert done.status == -signal.SIGKILL, done.err
    put_aside = name in ("search.aside", "mlflow.experiment")
    rest = [*RUN, "--seed", "7"] if put_aside else fresh
    done = nursery.run(folder, rest)
    assert done.status == 0, done.err
    check(nursery, folder)
    assert read(folder).uid != old.uid
    (journal,) = (folder / "mlruns" / "optuna").glob("tiny.2*.journal")
    kept = read(folder, journal.name.removesuffix(".journal"))
    assert kept.uid == old.uid
    assert len(kept.trials) >= len(old.trials)  # what waited in the spool came too
    assert "RUNNING" not in {kept.state, *(run.state for run in kept.trials)}
    done = nursery.run(folder, ["doctor", kept.name])
    assert done.status == 0, done.out


@pytest.mark.parametrize(("sent", "times"), [("SIGINT", 1), ("SIGINT", 2), ("SIGTERM", 1)])
@pytest.mark.parametrize("place", ["driver.reported:2", "driver.recorded", "driver.asked:2"])
def test_a_signal_drains_and_leaves_nothing_running(
    place: str, times: int, sent: str, nursery: Nursery, folder: Path, undisturbed: Path
) -> None:
    points = f"{place}={sent}" + (f",driver.requeued={sent}" if times == 2 else "")
    done = nursery.run(folder, RUN, HARNESS_FAILPOINT=points)
    assert done.status == 130, done.err
    assert "Traceback" not in done.err
    check(nursery, folder)
    assert {run.state for run in read(folder).trials} <= {"COMPLETE", "PRUNED", "INTERRUPTED"}
    assert read(folder).state == "INTERRUPTED"
    went_on(nursery, folder)
    check_same(nursery, folder, undisturbed)


@pytest.mark.parametrize("name", DRAINING)
def test_a_crash_while_it_drains(
    name: str, nursery: Nursery, folder: Path, undisturbed: Path
) -> None:
    done = nursery.run(folder, RUN, HARNESS_FAILPOINT=f"driver.reported:2=SIGINT,{name}")
    assert done.status == -signal.SIGKILL, done.err
    went_on(nursery, folder)
    check_same(nursery, folder, undisturbed)


def test_a_crash_while_a_spool_begins_anew(tmp_path: Path) -> None:
    code = """if True:
        import sys
        from pathlib import Path
        from harness.tracking.outbox.queue import Outbox
        from harness.tracking.outbox.messages import Start
        from harness.trial import (Trial, TrialSpec)
        file = Outbox(Path(sys.argv[1]))
        if file.size < 100:
            file.append(Start(trial=Trial(number=0, uid='a/0', spec=TrialSpec()), at=1.0))
            file.mark_sent(file.size, 1)
            file.compact()
        print(sum(1 for _ in file.read()), file.sent == file.size)
    """
    command = [sys.executable, "-c", code, str(tmp_path / "tiny.spool")]
    environment = os.environ | {"HARNESS_FAILPOINT": "spool.compacting"}
    assert subprocess.run(command, env=environment).returncode == -signal.SIGKILL
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["1", "True"]


def test_more_and_fewer_trials_count_from_what_is_there(nursery: Nursery, folder: Path) -> None:
    counted = []
    for trials in (4, 4, 6, 3):
        done = nursery.run(folder, [*RUN, "--trials", str(trials)])
        assert done.status == 0, done.err
        check(nursery, folder)
        counted.append(len(read(folder).trials))
    assert counted == [4, 4, 6, 6]
    shutil.rmtree(folder / "mlruns" / "reports")
    done = nursery.run(folder, [*RUN, "--trials", "3"])
    assert "nothing to train" in done.err
    assert (folder / "mlruns" / "reports" / "tiny" / "index.html").is_file()
