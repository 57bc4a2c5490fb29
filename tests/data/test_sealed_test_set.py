"""The sealed test set: workers cannot reach it, and a sweep does not need it until the end."""

from __future__ import annotations

import contextlib
import pickle
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from harness.api.result import StudyResult
from harness.api.run import run_study
from harness.data.prepare import PreparedDataset, prepare
from harness.errors import DataError
from harness.executors.base import EpochEnded, Setup
from harness.executors.processes import ProcessExecutor
from harness.search.study import Search
from harness.sweep.options import RunOptions
from harness.sweep.plan import make_plan
from harness.tracking.types import StudyRun
from harness.trial import Trial, TrialSpec
from harness.workspace import Workspace
from tests.support.sealed_test_set import read_test_labels

STUDY = """
[study]
trials = 3
pruner = "none"
[data]
name = "digits"
validation = 0.2
[train]
epochs = 2
[space]
hidden = [[8], [12]]
learning_rate = { low = 1e-3, high = 1e-1, log = true }
"""


def test_what_workers_get_names_no_file_of_the_sealed_test_set(digits: PreparedDataset) -> None:
    trial = Trial(number=0, uid="u/0", spec=TrialSpec(hidden=(8,)))
    sent = pickle.dumps((digits.training, Setup("val/accuracy", "cpu", 3), trial))
    sealed = digits.test.inputs.parent
    assert b"inputs.npy" in sent
    for name in (sealed.name, digits.test_digest, *(path.stem for path in sealed.glob("test*"))):
        assert name.encode() not in sent
    paths = [value for value in vars(digits.training).values() if isinstance(value, Path)]
    assert len(paths) == 4
    for path in paths:
        assert not path.resolve().is_relative_to(sealed.resolve())
        assert not any(path.samefile(other) for other in sealed.iterdir())
    known = {bytes(image) for image in np.load(digits.training.inputs)}
    assert len(known) == digits.sizes["train"] + digits.sizes["validation"]
    assert not known & {bytes(image) for image in np.load(digits.test.inputs)}


def list_arrays(folder: Path) -> Iterator[np.ndarray[Any, Any]]:
    """Read every file below a folder as an array: as .npy, or its bytes as numbers."""
    for path in folder.rglob("*"):
        if path.is_file():
            content = path.read_bytes()
            with contextlib.suppress(ValueError, EOFError, OSError, pickle.UnpicklingError):
                yield np.load(path, allow_pickle=True)
            for dtype in ("<i8", "<f4", "u1"):
                size = np.dtype(dtype).itemsize
                yield np.frombuffer(content[len(content) % size :], dtype)


def test_a_model_that_searches_the_cache_has_no_labels(tmp_path: Path) -> None:
    """It walks up from the files of the training set, as a worker's model can."""
    digits = prepare(
        "digits", validation=0.2, test=0.2, split_seed=0, normalize=True, cache=tmp_path
    )
    true = read_test_labels(digits)
    best = 0.0
    for array in list_arrays(digits.training.inputs.parents[3]):
        flat = array.ravel()
        for part in (flat[: len(true)], flat[-len(true) :]):
            if len(part) == len(true):
                with np.errstate(invalid="ignore"):
                    best = max(best, float((part == true).mean()))
    assert best < 0.3, "chance is 0.1"
    assert not list(digits.training.inputs.parents[1].rglob("*test*/*")), "nor a folder beside it"


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
def test_a_training_worker_has_no_file_of_the_sealed_test_set_open(digits: PreparedDataset) -> None:
    sealed = digits.test.inputs.parent
    with ProcessExecutor(digits.training, [Setup("val/accuracy", "cpu")]) as executor:
        spec = TrialSpec(hidden=(8,), epochs=10**6)
        executor.submit([Trial(number=0, uid="u/0", spec=spec)])
        (event,) = executor.wait(60)
        assert isinstance(event, EpochEnded)
        (pid,) = [worker.process.pid for worker in executor._workers]
        process = Path(f"/proc/{pid}")
        mapped = (process / "maps").read_text()
        open_files = [str(path.readlink()) for path in (process / "fd").iterdir()]
        arguments = (process / "environ").read_text() + (process / "cmdline").read_text()
    assert str(digits.training.inputs) in mapped
    assert sealed.name not in mapped
    assert sealed.name not in arguments
    assert not [path for path in open_files if sealed.name in path]


@contextmanager
def poisoned(folder: Path) -> Iterator[None]:
    """Replace each of a folder's files by a folder: even root cannot read it as a file."""
    original = folder.with_name("antidote")
    folder.rename(original)
    folder.mkdir()
    for path in original.iterdir():
        (folder / path.name).mkdir()
    yield
    for path in original.iterdir():
        (folder / path.name).rmdir()
    folder.rmdir()
    original.rename(folder)


@pytest.mark.parametrize("workers", [0, pytest.param(2, marks=pytest.mark.slow)])
def test_a_sweep_trains_though_the_sealed_part_is_poison(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, workers: int
) -> None:
    """It fails when the test set is opened, after the choice is recorded, and not before."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    path, home = tmp_path / "tiny.toml", tmp_path / "mlruns"
    path.write_text(STUDY)
    planned = make_plan(path, RunOptions(device="cpu", workers=workers, home=home))
    sealed = planned.prepare().test.inputs.parent

    def sweep() -> StudyResult:
        return run_study(path, device="cpu", workers=workers, home=home)

    def read_study() -> StudyRun:
        study = Workspace(home).open_tracker(None, reading=True).read_study("tiny")
        assert study is not None
        return study

    with poisoned(sealed):
        with pytest.raises(DataError, match=r"labels\.masked cannot be read"):
            sweep()
        stopped = read_study()
        assert [run.state for run in stopped.trials] == ["COMPLETE"] * 3
        assert all(len(run.epochs) == 2 for run in stopped.trials)
        assert (stopped.state, stopped.readings) == ("FAILED", ())
        assert list((home / "artifacts").rglob("selection-*.json")), (
            "chosen before the test set was opened"
        )
        assert sealed.name not in "".join(stopped.facts.values())
        with pytest.raises(DataError, match=r"labels\.masked cannot be read"):
            sweep()
    with monkeypatch.context() as patch:
        patch.setattr(Search, "ask", None)  # nothing is left to train
        result = sweep()
    assert result.test is not None
    assert result.test.examples == 360
    assert [run.uid for run in read_study().trials] == [run.uid for run in stopped.trials]
