"""The command line: parse, build, print. Heavy imports stay inside the commands."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from harness.cli.options import (
    Commands,
    Cpu,
    DataDir,
    Format,
    Gpu,
    Output,
    Seed,
    Set,
    Storage,
    Study,
    TrackingUri,
    Workers,
    demand,
    reported,
    watching,
)
from harness.cli.read_commands import looking
from harness.results import Task

app = typer.Typer(
    cls=Commands,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    help="Sweeps over small networks: fast, hard to lose work with, honest about what they found.",
    epilog="Example: harness run-study quickstart",
)


def _version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        print(f"harness {version('harness')}")
        raise typer.Exit


@app.callback()
def main(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show it and exit.")
    ] = False,
) -> None:
    pass


@app.command(
    "run-study", epilog="Example: harness run-study fashion-mnist --trials 50 --timeout 30m"
)
def run_study(
    study: Study = "fashion-mnist",
    trials: Annotated[
        int | None, typer.Option(metavar="N", help="Trials in all, earlier ones counted in.")
    ] = None,
    gpu: Gpu = False,
    cpu: Cpu = False,
    workers: Workers = None,
    ray: Annotated[
        str | None,
        typer.Option(
            metavar="ADDRESS",
            help="Train on a Ray cluster: auto for this machine's, HOST:PORT, local.",
        ),
    ] = None,
    cpus_per_worker: Annotated[
        int | None, typer.Option(metavar="N", help="Cores set aside for each worker of --ray [1].")
    ] = None,
    timeout: Annotated[
        str | None, typer.Option(metavar="10m", help="Start no trial after this time.")
    ] = None,
    seed: Seed = None,
    data_dir: DataDir = None,
    tracking_uri: TrackingUri = None,
    storage: Storage = None,
    overrides: Set = None,
    fresh: Annotated[
        bool, typer.Option("--fresh", help="Start over; the old study is kept, renamed.")
    ] = False,
    no_confirm: Annotated[
        bool, typer.Option("--no-confirm", help="Do not train the winner again over fresh seeds.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show what would be done; touch nothing.")
    ] = False,
    output: Output = Format.text,
) -> None:
    """Search a study's space, or go through its grid or list; keep the best model, read the test
    set once, write the report.

    The same command goes on where an earlier one stopped.
    """
    from harness.sweep.plan import plan

    with reported():
        planned = plan(
            study,
            trials=trials,
            device=demand(gpu, cpu),
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
        if dry_run:
            from harness.sweep.dry_run import dry_run as estimate
            from harness.sweep.dry_run import in_words

            resolved = estimate(planned)
            print(json.dumps(resolved) if output is Format.json else in_words(resolved))
            return
        from harness.analysis.summary_json import to_dict
        from harness.sweep.run import execute

        with watching(output) as watcher:
            result = execute(planned, fresh=fresh, watcher=watcher)
        if output is Format.json:
            print(json.dumps({"event": "verdict"} | to_dict(result.verdict)))
        else:
            print(f"\n{result.verdict.text()}")


@app.command("new-study", epilog="Example: harness new-study houses.csv --target price")
def new_study(
    data: Annotated[
        str,
        typer.Argument(
            metavar="PATH|DATASET",
            help="A folder of pictures by class, an .npz, .csv, .tsv or .xlsx; or a known set.",
        ),
    ],
    target: Annotated[
        str, typer.Option(metavar="COLUMN", help="The column of a table to predict.")
    ] = "",
    ignore: Annotated[
        list[str] | None,
        typer.Option(metavar="COLUMN", help="A column of a table to leave out; may be repeated."),
    ] = None,
    task: Annotated[
        Task | None, typer.Option(help="Tell classes apart, or predict numbers [guessed].")
    ] = None,
    file: Annotated[
        Path | None,
        typer.Option("--output", metavar="FILE", help="Where to write it [studies/NAME.toml]."),
    ] = None,
    data_dir: DataDir = None,
    output: Output = Format.text,
) -> None:
    """Look at your data and write a commented study file that fits it; none is overwritten."""
    from harness.config.scaffold import new_study as write

    with reported():
        written = write(
            data, file, target=target, ignore=ignore or (), task=task, data_dir=data_dir
        )
        print(json.dumps(written.to_dict()) if output is Format.json else written.text())


@app.command(epilog="Example: harness train fashion-mnist --set train.hidden=[300,100] --test")
def train(
    study: Study,
    overrides: Set = None,
    test: Annotated[
        bool, typer.Option("--test", help="Open the test set for this model afterwards.")
    ] = False,
    gpu: Gpu = False,
    cpu: Cpu = False,
    seed: Seed = None,
    data_dir: DataDir = None,
    tracking_uri: TrackingUri = None,
    output: Output = Format.text,
) -> None:
    """Train once with the settings of [train]; recorded in STUDY-train."""
    from harness.sweep.plan import plan
    from harness.sweep.train_once import train as run

    with reported():
        planned = plan(
            study,
            device=demand(gpu, cpu),
            seed=seed,
            data_dir=data_dir,
            tracking_uri=tracking_uri,
            overrides=overrides or (),
        )
        with watching(output) as watcher:
            done = run(planned, test=test, watcher=watcher)
        if output is Format.json:
            print(json.dumps({"event": "trained"} | done.to_dict()))
        else:
            print(f"\n{done.text()}")


@app.command(epilog="Example: harness sync fashion-mnist --tracking-uri http://127.0.0.1:5000")
def sync(
    study: Annotated[
        str | None, typer.Argument(metavar="[STUDY]", help="This study's alone [every one's].")
    ] = None,
    tracking_uri: TrackingUri = None,
) -> None:
    """Send what was recorded while MLflow was away."""
    from harness.sweep.sync import sync as send
    from harness.workspace import Workspace, storage_of

    with reported():
        send(Workspace(Path("mlruns"), storage_of()), study, tracking_uri)


@app.command(epilog="Example: harness doctor fashion-mnist --repair")
def doctor(
    study: Annotated[
        str | None, typer.Argument(metavar="[STUDY]", help="This study alone [every one].")
    ] = None,
    repair: Annotated[
        bool, typer.Option("--repair", help="Mend what can be mended; without, only look.")
    ] = False,
    tracking_uri: TrackingUri = None,
    storage: Storage = None,
    output: Output = Format.text,
) -> None:
    """Check that Optuna's record, MLflow's and the files agree, and nothing is lost or double."""
    from harness.doctor.report import examine
    from harness.workspace import Workspace, storage_of

    with reported():
        home = Workspace(Path("mlruns"), storage_of(storage))
        found = examine(home, study, tracking_uri, repair)
        print(json.dumps(found.to_dict()) if output is Format.json else found.text())
        if not found.healthy:
            raise typer.Exit(1)


app.add_typer(looking)


def run() -> NoReturn:
    """The console script. What it leaves behind is for the user's eyes alone: 0600, 0700."""
    os.umask(0o077)
    app()
    sys.exit(0)
