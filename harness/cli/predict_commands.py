"""`harness predict`; heavy imports stay inside it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from harness.cli.completion import complete_recorded_study
from harness.cli.help_format import READ, Commands
from harness.cli.options import (
    DataDir,
    Format,
    Output,
    TrackingUri,
    report_errors,
    show_stage,
)

predict_commands = Commands()


@predict_commands.command(
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
    ensemble: Annotated[
        bool,
        typer.Option(
            "--ensemble", help="Predict with the study's ensemble instead of its champion."
        ),
    ] = False,
    sets: Annotated[
        bool,
        typer.Option(
            "--sets", help="Add to each row of TABLE its set: the classes that cover 90 %."
        ),
    ] = False,
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

    By default, a study predicts with its champion; with --ensemble, with its ensemble of trials.

    TABLE needs the columns that the model was trained on, and no target. Each row gets a label with
    the probability of each class, or a number with a 90 % interval. By --sets each row also gets
    the classes that hold its true class with a probability of 90 %, joined by "|".

    With --test N, show test images instead, one by one: the image, the true class and the model's
    prediction. The predictions are on record; the test set is not opened again.
    """
    from harness.errors import ConfigError
    from harness.workspace import Workspace

    with report_errors():
        workspace, paths = Workspace(Path("mlruns")), images or []
        if ensemble:
            study = name_ensemble(study, test is None)
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
                predict_rows(workspace, study, paths, out, data_dir, tracking_uri, output, sets)
                return
            if out is not None or sets:
                raise ConfigError(f"{'--out' if out is not None else '--sets'} is for a TABLE")
            predict_images(workspace, study, paths, show, as_is, handwriting, tracking_uri, output)
            return
        if show or as_is or handwriting or out or sets:
            raise ConfigError(
                "--show, --as-is, --handwriting, --out and --sets are for IMAGE and TABLE, not for "
                "--test"
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


def name_ensemble(study: str, predicts: bool) -> str:
    """Return the name of a study's ensemble. Raises ConfigError if it is not a study's name."""
    from harness.analysis.lookup import ENSEMBLE_NAME
    from harness.errors import ConfigError

    if not predicts:
        raise ConfigError("--ensemble predicts IMAGE or TABLE; leave out --test")
    if "/" in study or "@" in study:
        raise ConfigError(f"--ensemble takes the name of a study, not {study}")
    return f"{study}{ENSEMBLE_NAME}"
