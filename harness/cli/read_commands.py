"""The subcommands that report, compare and replay studies; heavy imports stay inside them."""

from __future__ import annotations

import json
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


@read_commands.command(rich_help_panel=READ, epilog="Example: harness report fashion-mnist --open")
def report(
    study: RecordedStudy,
    show: Annotated[
        bool,
        typer.Option(
            "--open", help="Open the report in a browser, and update it while the study runs."
        ),
    ] = False,
    tracking_uri: TrackingUri = None,
) -> None:
    """Write a study's report again from the record in MLflow.

    A running study's report shows no result of the test set. With --open, it is updated every few
    seconds until the study ends, or until Ctrl-C.
    """
    with report_errors():
        if show:
            from harness.cli.open_report import open_report

            open_report(study, tracking_uri)
            return
        with show_stage("writing the report"):
            from harness.reports.live_page import write_study_page
            from harness.workspace import Workspace, resolve_storage

            path = write_study_page(
                Workspace(Path("mlruns"), resolve_storage()), study, tracking_uri
            )
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
