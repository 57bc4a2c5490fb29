"""The subcommands that list studies and open MLflow's UI; heavy imports stay inside them."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from harness.cli.completion import complete_recorded_study
from harness.cli.help_format import READ, Commands
from harness.cli.options import (
    Format,
    Output,
    TrackingUri,
    report_errors,
    show_stage,
)

browse_commands = Commands()


@browse_commands.command(rich_help_panel=READ, epilog="Example: harness studies --format json")
def studies(tracking_uri: TrackingUri = None, output: Output = Format.text) -> None:
    """List the studies on record, and those that are ready to run.

    Times were measured on 2 CPU cores. A recorded study that cannot be read is named on stderr,
    and the exit status is 1.
    """
    from harness.cli.ready_studies import format_ready_studies, list_ready_studies
    from harness.cli.studies_table import format_studies, list_studies
    from harness.system.terminal import escape
    from harness.workspace import Workspace

    with report_errors():
        warnings: list[str] = []
        with show_stage("reading the record"):
            rows = list_studies(Workspace(Path("mlruns")), tracking_uri, warnings.append)
        ready = list_ready_studies()
        if output is Format.json:
            print(json.dumps([*rows, *ready]))
        else:
            nothing = "nothing that can be read" if warnings else "nothing yet"
            recorded = format_studies(rows) if rows else nothing
            print(f"On record\n\n{recorded}\n")
            title = "Ready to run with harness run-study NAME; times on 2 cores"
            print(f"{title}\n\n{format_ready_studies(ready)}")
        for warning in warnings:
            print(f"harness: {escape(warning)}", file=sys.stderr)
        if warnings:
            raise typer.Exit(1)


@browse_commands.command(
    rich_help_panel=READ, epilog="Example: harness ui fashion-mnist --port 5001"
)
def ui(
    study: Annotated[
        str | None,
        typer.Argument(
            metavar="STUDY",
            autocompletion=complete_recorded_study,
            help="Study to show [the latest].",
        ),
    ] = None,
    port: Annotated[
        int | None, typer.Option(metavar="N", help="Port of the server [a free one].")
    ] = None,
    tracking_uri: TrackingUri = None,
) -> None:
    """Serve MLflow's UI on the record until Ctrl-C.

    The server listens on this machine only.
    """
    from harness.cli.mlflow_ui import serve
    from harness.workspace import Workspace

    with report_errors():
        serve(Workspace(Path("mlruns")), tracking_uri, study, port)
