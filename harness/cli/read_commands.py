"""The subcommands that read recorded studies; heavy imports stay inside them."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from harness.cli.completion import complete_recorded_study
from harness.cli.help_format import KEEP, READ, Commands
from harness.cli.options import (
    Cpu,
    DataDir,
    Format,
    Gpu,
    Output,
    RecordedStudy,
    TrackingUri,
    get_wrap_width,
    open_display,
    parse_device,
    report_errors,
    show_stage,
)

read_commands = Commands()


@read_commands.command(rich_help_panel=READ, epilog="Example: harness report fashion-mnist")
def report(study: RecordedStudy, tracking_uri: TrackingUri = None) -> None:
    """Write a study's report again from the record in MLflow."""
    with report_errors():
        with show_stage("writing the report"):
            from harness.reports.study_page import write_study_page
            from harness.workspace import Workspace

            path = write_study_page(Workspace(Path("mlruns")), study, tracking_uri)
        print(path)


@read_commands.command(
    rich_help_panel=READ, epilog="Example: harness compare fashion-mnist fashion-mnist/12"
)
def compare(
    names: Annotated[
        list[str],
        typer.Argument(
            metavar="A B [C ...]",
            autocompletion=complete_recorded_study,
            help="Studies, trials (STUDY/12) or MLflow run ids.",
        ),
    ],
    tracking_uri: TrackingUri = None,
    output: Output = Format.text,
) -> None:
    """Compare trials, or the champions of studies.

    The report has their settings, learning curves, classes and paired tests.
    """
    with report_errors():
        with show_stage("reading the record"):
            from harness.analysis.comparison import compare as run
            from harness.reports.comparison_page import build_comparison_page as page
            from harness.reports.comparison_page import get_page_path
            from harness.system.terminal import align_labels
            from harness.workspace import Workspace

            workspace = Workspace(Path("mlruns"))
            comparison = run(workspace.open_tracker(tracking_uri, reading=True), names)
            uri = workspace.resolve_tracking_uri(tracking_uri)
            path = get_page_path(workspace, comparison, uri)
            page(comparison).write(path)
        if output is Format.json:
            print(json.dumps(comparison.to_dict() | {"report": str(path)}))
            return
        print(align_labels([*comparison.lines, ("report", str(path))], get_wrap_width()))


@read_commands.command(rich_help_panel=KEEP, epilog="Example: harness replay fashion-mnist/12")
def replay(
    name: Annotated[
        str,
        typer.Argument(
            metavar="NAME",
            autocompletion=complete_recorded_study,
            help="A study, a trial (STUDY/12) or an MLflow run id.",
        ),
    ],
    gpu: Gpu = False,
    cpu: Cpu = False,
    data_dir: DataDir = None,
    tracking_uri: TrackingUri = None,
    output: Output = Format.text,
) -> None:
    """Train a trial again and compare it with the record.

    On the same kind of processor with the same versions, a trial that was trained alone must give
    an identical result. Elsewhere the result may differ as much as rounding causes, which three
    slightly changed copies of the trial measure. The exit status is 1 if it differs more. A trial
    that was trained on a CPU is replayed on a CPU.
    """
    with report_errors():
        device = parse_device(gpu, cpu)
        with open_display(output, "reading the record") as watcher:
            from harness.sweep.replay import replay as run
            from harness.workspace import Workspace

            result = run(
                Workspace(Path("mlruns")),
                name,
                watcher=watcher,
                device=device,
                data_dir=data_dir,
                tracking_uri=tracking_uri,
            )
        if output is Format.json:
            print(json.dumps({"event": "replayed"} | result.to_dict()))
        else:
            print(f"\n{result.text(get_wrap_width())}")
        if not result.is_reproduced:
            raise typer.Exit(1)


@read_commands.command(
    rich_help_panel=READ, epilog="Example: harness predict mnist seven.png photos/ --show"
)
def predict(
    study: Annotated[
        str,
        typer.Argument(
            metavar="STUDY",
            autocompletion=complete_recorded_study,
            help="A study, a trial (STUDY/12), an MLflow run id or models:/NAME@champion.",
        ),
    ],
    images: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="IMAGE...|TABLE",
            help="PNG, JPEG, ... files of any size, or folders; or a table of rows, as a CSV, "
            "Excel, Parquet or Feather file.",
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out", metavar="FILE", help="Write the rows of TABLE with their predictions to FILE."
        ),
    ] = None,
    show: Annotated[
        bool,
        typer.Option(
            "--show", help="Write a page with each IMAGE as the network sees it [to FILE.html]."
        ),
    ] = False,
    as_is: Annotated[bool, typer.Option("--as-is", help="Only scale each IMAGE.")] = False,
    handwriting: Annotated[
        bool, typer.Option("--handwriting", help="Prepare each IMAGE like MNIST, for any dataset.")
    ] = False,
    test: Annotated[
        int | None, typer.Option("--test", metavar="N", help="Show N test images instead.")
    ] = None,
    start: Annotated[int, typer.Option("--from", metavar="K", help="Start at test image K.")] = 0,
    wrong: Annotated[
        bool, typer.Option("--wrong", help="Show only the misclassified test images.")
    ] = False,
    data_dir: DataDir = None,
    tracking_uri: TrackingUri = None,
    output: Output = Format.text,
) -> None:
    """Predict your own images or rows of a table with a model.

    TABLE needs the columns that the model was trained on, and no target. Each row gets a label with
    the probability of each class, or a number with a 90 % interval.

    With --test N, show test images instead, one by one: the image, the true class and the model's
    prediction. The predictions are on record; the test set is not opened again.
    """
    from harness.errors import ConfigError
    from harness.workspace import Workspace

    with report_errors():
        workspace, paths = Workspace(Path("mlruns")), images or []
        if bool(paths) == (test is not None):
            raise ConfigError(
                "predict takes images (IMAGE...), a table (TABLE) or test images (--test N)"
            )
        if test is None:
            if start or wrong:
                raise ConfigError("--from and --wrong choose test images; give --test N with them")
            from harness.cli.predict_images import predict_images
            from harness.cli.predict_rows import has_table, predict_rows

            if has_table(paths):
                if show or as_is or handwriting:
                    raise ConfigError("--show, --as-is and --handwriting are for IMAGE")
                predict_rows(workspace, study, paths, out, data_dir, tracking_uri, output)
                return
            if out is not None:
                raise ConfigError("--out is for a TABLE")
            predict_images(workspace, study, paths, show, as_is, handwriting, tracking_uri, output)
            return
        if show or as_is or handwriting or out:
            raise ConfigError(
                "--show, --as-is, --handwriting and --out are for IMAGE and TABLE, not for --test"
            )
        with show_stage("reading the record"):
            from harness.inference.test_examples import read_test_predictions

            predictions = read_test_predictions(
                workspace,
                study,
                tracking_uri,
                test,
                start=start,
                only_wrong=wrong,
                data_dir=data_dir,
            )
        if output is Format.json:
            for example in predictions.examples:
                print(json.dumps(example.to_dict()))
            return
        from rich.console import Console

        from harness.inference.terminal_image import print_predictions

        print_predictions(predictions, Console())


@read_commands.command(rich_help_panel=READ, epilog="Example: harness studies --format json")
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


@read_commands.command(rich_help_panel=READ, epilog="Example: harness ui fashion-mnist --port 5001")
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
