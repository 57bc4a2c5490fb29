"""The `harness` command and the subcommands that keep the records; heavy imports stay inside."""

from __future__ import annotations

import atexit
import json
import os
import sys
from contextlib import suppress
from io import TextIOWrapper
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from harness.cli.browse_commands import browse_commands
from harness.cli.completion import complete_recorded_study
from harness.cli.help_format import KEEP, Commands, HelpGroup
from harness.cli.options import (
    Format,
    Output,
    Storage,
    TrackingUri,
    report_errors,
    show_stage,
)
from harness.cli.predict_commands import predict_commands
from harness.cli.read_commands import read_commands
from harness.cli.run_commands import run_commands
from harness.cli.train_commands import train_commands
from harness.system import timings
from harness.system.home_folder import provide_home

app = Commands(
    cls=HelpGroup,
    invoke_without_command=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    help="Fast, crash-safe hyperparameter sweeps over small networks, with honest results. "
    "`harness COMMAND --help` shows a command's options.",
    epilog="Example: harness run-study quickstart",
)


def _print_version(is_requested: bool) -> None:
    if is_requested:
        from harness import __version__

        print(f"harness {__version__}")
        raise typer.Exit


@app.callback()
def main(
    context: typer.Context,
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_print_version, is_eager=True, help="Show the version and exit."
        ),
    ] = False,
) -> None:
    if context.invoked_subcommand is None:
        print(context.get_help())
        raise typer.Exit(2)


for commands in (
    run_commands,
    train_commands,
    read_commands,
    predict_commands,
    browse_commands,
):
    app.add_typer(commands)


@app.command(
    rich_help_panel=KEEP,
    epilog="Example: harness sync fashion-mnist --tracking-uri http://127.0.0.1:5000",
)
def sync(
    study: Annotated[
        str | None,
        typer.Argument(
            metavar="STUDY",
            help="Send only this study [all studies].",
            autocompletion=complete_recorded_study,
        ),
    ] = None,
    refused: Annotated[
        bool, typer.Option("--refused", help="Send again, once, what the server refused.")
    ] = False,
    tracking_uri: TrackingUri = None,
) -> None:
    """Send what was recorded while the MLflow server was unavailable."""
    from harness.sweep.sync import send_outboxes
    from harness.workspace import Workspace, resolve_storage

    with report_errors():
        send_outboxes(Workspace(Path("mlruns"), resolve_storage()), study, tracking_uri, refused)


@app.command(rich_help_panel=KEEP, epilog="Example: harness doctor fashion-mnist --repair")
def doctor(
    study: Annotated[
        str | None,
        typer.Argument(
            metavar="STUDY",
            help="Check only this study [all studies].",
            autocompletion=complete_recorded_study,
        ),
    ] = None,
    repair: Annotated[
        bool, typer.Option("--repair", help="Repair what can be repaired; otherwise only check.")
    ] = False,
    tracking_uri: TrackingUri = None,
    storage: Storage = None,
    output: Output = Format.text,
) -> None:
    """Check that all records of a study agree.

    Compares Optuna's record, MLflow's record and the files: nothing may be lost or counted
    twice. The exit status is 1 if anything is wrong.
    """
    with report_errors():
        with show_stage("checking the records"):
            from harness.checks.report import check_studies
            from harness.workspace import Workspace, resolve_storage

            workspace = Workspace(Path("mlruns"), resolve_storage(storage))
            report = check_studies(workspace, study, tracking_uri, repair)
        print(json.dumps(report.to_dict()) if output is Format.json else report.text())
        if not report.healthy:
            raise typer.Exit(1)


def _replace_closed_streams() -> None:
    """Open /dev/null for a standard stream that is closed, as by `2>&-` or under some services.

    Python has None for it, and the next file to be opened, a database perhaps, gets its descriptor.
    """
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            stream = Path(os.devnull).open(mode)  # noqa: SIM115
            os.set_inheritable(stream.fileno(), True)  # workers need it too
            setattr(sys, name, stream)


def run() -> NoReturn:
    """Run the console script; files that it writes are readable by the user only (0600, 0700)."""
    os.umask(0o077)
    _replace_closed_streams()
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="replace")  # an ASCII terminal shows ? for other characters
    status: object = 1

    def leave() -> None:
        """End the process. Python's own end takes torch and mlflow apart for 1 s or more."""
        with suppress(OSError, ValueError):  # nobody reads it any more
            if timings.is_enabled():
                print(timings.format_phases(), file=sys.stderr)
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(status if isinstance(status, int) else 1)

    atexit.register(leave)  # the first to be registered is the last to run
    with report_errors():
        provide_home()
    try:
        app()
    except SystemExit as error:
        status = error.code or 0
        raise
    sys.exit(0)
