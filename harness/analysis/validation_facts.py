"""The summary's facts about the validation score: of the search, and of its confirmation runs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.analysis.confirmation import list_failed_runs, rank_confirmed_settings
from harness.analysis.fact import Fact
from harness.analysis.fold_scores import is_reshuffled, read_fold_scores
from harness.analysis.formatting import format_count, score_to_dict
from harness.analysis.seed_variance import find_setting, rank_settings

if TYPE_CHECKING:
    from harness.analysis.summary import Summary


def build_validation_fact(summary: Summary) -> Fact:
    run, confirmation, score = summary.model_run, summary.confirmation, summary.study.score
    assert run.best is not None
    complete = len(summary.study.rank_trials())
    text = _describe_model_score(summary, full=True, has_interval=complete == 1)
    mae = score.format_mae_beside(run, run.best.val_mae)
    over = describe_folds(summary)
    text = f"{text}{over}"
    short = (
        f"{score.format_value(run.score)}{score.format_interval(run)}{mae}{over or ', one seed'}"
    )
    if complete > 1:
        chosen = f"the best of {format_count(complete, 'trial')}, not corrected for selection"
        if failed := len(list_failed_runs(summary.study)):  # if one did not, see below
            chosen += f": {format_count(failed, 'confirmation run')} failed; to retry, rerun"
        text, short = f"{text}; {chosen}", f"{score.format_value(run.score)}{over}, {chosen}"
    if (folded := summary.fold_score) is not None:
        best = f"the best of {format_count(complete, 'trial')} had {score.format_value(run.score)}"
        short = f"{folded.describe()}; {best}{over}"
        text = f"{score.full_name} {short}"
    seeds_of_setting = find_setting(summary.study, summary.champion)
    if seeds_of_setting and len(seeds_of_setting.runs) > 1:
        n = len(seeds_of_setting.runs)
        settings = format_count(len(rank_settings(summary.study)), "setting")
        each = f" of {summary.study.folds} folds each" if over else ""
        short = f"{seeds_of_setting.validation} over {n} seeds{each} (mean ± sd)"
        short += f", the best of {settings}"
    if (corrected := summary.corrected_score) is not None:
        text = f"{score.full_name} {corrected.describe()}; {_describe_plain_mean(summary)}"
        short = f"{corrected.format_value()}, corrected for selection"
        if confirmation is not None and confirmation.failed:
            short += f"; training failed on {format_count(confirmation.failed, 'more split')}"
    elif confirmation is not None:
        n = len(confirmation.runs)
        seeds = f"{n} fresh seeds (mean ± standard deviation)" if n > 1 else "one fresh seed"
        count = summary.study.folds
        same = f"{count} new" if is_reshuffled(summary.study) else f"the same {count}"
        each = f", on {same} folds" if over else ""
        text = f"{score.full_name} {confirmation.validation} over {seeds}{each}"
        short = f"{confirmation.validation} over {format_count(n, 'fresh seed')}{each}"
        if n > 1:
            short += " (mean ± sd), not corrected for selection"
        if confirmation.failed:
            text += f"; training failed with {confirmation.failed} more"
    metrics = run.best.best_metrics.items()
    value = {
        **score_to_dict(score, summary.study.classes, run),
        **{name.removeprefix("best/val_"): metric for name, metric in metrics},
        "seed": run.spec.seed,
        "corrected_interval": honest.interval if (honest := corrected or folded) else None,
        "corrected": honest.to_dict() if honest else None,
    }
    return Fact("validation", "validation", text, short, value)


def describe_folds(summary: Summary) -> str:
    """` over 5 folds (0.9757 to 0.9931, sd 0.0067)` of the model's run; empty without folds.

    The objective is named where it is not the score.
    """
    study = summary.study
    scores = read_fold_scores(study, summary.model_run)
    if scores is None:
        return ""
    name = "" if scores.objective == study.score.metric else f"{scores.name} "
    return f" over {study.folds} folds ({name}{scores.describe_spread()})"


def _describe_plain_mean(summary: Summary) -> str:
    """`its plain mean, which is too good, is 0.9421 ± 0.0112`."""
    confirmation = summary.confirmation
    assert confirmation is not None
    failed = (
        f"; training failed on {format_count(confirmation.failed, 'more split')}"
        if confirmation.failed
        else ""
    )
    return (
        "the plain mean ± standard deviation of these runs at their best epochs, which is too "
        f"good, is {confirmation.validation}{failed}"
    )


def build_confirmation_fact(summary: Summary) -> Fact:
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
        text = _describe_model_score(summary, full=False, has_interval=False)
        run, label = summary.model_run, "best seed"
        model = f"the model of seed {run.spec.seed}"
        if summary.corrected_score is not None:
            model = f"the model of trial {run.number}"
            model += f" on new split {run.split}" if run.split else " in the search"
            label = "kept model"
        return Fact("confirmed", label, f"{model}: {text}", value=value)
    once = "once in each fold" if summary.study.folds else "with one seed only"
    text = "" if summary.study.is_grid_or_list else f"no: trained {once}"
    return Fact("confirmed", "confirmed", text, value=value)


def _describe_model_score(summary: Summary, full: bool, has_interval: bool = True) -> str:
    """`accuracy 0.9444 (95 %: 0.9117 to 0.9655), loss 0.1840 (epoch 3 of 3)`.

    A score that was chosen among many has no interval that covers.
    """
    run, score = summary.model_run, summary.study.score
    assert run.best is not None
    text = score.format_score(run, full=full)
    name = score.full_name if full else score.name
    text = text if has_interval else f"{name} {score.format_value(run.score)}"
    metrics = f"{text}, {score.format_epoch(run, run.best)}"
    return f"{metrics} (epoch {run.best.epoch} of {run.epochs[-1].epoch})"
