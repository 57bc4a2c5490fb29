"""What the commands share: options, the progress display, and errors as one line."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from harness.cli.completion import complete_recorded_study, complete_study
from harness.cli.help_format import MACHINE, OUTPUT, RECORDS
from harness.errors import ConfigError, HarnessError, Interruption
from harness.system import timings
from harness.system.terminal import escape

if TYPE_CHECKING:
    from harness.executors.devices import DeviceOption
    from harness.sweep.progress import ProgressDisplay


class Format(StrEnum):
    text = "text"
    json = "json"


STUDY_HELP = "A study in ./studies, a built-in study, or a path."

Study = Annotated[
    str, typer.Argument(metavar="STUDY", help=STUDY_HELP, autocompletion=complete_study)
]
RecordedStudy = Annotated[
    str,
    typer.Argument(
        metavar="STUDY", help="A study on record.", autocompletion=complete_recorded_study
    ),
]
Gpu = Annotated[
    bool,
    typer.Option("--gpu", help="Require CUDA; an error if there is none.", rich_help_panel=MACHINE),
]
Cpu = Annotated[
    bool,
    typer.Option(
        "--cpu",
        help="Do not use CUDA. By default a GPU is used if there is one.",
        rich_help_panel=MACHINE,
    ),
]
Workers = Annotated[
    int | None,
    typer.Option(
        metavar="N",
        help="Worker processes [one per core or GPU]; 0 trains in this process.",
        rich_help_panel=MACHINE,
    ),
]
Seed = Annotated[
    int | None,
    typer.Option(metavar="N", help="Seed of the sampler, the initial weights and the batches."),
]
DataDir = Annotated[
    Path | None,
    typer.Option(
        metavar="DIR",
        help="Folder of the datasets [$HARNESS_DATA_DIR, else downloaded].",
        rich_help_panel=RECORDS,
    ),
]
TrackingUri = Annotated[
    str | None,
    typer.Option(
        metavar="URI",
        help="MLflow store [$MLFLOW_TRACKING_URI, else mlruns/mlflow.db].",
        rich_help_panel=RECORDS,
    ),
]
Storage = Annotated[
    str | None,
    typer.Option(
        metavar="URL",
        help="PostgreSQL for Optuna's record [$HARNESS_STORAGE, else a journal in mlruns].",
        rich_help_panel=RECORDS,
    ),
]
Set = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="TABLE.KEY=VALUE",
        help="Override a key of the study file; a field set in [train] is no longer sampled. Can "
        "be repeated; quote brackets: 'train.hidden=[64]'.",
    ),
]
Output = Annotated[
    Format,
    typer.Option(
        "--format",
        metavar="text|json",
        help="text for people, json for programs.",
        show_default=False,
        rich_help_panel=OUTPUT,
    ),
]


def parse_device(gpu: bool, cpu: bool) -> DeviceOption:
    """Turn --gpu and --cpu into one value. Raises ConfigError for both."""
    if gpu and cpu:
        raise ConfigError("--gpu and --cpu exclude each other; give one of them, or neither")
    return "gpu" if gpu else "cpu" if cpu else None


@contextmanager
def open_display(
    output: Format, stage: str = "reading the study file", events: bool = True
) -> Iterator[ProgressDisplay]:
    """Open the progress display: JSON lines, a live display in a terminal, or plain lines.

    It imports nothing heavy: open it before what does.

    Args:
        stage: the first stage.
        events: whether JSON output is lines of events, and not one document.
    """
    timings.begin(stage)
    if output is Format.json:
        from harness.progress.jsonlines import JsonLines
        from harness.sweep.progress import Silent

        display: ProgressDisplay = JsonLines() if events else Silent()
        display.stage(stage)
        yield _measure_stages(display)
        return
    from harness.progress.choose import open_progress

    with open_progress(stage=stage) as display:
        yield _measure_stages(display)


def _measure_stages(display: ProgressDisplay) -> ProgressDisplay:
    if not timings.is_enabled():
        return display
    from harness.progress.timed import TimedDisplay

    return TimedDisplay(display)


@contextmanager
def show_stage(stage: str) -> Iterator[None]:
    """Show a stage and its seconds in a terminal until the body ends; nothing elsewhere."""
    timings.begin(stage)
    from harness.progress.choose import is_live_terminal

    if not is_live_terminal(sys.stderr):
        yield
        return
    with open_display(Format.text, stage):
        yield


def get_wrap_width() -> int | None:
    """Return the columns to wrap output to; None if stdout is no terminal and COLUMNS not set."""
    is_known = sys.stdout.isatty() or "COLUMNS" in os.environ
    return shutil.get_terminal_size().columns if is_known else None


@contextmanager
def report_errors() -> Iterator[None]:
    """Print an error as one line and exit with its status."""
    try:
        yield
    except HarnessError as error:
        command = error.command if isinstance(error, Interruption) else ""
        print(f"harness: {escape(str(error))}{':' * bool(command)}", file=sys.stderr)
        if command:
            print(f"  {escape(command)}", file=sys.stderr)
        raise typer.Exit(error.exit_status) from None
    except KeyboardInterrupt:
        print("harness: stopped immediately", file=sys.stderr)
        raise typer.Exit(130) from None
    except BrokenPipeError:  # the reader of the output has closed it
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise typer.Exit(1) from None
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        print(f"harness: {escape(f'{where}{error.strerror or error}')}", file=sys.stderr)
        raise typer.Exit(1) from None
