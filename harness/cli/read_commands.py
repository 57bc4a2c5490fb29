"""The commands that look at what was recorded. Heavy imports stay inside them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from harness.cli.options import (
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

if TYPE_CHECKING:
    from harness.workspace import Workspace

looking = typer.Typer()


@looking.command(epilog="Example: harness report fashion-mnist")
def report(study: Study, tracking_uri: TrackingUri = None) -> None:
    """Write a study's report again, from what MLflow holds."""
    from harness.reports.again import write_again
    from harness.workspace import Workspace

    with reported():
        print(write_again(Workspace(Path("mlruns")), study, tracking_uri))


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
    from harness.analysis.comparison import compare as run
    from harness.analysis.formatting import aligned
    from harness.reports.comparison_page import report as page
    from harness.reports.comparison_page import report_path
    from harness.workspace import Workspace

    with reported():
        home = Workspace(Path("mlruns"))
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
    from harness.sweep.replay import replay as run
    from harness.workspace import Workspace

    with reported():
        device = demand(gpu, cpu)
        with watching(output) as watcher:
            found = run(
                Workspace(Path("mlruns")),
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


@looking.command(epilog="Example: harness predict mnist seven.png photos/ --show")
def predict(
    study: Annotated[
        str,
        typer.Argument(
            metavar="STUDY",
            help="A study, a trial (STUDY/12), MLflow run id or models:/NAME@champion.",
        ),
    ],
    images: Annotated[
        list[str] | None,
        typer.Argument(metavar="[IMAGE...]", help="PNG, JPEG, ... of any size; folders of them."),
    ] = None,
    show: Annotated[
        bool,
        typer.Option(
            "--show", help="Write a page with each IMAGE as the network sees it [FILE.html]."
        ),
    ] = False,
    as_is: Annotated[
        bool, typer.Option("--as-is", help="Scale each IMAGE, prepare nothing else.")
    ] = False,
    handwriting: Annotated[
        bool, typer.Option("--handwriting", help="Prepare each IMAGE as MNIST did, for any set.")
    ] = False,
    test: Annotated[
        int | None, typer.Option("--test", metavar="N", help="Show so many test images instead.")
    ] = None,
    start: Annotated[
        int, typer.Option("--from", metavar="K", help="Start at this test image.")
    ] = 0,
    wrong: Annotated[
        bool, typer.Option("--wrong", help="Of the test images the mistakes alone.")
    ] = False,
    data_dir: DataDir = None,
    tracking_uri: TrackingUri = None,
    output: Output = Format.text,
) -> None:
    """Say what is on pictures of your own, with a trained model: PNG or JPEG files of any size.

    With --test N look at test images instead, one by one: the picture, what is true, what the
    model said. That was kept when the test set was read; it is not opened again.
    """
    from harness.errors import ConfigError
    from harness.workspace import Workspace

    with reported():
        home, given = Workspace(Path("mlruns")), images or []
        if bool(given) == (test is not None):
            raise ConfigError("predict takes pictures (IMAGE...) or test images (--test N)")
        if test is None:
            if start or wrong:
                raise ConfigError("--from and --wrong choose test images; give --test N with them")
            _classify(home, study, given, show, (as_is, handwriting), tracking_uri, output)
            return
        if show or as_is or handwriting:
            raise ConfigError("--show, --as-is and --handwriting are for pictures, not for --test")
        from harness.inference.test_examples import on_test

        found = on_test(
            home, study, tracking_uri, test, start=start, wrong=wrong, data_dir=data_dir
        )
        if output is Format.json:
            for example in found.examples:
                print(json.dumps(example.to_dict()))
            return
        from rich.console import Console

        from harness.inference.terminal_image import show as draw

        draw(found, Console())


def _classify(
    home: Workspace,
    name: str,
    given: list[str],
    show: bool,
    otherwise: tuple[bool, bool],
    tracking_uri: str | None,
    output: Format,
) -> None:
    """`predict` of pictures; a name that ends in .html is the page's.

    Those that can be read are told before an error names the others.
    """
    from harness.errors import ConfigError, DataError
    from harness.inference.classify_images import classify, page_path
    from harness.system.terminal import harmless

    as_is, handwriting = otherwise
    if as_is and handwriting:
        raise ConfigError("--as-is and --handwriting exclude each other; give one of them")
    pages = [each for each in given if each.lower().endswith(".html")]
    pictures = [each for each in given if each not in pages]
    if len(pages) > show:
        raise ConfigError(f"{pages[-1]}: is no picture; a page is written by --show, to one file")
    if not pictures:
        raise ConfigError(f"{pages[0]}: is the page; name the pictures for it too")
    found = classify(home, name, pictures, tracking_uri, as_is=as_is, handwriting=handwriting)
    told = found.to_dict()
    path = None
    if show:
        from harness.reports.image_predictions_page import report as page

        path = Path(pages[0]) if pages else page_path(home, found, tracking_uri)
        page(found).write(path)
    if output is Format.json:
        print(json.dumps(told | {"page": str(path) if path else None}))
    else:
        print(found.text())
        if path:
            print(f"page   {harmless(str(path))}")
    if found.unread:
        raise DataError(found.complaint)


@looking.command(epilog="Example: harness studies --format json")
def studies(tracking_uri: TrackingUri = None, output: Output = Format.text) -> None:
    """List the studies on record: dataset, trials, best, when."""
    from harness.cli.studies_table import listing, table
    from harness.workspace import Workspace

    with reported():
        rows = listing(Workspace(Path("mlruns")), tracking_uri)
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
    from harness.cli.mlflow_ui import serve
    from harness.workspace import Workspace

    with reported():
        serve(Workspace(Path("mlruns")), tracking_uri, study, port)
