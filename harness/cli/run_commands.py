"""The subcommands that prepare and run studies; heavy imports stay inside them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from harness.cli.completion import complete_recorded_study, complete_study
from harness.cli.help_format import MACHINE, OUTPUT, RUN, Commands
from harness.cli.options import (
    STUDY_HELP,
    Cpu,
    DataDir,
    Format,
    Gpu,
    Output,
    Seed,
    Set,
    Storage,
    TrackingUri,
    Workers,
    get_wrap_width,
    open_display,
    parse_device,
    report_errors,
)
from harness.results import Task
from harness.system import timings

DEFAULT_STUDY = "fashion-mnist"

run_commands = Commands()


@run_commands.command(
    "run-study",
    rich_help_panel=RUN,
    epilog="Example: harness run-study fashion-mnist --trials 50 --timeout 30m",
)
def run_study(
    study: Annotated[
        str | None,
        typer.Argument(
            metavar="STUDY",
            help=f"{STUDY_HELP[:-1]} [{DEFAULT_STUDY}].",
            autocompletion=complete_study,
        ),
    ] = None,
    trials: Annotated[
        int | None, typer.Option(metavar="N", help="Total number of trials, earlier ones included.")
    ] = None,
    timeout: Annotated[
        str | None,
        typer.Option(metavar="TIME", help="Start no more trials after this time: 90s, 10m, 2h."),
    ] = None,
    seed: Seed = None,
    warm_start: Annotated[
        str | None,
        typer.Option(
            metavar="STUDY",
            help="Try the best settings of this recorded study first.",
            autocompletion=complete_recorded_study,
        ),
    ] = None,
    overrides: Set = None,
    no_confirm: Annotated[
        bool,
        typer.Option("--no-confirm", help="Do not confirm the best settings on new splits."),
    ] = False,
    no_test: Annotated[
        bool,
        typer.Option(
            "--no-test", help="Leave the test set sealed; open it later with: harness test STUDY."
        ),
    ] = False,
    fresh: Annotated[
        bool, typer.Option("--fresh", help="Start over; the old study stays under a new name.")
    ] = False,
    dry_run: Annotated[
        bool,
        typer.Option("--dry-run", help="Show the plan and an estimate of its time; write nothing."),
    ] = False,
    gpu: Gpu = False,
    cpu: Cpu = False,
    workers: Workers = None,
    ray: Annotated[
        str | None,
        typer.Option(
            metavar="ADDRESS",
            help="Train on a Ray cluster: auto (this machine's), HOST:PORT or local (a new one).",
            rich_help_panel=MACHINE,
        ),
    ] = None,
    cpus_per_worker: Annotated[
        int | None,
        typer.Option(
            metavar="N", help="Cores for each worker with --ray [1].", rich_help_panel=MACHINE
        ),
    ] = None,
    data_dir: DataDir = None,
    tracking_uri: TrackingUri = None,
    storage: Storage = None,
    verbose: Annotated[
        bool,
        typer.Option(
            "--verbose",
            help="Print all figures instead of the short summary.",
            rich_help_panel=OUTPUT,
        ),
    ] = False,
    output: Output = Format.text,
) -> None:
    """Run a study: search, confirm, test once, report.

    Search the space, or run the grid or list. Confirm the winner on new splits, read the test
    set once, and write the report. Rerun the same command to continue a stopped study.
    After --no-test, the same command without --no-test opens the test set too.
    """
    with report_errors():
        with open_display(output, events=not dry_run) as watcher:
            if study is None and not dry_run:
                from harness.cli.ready_studies import describe_default_study

                watcher.message(describe_default_study(DEFAULT_STUDY, data_dir))
            from harness.sweep.options import RunOptions
            from harness.sweep.plan import make_plan

            options = RunOptions(
                trials=trials,
                device=parse_device(gpu, cpu),
                workers=workers,
                timeout=timeout,
                seed=seed,
                data_dir=data_dir,
                tracking_uri=tracking_uri,
                warm_start=warm_start,
                overrides=overrides or (),
                confirm=not no_confirm,
                test=not no_test,
                ray=ray,
                cpus_per_worker=cpus_per_worker,
                storage=storage,
            )
            plan = make_plan(DEFAULT_STUDY if study is None else study, options)
            if dry_run:
                watcher.stage("timing a few random settings")
                from harness.sweep.dry_run import dry_run as estimate
                from harness.sweep.dry_run import format_dry_run

                resolved = estimate(plan)
            else:
                plan.preload_workers()
                from harness.sweep.run import execute_plan

                summary = execute_plan(plan, fresh=fresh, watcher=watcher)
                timings.write_phases(summary.report_path.parent)
        if dry_run:
            if output is Format.json:
                print(json.dumps(resolved))
            else:
                print(format_dry_run(resolved, get_wrap_width()))
        elif output is Format.json:
            print(json.dumps({"event": "verdict"} | summary.to_dict()))
        elif verbose:
            print(f"\n{summary.text(get_wrap_width())}")
        else:
            from harness.cli.summary_screen import print_summary

            print_summary(summary)


@run_commands.command(
    "new-study", rich_help_panel=RUN, epilog="Example: harness new-study houses.csv --target price"
)
def new_study(
    data: Annotated[
        str,
        typer.Argument(
            metavar="PATH|DATASET",
            help="Folder of images by class; .csv, .xlsx, .parquet, ... or .npz; built-in dataset.",
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
        Task | None,
        typer.Option(
            metavar="classes|regression",
            help="Predict classes or a number [guessed from the data].",
        ),
    ] = None,
    file: Annotated[
        Path | None,
        typer.Option(
            "--output", metavar="FILE", help="Where to write the study file [studies/NAME.toml]."
        ),
    ] = None,
    overrides: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="data.KEY=VALUE",
            help="Set a key of [data] in the study file, such as data.sheet=Prices. Can be "
            "repeated.",
        ),
    ] = None,
    data_dir: DataDir = None,
    output: Output = Format.text,
) -> None:
    """Write a commented study file for your data.

    An existing file is not overwritten.
    """
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
        if output is Format.json:
            print(json.dumps(written.to_dict()))
        else:
            print(written.text(get_wrap_width()))
