"""The test-set log has every opening, whichever study opened the test set."""

from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from harness.api.result import StudyResult
from harness.api.run import run_study
from harness.checks.report import check_studies
from harness.data.prepare import prepare
from harness.errors import DataError, StoreError
from harness.sweep.options import RunOptions
from harness.sweep.plan import make_plan
from harness.sweep.progress import Silent
from harness.sweep.train_once import train_once
from harness.test_set.log import TestSetLog
from harness.test_set.opening import read_test_set
from harness.test_set.sealed import SealedTest
from harness.tracking.test_reading import TestReading
from harness.workspace import Workspace

STUDY = """
[study]
trials = 2
pruner = "none"
[confirm]
top = 1
seeds = 1
[data]
name = "digits"
validation = 0.2
[train]
epochs = 1
[space]
learning_rate = [1e-3, 1e-2]
"""
READING = TestReading(selection="a", number=0, time=1.0, loss=0.5, confusion=((1, 0), (1, 2)))


@pytest.fixture
def log(tmp_path: Path) -> TestSetLog:
    return TestSetLog.for_test_set(tmp_path / "test-sets", 64 * "f")


def sweep(folder: Path, **options: object) -> StudyResult:
    (folder / "tiny.toml").write_text(STUDY)
    defaults: dict[str, object] = {"home": folder / "mlruns", "workers": 0, "device": "cpu"}
    return run_study(folder / "tiny.toml", **defaults | options)  # type: ignore[arg-type]


def test_a_selection_is_one_look_however_often_it_is_recorded(log: TestSetLog) -> None:
    assert log.record_opening("a", "one", "1").look == 1
    assert log.record_opening("b", "two", "2").look == 2
    assert log.record_opening("a", "one", "1").look == 1
    log.record_reading(READING)
    log.record_reading(READING)
    assert log.list_selections() == ["a", "b"]
    first, _, again, read = log.read_lines()
    assert (again["reopened"], read["read"]) == ("a", "a")
    assert first["study"] == "one"
    assert "@" in first["who"]
    assert read["accuracy"] == 0.75


def test_an_incomplete_last_line_is_removed(log: TestSetLog) -> None:
    log.record_opening("a", "one", "1")
    content = log.path.read_bytes()
    for cut in range(1, len(content)):
        log.path.write_bytes(content + content[:cut].replace(b"\n", b""))
        assert log.list_selections() == ["a"] or cut == len(content) - 1
        assert log.record_opening("b", "two", "2").look == 2
    log.path.write_bytes(b"nonsense\n" + content)
    with pytest.raises(StoreError, match="line 1 is damaged and complete records follow it"):
        log.record_opening("c", "three", "3")


def test_concurrent_openings_get_different_numbers(log: TestSetLog) -> None:
    with ThreadPoolExecutor(8) as pool:
        looks = list(
            pool.map(lambda n: log.record_opening(f"s{n}", "many", str(n)).look, range(40))
        )
    assert sorted(looks) == list(range(1, 41))


def test_an_opening_is_recorded_before_the_test_set_is_read(
    log: TestSetLog,
) -> None:
    """So a crash in between leaves a recorded opening, and never an unrecorded one."""
    prepared = prepare("digits", validation=0.2, test=0.2, split_seed=0, normalize=True)
    sealed = SealedTest.of(replace(prepared, test_digest="another"))
    with pytest.raises(DataError, match=r"was changed"):
        list(read_test_set("s", ("tiny", "1"), sealed, log, []))
    assert log.list_selections() == ["s"]


def test_a_log_that_cannot_be_written_keeps_the_test_set_sealed(tmp_path: Path) -> None:
    (tmp_path / "test-sets").write_text("")
    prepared = prepare("digits", validation=0.2, test=0.2, split_seed=0, normalize=True)
    sealed = SealedTest.of(prepared)
    with pytest.raises(StoreError, match=r"test-sets.*cannot be written"):
        list(
            read_test_set(
                "s", ("t", "1"), sealed, TestSetLog(tmp_path / "test-sets" / "f.jsonl"), []
            )
        )
    assert not sealed.opened


@pytest.mark.slow
def test_looks_count_over_names_fresh_starts_stores_and_single_runs(tmp_path: Path) -> None:
    first = sweep(tmp_path)
    assert first.test is not None
    assert first.test.look == 1
    assert "1st opening of this test set in this folder" in first.summary.text()
    other = sweep(tmp_path, overrides=["study.name=other"])
    assert "2nd opening of this test set" in other.summary.text()
    fresh = sweep(tmp_path, fresh=True)
    assert "3rd opening of this test set" in fresh.summary.text()
    elsewhere = sweep(tmp_path, tracking_uri=f"sqlite:///{tmp_path}/elsewhere.db")
    assert "4th opening of this test set" in elsewhere.summary.text()
    planned = make_plan(
        tmp_path / "tiny.toml", RunOptions(workers=0, device="cpu", home=tmp_path / "mlruns")
    )
    single = train_once(planned, test=True, watcher=Silent())
    assert single.reading is not None
    assert single.reading.look == 5
    assert "5th opening of this test set in this folder" in single.text()
    again = sweep(tmp_path)
    assert "3rd opening of this test set" in again.summary.text(), "it was not opened again"
    new_split = sweep(tmp_path, overrides=["study.name=split", "data.split_seed=1"])
    text = new_split.summary.text()
    assert "6th opening of this test set" in text, "a fifth of it was in each of the others"
    assert re.search(r"\d\d % of these test examples were in the test set that 'tiny' and \d", text)
    assert re.search(r"8\d % were training examples of 'tiny'", text)
    assert "the interval holds only if no earlier result influenced the choice" in text


@pytest.mark.slow
def test_the_doctor_compares_studies_with_the_log(tmp_path: Path) -> None:
    sweep(tmp_path)
    workspace = Workspace(tmp_path / "mlruns")
    assert check_studies(workspace, "tiny", None).healthy
    (path,) = workspace.test_set_folder.glob("*.jsonl")
    (file, *_) = workspace.test_set_folder.glob("*.npz")
    content = file.read_bytes()
    file.write_bytes(content[:-5])
    assert f"{file.name}: cannot be read" in check_studies(workspace, "tiny", None).text()
    file.write_bytes(content)
    lines = path.read_text().splitlines()
    path.write_text("\n".join(lines[1:]) + "\n")
    report = check_studies(workspace, "tiny", None)
    assert not report.healthy
    assert "was opening number 1 of this test set, but the log does not have it" in report.text()
    path.write_text("\n".join([lines[0].replace('"look": 1', '"look": 2'), *lines[1:]]) + "\n")
    text = check_studies(workspace, "tiny", None).text()
    assert "but the log has it as number 2" in text
    assert "line 2 does not follow the line before: a line was removed or changed" in text
