"""Real data that no test downloads, in the folder that HARNESS_DATA_DIR names."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

FOLDER = os.environ.get("HARNESS_DATA_DIR")
"""As it was when the tests started, which remove it from the environment."""


def find_real_data(path: str) -> Path:
    """Return the folder of the real data; skip the test if it has no file or folder `path`."""
    if not FOLDER:
        pytest.skip(f"real data: HARNESS_DATA_DIR is not set to a folder with {path}")
    if not (Path(FOLDER) / path).exists():
        pytest.skip(f"real data: HARNESS_DATA_DIR={FOLDER} has no {path}")
    return Path(FOLDER).resolve()
