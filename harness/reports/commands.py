"""Shell commands for a recorded study: retrain a trial, continue the study, change and rerun it."""

from __future__ import annotations

import itertools
import shlex

from harness.config.overrides import format_toml
from harness.config.schema import find_varied_fields
from harness.tracking.types import RunRecord, StudyRun

NO_TEST = "--no-test"


def build_continue_command(study: StudyRun, *words: str) -> str:
    """Return the study's command with more options, which override its own.

    Its test set stays sealed: advice must not make anyone open it.
    """
    command = [word for word in _split_command(study) if word != NO_TEST]
    if "--trials" in words:
        command = [word for word in command if not word.startswith("--trials=")]
    return shlex.join([*command, *words, NO_TEST])


def build_changed_command(study: StudyRun, suffix: str, *overrides: str) -> str:
    """Return the command for a study with other settings, under a new name."""
    name = f"study.name={study.name}-{suffix}"
    return build_continue_command(
        study, *(word for value in (name, *overrides) for word in ("--set", value))
    )


def build_train_command(study: StudyRun, run: RunRecord) -> str:
    """Return a `harness train` command with a trial's settings, on the same data and split."""
    words, definition, spec = _split_command(study), study.definition, run.spec.to_dict()
    recorded = {*find_varied_fields(definition), *definition.get("train", {})}
    fields = [name for name in spec if name in recorded]
    settings = [
        f"train.{name}={format_toml(spec[name])}" for name in fields if spec[name] is not None
    ]
    data = [
        value
        for option, value in itertools.pairwise(words)
        if option == "--set" and value.startswith(("data.", "study."))
    ]
    parts = ["harness", "train", words[2], f"--seed={run.spec.seed}"]
    return shlex.join(parts + [word for value in (*data, *settings) for word in ("--set", value)])


def _split_command(study: StudyRun) -> list[str]:
    return shlex.split(study.facts.get("command", "")) or ["harness", "run-study", study.name]
