"""Two folders that record a study of one name in one store."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from harness.api.result import StudyResult
from harness.api.run import run_study
from harness.errors import StudyError
from tests.support.digits_study import STUDY

pytestmark = pytest.mark.slow


def sweep(folder: Path, uri: str, **options: object) -> StudyResult:
    study = folder.parent / "tiny.toml"
    study.write_text(STUDY)
    options = {"trials": 2, "confirm": False} | options
    return run_study(study, home=folder, device="cpu", workers=0, tracking_uri=uri, **options)  # type: ignore[arg-type]


def test_the_second_study_is_refused_and_changes_nothing(tmp_path: Path) -> None:
    uri, here, there = f"sqlite:///{tmp_path / 's.db'}", tmp_path / "a", tmp_path / "b"
    first = sweep(here, uri)
    for fresh in (False, True):
        with pytest.raises(StudyError, match=f"'tiny' is taken .* {first.summary.study.uid}"):
            sweep(there, uri, seed=5, fresh=fresh)
        assert not there.exists()  # refused before anything was written
    other = sweep(there, uri, seed=5, overrides=["study.name=tiny-2"])
    again = sweep(here, uri)
    assert (again.champion.uid, again.test) == (first.champion.uid, first.test)
    assert again.model == "models:/tiny@champion"
    assert other.summary.study.uid != first.summary.study.uid

    copied, moved = tmp_path / "c", tmp_path / "moved"
    shutil.copytree(here, copied)
    before = (tmp_path / "s.db").read_bytes()
    for fresh in (False, True):
        with pytest.raises(StudyError, match=f"was last run in {here}, which still has it"):
            sweep(copied, uri, trials=3, fresh=fresh)
    assert (tmp_path / "s.db").read_bytes() == before
    here.rename(moved)
    here = moved
    more = sweep(here, uri, trials=3)
    assert more.summary.study.uid == first.summary.study.uid
    assert len(more.trials) == 3

    shutil.rmtree(here / "optuna")  # the Optuna record is lost
    with pytest.raises(StudyError, match=r"restore its Optuna record from a backup; .* fresh=True"):
        sweep(here, uri)
    restarted = sweep(here, uri, fresh=True)
    assert restarted.summary.study.uid != first.summary.study.uid
    assert len(restarted.trials) == 2
