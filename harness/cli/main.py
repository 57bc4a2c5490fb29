"""The `harness` command and its subcommands that write; heavy imports stay inside them."""

from __future__ import annotations

import json
import os
import sys
from io import TextIOWrapper
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from harness.cli.options import (
    Cpu,
    DataDir,
    EscapingGroup,
    Format,
    Gpu,
    Output,
    Seed,
    Set,
    Storage,
    Study,
    TrackingUri,
    Workers,
    open_display,
    parse_device,
    report_errors,
)
from harness.cli.read_commands import read_commands
from harness.results import Task
from harness.system.home_folder import provide_home

app = typer.Typer(
    cls=EscapingGroup,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    help="Fast, crash-safe hyperparameter sweeps over small networks, with honest results.",
    epilog="Example: harness run-study quickstart",
)


def _print_version(is_requested: bool) -> None:
    if is_requested:
        from importlib.metadata import version

        print(f"harness {version('harness')}")
        raise typer.Exit


@app.callback()
def main(
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_print_version, is_eager=True, help="Show the version and exit."
        ),
    ] = False,
) -> None:
    pass


@app.command(
    "run-study", epilog="Example: harness run-study fashion-mnist --trials 50 --timeout 30m"
)
def run_study(
    study: Study = "fashion-mnist",
    trials: Annotated[
        int | None, typer.Option(metavar="N", help="Total number of trials, earlier ones included.")
    ] = None,
    gpu: Gpu = False,
    cpu: Cpu = False,
    workers: Workers = None,
    ray: Annotated[
        str | None,
        typer.Option(
            metavar="ADDRESS",
            help="Train on a Ray cluster: auto (this machine's), HOST:PORT or local (a new one).",
        ),
    ] = None,
    cpus_per_worker: Annotated[
        int | None, typer.Option(metavar="N", help="Cores for each worker with --ray [1].")
    ] = None,
    timeout: Annotated[
        str | None, typer.Option(metavar="10m", help="Start no more trials after this time.")
    ] = None,
    seed: Seed = None,
    data_dir: DataDir = None,
    tracking_uri: TrackingUri = None,
    storage: Storage = None,
    overrides: Set = None,
    fresh: Annotated[
        bool, typer.Option("--fresh", help="Start over; the old study stays under a new name.")
    ] = False,
    no_confirm: Annotated[
        bool,
        typer.Option("--no-confirm", help="Do not confirm the best settings over fresh seeds."),
    ] = False,
    dry_run: Annotated[
        bool,
        typer.Option("--dry-run", help="Show the plan and an estimate of its time; write nothing."),
    ] = False,
    output: Output = Format.text,
) -> None:
    """Run a study: search, confirm, test once, report.

    Searches the space, or runs the grid or list; confirms the winner over fresh seeds; reads the
    test set once and writes the report. Rerun the same command to continue a stopped study.
    """
    from harness.sweep.options import RunOptions
    from harness.sweep.plan import make_plan

    with report_errors():
        options = RunOptions(
            trials=trials,
            device=parse_device(gpu, cpu),
            workers=workers,
            timeout=timeout,
            seed=seed,
            data_dir=data_dir,
            tracking_uri=tracking_uri,
            overrides=overrides or (),
            confirm=not no_confirm,
            ray=ray,
            cpus_per_worker=cpus_per_worker,
            storage=storage,
        )
        plan = make_plan(study, options)
        if dry_run:
            from harness.sweep.dry_run import dry_run as estimate
            from harness.sweep.dry_run import format_dry_run

            resolved = estimate(plan)
            print(json.dumps(resolved) if output is Format.json else format_dry_run(resolved))
            return
        from harness.sweep.run import execute_plan

        with open_display(output) as watcher:
            result = execute_plan(plan, fresh=fresh, watcher=watcher)
        if output is Format.json:
            print(json.dumps({"event": "verdict"} | result.summary.to_dict()))
        else:
            print(f"\n{result.summary.text()}")


