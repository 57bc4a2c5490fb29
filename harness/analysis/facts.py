"""The facts about a finished study, in one list that text, JSON and the report page all render."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from harness.analysis.confirmation import rank_confirmed_settings
from harness.analysis.data_quality import describe_data_quality
from harness.analysis.formatting import (
    find_hardest_class,
    format_class_accuracies,
    format_count,
    format_duration,
    format_ordinal,
    score_to_dict,
)
from harness.analysis.seed_variance import describe_setting, format_settings, rank_settings
from harness.config.schema import find_varied_fields
from harness.tracking.raw_types import WEIGHTS_FILE
from harness.tracking.types import StudyRun, TestReading

if TYPE_CHECKING:
    from harness.analysis.summary import Summary

TEXT_ONLY: Final = object()
"""The value of a fact that JSON leaves out."""


@dataclass(frozen=True)
class Fact:
    """One fact about a study. A new one needs an entry in `list_facts` and nothing else."""

    key: str
    """Its key in JSON."""
    label: str = ""
    text: str = ""
    """The fact in words, in one or several lines; empty if the text leaves it out."""
    value: Any = TEXT_ONLY
    """What JSON has."""

    @property
    def lines(self) -> list[tuple[str, str]]:
        """(label, text) pairs; only the first line has the label."""
        lines = self.text.splitlines()
        return [("" if index else self.label, line) for index, line in enumerate(lines)]


def list_facts(summary: Summary) -> tuple[Fact, ...]:
    """Return all facts, in the order of the text."""
    study, champion = summary.study, summary.champion
    bias, ties, expected = summary.selection_bias, summary.tied_trials, summary.expected_best
    test_bias, test_name = summary.test_selection_bias, study.test_name
    return (
        Fact("study", value=study.name),
        Fact(
            "champion",
            "champion",
            f"trial {champion.number}: {champion.spec.describe()}",
            {"trial": champion.number, "spec": champion.spec.to_dict()},
        ),
        Fact("champion_settings", "settings", _describe_champion_settings(summary)),
        _build_validation(summary),
        _build_confirmation(summary),
        *_build_test(summary),
        *_build_baselines(summary),
        Fact(
            "optimism",
            "selection bias",
            bias.describe(test_name) if bias else "",
            bias and bias.to_dict(),
        ),
        Fact(
            "runner_up",
            "runner-up",
            summary.runner_up.describe(study.score) if summary.runner_up else "",
        ),
        Fact("ties", "ties", ties.describe() if ties else "", ties and ties.to_dict()),
        Fact(
            "expected_best",
            "best of n",
            expected.describe() if expected else "",
            expected and expected.to_dict(),
        ),
        Fact(
            "test_selection_bias",
            "selection bias",
            test_bias.describe(test_name) if test_bias else "",
        ),
        _build_settings(study),
        Fact("data", "data", describe_data_quality(study)),
        _build_trials(study),
        *_build_locations(summary),
    )


def count_states(study: StudyRun) -> dict[str, int]:
    """Return the number of trials in each final state."""
    states = [run.state for run in study.trials]
    return {state: states.count(state) for state in ("COMPLETE", "PRUNED", "FAILED", "INTERRUPTED")}


def _describe_champion_settings(summary: Summary) -> str:
    """Return the champion's value of everything that was varied."""
    study, champion = summary.study, summary.champion
    if study.is_grid_or_list:
        return describe_setting(study, champion)
    varied, values = find_varied_fields(study.definition), champion.spec.to_dict()
    parts = [f"{name} = {_format_value(values[name])}" for name in values if name in varied]
    return ", ".join(parts) or "nothing was sampled"


def _build_validation(summary: Summary) -> Fact:
    run, confirmation, score = summary.model_run, summary.confirmation, summary.study.score
    assert run.best is not None
    text = _describe_model_score(summary, full=True)
    if confirmation is not None:
        n = len(confirmation.runs)
        seeds = f"{n} fresh seeds (mean ± standard deviation)" if n > 1 else "one fresh seed"
        text = f"{score.full_name} {confirmation.validation} over {seeds}"
        if confirmation.failed:
            text += f"; training failed with {confirmation.failed} more"
    metrics = run.best.best_metrics.items()
    value = {
        **score_to_dict(score, summary.study.classes, run),
        **{name.removeprefix("best/val_"): metric for name, metric in metrics},
        "seed": run.spec.seed,
    }
    return Fact("validation", "validation", text, value)


def _build_confirmation(summary: Summary) -> Fact:
    value = [
        {
            "trial": setting.trial.number,
            "seeds": [run.spec.seed for run in setting.runs],
            "validation": setting.validation.values,
            "mean": setting.validation.mean,
            "deviation": setting.validation.std,
            "failed": setting.failed,
        }
        for setting in rank_confirmed_settings(summary.study)
    ]
    if summary.confirmation is not None:
        text = _describe_model_score(summary, full=False)
        return Fact(
            "confirmed",
            "best seed",
            f"the model of seed {summary.model_run.spec.seed}: {text}",
            value,
        )
    text = "" if summary.study.is_grid_or_list else "no: trained with one seed only"
    return Fact("confirmed", "confirmed", text, value)


