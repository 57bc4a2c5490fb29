"""The page's last section: commands to load the model and to repeat the study."""

from __future__ import annotations

import json

from harness.analysis.fold_facts import describe_final_model
from harness.analysis.summary import DEFAULT_STORE, Summary
from harness.reports.commands import NO_TEST, build_train_command
from harness.reports.page import Fold, Section

HIDDEN_RECORDS = ("splits", "duplicates", "balance", "columns")
"""Recorded facts that the page shows elsewhere."""


def build_commands_section(summary: Summary, *, is_finished: bool = True) -> Section:
    """Return the section with the commands, and the versions and data that were recorded."""
    records = [each for each in summary.study.facts.items() if each[0] not in HIDDEN_RECORDS]
    fold = Fold(title="Versions, data, split", template="facts", values={"lines": sorted(records)})
    return Section(
        name="use",
        title="Use the model" if is_finished else "Repeat it",
        template="commands",
        values={"commands": _build_commands(summary, is_finished)},
        folds=[fold],
    )


def _build_commands(summary: Summary, is_finished: bool) -> list[dict[str, str]]:
    """Return what to type to use the model and to repeat the study: `title`, `text`, `note`."""
    is_registered = is_finished and not summary.export_problem
    commands = [_build_load_code(summary)] if is_registered else []
    command = summary.study.facts.get("command", "")
    if command:
        commands += [
            {
                "title": "Repeat the study",
                "text": f"{command} --fresh",
                "note": _describe_repeating(summary),
            },
            {
                "title": "Train the champion again",
                "text": build_train_command(summary.study, summary.model_run),
                "note": _describe_kept_model(summary),
            },
        ]
    return commands


def _describe_kept_model(summary: Summary) -> str:
    """Return which model is kept, and whether `harness train` repeats it."""
    run = summary.model_run
    model = f"The kept model is that of trial {run.number} with seed {run.spec.seed}"
    if final := describe_final_model(summary):
        return f"{model}: {final}."
    if not run.split:
        return f"{model}."
    return (
        f"{model}, trained on new split {run.split}. This command trains on the study's own split; "
        f"harness replay {run.run_id} repeats it on the new one."
    )


def _build_load_code(summary: Summary) -> dict[str, str]:
    study = summary.study
    dtype, _, shape = study.facts.get("input", "uint8 [...]").partition(" ")
    code = (
        "import mlflow, torch\n\n"
        f"mlflow.set_tracking_uri({_quote(summary.store)})\n"
        f"model = mlflow.pytorch.load_model({_quote(summary.model_uri)})\n"
        f"inputs = torch.zeros(5, {shape.strip('[]')}, dtype=torch.{dtype})  # raw, any number\n"
        f"{'logits' if study.classes else 'predicted'} = model(inputs)"
    )
    note = "The model normalizes its inputs itself."
    if not study.classes:
        note += f" It predicts {study.score.target or 'the target'} in its original units."
    if columns := study.facts.get("columns"):
        note += f" Its inputs are the columns {columns}."
    if summary.store == DEFAULT_STORE:
        note = f"Run this in the folder where the study was run. {note}"
    return {"title": "Load the model", "text": code, "note": note}


def _quote(text: str) -> str:
    """Return a text as Python code."""
    return json.dumps(text, ensure_ascii=False)


def _describe_repeating(summary: Summary) -> str:
    reason = "the sampler's choices depend on the order in which the trials end"
    if summary.study.is_grid_or_list:
        reason = "small trials may be trained together, which changes their rounding"
    note = (
        "--fresh renames the existing study and keeps it. The study file, as it was, is study.toml "
        "of the study's run in MLflow. With one CPU worker, no timeout, the same kind of machine "
        "and the same versions, a study repeats exactly. Otherwise the results may differ "
        f"slightly, because {reason}."
    )
    if NO_TEST not in summary.study.facts.get("command", ""):
        note += f" It opens the test set again; {NO_TEST} leaves it sealed."
    if summary.store != DEFAULT_STORE:
        note += " Set --tracking-uri and --storage, or their environment variables, as before."
    return note