@app.command("new-study", epilog="Example: harness new-study houses.csv --target price")
def new_study(
    data: Annotated[
        str,
        typer.Argument(
            metavar="PATH|DATASET",
            help="Folder of images by class; .npz, .csv, .tsv or .xlsx file; built-in dataset.",
        ),
    ],
    target: Annotated[
        str, typer.Option(metavar="COLUMN", help="Column of a table to predict.")
    ] = "",
    ignore: Annotated[
        list[str] | None,
        typer.Option(metavar="COLUMN", help="Column of a table to leave out; can be repeated."),
    ] = None,
    task: Annotated[
        Task | None, typer.Option(help="Predict classes or a number [guessed from the data].")
    ] = None,
    file: Annotated[
        Path | None,
        typer.Option(
            "--output", metavar="FILE", help="Where to write the study file [studies/NAME.toml]."
        ),
    ] = None,
    overrides: Set = None,
    data_dir: DataDir = None,
    output: Output = Format.text,
) -> None:
    """Write a commented study file for your data. An existing file is not overwritten."""
    from harness.config.scaffold import write_new_study as write

    with report_errors():
        written = write(
            data,
            file,
            target=target,
            ignore=ignore or (),
            task=task,
            overrides=overrides or (),
            data_dir=data_dir,
        )
        print(json.dumps(written.to_dict()) if output is Format.json else written.text())


@app.command(epilog="Example: harness train fashion-mnist --set train.hidden=[300,100] --test")
def train(
    study: Study,
    overrides: Set = None,
    test: Annotated[
        bool, typer.Option("--test", help="Open the test set for this model after training.")
    ] = False,
    gpu: Gpu = False,
    cpu: Cpu = False,
    seed: Seed = None,
    data_dir: DataDir = None,
    tracking_uri: TrackingUri = None,
    output: Output = Format.text,
) -> None:
    """Train the settings of [train] once.

    The run is recorded in the experiment STUDY-train.
    """
    from harness.sweep.options import RunOptions
    from harness.sweep.plan import make_plan
    from harness.sweep.train_once import train_once

    with report_errors():
        options = RunOptions(
            device=parse_device(gpu, cpu),
            seed=seed,
            data_dir=data_dir,
            tracking_uri=tracking_uri,
            overrides=overrides or (),
        )
        plan = make_plan(study, options)
        with open_display(output) as watcher:
            result = train_once(plan, test=test, watcher=watcher)
        if output is Format.json:
            print(json.dumps({"event": "trained"} | result.to_dict()))
        else:
            print(f"\n{result.text()}")


@app.command(epilog="Example: harness sync fashion-mnist --tracking-uri http://127.0.0.1:5000")
def sync(
    study: Annotated[
        str | None, typer.Argument(metavar="[STUDY]", help="Send only this study [all studies].")
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


@app.command(epilog="Example: harness doctor fashion-mnist --repair")
def doctor(
    study: Annotated[
        str | None, typer.Argument(metavar="[STUDY]", help="Check only this study [all studies].")
    ] = None,
    repair: Annotated[
        bool, typer.Option("--repair", help="Repair what can be repaired; otherwise only check.")
    ] = False,
    tracking_uri: TrackingUri = None,
    storage: Storage = None,
    output: Output = Format.text,
) -> None:
    """Check that all records of a study agree.

    Compares Optuna's record, MLflow's record and the files: nothing may be lost or doubled. The
    exit status is 1 if anything is wrong.
    """
    from harness.doctor.report import check_studies
    from harness.workspace import Workspace, resolve_storage

    with report_errors():
        workspace = Workspace(Path("mlruns"), resolve_storage(storage))
        report = check_studies(workspace, study, tracking_uri, repair)
        print(json.dumps(report.to_dict()) if output is Format.json else report.text())
        if not report.healthy:
            raise typer.Exit(1)


app.add_typer(read_commands)


def run() -> NoReturn:
    """Run the console script; files that it writes are readable by the user only (0600, 0700)."""
    os.umask(0o077)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):  # not if it is closed
            stream.reconfigure(errors="replace")  # an ASCII terminal shows ? for other characters
    with report_errors():
        provide_home()
    app()
    sys.exit(0)
