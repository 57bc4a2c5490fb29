"""The subcommands that train one model and open a sealed test set."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from harness.cli.help_format import RUN, Commands
from harness.cli.options import (
    Cpu,
    DataDir,
    Format,
    Gpu,
    Output,
    RecordedStudy,
    Seed,
    Set,
    Study,
    TrackingUri,
    get_wrap_width,
    open_display,
    parse_device,
    report_errors,
)
from harness.system.terminal import escape

train_commands = Commands()


@train_commands.command(
    rich_help_panel=RUN,
    epilog="Example: harness train fashion-mnist --set 'train.hidden=[300,100]'",
)
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
    """Train one model with the settings in [train], without a search.

    The run is recorded in the experiment STUDY-train.
    """
    with report_errors():
        with open_display(output) as watcher:
            from harness.sweep.options import RunOptions
            from harness.sweep.plan import make_plan
            from harness.sweep.train_once import train_once

            options = RunOptions(
                device=parse_device(gpu, cpu),
                seed=seed,
                data_dir=data_dir,
                tracking_uri=tracking_uri,
                overrides=overrides or (),
            )
            plan = make_plan(study, options)
            result = train_once(plan, test=test, watcher=watcher)
        if output is Format.json:
            print(json.dumps({"event": "trained"} | result.to_dict()))
        else:
            print(f"\n{result.text(get_wrap_width())}")


@train_commands.command("test", rich_help_panel=RUN, epilog="Example: harness test fashion-mnist")
def open_test(
    study: RecordedStudy,
    data_dir: DataDir = None,
    tracking_uri: TrackingUri = None,
    output: Output = Format.text,
) -> None:
    """Test a finished study that --no-test left sealed, once.

    The choice was frozen when the study finished. The result goes into the record, the report and
    the summary, as without --no-test. If the test set is open already, it is not read again.
    """
    with report_errors():
        with open_display(output, "reading the record") as watcher:
            from harness.sweep.sealed_study import open_sealed_test_set
            from harness.workspace import Workspace

            result = open_sealed_test_set(
                Workspace(Path("mlruns")),
                study,
                watcher=watcher,
                data_dir=data_dir,
                tracking_uri=tracking_uri,
            )
        if output is Format.json:
            print(json.dumps({"event": "verdict"} | result.to_dict()))
        else:
            from harness.cli.summary_screen import print_summary

            if result.was_open:
                print(f"harness: {escape(result.describe_opening())}", file=sys.stderr)
            print_summary(result.summary)
