"""The facts about a finished study, in one list that text, JSON and the report page all render."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.analysis.calibration_facts import build_calibration_fact
from harness.analysis.data_quality import describe_data_quality, describe_test_overlap
from harness.analysis.early_stop import build_stop_fact
from harness.analysis.ensemble_facts import build_ensemble_fact
from harness.analysis.fact import Fact
from harness.analysis.fold_facts import build_final_model_fact, build_fold_fact, note_tested_model
from harness.analysis.formatting import (
    format_count,
    format_duration,
    format_percent,
)
from harness.analysis.race_record import build_race_fact
from harness.analysis.search_facts import build_search_facts
from harness.analysis.seed_variance import (
    describe_setting,
    format_settings,
    rank_settings,
)
from harness.analysis.test_set_facts import (
    build_baseline_facts,
    build_class_fact,
    build_overlap_fact,
    build_test_fact,
)
from harness.analysis.validation_facts import build_confirmation_fact, build_validation_fact
from harness.config.schema import find_varied_fields
from harness.tracking.raw_types import WEIGHTS_FILE
from harness.tracking.types import StudyRun

if TYPE_CHECKING:
    from harness.analysis.summary import Summary


def list_facts(summary: Summary) -> tuple[Fact, ...]:
    """Return all facts, in the order of the text."""
    study = summary.study
    bias, ties, expected = summary.selection_bias, summary.tied_trials, summary.expected_best
    test_bias, test_name = summary.test_selection_bias, study.test_name
    contenders = summary.contenders
    return (
        Fact("study", value=study.name),
        build_test_fact(summary),
        build_overlap_fact(summary),
        build_validation_fact(summary),
        build_fold_fact(summary),
        build_confirmation_fact(summary),
        _build_champion(summary),
        _build_champion_setting(summary),
        build_final_model_fact(summary),
        _build_contenders(summary),
        build_race_fact(summary.race),
        Fact(
            "ties",
            "ties",
            ties.describe() if ties else "",
            ties.describe_briefly() if ties and not contenders else "",
            ties and ties.to_dict(),
        ),
        _build_smaller(summary),
        *build_search_facts(study, summary.champion),
        Fact(
            "runner_up",
            "runner-up",
            summary.runner_up.describe(study.score) if summary.runner_up else "",
        ),
        Fact(
            "optimism",
            "selection bias",
            bias.describe(test_name) + note_tested_model(summary) if bias else "",
            bias.describe_briefly() if bias else "",
            bias and bias.to_dict(),
        ),
        Fact(
            "test_selection_bias",
            "selection bias",
            test_bias.describe(test_name) if test_bias else "",
            test_bias.describe_briefly(test_name) if test_bias else "",
        ),
        build_class_fact(summary),
        *build_baseline_facts(summary),
        build_calibration_fact(summary),
        build_ensemble_fact(summary),
        Fact(
            "expected_best",
            "best of n",
            expected.describe() if expected else "",
            value=expected and expected.to_dict(),
        ),
        _build_settings(study),
        Fact("data", "data", describe_data_quality(study), describe_test_overlap(study)),
        _build_trials(study),
        build_stop_fact(summary.early_stop),
        *_build_locations(summary),
    )


def count_states(study: StudyRun) -> dict[str, int]:
    """Return the number of trials in each final state."""
    states = [run.state for run in study.trials]
    return {state: states.count(state) for state in ("COMPLETE", "PRUNED", "FAILED", "INTERRUPTED")}


def _build_champion(summary: Summary) -> Fact:
    """Return the champion's trial, with the value of everything that was varied in a search."""
    champion, study = summary.champion, summary.study
    varied = () if study.is_grid_or_list else find_varied_fields(study.definition)
    text = f"trial {champion.number}: {champion.spec.describe(varied)}"
    short = "" if study.is_grid_or_list else text
    value = {"trial": champion.number, "spec": champion.spec.to_dict()}
    return Fact("champion", "champion", text, short, value)


def _build_champion_setting(summary: Summary) -> Fact:
    """Return the champion's setting of a grid or list."""
    if not summary.study.is_grid_or_list:
        return Fact("champion_settings")
    text = describe_setting(summary.study, summary.champion)
    short = f"trial {summary.champion.number}: {text}"
    return Fact("champion_settings", "settings", text, short)


def _build_contenders(summary: Summary) -> Fact:
    contenders, corrected = summary.contenders, summary.corrected_score
    left_out = corrected.describe_left_out() if corrected else ""
    text = "\n".join(filter(None, [contenders.describe() if contenders else "", left_out]))
    short = "; ".join(filter(None, [contenders.describe_briefly() if contenders else "", left_out]))
    value = contenders.to_dict() if contenders else None
    return Fact("contenders", "contenders", text, short, value)


def _build_smaller(summary: Summary) -> Fact:
    """Return the smaller network that is shown to be as good within the margin."""
    corrected = summary.corrected_score
    if corrected is None:
        return Fact("smaller", value=None)
    margin, smaller, unproven = corrected.format_margin(), corrected.smaller, corrected.unproven
    text = short = ""
    if smaller is not None:
        share = format_percent(smaller.trial.parameters / corrected.champion.parameters)
        text = (
            f"trial {smaller.trial.number} has {share} of the champion's parameters and is not "
            f"worse by more than {margin} (non-inferiority test, 5 %)"
        )
        short = text.partition(" (")[0]
    elif unproven is not None:
        text = (
            f"trial {unproven.trial.number} is smaller, but not shown to be within {margin} of "
            "the champion (non-inferiority test, 5 %)"
        )
    return Fact("smaller", "smaller", text, short, corrected.to_dict()["smaller"])


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
    return Fact("settings", "by setting", "\n".join(format_settings(study)), value=value)


def _build_trials(study: StudyRun) -> Fact:
    counts = count_states(study)
    ended = {state: n for state, n in counts.items() if state != "INTERRUPTED"}
    parts = [f"{n} {state.lower()}" for state, n in ended.items() if n]
    retried = counts["INTERRUPTED"]
    # Optuna gives a retry a new number, so the numbers go beyond the count.
    retries = f", {retried} more interrupted and retried under new numbers" if retried else ""
    # Time that trials shared because they trained fused counts once.
    seconds = sum(epoch.seconds for run in study.trials for epoch in run.epochs)
    time = format_duration(seconds) if seconds >= 1 else "less than 1 s"
    total, device = sum(ended.values()), study.facts.get("device", "")
    text = f"{total}: {', '.join(parts)}{retries}; {time} of training on {device}"
    states = ", ".join(parts) if len(parts) > 1 else f"all {parts[0].split()[1]}"
    short = f"{format_count(total, 'trial')}: {states}{retries}; trained {time} on {device}"
    value = {state.lower(): n for state, n in counts.items()}
    return Fact("trials", "trials", text, short, value)


def _build_locations(summary: Summary) -> list[Fact]:
    model = f"{summary.model_uri} in {summary.store}"
    if summary.export_problem:
        weights = f"{WEIGHTS_FILE} of run {summary.model_run.run_id}"
        model = f"not exported ({summary.export_problem}); {weights}"
    path, command = str(summary.report_path), summary.browse_command
    uri = None if summary.export_problem else summary.model_uri
    return [
        Fact("report", "report", path, path, path),
        Fact("store", value=summary.store),
        Fact("model", "model", model, model, uri),
        Fact("browse", "browse", command, command, command),
    ]
