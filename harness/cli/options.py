"""What several commands share: their options, and who watches their progress, how errors end."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

from harness.errors import ConfigError, HarnessError
from harness.system.terminal import harmless

if TYPE_CHECKING:
    from harness.executors.devices import Demand
    from harness.sweep.driver import ProgressDisplay


class Format(StrEnum):
    text = "text"
    json = "json"


Study = Annotated[
    str, typer.Argument(metavar="STUDY", help="A name from ./studies, a shipped one, or a path.")
]
Gpu = Annotated[bool, typer.Option("--gpu", help="Demand CUDA; an error where there is none.")]
Cpu = Annotated[bool, typer.Option("--cpu", help="Forbid CUDA. Neither: take what is there.")]
Workers = Annotated[
    int | None,
    typer.Option(metavar="N", help="Worker processes [one per core or GPU]; 0 trains in this one."),
]
Seed = Annotated[
    int | None, typer.Option(metavar="N", help="Seed of the sampler, the weights and the batches.")
]
DataDir = Annotated[
    Path | None,
    typer.Option(metavar="DIR", help="Where datasets lie [$HARNESS_DATA_DIR, else downloaded]."),
]
TrackingUri = Annotated[
    str | None,
    typer.Option(metavar="URI", help="MLflow [$MLFLOW_TRACKING_URI, else mlruns/mlflow.db]."),
]
Storage = Annotated[
    str | None,
    typer.Option(
        metavar="URL",
        help="Optuna's record in PostgreSQL [$HARNESS_STORAGE, else a journal in mlruns].",
    ),
]
Set = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="TABLE.KEY=VALUE",
        help="Override the study file; a field set in [train] is no longer sampled.",
    ),
]
Output = Annotated[Format, typer.Option("--format", help="text for people, json for programs.")]


def demand(gpu: bool, cpu: bool) -> Demand:
    """What --gpu and --cpu ask for."""
    if gpu and cpu:
        raise ConfigError("--gpu and --cpu exclude each other; give one of them, or neither")
    return "gpu" if gpu else "cpu" if cpu else None


@contextmanager
def watching(output: Format) -> Iterator[ProgressDisplay]:
    """JSON lines for programs, a live table in a terminal, dated lines elsewhere."""
    if output is Format.json:
        from harness.cli.progress.jsonlines import JsonLines

        yield JsonLines()
        return
    from rich.console import Console

    console = Console(stderr=True)
    if not console.is_terminal:
        from harness.cli.progress.plain import Plain

        yield Plain()
        return
    from harness.cli.progress.live import LiveTable

    with LiveTable(console) as live:
        yield live


class Commands(TyperGroup):
    """The commands, whose parser shows what it was given as harmless as we do."""

    def make_context(self, *given: Any, **more: Any) -> Any:
        with _shown():
            return super().make_context(*given, **more)

    def invoke(self, ctx: Any) -> Any:
        with _shown():
            return super().invoke(ctx)


@contextmanager
def _shown() -> Iterator[None]:
    try:
        yield
    except Exception as error:
        if isinstance(getattr(error, "message", None), str):  # of the parser's errors
            error.message = harmless(error.message)  # type: ignore[attr-defined]
        raise


@contextmanager
def reported() -> Iterator[None]:
    """Turn our errors into one line and their exit status."""
    try:
        yield
    except HarnessError as error:
        print(f"harness: {harmless(str(error))}", file=sys.stderr)
        raise typer.Exit(error.exit_status) from None
    except KeyboardInterrupt:
        print("harness: stopped at once", file=sys.stderr)
        raise typer.Exit(130) from None
    except BrokenPipeError:  # whoever read our output has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise typer.Exit(1) from None
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        print(f"harness: {harmless(f'{where}{error.strerror or error}')}", file=sys.stderr)
        raise typer.Exit(1) from None
