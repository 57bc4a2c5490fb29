"""What to type: for the champion again, for a study that goes on, for a study with a change."""

from __future__ import annotations

import itertools
import shlex

from harness.config.schema import format_toml, find_varied_fields
from harness.tracking.types import RunRecord, StudyRun


def extended(study: StudyRun, *words: str) -> str:
    """What was typed for this study, with more after it, which wins."""
    typed = _typed(study)
    if "--trials" in words:
        typed = [word for word in typed if not word.startswith("--trials=")]
    return shlex.join([*typed, *words])


def anew(study: StudyRun, suffix: str, *sets: str) -> str:
    """The command for the study with a change, which needs another name."""
    name = f"study.name={study.name}-{suffix}"
    return extended(study, *(word for each in (name, *sets) for word in ("--set", each)))


def train_command(study: StudyRun, run: RunRecord) -> str:
    """`harness train` with a trial's settings, on the same data and split."""
    words, definition, spec = _typed(study), study.definition, run.spec.to_dict()
    given = {*find_varied_fields(definition), *definition.get("train", {})}
    fields = [name for name in spec if name in given]
    sets = [f"train.{name}={format_toml(spec[name])}" for name in fields if spec[name] is not None]
    data = [
        value
        for option, value in itertools.pairwise(words)
        if option == "--set" and value.startswith(("data.", "study."))
    ]
    parts = ["harness", "train", words[2], f"--seed={run.spec.seed}"]
    return shlex.join(parts + [part for each in (*data, *sets) for part in ("--set", each)])


def _typed(study: StudyRun) -> list[str]:
    return shlex.split(study.facts.get("command", "")) or ["harness", "run-study", study.name]