def _describe_model_score(summary: Summary, full: bool) -> str:
    """`accuracy 0.9444 (95 %: 0.9117 to 0.9655), loss 0.1840 (epoch 3 of 3)`."""
    run, score = summary.model_run, summary.study.score
    assert run.best is not None
    metrics = f"{score.format_score(run, full=full)}, {score.format_epoch(run.best)}"
    return f"{metrics} (epoch {run.best.epoch} of {run.epochs[-1].epoch})"


def _build_test(summary: Summary) -> list[Fact]:
    study, reading, score = summary.study, summary.reading, summary.study.score
    if reading is None:
        return [Fact("test", value=None)]
    more = score.format_other_metrics(reading.loss, reading.mae, reading.r2)
    openings = _describe_openings(study, reading)
    examples = format_count(reading.examples, "example")
    text = f"{score.format_score(reading)}, {more} ({examples}, {openings})"
    value = {
        "of": study.test_name,
        **score_to_dict(score, study.classes, reading),
        **reading.figures,
        "looks": study.test_set_openings,
        "look": reading.look or None,
    }
    if not study.classes:
        return [Fact("test", study.test_name, text, value)]
    value["hardest_class"] = find_hardest_class(study.classes, reading.class_accuracy)
    accuracies = format_class_accuracies(study.classes, reading.confusion)
    return [
        Fact("test", study.test_name, text, value),
        Fact("classes", "classes", f"on {study.test_name}: {accuracies}"),
    ]


def _describe_openings(study: StudyRun, reading: TestReading) -> str:
    """Return how often the test set was opened, by this study and by others."""
    openings, readings = study.test_set_openings, len(study.readings)
    look = max(openings, *(each.look for each in study.readings), 0)
    look_text = f"{format_ordinal(look)} look at this test set in this folder"
    if not study.is_grid_or_list:
        return look_text if reading.look or look > 1 else "read once"
    complete = len(study.rank_trials())
    trials = format_count(complete, "trial")
    trials = f"all {trials}" if readings == complete > 1 else f"{readings} of {trials}"
    opened = "one opening" if openings == 1 else f"{openings} openings"
    text = f"{opened} for {trials}; nothing is chosen by it"
    return text if look <= openings else f"{text}; the {look_text}"


def _build_baselines(summary: Summary) -> list[Fact]:
    """Return the scores of simpler models, on the test set if it was read."""
    if summary.baselines is None:
        return []
    split, score = "test" if summary.reading else "validation", summary.study.score
    metrics = summary.baselines.of_split(split).items()
    ranked = sorted(metrics, key=lambda item: item[1].rmse)
    texts = [f"{name} {score.format_score(baseline)}" for name, baseline in ranked]
    name = summary.study.test_name if summary.reading else split
    text = f"on {name}: {', '.join(texts)}"
    return [Fact("baselines", "baselines", text, summary.baselines.to_dict())]


def _build_settings(study: StudyRun) -> Fact:
    value = [
        {
            "name": setting.name,
            "trials": [run.number for run in setting.runs],
            "validation": setting.validation.values,
            "test": setting.test and setting.test.values,
        }
        for setting in rank_settings(study)
    ]
    return Fact("settings", "by setting", "\n".join(format_settings(study)), value)


def _build_trials(study: StudyRun) -> Fact:
    counts = count_states(study)
    ended = {state: n for state, n in counts.items() if state != "INTERRUPTED"}
    parts = [f"{n} {state.lower()}" for state, n in ended.items() if n]
    retried = counts["INTERRUPTED"]
    retries = f", {retried} interrupted and retried" if retried else ""
    # Time that trials shared because they trained fused counts once.
    seconds = sum(epoch.seconds for run in study.trials for epoch in run.epochs)
    time = format_duration(seconds) if seconds >= 1 else "less than 1 s"
    text = f"{sum(ended.values())}: {', '.join(parts)}{retries}; {time} of training on "
    text += study.facts.get("device", "")
    return Fact("trials", "trials", text, {state.lower(): n for state, n in counts.items()})


def _build_locations(summary: Summary) -> list[Fact]:
    model = f"{summary.model_uri} in {summary.store}"
    if summary.export_problem:
        weights = f"{WEIGHTS_FILE} of run {summary.model_run.run_id}"
        model = f"not exported ({summary.export_problem}); {weights}"
    path = str(summary.report_path)
    return [
        Fact("report", "report", path, path),
        Fact("store", value=summary.store),
        Fact("model", "model", model, None if summary.export_problem else summary.model_uri),
        Fact("browse", "browse", summary.browse_command, summary.browse_command),
    ]


def _format_value(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
