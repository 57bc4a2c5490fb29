"""The command line: parse, build, print. Heavy imports stay inside the commands."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from harness.errors import HarnessError
from harness.options import (
    Cpu,
    DataDir,
    Format,
    Gpu,
    Output,
    Seed,
    Set,
    Study,
    TrackingUri,
    Workers,
    demand,
    watching,
)

app = typer.Typer(
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
    timeout: Annotated[
        str | None, typer.Option(metavar="10m", help="Start no trial after this time.")
    ] = None,
    seed: Seed = None,
    data_dir: DataDir = None,
    tracking_uri: TrackingUri = None,
    overrides: Set = None,
    fresh: Annotated[
        bool, typer.Option("--fresh", help="Start over; the old study is kept, renamed.")
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
    from harness.plan import plan

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
        )
        if dry_run:
            from harness.estimate import dry_run as estimate
            from harness.estimate import in_words

            resolved = estimate(planned)
            print(json.dumps(resolved) if output is Format.json else in_words(resolved))
            return
        from harness.run import execute

        with watching(output) as watcher:
            result = execute(planned, fresh=fresh, watcher=watcher)
        if output is Format.json:
            print(json.dumps({"event": "verdict"} | result.verdict.to_dict()))
        else:
            print(f"\n{result.verdict.text()}")


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
    from harness.plan import plan
    from harness.train import train as run

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


@app.command(epilog="Example: harness report fashion-mnist")
def report(study: Study, tracking_uri: TrackingUri = None) -> None:
    """Write a study's report again, from what MLflow holds."""
    from harness.home import Home
    from harness.reports.again import write_again

    with reported():
        print(write_again(Home(Path("mlruns")), study, tracking_uri))


@app.command(epilog="Example: harness compare fashion-mnist fashion-mnist/12")
def compare(
    names: Annotated[
        list[str],
        typer.Argument(metavar="A B [C ...]", help="Studies, trials (STUDY/12) or MLflow run ids."),
    ],
    tracking_uri: TrackingUri = None,
    output: Output = Format.text,
) -> None:
    """Compare trials, or the champions of studies: settings, curves, classes, McNemar's test."""
    from harness.compare import compare as run
    from harness.compare import report_path
    from harness.home import Home
    from harness.reports.versus import report as page
    from harness.verdict import aligned

    with reported():
        home = Home(Path("mlruns"))
        found = run(home.open_tracker(tracking_uri, reading=True), names)
        path = report_path(home, found, home.tracking_uri(tracking_uri))
        page(found).write(path)
        if output is Format.json:
            print(json.dumps(found.to_dict() | {"report": str(path)}))
            return
        print(aligned([*found.lines, ("report", str(path))]))


@app.command(epilog="Example: harness predict fashion-mnist --test 12 --wrong")
def predict(
    study: Annotated[
        str, typer.Argument(metavar="STUDY", help="A study, a trial (STUDY/12) or MLflow run id.")
    ],
    test: Annotated[int, typer.Option("--test", metavar="N", help="Show so many test images.")],
    start: Annotated[int, typer.Option("--from", metavar="K", help="Start at this image.")] = 0,
    wrong: Annotated[bool, typer.Option("--wrong", help="Show the mistakes alone.")] = False,
    data_dir: DataDir = None,
    tracking_uri: TrackingUri = None,
    output: Output = Format.text,
) -> None:
    """Look at test images one by one: the picture, what is true, what the model said.

    That was kept when the test set was read; it is not opened again.
    """
    from harness.home import Home
    from harness.predict import on_test

    with reported():
        found = on_test(
            Home(Path("mlruns")),
            study,
            tracking_uri,
            test,
            start=start,
            wrong=wrong,
            data_dir=data_dir,
        )
        if output is Format.json:
            for example in found.examples:
                print(json.dumps(example.to_dict()))
            return
        from rich.console import Console

        from harness.drawn import show

        show(found, Console())


@app.command(epilog="Example: harness studies --format json")
def studies(tracking_uri: TrackingUri = None, output: Output = Format.text) -> None:
    """List the studies on record: dataset, trials, best, when."""
    from harness.home import Home
    from harness.listing import listing, table

    with reported():
        rows = listing(Home(Path("mlruns")), tracking_uri)
        print(json.dumps(rows) if output is Format.json else table(rows))


@app.command(epilog="Example: harness ui fashion-mnist --port 5001")
def ui(
    study: Annotated[
        str | None, typer.Argument(metavar="[STUDY]", help="Open this study's view [the latest].")
    ] = None,
    port: Annotated[int | None, typer.Option(metavar="N", help="[a free one]")] = None,
    tracking_uri: TrackingUri = None,
) -> None:
    """Serve MLflow's UI on what was recorded, to this machine only, until Ctrl-C."""
    from harness.home import Home
    from harness.ui import serve

    with reported():
        serve(Home(Path("mlruns")), tracking_uri, study, port)


def run() -> NoReturn:
    """The console script."""
    app()
    sys.exit(0)


@contextmanager
def reported() -> Iterator[None]:
    """Turn our errors into one line and their exit status."""
    try:
        yield
    except HarnessError as error:
        print(f"harness: {error}", file=sys.stderr)
        raise typer.Exit(error.exit_status) from None
    except KeyboardInterrupt:
        print("harness: stopped at once", file=sys.stderr)
        raise typer.Exit(130) from None
    except BrokenPipeError:  # whoever read our output has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise typer.Exit(1) from None
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        print(f"harness: {where}{error.strerror or error}", file=sys.stderr)
        raise typer.Exit(1) from None
