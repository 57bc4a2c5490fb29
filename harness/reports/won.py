"""What won: the figures, the verdict's lines, what to type next, what is on record."""

from __future__ import annotations

from harness.intervals import wilson
from harness.quoted import hardest, percent
from harness.reports.commands import train_command
from harness.reports.page import Section
from harness.tracking.records import Matrix, right
from harness.verdict import LOCAL, Verdict

ELSEWHERE_TOLD = ("splits", "duplicates", "balance")
"""Facts that the page has as a table."""
ELSEWHERE = ("report", "browse", "by setting", "")
"""Lines of the verdict that the page needs not, or has as a table: the label, which is empty on
further lines."""


def section(verdict: Verdict) -> Section:
    study, champion, reading = verdict.study, verdict.kept, verdict.reading
    figures = [_validated(verdict)]
    if reading is not None:
        figures.insert(
            0, _figure(f"{100 * reading.accuracy:.2f} %", study.test_name, reading.confusion)
        )
    else:
        figures.insert(0, {"value": "sealed", "label": "test set, not read", "note": ""})
    accuracies = reading.class_accuracy if reading else champion.class_accuracy
    name = hardest(verdict.study.classes, accuracies)
    note = ""
    if name in verdict.study.classes:
        matrix = reading.confusion if reading else champion.confusion
        index = verdict.study.classes.index(name)
        correct, n = matrix[index][index], sum(matrix[index])
        low, high = wilson(correct, n)
        part = study.test_name if reading else "validation"
        note = f"{percent(correct / n)} on {part} (95 %: {percent(low)} to {percent(high)})"
    figures.append({"value": name, "label": "hardest class", "note": note})
    return Section(
        name="verdict",
        title="What won",
        template="verdict",
        values={
            "figures": figures,
            "lines": [line for line in verdict.lines if line[0] not in ELSEWHERE],
            "commands": _commands(verdict),
            "facts": sorted(f for f in verdict.study.facts.items() if f[0] not in ELSEWHERE_TOLD),
        },
    )


def _validated(verdict: Verdict) -> dict[str, str]:
    kept, again = verdict.kept, verdict.confirmed
    assert kept.best is not None
    if again is None:
        return _figure(f"{100 * kept.best.val_accuracy:.2f} %", "validation", kept.confusion)
    spread, n = again.validation, len(again.runs)
    off = f" ± {100 * spread.deviation:.2f}" if spread.deviation is not None else ""
    return {
        "value": f"{100 * spread.mean:.2f}{off} %",
        "label": "validation accuracy",
        "note": f"mean{' ± standard deviation' if off else ''} over {n} fresh seed{'s' * (n > 1)}",
    }


def _figure(value: str, part: str, matrix: Matrix) -> dict[str, str]:
    correct, n = right(matrix)
    low, high = wilson(correct, n)
    note = f"95 %: {100 * low:.2f} to {100 * high:.2f} % ({n:,} examples)" if n else ""
    return {"value": value, "label": f"{part} accuracy", "note": note}


def _commands(verdict: Verdict) -> list[dict[str, str]]:
    study = verdict.study
    shape = study.facts.get("input", "").removeprefix("uint8 ").strip("[]")
    load = (
        "import mlflow, torch\n\n"
        f'mlflow.set_tracking_uri("{verdict.store}")\n'
        f'model = mlflow.pytorch.load_model("{verdict.model}")\n'
        f"inputs = torch.zeros(5, {shape or '...'}, dtype=torch.uint8)  # raw, any number of them\n"
        "logits = model(inputs)"
    )
    note = "Normalisation is inside the model."
    if verdict.store == LOCAL:
        note = f"To be run in the folder that the study was run in. {note}"
    commands = [{"title": "Load the model", "text": load, "note": note}]
    if verdict.unexported:
        commands = []
    command = study.facts.get("command", "")
    if command:
        elsewhere = "the order in which trials end may steer the sampler, and what it draws"
        if study.given:
            elsewhere = "small trials may train beside others, and their rounding"
        note = (
            "--fresh keeps this study under another name; its file as it was is study.toml on its "
            "run in MLflow. On one CPU worker, without a timeout, a study repeats exactly, on one "
            f"kind of machine and with these versions. Elsewhere {elsewhere} differs a little."
        )
        commands += [
            {"title": "Do the study again", "text": f"{command} --fresh", "note": note},
            {
                "title": "Train the champion again",
                "text": train_command(study, verdict.champion),
                "note": "",
            },
        ]
    return commands
