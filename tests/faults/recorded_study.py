"""One tiny study on record, shared by the tests that only read or spoil it; commands in-process."""

from __future__ import annotations

import functools
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from typer.testing import CliRunner

from harness.cli.main import app
from harness.sweep.run import run_study
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
learning_rate = [1e-3, 1e-2]
"""
CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069]")
"""What a terminal obeys instead of showing it, the newline and the tab apart."""
DATED = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d  ")
"""How a line of progress begins."""
MOST = 1500
"""Characters of an error that still leave the rest of a screen in view."""


def recorded(factory: pytest.TempPathFactory) -> Path:
    """A folder with `tiny.toml` and its finished study under `mlruns/`; made once a session."""
    return _record(factory.getbasetemp() / "recorded")


@functools.cache
def _record(folder: Path) -> Path:
    folder.mkdir()
    (folder / "tiny.toml").write_text(STUDY)
    run_study(folder / "tiny.toml", home=folder / "mlruns", workers=0, device="cpu")
    return folder


def champion(folder: Path) -> tuple[str, int]:
    """The run id and the number of the study's champion."""
    study = Workspace(folder / "mlruns").open_tracker(None, reading=True).read_study("tiny")
    assert study is not None
    best = study.rank_trials()[0]
    return best.run_id, best.number


@contextmanager
def inside(folder: Path) -> Iterator[None]:
    """As `contextlib.chdir`, with the environment given back too: commands set some of it."""
    before, here = dict(os.environ), Path.cwd()
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(here)
        os.environ.clear()
        os.environ.update(before)


def command(folder: Path, *arguments: str) -> tuple[int, str]:
    """The exit status and all output of `harness ARGUMENTS` run in `folder`, in this process."""
    before = os.umask(0o077)  # as the console script's own
    try:
        with inside(folder):
            result = CliRunner().invoke(app, list(arguments), color=True)
    finally:
        os.umask(before)
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.exit_code, result.output


def refused(folder: Path, *arguments: str, statuses: tuple[int, ...] = (2,)) -> str:
    """The one line that a command is refused with, checked to be fit for a terminal."""
    status, output = command(folder, *arguments)
    assert status in statuses, f"exit status {status}: {output[:1000]!r}"
    return check_line(output)


def check_line(output: str) -> str:
    assert "Traceback" not in output
    assert not CONTROL.search(output), repr(output[:1000])
    lines = [line for line in output.strip().splitlines() if not DATED.match(line)]
    if lines[0].startswith("Usage:"):  # what the command line's own parser says
        lines = [line for line in lines[1:] if line and not line.startswith("Try ")]
    assert len(lines) == 1, repr(output[:2000])
    assert len(lines[0]) <= MOST, f"{len(lines[0])} characters: {lines[0][:300]}"
    return lines[0]


def files(folder: Path) -> set[str]:
    """Everything beneath a folder but what lies in an `mlruns`."""
    found = (path.relative_to(folder) for path in folder.rglob("*"))
    return {str(path) for path in found if "mlruns" not in path.parts}
