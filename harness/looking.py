"""The commands that look at what was recorded. Heavy imports stay inside them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from harness.options import (
    Cpu,
    DataDir,
    Format,
    Gpu,
    Output,
    Study,
    TrackingUri,
    demand,
    reported,
    watching,
)

looking = typer.Typer()


@looking.command(epilog="Example: harness report fashion-mnist")
def report(study: Study, tracking_uri: TrackingUri = None) -> None:
    """Write a study's report again, from what MLflow holds."""
    from harness.home import Home
    from harness.reports.again import write_again

    with reported():
        print(write_again(Home(Path("mlruns")), study, tracking_uri))


@looking.command(epilog="Example: harness compare fashion-mnist fashion-mnist/12")
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
    from harness.quoted import aligned
    from harness.reports.versus import report as page

    with reported():
        home = Home(Path("mlruns"))
        found = run(home.open_tracker(tracking_uri, reading=True), names)
        path = report_path(home, found, home.tracking_uri(tracking_uri))
        page(found).write(path)
        if output is Format.json:
            print(json.dumps(found.to_dict() | {"report": str(path)}))
            return
        print(aligned([*found.lines, ("report", str(path))]))


@looking.command(epilog="Example: harness replay fashion-mnist/12")
def replay(
    name: Annotated[
        str, typer.Argument(metavar="NAME", help="A study, a trial (STUDY/12) or MLflow run id.")
    ],
    gpu: Gpu = False,
    cpu: Cpu = False,
    data_dir: DataDir = None,
    tracking_uri: TrackingUri = None,
    output: Output = Format.text,
) -> None:
    """Train a trial again, alone, and say whether that gives what was recorded.

    To the last bit, where that is promised; else within what rounding does, as three twins of it
    show. Exit status 1 where it does not. On a CPU, where it was trained on one.
    """
    from harness.home import Home
    from harness.replay import replay as run

    with reported():
        device = demand(gpu, cpu)
        with watching(output) as watcher:
            found = run(
                Home(Path("mlruns")),
                name,
                watcher=watcher,
                device=device,
                data_dir=data_dir,
                tracking_uri=tracking_uri,
            )
        if output is Format.json:
            print(json.dumps({"event": "replayed"} | found.to_dict()))
        else:
            print(f"\n{found.text()}")
        if not found.agrees:
            raise typer.Exit(1)


@looking.command(epilog="Example: harness predict fashion-mnist --test 12 --wrong")
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


@looking.command(epilog="Example: harness studies --format json")
def studies(tracking_uri: TrackingUri = None, output: Output = Format.text) -> None:
    """List the studies on record: dataset, trials, best, when."""
    from harness.home import Home
    from harness.listing import listing, table

    with reported():
        rows = listing(Home(Path("mlruns")), tracking_uri)
        print(json.dumps(rows) if output is Format.json else table(rows))


@looking.command(epilog="Example: harness ui fashion-mnist --port 5001")
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
