"""Records and results of earlier versions: they go on, and the same settings give the same bits."""

from __future__ import annotations

import json
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.sweep.environment import describe_processor
from tests.faults.forked_cli import ForkServer
from tests.sweep.recorded_values import read_values

FOLDER = Path(__file__).parent
RECORDED = FOLDER.parent / "recorded" / "version-0.1.0.tar.xz"
"""Two studies that version 0.1.0 left behind: `search` is complete, the driver of `killed` died in
its third trial with writes in its outbox. Paths in it begin with /recorded."""
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def fork_server() -> Iterator[ForkServer]:
    with ForkServer() as fork_server:
        yield fork_server


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A copy of the recorded studies, in another folder than they were recorded in."""
    with tarfile.open(RECORDED) as archive:
        archive.extractall(tmp_path, filter="data")
    return tmp_path


def test_a_finished_study_is_read_continued_and_replayed(
    fork_server: ForkServer, folder: Path
) -> None:
    def harness(*arguments: str) -> str:
        done = fork_server.run(folder, arguments)
        assert done.status == 0, done.err + done.out
        return done.out

    moved = fork_server.run(folder, ["doctor", "search"])
    assert moved.status == 1
    assert "7 files         mlflow.db: records its files in /recorded/mlruns/artifacts" in moved.out
    harness("doctor", "search", "--repair")
    assert "healthy: 6 trials, 3 complete, 3 pruned" in harness("doctor", "search")
    assert "0.9583" in harness("studies")
    assert "search/4" in harness("compare", "search/4", "search/2")
    harness("report", "search")
    assert "trial 4" in (folder / "mlruns/reports/search/index.html").read_text()
    replayed = harness("replay", "search/4", "--format", "json").splitlines()[-1]
    assert json.loads(replayed)["found"] != "differs"
    harness("predict", "search", "--test", "3")
    continued = harness(
        "run-study", "./search.toml", "--trials", "8", "--workers", "0", "--cpu", "--format", "json"
    )
    assert json.loads(continued.splitlines()[-1])["trials"]["complete"] >= 3
    assert "healthy: 8 trials" in harness("doctor", "search")


def test_a_killed_study_resumes_where_it_stopped(fork_server: ForkServer, folder: Path) -> None:
    assert (folder / "mlruns" / "spool" / "killed.spool").is_file()
    before = read_values(folder / "mlruns" / "mlflow.db", "killed")
    done = fork_server.run(folder, ["run-study", "./killed.toml", "--workers", "0", "--cpu"])
    assert done.status == 0, done.err
    assert "healthy: 4 trials, 4 complete" in fork_server.run(folder, ["doctor", "killed"]).out
    after = read_values(folder / "mlruns" / "mlflow.db", "killed")
    ended = {name: values for name, values in before.items() if values[0] == "COMPLETE"}
    assert len(ended) == 2
    assert {name: after[name] for name in ended} == ended


@pytest.mark.realdata
@pytest.mark.parametrize(
    ("study", "options"),
    [
        ("quickstart", ["--trials", "12"]),
        ("shallow-vs-deep", ["--trials", "4"]),
        ("ames-housing", ["--trials", "6"]),
    ],
)
def test_recorded_values_are_reproduced(
    fork_server: ForkServer, tmp_path: Path, real_data: Path, study: str, options: list[str]
) -> None:
    """To the last bit where the processor is the one that they were recorded on; elsewhere the
    first trial, whose settings depend on no other's result, is as good to 0.03 of its score."""
    recorded = json.loads((FOLDER / "recorded_values.json").read_text())
    command = ["run-study", study, *options, "--workers", "1", "--cpu"]
    if study != "shallow-vs-deep":  # version 0.1.0 confirmed a search on its own split
        command += ["--set", "confirm.resample=false"]
    done = fork_server.run(tmp_path, [*command, "--data-dir", str(real_data)])
    assert done.status == 0, done.err
    values = read_values(tmp_path / "mlruns" / "mlflow.db", study)
    if describe_processor() == recorded["processor"]:
        assert values == recorded[study]
    else:
        score, expected = values["trial 00 seed 0"][1], recorded[study]["trial 00 seed 0"][1]
        assert score == pytest.approx(expected, rel=0.03)
