"""A driver whose study is in PostgreSQL dies: as with a journal, and with the same bits."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults import test_failpoints
from tests.faults.forked_cli import CommandResult, ForkServer
from tests.faults.study_comparison import (
    confirmation_results,
    read_optuna_trials,
    read_study,
    results_by_ordinal,
)
from tests.faults.test_failpoints import RUN
from tests.support.postgres import Postgres

pytestmark = pytest.mark.slow
database, folder = test_failpoints.database, test_failpoints.folder
undisturbed = test_failpoints.undisturbed
"""The fixtures of the study without a PostgreSQL."""


@pytest.fixture(scope="module")
def postgres() -> Iterator[Postgres]:
    with Postgres() as server:
        yield server


@pytest.fixture
def storage(postgres: Postgres) -> str:
    return postgres.create_database()


class Study:
    """A study in its own folder and database, that is killed and continued."""

    def __init__(self, fork_server: ForkServer, folder: Path, storage: str) -> None:
        self._fork_server, self.folder, self.storage = fork_server, folder, storage

    def run(self, *arguments: str, failpoint: str = "") -> CommandResult:
        environment = {"HARNESS_STORAGE": self.storage, "HARNESS_FAILPOINT": failpoint}
        return self._fork_server.run(self.folder, [*RUN, *arguments], **environment)

    def kill_at(self, failpoint: str, *arguments: str) -> None:
        done = self.run(*arguments, failpoint=failpoint)
        assert done.status == -signal.SIGKILL, f"{failpoint} was not reached: {done.err}"

    def check_ends_as(self, undisturbed: Path) -> None:
        """Continue with the same command; check that the study ends as the undisturbed one."""
        done = self.run()
        assert done.status == 0, done.err
        assert "Traceback" not in done.err
        self.check_health()
        assert results_by_ordinal(self.folder, self.storage) == results_by_ordinal(undisturbed)
        assert confirmation_results(self.folder, self.storage) == confirmation_results(undisturbed)
        study = read_study(self.folder)
        assert (study.state, study.test_set_openings) == ("COMPLETE", 1)
        expected = [reading.confusion for reading in read_study(undisturbed).readings]
        assert [reading.confusion for reading in study.readings] == expected

    def check_health(self, name: str = "tiny") -> None:
        doctor = ["doctor", name]
        done = self._fork_server.run(self.folder, doctor, HARNESS_STORAGE=self.storage)
        assert done.status == 0, done.out + done.err
        assert not list((self.folder / "mlruns").rglob("*.spool"))
        assert not list((self.folder / "mlruns").rglob("*.journal"))


@pytest.fixture
def study(fork_server: ForkServer, folder: Path, storage: str) -> Study:
    return Study(fork_server, folder, storage)


@pytest.mark.parametrize(
    "name",
    [
        "search.created",
        "search.defined",
        "search.asked:2",
        "driver.asked",
        "driver.logged:2",
        "driver.reported:2",
        "driver.recorded:2",
        "driver.told:3",
        "conclude.selected",
    ],
)
def test_a_crash_at_each_failpoint_loses_and_doubles_nothing(
    name: str,
    study: Study,
    undisturbed: Path,
) -> None:
    study.kill_at(name)
    study.check_ends_as(undisturbed)


@pytest.mark.parametrize("name", ["search.enqueued", "driver.requeued", "driver.interrupted"])
def test_a_crash_during_a_graceful_shutdown(name: str, study: Study, undisturbed: Path) -> None:
    study.kill_at(f"driver.reported:2=SIGINT,{name}")
    study.check_ends_as(undisturbed)


def test_one_crash_after_another(study: Study, undisturbed: Path) -> None:
    for name in ("search.asked:2", "search.asked", "search.enqueued", "driver.recorded"):
        study.run(failpoint=name)
    study.check_ends_as(undisturbed)


def test_a_crash_while_a_study_is_set_aside(study: Study) -> None:
    """Both records are renamed in one transaction."""
    study.kill_at("conclude.reported")  # by then, the store has the study
    before = read_study(study.folder).uid
    study.kill_at("search.defined", "--fresh", "--seed", "7")
    assert read_study(study.folder).uid == before, "the new study must be complete before it exists"
    done = study.run("--fresh", "--seed", "7")
    assert done.status == 0, done.err
    study.check_health()
    assert read_study(study.folder).uid != before
    assert len(read_optuna_trials(study.folder, study.storage)) == 5
