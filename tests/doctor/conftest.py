"""The prepared study, and copies of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.doctor.example_study import Record, copy_record, run_example_study


@pytest.fixture(scope="session")
def prepared(tmp_path_factory: pytest.TempPathFactory, isolated: Path) -> Path:
    return run_example_study(tmp_path_factory.mktemp("doctor"))


@pytest.fixture
def record(prepared: Path, tmp_path: Path) -> Record:
    return Record(copy_record(prepared, tmp_path / "mlruns"))
