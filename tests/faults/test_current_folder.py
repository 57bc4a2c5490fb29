"""Files of the current folder are not imported, and a broken installation is named."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.digits_study import STUDY

pytestmark = pytest.mark.slow
MODULES = ("random", "tempfile", "secrets", "torch", "numpy", "mlflow", "uvicorn", "sqlite3")


def run(folder: Path, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "harness", *arguments],
        cwd=folder, capture_output=True, text=True, timeout=120, env=os.environ | variables,
    )  # fmt: skip


def test_no_file_of_the_current_folder_runs(tmp_path: Path) -> None:
    (tmp_path / "tiny.toml").write_text(STUDY)
    for module in MODULES:
        text = f"open({str(tmp_path / 'ran')!r}, 'a').write('{module} ')\nraise SystemExit\n"
        (tmp_path / f"{module}.py").write_text(text)
    for arguments in (
        ("run-study", "./tiny.toml", "--cpu", "--trials", "1", "--no-confirm"),
        ("studies",),
        ("doctor",),
    ):
        done = run(tmp_path, *arguments)
        assert done.returncode == 0, done.stderr
    assert not (tmp_path / "ran").exists(), (tmp_path / "ran").read_text()


@pytest.mark.parametrize(
    "error", ["OSError('libcudart.so: no such file')", "ImportError('no module _C')"]
)
def test_a_broken_torch_is_named(tmp_path: Path, error: str) -> None:
    (tmp_path / "tiny.toml").write_text(STUDY)
    broken = tmp_path / "broken" / "torch"
    broken.mkdir(parents=True)
    (broken / "__init__.py").write_text(f"raise {error}\n")
    done = run(
        tmp_path,
        "run-study",
        "./tiny.toml",
        "--cpu",
        "--workers",
        "1",
        PYTHONPATH=str(broken.parent),
    )
    assert done.returncode == 1
    last = done.stderr.splitlines()[-1]
    assert last.startswith("harness: ")
    assert error.partition("(")[0] in last, done.stderr
    assert error.partition("'")[2].rstrip("')") in last
