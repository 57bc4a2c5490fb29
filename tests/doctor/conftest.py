"""The prepared study, and copies of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.doctor.example_study import Record, copied, make


@pytest.fixture(scope="session")
def prepared(tmp_path_factory: pytest.TempPathFactory, isolated: Path) -> Path:
    return make(tmp_path_factory.mktemp("doctor"))


@pytest.fixture
def record(prepared: Path, tmp_path: Path) -> Record:
    return Record(copied(prepared, tmp_path / "mlruns"))
