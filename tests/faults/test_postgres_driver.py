"""The driver of a study in a PostgreSQL dies: as with a journal, and with the same bits."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.forked_cli import Done, Nursery
from tests.faults.study_comparison import asked, by_ordinal, confirmed, read
from tests.faults.test_failpoints import RUN
from tests.support.postgres import Postgres

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def postgres() -> Iterator[Postgres]:
    with Postgres() as server:
        yield server


@pytest.fixture
def storage(postgres: Postgres) -> str:
    return postgres.database()


class Study:
    """One that is killed, and goes on, in a folder and a database of its own."""

    def __init__(self, nursery: Nursery, folder: Path, storage: str) -> None:
        self._nursery, self.folder, self.storage = nursery, folder, storage

    def run(self, *more: str, failpoint: str = "") -> Done:
        named = {"HARNESS_STORAGE": self.storage, "HARNESS_FAILPOINT": failpoint}
        return self._nursery.run(self.folder, [*RUN, *more], **named)

    def killed(self, failpoint: str, *more: str) -> None:
        done = self.run(*more, failpoint=failpoint)
        assert done.status == -signal.SIGKILL, f"{failpoint} was not reached: {done.err}"

    def ends_as(self, undisturbed: Path) -> None:
        """The same command goes on, and what comes of it is what would have come of it."""
        done = self.run()
        assert done.status == 0, done.err
        assert "Traceback" not in done.err
        self.is_healthy()
        assert by_ordinal(self.folder, self.storage) == by_ordinal(undisturbed)
        assert confirmed(self.folder, self.storage) == confirmed(undisturbed)
        study = read(self.folder)
        assert (study.state, study.test_set_openings) == ("COMPLETE", 1)
        expected = [reading.confusion for reading in read(undisturbed).readings]
        assert [reading.confusion for reading in study.readings] == expected

    def is_healthy(self, name: str = "tiny") -> None:
        doctor = ["doctor", name]
        done = self._nursery.run(self.folder, doctor, HARNESS_STORAGE=self.storage)
        assert done.status == 0, done.out + done.err
        assert not list((self.folder / "mlruns").rglob("*.spool"))
        assert not list((self.folder / "mlruns").rglob("*.journal"))


@pytest.fixture
def study(nursery: Nursery, folder: Path, storage: str) -> Study:
    return Study(nursery, folder, storage)


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
def test_a_crash_here_loses_and_doubles_nothing(
    name: str,
    study: Study,
    undisturbed: Path,
) -> None:
    study.killed(name)
    study.ends_as(undisturbed)


@pytest.mark.parametrize("name", ["search.enqueued", "driver.requeued", "driver.interrupted"])
def test_a_crash_while_it_drains(name: str, study: Study, undisturbed: Path) -> None:
    study.killed(f"driver.reported:2=SIGINT,{name}")
    study.ends_as(undisturbed)


def test_one_crash_after_another(study: Study, undisturbed: Path) -> None:
    for name in ("search.asked:2", "search.asked", "search.enqueued", "driver.recorded"):
        study.run(failpoint=name)
    study.ends_as(undisturbed)


def test_a_crash_while_a_study_is_put_aside(study: Study) -> None:
    """Its record's two names change at once, in one transaction: no place between them."""
    study.killed("driver.reported:4")
    before = read(study.folder).uid
    study.killed("search.defined", "--fresh", "--seed", "7")
    assert read(study.folder).uid == before, "the new one is none before it is whole"
    done = study.run("--fresh", "--seed", "7")
    assert done.status == 0, done.err
    study.is_healthy()
    assert read(study.folder).uid != before
    assert len(asked(study.folder, study.storage)) == 5
