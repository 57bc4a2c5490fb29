"""The small study of all tests of the search."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.config.loader import load
from harness.config.schema import StudyConfig
from tests.search.tiny_study import STUDY


@pytest.fixture
def config(tmp_path: Path) -> StudyConfig:
    path = tmp_path / "tiny.toml"
    path.write_text(STUDY)
    return load(path)
