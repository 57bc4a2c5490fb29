"""One tiny recorded study, shared by tests that read or damage a copy; commands in-process."""

from __future__ import annotations

import functools
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from typer.testing import CliRunner

from harness.api.run import run_study
from harness.cli.main import app
from harness.workspace import Workspace

STUDY = """
[study]
trials = 2
pruner = "none"
[data]
name = "digits"
validation = 0.2
[train]
epochs = 1
[space]
learning_rate = { low = 1e-3, high = 1e-2, log = true }
"""
CONTROL_CHAR = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069]")
"""Characters that a terminal obeys instead of showing them, except newline and tab."""
PROGRESS_LINE = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d  ")
"""The start of a progress line."""
MAX_ERROR_LENGTH = 1500
"""The most characters of an error that still fit on a screen with other lines."""


def record_study(factory: pytest.TempPathFactory) -> Path:
    """Return a folder with `tiny.toml` and its finished study; it is created once a session."""
    return _record(factory.getbasetemp() / "recorded")


@functools.cache
def _record(folder: Path) -> Path:
    folder.mkdir()
    (folder / "tiny.toml").write_text(STUDY)
    run_study(folder / "tiny.toml", home=folder / "mlruns", workers=0, device="cpu")
    return folder


def find_champion(folder: Path) -> tuple[str, int]:
    """Return the run id and the number of the study's champion."""
    study = Workspace(folder / "mlruns").open_tracker(None, reading=True).read_study("tiny")
    assert study is not None
    best = study.rank_trials()[0]
    return best.run_id, best.number


@contextmanager
def working_directory(folder: Path) -> Iterator[None]:
    """Like `contextlib.chdir`, but also restore the environment, which commands change."""
    environment, previous = dict(os.environ), Path.cwd()
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(previous)
        os.environ.clear()
        os.environ.update(environment)


def run_command(folder: Path, *arguments: str) -> tuple[int, str]:
    """Run `harness ARGUMENTS` in `folder` in this process; return exit status and output."""
    umask = os.umask(0o077)  # like the console script
    try:
        with working_directory(folder):
            result = CliRunner().invoke(app, list(arguments), color=True)
    finally:
        os.umask(umask)
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.exit_code, result.output


def run_refused_command(folder: Path, *arguments: str, statuses: tuple[int, ...] = (2,)) -> str:
    """Run a command that must fail; return its error, checked with `check_line`."""
    status, output = run_command(folder, *arguments)
    assert status in statuses, f"exit status {status}: {output[:1000]!r}"
    if arguments == ("studies",):  # it also lists the studies that can be read or run
        output = output[output.index("harness: ") :]
    return check_line(output)


def check_line(output: str) -> str:
    """Return the output, checked to be one line that is safe for a terminal."""
    assert "Traceback" not in output
    assert not CONTROL_CHAR.search(output), repr(output[:1000])
    lines = [line for line in output.strip().splitlines() if not PROGRESS_LINE.match(line)]
    if lines[0].startswith("Usage:"):  # an error of the command line's parser
        lines = [line for line in lines[1:] if line and not line.startswith("Try ")]
    assert len(lines) == 1, repr(output[:2000])
    assert len(lines[0]) <= MAX_ERROR_LENGTH, f"{len(lines[0])} characters: {lines[0][:300]}"
    return lines[0]


def list_files(folder: Path) -> set[str]:
    """Return everything below a folder, except what is in an `mlruns`."""
    paths = (path.relative_to(folder) for path in folder.rglob("*"))
    return {str(path) for path in paths if "mlruns" not in path.parts}
