"""What won: the figures, the verdict's lines, what to type next, what is on record."""

from __future__ import annotations

from harness.analysis.formatting import counted, hardest, percent
from harness.analysis.summary import LOCAL, Summary
from harness.metrics import Score, HasScore
from harness.reports.commands import train_command
from harness.reports.page import Section
from harness.stats.proportions import wilson
from harness.tracking.types import StudyRun, count_correct

ELSEWHERE_TOLD = ("splits", "duplicates", "balance", "columns")
"""Facts that the page tells in another place."""
ELSEWHERE = ("report", "browse", "by setting", "")
"""Lines of the verdict that the page needs not, or has as a table: the label, which is empty on
further lines."""


def section(verdict: Summary) -> Section:
    study, reading = verdict.study, verdict.reading
    figures = [_validated(verdict)]
    if reading is not None:
        figures.insert(0, _figure(study.score, study.test_name, reading))
    else:
        figures.insert(0, {"value": "sealed", "label": "test set, not read", "note": ""})
    figures.append(_hardest(verdict) if study.classes else _simpler(verdict))
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


def _hardest(verdict: Summary) -> dict[str, str]:
    study, champion, reading = verdict.study, verdict.kept, verdict.reading
    accuracies = reading.class_accuracy if reading else champion.class_accuracy
    name = hardest(verdict.study.classes, accuracies)
    note = ""
    if len({value for value in accuracies if value >= 0}) == 1 < len(accuracies):
        return {
            "value": "all alike",
            "label": "by class",
            "note": f"{percent(max(accuracies))} each",
        }
    if name in verdict.study.classes:
        matrix = reading.confusion if reading else champion.confusion
        index = verdict.study.classes.index(name)
        correct, n = matrix[index][index], sum(matrix[index])
        low, high = wilson(correct, n)
        part = study.test_name if reading else "validation"
        note = f"{percent(correct / n)} on {part} (95 %: {percent(low)} to {percent(high)})"
    return {"value": name, "label": "hardest class", "note": note}


def _simpler(verdict: Summary) -> dict[str, str]:
    """Of a regression: the best of the baselines, on test where that was read."""
    part = "test" if verdict.reading else "validation"
    known = verdict.baselines.of_split(part) if verdict.baselines else {}
    if not known:
        return {"value": "none", "label": "baseline on record", "note": ""}
    name, best = min(known.items(), key=lambda each: each[1].rmse)
    figure = _figure(verdict.study.score, part, best)
    return figure | {"label": f"{part} {verdict.study.score.name} of {name}"}


def _validated(verdict: Summary) -> dict[str, str]:
    kept, again = verdict.kept, verdict.confirmed
    assert kept.best is not None
    if again is None:
        return _figure(verdict.study.score, "validation", kept)
    spread, n, score = again.validation, len(again.runs), verdict.study.score
    off = f" ± {100 * spread.deviation:.2f}" if spread.deviation is not None else ""
    classes = score.task == "classes"
    return {
        "value": f"{100 * spread.mean:.2f}{off} %" if classes else str(spread),
        "label": f"validation {score.full_name}",
        "note": f"mean{' ± standard deviation' if off else ''} over {counted(n, 'fresh seed')}",
    }


def _figure(score: Score, part: str, of: HasScore) -> dict[str, str]:
    found, (_, n) = score.compute_interval(of), count_correct(of.confusion)
    value, note = score.format_value(of.score), f"95 %: {score.format_range(found)}" if found else ""
    if score.task == "classes":
        value = f"{100 * of.score:.2f} %"
        low, high = found or (0.0, 1.0)
        note = f"95 %: {100 * low:.2f} to {100 * high:.2f} % ({n:,} examples)" if found else ""
    return {"value": value, "label": f"{part} {score.full_name}", "note": note}


def _columns(study: StudyRun) -> str:
    """Of a table, what its features are, in their order."""
    columns = study.facts.get("columns")
    return f" Its inputs are the columns {columns}." if columns else ""


def _commands(verdict: Summary) -> list[dict[str, str]]:
    study = verdict.study
    dtype, _, shape = study.facts.get("input", "uint8 [...]").partition(" ")
    load = (
        "import mlflow, torch\n\n"
        f'mlflow.set_tracking_uri("{verdict.store}")\n'
        f'model = mlflow.pytorch.load_model("{verdict.model}")\n'
        f"inputs = torch.zeros(5, {shape.strip('[]')}, dtype=torch.{dtype})  # raw, any number\n"
        f"{'logits' if study.classes else 'predicted'} = model(inputs)"
    )
    note = "Normalisation is inside the model."
    if not study.classes:
        note += f" It gives {study.score.target or 'the target'} in its own units."
    if verdict.store == LOCAL:
        note = f"To be run in the folder that the study was run in. {note}"
    commands = [{"title": "Load the model", "text": load, "note": note + _columns(study)}]
    if verdict.unexported:
        commands = []
    command = study.facts.get("command", "")
    if command:
        elsewhere = "the order in which trials end may steer the sampler, and what it draws"
        if study.is_grid_or_list:
            elsewhere = "small trials may train beside others, and their rounding"
        note = (
            "--fresh keeps this study under another name; its file as it was is study.toml on its "
            "run in MLflow. On one CPU worker, without a timeout, a study repeats exactly, on one "
            f"kind of machine and with these versions. Elsewhere {elsewhere} differs a little."
        )
        if verdict.store != LOCAL:
            note += " With --tracking-uri and --storage, or their variables, as they were."
        commands += [
            {"title": "Do the study again", "text": f"{command} --fresh", "note": note},
            {
                "title": "Train the champion again",
                "text": train_command(study, verdict.champion),
                "note": "",
            },
        ]
    return commands
